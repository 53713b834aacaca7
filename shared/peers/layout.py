"""How a record, its index, its tombstone and its queue entries lie in Firestore: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared import wire
from shared.canonical import bucket_of, canonical, fingerprint_of, same, slot_of
from shared.erasure import is_erased, without_erased, written_after
from shared.errors import TerminalRecord
from shared.index import NULL, Entry, Held, Index, adopt
from shared.mapping import SYNC_FIELD, Entity
from shared.model import Change, Conflict, Policy, RecordId, Stamp, Value, Version, instant, parse_stamp, side_stamp
from shared.naming import hashed_id, state_id
from shared.native import Native, loaded, size_of, stored
from shared.peers.documents import Snapshot, Write
from shared.retention import EVENTS_ARE_LATE_BY, RETENTION, TOMBSTONE_RETENTION

QUEUE, TOMBSTONES, CONFLICTS = "sync_queue", "sync_tombstones", "sync_conflicts"
CLOCK = f"{QUEUE}/clock"
"""No document: what is read to learn Firestore's time."""
LARGEST_DOCUMENT = 1_048_576
NOTHING, NOT_HELD = Version(), Held()
ROOM_FOR_VALUES = 1_000_000
"""In a document of the sync's own, beside its names and stamps."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the records of one entity of one pair lie. `origin` is the peer's name."""

    pair: str
    origin: str
    entity: Entity

    def path(self, record: RecordId) -> str:
        """Return the path of a record's document; TerminalRecord if it can have none."""
        return self.entity.path(record)

    def tombstone_path(self, record: RecordId) -> str:
        """Return the path of a record's tombstone: named after a hash, so that an erased one need not say whose it is."""
        return f"{TOMBSTONES}/{state_id(record.entity, hashed_id(record.tenant, record.key))}"

    def held(self, record: RecordId, document: Snapshot, tombstone: Snapshot | None = None) -> Held:
        """Return what Firestore holds of a record."""
        values = self.entity.to_wire(document.fields, record.tenant)
        live = bool(values or SYNC_FIELD in document.fields)
        return Held(values if live else None, self._index(document), self._buried(tombstone))

    def _index(self, document: Snapshot) -> Index:
        lines = _lines(document)
        entries = [(each.name, _entry(lines[each.at])) for each in self.entity.fields if each.at in lines]
        return {name: entry for name, entry in entries if entry}

    def _buried(self, tombstone: Snapshot | None) -> Version:
        if tombstone is None or tombstone.fields.get("deleted") is None:
            return Version()
        stamps, values = tombstone.fields["stamps"], tombstone.fields["fields"]
        synced = [name for name in stamps if name in self.entity.by_name]
        fields = {name: Value(loaded(name, values.get(name)), parse_stamp(stamps[name])) for name in synced}
        return Version(fields, parse_stamp(tombstone.fields["deleted"]))

    def adoption(
        self, record: RecordId, document: Snapshot, tombstone: Snapshot | None = None, before: Snapshot | None = None
    ) -> tuple[Change, Version, list[Write]]:
        """Return the change that the document's unseen edits make, the version held with it, and the one commit that adopts them.

        The commit proves by precondition that the document, and its tombstone where one was read, are still as given.
        `before` is the document before the edit, as far as an event carried it.
        """
        held = self.held(record, document, tombstone)
        when = _update_time(document)
        id = state_id(record.tenant, record.entity, record.key, at=instant(when))
        change, version = adopt(record, held, when, self.origin, self.entity.names, id)
        index = Write(document.path, {SYNC_FIELD: self.sync_field(record, version, document)}, (SYNC_FIELD,), document)
        writes = [index, self.entry(change, when, self._replaced(change, before))]
        return change, version, [*writes, *self._opened(tombstone, when)]

    def sync_field(self, record: RecordId, version: Version, document: Snapshot, before: Held = NOT_HELD) -> dict[str, Any]:
        """Return `_sync` for a document that holds `version`. Lines of fields that are not synced any more stay, and those of
        `before`, what the document held in line with its index, where nothing has changed."""
        lines, texts = dict(_lines(document)), dict(before.texts)
        for name, value in _changed(version, before.version()).items():
            text = texts[name] = canonical(value.value)
            lines[self.entity.by_name[name].at] = f"{value.stamp}|{fingerprint_of(text)}"
        present = {name: text for name, text in texts.items() if text != NULL}
        return {"fields": lines, "hash": self.entity.hash_of_texts(record, present, version.fields), "bucket": bucket_of(record)}

    def mended_hash(self, record: RecordId, document: Snapshot) -> Write | None:
        """Return the write that makes hash and bucket of a document in line fit what it holds; None if they do."""
        if SYNC_FIELD not in document.fields:
            return None
        noted = _map(document.fields[SYNC_FIELD])
        fitting = self.sync_field(record, self.held(record, document).version(), document)
        if all(noted.get(name) == fitting[name] for name in ("hash", "bucket")):
            return None
        return Write(document.path, {SYNC_FIELD: fitting}, (SYNC_FIELD,), document)

    def _replaced(self, change: Change, before: Snapshot | None) -> dict[str, Native]:
        """Return, of the fields whose conflicts are merged, the values that the change was made on top of, where they are
        known: those that lay there before it, if they were the ones that the index knew."""
        old = self.held(change.record, before) if before is not None else Held()
        unseen, values = set(old.unseen()), old.values or {}
        return {
            name: stored(name, values.get(name))
            for name, base in change.base.items()
            if self.entity.policy_of(name) is Policy.MERGE
            and name in old.index
            and name not in unseen
            and old.index[name].stamp == base
        }

    def entry(self, change: Change, now: datetime, replaced: Mapping[str, Native] | None = None) -> Write:
        """Return the queue entry of a change, with the values that it replaced where somebody may ask for them."""
        body = wire.change_to_json(change, stored)
        bookkeeping = {"sync_status": "pending", "pair": self.pair, "created_at": now, "shard": slot_of(change.record)}
        more = {"replaced": dict(replaced)} if replaced else {}
        return Write(f"{QUEUE}/{body.pop('id')}", body | bookkeeping | more)

    def writes(
        self, record: RecordId, document: Snapshot, tombstone: Snapshot | None, held: Held, version: Version, now: datetime
    ) -> list[Write]:
        """Return the writes that make Firestore hold `version`, each with the precondition that nothing changed meanwhile.

        `held` is what lies there. TerminalRecord if a value is none that Firestore can hold.
        """
        if version.deleted is None:
            return [self._live(record, document, held, version), *self._opened(tombstone, now)]
        removing = held.values is not None
        removed = _removed(tombstone, now) | ({instant(_update_time(document)): now} if removing else {})
        erased = erased_at(tombstone)
        if erased and not removing and without_erased(version, erased) == held.tombstone:
            return []
        grave = Write(self.tombstone_path(record), self._grave(record, version, removed, now, erased), seen=tombstone)
        return [grave, Write(document.path, None, seen=document)] if removing else [grave]

    def _opened(self, tombstone: Snapshot | None, now: datetime) -> list[Write]:
        """Return the writes that forget a beaten tombstone, save which documents the sync itself has deleted of late, and
        an erasure: its late events are still to come."""
        if tombstone is None or not tombstone.exists:
            return []
        removed = _removed(tombstone, now)
        if not removed and erased_at(tombstone) is None:
            return [Write(tombstone.path, None, seen=tombstone)]
        emptied: dict[str, Any] = {
            "deleted": None,
            "fields": {},
            "stamps": {},
            "removed": removed,
            "expire_at": now + EVENTS_ARE_LATE_BY,
        }
        return [Write(tombstone.path, emptied, tuple(emptied), tombstone)]

    def removed_by_sync(self, old: Snapshot, tombstone: Snapshot) -> bool:
        """Return whether the sync itself deleted this very state of a document: it noted the update time that it deleted."""
        return instant(_update_time(old)) in _map(tombstone.fields.get("removed"))

    def is_erased(self, old: Version, tombstone: Snapshot) -> bool:
        """Return whether all that a document held was written before its record was erased."""
        return is_erased([value.stamp for value in old.fields.values()], erased_at(tombstone))

    def created(self, record: RecordId, version: Version) -> list[Write]:
        """Return the writes that make a document where neither it nor a tombstone is."""
        nothing, grave = Snapshot(self.path(record), {}, None), self.tombstone_path(record)
        return [self._live(record, nothing, Held(), version), Write(grave, None, seen=Snapshot(grave, {}, None))]

    def _live(self, record: RecordId, document: Snapshot, held: Held, version: Version) -> Write:
        before = held if held.values is not None and not held.unseen() else NOT_HELD
        values = held.values or {}
        edited = {
            name: value.value
            for name, value in _changed(version, before.version()).items()
            if not document.exists or not same(values.get(name), value.value)
        }
        sync_field = self.sync_field(record, version, document, before)
        fields = self.entity.to_native(edited, record.tenant) | {SYNC_FIELD: sync_field}
        size = size_of(dict(document.fields) | fields)
        if size > LARGEST_DOCUMENT:
            raise TerminalRecord(
                "too-large", f"the document would have {size} bytes, and Firestore holds {LARGEST_DOCUMENT} at most"
            )
        return Write(document.path, fields, tuple(fields) if document.exists else None, document)

    def _grave(
        self, record: RecordId, version: Version, removed: Mapping[str, datetime], now: datetime, erased: Stamp | None
    ) -> dict[str, Any]:
        fields = written_after(version.fields, erased)
        known = {"tenant": record.tenant, "key": record.key} if fields or erased is None else {}
        return {
            "entity": record.entity,
            "deleted": version.deleted,
            "fields": {name: stored(name, value.value) for name, value in fields.items()},
            "stamps": {name: value.stamp for name, value in fields.items()},
            "removed": dict(removed),
            "expire_at": now + TOMBSTONE_RETENTION,
            **known,
            **({"erased": erased} if erased else {}),
        }

    def erased_grave(self, record: RecordId, tombstone: Snapshot, now: datetime) -> Write | None:
        """Return the write that leaves of a standing tombstone nothing but the delete; None if it does not stand."""
        version = self._buried(tombstone)
        if version.deleted is None:
            return None
        grave = self._grave(record, version, _removed(tombstone, now), now, version.deleted)
        return Write(tombstone.path, grave, seen=tombstone)


