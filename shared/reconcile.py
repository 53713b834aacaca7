"""Compare whole peers, every record or by digests, and mend what differs. The first load is nothing else.

Both queues are drained first, so that nothing is taken for a loss that is only on its way. What differs is read on both
sides, which adopts what is unseen; the queues are drained of that; and what still differs is sent each way, whole, to be
merged by the one rule. No lock, no write over a newer value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Literal

from shared.comparing import Batch
from shared.disputes import Disputes, open_disputes
from shared.engine import carry
from shared.full import full
from shared.log import Log
from shared.mending import Mender
from shared.model import Action, Change, Conflict, Policy, RecordId, Scope, Value, side_stamp
from shared.peers.base import Peer
from shared.progress import Progress
from shared.quick import quick, roles
from shared.report import Comparison, Report, Tally
from shared.resolution import after
from shared.run import Order, Pair, Run, directions, execute
from shared.store import Store


@dataclass(frozen=True)
class Task:
    """How to compare: `full` reads every record, `quick` asks for digests; or only the records of these keys.

    A full one that was cut off within a day is gone on with, unless `restart`. Without `repair` it only counts what differs, what
    waits in the queues too; no record is written, and nothing adopted in Firestore.
    """

    mode: Literal["quick", "full"] = "full"
    keys: tuple[str, ...] = ()
    restart: bool = False
    repair: bool = True


def reconcile(pair: Pair, order: Order, store: Store, now: Callable[[], datetime], log: Log, task: Task | None = None) -> Report:
    """Make both peers hold the same records and return what was compared, different and repaired, by entity.

    Absence is never taken for a delete: a record that only one side has, with no tombstone on the other and no change of
    it under way, is copied back. Where both sides hold values that were never synced, `pair.initial_winner` names the peer
    whose values win; the others are kept as conflicts. Raises as `engine.sync`.
    """
    return execute(pair, order, store, now, log, partial(_reconcile, task=task or Task()))


def _reconcile(run: Run, doing: bool, task: Task) -> bool:
    return compare(run, task) if doing else True


def compare(run: Run, task: Task) -> bool:
    """Drain both queues, compare and mend, all within a run that has begun."""
    run.report.whole &= task.repair and not task.keys
    progress = Progress.begun(run, resumable=task.mode == "full" and task.repair and not task.keys, restart=task.restart)
    if task.repair:
        _drain(run)
    disputes = open_disputes(run) if task.repair else {}
    for entity in run.pair.compared:
        for tenant in run.pair.tenants_of(entity):
            if tenant in run.report.tenants:
                continue  # it could not be polled, so it cannot be compared
            if not progress.passed(entity, tenant) and not _compare(run, task, progress, disputes, entity, tenant):
                return True
    progress.finished()
    return True


def _compare(run: Run, task: Task, progress: Progress, disputes: Disputes, entity: str, tenant: str | None) -> bool:
    """Compare and mend one entity's records, of one tenant; return whether all of them were reached."""
    scope = replace(run.pair.scope, entities=(entity,), tenant=tenant, page_size=run.page_size)
    found = run.report.reconciled.setdefault(f"{entity} of {tenant}" if tenant else entity, Comparison(task.mode))
    batches = _batches(run, task, scope, entity, progress.take_start(), found)
    mender = Mender(run, scope, found, disputes, _drain if task.repair else None)
    while run.goes_on():
        batch = next(batches, None)
        if batch is None:
            found.note = _unknown_keys(task, found) or found.note
            return mender.carry_deletes()
        found.compared += batch.compared
        found.equal += batch.compared - len(batch.differing)
        if batch.differing and not mender.mend(batch):
            return False
        if batch.compared >= scope.page_size and not mender.deletes:
            # A checkpoint is worth a write after that many reads; before noted deletes were carried it would skip them.
            progress.reached(entity, tenant, batch.last)
    return False


def _batches(run: Run, task: Task, scope: Scope, entity: str, after: str | None, found: Comparison) -> Iterator[Batch]:
    left, right = run.pair.left, run.pair.right
    if task.keys:
        return _by_key(task.keys, scope, entity)
    if task.mode == "quick":
        sides = roles(left, right)
        told = sides[0].digests(scope, entity) if sides else None
        if sides and told is not None:
            return quick(*sides, scope, entity, told)
        found.mode, found.note = "full", "one side offers no digests, so every record was read"
    return full(left, right, scope, entity, after)


def _by_key(keys: Sequence[str], scope: Scope, entity: str) -> Iterator[Batch]:
    ids = iter([RecordId(entity, key, scope.tenant) for key in dict.fromkeys(keys)])
    while some := list(islice(ids, scope.page_size)):
        yield Batch(len(some), some)


def _unknown_keys(task: Task, found: Comparison) -> str | None:
    unknown = len(set(task.keys)) - found.compared
    return f"{unknown} of the keys are known on neither side" if task.keys and unknown else None


def _drain(run: Run) -> bool:
    """Carry over what waits in both queues; return whether anything did."""
    before = run.report.moved
    run.waiting.clear()
    for name, source, target in directions(run):
        carry(run, source, target, run.report.directions.setdefault(name, Tally()), _declared_wins(run))
    return run.report.moved > before


def _declared_wins(run: Run) -> Callable[[Peer, Sequence[Conflict]], None] | None:
    """Return what makes the declared side's value win a conflict of values that were never synced: a newer write of it,
    to both sides. Neither author had seen anything: both bases are null."""
    declared = run.pair.initial_winner
    if declared is None:
        return None

    def found(target: Peer, conflicts: Sequence[Conflict]) -> None:
        side = "local" if target.name == declared else "incoming"
        by_time = [each for each in conflicts if each.base is None and each.rule == Policy.LAST_WRITE_WINS and _met(each)]
        lost = run.store.over_first_writes([each for each in by_time if each.winner != side], run.order.run_id)
        changes = [change for each in lost if (change := _again(each, side, declared))]
        for peer in (run.pair.left, run.pair.right) if changes else ():
            peer.apply(changes, run.order.run_id)
        run.store.overrule({each.id: side for each in lost}, "initial_winner")

    return found


def _met(conflict: Conflict) -> bool:
    """Return whether the two sides were written at two peers. Of two writes at one, whose first was carried alone before and not
    acknowledged, the later author had seen the first."""
    local, incoming = (side_stamp(side).partition("|")[2] for side in (conflict.local, conflict.incoming))
    return local != incoming


def _again(conflict: Conflict, side: str, origin: str) -> Change | None:
    wanted, other = (conflict.local, conflict.incoming) if side == "local" else (conflict.incoming, conflict.local)
    if not isinstance(wanted, Value) or not isinstance(other, Value):
        return None
    stamp = after([side_stamp(wanted), side_stamp(other)], origin)
    fields = {conflict.field: Value(wanted.value, stamp)}
    return Change(f"initial:{conflict.id}", conflict.record, Action.UPDATE, fields, {conflict.field: other.stamp})
