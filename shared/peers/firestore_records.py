"""A pair's records in Firestore: reading them, and adopting what is unseen in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from shared.errors import Transient
from shared.mapping import Entity
from shared.model import Conflict, Record, RecordId, Scope
from shared.peers.documents import ALREADY_EXISTS, OK, Contended, Documents, Snapshot
from shared.peers.layout import Layout, conflict_writes

ROUNDS = 6
"""How often a record that keeps being edited is read again before it waits for the next run."""


class FirestoreRecords:
    """One pair's records in Firestore. `now` and `sleep` are the instance's clock; stamps come from Firestore's own."""

    def __init__(
        self,
        name: str,
        documents: Documents,
        pair: str,
        entities: Sequence[Entity],
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self.name, self.pair, self.documents, self.now, self.sleep = name, pair, documents, now, sleep
        self.layouts = {entity.name: Layout(pair, name, entity) for entity in entities}

    def read(self, ids: Sequence[RecordId], adopting: bool = True) -> list[Record]:
        """Return the records as they are held once everything unseen in them is adopted, or as they would be then."""
        found: dict[RecordId, Record] = {}
        waiting = list(dict.fromkeys(ids))
        for _ in range(ROUNDS):
            waiting = self._read_once(waiting, found, adopting)
            if not waiting:
                return [found[id] for id in dict.fromkeys(ids) if id in found]
        raise Transient(f"Firestore: {len(waiting)} record(s) were edited faster than they could be read; try again")

    def _read_once(self, ids: Sequence[RecordId], found: dict[RecordId, Record], adopting: bool) -> list[RecordId]:
        """Put what is adopted into `found` and return the records that have to be read again."""
        pairs = {id: (self._layout(id).path(id), self._layout(id).tombstone_path(id)) for id in ids}
        snapshots, _ = self.documents.get([path for path, _ in pairs.values()])
        # a document without anything that is synced is no record, and may lie over a tombstone
        missing = [grave for id, (path, grave) in pairs.items() if self._layout(id).held(id, snapshots[path]).values is None]
        graves, _ = self.documents.get(missing) if missing else ({}, None)
        again = []
        for id, (path, grave) in pairs.items():
            held = self._layout(id).held(id, snapshots[path], graves.get(grave))
            if held.unseen() and adopting:
                self.adopt(id, snapshots[path])
                again.append(id)
            elif held.unseen():
                found[id] = Record(id, self._layout(id).adoption(id, snapshots[path])[1])
            elif held.version().known or held.values is not None:
                found[id] = Record(id, held.version())
        return again

    def records(self, scope: Scope, entity: str, adopting: bool = True) -> Iterator[list[Record]]:
        """Yield the live records of an entity in the order of their document ids."""
        layout, after = self.layouts[entity], None
        collection = layout.entity.collection_of(scope.tenant)
        while True:
            rows = self.documents.query(collection, {}, after, scope.page_size)
            page = self._page(layout, rows, adopting)
            if page:
                yield page
            if len(rows) < scope.page_size:
                return
            after = rows[-1].path.rpartition("/")[2]

    def _page(self, layout: Layout, rows: Sequence[Snapshot], adopting: bool) -> list[Record]:
        page, again = [], []
        for row in rows:
            record = layout.entity.record(row.path)
            if record is None:
                continue
            held = layout.held(record, row)
            if held.unseen():
                again.append(record)
            elif held.values is not None:
                page.append(Record(record, held.version()))
        return page + [each for each in self.read(again, adopting) if each.version.deleted is None]

    def adopt(self, record: RecordId, document: Snapshot, before: Snapshot | None = None) -> bool:
        """Adopt the unseen edits of a document in one commit; False if it is no longer as it was read. `before`: the
        document as it was before the edit, if that is known."""
        layout = self._layout(record)
        tombstone = None
        if not layout.held(record, document).index:
            path = layout.tombstone_path(record)
            tombstone = self.documents.get([path])[0][path]
        _, _, writes = layout.adoption(record, document, tombstone, before)
        try:
            self.documents.commit(writes)
        except Contended:
            return False
        return True

    def _layout(self, record: RecordId) -> Layout:
        return self.layouts[record.entity]

    def keep_conflicts(self, conflicts: Sequence[Conflict], run_id: str) -> None:
        """Store conflicts under their ids; those that are stored already stay as they are."""
        writes = conflict_writes(conflicts, self.pair, run_id, self.now())
        if writes and any(status not in {OK, ALREADY_EXISTS} for status in self.documents.write(writes)):
            raise Transient(
                "Firestore did not take a conflict; nothing is overwritten before it is kept, the next run tries again"
            )
