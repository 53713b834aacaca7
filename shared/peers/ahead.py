"""Changes stamped ahead of the clock of a peer whose own users stamp nothing.

Their next write gets the time of that clock, and has to win over whatever it replaces: so nothing is taken from the future.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from shared.model import Change, Outcome, Problem, Result, instant, stamp_time

SLEPT_OUT = timedelta(seconds=5)


def put_off(changes: Sequence[Change], whose: str, now: datetime, sleep: Callable[[float], None]) -> dict[str, Result]:
    """Return what to answer to those of the changes that are too far ahead, by their ids. Up to five seconds are waited for."""
    ahead = {change.id: stamp_time(change.latest) - now for change in changes}
    longest = max((each for each in ahead.values() if each <= SLEPT_OUT), default=timedelta())
    if longest > timedelta():
        sleep(longest.total_seconds())
    return {change.id: _early(change, whose, now) for change in changes if ahead[change.id] > SLEPT_OUT}


def _early(change: Change, whose: str, now: datetime) -> Result:
    message = f"stamped {instant(stamp_time(change.latest))}, {whose} clock says {instant(now)}"
    return Result(change.id, Outcome.RETRY, problem=Problem("future", message))
