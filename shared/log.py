"""Structured log lines in Cloud Logging's form: one JSON object a line, on standard output. No field value, no key."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.model import RecordId


@dataclass(frozen=True)
class Log:
    """Writes events. `context` goes with each (runId, requestId, pair); `secret` keys the hash that stands for a record."""

    secret: Callable[[], str]
    context: tuple[tuple[str, str], ...] = ()

    def bind(self, **context: str) -> Log:
        """Return a log whose every line also carries `context`."""
        return Log(self.secret, (*self.context, *context.items()))

    def __call__(self, event: str, message: str, severity: str = "INFO", **fields: Any) -> None:
        """Write one line."""
        line = {"severity": severity, "event": event, "message": message, **dict(self.context), **fields}
        sys.stdout.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()

    def record(self, record: RecordId) -> dict[str, str]:
        """Return what may be said of a record: its entity, and a keyed hash by which its lines can be told to belong together."""
        name = f"{record.tenant or ''}\0{record.key}".encode(errors="surrogatepass")
        return {"entity": record.entity, "record": hmac.new(self.secret().encode(), name, hashlib.sha256).hexdigest()[:16]}


class Muted(Log):
    """A log that says nothing."""

    def __init__(self) -> None:
        super().__init__(lambda: "")

    def bind(self, **context: str) -> Muted:
        """Return itself."""
        return self

    def __call__(self, event: str, message: str, severity: str = "INFO", **fields: Any) -> None:
        """Write nothing."""
