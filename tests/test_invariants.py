"""The promises that everything else rests on, each tested under its name on chosen schedules.

Any schedule, with a backend and Firestore: the simulation (tests/simulation/). Here only two memory peers are left to chance.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from world import FIELDS, World

from shared.canonical import canonical
from shared.engine import sync
from shared.errors import AlreadyRunning, SyncError, TerminalBatch, Transient
from shared.merge import collapse, merge
from shared.model import Action, Change, Outcome, RecordId, Value, Version, stamp_at
from shared.native import loaded
from shared.peers.memory import MemoryPeer
from shared.policy import decide
from shared.reconcile import reconcile
from shared.report import Report

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
PATIENT = 3600 * 30.0


class Crash(BaseException):
    """The process is gone; nothing may catch it."""


def at(w: World, call: str, number: int, act: Callable[[], object]) -> None:
    """Let something happen once, when Firestore is called so (`any`: called at all) for the n-th time from now."""
    left = number

    def fault(name: str) -> None:
        nonlocal left
        left -= call in {name, "any"}
        if left == 0:
            w.database.fault = lambda _: None
            act()

    w.database.fault = fault


def failing(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def synced(ahead: float = 0.0) -> World:
    """Both sides hold x and y with a, b and c = 0."""
    w = World(ahead)
    w.d_save("x", a=0, b=0, c=0)
    w.d_save("y", a=0, b=0, c=0)
    w.settle()
    return w


def letters(w: World) -> dict[str, Mapping[str, Any]]:
    """Return the dead letters by key, those that are only being tried again too."""
    rows = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_dead_letters/")]
    return {row["key"]: row for row in rows}


def billed(w: World, work: Callable[[], object]) -> tuple[int, int]:
    """Return the reads, and the writes and deletes, that some work is billed for."""
    before = w.database.billed.copy()
    work()
    made = w.database.billed.since(before)
    return made.reads, made.writes + made.deletes


def attempt(w: World, work: Callable[..., Report] = sync) -> list[object]:
    """Run, and return what the run says of its failure, if anything failed."""
    try:
        report = w.sync(work)
        return [report.failure, report.as_json()] if report.failure else []
    finally:
        w.database.fault = lambda _: None


# The one rule

MOMENT = World().clock()
STAMPS = st.builds(
    lambda tick, origin: stamp_at(MOMENT + timedelta(seconds=tick), origin), st.integers(0, 4), st.sampled_from("df")
)
FIELD_VALUES = st.builds(Value, st.sampled_from([None, True, 0, 1, 1.0, "1", [], {"a": 1}]), STAMPS)
VERSIONS = st.builds(Version, st.dictionaries(st.sampled_from(FIELDS), FIELD_VALUES), st.none() | STAMPS).map(
    lambda version: merge(version, Version())  # no peer holds a delete that some field outlives
)
EDITS = st.builds(
    lambda fields, deleted: Change("", RecordId("thing", "x"), Action.UPDATE, fields, deleted=deleted),
    st.dictionaries(st.sampled_from(FIELDS), FIELD_VALUES),
    st.none() | STAMPS,
).filter(lambda change: change.stamps)


def shown(version: Version) -> object:
    """Return a version so that two that say the same are equal: 1 and 1.0 are one value, 1 and true are not."""
    return {name: (canonical(each.value), each.stamp) for name, each in version.fields.items()}, version.deleted


@RULES
@given(VERSIONS, VERSIONS)
def test_merge_is_commutative(one: Version, other: Version) -> None:
    assert shown(merge(one, other)) == shown(merge(other, one))


@RULES
@given(VERSIONS, VERSIONS, VERSIONS)
def test_merge_is_associative(one: Version, other: Version, third: Version) -> None:
    assert shown(merge(merge(one, other), third)) == shown(merge(one, merge(other, third)))


@RULES
@given(VERSIONS, VERSIONS)
def test_merge_is_idempotent(one: Version, other: Version) -> None:
    merged = merge(one, other)
    assert shown(merge(merged, other)) == shown(merge(merged, one)) == shown(merge(merged, merged)) == shown(merged)


@RULES
@given(VERSIONS, EDITS)
def test_decide_holds_what_merge_says(local: Version, change: Change) -> None:
    decision = decide(local, change)
    assert shown(decision.version) == shown(merge(local, Version(change.fields, change.deleted)))
    assert (decision.outcome is Outcome.APPLIED) >= bool(decision.applied)


# 1. Convergence


class Schedules(RuleBasedStateMachine):
    """Users on both sides, a delivery that is late and repeats itself, runs that are cut off, and clocks that run apart."""

    make = World
    keys = st.sampled_from(KEYS)
    names = st.sets(st.sampled_from(FIELDS), min_size=1)
    kinds = st.sampled_from(["new", "new", "zero", "null"])
    works = st.sampled_from(["sync", "reconcile", "deliver"])

    def __init__(self) -> None:
        super().__init__()
        self.world = self.make()

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

    @rule(work=works, call=st.integers(1, 30), waits=st.booleans())
    def a_crash(self, work: str, call: int, waits: bool) -> None:
        at(self.world, "any", call, failing(Crash()))
        try:
            self.work(work)
        except Crash:
            if waits:
                self.world.clock.tick(2 * self.world.pair.run_time.total_seconds())
            self.lease_runs_out()

    @rule(work=works, call=st.integers(1, 30), doing=st.sampled_from(["update", "set", "delete", "save", "remove"]), key=keys)
    def a_user_acts_in_the_middle(self, work: str, call: int, doing: str, key: str) -> None:
        acts: Mapping[str, Callable[[], None]] = {
            "update": lambda: self.a_client_updates(key, {"a"}, "new"),
            "set": lambda: self.a_client_sets_blindly(key, {"a", "b"}),
            "delete": lambda: self.world.f_delete(key),
            "save": lambda: self.django_saves(key, {"a"}, "new"),
            "remove": lambda: self.world.d_delete(key),
        }
        at(self.world, "any", call, acts[doing])
        self.work(work)

    @rule(work=works, call=st.integers(2, 30), other=works)
    def two_overlap(self, work: str, call: int, other: str) -> None:
        at(self.world, "any", call, lambda: (self.lease_runs_out(), self.work(other)))
        self.work(work)

    def work(self, name: str) -> None:
        """Do one piece of the machinery's work; another run may be on it."""
        with suppress(AlreadyRunning):
            self.world.deliver(keep=True) if name == "deliver" else getattr(self.world, name)()
        self.world.database.fault = lambda _: None

    def lease_runs_out(self) -> None:
        for path in [path for path in self.world.database.documents if path.startswith("sync_leases/")]:
            del self.world.database.documents[path]

    def teardown(self) -> None:
        self.world.django.read([self.world.id(key) for key in KEYS])  # raw writes have no event; something looks at them
        self.world.settle()
        self.world.check(KEYS)
        self.world.database.events.clear()


