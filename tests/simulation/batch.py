"""Many schedules, on as many processes as there are cores, and what came of them all."""

from __future__ import annotations

import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from simulation.choices import schedule_of
from simulation.worlds import WORLDS, shared_out

CHUNK = 250
PROGRESS = 10_000
"""Schedules, after which a long batch says how far it has come."""


@dataclass
class Totals:
    """What many schedules came to. `failures` are by world and seed; `seconds` are of processor time, all processes together."""

    schedules: int = 0
    seconds: float = 0.0
    calls: int = 0
    runs: int = 0
    conflicts: int = 0
    letters: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    failures: dict[tuple[str, int], str] = field(default_factory=dict)

    def add(self, other: Totals) -> None:
        """Add the figures of another part to these."""
        for name in ("schedules", "seconds", "calls", "runs", "conflicts", "letters"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.injected += other.injected
        self.fates += other.fates
        self.failures |= other.failures


def part(world: str, seeds: range) -> Totals:
    """Play these seeds in a world, one after the other."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    totals, began = Totals(), time.process_time()
    for seed in seeds:
        ended = WORLDS[world](schedule_of(seed), None)
        totals.schedules += 1
        totals.calls += ended.calls
        totals.runs += ended.runs
        totals.injected += ended.injected
        if ended.books is not None:
            totals.fates += ended.books.fates
            totals.conflicts += ended.books.conflicts
            totals.letters += ended.books.letters
        if ended.failure is not None:
            totals.failures[world, seed] = ended.failure
    totals.seconds = time.process_time() - began
    return totals


def batch(first: int, number: int, say: Callable[[str], None] = lambda _: None, world: str | None = None) -> Totals:
    """Play `number` schedules, seeds from `first` on, in one world or shared out among all; `say` is told how far it has come,
    every ten thousand schedules."""
    totals = Totals()
    shares = {world: number} if world else shared_out(number)
    chunks = [
        (name, range(start, min(start + CHUNK, first + share)))
        for name, share in shares.items()
        for start in range(first, first + share, CHUNK)
    ]
    for each in _parts(chunks):
        said = totals.schedules // PROGRESS
        totals.add(each)
        if totals.schedules // PROGRESS > said and totals.schedules < number:
            say(progress(totals))
    return totals


def progress(totals: Totals) -> str:
    """Return how far many schedules have come, in a line."""
    done = f"{totals.schedules} schedules, {faults(totals)} faults, {sum(totals.fates.values())} writes accounted for"
    return f"{done}, {totals.fates['lost']} lost, {len(totals.failures)} failed"


def faults(totals: Totals) -> int:
    """Return how many faults were injected."""
    return sum(count for kind, count in totals.injected.items() if kind != "steps")


def _parts(chunks: list[tuple[str, range]]) -> Iterator[Totals]:
    if len(chunks) < 2:
        yield from (part(*each) for each in chunks)
        return
    with ProcessPoolExecutor(os.cpu_count() or 1, get_context("spawn")) as pool:
        yield from pool.map(part, *zip(*chunks, strict=True))


def lines(totals: Totals) -> Iterable[str]:
    """Return the summary, line by line."""
    steps = totals.injected["steps"]
    each = totals.seconds / max(1, totals.schedules)
    yield f"schedules          {totals.schedules}, {1 / each if each else 0:.0f} a second on one core"
    yield f"steps, calls, runs {steps}, {totals.calls}, {totals.runs}: {steps / max(1, totals.schedules):.0f} steps a schedule"
    yield f"faults injected    {faults(totals)}"
    yield from (f"  {kind:32} {count}" for kind, count in sorted(totals.injected.items()) if kind != "steps")
    yield f"writes accounted   {sum(totals.fates.values())}"
    yield from (f"  {fate:40} {count}" for fate, count in sorted(totals.fates.items()))
    yield f"conflicts          {totals.conflicts}"
    yield f"dead letters       {totals.letters} record(s)"
    yield f"lost               {totals.fates['lost']}"
    yield f"failed schedules   {len(totals.failures)}"
