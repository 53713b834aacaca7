"""Go through all records of both peers and mend what differs. The first load is nothing else.

Both queues are drained first, so that nothing is taken for a loss that is only on its way. Then both sides are walked in
the order of keys. Whatever differs is read again on both sides, which adopts what is unseen; the queues are drained of
that; and what still differs is sent each way, whole, to be merged by the one rule. No lock, no write over a newer value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, islice
from typing import TypeVar

from shared.brake import Way
from shared.canonical import same
from shared.engine import carry, record_conflicts, say_brakes, whole_change
from shared.log import Log
from shared.merge import merge
from shared.model import (
    Action,
    Change,
    Conflict,
    Outcome,
    Problem,
    Record,
    RecordId,
    Stamp,
    Value,
    Version,
    side_stamp,
    stamp_after,
)
from shared.naming import state_id
from shared.peers.base import Peer
from shared.report import Report, Tally
from shared.run import Order, Pair, Run, directions, execute
from shared.store import Store

T = TypeVar("T")
REFUSED = Problem("malformed", "the other side named no reason")
AT_ONCE = 200
"""How many differing records are read and sent at a time."""


@dataclass(frozen=True, slots=True)
class Delete:
    """A delete that one side holds and the other, where the record lives on, knows nothing of."""

    side: str
    id: RecordId
    stamp: Stamp


def reconcile(pair: Pair, order: Order, store: Store, now: Callable[[], datetime], log: Log) -> Report:
    """Make both peers hold the same records and return what was compared, different and repaired, by entity.

    Absence is never taken for a delete: a record that only one side has, with no tombstone on the other and no change of
    it under way, is copied back. Where
    both sides hold values that were never synced, `pair.initial_winner` names the peer whose values win; the others are
    kept as conflicts. Raises as `engine.sync`.
    """
    return execute(pair, order, store, now, log, _reconcile)


def _reconcile(run: Run, doing: bool) -> bool:
    if not doing:
        return True
    _drain(run)
    for entity in run.pair.scope.entities:
        for tenant in run.pair.tenants_of(entity):
            _reconcile_entity(run, entity, tenant)
    return True


def _drain(run: Run) -> None:
    run.waiting.clear()
    for name, source, target in directions(run):
        carry(run, source, target, run.report.directions.setdefault(name, Tally()), _declared_wins(run))


def _reconcile_entity(run: Run, entity: str, tenant: str | None) -> None:
    figures = {"compared": 0, "equal": 0, "different": 0, "repaired": 0, "put_back": 0}
    run.report.reconciled[f"{entity} of {tenant}" if tenant else entity] = figures
    scope = replace(run.pair.scope, entities=(entity,), tenant=tenant, page_size=run.page_size)
    left, right = (chain.from_iterable(peer.records(scope, entity)) for peer in (run.pair.left, run.pair.right))
    deletes: list[Delete] = []
    for some in _in_chunks(_differing(run, left, right, figures), min(AT_ONCE, run.page_size)):
        if not run.goes_on():
            return
        figures["different"] += len(some)
        deletes += _mend(run, some, figures)
    for source, target in ((run.pair.left, run.pair.right), (run.pair.right, run.pair.left)):
        mine = {f"{state_id(each.id.tenant, each.id.key)}:{each.stamp}": each.id for each in deletes if each.side == source.name}
        _mend_deletes(run, run.way(source, target, scope), mine, figures)


def _differing(run: Run, left: Iterator[Record], right: Iterator[Record], figures: dict[str, int]) -> Iterator[RecordId]:
    """Yield the records that are not the same on both sides, for as long as the run goes on. Both come about in the order
    of keys; one that comes out of turn is yielded needlessly, and found equal when it is read again."""
    mine, theirs = next(left, None), next(right, None)
    while mine or theirs:
        figures["compared"] += 1
        if figures["compared"] % run.page_size == 0 and not run.goes_on():
            return
        if mine and theirs and mine.id == theirs.id:
            if _same(mine.version, theirs.version):
                figures["equal"] += 1
            else:
                yield mine.id
            mine, theirs = next(left, None), next(right, None)
        elif theirs is None or (mine and mine.id.key <= theirs.id.key):
            if mine:
                yield mine.id
            mine = next(left, None)
        else:
            yield theirs.id
            theirs = next(right, None)


def _same(one: Version, other: Version) -> bool:
    if one.deleted != other.deleted or one.fields.keys() != other.fields.keys():
        return False
    return all(
        value.stamp == other.fields[name].stamp and same(value.value, other.fields[name].value)
        for name, value in one.fields.items()
    )


def _mend(run: Run, ids: Sequence[RecordId], figures: dict[str, int]) -> list[Delete]:
    """Mend these records. Those that one side has deleted and the other still holds are returned: they wait for the brake."""
    run.pair.left.read(ids), run.pair.right.read(ids)
    _drain(run)
    if run.report.stopped_by:  # what still waits is not known to be equal, nor to differ
        return []
    left, right = _records(run.pair.left, ids), _records(run.pair.right, ids)
    still = [id for id in ids if id not in run.waiting and not _same(_held(left, id), _held(right, id))]
    deletes = [each for id in still for each in _deletes(run, id, _held(left, id), _held(right, id))]
    apart = {each.id for each in deletes}
    figures["put_back"] += sum((id in left) != (id in right) for id in still)
    figures["repaired"] += len(ids) - sum(id in run.waiting or id in apart for id in ids)
    _exchange(run, [id for id in still if id not in apart], left, right)
    return deletes


def _records(peer: Peer, ids: Sequence[RecordId]) -> dict[RecordId, Record]:
    return {record.id: record for record in peer.read(ids)}


def _held(records: Mapping[RecordId, Record], id: RecordId) -> Version:
    return records[id].version if id in records else Version()


def _deletes(run: Run, id: RecordId, left: Version, right: Version) -> Iterator[Delete]:
    for peer, mine, theirs in ((run.pair.left, left, right), (run.pair.right, right, left)):
        if mine.deleted and theirs.fields and theirs.deleted is None and merge(mine, theirs).deleted:
            yield Delete(peer.name, id, mine.deleted)


def _mend_deletes(run: Run, way: Way, deletes: Mapping[str, RecordId], figures: dict[str, int]) -> None:
    """Carry over deletes that no queue held: all that there are of an entity, so that the brake sees them all."""
    held = run.brakes.held_of(way, deletes) if deletes else frozenset()
    say_brakes(run)
    for some in _in_chunks((id for name, id in deletes.items() if name not in held), way.scope.page_size):
        if not run.goes_on():
            return
        _exchange(run, some, _records(run.pair.left, some), _records(run.pair.right, some))
        figures["repaired"] += len(some)


def _exchange(run: Run, ids: Sequence[RecordId], left: Mapping[RecordId, Record], right: Mapping[RecordId, Record]) -> None:
    """Send each side's records to the other."""
    _send(run, [left[id] for id in ids if id in left], run.pair.left, run.pair.right)
    _send(run, [right[id] for id in ids if id in right], run.pair.right, run.pair.left)


