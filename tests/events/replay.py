"""Recorded events, for replaying: to a running function, or as the pokes that they are."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from cloudevents.http import CloudEvent, from_http

RECORDED: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("recorded.json").read_text(encoding="utf-8"))


def body(name: str, form: str = "base64") -> bytes:
    """Return an event's body as the emulator posts it (`base64`), as production does (`binary`), or with no data (`bare`)."""
    posted = base64.b64decode(RECORDED[name]["body"])
    return {"base64": posted, "binary": base64.b64decode(posted), "bare": b""}[form]


def event(name: str, form: str = "base64") -> CloudEvent:
    """Return a recorded event as functions-framework hands it over."""
    return from_http(RECORDED[name]["headers"], body(name, form), data_unmarshaller=lambda data: data)