class Twins(World):
    """The same with a second memory peer in Firestore's place, which has no events: all that it does is queued."""

    def __init__(self) -> None:
        super().__init__()
        self.other = MemoryPeer("other", {"thing": FIELDS}, self.clock)
        self.pair = replace(self.pair, right=self.other)

    def f_update(self, key: str, **fields: Any) -> None:
        self._note(key, self.f_values(key), fields)
        self.other.save(self.id(key), fields)
        self.clock.tick(0.001)

    def f_set(self, key: str, **fields: Any) -> None:
        self.f_update(key, **fields)

    def f_raw(self, key: str, **fields: Any) -> None:
        self._note(key, self.f_values(key), fields)
        self.other.write_raw(self.id(key), fields)

    def f_delete(self, key: str) -> None:
        self.ledger.saw(key, self.f_values(key), FIELDS)
        self.other.delete(self.id(key))
        self.clock.tick(0.001)

    def f_values(self, key: str) -> dict[str, Any] | None:
        values = self.other.values(self.id(key))
        return None if values is None else dict(values)

    def check(self, keys: str, stamps: bool = False) -> None:
        super().check(keys, stamps)
        for key in keys:
            mine, theirs = self.django.version(self.id(key)), self.other.version(self.id(key))
            if mine.deleted is None:
                assert shown(mine) == shown(theirs), f"{key}: the versions differ"


