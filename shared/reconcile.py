"""Go through all records of both peers and mend what differs. The first load is nothing else.

Both queues are drained first, so that nothing is taken for a loss that is only on its way. Then both sides are walked in
the order of keys. Whatever differs is read again on both sides, which adopts what is unseen; the queues are drained of
that; and what still differs is sent each way, whole, to be merged by the one rule. No lock, no write over a newer value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain, islice
from typing import TypeVar

from shared.disputes import Disputes, in_step, open_disputes
from shared.engine import carry, record_conflicts, whole_change
from shared.held import apply_by_policy
from shared.log import Log
from shared.model import Action, Change, Conflict, Outcome, Policy, Problem, Record, RecordId, Value, Version, side_stamp
from shared.peers.base import Peer
from shared.report import Report, Tally
from shared.resolution import after
from shared.run import Order, Pair, Run, directions, execute
from shared.store import Store

T = TypeVar("T")
REFUSED = Problem("malformed", "the other side named no reason")
AT_ONCE = 200
"""How many differing records are read and sent at a time."""


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
    disputes = open_disputes(run)
    for entity in run.pair.scope.entities:
        for tenant in run.pair.tenants_of(entity):
            _reconcile_entity(run, entity, tenant, disputes)
    return True


def _drain(run: Run) -> None:
    if run.order.dry_run:
        return
    run.waiting.clear()
    for name, source, target in directions(run):
        carry(run, source, target, run.report.directions.setdefault(name, Tally()), _declared_wins(run))


def _reconcile_entity(run: Run, entity: str, tenant: str | None, disputes: Disputes) -> None:
    figures = {"compared": 0, "equal": 0, "different": 0, "repaired": 0, "put_back": 0, "in_conflict": 0}
    run.report.reconciled[f"{entity} of {tenant}" if tenant else entity] = figures
    scope = replace(run.pair.scope, tenant=tenant)
    left = chain.from_iterable(run.pair.left.records(scope, entity, not run.order.dry_run))
    right = chain.from_iterable(run.pair.right.records(scope, entity, not run.order.dry_run))
    differing = _undisputed(_differing(left, right, figures), figures, disputes)
    for some in _in_chunks(differing, AT_ONCE):
        if not run.goes_on():
            run.report.left_over = True
            return
        figures["different"] += len(some)
        if not run.order.dry_run:
            _mend(run, some, figures)


def _undisputed(
    differing: Iterator[tuple[RecordId, Version, Version]], figures: dict[str, int], disputes: Disputes
) -> Iterator[RecordId]:
    """Yield the records that differ in more than what waits for somebody's decision."""
    for id, mine, theirs in differing:
        disputed = disputes.get(id)
        if disputed and (in_step(mine, theirs, disputed) or not (mine.known and theirs.known)):
            figures["in_conflict"] += 1
        else:
            yield id


def _differing(
    left: Iterator[Record], right: Iterator[Record], figures: dict[str, int]
) -> Iterator[tuple[RecordId, Version, Version]]:
    """Yield the records that are not the same on both sides, with what either holds. Both come about in the order of keys;
    one that comes out of turn is yielded needlessly, and found equal when it is read again."""
    mine, theirs = next(left, None), next(right, None)
    while mine or theirs:
        figures["compared"] += 1
        if mine and theirs and mine.id == theirs.id:
            if in_step(mine.version, theirs.version):
                figures["equal"] += 1
            else:
                yield mine.id, mine.version, theirs.version
            mine, theirs = next(left, None), next(right, None)
        elif theirs is None or (mine and mine.id.key <= theirs.id.key):
            if mine:
                yield mine.id, mine.version, Version()
            mine = next(left, None)
        else:
            yield theirs.id, Version(), theirs.version
            theirs = next(right, None)


def _mend(run: Run, ids: Sequence[RecordId], figures: dict[str, int]) -> None:
    run.pair.left.read(ids), run.pair.right.read(ids)
    _drain(run)
    left, right = _by_id(run.pair.left.read(ids)), _by_id(run.pair.right.read(ids))
    still = [id for id in ids if id not in run.waiting and not in_step(_held(left, id), _held(right, id))]
    figures["put_back"] += sum((id in left) != (id in right) for id in still)
    figures["repaired"] += len(ids) - sum(id in run.waiting for id in ids)
    _send(run, [left[id] for id in still if id in left], run.pair.left, run.pair.right)
    _send(run, [right[id] for id in still if id in right], run.pair.right, run.pair.left)


def _by_id(records: Iterable[Record]) -> dict[RecordId, Record]:
    return {record.id: record for record in records}


def _held(records: dict[RecordId, Record], id: RecordId) -> Version:
    return records[id].version if id in records else Version()


def _send(run: Run, records: Sequence[Record], source: Peer, target: Peer) -> None:
    """Apply whole records at `target`. Their bases are their own stamps: what the target wrote beside them is a conflict."""
    if not records:
        return
    tally = run.report.directions.setdefault(f"{source.name}_to_{target.name}", Tally())
    changes = [_whole(record) for record in records]
    results = apply_by_policy(run, source, target, changes)
    conflicts = [each for result in results for each in result.conflicts]
    record_conflicts(run, target, conflicts)
    ended = zip(changes, results, strict=True)
    refused = {each.id: (each, result.problem or REFUSED) for each, result in ended if result.outcome is Outcome.INVALID}
    run.store.refuse(run.pair.name, source.name, refused, run.order.run_id, run.now())
    tally.add(Tally.of([result.outcome for result in results], len(conflicts)))


def _whole(record: Record) -> Change:
    id = f"reconcile:{record.id.entity}:{record.id.tenant or ''}:{record.id.key}"
    return whole_change(record, Change(id, record.id, Action.UPDATE))


def _declared_wins(run: Run) -> Callable[[Peer, Sequence[Conflict]], None] | None:
    """Return what makes the declared side's value win a conflict of values that were never synced: a newer write of it,
    to both sides."""
    declared = run.pair.initial_winner
    if declared is None:
        return None

    def found(target: Peer, conflicts: Sequence[Conflict]) -> None:
        side = "local" if target.name == declared else "incoming"
        by_time = [each for each in conflicts if each.base is None and each.rule == Policy.LAST_WRITE_WINS]
        lost = [each for each in by_time if each.winner != side]
        changes = [change for each in lost if (change := _again(each, side, declared))]
        for peer in (run.pair.left, run.pair.right) if changes else ():
            peer.apply(changes, run.order.run_id)
        run.store.overrule({each.id: side for each in lost}, "initial_winner")

    return found


def _again(conflict: Conflict, side: str, origin: str) -> Change | None:
    wanted, other = (conflict.local, conflict.incoming) if side == "local" else (conflict.incoming, conflict.local)
    if not isinstance(wanted, Value) or not isinstance(other, Value):
        return None
    stamp = after([side_stamp(wanted), side_stamp(other)], origin)
    fields = {conflict.field: Value(wanted.value, stamp)}
    return Change(f"initial:{conflict.id}", conflict.record, Action.UPDATE, fields, {conflict.field: other.stamp})


def _in_chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while some := list(islice(items, size)):
        yield some
