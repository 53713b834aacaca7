"""What a run did, in figures: per direction every change ends as exactly one of the outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, TypeAlias

from shared.model import Action, Billed, Change, Outcome, instant
from shared.prices import Prices

Limit: TypeAlias = Literal["time", "changes", "budget"]
"""What ends a run before all is done."""


@dataclass(slots=True)
class Tally:
    """One direction's changes by what became of them, and what was met on the way."""

    read: int = 0
    applied: int = 0
    unchanged: int = 0
    superseded: int = 0
    held: int = 0
    dead_letters: int = 0
    waiting: int = 0
    conflicts: int = 0

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], conflicts: int) -> Tally:
        """Return the tally of changes that ended so."""
        counted = Counter(outcomes)
        return cls(
            read=len(outcomes),
            applied=counted[Outcome.APPLIED],
            unchanged=counted[Outcome.UNCHANGED],
            superseded=counted[Outcome.STALE],
            held=counted[Outcome.HELD],
            dead_letters=counted[Outcome.INVALID],
            waiting=counted[Outcome.RETRY],
            conflicts=conflicts,
        )

    @property
    def even(self) -> bool:
        """Whether every change that was read is accounted for."""
        return self.read == self.applied + self.unchanged + self.superseded + self.held + self.dead_letters + self.waiting

    def add(self, other: Tally) -> None:
        """Add the figures of another tally to these."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(frozen=True, slots=True)
class Brake:
    """Deletes of one entity that were held. Naming `plan` in a request lets exactly these pass."""

    direction: str
    entity: str
    deletes: int
    allowed: int
    plan: str


@dataclass(slots=True)
class Comparison:
    """What a reconcile found in one entity, in records. `mode` is how they were compared, `note` why not as asked.

    Each that was compared is equal or different; each that was different is, at the end, one of the six below it. What
    was `edited` meanwhile is on its way in a queue; `held` are deletes that the brake holds. `put_back` are those of the
    repaired that one side had lost.
    """

    mode: str = "full"
    compared: int = 0
    equal: int = 0
    different: int = 0
    repaired: int = 0
    waiting: int = 0
    dead_letters: int = 0
    in_conflict: int = 0
    held: int = 0
    edited: int = 0
    put_back: int = 0
    fields: dict[str, int] = field(default_factory=dict)
    """How often each field differed, by its name."""
    note: str | None = None


def comparison_of(figures: Mapping[str, Any]) -> Comparison:
    """Return what a run's record or checkpoint says, perhaps of another release: figures unknown to this one are left out."""
    known = {each.name for each in fields(Comparison)}
    return Comparison(**{name: value for name, value in figures.items() if name in known})


def plural(word: str) -> str:
    """Return what several of an entity are called: class, classes; member, members; category, categories."""
    if word.endswith("y") and word[-2:-1] not in set("aeiou"):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "x", "ch", "sh")) else f"{word}s"


@dataclass(slots=True)
class Failure:
    """Why a run of a pair stopped. `retry`: whether trying again may help without anybody mending something."""

    where: str
    message: str
    retry: bool


@dataclass(slots=True)
class Report:
    """A run of one pair. `directions` maps names like `django_to_firestore` to their tallies.

    `forecast` and `plan` are those of a dry run: what the run would be billed, and what it would do, row by row.
    """

    pair: str
    run_id: str
    started_at: datetime
    by: str = ""
    """Who asked for the run."""
    directions: dict[str, Tally] = field(default_factory=dict)
    reconciled: dict[str, Comparison] = field(default_factory=dict)
    resumed_from: str | None = None
    """The run whose full reconcile this one went on with; its figures are in `reconciled`."""
    conflicts: set[str] = field(default_factory=set)
    """Ids; a conflict that both directions meet is one."""
    brakes: list[Brake] = field(default_factory=list)
    billed: Billed = field(default_factory=Billed)
    prices: Prices = field(default_factory=Prices)
    failure: Failure | None = None
    stopped_by: Limit | None = None
    counts: Counter[str] = field(default_factory=Counter)
    """How many records of each kind were created, updated and deleted at the side that they were carried to, by names such as
    `classesCreated`; what a run past one instance carries in shards is not in it."""
    tenants: dict[str, Failure] = field(default_factory=dict)
    """Why a tenant could not be asked what is new; everybody else was."""
    quota_errors: Mapping[str, int] = field(default_factory=dict)
    """How often each peer said that a quota is used up."""
    breakers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What is kept of each peer's breaker, by the peer's name."""
    completed_at: datetime | None = None
    handed_out: Mapping[str, Any] | None = None
    """Into how many shards, and of which entities, where other instances carry the run on."""
    forecast: Billed | None = None
    plan: Sequence[Mapping[str, Any]] = ()
    plan_more: int = 0
    """Rows of the plan that are not shown."""

    def count(self, change: Change) -> None:
        """Count a change that was applied."""
        done = {Action.CREATE: "Created", Action.UPDATE: "Updated", Action.DELETE: "Deleted"}[change.action]
        self.counts[plural(change.record.entity) + done] += 1

    @property
    def got_somewhere(self) -> bool:
        """Whether the run has read a change or compared a record."""
        return self.moved > 0 or any(figures.compared for figures in self.reconciled.values())

    @property
    def left_over(self) -> bool:
        """Whether the run ended before it had seen the end of all that it was to do; the next one goes on."""
        return self.stopped_by is not None

    @property
    def moved(self) -> int:
        """How many changes were read in both directions."""
        return sum(tally.read for tally in self.directions.values())

    def as_json(self) -> dict[str, Any]:
        """Return the report as the functions answer it."""
        tallies = list(self.directions.values())
        body: dict[str, Any] = {
            "directions": {name: asdict(tally) for name, tally in self.directions.items()},
            "conflicts": len(self.conflicts),
            "dead_letters": sum(tally.dead_letters for tally in tallies),
            "brakes": [asdict(each) for each in self.brakes],
            "left_over": self.left_over,
            "stopped_by": self.stopped_by,
            "billed": asdict(self.billed),
            "cost": self.prices.cost(self.billed),
            "quota_errors": dict(self.quota_errors),
            "started_at": instant(self.started_at),
            "completed_at": instant(self.completed_at) if self.completed_at else None,
        }
        if self.forecast:
            forecast = {"forecast": asdict(self.forecast), "forecast_cost": self.prices.cost(self.forecast)}
            body |= {"dry_run": True, **forecast, "plan": list(self.plan), "plan_more": self.plan_more}
        if self.reconciled:
            body["reconciled"] = {name: asdict(each) for name, each in self.reconciled.items()}
        if self.counts:
            body["counts"] = dict(self.counts)
        if self.tenants:
            body["tenants"] = {name: asdict(each) for name, each in self.tenants.items()}
        if self.handed_out:
            body["handed_out"] = dict(self.handed_out)
        if self.resumed_from:
            body["resumed_from"] = self.resumed_from
        return body
