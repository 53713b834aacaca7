"""A write to a Firestore document that carries its author's name as its origin, adopted in the commit that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from shared.errors import BadRequest, Transient
from shared.model import Change, Json, RecordId
from shared.peers.documents import Contended, Snapshot, Write
from shared.peers.firestore import FirestorePeer

ATTEMPTS = 8


def write_as(peer: FirestorePeer, origin: str, record: RecordId, values: Mapping[str, Json]) -> Change | None:
    """Write fields of a record, by their names as they travel, and return the change that waits now; None if all was so before.

    What others wrote unseen is adopted first, under their own origin. BadRequest for a field that is not synced,
    TerminalRecord for a value that Firestore cannot hold, Transient where the record is edited too fast.
    """
    entity = peer.layouts[record.entity].entity
    unknown = sorted(values.keys() - entity.by_name.keys())
    if unknown:
        raise BadRequest(
            f"fields: {', '.join(unknown)} of {record.entity!r} are not synced; there are: {', '.join(entity.names)}"
        )
    for _ in range(ATTEMPTS):
        try:
            return _attempt(peer, origin, record, entity.to_native(values, record.tenant))
        except Contended:
            continue
    raise Transient("the record is edited faster than it can be written; try again")


def _attempt(peer: FirestorePeer, origin: str, record: RecordId, native: Mapping[str, Json]) -> Change | None:
    peer.read([record])
    layout = replace(peer.layouts[record.entity], origin=origin)
    path, grave = layout.path(record), layout.tombstone_path(record)
    found, now = peer.documents.get([path, grave])
    document, tombstone = found[path], found[grave]
    if layout.held(record, document).unseen():
        raise Contended
    edited = Snapshot(path, {**document.fields, **native}, now)
    if not layout.held(record, edited).unseen():
        return None
    change, _, (index, *others) = layout.adoption(record, edited, tombstone if not document.exists else None)
    fields = {**native, **(index.fields or {})}
    mask = tuple(fields) if document.exists else None
    peer.documents.commit([Write(path, fields, mask, document), *others])
    return change
