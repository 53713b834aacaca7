"""`make bench`, or `python -m bench --only delta --records 5000`: measure, print a table, write bench/results.json."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from subprocess import CalledProcessError

from rich.console import Console

from bench.backlog import backlogs
from bench.delta import TO_DJANGO, TO_FIRESTORE, Delta, WrongOutcome
from bench.figures import Figure, keep, show
from bench.graph import graph
from bench.spawned import APPLY, applied, imports
from bench.stand import Stand
from bench.whole import first_load, idle, reconciles, tracker
from local.arcade import is_installed
from local.bundle import ROOT
from local.errors import StackError
from local.ports import HOST
from local.postgres import programs
from local.process import exit_on_sigterm

FOLDER = ROOT / ".local" / "bench"
MILLISECONDS = 30
RESULTS = Path(__file__).with_name("results.json")


def delta(asked: argparse.Namespace) -> Iterator[Figure]:
    """Measure both directions, on each database that is here; creations, the function and the bill on the first one only."""
    first, *_ = asked.databases
    for database in asked.databases:
        repetitions = asked.repetitions if database == first else max(1, asked.repetitions - 1)
        with Stand(asked.folder, database, asked.records) as stand:
            measured = Delta(stand, asked.records, repetitions, min(asked.by_hand, asked.records), asked.profile)
            if database == first:
                measured.creations()
                yield from measured.figures(["creations"])
            else:
                stand.ours("sync")
            measured.updates_to_firestore()
            yield from measured.figures([TO_FIRESTORE])
            measured.updates_to_django()
            yield from measured.figures([TO_DJANGO])
            if database == first:
                yield from measured.through_the_function()
                yield from measured.bills()


def apply(asked: argparse.Namespace) -> Iterator[Figure]:
    """Measure the backend's apply against Django's own bulk writes of the same rows."""
    if APPLY.exists():
        for database in asked.databases:
            yield from applied(database, min(asked.records, 10_000))


def afar(asked: argparse.Namespace) -> Iterator[Figure]:
    """Measure both directions with 30 ms added to every call to either peer."""
    records = max(asked.records // 4, 1)
    with Stand(asked.folder, "sqlite", records) as stand, stand.afar(MILLISECONDS) as far:
        measured = Delta(stand, records, asked.repetitions, 0, None, far)
        stand.ours("sync")
        measured.updates_to_firestore()
        yield from measured.figures([TO_FIRESTORE])
        measured.updates_to_django()
        yield from measured.figures([TO_DJANGO])


def peers(asked: argparse.Namespace) -> Iterator[Figure]:
    """Measure what has to do with whole peers: first load, reconciles, idle runs, the tracker."""
    with Stand(asked.folder, "sqlite", asked.whole) as stand:
        yield from first_load(stand, asked.whole, asked.repetitions)
        yield from reconciles(stand, asked.whole, asked.repetitions)
        yield from idle(stand)
        yield from tracker(stand)


def backlog(asked: argparse.Namespace) -> Iterator[Figure]:
    """Measure memory and time per change against the backlog."""
    with Stand(asked.folder, "sqlite", asked.backlogs[-1]) as stand:
        stand.ours("sync")
        yield from backlogs(stand, asked.backlogs, asked.repetitions)


def imported(asked: argparse.Namespace) -> Iterator[Figure]:
    """Measure what importing the bundle takes."""
    yield from imports(asked.folder, 2 * asked.repetitions + 1)


def graphs(asked: argparse.Namespace) -> Iterator[Figure]:
    """Measure writing into a graph."""
    if is_installed():
        yield from graph(asked.whole, asked.repetitions)


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Figure]]] = {
    "delta": delta,
    "afar": afar,
    "apply": apply,
    "peers": peers,
    "backlog": backlog,
    "import": imported,
    "graph": graphs,
}


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what is asked for."""
    size = os.environ.get("BENCH", "")
    large = size == "large"
    databases = ["sqlite", *(["postgresql"] if programs() else [])]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between them (%(default)s)")
    parser.add_argument("--records", type=int, default=200_000 if large else 10_000)
    parser.add_argument("--by-hand", type=int, default=300, help="how many records the hand-written loop gets (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=1 if large else 3)
    parser.add_argument("--whole", type=int, default=100_000 if large else 5_000, help="how many records whole peers hold")
    parser.add_argument("--backlogs", type=_numbers, default=[10_000, 50_000, 200_000] if large else [1_000, 8_000])
    parser.add_argument("--databases", type=lambda text: text.split(","), default=databases)
    parser.add_argument(
        "--profile", type=Path, help="write profiles of ours into files that begin so; the ratios then say nothing"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where it keeps its files (.local/bench)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args(arguments)
    if size not in {"", "large"}:
        parser.error(f"BENCH: there is no size {size!r}; there is: large")
    asked.only = asked.only.split(",")
    unknown = sorted(set(asked.only) - set(PARTS))
    if unknown:
        parser.error(f"--only: there is no part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    return asked


def _numbers(text: str) -> list[int]:
    return sorted(int(each) for each in text.split(","))


def main() -> int:
    """Do what the command line says; return what `measure` does."""
    exit_on_sigterm()
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = f"{HOST},localhost"
    asked = options(sys.argv[1:])
    return measure({name: partial(PARTS[name], asked) for name in asked.only}, asked.results)


def measure(parts: Mapping[str, Callable[[], Iterator[Figure]]], results: Path) -> int:
    """Measure, print and keep the figures; return 1 where what was measured did not do its work, 0 also where a target is
    missed. A part that goes wrong stops no other."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    began, figures, wrong = time.monotonic(), list[Figure](), list[str]()
    for name, part in parts.items():
        try:
            for figure in part():
                figures.append(figure)
                console.print(f"{figure.part}: {figure.name}: {figure.median:.3g} {figure.unit}")
        except (WrongOutcome, StackError, RuntimeError, CalledProcessError) as error:
            wrong.append(f"{name}: {error}")
            sys.stderr.write(f"WRONG: {wrong[-1]}\n")
    show(figures, console)
    keep(figures, results, seconds=round(time.monotonic() - began), wrong=wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
