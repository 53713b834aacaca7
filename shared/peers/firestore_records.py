"""A pair's records in Firestore: reading them, and adopting what is unseen in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime
from itertools import islice

from shared.digests import HASHES, Digest, Hashed
from shared.errors import TerminalRecord, Transient
from shared.index import Held
from shared.mapping import SYNC_FIELD, Entity
from shared.model import Conflict, Record, RecordId, Scope
from shared.naming import document_id
from shared.overlap import Inline
from shared.peers.documents import ALREADY_EXISTS, OK, Contended, Documents, Snapshot, Write
from shared.peers.layout import Layout, conflict_writes, noted_hash
from shared.peers.protobuf import Within

BUCKET, HASH = f"{SYNC_FIELD}.bucket", f"{SYNC_FIELD}.hash"
ADOPTED_AT_ONCE = 100
ROUNDS = 6
"""How often a record that keeps being edited is read again before it waits for the next run."""


class FirestoreRecords:
    """One pair's records in Firestore. `now` and `sleep` are the instance's clock; stamps come from Firestore's own. `beside` is
    where parts of a page are applied at the same time."""

    def __init__(
        self,
        name: str,
        documents: Documents,
        pair: str,
        entities: Sequence[Entity],
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
        beside: Executor | None = None,
    ) -> None:
        self.beside = beside or Inline()
        self.name, self.pair, self.documents, self.now, self.sleep = name, pair, documents, now, sleep
        self.queue_name = pair
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
        again: dict[RecordId, Snapshot] = {}
        for id, (path, grave) in pairs.items():
            held = self._layout(id).held(id, snapshots[path], graves.get(grave))
            if adopting and held.unseen():
                again[id] = snapshots[path]
            elif held.unseen():
                found[id] = Record(id, self._layout(id).adoption(id, snapshots[path])[1])
            elif held.version().known or held.values is not None:
                found[id] = Record(id, held.version())
        if adopting:
            self._note_hashes([(id, snapshots[path]) for id, (path, _) in pairs.items() if id in found])
        for start in range(0, len(again), ADOPTED_AT_ONCE):
            self._adopt_all(dict(islice(again.items(), start, start + ADOPTED_AT_ONCE)))
        return list(again)

    def _adopt_all(self, documents: Mapping[RecordId, Snapshot]) -> None:
        """Adopt the unseen edits of these documents in one commit; where one of them stands in the way, in ever smaller ones."""
        try:
            self.documents.commit(self._adoptions(documents))
        except (Contended, TerminalRecord) as error:
            if len(documents) > 1:
                half = len(documents) // 2
                self._adopt_all(dict(islice(documents.items(), half)))
                self._adopt_all(dict(islice(documents.items(), half, None)))
            elif isinstance(error, TerminalRecord):
                raise

    def _adoptions(self, documents: Mapping[RecordId, Snapshot], before: Snapshot | None = None) -> list[Write]:
        """Return the writes that adopt these documents. One without an index may be new over a tombstone, which is read."""
        layouts = {id: self._layout(id) for id in documents}
        blind = {id: layouts[id].tombstone_path(id) for id, each in documents.items() if not layouts[id].held(id, each).index}
        graves, _ = self.documents.get(list(blind.values())) if blind else ({}, None)
        made = (layouts[id].adoption(id, each, graves.get(blind.get(id, "")), before) for id, each in documents.items())
        return [write for _, _, writes in made for write in writes]

    def _note_hashes(self, read: Sequence[tuple[RecordId, Snapshot]]) -> None:
        """Mend the hashes that do not fit what their documents hold, as after a field was added to sync.yaml. What changed
        meanwhile got a fresh one by that, so it does not matter which of the writes go through."""
        writes = [write for id, document in read if (write := self._layout(id).mended_hash(id, document))]
        if writes:
            self.documents.write(writes)

    def records(self, scope: Scope, entity: str, after: str | None = None) -> Iterator[list[Record]]:
        """Yield the live records of an entity in the order of their document ids; nothing is adopted."""
        layout, last = self.layouts[entity], document_id(after) if after is not None else None
        collection = layout.entity.collection_of(scope.tenant)
        while True:
            rows = self.documents.query(collection, {}, last, scope.page_size)
            page = list(self._page(layout, rows))
            if page:
                yield page
            if len(rows) < scope.page_size:
                return
            last = rows[-1].path.rpartition("/")[2]

    def _page(self, layout: Layout, rows: Sequence[Snapshot]) -> Iterator[Record]:
        for row in rows:
            record = layout.entity.record(row.path)
            held = layout.held(record, row) if record else Held()
            if record and held.unseen():
                yield Record(record, layout.adoption(record, row)[1])
            elif record and held.values is not None:
                yield Record(record, held.version())

    def digest(self, scope: Scope, entity: str, buckets: range, hashes: range) -> Digest:
        """Return what the hashes in `_sync` count and sum up to, by one aggregation."""
        collection = self.layouts[entity].entity.collection_of(scope.tenant)
        return Digest(*self.documents.total(collection, _within(buckets, hashes), HASH))

    def hashed(self, scope: Scope, entity: str, buckets: range, hashes: range) -> list[Hashed]:
        """Return the records with these hashes in `_sync`."""
        layout = self.layouts[entity]
        rows = self.documents.select(layout.entity.collection_of(scope.tenant), _within(buckets, hashes), HASH)
        return [Hashed(record, noted_hash(row)) for row in rows if (record := layout.entity.record(row.path))]

    def adopt(self, record: RecordId, document: Snapshot, before: Snapshot | None = None) -> bool:
        """Adopt the unseen edits of a document in one commit; False if it is no longer as it was read. `before`: the
        document as it was before the edit, if that is known."""
        try:
            self.documents.commit(self._adoptions({record: document}, before))
        except Contended:
            return False
        return True

    def unseen(self, record: RecordId) -> tuple[str, ...]:
        """Return the fields of a record that were edited and not adopted yet."""
        layout = self._layout(record)
        path = layout.path(record)
        return layout.held(record, self.documents.get([path])[0][path]).unseen()

    def _layout(self, record: RecordId) -> Layout:
        return self.layouts[record.entity]

    def keep_conflicts(self, conflicts: Sequence[Conflict], run_id: str) -> None:
        """Store conflicts under their ids; those that are stored already stay as they are."""
        writes = conflict_writes(conflicts, self.pair, run_id, self.now())
        if writes and any(status not in {OK, ALREADY_EXISTS} for status in self.documents.write(writes)):
            raise Transient(
                "Firestore did not take a conflict; nothing is overwritten before it is kept, the next run tries again"
            )


def _within(buckets: range, hashes: range) -> Within:
    """Return the condition as the index over bucket and hash can serve it: hashes only inside of one bucket."""
    return {BUCKET: buckets} | ({HASH: hashes} if len(hashes) < HASHES else {})