def _send(run: Run, records: Sequence[Record], source: Peer, target: Peer) -> None:
    """Apply whole records at `target`. Their bases are their own stamps: what the target wrote beside them is a conflict."""
    if not records:
        return
    tally = run.report.directions.setdefault(f"{source.name}_to_{target.name}", Tally())
    changes = [_whole(record) for record in records]
    results = target.apply(changes, run.order.run_id)
    conflicts = [each for result in results for each in result.conflicts]
    record_conflicts(run, target, conflicts)
    ended = zip(changes, results, strict=True)
    refused = {each.id: (each, result.problem or REFUSED) for each, result in ended if result.outcome is Outcome.INVALID}
    run.store.refuse(run.pair.name, source.name, refused, run.order.run_id, run.now())
    tally.add(Tally.of([result.outcome for result in results], len(conflicts)))


def _whole(record: Record) -> Change:
    id = state_id("reconcile", record.id.entity, record.id.tenant, record.id.key)
    return whole_change(record, Change(id, record.id, Action.UPDATE))


def _declared_wins(run: Run) -> Callable[[Peer, Sequence[Conflict]], None] | None:
    """Return what makes the declared side's value win a conflict of values that were never synced: a newer write of it,
    to both sides."""
    declared = run.pair.initial_winner
    if declared is None:
        return None

    def found(target: Peer, conflicts: Sequence[Conflict]) -> None:
        side = "local" if target.name == declared else "incoming"
        lost = [each for each in conflicts if each.base is None and each.winner != side]
        changes = [change for each in lost if (change := _again(each, side, declared, run.now()))]
        for peer in (run.pair.left, run.pair.right) if changes else ():
            peer.apply(changes, run.order.run_id)
        run.store.overrule({each.id: side for each in lost}, "initial_winner")

    return found


def _again(conflict: Conflict, side: str, origin: str, now: datetime) -> Change | None:
    wanted, other = (conflict.local, conflict.incoming) if side == "local" else (conflict.incoming, conflict.local)
    if not isinstance(wanted, Value) or not isinstance(other, Value):
        return None
    stamp = stamp_after(now, origin, [side_stamp(wanted), side_stamp(other)])
    fields = {conflict.field: Value(wanted.value, stamp)}
    return Change(f"initial:{conflict.id}", conflict.record, Action.UPDATE, fields, {conflict.field: other.stamp})


def _in_chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while some := list(islice(items, size)):
        yield some
