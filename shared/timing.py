"""How long edits took from being written to being carried, by the kind of event: `concept created`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.model import Change, stamp_time

DONE = {"create": "created", "update": "updated", "delete": "deleted"}


@dataclass(slots=True)
class Taken:
    """So many events, and the seconds they took together."""

    count: int = 0
    seconds: float = 0.0

    def add(self, other: Taken) -> None:
        """Add others to these."""
        self.count += other.count
        self.seconds += other.seconds

    def as_json(self) -> dict[str, Any]:
        """Return the figures, with the mean."""
        mean = round(self.seconds / self.count, 3) if self.count else None
        return {"count": self.count, "seconds": round(self.seconds, 3), "mean_seconds": mean}


def add_all(to: dict[str, Taken], others: Mapping[str, Taken]) -> None:
    """Add the figures of each kind."""
    for kind, each in others.items():
        to.setdefault(kind, Taken()).add(each)


def taken_from(kept: Mapping[str, Any]) -> dict[str, Taken]:
    """Return what `as_json` told of each kind."""
    return {kind: Taken(each["count"], each["seconds"]) for kind, each in kept.items()}


def times_of(edits: Iterable[Change], now: datetime) -> dict[str, Taken]:
    """Return how long these edits took. One from the future, by another clock, took no time."""
    times: dict[str, Taken] = {}
    for edit in edits:
        seconds = max(0.0, (now - stamp_time(edit.latest)).total_seconds())
        times.setdefault(f"{edit.record.entity} {DONE[edit.action]}", Taken()).add(Taken(1, seconds))
    return times
