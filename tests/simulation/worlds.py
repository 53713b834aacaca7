"""The worlds that a schedule can be played in, and how the schedules of a batch are shared out among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulation import graph_ending, polled_ending, schedule
from simulation.schedule import Ended

Play = Callable[[Sequence[int], list[str] | None], Ended]
WORLDS: dict[str, Play] = {"members": schedule.play, "polled": polled_ending.play, "graph": graph_ending.play}
