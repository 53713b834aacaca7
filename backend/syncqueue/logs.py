"""Log lines as JSON, without values: of an exception its kind and place, of a request line no query string."""

import json
import logging
import re
import traceback
from datetime import UTC, datetime
from typing import Any

from .stamps import timestamp

_QUERY = re.compile(r"\?[^\s\"]*")


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
            "message": _QUERY.sub("?...", _message(record)),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line |= where(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def _message(record: logging.LogRecord) -> str:
    """Return the message; one made of an exception's text is left out, since that may hold a value."""
    if record.args and any(isinstance(arg, BaseException) for arg in _arguments(record)):
        return str(record.msg)
    return record.getMessage()


def _arguments(record: logging.LogRecord) -> list[Any]:
    return list(record.args.values()) if isinstance(record.args, dict) else list(record.args or ())
