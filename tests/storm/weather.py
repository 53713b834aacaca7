"""Faults at random on the way between the functions and the backend, each counted."""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler
from random import Random

from proxy import Fault, Forward, cut_short, half, late, refused, status, unanswered

SHARE = 0.08
"""Of the requests, how many meet a fault."""
PATIENCE = 1.0
"""Seconds that the functions wait for an answer."""
KINDS: dict[str, tuple[Fault, ...]] = {
    "delayed": (late(0.05), late(0.2), late(0.5)),
    "delayed past the caller's patience": (late(PATIENCE + 0.5),),
    "cut off before it was forwarded": (refused,),
    "cut off in the middle of forwarding": (cut_short,),
    "cut off before the answer": (unanswered,),
    "answer truncated": (half,),
    "answered 429": (status(429, Retry_After="0"), status(429, Retry_After="1"), status(429, Retry_After="60")),
    "answered 500": (status(500),),
    "answered 503": (status(503),),
}
"""What goes wrong, in its ways."""


class Weather:
    """Put it into a proxy's `faults` under the empty path, which every path ends with. Calls while it is calm pass."""

    def __init__(self, dice: Random) -> None:
        self.counts: Counter[str] = Counter()
        self._dice, self._lock = dice, threading.Lock()

    def __call__(self, handler: BaseHTTPRequestHandler, forward: Forward) -> bool:
        with self._lock:
            kind = self._dice.choice(list(KINDS)) if self._dice.random() < SHARE and forward.call != "status" else None
            fault = self._dice.choice(KINDS[kind]) if kind else None
            self.counts.update([kind] if kind else ())
        return fault is not None and fault(handler, forward)
