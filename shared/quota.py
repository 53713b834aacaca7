"""How often a peer said that a quota is used up: counted as it is met, attempts that were repeated included."""

from __future__ import annotations

from collections import Counter
from threading import Lock


class Quota:
    """Counts by the peer's name."""

    def __init__(self) -> None:
        self._met: Counter[str] = Counter()
        self._counting = Lock()

    def met(self, peer: str) -> None:
        """Note one such answer."""
        with self._counting:  # calls may be under way in several threads
            self._met[peer] += 1

    def copy(self) -> Counter[str]:
        """Return the figures of this moment."""
        with self._counting:
            return Counter(self._met)
