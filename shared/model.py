"""The values that pass between the rooms; all frozen.

record    one thing kept in step, named by entity, tenant and key
stamp     when and where a value was written; as strings they sort in the order of writing
version   what a peer holds of a record: a value and a stamp per field, and the stamp of its delete
change    a partial version on its way, with the base (the stamp that its author had seen) of every field
conflict  two writes of one field by authors who knew nothing of each other's value
result    what became of a change at the peer that it was applied to
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, Literal, NewType, TypeAlias

Json: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, list or dict of them. Dates, datetimes and decimals are text."""

Stamp = NewType("Stamp", str)
"""`2026-11-22T03:10:56.123456Z|django`: UTC, always six decimals, then the peer where the value was written."""

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\|[a-z0-9_-]{1,32}", re.ASCII)
TICK = timedelta(microseconds=1)


def instant(when: datetime) -> str:
    """Return `when` as `YYYY-MM-DDTHH:MM:SS.ffffffZ`. A naive datetime is a ValueError."""
    if when.tzinfo is None:
        raise ValueError("a time without a zone cannot be ordered; give it one")
    return when.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def parse_instant(text: str) -> datetime:
    """Return the aware UTC datetime of an ISO 8601 text with a zone; ValueError otherwise."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("no zone")
    return when.astimezone(UTC)


def stamp_at(when: datetime, origin: str) -> Stamp:
    """Return the stamp of a write at `when` at the peer `origin`."""
    return Stamp(f"{instant(when)}|{origin}")


def parse_stamp(text: object) -> Stamp:
    """Return `text` as a stamp; ValueError if it is none, or no real date."""
    if not isinstance(text, str):
        raise ValueError("not a stamp (YYYY-MM-DDTHH:MM:SS.ffffffZ|origin)")
    return _parsed(text)


@lru_cache(10_000)  # one stamp comes many times: it is that of every field of an edit, at both sides, base and value
def _parsed(text: str) -> Stamp:
    if not STAMP.fullmatch(text):
        raise ValueError("not a stamp (YYYY-MM-DDTHH:MM:SS.ffffffZ|origin)")
    stamp_time(Stamp(text))
    return Stamp(text)


def stamp_time(stamp: Stamp) -> datetime:
    """Return the time of a stamp, aware, UTC."""
    return datetime.fromisoformat(stamp.partition("|")[0])


def stamp_after(when: datetime, origin: str, seen: Sequence[Stamp]) -> Stamp:
    """Return the stamp of an edit made at `when` on top of the stamps `seen`: later than all of them, whatever clocks say."""
    latest = max(seen, default=None)
    return stamp_at(when if latest is None else max(when, stamp_time(latest) + TICK), origin)


@dataclass(frozen=True, slots=True, order=True)
class RecordId:
    """Which record. `tenant` is None where an entity has none; records of two tenants never meet."""

    entity: str
    key: str
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """What a field holds, and since when."""

    value: Json
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Version:
    """What a peer holds of one record; while `deleted` is set the record is gone and its fields are hidden."""

    fields: Mapping[str, Value] = field(default_factory=dict)
    deleted: Stamp | None = None

    @property
    def known(self) -> bool:
        """Whether the peer has ever heard of the record."""
        return bool(self.fields) or self.deleted is not None


class Action(StrEnum):
    """What a change does, for people and for completeness; the rule itself looks only at fields and stamps."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Change:
    """A partial version on its way. `edits` are the queue's changes that it was collapsed from."""

    id: str
    record: RecordId
    action: Action
    fields: Mapping[str, Value] = field(default_factory=dict)
    base: Mapping[str, Stamp | None] = field(default_factory=dict)
    deleted: Stamp | None = None
    deleted_base: Mapping[str, Stamp] = field(default_factory=dict)
    edits: tuple[Change, ...] = ()
    correlation_id: str = ""
    """By which its author can follow it through systems; it is logged."""

    @property
    def stamps(self) -> list[Stamp]:
        """Every stamp that the change carries."""
        own = [value.stamp for value in self.fields.values()]
        return own if self.deleted is None else [*own, self.deleted]

    @property
    def latest(self) -> Stamp:
        """The largest stamp carried; what is written as the change's own stamp."""
        return max(self.stamps)

    @property
    def deletes(self) -> bool:
        """Whether the delete in it stands, that is, outlives the fields that travel with it."""
        return self.deleted is not None and all(self.deleted > value.stamp for value in self.fields.values())


