"""Erasing a deleted record from what its side in Firestore keeps of it: the tombstone's values, the queue's payloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.errors import Transient
from shared.model import RecordId, Stamp
from shared.naming import hashed_id
from shared.native import stored
from shared.peers.documents import Contended, Documents, Snapshot, Write
from shared.peers.layout import QUEUE, Layout
from shared.retention import RETENTION

ROUNDS = 6
AT_ONCE = 200
BOOKKEEPING = ("pair", "entity", "action", "stamp", "created_at", "synced_at", "run_id", "attempts", "shard")
"""What stays of a queue entry: nothing that says whose it was, or what was in it."""


def erase(documents: Documents, layout: Layout, record: RecordId, now: datetime) -> dict[str, int]:
    """Leave of a record's tombstone and queue entries what names nobody; return how many of each lost something.

    Transient if the record is not deleted (any more): nothing is erased that somebody has made anew.
    """
    erased, values = _erase_tombstone(documents, layout, record, now)
    return {"hidden values": values, "queue entries": empty_entries(documents, record, erased, now)}


def empty_entries(documents: Documents, record: RecordId, erased: Stamp, now: datetime) -> int:
    """Leave of a record's queue entries up to a stamp what names nobody; return how many there were."""
    rows = [row for row in _entries(documents, record) if _stamp(row) <= erased]
    for start in range(0, len(rows), AT_ONCE):
        documents.commit([write for row in rows[start : start + AT_ONCE] for write in _emptied(row, erased, now)])
    return len(rows)


def _erase_tombstone(documents: Documents, layout: Layout, record: RecordId, now: datetime) -> tuple[Stamp, int]:
    path = layout.tombstone_path(record)
    for _ in range(ROUNDS):
        tombstone = documents.get([path])[0][path]
        write = layout.erased_grave(record, tombstone, now)
        if write is None:
            break
        try:
            documents.commit([write])
        except Contended:
            continue
        return Stamp(tombstone.fields["deleted"]), len(tombstone.fields["fields"])
    raise Transient("Firestore: the record was written anew while it was erased; the same call again erases that too")


def _entries(documents: Documents, record: RecordId) -> Sequence[Snapshot]:
    equal = {"entity": record.entity, "key": stored("key", record.key)}
    rows = page = documents.query(QUEUE, equal)
    while page:
        page = documents.query(QUEUE, equal, page[-1].path.rpartition("/")[2])
        rows = rows + page
    return [row for row in rows if (row.fields.get("tenant") or None) == record.tenant]


def _stamp(row: Snapshot) -> str:
    return str(row.fields.get("stamp") or "")


def _emptied(row: Snapshot, erased: Stamp, now: datetime) -> list[Write]:
    """Return the writes that put an entry without values and under another name in a queue entry's place."""
    known: Mapping[str, Any] = row.fields
    done = {"sync_status": "superseded", "superseded_by": erased, "erased_at": now}
    expiry = {"expire_at": known.get("expire_at") or now + RETENTION}
    body = {name: known[name] for name in BOOKKEEPING if name in known} | done | expiry
    if known.get("sync_status") == "synced":
        body["sync_status"] = "synced"
    return [Write(row.path, None), Write(f"{QUEUE}/erased:{hashed_id(row.path)}", body)]