class TwinSchedules(Schedules):
    """Any schedule over two memory peers."""

    make = Twins

    @rule(key=Schedules.keys, names=Schedules.names, kind=Schedules.kinds)
    def the_other_is_written_raw(self, key: str, names: set[str], kind: str) -> None:
        self.world.f_raw(key, **self.values(names, kind))

    def teardown(self) -> None:
        self.world.other.read([self.world.id(key) for key in KEYS])
        super().teardown()


def test_1_convergence_and_2_no_lost_update_of_two_memory_peers_on_any_schedule() -> None:
    run_state_machine_as_test(TwinSchedules, settings=BOUNDED)


@pytest.mark.parametrize("ahead", [-120, -1, 0, 3, 90])
def test_1_convergence_on_the_edit_made_on_top_whatever_the_clocks_say(ahead: float) -> None:
    w = synced(ahead)
    for number in range(1, 4):
        w.d_save("x", a=number)
        while w.f_values("x")["a"] != number:  # Firestore takes nothing from the future
            w.clock.tick(30)
            w.sync()
        w.f_update("x", a=-number)
        w.deliver_all()
        w.sync()
        assert w.d_values("x")["a"] == -number
    w.settle()
    w.check("xy")
    assert w.conflicts() == [], "each had seen the one before"


@pytest.mark.parametrize("ahead", [-120, 0, 90])
def test_1_convergence_on_the_record_made_anew_whatever_the_clocks_say(ahead: float) -> None:
    w = synced(ahead)
    w.f_delete("x")
    w.deliver_all()
    w.sync()
    assert w.d_values("x") is None
    w.d_save("x", a=1)
    w.settle()
    w.check("xy")
    assert w.d_values("x") == {"a": 1}


# 2. No lost update


def test_2_no_lost_update_the_value_that_lost_is_kept_with_its_stamp() -> None:
    w = synced()
    w.f_update("x", a=1)
    w.clock.tick()
    w.d_save("x", a=2)
    w.settle()
    w.check("xy")
    (kept,) = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_conflicts/")]
    sides = {kept["local"]["value"]: kept["local"]["stamp"], kept["incoming"]["value"]: kept["incoming"]["stamp"]}
    assert sides.keys() == {1, 2}
    assert sides[1].endswith("|firestore")
    assert sides[2] == w.django.version(w.id("x")).fields["a"].stamp


def overwritten(w: World) -> None:
    w.d_save("x", a=2)
    w.sync()


def deleted(w: World) -> None:
    w.d_delete("x")
    w.sync()


@pytest.mark.parametrize("lose", [overwritten, deleted])
def test_2_no_lost_update_a_value_is_kept_before_it_is_overwritten(lose: Callable[[World], None]) -> None:
    w = synced()
    w.f_update("x", a=1)
    w.deliver_all()
    w.clock.tick()

    def look(call: str) -> None:
        assert 1 in (w.f_values("x") or {}).values() or ("x", "a", "1") in w._kept(), call

    w.database.fault = look
    lose(w)
    assert ("x", "a", "1") in w._kept()


def test_2_no_lost_update_both_directions_find_one_conflict() -> None:
    w = synced()
    w.d_save("x", a=1)
    w.clock.tick(2)
    w.f_delete("x")
    w.deliver_all()
    w.sync(direction="django_to_firestore")
    assert w.conflicts() == [("x", "a", "local")]
    w.sync(direction="firestore_to_django")
    assert w.conflicts() == [("x", "a", "local")]
    w.settle()
    w.check("xy")


