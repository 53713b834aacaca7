"""A run that is handed out: what its shards must know, and what they have done so far, as its record keeps it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, get_args

from shared.model import Billed
from shared.report import Brake, Limit, Report, Tally
from shared.tasks import Task

HANDED_OUT = "handed_out"
"""The status of such a run until its last shard is done."""
COUNTS = (4, 8, 16, 32, 64)
"""How many shards there can be: divisors of the 64 slots, of which one has 16 at most, since Firestore takes 30 values in one
query. How many work at a time is a setting of the task queue."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one shard has done of one entity, all its attempts together."""

    done: bool = False
    directions: Mapping[str, Tally] = field(default_factory=dict)
    conflicts: int = 0
    billed: Billed = field(default_factory=Billed)
    stopped_by: Limit | None = None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Part:
        """Return the part as it was kept."""
        directions = {name: Tally(**figures) for name, figures in fields["directions"].items()}
        stopped_by = next((each for each in get_args(Limit) if each == fields["stopped_by"]), None)
        return cls(fields["done"], directions, fields["conflicts"], Billed(**fields["billed"]), stopped_by)

    @property
    def read(self) -> int:
        """How many changes were read."""
        return sum(tally.read for tally in self.directions.values())

    def plus(self, other: Part) -> Part:
        """Return both together; `other` is the later."""
        directions = {name: replace(tally) for name, tally in self.directions.items()}
        for name, tally in other.directions.items():
            directions.setdefault(name, Tally()).add(tally)
        conflicts, billed = self.conflicts + other.conflicts, self.billed.plus(other.billed)
        return Part(other.done, directions, conflicts, billed, other.stopped_by)


def part_of(report: Report) -> Part:
    """Return what a shard's attempt did. One whose time was over is not done: called again, it goes on."""
    done = report.failure is None and report.stopped_by != "time"
    return Part(done, report.directions, len(report.conflicts), report.billed, report.stopped_by)


@dataclass(frozen=True, slots=True)
class HandOut:
    """A run whose entities are carried one after the other, each by all shards at once: `wave` says which is under way.

    `held` are the (direction, entity) whose deletes the brake holds; of the others those pass that were made `until` the
    hand-out, by the clock of the side where they wait. `max_changes` and `max_billed` are the whole run's.
    """

    pair: str
    run_id: str
    started_at: datetime
    shards: int
    entities: tuple[str, ...]
    until: Mapping[str, datetime]
    brakes: tuple[Brake, ...] = ()
    billed: Billed = field(default_factory=Billed)
    direction: str | None = None
    tenant: str | None = None
    whole: bool = True
    max_changes: int | None = None
    max_billed: int | None = None
    wave: int = 0
    parts: Mapping[str, Part] = field(default_factory=dict)

    @property
    def held(self) -> frozenset[tuple[str, str]]:
        """The ways whose deletes wait for somebody."""
        return frozenset((each.direction, each.entity) for each in self.brakes)

    @property
    def wave_is_over(self) -> bool:
        """Whether every shard is done with the entity that is under way."""
        return all(self.part(self.entities[self.wave], number).done for number in range(self.shards))

    @property
    def is_last_wave(self) -> bool:
        """Whether no entity is left after the one that is under way."""
        return self.wave + 1 == len(self.entities)

    @property
    def wave_has_begun(self) -> bool:
        """Whether any shard has tried the entity that is under way to its end."""
        return any(part_field(self.entities[self.wave], number) in self.parts for number in range(self.shards))

    def part(self, entity: str, number: int) -> Part:
        """Return what a shard has done of an entity."""
        return self.parts.get(part_field(entity, number), Part())

    def limits(self, number: int) -> tuple[int | None, int | None]:
        """Return how many changes a shard may still read of the entity under way, and for how many operations: an equal share of
        what the entities before it have left, less what it took already. None where there is no limit."""
        before = [self.part(entity, each) for entity in self.entities[: self.wave] for each in range(self.shards)]
        own = self.part(self.entities[self.wave], number)
        read, spent = sum(part.read for part in before), sum(part.billed.total for part in before)
        return (
            _share(self.max_changes, read, self.shards, own.read),
            _share(self.max_billed, self.billed.total + spent, self.shards, own.billed.total),
        )

    def tasks(self) -> Iterator[Task]:
        """Yield a task for each shard of the entity that is under way; always the same ones, so that repeats make no others."""
        entity = self.entities[self.wave]
        for number in range(self.shards):
            body = {"pair": self.pair, "run": self.run_id, "entity": entity, "shard": number, "of": self.shards}
            name = f"{self.pair}-{self.run_id}-{self.started_at:%H%M%S%f}-{entity}-{number}-of-{self.shards}"
            yield Task(name, "sync_shard", body)

    def body(self) -> dict[str, Any]:
        """Return the plan as the run's record keeps it."""
        plan = {"shards": self.shards, "entities": list(self.entities), "until": dict(self.until), "wave": self.wave}
        plan |= {"brakes": [asdict(each) for each in self.brakes], "billed": asdict(self.billed)}
        asked = {"direction": self.direction, "tenant": self.tenant, "whole": self.whole}
        return plan | asked | {"max_changes": self.max_changes, "max_billed": self.max_billed}

    def total(self) -> dict[str, Any]:
        """Return what the whole run did, as a run's report says it."""
        whole = Part(billed=self.billed)
        for part in self.parts.values():
            whole = replace(whole.plus(part), stopped_by=whole.stopped_by or part.stopped_by)
        report = Report(self.pair, self.run_id, self.started_at, directions=dict(whole.directions), brakes=list(self.brakes))
        report.billed, report.stopped_by = whole.billed, whole.stopped_by
        return report.as_json() | {"conflicts": whole.conflicts, "handed_out": self.summary()}

    def summary(self) -> dict[str, Any]:
        """Return what a caller is told of the plan."""
        return {"shards": self.shards, "entities": list(self.entities)}


def _share(limit: int | None, taken: int, shards: int, own: int) -> int | None:
    return None if limit is None else max(0, -(-(limit - taken) // shards) - own)


def part_field(entity: str, number: int) -> str:
    """Return under which field of the record a shard keeps its part. It is the only one to write that, so shards never wait
    for each other."""
    return f"part_{entity}_{number}"


def hand_out_of(record: Mapping[str, Any]) -> HandOut | None:
    """Return the plan that a run's record holds; None if the run is not handed out, or over."""
    if record.get("status") != HANDED_OUT:
        return None
    plan = record[HANDED_OUT]
    asked = {
        name: plan[name] for name in ("direction", "tenant", "whole", "max_changes", "max_billed", "wave", "until", "shards")
    }
    parts = {name: Part.of(fields) for name, fields in record.items() if name.startswith("part_")}
    return HandOut(
        record["pair"],
        record["run_id"],
        record["started_at"],
        entities=tuple(plan["entities"]),
        brakes=_brakes(plan["brakes"]),
        billed=Billed(**plan["billed"]),
        parts=parts,
        **asked,
    )


def _brakes(rows: Sequence[Mapping[str, Any]]) -> tuple[Brake, ...]:
    return tuple(Brake(**row) for row in rows)
