"""`python -m simulation [--seed SEED] [--number N]`, `--choices 1,2,3`, or `selftest`."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence
from typing import NoReturn

from simulation.batch import batch, lines
from simulation.choices import schedule_of
from simulation.schedule import play
from simulation.shrinking import alike, shrunk

USAGE = "usage: make simulate [SEED=NUMBER] [N=NUMBER], or make simulate CHOICES=NUMBER,NUMBER,...; all numbers from 0 up"
MANY = 2_000


class OneLine(argparse.ArgumentParser):
    """Says how it is used in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, USAGE + "\n")


def natural(text: str) -> int:
    """Return a whole number from 0 up; ValueError otherwise."""
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def choices(text: str) -> list[int]:
    """Return the integers of a schedule."""
    return [natural(each) for each in text.split(",")]


def main(given: Sequence[str]) -> int:
    parser = OneLine(prog="simulation", add_help=False)
    parser.add_argument("--seed", type=natural)
    parser.add_argument("--number", type=natural, default=MANY)
    parser.add_argument("--choices", type=choices)
    asked = parser.parse_args(given)
    if asked.choices is not None:
        return told(asked.choices)
    first = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    say(f"SEED={first} N={asked.number}")
    if asked.number == 1:
        return told(schedule_of(first))
    totals = batch(first, asked.number, say)
    say("\n".join(lines(totals)))
    for seed, failure in sorted(totals.failures.items())[:5]:
        say(f"seed {seed}: {failure}")
    if totals.failures:
        explained(min(totals.failures))
    return 1 if totals.failures else 0


def told(schedule: Sequence[int]) -> int:
    """Play one schedule and say all that happens in it."""
    trace: list[str] = []
    ended = play(schedule, trace)
    say("\n".join(trace))
    return 1 if ended.failure else 0


def explained(seed: int) -> None:
    """Shrink a failing seed, and say how it goes and how to see it again."""
    schedule = schedule_of(seed)
    failure = play(schedule).failure
    small = shrunk(schedule, lambda candidate: alike(play(candidate).failure, failure))
    say(f"\nseed {seed} in {len(small) - 1} of its {len(schedule) - 1} steps:")
    told(small)
    say(f"again: make simulate CHOICES={','.join(map(str, small))}")
    say(f"whole: make simulate SEED={seed} N=1")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
