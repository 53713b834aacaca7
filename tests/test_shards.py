"""Sharded runs: what a run does that is handed out is what one instance would have done, whatever becomes of its tasks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from queue_of_tasks import QueueOfTasks
from world import ENTITY, FIELDS, World

from bench.shards import measure
from shared import shown
from shared.canonical import SLOTS, slot_of
from shared.errors import AlreadyRunning, BadRequest, Transient
from shared.handout import COUNTS
from shared.mapping import Entity
from shared.model import Billed, Change, Outcome, Problem, RecordId, Result
from shared.peers.firestore import FirestorePeer
from shared.peers.memory import MemoryPeer
from shared.policy import Mode
from shared.report import Report
from shared.run import Sharding
from shared.shards import ShardRequest, sync, sync_shard
from shared.tasks import Task
from shared.tracker import Poke, track

KEYS = [f"key-{number}" for number in range(40)]


class Sharded(World):
    """A world whose runs are handed out in four shards, from three waiting changes on."""

    def __init__(self, **options: Any) -> None:
        super().__init__(sharding=Sharding(3, 4), **options)
        self.tasks = QueueOfTasks()

    def begin(self, **order: Any) -> Report:
        return self.sync(lambda *what: sync(*what, self.tasks), **order)

    def carry(self, task: Task) -> tuple[Report | None, str]:
        self.clock.tick(0.01)
        asked = ShardRequest.model_validate(task.body, strict=True)
        return sync_shard(self.pair, asked, self.store, self.clock, self.log, self.tasks)

    def finish(self) -> None:
        while self.tasks.waiting:
            self.carry(self.tasks.waiting.pop(0))

    def record(self, run: int = 1) -> dict[str, Any]:
        return dict(self.database.snapshot(f"sync_runs/things:run-{run}").fields)

    def edit_both_sides(self) -> None:
        for number, key in enumerate(KEYS):
            (self.d_save if number % 2 else self.f_update)(key, a=f"a{number}")
        self.deliver_all()


class Strict(MemoryPeer):
    """A backend that takes a part only when the thing it refers to is there."""

    def _apply(self, change: Change, mode: Mode) -> Result:
        if change.record.entity == "part" and RecordId("thing", str(change.fields["a"].value)) not in self.rows:
            return Result(change.id, Outcome.RETRY, problem=Problem("reference", "the thing is not there"))
        return super()._apply(change, mode)


PART = Entity("part", "parts", ENTITY.fields)


class WithParts(Sharded):
    """A world with things, and parts that refer to them: mostly to one in another shard."""

    def __init__(self) -> None:
        super().__init__()
        self.firestore = FirestorePeer("firestore", self.database, "things", [ENTITY, PART], self.clock, self.clock.tick)
        self.django = Strict("django", {"thing": FIELDS, "part": FIELDS}, self.clock)
        scope = replace(self.pair.scope, entities=("thing", "part"))
        entities = {"thing": ENTITY, "part": PART}
        self.pair = replace(self.pair, left=self.django, right=self.firestore, scope=scope, entities=entities)
        for number, key in enumerate(KEYS):
            self.f_update(key, a=key)
            self.database.client_update(f"parts/{KEYS[number - 1]}", {"a": key})
        for event in [*self.database.events]:
            record = ENTITY.record(event.path) or PART.record(event.path)
            if record:
                track(self.firestore, Poke(record, event.before, event.after, event.time))
        self.database.events.clear()

    def parts(self) -> int:
        return sum(record.entity == "part" for record in self.django.rows)


def the_keys(w: World) -> Any:
    return KEYS


# What a shard is


def test_a_record_lies_in_the_same_shard_of_both_queues():
    for key in [*KEYS, "", "þjóð", "😀"]:
        record = RecordId("thing", key, "RVK")
        for count in COUNTS:
            assert slot_of(record, count) == slot_of(record) % count
            assert slot_of(record, count) == slot_of(RecordId("thing", key), count), "the contract knows the key alone"


def test_firestore_can_be_asked_for_any_shard_in_one_query():
    assert all(SLOTS % count == 0 and SLOTS // count <= 30 for count in COUNTS)


# A run that is handed out


def test_a_small_backlog_stays_with_one_instance():
    w = Sharded()
    w.d_save("a", a=1)
    assert w.begin().handed_out is None
    assert w.tasks.waiting == []
    assert w.record()["status"] == "done"


def test_a_large_backlog_is_handed_out_and_the_last_shard_closes_the_run():
    w = Sharded()
    w.edit_both_sides()
    report = w.begin()
    assert report.handed_out == {"shards": 4, "entities": ["thing"]}
    assert (report.moved, w.record()["status"], len(w.tasks.waiting)) == (0, "handed_out", 4)
    w.finish()
    w.check(the_keys(w))
    record = w.record()
    assert record["status"] == "done"
    assert record["result"]["directions"]["django_to_firestore"]["applied"] == 20
    assert record["result"]["directions"]["firestore_to_django"]["applied"] == 20
    assert [line["stats"]["changes"] for line in w.log.lines if line["event"] == "sync_ok" and "shard" not in line] == [40]
    assert w.store.lease("things").holder(w.clock()) is None
    assert w.begin().moved == 0


@pytest.mark.parametrize("direction, counts", [(None, True), ("django_to_firestore", False)])
def test_when_it_is_over_its_success_is_noted_as_that_of_what_it_was_to_do(direction: str | None, counts: bool):
    w = Sharded()
    w.edit_both_sides()
    assert w.begin(direction=direction).handed_out
    w.finish()
    last = w.store.lease("things").last
    assert (last["success"], last["succeeded_at"] is not None, last["tenants"]) == (True, counts, {})
    w.pair = replace(w.pair, tenants={"thing": ("AK",)}, scope=replace(w.pair.scope, tenant="AK"))
    for key in KEYS:
        w.django.save(RecordId("thing", key, "AK"), {"a": key})
    assert w.begin(direction=direction).handed_out
    w.finish()
    assert set(w.store.lease("things").last["tenants"]) == ({"AK"} if counts else set())
    assert w.store.lease("things").last["succeeded_at"] == last["succeeded_at"]


def test_the_command_line_says_that_a_run_goes_on_elsewhere():
    w = Sharded()
    w.edit_both_sides()
    body = {"runId": "run-1", "errors": [], "result": {"pairs": {"things": w.begin().as_json()}}}
    assert any("handed out: goes on in 4 shards" in str(each) for each in shown.runs(body))


def test_no_record_is_done_twice_and_the_bill_is_that_of_one_instance_and_a_constant_for_each_shard():
    bills = []
    for threshold in (1000, 3):
        w = Sharded()
        w.pair = replace(w.pair, sharding=Sharding(threshold, 4))
        w.edit_both_sides()
        before = w.database.billed.copy()
        w.begin()
        w.finish()
        w.check(the_keys(w))
        bills.append(w.database.billed.since(before))
        [result] = [w.record()["result"]]
        assert Billed(**result["billed"]) == bills[-1], "the run's record says what it cost"
    one, four = bills
    assert four.deletes - one.deletes == 4, "the lease of each shard"
    assert four.writes - one.writes == 4 * 2 + 2, "lease and part of each shard, and the plan"
    spare = four.reads - one.reads
    assert spare <= 4 * 9 + 9, f"{spare} reads more: of each shard plan, lease, plan, and what looks for more at a queue's end"


def test_while_a_run_is_handed_out_the_pair_is_taken():
    w = Sharded()
    w.edit_both_sides()
    w.begin()
    with pytest.raises(AlreadyRunning) as refused:
        w.begin()
    assert refused.value.run_id == "run-1"
    w.clock.tick(500)
    with pytest.raises(AlreadyRunning):
        w.begin()  # tasks may lie in the queue for a while


@pytest.mark.parametrize("order", [0, -1])
def test_what_is_referred_to_is_there_before_what_refers_to_it_in_whatever_order_tasks_come(order: int):
    w = WithParts()
    assert w.begin().handed_out == {"shards": 4, "entities": ["thing", "part"]}
    while w.tasks.waiting:
        w.carry(w.tasks.waiting.pop(order))
    result = w.record()["result"]["directions"]["firestore_to_django"]
    assert (result["read"], result["applied"], result["waiting"]) == (80, 80, 0)
    assert w.parts() == 40


def test_an_entity_of_which_nothing_waits_makes_no_tasks():
    w = WithParts()
    w.begin()
    w.finish()
    for key in KEYS[:5]:
        w.d_save(key, b=1)
    assert w.begin().handed_out == {"shards": 4, "entities": ["thing"]}


def test_the_last_shard_of_an_entity_that_dies_before_it_hands_out_the_next_does_so_when_it_comes_again():
    w = WithParts()
    w.begin()
    *others, last = w.tasks.waiting
    w.tasks.waiting.clear()
    for task in others:
        w.carry(task)
    add = w.tasks.add

    def failing(_: Task) -> bool:
        raise Transient("no queue")

    w.tasks.add = failing  # type: ignore[method-assign]
    with pytest.raises(Transient):
        w.carry(last)
    assert w.tasks.waiting == []
    w.tasks.add = add  # type: ignore[method-assign]
    assert w.carry(last)[1] == "this shard is done already"
    assert len(w.tasks.waiting) == 4
    w.finish()
    assert w.parts() == 40
    assert w.record()["status"] == "done"


# Tasks that come again, together, or never


def test_a_task_that_comes_again_does_nothing_and_costs_next_to_nothing():
    w = Sharded()
    w.edit_both_sides()
    w.begin()
    first = w.tasks.waiting.pop(0)
    w.carry(first)
    before = w.database.billed.copy()
    report, note = w.carry(first)
    assert (report, note) == (None, "this shard is done already")
    assert w.database.billed.since(before) == Billed(reads=1)
    w.finish()
    assert w.record()["result"]["directions"]["django_to_firestore"]["read"] == 20


def test_a_task_of_a_run_that_is_over_does_nothing():
    w = Sharded()
    w.edit_both_sides()
    w.begin()
    tasks = list(w.tasks.waiting)
    w.finish()
    before = w.database.billed.copy()
    report, note = w.carry(tasks[0])
    assert report is None
    assert "is over" in note
    assert w.database.billed.since(before) == Billed(reads=1)


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"shard": 4}, "of 4 there are 0 to 3"),
        ({"shard": -1}, "out of range"),
        ({"of": 3}, "valid: 4, 8, 16, 32, 64"),
        ({"of": 8}, "in 4 shards"),
        ({"entity": "ghost"}, "there are: thing"),
    ],
)
def test_a_shard_that_there_is_not_is_refused(wrong: dict[str, Any], said: str):
    w = Sharded()
    w.edit_both_sides()
    w.begin()
    task = w.tasks.waiting[0]
    with pytest.raises(BadRequest, match=said):
        w.carry(replace(task, body=dict(task.body) | wrong))


def test_two_deliveries_at_once_are_told_apart_by_the_shards_lease():
    w = Sharded()
    w.edit_both_sides()
    w.begin()
    task = w.tasks.waiting.pop(0)
    met: list[str] = []
    changes = w.django.changes

    def meanwhile(scope: Any) -> Any:
        if w.database.snapshot("sync_leases/things:0-4").exists and not met:
            met.append("once")
            with pytest.raises(AlreadyRunning):
                w.carry(task)
        return changes(scope)

    w.django.changes = meanwhile  # type: ignore[method-assign]
    w.carry(task)
    assert met == ["once"]


def test_two_shards_that_both_find_the_run_over_close_it_once():
    w = Sharded()
    w.edit_both_sides()
    w.begin()
    tasks = w.tasks.waiting[:]
    for task in tasks[:3]:
        w.carry(task)
    w.carry(tasks[3])  # closes it
    closed = dict(w.record())
    w.database.client_set("sync_runs/things:run-1", closed | {"status": "handed_out"})  # as the other one found it
    met: list[str] = []

    def meanwhile(call: str) -> None:
        if call == "commit" and not met:
            met.append(call)
            w.carry(tasks[0])

    w.database.fault = meanwhile
    w.carry(tasks[1])
    ends = [line for line in w.log.lines if line["event"] == "sync_ok" and "shard" not in line]
    assert len(ends) == 2, "one at first, and one of the two that met"


def test_a_shard_that_fails_is_tried_again_and_its_figures_add_up():
    w = Sharded()
    w.edit_both_sides()
    w.begin()
    task = w.tasks.waiting.pop(0)
    apply, calls = w.django.apply, []

    def failing(*what: Any) -> Any:
        calls.append(what)
        if len(calls) == 2:
            raise Transient("the backend is away")
        return apply(*what)

    w.django.apply = failing  # type: ignore[method-assign]
    report, _ = w.carry(task)
    assert report is not None
    assert report.failure is not None
    assert w.record()["part_thing_0"]["done"] is False
    report, _ = w.carry(task)
    assert report is not None
    assert report.failure is None
    w.finish()
    w.check(the_keys(w))
    for name in ("django_to_firestore", "firestore_to_django"):
        assert w.record()["result"]["directions"][name]["applied"] == 20, name


def test_a_shard_whose_time_is_over_is_not_done_and_goes_on_when_it_is_called_again():
    w = Sharded()
    w.edit_both_sides()
    w.begin()
    w.pair = replace(w.pair, run_time=timedelta(0))
    for task in w.tasks.waiting:
        report, _ = w.carry(task)
        assert report is not None
        assert report.stopped_by == "time"
    assert w.record()["status"] == "handed_out"
    w.pair = replace(w.pair, run_time=timedelta(minutes=8))
    w.finish()
    w.check(the_keys(w))
    assert (w.record()["status"], w.record()["result"]["left_over"]) == ("done", False)


def test_a_run_whose_shards_died_for_good_is_noticed_and_taken_over():
    w = Sharded()
    w.edit_both_sides()
    w.begin()
    dead = w.tasks.waiting[:]
    w.tasks.waiting.clear()
    w.clock.tick(3600)
    w.begin()
    assert [line["message"] for line in w.log.lines if line["event"] == "run_left_open"] == [
        "run run-1 never ended: whoever carried it has died; this run takes its place"
    ]
    assert w.record(1)["status"] == "abandoned"
    assert w.carry(dead[0])[0] is None
    w.finish()
    w.check(the_keys(w))
    assert w.record(2)["status"] == "done"


def test_what_fails_while_it_is_handed_out_is_no_run_and_the_next_one_hands_out_anew():
    w = Sharded()
    w.edit_both_sides()
    add = w.tasks.add

    def failing(task: Task) -> bool:
        if len(w.tasks.waiting) == 2:
            raise Transient("no queue")
        return add(task)

    w.tasks.add = failing  # type: ignore[method-assign]
    report = w.begin()
    assert (report.failure is not None, report.handed_out) == (True, None)
    assert w.record()["status"] == "failed"
    w.tasks.add = add  # type: ignore[method-assign]
    w.finish()
    w.clock.tick()
    w.runs = iter([1, 2])  # type: ignore[assignment]  # the scheduler's next attempt is a run of the same name
    w.begin()
    assert len(w.tasks.waiting) == 4, "tasks of an earlier attempt are in nobody's way"
    w.finish()
    w.check(the_keys(w))
    assert w.record()["status"] == "done"


# Brakes and budgets are the whole run's


def test_a_brake_counts_over_all_shards_and_holds_in_each():
    w = Sharded()
    for number in range(60):
        w.d_save(f"x{number}", a=number)
    w.begin()
    w.finish()
    for number in range(56):
        w.d_delete(f"x{number}")
    report = w.begin()
    [brake] = report.brakes
    assert (brake.deletes, brake.allowed) == (56, 50)
    w.finish()
    assert sum(w.f_values(f"x{number}") is None for number in range(60)) == 0
    assert w.record(2)["result"]["brakes"][0]["plan"] == brake.plan
    w.begin(allow_mass_delete=brake.plan)
    w.finish()
    assert sum(w.f_values(f"x{number}") is None for number in range(60)) == 56


def test_a_backlog_that_no_brake_can_be_about_is_not_looked_through():
    w = Sharded()
    w.edit_both_sides()
    w.django.pending_deletes = None  # type: ignore[assignment, method-assign]
    assert w.begin().failure is None
    w.finish()
    for number in range(60):
        w.d_save(f"x{number}", a=number)
    assert w.begin().failure is not None, "and one that it may be about is"


def test_deletes_that_come_after_the_hand_out_wait_for_the_next_run():
    w = Sharded()
    for number in range(20):
        w.d_save(f"x{number}", a=number)
    w.begin()
    w.finish()
    for number in range(10):
        w.d_delete(f"x{number}")
    w.begin()
    for number in range(10, 20):
        w.d_delete(f"x{number}")
    w.finish()
    assert [w.f_values(f"x{number}") is None for number in range(20)] == [True] * 10 + [False] * 10
    assert w.record(2)["result"]["directions"]["django_to_firestore"]["held"] == 10
    w.begin()
    w.finish()
    assert all(w.f_values(f"x{number}") is None for number in range(20))


def test_a_limit_of_changes_is_shared_by_the_shards():
    w = Sharded()
    w.edit_both_sides()
    w.begin(max_changes=8)
    w.finish()
    result = w.record()["result"]
    assert sum(tally["read"] for tally in result["directions"].values()) <= 8 + 4 * 2
    assert result["stopped_by"] == "changes"


def test_what_one_entity_leaves_of_a_limit_is_shared_by_the_shards_of_the_next():
    w = WithParts()
    w.begin(max_changes=60)
    w.finish()
    result = w.record()["result"]["directions"]["firestore_to_django"]
    assert 50 <= result["read"] <= 60 + 4 * 2
    assert 10 <= w.parts() <= 28


@pytest.mark.parametrize("budget", [220, 250, 280])
def test_a_budget_is_the_whole_runs(budget: int):
    w = WithParts()
    before = w.database.billed.copy()
    w.begin(max_billed=budget)
    w.finish()
    assert w.record()["result"]["stopped_by"] == "budget"
    spent = w.database.billed.since(before).total
    assert spent <= budget + 4 * 8, "each shard's first page always goes; without a budget 335 are spent"


# Whatever happens


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["django", "firestore", "delete", "undelete", "begin", "task", "again", "die", "lose", "later", "event"]),
        st.integers(0, 5),
        st.integers(0, 99),
    ),
    min_size=5,
    max_size=60,
)


class Died(BaseException):
    pass


@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_runs_in_shards_that_overlap_die_and_repeat_converge_and_lose_nothing(steps: list[tuple[str, int, int]]):
    w = Sharded()
    w.pair = replace(w.pair, sharding=Sharding(1, 4))
    keys = "pqrstu"
    seen: list[Task] = []
    for what, key, number in steps:
        _step(w, what, keys[key], number, seen)
    w.database.fault = lambda _: None
    w.clock.tick(3600)
    w.tasks.waiting.clear()
    w.settle()
    w.check(keys)


def _step(w: Sharded, what: str, key: str, number: int, seen: list[Task]) -> None:
    edits = {
        "django": lambda: w.d_save(key, a=f"d{next(w.values)}"),
        "firestore": lambda: w.f_update(key, b=f"f{next(w.values)}"),
    }
    if what in edits:
        edits[what]()
    elif what == "delete" and w.d_values(key) is not None:
        w.d_delete(key)
    elif what == "undelete":
        w.f_delete(key)
    elif what == "event":
        w.deliver(number)
    elif what == "later":
        w.clock.tick(number * 10)
    elif what == "lose" and w.tasks.waiting:
        w.tasks.waiting.pop(number % len(w.tasks.waiting))
    elif what in {"begin", "task", "again", "die"}:
        _machinery(w, what, number, seen)


def _machinery(w: Sharded, what: str, number: int, seen: list[Task]) -> None:
    left = iter(range(number % 20 if what == "die" else 10_000))

    def fault(_: str) -> None:
        if next(left, None) is None:
            raise Died

    w.database.fault = fault
    try:
        if what == "begin":
            w.begin()
        elif what == "again" and seen:
            w.carry(seen[number % len(seen)])
        elif w.tasks.waiting:
            task = w.tasks.waiting.pop(number % len(w.tasks.waiting))
            seen.append(task)
            w.carry(task)
    except (Died, AlreadyRunning):
        pass
    finally:
        w.database.fault = lambda _: None


# On real parts, each shard by a process of its own


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_four_processes_on_shards_do_no_record_twice(tmp_path: Path, record_property: Any):
    (tmp_path / "one").mkdir()
    (tmp_path / "four").mkdir()
    one = measure(tmp_path / "one", 1, 300, 0.03)
    four = measure(tmp_path / "four", 4, 300, 0.03)
    assert one.changes == one.applied == four.changes == four.applied > 300
    waves = 3  # branches, interests and members
    tasks = 4 * waves
    more = {name: four.billed[name] - one.billed[name] for name in one.billed}
    assert more["deletes"] <= tasks, "leases"
    assert more["writes"] <= 2 * tasks + 1 + waves, "lease and part of each shard, the plan, and its turn of each wave"
    assert more["reads"] <= 10 * tasks + 12, "plan, lease, and what looks for more at a queue's end, of each shard"
    record_property(
        "figures", f"4 processes on 4 shards against 1: {one.seconds / four.seconds:.2f} times as fast; more billed: {more}"
    )
