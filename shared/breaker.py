"""A peer's circuit breaker: once several calls in a row had no answer, the peer is left alone for a while.

pybreaker decides; where the state lies is ours. A function's instance lives for minutes, so what it has seen is kept with the
pair's lease, which every run reads and every failed run writes anyway: it costs nothing, and all instances know of it. What
counts is a whole call, with all its attempts. An answer that blames a record, or the token, is an answer: it closes the breaker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pybreaker import STATE_CLOSED, STATE_OPEN, CircuitBreaker, CircuitBreakerError, CircuitMemoryStorage

from shared.errors import Transient
from shared.model import instant

T = TypeVar("T")


class Breaker:
    """The breaker of the peer of this name: `failures` calls in a row open it, `seconds` later one call may try again."""

    def __init__(self, peer: str, failures: int, seconds: float) -> None:
        self.peer, self._failures, self._rest = peer, failures, timedelta(seconds=seconds)
        self.resume({})

    def resume(self, kept: Mapping[str, Any]) -> None:
        """Go on from what was kept; from a closed breaker if that is nothing."""
        self._state = CircuitMemoryStorage(kept.get("state", STATE_CLOSED))
        for _ in range(kept.get("failures", 0)):
            self._state.increment_counter()
        if "opened_at" in kept:
            self._state.opened_at = kept["opened_at"]
        self._circuit = CircuitBreaker(
            self._failures,
            self._rest.total_seconds(),
            exclude=[lambda error: not isinstance(error, Transient)],
            state_storage=self._state,
            throw_new_error_on_trip=False,
        )

    @property
    def kept(self) -> dict[str, Any]:
        """What to keep for the next run: `state`, `failures`, and once it was open `opened_at` and `until`; nothing of a peer
        that answered."""
        if self._state.state == STATE_CLOSED and not self._state.counter:
            return {}
        opened = self._state.opened_at
        times = {"opened_at": opened, "until": opened + self._rest} if opened else {}
        return {"state": self._state.state, "failures": self._state.counter, **times}

    def check(self) -> None:
        """Raise Transient while the peer is to be left alone, so that a run need not begin."""
        opened = self._state.opened_at
        if self._state.state == STATE_OPEN and opened and datetime.now(UTC) < opened + self._rest:
            raise Transient(self._said(opened + self._rest))

    def call(self, attempt: Callable[[], T]) -> T:
        """Return what `attempt` returns; Transient, and no attempt, while the peer is to be left alone.

        Calls of several threads go on beside each other: the breaker is held only to ask it and to tell it.
        """
        try:
            with self._circuit.calling():
                return attempt()
        except CircuitBreakerError:
            raise Transient(self._said((self._state.opened_at or datetime.now(UTC)) + self._rest)) from None

    def _said(self, until: datetime) -> str:
        wait = f"it is left alone until {instant(until)} and tried again by the first run after that"
        return f"peer {self.peer!r}: {self._state.counter} calls in a row failed, so {wait}; nothing is lost meanwhile"
