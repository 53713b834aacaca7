"""A pair's figures by day, in `sync_statistics`: put together from the day's runs once, when they are first asked for.

That is cheapest: a run writes nothing for it, its record is read once more, and a day is one write. `sync_health`, which is
called every hour, asks for yesterday's; so none is missing in a longer view.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from shared.naming import state_id
from shared.peers.documents import Write
from shared.retention import STATISTICS_RETENTION
from shared.statistics import Figures, days_up_to, figures_of, figures_of_runs
from shared.store import Store

STATISTICS = "sync_statistics"
CLOSED_AFTER = timedelta(hours=1)
"""A run may go on past midnight, by less than this."""
MENDED_FOR = 31
"""Days whose rollup is made up for. Further back, what has none had no run, or nobody asked for a month."""


def by_day(store: Store, pair: str, number: int, now: datetime) -> dict[str, Figures]:
    """Return the figures of those of the last `number` days, today included, that had any run: a read a day, and one a run of
    days that are not over or have no rollup yet, which is then written."""
    days = days_up_to(now, number)
    found = _kept(store, pair, days)
    for day in days[-MENDED_FOR:]:
        if day not in found:
            found[day] = _from_runs(store, pair, day, now)
    return {day: found[day] for day in days if day in found and found[day].runs}


def last_day(store: Store, pair: str, now: datetime) -> tuple[str, Figures]:
    """Return the last day that is over, and its figures: one read, or two if there was no run. When first asked for it is a
    read a run and a write more."""
    day = (now - CLOSED_AFTER - timedelta(days=1)).date().isoformat()
    return day, _kept(store, pair, [day]).get(day) or _from_runs(store, pair, day, now)


def _from_runs(store: Store, pair: str, day: str, now: datetime) -> Figures:
    figures = figures_of_runs(each.fields for each in store.runs_of(pair, day))
    if figures.runs and now >= _end(day) + CLOSED_AFTER:
        _keep(store, pair, day, figures)
    return figures


def _kept(store: Store, pair: str, days: Sequence[str]) -> dict[str, Figures]:
    paths = {_path(pair, day): day for day in days}
    found, _ = store.documents.get(list(paths))
    return {paths[path]: figures_of(each.fields) for path, each in found.items() if each.exists}


def _keep(store: Store, pair: str, day: str, figures: Figures) -> None:
    """Write a day's rollup. Two who do so at once write the same."""
    body = {"pair": pair, "day": day, **figures.as_kept(), "expire_at": _end(day) + STATISTICS_RETENTION}
    store.documents.write([Write(_path(pair, day), body)])


def _path(pair: str, day: str) -> str:
    return f"{STATISTICS}/{state_id(pair, day)}"


def _end(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)
