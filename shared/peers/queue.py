"""A peer's queue in Firestore: the entries of `sync_queue` that carry its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from shared import wire
from shared.canonical import SLOTS
from shared.errors import TerminalRecord, Transient
from shared.model import Acknowledgement, Change, Page, Problem, Scope, Stamp, Status, Waiting
from shared.native import Native, loaded
from shared.peers.documents import NOT_FOUND, OK, Documents, Snapshot, Write
from shared.peers.layout import CLOCK, QUEUE, Layout
from shared.retention import RETENTION

OLDEST_SEEN_AMONG = 200


class FirestoreQueue:
    """The queue of whoever has these: `layouts` by entity, `pair` as the entries name it, the instance's clock."""

    documents: Documents
    layouts: dict[str, Layout]
    now: Callable[[], datetime]

    queue_name: str
    """What the entries of this queue carry as their `pair`."""

    def changes(self, scope: Scope) -> Iterator[Page]:
        """Yield the pending queue entries in the order of their ids: a record's lie together, and in order."""
        after = None
        while True:
            rows = self.documents.query(QUEUE, self._pending(scope), after, scope.page_size)
            yield self._queue_page([row for row in rows if row.fields.get("entity") in scope.entities])
            if len(rows) < scope.page_size:
                return
            after = rows[-1].path.rpartition("/")[2]

    def pending(self, scope: Scope) -> int:
        """Return how many changes wait in the queue, by an aggregation."""
        return self.documents.count(QUEUE, self._pending(scope))

    def pending_deletes(self, scope: Scope) -> int:
        """Return how many deletes wait in the queue, by an aggregation."""
        return self.documents.count(QUEUE, self._pending(scope) | {"action": "delete"})

    def _pending(self, scope: Scope) -> dict[str, Native]:
        tenant = {"tenant": scope.tenant} if scope.tenant else {}
        entity = {"entity": scope.entities[0]} if len(scope.entities) == 1 else {}
        shard = {"shard": tuple(range(scope.shard[0], SLOTS, scope.shard[1]))} if scope.shard else {}
        return {"pair": self.queue_name, "sync_status": "pending", **entity, **tenant, **shard}

    def _queue_page(self, rows: Sequence[Snapshot]) -> Page:
        changes: list[Change] = []
        malformed: dict[str, Problem] = {}
        for row in rows:
            id, names = row.path.partition("/")[2], self.layouts[row.fields["entity"]].entity.names
            try:
                changes.append(wire.change_from_json({**row.fields, "id": id}, names, loaded))
            except TerminalRecord as error:
                malformed[id] = Problem(error.code, str(error), record=wire.record_named_in(row.fields))
        return Page(changes, malformed)

    def acknowledge(self, run_id: str, done: Acknowledgement) -> None:
        """Label queue entries; those that were cleaned up meanwhile are left alone."""
        labels = (
            dict.fromkeys(done.synced, "synced")
            | dict.fromkeys(done.superseded, "superseded")
            | dict.fromkeys(done.failed, "failed")
            | dict.fromkeys(done.held, "held")
        )
        now = self.now()
        bodies = {
            id: self._label(label, run_id, now, done.superseded.get(id), done.failed.get(id)) for id, label in labels.items()
        }
        writes = [Write(f"{QUEUE}/{id}", body, tuple(body), True) for id, body in bodies.items()]
        statuses = self.documents.write(writes)
        if any(status not in {OK, NOT_FOUND} for status in statuses):
            raise Transient("Firestore did not take some labels of queue entries; the next run repeats them")

    def _label(self, label: str, run_id: str, now: datetime, overtaken_by: Stamp | None, error: str | None) -> dict[str, object]:
        expiry = None if label == "failed" else now + RETENTION
        more = {"superseded_by": overtaken_by} if overtaken_by else {}
        return {"sync_status": label, "synced_at": now, "run_id": run_id, "error": error, "expire_at": expiry} | more

    def status(self, scope: Scope) -> Status:
        """Return the queue's figures. The oldest is looked for among 200 waiting entries, so that asking stays cheap."""
        rows = self.documents.query(QUEUE, self._pending(scope), None, OLDEST_SEEN_AMONG)
        many = len(rows) == OLDEST_SEEN_AMONG
        pending = self.documents.count(QUEUE, self._pending(scope)) if many else len(rows)
        oldest = min((row.fields["created_at"] for row in rows), default=None)
        failed = self.documents.count(QUEUE, self._pending(scope) | {"sync_status": "failed"})
        _, now = self.documents.get([CLOCK])
        seen = ((row.fields.get("tenant"), row.fields["created_at"]) for row in rows)
        return Status(pending, oldest, now, failed, Waiting.by_tenant(seen))
