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
    """Put it into a proxy's `faults` under the empty path, which every path ends with.

    The kinds are dealt like cards, so that each is met as often as the others. What warms an instance up passes.
    """

    def __init__(self, dice: Random) -> None:
        self.counts: Counter[str] = Counter()
        self._dice, self._lock = dice, threading.Lock()
        self._deck: list[str] = []

    def __call__(self, handler: BaseHTTPRequestHandler, forward: Forward) -> bool:
        with self._lock:
            hit = self._dice.random() < SHARE and forward.call != "status"
            fault = self._deal() if hit else None
        return fault is not None and fault(handler, forward)

    def _deal(self) -> Fault:
        self._deck = self._deck or self._dice.sample(list(KINDS), len(KINDS))
        kind = self._deck.pop()
        self.counts[kind] += 1
        return self._dice.choice(KINDS[kind])
