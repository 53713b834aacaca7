"""`python -m simulation.selftest [NAME ...]`: plants each bug and says after how many seeds the simulation finds it, and how."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import pytest

from simulation.choices import schedule_of
from simulation.plants import PLANTS
from simulation.schedule import beginning_of, play

LIMIT = 2_000
"""Seeds, from 0 up, within which each bug has to be found; LIMITS names those that are given more."""
LIMITS = {
    "stamps_from_the_future_are_taken": 6_000,
    "the_backends_delete_does_not_adopt_raw_drift": 6_000,
    "a_conflict_is_settled_before_it_is_kept": 6_000,
    "any_larger_tombstone_skips_a_delete": 8_000,
    "a_lost_answer_is_taken_for_done": 6_000,
    "a_dead_letter_is_written_after_it_is_acknowledged": 6_000,
    "a_held_change_is_acknowledged_before_its_conflict_is_kept": 6_000,
    "a_delete_that_was_beaten_goes_through_alone": 6_000,
}


@dataclass(frozen=True)
class Finding:
    """A planted bug, the number of seeds played until it showed (None: it did not), and how it showed."""

    bug: str
    seeds: int | None
    how: str = ""


def find(bug: str) -> Finding:
    """Plant a bug and play seeds from 0 up until one of them ends badly."""
    beginning_of.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        PLANTS[bug](patch)
        for seed in range(limit(bug)):
            failure = play(schedule_of(seed)).failure
            if failure:
                beginning_of.cache_clear()
                return Finding(bug, seed + 1, failure)
    beginning_of.cache_clear()
    return Finding(bug, None)


def limit(bug: str) -> int:
    """Return how many seeds a bug may take."""
    return LIMITS.get(bug, LIMIT)


def findings(bugs: Sequence[str]) -> Iterator[Finding]:
    """Yield what came of each bug, in their order."""
    with ProcessPoolExecutor(os.cpu_count() or 1, get_context("spawn")) as pool:
        yield from pool.map(find, bugs)


def row(finding: Finding) -> str:
    """Return a line of the table."""
    seeds = "SURVIVES" if finding.seeds is None else str(finding.seeds)
    return f"{finding.bug:64} {seeds:>8} of {limit(finding.bug):<6} {finding.how.partition(': ')[2][:90]}"


def main(named: Sequence[str]) -> int:
    survivors = 0
    for each in findings(list(named or PLANTS)):
        survivors += each.seeds is None
        sys.stdout.write(row(each) + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(named or PLANTS) - survivors} found, {survivors} not\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
