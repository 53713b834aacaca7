"""Firestore as a peer: changes are applied to its documents, and made there are queued in `sync_queue` by the tracker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from shared.model import RecordId, Scope
from shared.peers.documents import Documents
from shared.peers.firestore_apply import FirestoreApply
from shared.peers.firestore_erasure import erase
from shared.peers.queue import FirestoreQueue


class FirestorePeer(FirestoreQueue, FirestoreApply):
    """The records, and the queue of what was changed in them. Behaves as `Peer` says."""

    def on(self, documents: Documents) -> Self:
        """Return the same peer over other documents; it waits for nothing."""
        entities = [layout.entity for layout in self.layouts.values()]
        return type(self)(self.name, documents, self.pair, entities, self.now, lambda seconds: None)

    def count(self, scope: Scope) -> int:
        """Return how many documents an entity's collection has, by an aggregation."""
        return self.documents.count(self.layouts[scope.entities[0]].entity.collection_of(scope.tenant), {})

    def settle(self, run_id: str, conflicts: Sequence[str]) -> None:
        """Do nothing: conflicts found here already lie where they are kept."""

    def erase(self, record: RecordId) -> dict[str, int]:
        """Drop what is kept of a deleted record; see `Eraser`."""
        return erase(self.documents, self._layout(record), record, self.now())
