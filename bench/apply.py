"""The backend's `apply` against plain Django's bulk writes of the same rows, in one process, on one database.

`python -m bench.apply --rows 10000 --database sqlite|postgres [--json]`. The ratio is plain time / apply time: 1.0 would
be an apply whose index, locks, merging and answers cost nothing.
"""

import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

BACKEND = Path(__file__).resolve().parent.parent / "backend"
app = typer.Typer(add_completion=False)


@app.command()
def main(
    rows: Annotated[int, typer.Option(help="how many members are created, then updated")] = 10_000,
    database: Annotated[str, typer.Option(help="sqlite or postgres")] = "sqlite",
    page: Annotated[int, typer.Option(help="changes a request")] = 1000,
    repeat: Annotated[int, typer.Option(help="repetitions, of which the median counts")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Measure and print."""
    figures = measure(rows, database, page, repeat)
    print(json.dumps(figures) if as_json else _table(figures))  # noqa: T201  # its answer


def measure(rows: int = 10_000, database: str = "sqlite", page: int = 1000, repeat: int = 5) -> dict[str, Any]:
    """Return `creations` and `updates`: median seconds of `plain` and `apply`, and the `ratio` of the two.

    It configures Django for one database, so a process calls it once. Raise RuntimeError where the two sides differ.
    """
    with _django(database):
        taken = _interleaved(rows, page, repeat)
    figures: dict[str, Any] = {"database": database, "rows": rows, "page": page, "repeat": repeat}
    for what in ("creations", "updates"):
        plain, ours = median(taken[what, "plain"]), median(taken[what, "apply"])
        figures[what] = {"plain": round(plain, 4), "apply": round(ours, 4), "ratio": round(plain / ours, 3)}
    return figures


def _interleaved(rows: int, page: int, repeat: int) -> dict[tuple[str, str], list[float]]:
    """Return the seconds of every repetition; each side starts from empty tables, and they take turns in going first."""
    from bench import sides  # it imports models, which need a configured Django

    created = sides.persons(rows)
    edited = sides.edits(created)
    plain = [sides.plain_create(created, page), sides.plain_update(edited, page)]
    ours = [sides.applied(created, "create", page), sides.applied(edited, "update", page)]
    gc.collect()
    gc.freeze()  # no server holds all the changes at once: walking them is no cost of either side
    taken: dict[tuple[str, str], list[float]] = {}
    for turn in range(repeat):
        left = []
        for name, works in [("plain", plain), ("apply", ours)][:: 1 if turn % 2 == 0 else -1]:
            sides.empty()
            for what, work in zip(("creations", "updates"), works, strict=True):
                taken.setdefault((what, name), []).append(_seconds(work))
            left.append(sides.stored())
        if left[0] != left[1]:
            raise RuntimeError("plain Django and apply left different rows: the figures would mean nothing")
    return taken


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def _django(database: str) -> Iterator[None]:
    with _database_url(database) as url:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "register.settings", "DATABASE_URL": url}
        sys.path.insert(0, str(BACKEND))
        import django
        from django.core.management import call_command
        from django.db import connections

        django.setup()
        call_command("migrate", verbosity=0)
        yield
        connections.close_all()


@contextmanager
def _database_url(database: str) -> Iterator[str]:
    """Give the address of a new database. Raise ValueError for one that is not known."""
    if database == "postgres":
        from local.postgres import Postgres

        with Postgres() as server:
            yield server.url
    elif database == "sqlite":
        with tempfile.TemporaryDirectory(prefix="bothways-bench-") as folder:
            yield f"sqlite:///{folder}/db.sqlite3"
    else:
        raise ValueError("the database is not known: expected sqlite or postgres")


def _table(figures: dict[str, Any]) -> str:
    lines = ["{rows} rows, {page} a page, {database}, median of {repeat}".format(**figures)]
    lines.append(f"{'':10} {'plain s':>9} {'apply s':>9} {'ratio':>6}")
    for what in ("creations", "updates"):
        lines.append("{0:10} {plain:9.3f} {apply:9.3f} {ratio:6.2f}".format(what, **figures[what]))
    return "\n".join(lines)


if __name__ == "__main__":
    app()
