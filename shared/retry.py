"""When to try again, and when to give up: pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar

from shared.errors import Transient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between the attempts of one call: `first` seconds, doubling, `longest` at most, `attempts` in all."""

    attempts: int = 4
    first: float = 0.5
    longest: float = 8.0

    def wait(self, attempt: int, error: Transient, chance: float) -> float | None:
        """Return the seconds to wait after attempt number `attempt` (from 1) failed; None: give up.

        `chance` (0 to 1) spreads callers that failed together. A peer that names a longer wait than `longest` is not
        waited for: the change stays in its queue for the next run.
        """
        if attempt >= self.attempts or error.after > self.longest:
            return None
        wait = min(self.longest, self.first * 2.0 ** (attempt - 1))
        return max(error.after, wait * (0.5 + chance / 2))


def call(attempt: Callable[[], T], backoff: Backoff, sleep: Callable[[float], None], chance: Callable[[], float]) -> T:
    """Return what `attempt` returns, repeating it after Transient errors; the last such error is raised."""
    number = 1
    while True:
        try:
            return attempt()
        except Transient as error:
            wait = backoff.wait(number, error, chance())
            if wait is None:
                raise
        sleep(wait)
        number += 1


def retry_after(text: str, now: datetime) -> float:
    """Return the seconds that a header `Retry-After` asks for, as a number or as a date (RFC 9110); 0 where it is neither."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (TypeError, ValueError):
        return 0.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a change may go on being answered `retry`: both limits must be passed before it is a dead letter."""

    attempts: int = 10
    age: timedelta = timedelta(hours=24)

    def spent(self, attempts: int, since: datetime, now: datetime) -> bool:
        """Return whether a change refused `attempts` times since `since` is given up."""
        return attempts >= self.attempts and now - since >= self.age
