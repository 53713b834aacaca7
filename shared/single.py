"""A few records synced at once, beside whatever run holds their pair: their changes only, and then both sides as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias, cast

from shared.canonical import SLOTS, slot_of
from shared.comparing import alike
from shared.log import Log
from shared.model import Page, Problem, RecordId, Scope, Version
from shared.peers.base import Peer
from shared.reconcile import Task, compare
from shared.report import Report
from shared.run import Order, Pair, Run, execute
from shared.store import Store

End: TypeAlias = Literal["equal", "unknown", "in_conflict", "waiting", "refused", "differs", "failed"]
"""How a record is left: alike on both sides; known on neither; or why it is not alike."""
FEW = 16
"""So many records are looked for in their own parts of a queue; for more, the whole queue is read."""


@dataclass(frozen=True)
class Only:
    """A peer whose queue shows the changes of some records only. All else is the peer's own."""

    peer: Peer
    ids: frozenset[RecordId]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.peer, name)

    def changes(self, scope: Scope) -> Iterator[Page]:
        """Yield what waits of these records."""
        for part in self._parts(scope):
            for page in self.peer.changes(part):
                malformed = {id: each for id, each in page.malformed.items() if self._is_about(each)}
                mine = Page([each for each in page.changes if each.record in self.ids], malformed)
                if len(mine):
                    yield mine

    def _is_about(self, problem: Problem) -> bool:
        return problem.record in self.ids

    def _parts(self, scope: Scope) -> Iterator[Scope]:
        slots = sorted({slot_of(id) for id in self.ids})
        yield from (replace(scope, shard=(slot, SLOTS)) for slot in slots) if len(slots) <= FEW else (scope,)


def sync_records(
    pair: Pair, ids: Sequence[RecordId], order: Order, store: Store, now: Callable[[], datetime], log: Log
) -> tuple[Report, dict[RecordId, End]]:
    """Make both sides alike in these records of one entity and tenant, and return how each is left.

    Takes no lease, so that it never waits: two runs at once do no harm. What cannot be mended now is left to the next run.
    """
    chosen, ends = frozenset(ids), dict[RecordId, End](dict.fromkeys(ids, "failed"))
    first = ids[0]
    scope = replace(pair.scope, entities=(first.entity,), tenant=first.tenant)
    left, right = (cast(Peer, Only(peer, chosen)) for peer in (pair.left, pair.right))
    narrow = replace(pair, left=left, right=right, scope=scope)

    def work(run: Run, doing: bool) -> bool:
        compare(run, Task(keys=tuple(id.key for id in ids)))
        ends.update(_ends(run, ids))
        return True

    return execute(narrow, order, store, now, log, work, alone=False), ends


def _ends(run: Run, ids: Sequence[RecordId]) -> dict[RecordId, End]:
    left, right = ({each.id: each.version for each in peer.read(ids)} for peer in (run.pair.left, run.pair.right))
    return {id: _end(run, id, left.get(id, Version()), right.get(id, Version())) for id in ids}


def _end(run: Run, id: RecordId, left: Version, right: Version) -> End:
    if alike(left, right):
        return "equal" if left.known else "unknown"
    if any(run.store.open_conflicts(run.pair.name, id)):
        return "in_conflict"
    if id in run.waiting:
        return "waiting"
    return "refused" if any(tally.dead_letters for tally in run.report.directions.values()) else "differs"
