"""The world of one schedule: both systems, the network, the clocks, the people, the runs and the deliveries of events."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from memory_firestore import Event

from shared.engine import sync
from shared.errors import AlreadyRunning, SyncError, TerminalRecord
from shared.log import Log
from shared.model import Problem, RecordId, Scope
from shared.naming import state_id
from shared.peers.firestore import FirestorePeer
from shared.peers.rest_queue import RestQueue
from shared.preview import Motion, rehearse
from shared.reconcile import Task, reconcile
from shared.report import Report
from shared.retry import Backoff, Patience
from shared.run import Order, Pair
from shared.store import Store
from shared.tracker import Poke, track
from simulation.actors import Actor, Network
from simulation.backend import Backend
from simulation.entities import MARK, TENANT, configured
from simulation.faults import FaultyFirestore, http
from simulation.ledger import Ledger
from simulation.moods import Mood
from simulation.operators import Operator
from simulation.rest import URL, Server, Session
from simulation.users import Backoffice, Clients

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENTS_LIVE = timedelta(hours=47)
"""For so long an event may be delivered again, as the simulation's clock has it; then it is dropped."""
WORKS: dict[str, Motion] = {"sync": sync, "reconcile": reconcile, "quick reconcile": partial(reconcile, task=Task("quick"))}


class Violated(AssertionError):
    """Something that must hold does not."""


class Listened(Log):
    """A log whose lines are listened to for what must never be said."""

    def bind(self, **context: str) -> Listened:
        return Listened(self.secret, (*self.context, *context.items()))

    def __call__(self, event: str, message: str, severity: str = "INFO", **fields: Any) -> None:
        if MARK in message or MARK in repr(fields) or MARK in repr(self.context):
            raise Violated(f"a log line {event!r} holds a value or a key")


LOG = Listened(lambda: "a key for tests")


@dataclass(frozen=True)
class Settings:
    """How a world is configured; `without` leaves the optional field out of the sync, `policy` is one of POLICIES."""

    entities: tuple[str, ...] = ("group", "thing")
    page_size: int = 3
    initial_winner: str | None = None
    without: bool = False
    patience: int = 4
    policy: str = ""


@dataclass
class Late:
    """An event on its way, and since when. `busy`: it is being delivered."""

    event: Event
    since: datetime
    busy: bool = False


