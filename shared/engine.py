"""Delta sync: for each direction, page of changes > collapse > apply > record > acknowledge. Knows no vendor.

A change is acknowledged last, when everything that came of it is kept; so a run may end anywhere and the next repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timedelta

from shared.brake import Way
from shared.fates import Fate, acknowledgement, fates_of, is_waiting_for, tally_of, with_problem, worth_splitting
from shared.held import apply_by_policy
from shared.log import Log
from shared.merge import collapse
from shared.model import (
    Action,
    Change,
    Conflict,
    Outcome,
    Page,
    Policy,
    Problem,
    Record,
    RecordId,
    Result,
    Scope,
    side_stamp,
    stamp_time,
)
from shared.peers.base import Peer
from shared.report import Report, Tally
from shared.run import Order, Pair, Run, directions, execute
from shared.store import Store

Found = Callable[[Peer, Sequence[Conflict]], None]
NEARLY_AT_ONCE = timedelta(hours=1)


def sync(pair: Pair, order: Order, store: Store, now: Callable[[], datetime], log: Log) -> Report:
    """Carry over what waits in both queues and return what became of it.

    AlreadyRunning if another run holds the pair. A peer's failure is in the report; nothing was acknowledged that was
    not applied.
    """
    return execute(pair, order, store, now, log, carry_both)


def carry_both(run: Run, doing: bool) -> bool:
    """Carry over what waits in the directions asked for; or, if not `doing`, return whether anything does."""
    waiting = False
    for name, source, target in directions(run):
        tally = run.report.directions.setdefault(name, Tally())
        if doing:
            carry(run, source, target, tally)
        else:
            waiting = waiting or has_changes(source, run.pair.scope)
    return waiting


def has_changes(source: Peer, scope: Scope) -> bool:
    """Return whether anything waits in a peer's queue; looks at one entry."""
    return len(next(source.changes(replace(scope, page_size=1)), Page())) > 0


def carry(run: Run, source: Peer, target: Peer, tally: Tally, found: Found | None = None) -> None:
    """Carry over what waits at `source`, entity by entity and page by page, until the queue is empty or the run is over.

    `found` is shown each page's conflicts once they are kept.
    """
    tried_before = run.store.waiting(run.pair.name, source.name)
    for entity in run.pair.scope.entities:
        way = run.way(source, target, replace(run.pair.scope, entities=(entity,), page_size=run.page_size))
        for page in _pages(run, way):
            held = run.brakes.held(way, page)
            say_brakes(run)
            if len(page):
                tally.add(_carry_page(run, source, target, page, tried_before, found, held))
        run.wait()
        if run.report.stopped_by:
            return


def _pages(run: Run, way: Way) -> Iterator[Page]:
    """Yield the pages of a queue for as long as the run goes on, each fetched while the one before is applied."""
    pages = way.source.changes(way.scope)
    ahead: Future[Page | None] | None = None
    while run.goes_on():
        page = ahead.result() if ahead else next(pages, None)
        if page is None:
            return
        ahead = None if run.is_limited else run.beside.submit(next, pages, None)
        yield page


def say_brakes(run: Run) -> None:
    """Report and log the brakes that were found since this was last asked for."""
    for each in list(run.brakes.found.values())[len(run.report.brakes) :]:
        run.report.brakes.append(each)
        message = f"{each.deletes} deletes of {each.entity} are held; allow_mass_delete={each.plan} lets them pass"
        run.log("brake", message, "WARNING", direction=each.direction, entity=each.entity, deletes=each.deletes, plan=each.plan)


def _by_record(changes: Iterable[Change]) -> dict[RecordId, list[Change]]:
    groups: dict[RecordId, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.record, []).append(change)
    return groups


def _carried(page: Page) -> list[Change]:
    """Return a page's changes collapsed per record, without those that touch no synced field."""
    touching = (change for change in page.changes if change.fields or change.deleted)
    return [collapse(edits) for edits in _by_record(touching).values()]


