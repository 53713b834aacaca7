"""One execution of a pair: its lease, its record, its log lines, its figures; whatever the work is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from shared.brake import Brakes, Way
from shared.breaker import Breaker
from shared.errors import AlreadyRunning, SyncError, Transient, unforeseen
from shared.log import Log
from shared.mapping import Entity
from shared.model import Billed, RecordId, Scope
from shared.overlap import Inline
from shared.peers.base import Peer, Polled
from shared.prices import Prices
from shared.quota import Quota
from shared.report import Failure, Limit, Report
from shared.retry import Patience
from shared.store import Store

LEASE = timedelta(minutes=2)
"""How long a lease lasts unless it is renewed, which a run does page by page."""
PAGES_OF_A_BUDGET = 20


@dataclass(frozen=True, slots=True)
class Sharding:
    """From how many waiting changes on a run is handed out to other instances, and in how many shards."""

    threshold: int
    count: int


@dataclass(frozen=True)
class Pair:
    """Two peers and what they share. `initial_winner` names the peer whose values win where neither was ever synced,
    `max_billed` is the most operations that a run may be billed for."""

    name: str
    left: Peer
    right: Peer
    scope: Scope
    billed: Billed = field(default_factory=Billed)
    patience: Patience = field(default_factory=Patience)
    run_time: timedelta = timedelta(minutes=8)
    max_billed: int | None = None
    prices: Prices = field(default_factory=Prices)
    initial_winner: str | None = None
    tenants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The tenants of each entity that has any."""
    entities: Mapping[str, Entity] = field(default_factory=dict)
    """Policies and types of each entity's fields; the conflicts of one that is missing fall to the last write."""
    beside: Callable[[], Executor] = Inline
    """Makes what does the calls that a run does not wait for."""
    breakers: tuple[Breaker, ...] = ()
    quota: Quota = field(default_factory=Quota)

    sharding: Sharding | None = None
    read_only: frozenset[str] = frozenset()
    """The peers whose systems take no changes: none are carried to them."""

    @property
    def ways(self) -> list[tuple[str, Peer, Peer]]:
        """The directions in which changes are carried: name, source, target."""
        both = ((self.left, self.right), (self.right, self.left))
        return [(f"{a.name}_to_{b.name}", a, b) for a, b in both if b.name not in self.read_only]

    told: Callable[[Report], None] = lambda report: None
    """Is told how far a run has come, before each page."""

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """The synced fields of each entity."""
        return {name: entity.names for name, entity in self.entities.items()}

    @property
    def compared(self) -> tuple[str, ...]:
        """The entities that both sides hold; not those whose events are only carried."""
        return tuple(name for name in self.scope.entities if name not in self.entities or not self.entities[name].published)

    def tenants_of(self, entity: str) -> tuple[str | None, ...]:
        """Return the tenants whose records are walked when whole peers are compared; (None,) for an entity without any."""
        if entity not in self.tenants:
            return (None,) if self.scope.tenant is None else ()
        return tuple(each for each in self.tenants[entity] if self.scope.tenant in {None, each})


@dataclass(frozen=True)
class Order:
    """What a run is asked to do. `direction` is `django_to_firestore` or the like, None for both; `allow_mass_delete` is the
    plan of a brake whose deletes may pass; `max_billed` takes the place of the pair's; `by` is who asks."""

    run_id: str
    direction: str | None = None
    max_changes: int | None = None
    max_billed: int | None = None
    allow_mass_delete: str | None = None
    by: str = ""