def test_2_no_lost_update_of_a_record_deleted_the_delete_is_applied_and_the_edits_under_it_are_superseded() -> None:
    w = synced()
    w.d_save("x", b=2)
    w.d_delete("x")
    tally = w.sync().directions["django_to_firestore"]
    assert (tally.read, tally.applied, tally.superseded) == (2, 1, 1)


def test_2_no_lost_update_of_an_edit_that_follows_a_delete_which_the_other_side_has_overtaken() -> None:
    """Django's clock is behind, so both would be stamped right after the value that they were made on, and their conflicts
    would have one name: an edit is stamped later than every field of its record."""
    w = World(ahead=-200)
    w.pair = replace(w.pair, scope=replace(w.pair.scope, page_size=1))
    w.d_save("x", a=0, b=0, c=0)
    w.settle()
    w.f_update("x", a=1)
    w.deliver_all()
    w.sync()
    w.d_delete("x")
    w.f_update("x", b=2)
    w.deliver_all()
    w.sync(direction="firestore_to_django")
    assert w.d_values("x") == {"a": 1, "b": 2, "c": 0}, "the later edit brought it back"
    w.d_save("x", a=3)
    w.f_update("x", a=4)
    w.settle()
    w.check("x")


def test_2_no_lost_update_every_change_ends_as_exactly_one_thing() -> None:
    w = synced(ahead=60)
    before = set(w.django.queue)
    w.d_save("p", a=1, b=0, c=0)
    w.clock.tick(3)  # Firestore still has most of a minute to go
    w.django.now = w.clock
    w.d_save("q", a=1, b=0, c=0)
    w.d_save("r", a=[[1]], b=0, c=0)
    w.d_save("x", a=1)
    w.d_save("y", a=1)
    w.d_save("y", a=2)
    w.clock.tick()
    w.f_update("x", a=3)
    tally = w.sync(direction="django_to_firestore").directions["django_to_firestore"]
    assert (tally.read, tally.applied, tally.superseded, tally.waiting, tally.dead_letters) == (6, 2, 2, 1, 1)
    labels = sorted(label for id, label in w.django.labels.items() if id not in before)
    assert labels == ["failed", "pending", "superseded", "superseded", "synced", "synced"]


def test_2_no_lost_update_when_a_run_is_cut_off_at_any_call() -> None:
    for call in itertools.count(1):
        w = synced()
        w.f_update("x", a=1)
        w.deliver_all()
        w.d_save("x", a=2)
        w.d_save("y", b=1)
        w.f_delete("y")
        at(w, "any", call, failing(Crash()))
        try:
            w.sync()
        except Crash:
            here = {w.d_values("x")["a"], w.f_values("x")["a"]}
            assert {("x", "a", str(each)) for each in {1, 2} - here} <= w._kept(), "kept before it is overwritten"
        else:
            break
        w.settle()  # an hour: the lease has run out
        w.check("xy")
    assert call > 10


TURNS = st.tuples(st.sampled_from(["save", "raw", "remove", "update", "delete"]), st.sampled_from("xy"), st.sampled_from(FIELDS))


@BOUNDED
@given(st.lists(TURNS, max_size=12), st.sampled_from([-60, 0, 3]))
def test_2_no_lost_update_and_no_false_conflict_while_all_take_turns(turns: list[tuple[str, str, str]], ahead: int) -> None:
    w = synced(ahead)
    for act, key, name in turns:
        value = {name: next(w.values)}
        write = w.f_update if w.f_values(key) else w.f_set
        acts: Mapping[str, Callable[[], None]] = {
            "save": lambda key=key, name=name: w.d_save(key, **{name: next(w.values)}),
            "raw": lambda key=key, value=value: w.d_raw(key, **value),
            "remove": lambda key=key: w.d_delete(key),
            "update": lambda key=key, value=value, write=write: write(key, **value),
            "delete": lambda key=key: w.f_delete(key),
        }
        acts[act]()
        if act in {"save", "update"}:  # and again, on top of what they have just written
            acts[act]()
        w.django.read([w.id("x"), w.id("y")])
        w.settle()
    w.check("xy")
    assert w.conflicts() == []


