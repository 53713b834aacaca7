"""Delta sync: for each direction, page of changes > collapse > apply > record > acknowledge. Knows no vendor.

A change is acknowledged last, when everything that came of it is kept; so a run may end anywhere and the next repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.errors import AlreadyRunning, SyncError, Transient, unforeseen
from shared.log import Log
from shared.merge import collapse
from shared.model import (
    Acknowledgement,
    Action,
    Billed,
    Change,
    Conflict,
    Outcome,
    Page,
    Problem,
    Record,
    RecordId,
    Result,
    Scope,
    Stamp,
    Version,
    side_stamp,
    stamp_time,
)
from shared.peers.base import Peer
from shared.policy import decide
from shared.report import Failure, Report, Tally
from shared.retry import Patience
from shared.store import Store

Found = Callable[[Peer, Sequence[Conflict]], None]
NEARLY_AT_ONCE = timedelta(hours=1)


@dataclass(frozen=True)
class Pair:
    """Two peers and what they share. `initial_winner` names the peer whose values win where neither was ever synced."""

    name: str
    left: Peer
    right: Peer
    scope: Scope
    billed: Billed = field(default_factory=Billed)
    patience: Patience = field(default_factory=Patience)
    run_time: timedelta = timedelta(minutes=8)
    initial_winner: str | None = None
    tenants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The tenants of each entity that has any."""

    def tenants_of(self, entity: str) -> tuple[str | None, ...]:
        """Return the tenants whose records are walked when whole peers are compared; (None,) for an entity without any."""
        if entity not in self.tenants:
            return (self.scope.tenant,)
        return tuple(each for each in self.tenants[entity] if self.scope.tenant in {None, each})


@dataclass(frozen=True)
class Order:
    """What a run is asked to do. `direction` is `django_to_firestore` or the like, None for both."""

    run_id: str
    direction: str | None = None
    dry_run: bool = False
    max_changes: int | None = None


@dataclass(frozen=True)
class Run:
    """One execution of a pair: everything that a step of it needs."""

    pair: Pair
    order: Order
    store: Store
    now: Callable[[], datetime]
    log: Log
    report: Report
    waiting: set[RecordId] = field(default_factory=set)
    """Records with a change that must wait; what is known of them is not complete."""
    earlier: Billed = field(default_factory=Billed)
    """What was billed before the run."""

    def add_up(self) -> datetime:
        """Put into the report what was billed so far, and the time; return that."""
        self.report.completed_at = self.now()
        self.report.billed = self.pair.billed.since(self.earlier)
        return self.report.completed_at

    @property
    def over(self) -> bool:
        """Whether the run has used up its time or its number of changes."""
        enough = self.order.max_changes is not None and self.report.moved >= self.order.max_changes
        return enough or self.now() - self.report.started_at >= self.pair.run_time


def sync(pair: Pair, order: Order, store: Store, now: Callable[[], datetime], log: Log) -> Report:
    """Carry over what waits in both queues and return what became of it.

    AlreadyRunning if another run holds the pair. A peer's failure is in the report; nothing was acknowledged that was
    not applied.
    """
    return execute(pair, order, store, now, log, _carry_both)


def execute(
    pair: Pair, order: Order, store: Store, now: Callable[[], datetime], log: Log, work: Callable[[Run, bool], bool]
) -> Report:
    """Run `work` under the pair's lease, with a run record, log lines and figures around it.

    `work(run, False)` is asked first, whether there is anything to do; then, under the lease, `work(run, True)` does it.
    """
    report = Report(pair.name, order.run_id, now(), order.dry_run)
    bound = log.bind(runId=order.run_id, pair=pair.name)
    run = Run(pair, order, store, now, bound, report, earlier=pair.billed.copy())
    run.log("sync_start", f"run of pair {pair.name} begins")
    _guarded(run, lambda: _under_lease(run, work))
    run.add_up()
    _log_end(run)
    return report


