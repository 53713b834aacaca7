"""People at both sides: what they do, and what they had before them when they did it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.index import Held
from shared.mapping import Entity
from shared.model import RecordId
from simulation.backend import NAMES, Place
from simulation.entities import ENTITIES

if TYPE_CHECKING:
    from simulation.stage import Stage


def place(record: RecordId) -> Place:
    """Return where the backend keeps a record."""
    return record.entity, record.tenant or "", record.key


class Backoffice:
    """People who work with the backend."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def values(self, record: RecordId) -> dict[str, Any] | None:
        """Return a record's values, nulls left out; None where there is none."""
        row = self.stage.backend.rows.get(place(record))
        return None if row is None else {name: value for name, value in row.items() if value is not None}

    def save(self, record: RecordId, fields: Mapping[str, Any]) -> bool:
        before = self.values(record)
        if not self.stage.backend.save(place(record), fields):
            return False
        self.stage.ledger.wrote(record, before, fields, ())
        return True

    def write_raw(self, record: RecordId, fields: Mapping[str, Any]) -> None:
        self.stage.ledger.wrote(record, self.values(record), fields, self._unseen(record))
        self.stage.backend.write_raw(place(record), fields)

    def delete(self, record: RecordId) -> bool:
        before = self.values(record)
        if not self.stage.backend.delete(place(record)):
            return False
        self.stage.ledger.deleted(record, before, ())
        return True

    def vanish(self, record: RecordId) -> None:
        """Delete a record past the queue."""
        self.stage.ledger.deleted(record, self.values(record), self._unseen(record))
        self.stage.backend.vanish(place(record))

    def restamp(self, record: RecordId, name: str) -> bool:
        """Write a field with the stamp that it has already; which of the two stays is nobody's to say."""
        done = self.stage.backend.restamp(place(record), name, self.stage.ledger.value())
        if done:
            self.stage.ledger.exempt(record, name)
        return done

    def _unseen(self, record: RecordId) -> tuple[str, ...]:
        """Any field may have been written raw before: what is not in a queue leaves no trace once it is overwritten."""
        from syncqueue.adoption import Known, unadopted

        row = self.stage.backend.rows.get(place(record))
        return tuple(unadopted(self.stage.backend.known.get(place(record), Known()), row)) if row is not None else ()


class Clients:
    """People with the app: plain clients of Firestore who know nothing of stamps."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def held(self, record: RecordId) -> Held:
        layout = self.stage.firestore.layouts[record.entity]
        whole = type(layout)(layout.pair, layout.origin, ENTITIES[record.entity])  # they see what is not synced, too
        return whole.held(record, self.stage.database.snapshot(whole.path(record)))

    def values(self, record: RecordId) -> dict[str, Any] | None:
        """Return a document's values as they travel, nulls left out; None where there is no record."""
        values = self.held(record).values
        return None if values is None else dict(values)

    def exists(self, record: RecordId) -> bool:
        return self.stage.database.snapshot(ENTITIES[record.entity].path(record)).exists

    def update(self, record: RecordId, fields: Mapping[str, Any]) -> None:
        """Change some fields of a document that is there."""
        self._note(record, fields)
        self.stage.database.client_update(self._path(record), self._native(record, fields))
        self._count_if_emptied(record)

    def set(self, record: RecordId, fields: Mapping[str, Any]) -> None:
        """Write a whole document, blindly: whatever else it held is gone, `_sync` too."""
        self._note(record, dict.fromkeys(NAMES[record.entity]) | dict(fields), blind=True)
        self.stage.database.client_set(self._path(record), self._native(record, fields))
        self._count_if_emptied(record)

    def delete(self, record: RecordId) -> None:
        held = self.held(record)
        self.stage.ledger.deletes[record] += 1
        self.stage.ledger.deleted(record, held.values, held.unseen())
        self.stage.database.client_delete(self._path(record))

    def _count_if_emptied(self, record: RecordId) -> None:
        """A document with neither a value nor an index is no record any more: that was a delete."""
        self.stage.ledger.deletes[record] += self.values(record) is None

    def _note(self, record: RecordId, fields: Mapping[str, Any], blind: bool = False) -> None:
        held = self.held(record)
        self.stage.ledger.wrote(record, held.values, fields, held.unseen(), blind)

    def _path(self, record: RecordId) -> str:
        return ENTITIES[record.entity].path(record)

    def _native(self, record: RecordId, fields: Mapping[str, Any]) -> dict[str, Any]:
        entity = ENTITIES[record.entity]
        return {entity.by_name[name].at: _native(entity, name, value) for name, value in fields.items()}


def _native(entity: Entity, name: str, value: Any) -> Any:
    """Return a value as a client writes it: of its type, or, where the client is careless, as it is."""
    spec = entity.by_name[name]
    return value if isinstance(value, int) else spec.to_native(value, None)
