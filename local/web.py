"""Requests to the servers of the stack, which are on this machine: no proxy, no redirect to elsewhere, no retry."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(
    method: str, url: str, body: object | None = None, headers: Mapping[str, str] | None = None, seconds: float = 60.0
) -> tuple[int, bytes]:
    """Return the status and the body of an answer, whatever the status. `body` is sent as JSON.

    Raises OSError where nothing answers.
    """
    content = None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, content, sent, method=method)  # noqa: S310 (our own addresses)
    try:
        with _DIRECT.open(request, timeout=seconds) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read()


def answers(url: str) -> bool:
    """Say whether a GET answers with 200."""
    try:
        return call("GET", url, seconds=2)[0] == 200
    except OSError:
        return False
