"""What the runs of a pair came to in a day, or in many: figures that can be added up. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.model import Billed
from shared.timing import Taken, add_all, taken_from

SHORTEST, STEP = 0.01, 1.1
"""Durations are counted by size: up to a hundredth of a second, and from there a tenth more each. So those of many days can be
added up, and a percentile is told to within a tenth."""
RECONCILED = "reconcile"
"""Under which name the changes are counted that no queue knew of."""
COUNTS = ("runs", "failed", "unfinished", "changes", "conflicts", "dead_letters", "quota_errors")


@dataclass
class Figures:
    """The runs of some days. A run that found nothing to do is recorded once an hour, and counted as one. `unfinished` ones
    were cut off; `changes` were read from the queues, or repaired; `carried` are these by direction, and the repaired
    ones under `reconcile`; `costs` are by currency."""

    runs: int = 0
    failed: int = 0
    unfinished: int = 0
    changes: int = 0
    conflicts: int = 0
    dead_letters: int = 0
    quota_errors: int = 0
    carried: Counter[str] = field(default_factory=Counter)
    billed: Billed = field(default_factory=Billed)
    costs: Counter[str] = field(default_factory=Counter)
    durations: Counter[int] = field(default_factory=Counter)
    """How many runs took so long, by size."""
    events: dict[str, Taken] = field(default_factory=dict)
    """How long edits of each kind took from being written to being carried."""

    def add(self, other: Figures) -> None:
        """Add other figures to these."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.billed = self.billed.plus(other.billed)
        self.carried.update(other.carried)
        self.costs.update(other.costs)
        self.durations.update(other.durations)
        add_all(self.events, other.events)

    @property
    def success_rate(self) -> float | None:
        """The share of runs that went through; None if there was none."""
        return round(1 - (self.failed + self.unfinished) / self.runs, 4) if self.runs else None

    def percentile(self, share: float) -> float | None:
        """Return the seconds in which this share of the runs was over, to within a tenth more; None if there was none."""
        wanted, seen = math.ceil(share * self.durations.total()), 0
        for size in sorted(self.durations):
            seen += self.durations[size]
            if seen >= wanted:
                return round(SHORTEST * STEP**size, 2)
        return None

    def as_json(self) -> dict[str, Any]:
        """Return the figures as they are shown: counts, `carried`, `success_rate`, percentiles, `events`, `billed`, `cost`."""
        spent = {currency: round(amount, 6) for currency, amount in self.costs.items()}
        times = {"p50_seconds": self.percentile(0.5), "p95_seconds": self.percentile(0.95), "events": self._events()}
        told = {"success_rate": self.success_rate, "carried": dict(self.carried)}
        return self._counts() | told | times | {"billed": _billed(self.billed), "cost": spent}

    def as_kept(self) -> dict[str, Any]:
        """Return the figures as they are kept in Firestore."""
        sizes = {str(size): number for size, number in self.durations.items()}
        told = {"billed": _billed(self.billed), "costs": dict(self.costs), "durations": sizes, "events": self._events()}
        return self._counts() | told | {"carried": dict(self.carried)}

    def _events(self) -> dict[str, Any]:
        return {kind: each.as_json() for kind, each in self.events.items()}

    def _counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in COUNTS}


def figures_of(kept: Mapping[str, Any]) -> Figures:
    """Return what `as_kept` told, perhaps of another release: what is missing there counts as nothing."""
    figures = Figures(**{name: kept.get(name, 0) for name in COUNTS})
    figures.billed = Billed(**kept.get("billed", {}))
    figures.costs.update(kept.get("costs", {}))
    figures.carried.update(kept.get("carried", {}))
    figures.events = taken_from(kept.get("events", {}))
    figures.durations.update({int(size): number for size, number in kept.get("durations", {}).items()})
    return figures


def figures_of_runs(records: Iterable[Mapping[str, Any]]) -> Figures:
    """Return the figures of runs, given their records in `sync_runs`."""
    return total(_of_run(record) for record in records)


def _of_run(record: Mapping[str, Any]) -> Figures:
    result = record.get("result")
    if result is None:
        return Figures(runs=1, unfinished=1)
    carried = Counter({name: tally["read"] for name, tally in result["directions"].items()})
    carried[RECONCILED] = sum(each.get("repaired", 0) for each in result.get("reconciled", {}).values())
    return Figures(
        runs=1,
        failed=int(record["status"] == "failed"),
        changes=carried.total(),
        carried=+carried,
        conflicts=result["conflicts"],
        dead_letters=result["dead_letters"],
        quota_errors=sum(result.get("quota_errors", {}).values()),
        billed=Billed(**result["billed"]),
        costs=Counter({result["cost"]["currency"]: result["cost"]["amount"]}),
        events=taken_from(result.get("events", {})),
        durations=Counter([_size(record["completed_at"] - record["started_at"])]),
    )


def _size(duration: timedelta) -> int:
    seconds = duration.total_seconds()
    return max(0, math.ceil(round(math.log(seconds / SHORTEST, STEP), 6))) if seconds > 0 else 0


def by_month(days: Mapping[str, Figures]) -> dict[str, Figures]:
    """Return the figures of days (`2026-11-24`) added up by month (`2026-11`)."""
    months: dict[str, Figures] = {}
    for day, figures in days.items():
        months.setdefault(day[:7], Figures()).add(figures)
    return months


def told_of_days(days: Mapping[str, Figures], by_months: bool) -> dict[str, Any]:
    """Return the figures of each day or month, and of `all` together, as they are shown."""
    periods = by_month(days) if by_months else days
    return {"periods": {name: each.as_json() for name, each in periods.items()}, "all": total(periods.values()).as_json()}


def total(parts: Iterable[Figures]) -> Figures:
    """Return all of them together."""
    figures = Figures()
    for each in parts:
        figures.add(each)
    return figures


def days_up_to(now: datetime, number: int) -> list[str]:
    """Return the last `number` days in UTC, today's included, the earliest first."""
    return [(now - timedelta(days=back)).date().isoformat() for back in reversed(range(number))]


def _billed(billed: Billed) -> dict[str, int]:
    return {"reads": billed.reads, "writes": billed.writes, "deletes": billed.deletes}
