"""A peer in memory, for examples and tests: behaves as a backend with a REST queue does, without the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shared.canonical import BUCKETS, bucket_of, record_hash, slot_of
from shared.digests import Digest, Hashed
from shared.erasure import without_erased
from shared.errors import Transient
from shared.index import Entry, Held, adopt, index_of
from shared.model import (
    Acknowledgement,
    Action,
    Change,
    Conflict,
    Json,
    Outcome,
    Page,
    Problem,
    Record,
    RecordId,
    Result,
    Scope,
    Stamp,
    Status,
    Version,
    Waiting,
    stamp_after,
    stamp_time,
)
from shared.policy import Mode, decide

TOLERANCE = timedelta(minutes=5)


class MemoryPeer:
    """Records in memory. `names` lists the synced fields of each entity, `now` is this peer's own clock."""

    def __init__(self, name: str, names: Mapping[str, tuple[str, ...]], now: Callable[[], datetime]) -> None:
        self.name, self.names, self.now = name, names, now
        self.rows: dict[RecordId, dict[str, Json]] = {}
        self.index: dict[RecordId, dict[str, Entry]] = {}
        self.tombstones: dict[RecordId, Version] = {}
        self.queue: dict[str, Change] = {}
        self.labels: dict[str, str] = {}
        self.conflicts: dict[str, Conflict] = {}
        self.erased: dict[RecordId, Stamp] = {}
        self.unsettled: dict[RecordId, dict[str, Conflict]] = {}

    # What its own users do

    def save(self, record: RecordId, fields: Mapping[str, Json]) -> None:
        """Create the record, or edit these fields of it, and queue the edit."""
        self._adopt_drift(record)
        fields = fields if record in self.rows else dict.fromkeys(self.names[record.entity]) | dict(fields)
        self.write_raw(record, fields)
        self._adopt_drift(record)

    def delete(self, record: RecordId) -> None:
        """Delete the record and queue the delete."""
        self._adopt_drift(record)
        if record not in self.rows:
            return
        version = self._held(record).version()
        stamps = {name: value.stamp for name, value in version.fields.items()}
        stamp = stamp_after(self.now(), self.name, list(stamps.values()))
        self._hold(record, Version(version.fields, stamp))
        self._enqueue(Change(self._next_id(), record, Action.DELETE, deleted=stamp, deleted_base=stamps))

    def write_raw(self, record: RecordId, fields: Mapping[str, Json]) -> None:
        """Write past the queue, as raw SQL does."""
        self.rows.setdefault(record, {}).update(fields)

    def _adopt_drift(self, record: RecordId) -> None:
        held = self._held(record)
        if held.values is None or (held.index and not held.unseen()):
            return
        change, version = adopt(record, held, self.now(), self.name, self.names[record.entity], self._next_id())
        self._hold(record, version)
        self._enqueue(change)

    def _held(self, record: RecordId) -> Held:
        live = record in self.rows
        values = {name: value for name, value in self.rows[record].items() if value is not None} if live else None
        return Held(values, self.index.get(record, {}) if live else {}, self.tombstones.get(record, Version()))

    def _hold(self, record: RecordId, version: Version) -> None:
        if version.deleted is not None:
            self.tombstones[record] = without_erased(version, self.erased.get(record))
            self.rows.pop(record, None)
            self.index.pop(record, None)
            return
        self.tombstones.pop(record, None)
        self.rows[record] = {name: value.value for name, value in version.fields.items()}
        self.index[record] = index_of(version.fields)

    def _enqueue(self, change: Change) -> None:
        self.queue[change.id] = change
        self.labels[change.id] = "pending"

    def _next_id(self) -> str:
        return f"{self.name}-{len(self.queue) + 1:06d}"

    # The peer

    def changes(self, scope: Scope) -> Iterator[Page]:
        """Yield what is pending, in the order in which it was queued."""
        queued = (each for each in self.queue.values() if self.labels[each.id] == "pending")
        number, count = scope.shard or (0, 1)
        wanted = [each for each in queued if self._within(each.record, scope) and slot_of(each.record, count) == number]
        for start in range(0, max(len(wanted), 1), scope.page_size):
            yield Page([each for each in wanted[start : start + scope.page_size] if self.labels[each.id] == "pending"])

    def _within(self, record: RecordId, scope: Scope) -> bool:
        return record.entity in scope.entities and scope.tenant in {None, record.tenant}

    def apply(self, changes: Sequence[Change], run_id: str, mode: Mode = Mode.LWW) -> list[Result]:
        """Apply each change by the one rule."""
        return [self._apply(change, mode) for change in changes]

    def _apply(self, change: Change, mode: Mode) -> Result:
        if stamp_time(change.latest) - self.now() > TOLERANCE:
            return Result(change.id, Outcome.RETRY, problem=Problem("future", "stamped more than 5 minutes ahead of this clock"))
        record = change.record
        self._adopt_drift(record)
        before = self._held(record).version()
        decision = decide(before, change, mode)
        names = self.names[record.entity]
        whole = change.action is Action.CREATE or all(name in decision.version.fields for name in names)
        if record not in self.rows and decision.version.deleted is None and not whole:
            return Result(change.id, Outcome.RETRY, problem=Problem("incomplete", "the record is not known here"))
        reported = self.unsettled.setdefault(record, {})
        for conflict in decision.conflicts:
            self.conflicts.setdefault(conflict.id, conflict)
            reported[conflict.id] = conflict
        if decision.version is not before:
            self._hold(record, decision.version)
        stamps = {name: decision.version.fields[name].stamp for name in change.fields if name in decision.version.fields}
        return Result(change.id, decision.outcome, decision.applied, stamps, decision.version.deleted, tuple(reported.values()))

    @property
    def takes_turns(self) -> bool:
        """Yes: a backend may have unique values and references."""
        return True

    @property
    def foresees(self) -> bool:
        """No: only applying a change tells."""
        return False

    def refuses(self, change: Change) -> Problem | None:
        """Return None."""
        return None

    def pending(self, scope: Scope) -> int:
        """Return how many changes wait in the queue."""
        return sum(len(page) for page in self.changes(scope))

    def pending_deletes(self, scope: Scope) -> int:
        """Return how many deletes wait."""
        return sum(change.deletes for page in self.changes(scope) for change in page.changes)

    def count(self, scope: Scope) -> int:
        """Return how many live records there are."""
        return sum(id.entity in scope.entities and self._within(id, scope) for id in self.rows)

    def acknowledge(self, run_id: str, done: Acknowledgement) -> None:
        """Label queue entries."""
        labels = (
            dict.fromkeys(done.synced, "synced")
            | dict.fromkeys(done.superseded, "superseded")
            | dict.fromkeys(done.failed, "failed")
            | dict.fromkeys(done.held, "held")
        )
        self.labels |= {id: label for id, label in labels.items() if id in self.queue}

    def settle(self, run_id: str, conflicts: Sequence[str]) -> None:
        """Stop repeating these conflicts."""
        for reported in self.unsettled.values():
            for id in conflicts:
                reported.pop(id, None)

    def erase(self, record: RecordId) -> dict[str, int]:
        """Drop what is kept of a deleted record; its changes stay in the queue as empty ones that nobody is shown."""
        grave = self.tombstones.get(record)
        if grave is None or grave.deleted is None:
            raise Transient(f"{self.name}: the record is not deleted")
        self.erased[record] = grave.deleted
        self._hold(record, grave)
        entries = [each for each in self.queue.values() if each.record == record and (each.fields or each.deleted_base)]
        self.queue |= {each.id: replace(each, fields={}, base={}, deleted_base={}) for each in entries}
        self.labels |= dict.fromkeys([each.id for each in entries], "superseded")
        conflicts = [id for id, each in self.conflicts.items() if each.record == record]
        for id in conflicts:
            self.conflicts.pop(id)
        self.unsettled.pop(record, None)
        return {"hidden values": len(grave.fields), "queue entries": len(entries), "conflicts": len(conflicts)}

    def read(self, ids: Sequence[RecordId], adopting: bool = True) -> list[Record]:
        """Return the records, adopted."""
        for id in ids:
            self._adopt_drift(id)
        held = {id: self._held(id).version() for id in ids}
        return [Record(id, version) for id, version in held.items() if version.known or id in self.rows]

    def records(self, scope: Scope, entity: str, after: str | None = None) -> Iterator[list[Record]]:
        """Yield the live records, adopted, in the order of their keys; those that come in meanwhile too, as a cursor would."""
        last: tuple[str, str] | None = None
        while ids := self._next(scope, entity, last):
            yield self.read(ids)
            last = _place(ids[-1])

    def _next(self, scope: Scope, entity: str, after: tuple[str, str] | None) -> list[RecordId]:
        return sorted((id for id in self._ids(scope, entity) if after is None or _place(id) > after), key=_place)[
            : scope.page_size
        ]

    def _ids(self, scope: Scope, entity: str) -> list[RecordId]:
        return [id for id in self.rows if id.entity == entity and self._within(id, scope)]

    def digests(self, scope: Scope, entity: str) -> list[Digest] | None:
        """Return the digest of each bucket, of the records as they lie here."""
        hashes: dict[int, list[int]] = {}
        for id in self._ids(scope, entity):
            hashes.setdefault(bucket_of(id), []).append(record_hash(id, self.rows[id]))
        return [Digest(len(each), sum(each)) for each in (hashes.get(bucket, []) for bucket in range(BUCKETS))]

    def hashes(self, scope: Scope, entity: str, buckets: Mapping[int, Digest]) -> Iterator[tuple[set[int], list[Hashed]]]:
        """Yield the records of these buckets, all at once."""
        ids = [id for id in self._ids(scope, entity) if bucket_of(id) in buckets]
        yield set(buckets), [Hashed(id, record_hash(id, self.rows[id])) for id in ids]

    def status(self, scope: Scope) -> Status:
        """Return the queue's figures."""
        pending = [change for change in self.queue.values() if self.labels[change.id] == "pending"]
        oldest = min((stamp_time(change.latest) for change in pending), default=None)
        tenants = Waiting.by_tenant((change.record.tenant, stamp_time(change.latest)) for change in pending)
        return Status(len(pending), oldest, self.now(), list(self.labels.values()).count("failed"), tenants)

    # For comparing

    def version(self, record: RecordId) -> Version:
        """Return what is held of a record, as it lies."""
        return self._held(record).version()

    def values(self, record: RecordId) -> Mapping[str, Json] | None:
        """Return a record's live values, nulls left out; None if it is not there."""
        return self._held(record).values


def _place(id: RecordId) -> tuple[str, str]:
    return id.key, id.tenant or ""