def _guarded(run: Run, step: Callable[[], None]) -> None:
    """Do a step of a run; what goes wrong is put into the report, the first failure first. AlreadyRunning is raised."""
    try:
        step()
    except AlreadyRunning as error:
        run.log("sync_fail", str(error), "NOTICE", retry=True)
        raise
    except Exception as error:
        message = str(error) if isinstance(error, SyncError) else unforeseen(error)
        run.report.failure = run.report.failure or Failure(run.pair.name, message, isinstance(error, Transient))


def _under_lease(run: Run, work: Callable[[Run, bool], bool]) -> None:
    lease = run.store.lease(run.pair.name)
    holder = lease.holder(run.report.started_at)
    if holder:
        raise AlreadyRunning(run.pair.name, holder)
    if run.order.dry_run:
        work(run, True)
        return
    began: list[bool] = []

    def asked_and_done() -> None:
        if work(run, False):
            run.store.begin(lease, run.report, run.report.started_at + 2 * run.pair.run_time)
            began.append(True)
            work(run, True)

    _guarded(run, asked_and_done)
    completed = run.add_up()
    if began or run.report.failure:
        run.store.finish(run.report, completed)
    else:
        run.store.note_idle(lease, run.report, completed)


def _log_end(run: Run) -> None:
    report = run.report
    seconds = ((report.completed_at or run.now()) - report.started_at).total_seconds()
    stats = {"duration_seconds": seconds, "changes": report.moved, "dry_run": report.dry_run}
    if report.failure:
        run.log("sync_fail", report.failure.message, "ERROR", stats=stats, retry=report.failure.retry)
    else:
        run.log("sync_ok", f"run of pair {run.pair.name} done: {report.moved} change(s)", stats=stats)


def directions(run: Run) -> list[tuple[str, Peer, Peer]]:
    """Return the directions asked for: name, source, target."""
    left, right = run.pair.left, run.pair.right
    both = [(f"{a.name}_to_{b.name}", a, b) for a, b in ((left, right), (right, left))]
    return [each for each in both if run.order.direction in {None, each[0]}]


def _carry_both(run: Run, doing: bool) -> bool:
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
    """Carry over what waits at `source`, page by page, until the queue is empty or the run is over.

    `found` is shown each page's conflicts once they are kept.
    """
    scope = run.pair.scope
    if run.order.max_changes is not None:
        scope = replace(scope, page_size=min(scope.page_size, run.order.max_changes))
    tried_before = set() if run.order.dry_run else run.store.waiting(run.pair.name, source.name)
    for page in source.changes(scope):
        if run.over:
            run.report.left_over = True
            return
        if len(page) and run.order.dry_run:
            tally.add(_preview(run, target, page))
        elif len(page):
            tally.add(_carry_page(run, source, target, page, tried_before, found))


def _by_record(changes: Iterable[Change]) -> dict[RecordId, list[Change]]:
    groups: dict[RecordId, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.record, []).append(change)
    return groups


def _carried(page: Page) -> list[Change]:
    """Return a page's changes collapsed per record, without those that touch no synced field."""
    touching = (change for change in page.changes if change.fields or change.deleted)
    return [collapse(edits) for edits in _by_record(touching).values()]


def _preview(run: Run, target: Peer, page: Page) -> Tally:
    """Return what carrying the page would do, without doing it."""
    changes = _carried(page)
    held = {record.id: record.version for record in target.read([change.record for change in changes], adopting=False)}
    fates: dict[str, Fate] = {}
    conflicts: set[str] = set()
    for change in changes:
        decision = decide(held.get(change.record, Version()), change)
        fates |= _fates(change, Result(change.id, decision.outcome, decision.applied, {}, decision.version.deleted))
        conflicts.update(each.id for each in decision.conflicts)
    run.report.conflicts |= conflicts
    return _tally(page, fates, len(conflicts))