# 3. Idempotence


def conflicting_changes(w: World) -> list[Change]:
    """Return a page of Django's: an edit, a creation, a delete, and one that loses against a client's edit."""
    w.d_save("x", a=1)
    w.d_save("new", a=1, b=2, c=3)
    w.d_delete("y")
    w.clock.tick()
    w.f_update("x", a=2)
    return [collapse([change]) for change in w.django.queue.values() if w.django.labels[change.id] == "pending"]


def test_3_idempotence_a_page_applied_twice_answers_unchanged_and_writes_nothing() -> None:
    w = synced()
    page = conflicting_changes(w)
    first = w.firestore.apply(page, "run-1")
    assert {each.outcome for each in first} == {Outcome.APPLIED, Outcome.STALE}
    writes = w.database.billed.writes, w.database.billed.deletes
    again = w.firestore.apply(page, "run-2")
    assert (w.database.billed.writes, w.database.billed.deletes) == writes
    assert {each.id: each.outcome for each in again} == {
        each.id: Outcome.UNCHANGED if each.outcome is Outcome.APPLIED else each.outcome for each in first
    }
    w.settle()
    w.check(["x", "y", "new"])


def test_3_idempotence_at_a_backend() -> None:
    w = synced()
    w.f_update("x", a=1)
    w.f_delete("y")
    w.deliver_all()
    page = [collapse([change]) for found in w.firestore.changes(w.pair.scope) for change in found.changes]
    assert [each.outcome for each in w.django.apply(page, "run-1")] == [Outcome.APPLIED] * 2
    queued = dict(w.django.queue)
    assert [each.outcome for each in w.django.apply(page, "run-2")] == [Outcome.UNCHANGED] * 2
    assert w.django.queue == queued


def test_3_idempotence_an_answer_lost_after_the_commit_is_such_a_repeat() -> None:
    for call in itertools.count(1):
        w = synced()
        conflicting_changes(w)
        at(w, "any", call, failing(Transient("deadline exceeded")))
        if not attempt(w):
            break
        w.settle()
        w.check(["x", "y", "new"])
        assert len(w.conflicts()) == 1, "repeats name one conflict"
        queued = [path for path in w.database.documents if path.startswith("sync_queue/")]
        assert len(queued) == 1, "the client's edit, once"
    assert call > 20


# 4. No echo


def busy() -> World:
    """A world in which every kind of change has just been carried both ways."""
    w = synced()
    conflicting_changes(w)
    w.f_update("x", b=9)
    w.f_set("z", a=1)
    w.deliver_all()
    w.sync()
    w.sync()
    return w


def test_4_no_echo_the_events_of_what_the_sync_wrote_need_neither_a_read_nor_a_write() -> None:
    w = synced()
    w.d_save("x", a=1)
    w.d_save("new", a=1)
    w.sync()
    assert len(w.events()) == 2
    assert billed(w, w.deliver_all) == (0, 0)


def test_4_no_echo_the_event_of_a_delete_that_the_sync_made_queues_nothing() -> None:
    w = synced()
    w.d_delete("x")
    w.sync()
    assert billed(w, w.deliver_all) == (2, 0)


def test_4_no_echo_a_second_run_right_after_the_first_moves_nothing() -> None:
    w = busy()
    w.deliver_all()
    assert w.sync().moved == 0
    assert w.reconcile().moved == 0


