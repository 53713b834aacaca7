"""`python -m simulation [--seed SEED] [--number N] [--world NAME]`, or `--choices 1,2,3`."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence
from typing import NoReturn

from simulation.batch import batch, lines
from simulation.choices import schedule_of
from simulation.shrinking import alike, shrunk
from simulation.worlds import WORLDS

USAGE = (
    "usage: make simulate [SEED=NUMBER] [N=NUMBER], or make simulate CHOICES=NUMBER,NUMBER,...; all numbers from 0 up; "
    f"[WORLD={'|'.join(WORLDS)}]"
)
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
    parser.add_argument("--world", choices=WORLDS)
    asked = parser.parse_args(given)
    if asked.choices is not None:
        return told(asked.choices, asked.world or "members")
    first = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    say(f"SEED={first} N={asked.number}")
    if asked.number == 1:
        return told(schedule_of(first), asked.world or "members")
    totals = batch(first, asked.number, say, asked.world)
    say("\n".join(lines(totals)))
    for (world, seed), failure in sorted(totals.failures.items())[:5]:
        say(f"{world}, seed {seed}: {failure}")
    if totals.failures:
        explained(*min(totals.failures))
    return 1 if totals.failures else 0


def told(schedule: Sequence[int], world: str) -> int:
    """Play one schedule and say all that happens in it."""
    trace: list[str] = []
    ended = WORLDS[world](schedule, trace)
    say("\n".join(trace))
    return 1 if ended.failure else 0


def explained(world: str, seed: int) -> None:
    """Shrink a failing seed, and say how it goes and how to see it again."""
    schedule, play = schedule_of(seed), WORLDS[world]
    failure = play(schedule, None).failure
    small = shrunk(schedule, lambda candidate: alike(play(candidate, None).failure, failure))
    say(f"\n{world}, seed {seed} in {len(small) - 1} of its {len(schedule) - 1} steps:")
    told(small, world)
    say(f"again: make simulate WORLD={world} CHOICES={','.join(map(str, small))}")
    say(f"whole: make simulate WORLD={world} SEED={seed} N=1")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