def _carry_page(
    run: Run, source: Peer, target: Peer, page: Page, tried_before: set[str], found: Found | None, held: frozenset[str]
) -> Tally:
    changes = _carried(page)
    fates = {id: Fate(Outcome.INVALID, problem=problem) for id, problem in page.malformed.items()}
    braked = {change.id: change for change in changes if change.deletes and any(edit.id in held for edit in change.edits)}
    fates |= {edit.id: Fate(Outcome.HELD) for change in braked.values() for edit in change.edits}
    results = apply_changes(run, source, target, [change for change in changes if change.id not in braked])
    for change, result in results:
        fates |= fates_of(change, result)
        if result.outcome is Outcome.APPLIED:
            run.report.count(change)
    conflicts = list({each.id: each for _, result in results for each in result.conflicts}.values())
    record_conflicts(run, target, conflicts)
    if found and conflicts:
        found(target, conflicts)
    _postpone(run, source, page, fates)
    _record_dead_letters(run, source, page, fates)
    through = [id for id, fate in fates.items() if id in tried_before and fate.outcome not in {Outcome.RETRY, Outcome.INVALID}]

    def acknowledge() -> None:
        source.acknowledge(run.order.run_id, acknowledgement(page, fates))
        run.store.forget_waiting(run.pair.name, source.name, through)

    run.meanwhile(acknowledge)
    return tally_of(page, fates, len(conflicts))


def apply_changes(run: Run, source: Peer, target: Peer, changes: Sequence[Change]) -> list[tuple[Change, Result]]:
    """Apply the changes; what was refused as a whole is tried again as the edits it was made of, what the target lacks
    the rest of is sent as a whole record."""
    first = list(zip(changes, apply_by_policy(run, source, target, changes), strict=True))
    done = [(change, result) for change, result in first if not worth_splitting(change, result)]
    edits = [edit for change, result in first if worth_splitting(change, result) for edit in change.edits]
    alone = [replace(edit, edits=(edit,)) for edit in edits]
    if alone:
        done += zip(alone, apply_by_policy(run, source, target, alone), strict=True)
    incomplete = {change.record for change, result in done if is_waiting_for(result, "incomplete")}
    if not incomplete:
        return done
    whole = {each.id: each for each in source.read(sorted(incomplete, key=lambda id: (id.entity, id.tenant or "", id.key)))}
    sent = [
        (change, whole_change(whole[change.record], change))
        for change, result in done
        if is_waiting_for(result, "incomplete") and change.record in whole
    ]
    answers = target.apply([change for _, change in sent], run.order.run_id)
    better = {change.id: result for (change, _), result in zip(sent, answers, strict=True)}
    return [(change, better.get(change.id, result)) for change, result in done]


def whole_change(record: Record, instead_of: Change) -> Change:
    """Return a whole record as a create that stands for a change of it."""
    version = record.version
    stamps = {name: value.stamp for name, value in version.fields.items()}
    action = Action.CREATE if version.deleted is None else Action.DELETE
    base = stamps | {name: base for name, base in instead_of.base.items() if base}
    return Change(instead_of.id, record.id, action, version.fields, base, version.deleted, stamps)


def record_conflicts(run: Run, target: Peer, conflicts: Sequence[Conflict]) -> None:
    """Keep the conflicts that were found at `target`, let it stop repeating them, and log each. Those that a policy settled
    were kept before."""
    run.report.conflicts.update(each.id for each in conflicts)
    found = [each for each in conflicts if each.rule == Policy.LAST_WRITE_WINS]
    if found:
        run.store.keep_conflicts(run.pair.name, found, run.order.run_id, run.now())
        target.settle(run.order.run_id, [each.id for each in found])
    for each in conflicts:
        apart = abs(stamp_time(side_stamp(each.local)) - stamp_time(side_stamp(each.incoming)))
        severity = "WARNING" if apart < NEARLY_AT_ONCE or each.open else "INFO"
        said = "waits for somebody's decision" if each.open else f"{each.winner} won"
        run.log(
            "conflict", f"{said} at {target.name}", severity, field=each.field, rule=str(each.rule), **run.log.record(each.record)
        )


def _postpone(run: Run, source: Peer, page: Page, fates: dict[str, Fate]) -> None:
    """Count the attempt at every change that must wait, and give up those that were tried long enough."""
    waiting = list(with_problem(page, fates, Outcome.RETRY))
    run.waiting.update(edit.record for edit, _ in waiting)
    spent = run.store.postpone(run.pair.name, source.name, waiting, run.pair.patience, run.now()) if waiting else ()
    fates |= {id: replace(fates[id], outcome=Outcome.INVALID) for id in spent}


def _record_dead_letters(run: Run, source: Peer, page: Page, fates: Mapping[str, Fate]) -> None:
    refused: dict[str, tuple[Change | None, Problem]] = {id: (None, problem) for id, problem in page.malformed.items()}
    refused |= {edit.id: (edit, problem) for edit, problem in with_problem(page, fates, Outcome.INVALID)}
    run.store.refuse(run.pair.name, source.name, refused, run.order.run_id, run.now())
    for edit, problem in refused.values():
        who = run.log.record(edit.record) if edit else {"queue": source.name}
        run.log("dead_letter", problem.message, "ERROR", reason=problem.code, fields=dict(problem.fields), **who)
