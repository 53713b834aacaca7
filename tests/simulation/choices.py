"""A schedule is a list of integers, one a step; each is taken apart into the choices of its step. 0 is always the tamest."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
BITS = 63
FEWEST, MOST = 25, 40
"""Steps of a schedule, after its first integer, which settles how the world begins."""


def schedule_of(seed: int) -> list[int]:
    """Return the schedule that a seed stands for."""
    source = random.Random(seed)
    return [source.getrandbits(BITS) for _ in range(1 + source.randint(FEWEST, MOST))]


class Word:
    """One integer, taken apart digit by digit; what is not there any more is 0."""

    def __init__(self, number: int = 0) -> None:
        self.left = number

    def take(self, options: int) -> int:
        """Return a number from 0 to `options` - 1."""
        self.left, taken = divmod(self.left, options)
        return taken

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options; the first is the tamest."""
        return options[self.take(len(options))]

    def weighed(self, options: Sequence[tuple[int, T]]) -> T:
        """Return one of the options, each as likely as its weight says; the first is the tamest."""
        place = self.take(sum(weight for weight, _ in options))
        for weight, option in options:
            if place < weight:
                return option
            place -= weight
        return options[0][1]
