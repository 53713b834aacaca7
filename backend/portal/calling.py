"""Calls the sync's functions by HTTP, as an operator. Nothing of the sync is imported: the contract joins them."""

import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from syncqueue.nudging import enqueue

SECONDS = 1800
"""The longest that a run takes."""


class NotCalled(Exception):
    """The functions could not be asked; the message says why and what to do."""


def call(function: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """Return status and body of a function's answer, by POST with a body, else by GET; NotCalled where there is none."""
    wanted: Mapping[str, Any] = settings.JOURNAL_FUNCTIONS
    if not wanted["functions_url"].startswith(("http://", "https://")) or not wanted["token"]:
        raise NotCalled("set FUNCTIONS_URL, and FUNCTIONS_TOKEN to an operator's token")
    headers = {"Authorization": f"Bearer {wanted['token']}", "Content-Type": "application/json"}
    url, sent = f"{wanted['functions_url'].rstrip('/')}/{function}", None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, sent, headers)  # noqa: S310  # http or https, by the setting above
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, _said(error)
    except (OSError, ValueError) as error:
        raise NotCalled(f"{function}: no answer ({type(error).__name__}); is FUNCTIONS_URL right?") from None


def _said(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        return dict(json.load(error))
    except ValueError:
        raise NotCalled(f"answered {error.code} and no JSON; is FUNCTIONS_URL right?") from None


def call_later(function: str, body: Mapping[str, Any]) -> None:
    """Have a function called by Cloud Tasks, now; NotCalled where there is no task queue."""
    wanted = settings.JOURNAL_FUNCTIONS
    if not wanted["queue"]:
        raise NotCalled("there is no task queue; set TASK_QUEUE, or wait for the answer")
    enqueue(wanted, f"{function}-{uuid.uuid4().hex}", function, body, datetime.now(UTC))