@dataclass
class Run:
    """One execution of a pair: everything that a step of it needs."""

    pair: Pair
    order: Order
    store: Store
    now: Callable[[], datetime]
    log: Log
    report: Report
    earlier: Billed
    """What was billed before the run."""
    renewed_at: datetime
    """When the lease was taken, or last held for longer."""
    beside: Executor = field(default_factory=Inline)
    """Where a step goes on beside the run's own."""
    waiting: set[RecordId] = field(default_factory=set)
    """Records with a change that must wait; what is known of them is not complete."""
    brakes: Brakes = field(init=False)
    quota_before: Counter[str] = field(init=False)
    polled_at: datetime | None = None
    """When all peers without a queue had been asked."""
    _meanwhile: Future[None] | None = None
    _spent: int = 0
    _dearest_step: int = 0

    def __post_init__(self) -> None:
        self.brakes = Brakes(self.order.allow_mass_delete)
        self.quota_before = self.pair.quota.copy()

    def poll(self) -> None:
        """Look for what is new at peers without a queue. What fails for one tenant is in the report; with none, it is raised."""
        for peer in (self.pair.left, self.pair.right):
            troubles = peer.poll(self.pair.scope, self.pair.tenants_of) if isinstance(peer, Polled) else {}
            for tenant, error in troubles.items():
                if tenant is None:
                    raise error
                self.report.tenants[tenant] = Failure(peer.name, str(error), isinstance(error, Transient))
                self.log("tenant_failed", str(error), "WARNING", tenant=tenant, peer=peer.name)
        self.polled_at = self.now()

    def way(self, source: Peer, target: Peer, scope: Scope) -> Way:
        """Return the way of the one entity in `scope` from a peer to the other."""
        return Way(source, target, scope, self.pair.tenants_of(scope.entities[0]))

    @property
    def budget(self) -> int | None:
        """The most operations that may be billed; None for any number."""
        return self.pair.max_billed if self.order.max_billed is None else self.order.max_billed

    @property
    def page_size(self) -> int:
        """How many records to take at a time: fewer where changes or operations are counted, so as not to overshoot by much."""
        sizes = [self.pair.scope.page_size, self.order.max_changes or self.pair.scope.page_size]
        return min(sizes if self.budget is None else [*sizes, max(1, self.budget // PAGES_OF_A_BUDGET)])

    @property
    def is_limited(self) -> bool:
        """Whether changes or operations are counted, so that nothing may be fetched that is perhaps not carried."""
        return self.order.max_changes is not None or self.budget is not None

    def meanwhile(self, step: Callable[[], None]) -> None:
        """Do a step beside what follows. What goes wrong is raised by the next one, or by `wait`."""
        self.wait()
        self._meanwhile = self.beside.submit(step)

    def wait(self) -> None:
        """Wait until the last step that was begun beside the run's own is over."""
        begun, self._meanwhile = self._meanwhile, None
        if begun:
            begun.result()

    def add_up(self, closing: Billed) -> datetime:
        """Put into the report what was billed, with what closing it will cost, how the peers answered, and the time; return
        that."""
        self.report.completed_at = self.now()
        self.report.billed = self.pair.billed.since(self.earlier).plus(closing)
        self.report.quota_errors = self.pair.quota.copy() - self.quota_before
        self.report.breakers = {each.peer: each.kept for each in self.pair.breakers if each.kept}
        return self.report.completed_at

    def goes_on(self) -> bool:
        """Return whether there is time, a change and an operation left for the next page; the report says what is not. Holds
        the lease for a while longer: a run that dies gives it back by not renewing it.

        A budget is left alone by a page that would cost more than what is left of it if it cost as much as the dearest
        page so far; so it is overshot by less than one page of a twentieth of it, and only by the first page or one
        dearer than any before. The first page with anything in it always goes, or no run would ever get anywhere.
        """
        if self.now() - self.renewed_at >= LEASE / 4:
            self.renewed_at = self.now()
            self.store.renew(self.pair.name, self.now() + LEASE, self.report.done)
        self.pair.told(self.report)
        self.report.stopped_by = self._limit()
        return self.report.stopped_by is None

    def _limit(self) -> Limit | None:
        # Asking is not counted: a tenant that was slow to answer takes no time from what the others have waiting.
        if self.now() - (self.polled_at or self.report.started_at) >= self.pair.run_time:
            return "time"
        if self.order.max_changes is not None and self.report.moved >= self.order.max_changes:
            return "changes"
        return "budget" if self._is_dear() else None

    def _is_dear(self) -> bool:
        spent = self.pair.billed.since(self.earlier).plus(self.store.closing).total
        self._dearest_step, self._spent = max(self._dearest_step, spent - self._spent), spent
        return self.budget is not None and self.report.got_somewhere and spent + self._dearest_step > self.budget


def execute(
    pair: Pair,
    order: Order,
    store: Store,
    now: Callable[[], datetime],
    log: Log,
    work: Callable[[Run, bool], bool],
    alone: bool = True,
) -> Report:
    """Run `work` under the pair's lease, with a run record, log lines and figures around it.

    `work(run, False)` is asked first, whether there is anything to do; then, under the lease, `work(run, True)` does it. If it
    need not be `alone`, there is no lease, and it is done at once: a lease saves work, and guards nothing.
    """
    report = Report(pair.name, order.run_id, now(), prices=pair.prices, by=order.by, tenant=pair.scope.tenant)
    report.whole = order.direction is None and set(pair.scope.entities) == set(pair.entities)
    bound = log.bind(runId=order.run_id, pair=pair.name)
    with pair.beside() as beside:
        run = Run(pair, order, store, now, bound, report, pair.billed.copy(), report.started_at, beside)
        run.log("sync_start", f"run of pair {pair.name} begins")
        _guarded(run, lambda: _under_lease(run, work) if alone else _beside_others(run, work))
    if report.completed_at is None:
        run.add_up(Billed())
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
    left = lease.left_by(run.report.started_at)
    if left:
        run.log("run_left_open", f"run {left} never ended: whoever carried it has died; this run takes its place", "WARNING")
        lease = run.store.taken_over(lease)
    holder = lease.holder(run.report.started_at)
    if holder:
        raise AlreadyRunning(run.pair.name, holder)
    began: list[bool] = []

    def asked_and_done() -> None:
        for each in run.pair.breakers:
            each.resume(lease.breaker(each.peer))
            each.check()
        run.poll()
        if work(run, False):
            run.store.begin(lease, run.report, run.now() + LEASE)
            began.append(True)
            work(run, True)

    _guarded(run, asked_and_done)
    if run.report.handed_out:
        return
    if began or run.report.failure or run.report.tenants or run.store.idle_is_news(lease, run.report, run.now()):
        run.store.finish(run.report, run.add_up(run.store.closing))


def _beside_others(run: Run, work: Callable[[Run, bool], bool]) -> None:
    _guarded(run, lambda: _worked(run, work))
    run.store.note(run.report, run.add_up(Billed(writes=1)))


def _worked(run: Run, work: Callable[[Run, bool], bool]) -> None:
    for each in run.pair.breakers:
        each.check()
    work(run, True)


def _log_end(run: Run) -> None:
    report = run.report
    seconds = ((report.completed_at or run.now()) - report.started_at).total_seconds()
    stats = {
        "duration_seconds": seconds,
        "changes": report.moved,
        "stopped_by": report.stopped_by,
        "billed": asdict(report.billed),
        "cost": report.prices.cost(report.billed),
        "quota_errors": sum(report.quota_errors.values()),
    }
    if report.failure:
        run.log("sync_fail", report.failure.message, "ERROR", stats=stats, retry=report.failure.retry)
    elif report.handed_out:
        run.log("sync_handed_out", f"run of pair {run.pair.name} goes on in {report.handed_out['shards']} shards", stats=stats)
    else:
        run.log("sync_ok", f"run of pair {run.pair.name} done: {report.moved} change(s)", stats=stats)


def directions(run: Run) -> list[tuple[str, Peer, Peer]]:
    """Return the directions asked for: name, source, target."""
    return [each for each in run.pair.ways if run.order.direction in {None, each[0]}]