def _carry_page(run: Run, source: Peer, target: Peer, page: Page, tried_before: set[str], found: Found | None) -> Tally:
    results = _apply(run, source, target, _carried(page))
    fates = {id: Fate(Outcome.INVALID, problem=problem) for id, problem in page.malformed.items()}
    for change, result in results:
        fates |= _fates(change, result)
    conflicts = list({each.id: each for _, result in results for each in result.conflicts}.values())
    record_conflicts(run, target, conflicts)
    if found and conflicts:
        found(target, conflicts)
    _postpone(run, source, page, fates)
    _record_dead_letters(run, source, page, fates)
    source.acknowledge(run.order.run_id, _acknowledgement(page, fates))
    through = [id for id, fate in fates.items() if id in tried_before and fate.outcome not in {Outcome.RETRY, Outcome.INVALID}]
    run.store.forget_waiting(run.pair.name, source.name, through)
    return _tally(page, fates, len(conflicts))


def _apply(run: Run, source: Peer, target: Peer, changes: Sequence[Change]) -> list[tuple[Change, Result]]:
    """Apply the changes; what was refused as a whole is tried again as the edits it was made of, what the target lacks
    the rest of is sent as a whole record."""
    first = list(zip(changes, target.apply(changes, run.order.run_id), strict=True))
    done = [(change, result) for change, result in first if not _worth_splitting(change, result)]
    edits = [edit for change, result in first if _worth_splitting(change, result) for edit in change.edits]
    alone = [replace(edit, edits=(edit,)) for edit in edits]
    if alone:
        done += zip(alone, target.apply(alone, run.order.run_id), strict=True)
    incomplete = {change.record for change, result in done if _is(result, "incomplete")}
    if not incomplete:
        return done
    whole = {each.id: each for each in source.read(sorted(incomplete, key=lambda id: (id.entity, id.tenant or "", id.key)))}
    sent = [
        (change, whole_change(whole[change.record], change))
        for change, result in done
        if _is(result, "incomplete") and change.record in whole
    ]
    answers = target.apply([change for _, change in sent], run.order.run_id)
    better = {change.id: result for (change, _), result in zip(sent, answers, strict=True)}
    return [(change, better.get(change.id, result)) for change, result in done]


def _worth_splitting(change: Change, result: Result) -> bool:
    splits = result.outcome is Outcome.INVALID or _is(result, "reference") or _is(result, "incomplete")
    return splits and len(change.edits) > 1


def _is(result: Result, code: str) -> bool:
    return result.outcome is Outcome.RETRY and result.problem is not None and result.problem.code == code


def whole_change(record: Record, instead_of: Change) -> Change:
    """Return a whole record as a create that stands for a change of it."""
    version = record.version
    stamps = {name: value.stamp for name, value in version.fields.items()}
    action = Action.CREATE if version.deleted is None else Action.DELETE
    base = stamps | {name: base for name, base in instead_of.base.items() if base}
    return Change(instead_of.id, record.id, action, version.fields, base, version.deleted, stamps)


@dataclass(frozen=True, slots=True)
class Fate:
    """How one queue entry ended. `by` is the stamp that overtook it."""

    outcome: Outcome
    by: Stamp | None = None
    problem: Problem | None = None


def _fates(change: Change, result: Result) -> dict[str, Fate]:
    """Return how each edit in a change ended: of a collapsed change, those of which nothing was taken are superseded."""
    if result.outcome not in {Outcome.APPLIED, Outcome.UNCHANGED}:
        by = max([*result.stamps.values(), result.deleted or Stamp("")], default=None)
        return {edit.id: Fate(result.outcome, by or None, result.problem) for edit in change.edits}
    return {edit.id: _fate_of_edit(edit, change, result) for edit in change.edits}


def _fate_of_edit(edit: Change, change: Change, result: Result) -> Fate:
    if edit.deleted is not None and edit.deleted == change.deleted and change.deletes:
        return Fate(result.outcome)
    names = result.applied if result.outcome is Outcome.APPLIED else tuple(change.fields)
    if any(name in edit.fields and edit.fields[name].stamp == change.fields[name].stamp for name in names):
        return Fate(result.outcome)
    return Fate(Outcome.STALE, by=change.latest)