def test_4_no_echo_an_idle_run_writes_nothing_and_reads_next_to_nothing() -> None:
    w = busy()
    w.deliver_all()
    w.sync()
    queue = dict(w.django.labels)
    reads, writes = billed(w, w.sync)
    assert writes == 0
    assert reads <= 3
    assert w.django.labels == queue


# 5. Unseen edits survive


def late_event(w: World) -> None:
    w.f_update("x", a=1)


def lost_event(w: World) -> None:
    w.f_update("x", a=1)
    w.events()
    w.late.clear()


def raw_write(w: World) -> None:
    w.d_raw("x", a=1)


UNSEEN = {each.__name__: each for each in [late_event, lost_event, raw_write]}


@pytest.mark.parametrize("edit", UNSEEN.values(), ids=UNSEEN)
@pytest.mark.parametrize("other", ["a", "b"])
def test_5_unseen_edits_survive_a_change_from_the_other_side(edit: Callable[[World], None], other: str) -> None:
    w = synced()
    write = w.f_update if edit is raw_write else w.d_save
    write("x", **{other: 5})
    if edit is raw_write:
        w.deliver_all()
    edit(w)
    w.sync()
    assert 1 in {w.d_values("x")["a"], w.f_values("x")["a"]} or ("x", "a", "1") in w._kept()
    w.settle()
    w.check("xy")
    if other != "a":
        assert w.d_values("x") == {"a": 1, other: 5, "c": 0}


@pytest.mark.parametrize("edit", UNSEEN.values(), ids=UNSEEN)
def test_5_unseen_edits_survive_a_delete_from_the_other_side(edit: Callable[[World], None]) -> None:
    w = synced()
    delete = w.f_delete if edit is raw_write else w.d_delete
    delete("x")
    if edit is raw_write:
        w.deliver_all()
    edit(w)
    w.sync()
    w.settle()
    w.check("xy")
    assert w.d_values("x") == {"a": 1, "b": 0, "c": 0}, "it came after the delete: the record is back"


CHANGES: Mapping[str, Callable[[World], None]] = {
    "the same field": lambda w: w.d_save("x", a=5),
    "another field": lambda w: w.d_save("x", b=5),
    "a delete": lambda w: w.d_delete("x"),
}


@pytest.mark.parametrize("work", [World.sync, World.reconcile])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_5_unseen_edits_survive_at_any_moment_of_a_run(change: Callable[[World], None], work: Callable[[World], Report]) -> None:
    for call in itertools.count(1):
        w = synced()
        change(w)
        edits: list[int] = []

        def edit(w: World = w, edits: list[int] = edits) -> None:
            edits.append(1)
            (w.f_update if w.f_values("x") else w.f_set)("x", a=1)

        at(w, "any", call, edit)
        work(w)
        if not edits:
            break
        w.settle()
        w.check("xy")
        assert w.f_values("x")["a"] == 1, "it came last"
    assert call > 10


def test_5_unseen_edits_survive_even_if_nothing_ever_tells_of_them_but_a_reconciliation() -> None:
    w = synced()
    lost_event(w)
    w.d_raw("y", a=2)
    w.reconcile()
    assert w.d_values("x") == {"a": 1, "b": 0, "c": 0}
    assert w.f_values("y") == {"a": 2, "b": 0, "c": 0}
    w.settle()
    w.check("xy")


# 6. Isolation

BEYOND_FIRESTORE = {
    "a list right inside a list": ("bad", [[1]]),
    "such a list deep inside": ("bad", {"deep": [{"list": [[]]}]}),
    "an integer past 64 bits that no double is": ("bad", 2**63 + 1),
    "a name that Firestore keeps for itself": ("bad", {"__id__": 1}),
    "a key too long for a document": ("k" * 1501, 1),
}


