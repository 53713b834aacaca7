"""Real time: one nudge for a burst, none lost, and none that gets in anybody's way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from memory_firestore import Clock
from queue_of_tasks import QueueOfTasks
from real import Real
from world import Quiet

from local.django_users import DjangoUsers
from local.process import wait_until
from local.stack import Stack
from shared.errors import Transient
from shared.nudges import MARGIN, Nudges, slot_end


@pytest.mark.parametrize("seconds", [1, 5, 7.5, 3600])
@pytest.mark.parametrize("late", [0.0, 0.5, 3.999, 4.0, 4.999999])
def test_a_nudge_is_for_a_time_that_comes_after_it_but_soon(seconds: float, late: float):
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=late)
    end = slot_end(now, seconds)
    assert MARGIN < end - now <= MARGIN + timedelta(seconds=seconds)
    assert slot_end(end - MARGIN - timedelta(microseconds=2), seconds) == end, "all changes of a slot are for one time"


def nudging() -> tuple[Clock, QueueOfTasks, Quiet, Nudges]:
    clock, queue, log = Clock(), QueueOfTasks(), Quiet()
    return clock, queue, log, Nudges("members", 5, queue, clock, log)


def test_a_burst_makes_one_run_also_where_many_instances_see_it():
    clock, queue, log, nudges = nudging()
    other = Nudges("members", 5, queue, clock, log)
    for _ in range(100):
        nudges.nudge()
        other.nudge()
        clock.tick(0.01)
    [task] = queue.waiting
    assert (task.function, task.body) == ("bidirectional_sync", {"pair": "members"})
    assert task.at is not None
    assert clock() < task.at


def test_an_instance_asks_the_queue_once_a_slot():
    clock, queue, _, nudges = nudging()
    asked: list[str] = []
    add = queue.add
    queue.add = lambda task: asked.append(task.name) or add(task)  # type: ignore[func-returns-value, method-assign]
    for _ in range(10):
        nudges.nudge()
    assert len(asked) == 1
    clock.tick(5)
    nudges.nudge()
    assert len(set(asked)) == 2, "a change of the next slot is not taken for one of this"


def test_a_queue_that_fails_is_said_in_the_log_and_asked_again():
    _, queue, log, nudges = nudging()
    add = queue.add

    def failing(_: Any) -> bool:
        raise Transient("Cloud Tasks did not take a task")

    queue.add = failing  # type: ignore[method-assign]
    nudges.nudge()
    assert [(line["event"], line["severity"]) for line in log.lines] == [("nudge_failed", "WARNING")]
    queue.add = add  # type: ignore[method-assign]
    nudges.nudge()
    assert len(queue.waiting) == 1


# On real parts, with nobody calling anything


@pytest.fixture(scope="module")
def in_real_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    with (
        Stack(tmp_path_factory.mktemp("real-time") / "up", tasks=1) as stack,
        DjangoUsers(stack.backend.env, stack.backend.manage_script) as users,  # type: ignore[union-attr]
    ):
        client = stack.firestore()
        yield Real(stack, users, client)
        client.close()


def seconds_until(condition: Any, what: str) -> float:
    began = time.monotonic()
    wait_until(condition, what, 60)
    return time.monotonic() - began


@pytest.mark.stack
def test_an_edit_in_firestore_is_in_django_soon_with_nobody_calling(in_real_time: Real, record_property: Any):
    in_real_time.firestore.document("branches/AK").set({"name": "Akureyri", "city": "Akureyri"})
    seconds = seconds_until(lambda: "AK" in in_real_time.users.call("dump", entity="branch"), "the branch in Django")
    record_property("figures", f"real time: an edit in Firestore was in Django after {seconds:.1f} s")


@pytest.mark.stack
def test_an_edit_in_django_is_in_firestore_soon_with_nobody_calling(in_real_time: Real, record_property: Any):
    in_real_time.users.call("save", entity="branch", key="EGS", fields={"name": "Egilsstaðir"})
    seconds = seconds_until(lambda: in_real_time.document("branches/EGS") is not None, "the branch in Firestore")
    record_property("figures", f"real time: an edit in Django was in Firestore after {seconds:.1f} s")


@pytest.mark.stack
def test_an_edit_made_while_a_run_holds_the_pair_is_carried_after_it(in_real_time: Real):
    """The nudge is answered 409 until then, and tried again."""
    lease = in_real_time.firestore.document("sync_leases/members")
    wait_until(lambda: (lease.get().to_dict() or {"until": None})["until"] is None, "the end of an earlier run", 60)
    lease.set({"run_id": "somebody", "until": datetime.now(UTC) + timedelta(hours=1), "last": {}})
    in_real_time.firestore.document("branches/VEY").set({"name": "Vestmannaeyjar"})
    log = in_real_time.stack.logs / "functions.log"
    wait_until(lambda: "is being synced by run somebody" in Path(log).read_text(encoding="utf-8"), "a refused nudge", 60)
    assert "VEY" not in in_real_time.users.call("dump", entity="branch")
    lease.update({"until": None})
    wait_until(lambda: "VEY" in in_real_time.users.call("dump", entity="branch"), "the branch in Django", 60)


@pytest.mark.stack
def test_a_backend_whose_task_queue_is_gone_saves_as_ever(in_real_time: Real):
    backend = in_real_time.stack.backend
    assert backend is not None
    nowhere = backend.env | {"CLOUD_TASKS_HOST": "127.0.0.1:9"}
    with DjangoUsers(nowhere, backend.manage_script) as users:
        users.call("save", entity="branch", key="ISA", fields={"name": "Ísafjörður"})
    assert "ISA" in in_real_time.users.call("dump", entity="branch")
