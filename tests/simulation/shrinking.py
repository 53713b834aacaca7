"""Makes a failing schedule as short and as tame as it can be: takes out, or zeroes, ever smaller pieces of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

TRIES = 2_000


def shrunk(schedule: Sequence[int], fails: Callable[[Sequence[int]], bool], tries: int = TRIES) -> list[int]:
    """Return a schedule that still fails and of which no piece can be left out. The first integer may only become 0.

    `fails` says whether a schedule fails in the same way; it is asked `tries` times at most.
    """
    best, left = list(schedule), tries
    improved = True
    while improved:
        improved = False
        for candidate in _tamer(best):
            left -= 1
            if left < 0:
                return best
            if fails(candidate):
                best, improved = candidate, True
                break
    return best


def _tamer(schedule: list[int]) -> Iterator[list[int]]:
    """Yield schedules with a piece less, the largest first, then with a piece zeroed."""
    size = len(schedule) - 1
    while size:
        for start in range(1, len(schedule), size):
            yield schedule[:start] + schedule[start + size :]
        size //= 2
    for place, number in enumerate(schedule):
        if number:
            yield [*schedule[:place], 0, *schedule[place + 1 :]]
            if place and number % 100 != number:
                yield [*schedule[:place], number % 100, *schedule[place + 1 :]]


def alike(one: str | None, other: str | None) -> bool:
    """Return whether two failures are of one kind: what follows the first colons is about this or that value."""
    return one is not None and other is not None and _kind(one) == _kind(other)


def _kind(failure: str) -> str:
    return " ".join(word for word in failure.split() if word.isalpha())[:60]
