"""How fast a collection may be written to while Firestore spreads it over more servers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

FIRST, GROWTH, STEP = 500, 1.5, 300.0
"""Writes a second at first, and by how much more after so many seconds: Firestore's published 500/50/5 rule."""


@dataclass
class Ramp:
    """Spaces writes so that they stay within the rule. After five minutes without any it begins anew.

    `clock` counts seconds from anywhere, `sleep` waits for some.
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _began: float = 0.0
    _free_at: float = float("-inf")
    _turn: Lock = field(default_factory=Lock)

    def take(self, writes: int) -> None:
        """Wait until so many writes may be sent."""
        with self._turn:
            now = self.clock()
            if now - self._free_at >= STEP:
                self._began = self._free_at = now
            start = max(now, self._free_at)
            self._free_at = start + writes / (FIRST * GROWTH ** ((start - self._began) // STEP))
        if start > now:
            self.sleep(start - now)
