"""What a terminal shows while a command works; nothing where stderr is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

from shared.report import Report

Told = Callable[[Report], None]


@contextmanager
def bar(what: str, total: Callable[[], int | None]) -> Iterator[Told]:
    """Within, show a bar of `total` changes (None: nobody knows how many); give what it is to be told of each page."""
    with _progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[done]}")) as shown:
        if shown is None:
            yield lambda report: None
            return
        task, done = shown.add_task(what, total=total(), done=""), dict[str, tuple[int, int]]()

        def told(report: Report) -> None:
            done[report.pair] = report.moved, sum(each.compared for each in report.reconciled.values())
            moved, compared = (sum(each) for each in zip(*done.values(), strict=True))
            said = f"{moved} changes" + (f", {compared} records compared" if compared else "")
            shown.update(task, completed=moved, done=said)

        yield told


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Within, say what is being waited for."""
    with _progress(TextColumn(what)) as shown:
        if shown is not None:
            shown.add_task(what, total=None)
        yield


@contextmanager
def _progress(*columns: ProgressColumn) -> Iterator[Progress | None]:
    """Show progress on stderr; what is printed meanwhile is the log's, and goes elsewhere."""
    console, all_columns = Console(stderr=True), (SpinnerColumn(), *columns, TimeElapsedColumn())
    if not console.is_terminal:
        yield None
        return
    with Progress(*all_columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as shown:
        yield shown
