"""Calls the sync's functions, where settings.SYNC_FUNCTIONS says where they are: {"url": URL, "token_file": PATH}.

The token is read from its file for each call, so that it can be exchanged at any time; no page and no message shows it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from django.conf import settings

SECONDS = 60


class Failed(Exception):
    """A call that did not go through, with what was answered; never a value."""


def are_known() -> bool:
    """Return whether it is said where the functions are, and with which token they are called."""
    wanted = getattr(settings, "SYNC_FUNCTIONS", None) or {}
    return bool(wanted.get("url") and wanted.get("token_file"))


def call(name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `result` of a function. Raise Failed with what to do where it gives none."""
    wanted = settings.SYNC_FUNCTIONS
    try:
        token = "".join(Path(wanted["token_file"]).read_text(encoding="ascii").split())
    except (OSError, UnicodeDecodeError):
        raise Failed("the file that SYNC_FUNCTIONS names in token_file cannot be read as a token") from None
    url = f"{wanted['url'].rstrip('/')}/{name}"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = Request(url, json.dumps(body).encode(), headers, method="POST")  # noqa: S310  # a system check looks at its scheme
    try:
        with urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            return dict(json.load(answer)["result"])
    except HTTPError as error:
        raise Failed(f"{name} answered {error.code}: {_said(error)}") from None
    except (URLError, OSError, ValueError, KeyError, TypeError) as error:
        raise Failed(f"{name} gave no answer ({type(error).__name__}): are the functions up, and is their url right?") from None


def _said(error: HTTPError) -> str:
    try:
        return "; ".join(str(each["message"]) for each in json.loads(error.read())["errors"])
    except (ValueError, KeyError, TypeError, OSError):
        return "the address is perhaps not the functions'"
