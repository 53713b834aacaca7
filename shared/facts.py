"""Gathers what lies about one record, on both sides and in the sync's own collections. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from shared.letters import letter_of
from shared.model import Change, RecordId, Version
from shared.peers.base import Peer
from shared.peers.firestore import FirestorePeer
from shared.peers.queue import FirestoreQueue
from shared.run import Pair
from shared.store import Store
from shared.story import Facts

MOST_WAITING = 10_000
"""How many waiting changes of another queue are looked through for those of the record."""


def gather(pair: Pair, record: RecordId, store: Store) -> Facts:
    """Return the facts about a record. A backend adopts what is unseen in it when it shows it. Raises as the peers do."""
    rows = store.about(record)
    letters = [(letter_of(row), row.fields) for row in rows["sync_dead_letters"]]
    ids = {str(row.fields["run_id"]) for found in rows.values() for row in found if row.fields.get("run_id")} - {"tracker"}
    queue, conflicts = (
        [{**row.fields, "id": row.path.partition("/")[2]} for row in rows[name]] for name in ("sync_queue", "sync_conflicts")
    )
    sides = (pair.left, pair.right)
    return Facts(
        record,
        {peer.name: _version(peer, record) for peer in sides},
        {peer.name: peer.unseen(record) for peer in sides if isinstance(peer, FirestorePeer)},
        queue,
        [change for peer in sides if not isinstance(peer, FirestoreQueue) for change in _waiting(pair, peer, record)],
        conflicts,
        letters,
        {id: store.run(pair.name, id) for id in sorted(ids)},
    )


def _version(peer: Peer, record: RecordId) -> Version:
    return next((found.version for found in peer.read([record], adopting=False)), Version())


def _waiting(pair: Pair, peer: Peer, record: RecordId) -> Iterator[Change]:
    pages = peer.changes(replace(pair.scope, entities=(record.entity,), tenant=record.tenant))
    changes = (change for page in pages for change in page.changes)
    return (change for change in islice(changes, MOST_WAITING) if change.record == record)
