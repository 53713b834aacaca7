"""What a write in Firestore leads to. An event is a poke: what counts is the document as it is now.

If it agrees with its own index there is nothing to do, and nothing is read. Otherwise one commit adopts what is unseen.
So it does not matter how often, how late, in what order or with what data events come, and the sync's own writes, which
carry their index with them, never need a second look.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from shared.errors import Transient
from shared.merge import merge
from shared.model import TICK, Action, Change, RecordId, Value, Version, instant, stamp_after
from shared.naming import state_id
from shared.peers.documents import Contended, Snapshot, Write
from shared.peers.firestore import FirestorePeer
from shared.peers.layout import Layout
from shared.policy import decide

ATTEMPTS = 8
QUEUED = frozenset({"adopted", "deleted"})
"""What `track` returns when it has put a change into the queue."""


@dataclass(frozen=True, slots=True)
class Poke:
    """An event: the record's document before and after the write, as far as the event carried them, and its time.

    Events of large documents come without data: then both are None, and the path alone counts.
    """

    record: RecordId
    before: Snapshot | None
    after: Snapshot | None
    time: datetime


def track(peer: FirestorePeer, poke: Poke) -> str:
    """Adopt what the write left unseen. Returns what was done: `in line`, `adopted`, `deleted`, `nothing`.

    Transient if the document is being edited too fast, TerminalRecord if the record can never be adopted (too large).
    """
    layout = peer.layouts[poke.record.entity]
    gone = poke.after is None or layout.held(poke.record, poke.after).values is None
    if gone and poke.before is not None:  # a document emptied of all that is synced, `_sync` too, is no record any more
        return _track_delete(peer, poke, poke.before)
    document = poke.after or _read(peer, layout, poke.record)
    for _ in range(ATTEMPTS):
        if not layout.held(poke.record, document).unseen():
            return "in line" if document.exists else "nothing"
        if peer.adopt(poke.record, document, poke.before):
            return "adopted"
        document = _read(peer, layout, poke.record)
    raise Transient("the document is edited faster than it can be adopted; the event is delivered again")


def _read(peer: FirestorePeer, layout: Layout, record: RecordId) -> Snapshot:
    path = layout.path(record)
    return peer.documents.get([path])[0][path]


def _track_delete(peer: FirestorePeer, poke: Poke, old: Snapshot) -> str:
    """Merge the delete, and what was unseen in the deleted document, into the current document and tombstone."""
    if peer.layouts[poke.record.entity].held(poke.record, old).values is None:
        return "nothing"
    for _ in range(ATTEMPTS):
        transaction = peer.documents.begin()
        try:
            writes = _delete_writes(peer, poke, old, transaction)
            if not writes:
                peer.documents.rollback(transaction)
                return "in line"
            peer.documents.commit(writes, transaction)
            return "deleted"
        except BaseException as error:
            peer.documents.rollback(transaction)
            if not isinstance(error, Contended):
                raise
    raise Transient("the record is edited faster than its delete can be merged; the event is delivered again")


def _delete_writes(peer: FirestorePeer, poke: Poke, old: Snapshot, transaction: bytes) -> list[Write]:
    layout, record = peer.layouts[poke.record.entity], poke.record
    path, grave = layout.path(record), layout.tombstone_path(record)
    snapshots, _ = peer.documents.get([path, grave], transaction)
    document, tombstone = snapshots[path], snapshots[grave]
    deleted = _deleted_version(layout, record, old)
    current = layout.held(record, document, tombstone)
    version, entries = current.version(), []
    if current.unseen():
        adopted, version, _ = layout.adoption(record, document, tombstone)
        entries.append(layout.entry(adopted, peer.now()))
    if layout.removed_by_sync(old, tombstone) or layout.is_erased(deleted, tombstone) or _is_held(deleted, version):
        return []
    merged = merge(version, deleted)
    change = _delete_change(layout, record, old, deleted, poke.time)
    change = replace(change, fields={**_brought_back(version, merged), **change.fields})
    decision = decide(merged, change)
    peer.keep_conflicts(decision.conflicts, run_id="tracker")
    entries.append(layout.entry(change, peer.now()))
    return entries + layout.writes(record, document, tombstone, current, decision.version, peer.now())


def _brought_back(version: Version, merged: Version) -> dict[str, Value]:
    """Return the fields of a document put back in the meantime that the deleted one had later: under a policy, the other side
    may have settled them otherwise by now, and has to hear of them."""
    return {name: value for name, value in merged.fields.items() if name in version.fields and version.fields[name] != value}


def _deleted_version(layout: Layout, record: RecordId, old: Snapshot) -> Version:
    """Return the version that the deleted document held, its unseen edits stamped as if they had been adopted in time."""
    held = layout.held(record, old)
    return layout.adoption(record, old)[1] if held.unseen() else held.version()


def _is_held(old: Version, held: Version) -> bool:
    """Whether the delete is known: all that the document held is held, and a tombstone stands over it."""
    if held.deleted is None:
        return False
    return all(
        value.stamp < held.deleted and name in held.fields and value.stamp <= held.fields[name].stamp
        for name, value in old.fields.items()
    )


def _delete_change(layout: Layout, record: RecordId, old: Snapshot, version: Version, time: datetime) -> Change:
    """Return the delete as a change, with the old document's unseen edits in it."""
    unseen = layout.adoption(record, old)[0] if layout.held(record, old).unseen() else None
    when = max(time, old.update_time + TICK) if old.update_time else time
    stamps = {name: value.stamp for name, value in version.fields.items()}
    stamp = stamp_after(when, layout.origin, list(stamps.values()))
    id = state_id(record.tenant, record.entity, record.key, at=f"{instant(when)}:deleted")
    return Change(
        id=id,
        record=record,
        action=Action.DELETE,
        fields=unseen.fields if unseen else {},
        base=unseen.base if unseen else {},
        deleted=stamp,
        deleted_base=stamps,
    )