@pytest.mark.parametrize("key, value", BEYOND_FIRESTORE.values(), ids=BEYOND_FIRESTORE)
def test_6_isolation_what_firestore_cannot_hold_becomes_a_dead_letter_and_the_rest_goes_through(key: str, value: Any) -> None:
    w = synced()
    w.d_save("x", a=1)
    w.d_save(key, a=value, b=1, c=1)
    w.d_save("y", a=1)
    w.d_delete("x")
    report = w.sync()
    assert report.failure is None
    assert report.directions["django_to_firestore"].dead_letters == 1
    assert letters(w)[key]["status"] == "open"
    assert letters(w)[key]["reason"] == "not-representable"
    assert loaded("change", letters(w)[key]["change"])["fields"] == {"a": value, "b": 1, "c": 1}, "nothing is lost"
    w.ledger.written = {each for each in w.ledger.written if each[0] != key}
    w.settle()
    w.check("xy")


def test_6_isolation_a_good_edit_of_a_bad_record_is_told_from_the_bad_one() -> None:
    w = synced()
    w.d_save("x", a=[[1]])
    w.d_save("x", b=5)
    tally = w.sync().directions["django_to_firestore"]
    assert (tally.applied, tally.dead_letters) == (1, 1)
    assert w.f_values("x") == {"a": 0, "b": 5, "c": 0}
    assert letters(w)["x"]["fields"] == {"a": "not-representable"}


def test_6_isolation_a_queue_entry_that_is_no_change_is_a_dead_letter() -> None:
    w = synced()
    w.f_update("x", a=1)
    w.deliver_all()
    w.database.client_set("sync_queue/thing:w:junk", {"pair": "things", "sync_status": "pending", "entity": "thing", "key": 7})
    tally = w.sync().directions["firestore_to_django"]
    assert (tally.applied, tally.dead_letters) == (1, 1)
    w.settle()
    w.check("xy")


def test_6_isolation_a_record_that_is_edited_all_the_time_waits_and_holds_up_nothing() -> None:
    w = synced()
    w.d_save("x", a=1)
    w.d_save("y", a=1)
    w.database.fault = lambda name: w.f_update("x", b=next(w.values)) if name == "write" else None
    tally = w.sync(direction="django_to_firestore").directions["django_to_firestore"]
    w.database.fault = lambda _: None
    assert (tally.applied, tally.waiting) == (1, 1)
    assert w.f_values("y") == {"a": 1, "b": 0, "c": 0}
    w.settle()
    w.check("xy")
    assert not letters(w), "what went through after all is not counted any more"


# attempts, hours between the first and the last of them, given up
TRIES = {
    "often, but not for long": (12, 1, False),
    "for long, but not often": (3, 25, False),
    "nearly both": (9, 23, False),
    "often, and for long": (10, 25, True),
}


@pytest.mark.parametrize("attempts, hours, given_up", TRIES.values(), ids=TRIES)
def test_6_isolation_what_only_ever_must_wait_is_given_up_after_both_limits(attempts: int, hours: float, given_up: bool) -> None:
    w = World(ahead=PATIENT)
    w.d_save("x", a=1, b=1, c=1)
    w.sync()
    for _ in range(attempts - 2):
        w.sync()
    w.clock.tick(3600 * hours)
    tally = w.sync().directions["django_to_firestore"]
    assert (tally.dead_letters, tally.waiting) == ((1, 0) if given_up else (0, 1))
    assert letters(w)["x"]["status"] == ("open" if given_up else "waiting")
    assert letters(w)["x"]["reason"] == "future"
    assert w.django.status(w.pair.scope).pending == (0 if given_up else 1)


@pytest.mark.parametrize("error, again", [(Transient("down"), True), (TerminalBatch("a wrong token"), False)])
def test_6_isolation_a_peer_that_fails_puts_the_blame_on_no_record(error: SyncError, again: bool) -> None:
    w = synced()
    w.d_save("x", a=1)
    at(w, "write", 1, failing(error))
    report = w.sync()
    assert report.failure is not None
    assert report.failure.retry is again
    assert not letters(w)
    assert w.django.status(w.pair.scope).pending == 1
    w.settle()
    w.check("xy")


