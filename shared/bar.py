"""What a terminal shows while a command works; nothing where stderr is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from shared.report import Report

Told = Callable[[Report], None]
COLUMNS = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[done]}"), TimeElapsedColumn())


@contextmanager
def bar(what: str, total: Callable[[], int | None]) -> Iterator[Told]:
    """Within, show a bar of `total` changes (None: nobody knows how many); give what it is to be told of each page."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda report: None
        return
    with Progress(*COLUMNS, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as shown:
        task, done = shown.add_task(what, total=total(), done=""), dict[str, tuple[int, int]]()

        def told(report: Report) -> None:
            done[report.pair] = report.moved, sum(each.compared for each in report.reconciled.values())
            moved, compared = (sum(each) for each in zip(*done.values(), strict=True))
            said = f"{moved} changes" + (f", {compared} records compared" if compared else "")
            shown.update(task, completed=moved, done=said)

        yield told