def erased_at(tombstone: Snapshot | None) -> Stamp | None:
    """Return the stamp of the erasure that a tombstone tells of; None if it tells of none."""
    erased = tombstone.fields.get("erased") if tombstone is not None else None
    return parse_stamp(erased) if erased is not None else None


def noted_hash(document: Snapshot) -> int:
    """Return the record's hash as the document's index has it; -1, which none is, where it has none."""
    hash = _map(document.fields.get(SYNC_FIELD)).get("hash")
    return hash if isinstance(hash, int) else -1


def conflict_document(conflict: Conflict, pair: str, run_id: str, now: datetime) -> dict[str, Any]:
    """Return a conflict as `sync_conflicts` keeps it. Two values too large for one document: the winner's is left out,
    since the record itself holds it."""
    local, incoming = (wire.side_to_json(conflict.field, side, stored) for side in (conflict.local, conflict.incoming))
    winner = local if conflict.winner == "local" else incoming
    if size_of(local) + size_of(incoming) > ROOM_FOR_VALUES and "value" in winner:
        winner.pop("value")
        winner["left_out"] = True
    return {
        "pair": pair,
        "entity": conflict.record.entity,
        "tenant": conflict.record.tenant,
        "key": conflict.record.key,
        "field": conflict.field,
        "local": local,
        "incoming": incoming,
        "base": conflict.base,
        "stamps": sorted((side_stamp(conflict.local), side_stamp(conflict.incoming))),
        "run_id": run_id,
        "created_at": now,
    } | conflict_label(conflict, now)


