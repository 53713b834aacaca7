"""Log lines as JSON, without values: of an exception its kind and place, of a request the pattern that its path fits."""

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any

from django.urls import Resolver404, resolve

from .stamps import timestamp


def where(error: BaseException) -> dict[str, Any]:
    """Return the kind of an error and the lines that it came through, never its text."""
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]}


class ValueFree(logging.Formatter):
    """Formats a record as one JSON line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": timestamp(datetime.fromtimestamp(record.created, UTC)),
            "severity": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line |= where(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def _message(record: logging.LogRecord) -> str:
    """Return the message; one made of an exception's text is left out, since that may hold a value."""
    arguments = _arguments(record)
    if any(isinstance(arg, BaseException) for arg in arguments):
        return str(record.msg)
    if record.name in ("django.request", "django.server") and isinstance(record.args, tuple):
        return str(record.msg) % tuple(_without_path(arg) if isinstance(arg, str) else arg for arg in arguments)
    return record.getMessage()


def _without_path(text: str) -> str:
    """Return a path, a request line, or what Django says of one, with the pattern in the path's place. The admin's paths
    hold keys, and anybody can ask for a path with anything in it."""
    method, _, rest = text.partition(" ")
    path, _, version = rest.rpartition(" ")
    if text.startswith("/"):
        return _pattern(text)
    return f"{method} {_pattern(path)} {version}" if path.startswith("/") else text.partition("(")[0]


def _pattern(path: str) -> str:
    try:
        return f"/{resolve(path.partition('?')[0]).route}"
    except Resolver404:
        return "/..."


def _arguments(record: logging.LogRecord) -> list[Any]:
    return list(record.args.values()) if isinstance(record.args, dict) else list(record.args or ())
