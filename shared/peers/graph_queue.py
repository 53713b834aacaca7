"""What waits in a graph to be carried: adopted edits, as nodes beside the records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial

from shared import wire
from shared.errors import TerminalRecord, Transient
from shared.mapping import Entity
from shared.model import Acknowledgement, Change, Page, Problem, Scope, Status, instant, parse_instant
from shared.peers import graph_notes as notes
from shared.peers.bolt import Bolt, Contended, Row, T, Transaction
from shared.peers.graph_shape import Shape
from shared.retention import RETENTION

ROUNDS = 6
"""How often a transaction that something came into is done again before it waits for the next run."""
WAITING = "MATCH (x:SyncChange) WHERE x.status = $status AND x.pair = $pair AND x.entity IN $entities"


class GraphQueue:
    """The queue of one pair's records in a graph. `now` is this instance's clock."""

    def __init__(self, name: str, bolt: Bolt, pair: str, entities: Sequence[Entity], now: Callable[[], datetime]) -> None:
        self.name, self.bolt, self.pair, self.now = name, bolt, pair, now
        self.shapes = {entity.name: Shape(entity) for entity in entities}
        self._defined = False

    def _queued(self, scope: Scope) -> Iterator[Page]:
        after, statement = (
            "",
            f"{self._waiting(scope)} AND x.id > $after RETURN x.id AS id, x.body AS body ORDER BY x.id LIMIT $limit",
        )
        while rows := self._ask(statement, **self._of(scope), after=after, limit=scope.page_size):
            yield self._page(rows)
            after = rows[-1]["id"]

    def _waiting(self, scope: Scope) -> str:
        tenant = " AND x.tenant = $tenant" if scope.tenant else ""
        return WAITING + tenant + (" AND x.slot % $count = $number" if scope.shard else "")

    def _of(self, scope: Scope, status: str = "pending") -> dict[str, object]:
        number, count = scope.shard or (0, 1)
        told = {"status": status, "pair": self.pair, "entities": list(scope.entities), "tenant": scope.tenant}
        return told | {"number": number, "count": count}

    def _page(self, rows: Sequence[Row]) -> Page:
        changes: list[Change] = []
        malformed: dict[str, Problem] = {}
        for row in rows:
            try:
                body = json.loads(row["body"])
                changes.append(wire.change_from_json(body, self.shapes[body["entity"]].entity.names))
            except (TerminalRecord, ValueError, KeyError, TypeError):
                malformed[row["id"]] = Problem("malformed", "a queue entry in the graph is no change any more; delete it there")
        return Page(changes, malformed)

    def pending(self, scope: Scope) -> int:
        """Return how many changes wait in the queue; what nobody has looked for yet is not among them."""
        return self._count(self._waiting(scope), **self._of(scope))

    def pending_deletes(self, scope: Scope) -> int:
        """Return how many deletes wait in the queue."""
        return self._count(f"{self._waiting(scope)} AND x.action = 'delete'", **self._of(scope))

    def acknowledge(self, run_id: str, done: Acknowledgement) -> None:
        """Label queue entries, and delete those whose time is over."""
        labels = dict.fromkeys(done.synced, "synced") | dict.fromkeys(done.superseded, "superseded")
        labels |= dict.fromkeys(done.failed, "failed") | dict.fromkeys(done.held, "held")
        now, expiry = instant(self.now()), instant(self.now() + RETENTION)
        rows = [
            {"id": id, "status": label, "run_id": run_id, "synced_at": now, "error": done.failed.get(id)}
            | {"superseded_by": done.superseded.get(id), "expire_at": None if label == "failed" else expiry}
            for id, label in labels.items()
        ]

        def label_all(ask: Transaction, again: bool) -> None:
            ask(notes.LABEL, rows=rows)
            ask(notes.CLEAN_UP, now=now)

        if rows:
            self._write(label_all)

    def settle(self, run_id: str, conflicts: Sequence[str]) -> None:
        """Forget these conflicts: they are stored elsewhere."""
        if conflicts:
            self._write(lambda ask, again: ask(notes.DROP_CONFLICTS, ids=list(conflicts)))

    def status(self, scope: Scope) -> Status:
        """Return the queue's figures."""
        rows = self._ask(f"{self._waiting(scope)} RETURN min(x.created_at) AS oldest, count(x) AS count", **self._of(scope))
        failed, oldest = self._count(self._waiting(scope), **self._of(scope, "failed")), rows[0]["oldest"]
        return Status(rows[0]["count"], parse_instant(oldest) if oldest else None, self.bolt.now(), failed)

    def _ask(self, statement: str, **parameters: object) -> list[Row]:
        return self._read(lambda ask: ask(statement, **parameters))

    def _count(self, found: str, **parameters: object) -> int:
        return int(self._ask(f"{found} RETURN count(x) AS count", **parameters)[0]["count"])

    def _read(self, work: Callable[[Transaction], T]) -> T:
        self.define()
        return self.bolt.read(work)

    def _write(self, work: Callable[[Transaction, bool], T]) -> T:
        """Return what `work` returns, which is told whether something came into it before."""
        self.define()
        for number in range(ROUNDS):
            try:
                return self.bolt.write(partial(_told, work, number > 0))
            except Contended:
                continue
        raise Transient(f"peer {self.name!r}: records were edited faster than they could be read; the next run tries again")

    def define(self) -> None:
        """Make constraints and indexes, when the first call comes."""
        if not self._defined:
            self.bolt.define([*notes.DEFINITIONS, *(shape.definition for shape in self.shapes.values())])
            self._defined = True


def _told(work: Callable[[Transaction, bool], T], again: bool, ask: Transaction) -> T:
    return work(ask, again)