def conflict_label(conflict: Conflict, now: datetime) -> dict[str, Any]:
    """Return what is said of a conflict beside its two writes. An open one is kept until somebody has decided."""
    status, expiry = ("open", None) if conflict.open else ("settled", now + RETENTION)
    label = {"winner": conflict.winner, "rule": str(conflict.rule), "status": status, "expire_at": expiry}
    return label | {"resolution": conflict.resolution}


def conflict_writes(conflicts: Iterable[Conflict], pair: str, run_id: str, now: datetime) -> list[Write]:
    """Return the writes that keep conflicts under their ids. They fail, harmlessly, for those that are kept already."""
    paths = {f"{CONFLICTS}/{each.id}": conflict_document(each, pair, run_id, now) for each in conflicts}
    return [Write(path, body, seen=Snapshot(path, {}, None)) for path, body in paths.items()]


def _update_time(document: Snapshot) -> datetime:
    if document.update_time is None:
        raise TerminalRecord("malformed", "only a document that exists can be adopted")
    return document.update_time


def _removed(tombstone: Snapshot | None, now: datetime) -> dict[str, datetime]:
    """Return which states of the document the sync deleted, by their update times, and when; as long as events may come late."""
    removed = _map(tombstone.fields.get("removed")) if tombstone is not None else {}
    return {state: when for state, when in removed.items() if now - when < EVENTS_ARE_LATE_BY}


def _lines(document: Snapshot) -> Mapping[str, Any]:
    return _map(_map(document.fields.get(SYNC_FIELD)).get("fields"))


def _changed(version: Version, before: Version) -> dict[str, Value]:
    """Return the fields that are not the very ones of before: merging hands on what it leaves alone."""
    return {name: value for name, value in version.fields.items() if value is not before.fields.get(name)}


def _map(native: object) -> Mapping[str, Any]:
    return native if isinstance(native, dict) else {}


def _entry(line: object) -> Entry | None:
    stamp, _, fingerprint = line.rpartition("|") if isinstance(line, str) else ("", "", "")
    try:
        return Entry(parse_stamp(stamp), fingerprint)
    except ValueError:
        return None