class Stage:
    """Time is Firestore's, which never goes back; the clocks of backend and functions run apart from it."""

    def __init__(self, settings: Settings, trace: list[str] | None = None) -> None:
        self.time = START
        self.ahead = {"backend": timedelta(), "functions": timedelta()}
        self.network = Network(trace)
        self.database = FaultyFirestore(lambda: self.time)
        self.database.gate = self.network.gate
        self.backend = Backend(self.backend_clock)
        self.ledger = Ledger()
        self.office, self.clients, self.operator = Backoffice(self), Clients(self), Operator(self)
        self.store, self.log = Store(self.database), LOG
        self.late: list[Late] = []
        self.runs = itertools.count(1)
        self.reports: list[Report] = []
        self.unrepaired: set[str] = set()
        """Why only a reconcile can make both sides the same again."""
        self.toggled: set[tuple[RecordId, str]] = set()
        self.mood = Mood()
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Deploy another configuration; what is under way goes on with the old one."""
        self.settings = settings
        entities = configured(settings.entities, settings.without, settings.policy)
        self.firestore = FirestorePeer("firestore", self.database, "things", entities, self.functions_clock, self.sleep)
        session: Any = Session(Server(self.backend), lambda label, act: self.network.gate(label, lambda fault: http(fault, act)))
        self.django = RestQueue(
            "django",
            URL,
            {entity.name: entity for entity in entities},
            lambda: "token",
            backoff=Backoff(attempts=3),
            sleep=self.sleep,
            session=session,
            chance=lambda: 0.5,
        )
        self.pair = Pair(
            "things",
            self.django,
            self.firestore,
            Scope("things", tuple(entity.name for entity in entities), page_size=settings.page_size),
            self.database.billed,
            Patience(settings.patience),
            initial_winner=settings.initial_winner,
            tenants={"note": (TENANT,)} if "note" in settings.entities else {},
            entities={entity.name: entity for entity in entities},
        )

    def rows(self, collection: str) -> dict[str, Any]:
        """Return the sync's own records of one kind, by id."""
        start = collection + "/"
        return {path[len(start) :]: each.fields for path, each in self.database.documents.items() if path.startswith(start)}

    # Time

    def backend_clock(self) -> datetime:
        return self.time + self.ahead["backend"]

    def functions_clock(self) -> datetime:
        return self.time + self.ahead["functions"]

    def sleep(self, seconds: float) -> None:
        self.time = self.database.time() + timedelta(seconds=seconds)

    # Runs

    def start(self, work: str, **order: Any) -> Actor:
        """Let a run begin; it has made no call yet."""
        name = f"run-{next(self.runs)}"
        pair = self.pair
        if work != "sync" and pair.initial_winner:
            # its newer writes are in no queue: what one side takes and the other does not takes another reconcile
            self.unrepaired.add("a declared side may have won at one side only")
        reads_only = bool(order.pop("dry_run", False))

        def run() -> None:
            try:
                self._ended(made(WORKS[work], pair, Order(name, **order)), work)
            except AlreadyRunning:
                self.network.say(f"  {name} finds another run under way")

        def made(motion: Motion, pair: Pair, order: Order) -> Report:
            if reads_only:
                return rehearse(motion, pair, order, self.store, self.functions_clock)
            return motion(pair, order, self.store, self.functions_clock, LOG)

        return self.act(Actor(name, run, reads_only))

    def act(self, actor: Actor) -> Actor:
        """Take in somebody who is about to begin."""
        self.network.actors.append(actor)
        return actor

    def _ended(self, report: Report, work: str) -> None:
        self.reports.append(report)
        if not all(tally.even for tally in report.directions.values()):
            raise Violated(f"{report.run_id}: not every change that was read is accounted for")
        if report.failure and report.failure.message.startswith("unforeseen"):
            raise Violated(f"{report.run_id}: {report.failure.message}")
        if report.forecast is None and MARK in repr(report):  # a plan is for the caller's eyes
            raise Violated(f"{report.run_id}: the report holds a value or a key")
        if self.network.trace is not None:
            tallies = {name: {k: v for k, v in vars_of(tally).items() if v} for name, tally in report.directions.items()}
            ended = f"fails: {report.failure.message}" if report.failure else "ends"
            self.network.say(f"  {report.run_id} {ended} {tallies} {report.reconciled or ''}")

    def run(self, work: str = "sync", **order: Any) -> Report | None:
        """Let a run begin and come to its end; None where another run was under way or it crashed."""
        before = len(self.reports)
        self.network.go_on(self.start(work, **order), None)
        return self.reports[-1] if len(self.reports) > before else None

    # Events

    def events(self) -> list[Late]:
        """Take over what happened, drop what is too old, and return what is on its way."""
        found = [event for event in self.database.events if not event.path.startswith("sync_")]
        self.database.events.clear()
        self.late += [Late(event, self.time) for event in found]
        if self.late and self.time - self.late[0].since > EVENTS_LIVE:
            for each in [each for each in self.late if not each.busy and self.time - each.since > EVENTS_LIVE]:
                self.drop(each)
        return self.late

    def drop(self, late: Late) -> None:
        """Lose an event for good."""
        self.late.remove(late)
        self.unrepaired.add("an event was lost")

    def deliver(self, late: Late, again: bool = False, bare: bool = False) -> Actor | None:
        """Let the delivery of an event begin; it comes again if it fails, or (`again`) anyway. None: nobody listens."""
        entity, record = self._of(late.event.path)
        if record is None:
            self.late.remove(late)
            return None
        event, peer = late.event, self.firestore
        bare = bare and event.after is not None and any(event.after.fields.get(each.at) is not None for each in entity.fields)
        before, after = (None, None) if bare else (event.before, event.after)
        poke = Poke(record, before, after, event.time.replace(microsecond=0))
        name = f"event of {event.path}"
        late.busy = True

        def work() -> None:
            try:
                done = track(peer, poke)
                self.network.say(f"  {name}: {done}")
                self._delivered(late, again)
            except TerminalRecord as error:  # as `events.receive` has it
                letter = {state_id(record.tenant, record.entity, record.key): (None, Problem(error.code, str(error)))}
                self.store.refuse(peer.pair, peer.name, letter, "tracker", self.functions_clock())
                self._delivered(late, again)
            except SyncError as error:
                self.network.say(f"  {name} fails: {error}")
            finally:
                late.busy = False

        return self.act(Actor(name, work))

    def _delivered(self, late: Late, again: bool) -> None:
        if not again and late in self.late:
            self.late.remove(late)

    def _of(self, path: str) -> tuple[Any, RecordId | None]:
        for layout in self.firestore.layouts.values():
            record = layout.entity.record(path)
            if record is not None:
                return layout.entity, record
        return None, None

    def deliver_all(self) -> None:
        """Deliver every event that is on its way, in order."""
        for _ in range(1000):
            if not self.events():
                return
            actor = self.deliver(self.late[0])
            if actor is not None:
                self.network.go_on(actor, None)
        raise Violated("the same event is delivered over and over")

    # Copies

    def copy_from(self, other: Stage) -> None:
        """Begin where another world stands."""
        self.time = other.time
        self.database.documents = dict(other.database.documents)
        self.database._last = other.database._last
        self.backend = other.backend.copy(self.backend_clock)
        self.unrepaired = set(other.unrepaired)
        self.late = [replace(each) for each in other.late]
        self.configure(self.settings)


def vars_of(tally: Any) -> dict[str, int]:
    return {
        name: getattr(tally, name) for name in ("read", "applied", "unchanged", "superseded", "held", "dead_letters", "waiting")
    }
