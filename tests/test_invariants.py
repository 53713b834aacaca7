"""The promises that everything else rests on, each tested under its name: on chosen schedules and on thousands of others."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from memory_firestore import Clock, MemoryFirestore
from world import FIELDS, Quiet, World

from shared.canonical import canonical
from shared.engine import Order, Pair, sync
from shared.errors import SyncError, TerminalBatch, Transient
from shared.merge import collapse, merge
from shared.model import Action, Change, Outcome, RecordId, Scope, Stamp, Value, Version, stamp_at
from shared.peers.memory import MemoryPeer
from shared.policy import decide
from shared.reconcile import reconcile
from shared.report import Report
from shared.store import Store

KEYS = "xy"
BOUNDED = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
RULES = settings(BOUNDED, max_examples=300)


class Crash(BaseException):
    """The process is gone; nothing may catch it."""


# Any schedule


class Schedules(RuleBasedStateMachine):
    """Users on both sides, a delivery that is late and repeats itself, runs that are cut off, and clocks that run apart."""

    keys = st.sampled_from(KEYS)
    names = st.sets(st.sampled_from(FIELDS), min_size=1)
    kinds = st.sampled_from(["new", "new", "zero", "null"])

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def values(self, names: set[str], kind: str) -> dict[str, Any]:
        made = {"new": lambda: next(self.world.values), "zero": lambda: 0, "null": lambda: None}[kind]
        return {name: made() for name in sorted(names)}

    @rule(ahead=st.integers(-120, 90))
    def clocks_move_apart(self, ahead: int) -> None:
        self.world.django.now = self.world.clock.apart(ahead)

    @rule(seconds=st.sampled_from([0.0, 1.0, 30.0, 600.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.tick(seconds)

    @rule(key=keys, names=names, kind=kinds)
    def django_saves(self, key: str, names: set[str], kind: str) -> None:
        self.world.d_save(key, **self.values(names, kind))

    @rule(key=keys, names=names, kind=kinds)
    def django_is_written_raw(self, key: str, names: set[str], kind: str) -> None:
        self.world.d_raw(key, **self.values(names, kind))

    @rule(key=keys)
    def django_deletes(self, key: str) -> None:
        self.world.d_delete(key)

    @rule(key=keys, names=names, kind=kinds)
    def a_client_updates(self, key: str, names: set[str], kind: str) -> None:
        write = self.world.f_set if self.world.f_values(key) is None else self.world.f_update
        write(key, **self.values(names, kind))

    @rule(key=keys, names=names)
    def a_client_sets_blindly(self, key: str, names: set[str]) -> None:
        self.world.f_set(key, **self.values(names, "new"))

    @rule(key=keys)
    def a_client_deletes(self, key: str) -> None:
        self.world.f_delete(key)

    @rule(index=st.integers(0, 5), keep=st.booleans(), bare=st.booleans())
    def an_event_comes(self, index: int, keep: bool, bare: bool) -> None:
        self.world.deliver(index, keep, bare)

    @rule(direction=st.sampled_from([None, None, "django_to_firestore", "firestore_to_django"]))
    def a_run(self, direction: str | None) -> None:
        self.world.sync(direction=direction)

    @rule()
    def a_reconciliation(self) -> None:
        self.world.reconcile()

    @rule(work=st.sampled_from(["sync", "reconcile", "deliver"]), calls=st.integers(1, 30), waits=st.booleans())
    def a_crash(self, work: str, calls: int, waits: bool) -> None:
        left = itertools.count(calls, -1)

        def fault(name: str) -> None:
            if next(left) == 1:
                raise Crash

        self.world.database.fault = fault
        try:
            self.world.deliver(keep=True) if work == "deliver" else getattr(self.world, work)()
        except Crash:
            self._lease_runs_out(waits)
        finally:
            self.world.database.fault = lambda _: None

    def _lease_runs_out(self, waits: bool) -> None:
        if waits:
            self.world.clock.tick(2 * self.world.pair.run_time.total_seconds())
        for path in [path for path in self.world.database.documents if path.startswith("sync_leases/")]:
            del self.world.database.documents[path]

    def teardown(self) -> None:
        self.world.django.read([self.world.id(key) for key in KEYS])  # raw writes have no event; something looks at them
        self.world.settle()
        self.world.check(KEYS)
        self.world.database.events.clear()


TestAnySchedule = Schedules.TestCase
TestAnySchedule.settings = BOUNDED
