"""The records that a request speaks of: locked, read, and free of drift."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, connections, transaction

from .index import adopt_drift, drifted, known_of, lock_index, read_index
from .index_table import IndexRow
from .registry import Entity, SyncedField
from .rows import Place, Row, rows_by_place
from .versions import Change, Held

LOCK_SECONDS = 3


@dataclass
class State:
    """One record while a request is applied: the locked index row, the row, what is held, the values as read, and the
    changes that were put on top."""

    entity: Entity
    place: Place
    index: IndexRow
    row: Row | None
    held: Held
    read: Mapping[str, Any] | None = None
    taken: tuple[Change, ...] = ()

    def column_value(self, field: SyncedField, value: Any) -> Any:
        """Return what the column is to hold for one of the values held; those of changes were worked out when judged."""
        for change in self.taken:
            if change.fields.get(field.name) is value:
                return change.columns[field.name]
        return field.kind.write(value)

    @property
    def leaving(self) -> bool:
        """Whether a tombstone stands over a row that is still there."""
        return self.held.deleted is not None and self.row is not None


def load(entity: Entity, using: str, places: Collection[Place]) -> dict[Place, State]:
    """Return the state of every place that could be locked; one that is missing is busy."""
    locked = _lock(entity, using, places)
    rows = rows_by_place(entity, using, list(locked), lock=True)
    odd = [row for place, row in rows.items() if drifted(known_of(locked[place]), row)]
    if adopt_drift(entity, using, odd):
        locked |= read_index(entity.name, using, [row.place for row in odd])
    return {place: _state(entity, place, row, rows.get(place)) for place, row in locked.items()}


def _state(entity: Entity, place: Place, index: IndexRow, row: Row | None) -> State:
    return State(entity, place, index, row, held_of(index, row), row.values if row is not None else None)


def held_of(index: IndexRow, row: Row | None) -> Held:
    """Return what is held of a record: live, a tombstone, gone by raw SQL (values None), or nothing at all."""
    if index.deleted:
        return Held(index.stamps, index.values, index.deleted)
    if row is not None:
        return Held(index.stamps, row.values)
    return Held(index.stamps, None) if index.stamps else Held()


def _lock(entity: Entity, using: str, places: Collection[Place]) -> dict[Place, IndexRow]:
    if connections[using].vendor != "postgresql":
        return lock_index(entity.name, using, places)
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_SECONDS}s"])
    try:
        with transaction.atomic(using=using):
            return lock_index(entity.name, using, places)
    except OperationalError:
        return lock_index(entity.name, using, places, skip_locked=True)
