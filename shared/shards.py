"""A delta sync past one instance: the shards of both queues, each carried by a task of its own.

A record lies in the same shard of both queues, so no two shards ever meet in one. Entities are carried one after the other,
as in a run of one instance, since a record may refer to one in another shard: the next is handed out when every shard is
done with the one before. Whoever finds that so hands it out; the tasks' names make a repeat harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from shared.brake import Brakes, Way
from shared.engine import carry_both, has_changes, say_brakes
from shared.errors import BadRequest, TerminalBatch
from shared.handout import COUNTS, HandOut
from shared.log import Log
from shared.model import Billed, Page, stamp_time
from shared.parts import PartOf, Parts
from shared.report import Report
from shared.run import Order, Pair, Run, directions, execute
from shared.store import Store
from shared.tasks import Tasks


class ShardRequest(BaseModel):
    """What a task asks for: one entity's shard of a run that was handed out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    pair: str
    """The pair."""
    run: str = Field(min_length=1)
    """The id of the run."""
    entity: str
    """The entity that is being carried."""
    shard: int
    """The number of the shard, from 0."""
    of: int
    """How many there are."""


def sync(pair: Pair, order: Order, store: Store, now: Callable[[], datetime], log: Log, tasks: Tasks | None) -> Report:
    """Carry over what waits in both queues, or, where that is much, hand it out; then the report says so, and the run goes on
    until its last shard is done. AlreadyRunning if another run holds the pair, be it a run that is handed out."""

    def work(run: Run, doing: bool) -> bool:
        if doing and tasks is not None and _is_much(run):
            _hand_out(run, Parts(store.documents), tasks)
            return True
        return carry_both(run, doing)

    return execute(pair, order, store, now, log, work)


def _is_much(run: Run) -> bool:
    if run.pair.sharding is None:
        return False
    waiting = sum(source.pending(run.pair.scope) for _, source, _ in directions(run))
    return min(waiting, run.order.max_changes or waiting) >= run.pair.sharding.threshold


def _hand_out(run: Run, parts: Parts, tasks: Tasks) -> None:
    """Decide the brakes for the whole run, open its record and put the first entity's shards into the task queue."""
    until = {name: source.status(run.pair.scope).now for name, source, _ in directions(run)}
    busy = [way for way in _ways(run) if has_changes(way.source, way.scope)]
    if not busy:
        return
    for way in busy:
        run.brakes.look(way)
    say_brakes(run)
    plan = _plan(run, busy, until)
    parts.open(plan, run.now())
    _put(plan, tasks)
    run.report.handed_out = plan.summary()


def _plan(run: Run, busy: Sequence[Way], until: Mapping[str, datetime]) -> HandOut:
    scope, order, count = run.pair.scope, run.order, run.pair.sharding.count if run.pair.sharding else COUNTS[0]
    entities = tuple(dict.fromkeys(way.scope.entities[0] for way in busy))
    cost = run.pair.billed.since(run.earlier).plus(_closing(len(entities)))
    plan = HandOut(run.pair.name, order.run_id, run.report.started_at, count, entities, until, tuple(run.report.brakes), cost)
    plan = replace(plan, max_changes=order.max_changes, max_billed=run.budget)
    return replace(plan, direction=order.direction, tenant=scope.tenant, whole=run.report.whole)


def _put(plan: HandOut, tasks: Tasks | None) -> None:
    if tasks is None:
        raise TerminalBatch("a run is handed out, but here is no task queue; set TASK_QUEUE as where it was handed out")
    for task in plan.tasks():
        tasks.add(task)


def _closing(waves: int) -> Billed:
    """Return what opening the record costs, and after each wave reading it and changing it; at last with the pair's lease,
    which is read first."""
    return Billed(reads=waves + 1, writes=2 + waves + 1)


def _ways(run: Run) -> list[Way]:
    scope = run.pair.scope
    ways = [
        (source, target, replace(scope, entities=(entity,))) for entity in scope.entities for _, source, target in directions(run)
    ]
    return [run.way(*each) for each in ways]


