"""The worlds that a schedule can be played in, and how the schedules of a batch are shared out among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulation import graph_ending, polled_ending, schedule
from simulation.schedule import Ended

Play = Callable[[Sequence[int], list[str] | None], Ended]
WORLDS: dict[str, Play] = {"members": schedule.play, "polled": polled_ending.play, "graph": graph_ending.play}
BESIDE = 10
"""One schedule in so many is played in each of the worlds beside that of members."""


def shared_out(number: int) -> dict[str, int]:
    """Return how many of so many schedules are played in which world."""
    beside = {name: number // BESIDE for name in WORLDS if name != "members"}
    return {"members": number - sum(beside.values())} | {name: share for name, share in beside.items() if share}
