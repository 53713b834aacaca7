"""The values that merging speaks of: what is held, what comes in, what was decided. Frozen; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

INVALID = frozenset({"malformed", "required", "type", "unique", "not-representable", "too-large", "forbidden"})
RETRY = frozenset({"incomplete", "reference", "busy", "future"})


class Refused(Exception):
    """A change that is not taken: `code` of the contract, a message and messages per field, all without values."""

    def __init__(self, code: str, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.fields = code, message, dict(fields or {})

    @property
    def outcome(self) -> str:
        return "retry" if self.code in RETRY else "invalid"


@dataclass(frozen=True)
class Held:
    """What this side holds of one record.

    `values` None means that they are gone (erased, or removed by raw SQL) while `stamps` may still be kept.
    `deleted` is set only while the tombstone stands: a beaten one is forgotten.
    """

    stamps: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] | None = field(default_factory=dict)
    deleted: str | None = None

    @property
    def live(self) -> bool:
        return self.deleted is None and self.values is not None and bool(self.stamps)


@dataclass(frozen=True)
class Change:
    """One change of a request, its shape already checked."""

    id: str
    entity: str
    tenant: str
    key: str
    action: str
    fields: Mapping[str, Any]
    stamp: str
    stamps: Mapping[str, str]
    deleted: str | None
    base: Mapping[str, str | None]
    deleted_base: Mapping[str, str]
    columns: dict[str, Any] = field(default_factory=dict, compare=False)  # its values as their columns take them, once judged

    @cached_property
    def record(self) -> tuple[str, str, str]:
        return self.entity, self.tenant, self.key

    @cached_property
    def field_stamps(self) -> dict[str, str]:
        """The stamp of every field that was sent."""
        return dict.fromkeys(self.fields, self.stamp) | {name: at for name, at in self.stamps.items() if name in self.fields}

    def stamp_of(self, name: str) -> str:
        """Return the stamp of one field that was sent."""
        return self.stamps.get(name, self.stamp)

    @property
    def deletes(self) -> bool:
        """Whether the delete in it stands, that is, outlives the fields that travel with it."""
        return self.deleted is not None and all(self.deleted > self.stamp_of(name) for name in self.fields)

    @property
    def latest(self) -> str:
        """Return the largest stamp that `future` is judged by."""
        return max([self.stamp, self.deleted or "", *(stamp for name, stamp in self.stamps.items() if name in self.fields)])


@dataclass(frozen=True)
class Version:
    """One side of a conflict. A delete has no value."""

    stamp: str
    value: Any = None
    has_value: bool = True

    def wire(self) -> dict[str, Any]:
        return {"value": self.value, "stamp": self.stamp} if self.has_value else {"stamp": self.stamp}


@dataclass(frozen=True)
class Conflict:
    """Two writes of one field, neither of which had seen the other. `winner`: local, incoming or none (held)."""

    field: str
    winner: str
    local: Version
    incoming: Version


@dataclass(frozen=True)
class Decision:
    """What becomes of one change: the outcome, what is held afterwards, the fields taken, the conflicts found."""

    outcome: str
    held: Held
    applied: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