@dataclass
class SettledBrakes(Brakes):
    """The brakes of a shard: what the hand-out found for the whole queue, never for a part of it."""

    plan: HandOut | None = None

    def held(self, way: Way, page: Page) -> frozenset[str]:
        """Return the deletes that may not pass: those of a braked way, and those that nobody has counted yet."""
        if self.plan is None or way.names in self.plan.held:
            return frozenset(change.id for change in page.changes if change.deletes)
        until = self.plan.until[way.names[0]]
        late = (each for each in page.changes if each.deletes and each.deleted and stamp_time(each.deleted) > until)
        return frozenset(change.id for change in late)


def sync_shard(
    pair: Pair, asked: ShardRequest, store: Store, now: Callable[[], datetime], log: Log, tasks: Tasks | None
) -> tuple[Report | None, str]:
    """Carry one shard of one entity and return its report, or None if there is nothing to do, and a note for people.

    The last shard of an entity hands out the next, that of the last one closes the run. BadRequest if there is no such
    shard, AlreadyRunning if another instance is carrying it.
    """
    _check(pair, asked)
    parts = Parts(store.documents)
    plan = parts.plan(pair.name, asked.run)
    if plan is None:
        return None, f"run {asked.run} is over, or was never handed out; nothing to do"
    if asked.of != plan.shards or asked.entity not in plan.entities:
        raise BadRequest(f"run {asked.run} was handed out in {plan.shards} shards of {', '.join(plan.entities)}")
    if plan.part(asked.entity, asked.shard).done:
        _go_on(parts, plan, now, log, tasks, asked.entity)
        return None, "this shard is done already"
    report = _carry(pair, plan, asked, store, now, log)
    if report.failure is None:
        latest = parts.plan(pair.name, asked.run)
        if latest is not None:
            _go_on(parts, latest, now, log, tasks, asked.entity)
    return report, ""


def _check(pair: Pair, asked: ShardRequest) -> None:
    if asked.entity not in pair.scope.entities:
        raise BadRequest(f"entity: there is no such entity; there are: {', '.join(pair.scope.entities)}")
    if asked.of not in COUNTS:
        raise BadRequest(f"of: {asked.of} is no number of shards; valid: {', '.join(map(str, COUNTS))}")
    if asked.shard not in range(asked.of):
        raise BadRequest(f"shard: {asked.shard} is out of range; of {asked.of} there are 0 to {asked.of - 1}")


def _carry(pair: Pair, plan: HandOut, asked: ShardRequest, store: Store, now: Callable[[], datetime], log: Log) -> Report:
    shard = (asked.shard, plan.shards)
    part = replace(pair, scope=replace(pair.scope, entities=(asked.entity,), tenant=plan.tenant, shard=shard))
    order = Order(plan.run_id, plan.direction, *plan.limits(asked.shard))

    def work(run: Run, doing: bool) -> bool:
        run.brakes = SettledBrakes(plan=plan)
        return carry_both(run, doing)

    own = PartOf(store.documents, plan, asked.entity, asked.shard)
    return execute(part, order, own, now, log.bind(shard=f"{asked.entity} {asked.shard}/{plan.shards}"), work)


def _go_on(parts: Parts, plan: HandOut, now: Callable[[], datetime], log: Log, tasks: Tasks | None, entity: str) -> None:
    """After a shard of `entity`: hand the next entity out if this one is over, or close the run. A repeat does so too, if the
    shard that should have died before it did."""
    done = plan.entities.index(entity)
    if done == plan.wave and plan.wave_is_over:
        if plan.is_last_wave:
            _close(parts, plan, now, log)
            return
        plan = parts.advance(plan) or plan
    if done < plan.wave and not plan.wave_has_begun:
        _put(plan, tasks)


def _close(parts: Parts, plan: HandOut, now: Callable[[], datetime], log: Log) -> None:
    ended = now()
    if parts.close(plan, ended):
        moved = sum(tally["read"] for tally in plan.total()["directions"].values())
        stats = {"duration_seconds": (ended - plan.started_at).total_seconds(), "changes": moved}
        message = f"run of pair {plan.pair} done in {plan.shards} shards: {moved} change(s)"
        log.bind(runId=plan.run_id, pair=plan.pair)("sync_ok", message, stats=stats)