def record_conflicts(run: Run, target: Peer, conflicts: Sequence[Conflict]) -> None:
    """Keep the conflicts that were found at `target`, let it stop repeating them, and log each."""
    if not conflicts:
        return
    run.report.conflicts.update(each.id for each in conflicts)
    run.store.keep_conflicts(run.pair.name, conflicts, run.order.run_id, run.now())
    target.settle(run.order.run_id, [each.id for each in conflicts])
    for each in conflicts:
        apart = abs(stamp_time(side_stamp(each.local)) - stamp_time(side_stamp(each.incoming)))
        severity = "WARNING" if apart < NEARLY_AT_ONCE else "INFO"
        run.log("conflict", f"{each.winner} won at {target.name}", severity, field=each.field, **run.log.record(each.record))


def _postpone(run: Run, source: Peer, page: Page, fates: dict[str, Fate]) -> None:
    """Count the attempt at every change that must wait, and give up those that were tried long enough."""
    waiting = list(_with_problem(page, fates, Outcome.RETRY))
    run.waiting.update(edit.record for edit, _ in waiting)
    spent = run.store.postpone(run.pair.name, source.name, waiting, run.pair.patience, run.now()) if waiting else ()
    fates |= {id: replace(fates[id], outcome=Outcome.INVALID) for id in spent}


def _with_problem(page: Page, fates: Mapping[str, Fate], outcome: Outcome) -> Iterator[tuple[Change, Problem]]:
    unknown = Problem("busy", "the other side named no reason")
    for edit in page.changes:
        fate = fates.get(edit.id)
        if fate is not None and fate.outcome is outcome:
            yield edit, fate.problem or unknown


def _record_dead_letters(run: Run, source: Peer, page: Page, fates: Mapping[str, Fate]) -> None:
    refused: dict[str, tuple[Change | None, Problem]] = {id: (None, problem) for id, problem in page.malformed.items()}
    refused |= {edit.id: (edit, problem) for edit, problem in _with_problem(page, fates, Outcome.INVALID)}
    run.store.refuse(run.pair.name, source.name, refused, run.order.run_id, run.now())
    for edit, problem in refused.values():
        who = run.log.record(edit.record) if edit else {"queue": source.name}
        run.log("dead_letter", problem.message, "ERROR", reason=problem.code, fields=dict(problem.fields), **who)


def _acknowledgement(page: Page, fates: Mapping[str, Fate]) -> Acknowledgement:
    untouched = {edit.id: Fate(Outcome.UNCHANGED) for edit in page.changes if edit.id not in fates}
    ended = {**untouched, **fates}
    taken = tuple(id for id, fate in ended.items() if fate.outcome in {Outcome.APPLIED, Outcome.UNCHANGED})
    superseded = {id: fate.by or Stamp("") for id, fate in ended.items() if fate.outcome is Outcome.STALE}
    failed = {id: _reason(fate.problem) for id, fate in ended.items() if fate.outcome is Outcome.INVALID}
    return Acknowledgement(taken, superseded, failed)


def _reason(problem: Problem | None) -> str:
    if problem is None:
        return "refused"
    fields = "".join(f"; {name}: {rule}" for name, rule in problem.fields.items())
    return f"{problem.code}: {problem.message}{fields}"


def _tally(page: Page, fates: Mapping[str, Fate], conflicts: int) -> Tally:
    outcomes = [fates[edit.id].outcome if edit.id in fates else Outcome.UNCHANGED for edit in page.changes]
    return Tally(
        read=len(page),
        applied=outcomes.count(Outcome.APPLIED),
        unchanged=outcomes.count(Outcome.UNCHANGED),
        superseded=outcomes.count(Outcome.STALE),
        held=outcomes.count(Outcome.HELD),
        dead_letters=outcomes.count(Outcome.INVALID) + len(page.malformed),
        waiting=outcomes.count(Outcome.RETRY),
        conflicts=conflicts,
    )
