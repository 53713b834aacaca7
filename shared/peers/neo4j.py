"""A graph as a peer: nodes, relationships, and beside them the queue of what was changed by hand and found.

Nobody tells of such an edit. It is found when its record is read or written over; with `back`, whenever changes are asked
for, by looking through all records. Without, the graph is a projection: what was changed by hand is never overwritten
before it is kept as a conflict, and never carried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from shared.digests import Digest, Hashed
from shared.errors import Transient
from shared.index import adopt
from shared.mapping import Entity
from shared.model import Change, Outcome, Page, Problem, Record, RecordId, Result, Scope
from shared.peers import graph_notes as notes
from shared.peers.ahead import put_off
from shared.peers.bolt import Bolt, Declined, Transaction
from shared.peers.graph_notes import Grave, place_of
from shared.peers.graph_opened import Kept, Opened, long_ago
from shared.peers.graph_queue import GraphQueue
from shared.peers.graph_shape import Lying, Shape
from shared.policy import Mode

ADOPTED_AT_ONCE = 1000
LOOKED_THROUGH = 5000
"""Records read at once where all are looked through: more than a page, since some servers sort all for each."""


class Neo4jPeer(GraphQueue):
    """The records of one pair in a graph. Behaves as `Peer` says, and can erase; `now` is this instance's clock."""

    def __init__(
        self,
        name: str,
        bolt: Bolt,
        pair: str,
        entities: Sequence[Entity],
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
        back: bool = False,
    ) -> None:
        super().__init__(name, bolt, pair, entities, now)
        self.sleep, self.back, self.at_once = sleep, back, LOOKED_THROUGH

    def changes(self, scope: Scope) -> Iterator[Page]:
        """Look through all records for what was changed by hand, and yield that and whatever else waits in the queue."""
        if not self.back:
            return
        for entity in (each for each in scope.entities if not self.shapes[each].entity.published):
            for _ in self.records(replace(scope, page_size=ADOPTED_AT_ONCE), entity):
                pass
        yield from self._queued(scope)

    def count(self, scope: Scope) -> int:
        """Return how many live records there are."""
        shape = self.shapes[scope.entities[0]]
        return self._count(f"{shape.all} WHERE x._sync IS NOT NULL{shape.within(scope.tenant)}", tenant=scope.tenant)

    # Applying

    def apply(self, changes: Sequence[Change], run_id: str, mode: Mode = Mode.LWW) -> list[Result]:
        """Apply the changes in one transaction; see `Peer.apply`."""
        results = put_off(changes, "the graph's", self.bolt.now(), self.sleep) if changes else {}
        waiting = [each for each in changes if each.id not in results]
        results |= self._applied(waiting, mode) if waiting else {}
        return [results[each.id] for each in changes]

    def _applied(self, changes: Sequence[Change], mode: Mode) -> dict[str, Result]:
        """Apply the changes; where the server declines them, in ever smaller transactions, until it is known which it was."""
        try:
            return self._write(lambda ask, again: self._apply(ask, changes, mode, again))
        except Declined as error:
            if len(changes) == 1:
                return {changes[0].id: Result(changes[0].id, Outcome.INVALID, problem=Problem("refused", str(error)))}
        half = len(changes) // 2
        return self._applied(changes[:half], mode) | self._applied(changes[half:], mode)

    def _apply(self, ask: Transaction, changes: Sequence[Change], mode: Mode, again: bool) -> dict[str, Result]:
        opened = self._opened(ask)
        opened.open(each.record for each in changes)
        opened.look_around(changes, ends=again)
        opened.adopt()
        results = {each.id: opened.apply(each, mode) for each in changes}
        opened.write()
        return results

    def _opened(self, ask: Transaction) -> Opened:
        return Opened(ask, self.shapes, self.name, self.pair, self.back)

    @property
    def takes_turns(self) -> bool:
        """Yes: clashing writers are told to try again, so one page goes after the other."""
        return True

    @property
    def foresees(self) -> bool:
        """No: other things than the record's own can be in the way."""
        return False

    def refuses(self, change: Change) -> Problem | None:
        """Return None."""
        return None

    def erase(self, record: RecordId) -> Mapping[str, int]:
        """Drop what is kept of a deleted record; see `Eraser`."""
        return self._write(lambda ask, again: self._erase(ask, record))

    def _erase(self, ask: Transaction, record: RecordId) -> dict[str, int]:
        opened, place = self._opened(ask), place_of(record)
        opened.open([record])
        grave = opened.kept[record].grave
        deleted = grave.version.deleted
        if deleted is None:
            raise Transient(f"peer {self.name!r}: the record is not deleted (any more); the same call again erases that too")
        ask(notes.KEEP_TOMBSTONES, rows=[Grave(grave.version, deleted).over(grave.version).row(place)])
        [entries] = ask(notes.ERASE_CHANGES, place=place, erased=deleted)
        [conflicts] = ask(notes.ERASE_CONFLICTS, place=place)
        return {"hidden values": len(grave.version.fields), "queue entries": entries["count"], "conflicts": conflicts["count"]}

    # Reading

    def read(self, ids: Sequence[RecordId], adopting: bool = True) -> list[Record]:
        """Return the records as they are held once everything unseen in them is adopted, or as they would be then."""
        if not ids:
            return []
        seen = self._read(lambda ask: self._seen(ask, ids))
        if adopting and any(_is_unseen(each) or not self._fits(each) for each in seen.values()):
            seen = self._write(lambda ask, again: self._adopted(ask, ids))
        versions = {id: each.version for id, each in seen.items() if each.version.known or each.live}
        return [Record(id, versions[id]) for id in dict.fromkeys(ids) if id in versions]

    def _seen(self, ask: Transaction, ids: Sequence[RecordId]) -> dict[RecordId, Kept]:
        opened = self._opened(ask)
        opened.open(ids, writing=False)
        for id, each in opened.kept.items():
            unseen = each.live and (not each.held.index or each.held.unseen())
            when = self.now() if self.back else long_ago(each.held)
            names = self.shapes[id.entity].entity.names
            each.version = adopt(id, each.held, when, self.name, names, "")[1] if unseen else each.held.version()
        return opened.kept

    def _fits(self, each: Kept) -> bool:
        lying, shape = each.lying, self.shapes[each.record.entity]
        return not each.live or lying is None or shape.fits(each.record, lying, each.version)

    def _adopted(self, ask: Transaction, ids: Sequence[RecordId]) -> dict[RecordId, Kept]:
        opened = self._opened(ask)
        opened.open(ids)
        opened.look_around(())
        opened.adopt()
        opened.write()
        return opened.kept

    def records(self, scope: Scope, entity: str, after: str | None = None) -> Iterator[list[Record]]:
        """Yield all live records in the order of their keys, adopted."""
        shape, size = self.shapes[entity], scope.page_size
        place, statement = ("", ""), shape.page(scope.tenant)
        while True:
            told = {"after": place[0], "after_tenant": place[1], "tenant": scope.tenant, "limit": max(self.at_once, size)}
            rows = [Lying(**row) for row in self._ask(statement, **told)]
            found = [record for start in range(0, len(rows), size) for record in self._shown(shape, rows[start : start + size])]
            yield from (found[start : start + size] for start in range(0, len(found), size))
            if len(rows) < max(self.at_once, size):
                return
            place = (rows[-1].properties["key"], rows[-1].properties.get("tenant") or "")

    def _shown(self, shape: Shape, rows: Sequence[Lying]) -> list[Record]:
        records = {id: Kept(id, "", row, shape.held(row, Grave().version), Grave()) for row in rows if (id := shape.record(row))}
        unseen = [id for id, each in records.items() if _is_unseen(each)]
        adopted = {each.id: each for each in self.read(unseen)}
        clean = {id: Record(id, each.held.version()) for id, each in records.items() if each.held.values is not None}
        shown = [adopted.get(id) if id in unseen else clean.get(id) for id in records]
        return [each for each in shown if each is not None and each.version.deleted is None]

    def digest(self, scope: Scope, entity: str, buckets: range, hashes: range) -> Digest:
        """Return what the noted hashes count and sum up to."""
        [row] = self._ask(
            f"{self._lies(scope, entity)} RETURN count(x) AS count, sum(x._hash) AS sum", **_within(scope, buckets, hashes)
        )
        return Digest(row["count"], row["sum"])

    def hashed(self, scope: Scope, entity: str, buckets: range, hashes: range) -> list[Hashed]:
        """Return the records with these hashes noted."""
        shape = self.shapes[entity]
        rows = self._ask(f"{self._lies(scope, entity)} {shape.shown}", **_within(scope, buckets, hashes))
        return [Hashed(id, each.properties["_hash"]) for each in (Lying(**row) for row in rows) if (id := shape.record(each))]

    def _lies(self, scope: Scope, entity: str) -> str:
        shape, place = self.shapes[entity], "x._bucket >= $low AND x._bucket < $high AND x._hash >= $least AND x._hash < $most"
        return f"{shape.all} WHERE {place}{shape.within(scope.tenant)}"


def _is_unseen(each: Kept) -> bool:
    return each.held.values is not None and (
        not each.held.index or bool(each.held.unseen()) or (each.lying is not None and each.lying.marked)
    )


def _within(scope: Scope, buckets: range, hashes: range) -> dict[str, object]:
    return {"low": buckets.start, "high": buckets.stop, "least": hashes.start, "most": hashes.stop, "tenant": scope.tenant}