class Policy(StrEnum):
    """What becomes of two writes of one field that had not seen each other; `left` and `right` are the pair's peers."""

    LAST_WRITE_WINS = "last_write_wins"
    LEFT_WINS = "left_wins"
    RIGHT_WINS = "right_wins"
    MERGE = "merge"
    MANUAL = "manual"


class Outcome(StrEnum):
    """What became of a change; the words of the REST contract."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    STALE = "stale"
    HELD = "held"
    INVALID = "invalid"
    RETRY = "retry"


Side: TypeAlias = Value | Stamp
"""One side of a conflict: a written value, or the bare stamp of a delete."""


def side_stamp(side: Side) -> Stamp:
    """Return the stamp of a conflict's side."""
    return side.stamp if isinstance(side, Value) else side


Winner: TypeAlias = Literal["local", "incoming", "both", "none"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that two authors wrote, each without knowing of the other. `local` is the side that was applied to.

    The winner is `both` where the values were merged, `none` while nobody has decided. `rule` says what decided, and
    `resolution` is the stamp of the newer write that did it, if it took one.
    """

    id: str
    record: RecordId
    field: str
    winner: Winner
    local: Side
    incoming: Side
    base: Stamp | None = None
    rule: str = Policy.LAST_WRITE_WINS
    resolution: Stamp | None = None

    @property
    def open(self) -> bool:
        """Whether it waits for somebody's decision."""
        return self.winner == "none"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a change was refused or must wait. `fields` maps a field's name to the rule it breaks; no values in either.

    `record` is the record meant, where it is known though there is no change to read it from.
    """

    code: str
    message: str
    fields: Mapping[str, str] = field(default_factory=dict)
    record: RecordId | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one change. `applied` names the fields taken; `stamps` are those of its fields afterwards; `disputed`
    names those that lie in an open conflict."""

    id: str
    outcome: Outcome
    applied: tuple[str, ...] = ()
    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    deleted: Stamp | None = None
    conflicts: tuple[Conflict, ...] = ()
    problem: Problem | None = None
    disputed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A whole record as a peer holds it, adopted through and through."""

    id: RecordId
    version: Version


@dataclass(frozen=True, slots=True)
class Scope:
    """Which part of a pair: entities in the order in which they are carried, one tenant or all, records a page, and of a
    queue only the shard (i, n): the records whose slot modulo n is i."""

    pair: str
    entities: tuple[str, ...]
    tenant: str | None = None
    page_size: int = 500
    shard: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a queue. `malformed` maps the ids of entries that are no changes to what is wrong with them."""

    changes: Sequence[Change] = ()
    malformed: Mapping[str, Problem] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.changes) + len(self.malformed)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What became of queue entries, by id. `superseded` maps those of which nothing was taken to the stamp that overtook
    them, `failed` maps ids to reasons, `held` are those whose values lie in an open conflict."""

    synced: tuple[str, ...] = ()
    superseded: Mapping[str, Stamp] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many changes wait in a queue, and since when the oldest does."""

    pending: int
    oldest_pending_at: datetime

    @classmethod
    def by_tenant(cls, seen: Iterable[tuple[str | None, datetime]]) -> dict[str, Waiting]:
        """Return what waits for each tenant, given whose each change is and since when it waits."""
        found: dict[str, Waiting] = {}
        for tenant, since in seen:
            if tenant:
                known = found.get(tenant, Waiting(0, since))
                found[tenant] = Waiting(known.pending + 1, min(known.oldest_pending_at, since))
        return found


@dataclass(frozen=True, slots=True)
class Status:
    """A queue's figures. `now` is the peer's own clock, `tenants` are those for whom something was seen to wait."""

    pending: int
    oldest_pending_at: datetime | None
    now: datetime
    failed: int = 0
    tenants: Mapping[str, Waiting] = field(default_factory=dict)


@dataclass(slots=True)
class Billed:
    """Operations that Firestore bills, counted as they are made."""

    reads: int = 0
    writes: int = 0
    deletes: int = 0

    @property
    def total(self) -> int:
        """All of them together."""
        return self.reads + self.writes + self.deletes

    def since(self, earlier: Billed) -> Billed:
        """Return what was billed after `earlier` was copied."""
        return Billed(self.reads - earlier.reads, self.writes - earlier.writes, self.deletes - earlier.deletes)

    def plus(self, other: Billed) -> Billed:
        """Return both together."""
        return Billed(self.reads + other.reads, self.writes + other.writes, self.deletes + other.deletes)

    def copy(self) -> Billed:
        """Return the figures of this moment."""
        return Billed(self.reads, self.writes, self.deletes)