# 9. Silence about people

PERSON = ("Anna Svensdottir", "anna@example.org", "0101302989", "whispered", "shouted")


def test_9_silence_about_people() -> None:
    """Everything that runs, and everything that fails, with a person's values and under a person's key."""
    name, key, number, one, other = PERSON
    w = World(ahead=20)
    said: list[object] = []

    w.d_save(key, a=name, b=number, c=None)
    said += attempt(w)  # from the future
    w.clock.tick(60)
    said += attempt(w)
    w.d_save(key, a=one)
    w.f_update(key, a=other)
    said += attempt(w)  # a conflict
    w.d_save(key, b=[[number]])
    said += attempt(w)  # not representable
    w.d_save(name * 100, a=number, b=name, c=one)
    said += attempt(w)  # no document can have this name
    junk = {"pair": "things", "sync_status": "pending", "entity": "thing"}
    w.database.client_set(f"sync_queue/thing:{key}:junk", junk | {"key": name})
    w.database.client_set("sync_queue/thing:more", junk | {"fields": name})
    said += attempt(w)  # malformed
    for call in range(1, 40):
        w.f_update(key, a=f"{one} {call}")
        w.deliver_all()
        w.d_save(key, c=f"{other} {call}")
        at(w, "any", call, failing(Transient("down")))
        said += attempt(w, reconcile if call % 2 else sync)
        w.clock.tick(3600)
    w.f_delete(key)
    w.d_save(key, a=one)
    said.append(w.deliver())
    said += attempt(w, reconcile)
    said += [row[word] for row in letters(w).values() for word in ("reason", "message", "fields")]
    said += [each.fields.get("error") for path, each in w.database.documents.items() if path.startswith("sync_queue/")]
    assert {"conflict", "dead_letter", "sync_fail", "sync_ok"} <= {line["event"] for line in w.log.lines}
    for personal in PERSON:
        assert personal not in repr(said)
        assert personal not in repr(w.log.lines)


# 7: a run ends by itself, and a run that died stands in nobody's way for long


def test_7_bounded_a_run_stops_at_its_time_and_the_next_goes_on() -> None:
    w = World(run_time=timedelta(seconds=0))
    for key in "xyz":
        w.d_save(key, a=1)
    report = w.sync()
    assert (report.left_over, report.moved) == (True, 0)
    w.pair = replace(w.pair, run_time=timedelta(minutes=8))
    w.settle()
    w.check("xyz")


def test_7_bounded_the_lease_of_a_run_that_died_runs_out() -> None:
    w = World()
    w.d_save("x", a=1)
    crash_in_sync(w)
    w.clock.tick(10)
    with pytest.raises(AlreadyRunning):
        w.sync()
    w.clock.tick(120)
    assert w.sync().failure is None
    w.settle()
    w.check("x")


def test_7_bounded_a_long_run_keeps_its_lease() -> None:
    w = World(run_time=timedelta(hours=2))
    for number in range(9):
        w.d_save(f"k{number}", a=1)
    apply = w.firestore.apply
    w.firestore.apply = lambda *given: (w.clock.tick(100), apply(*given))[1]  # type: ignore[method-assign]
    seen: list[str | None] = []

    def look(call: str) -> None:
        if call == "committed":
            seen.append(w.store.lease("things").holder(w.clock()))

    w.database.fault = look
    w.sync()
    assert len(seen) > 3
    assert set(seen[:-1]) == {"run-1"}


def crash_in_sync(w: World) -> None:
    calls = 0

    def crash(name: str) -> None:
        nonlocal calls
        calls += name == "commit"
        if calls == 2:
            raise Crash

    w.database.fault = crash
    with pytest.raises(Crash):
        w.sync()
    w.database.fault = lambda _: None
