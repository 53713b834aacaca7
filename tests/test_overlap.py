"""While a page is applied the next one is fetched and the last one acknowledged; nothing of what that may meet gets lost."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from firestores import documents
from world import World

from shared.engine import sync
from shared.errors import Transient
from shared.mapping import Entity, Field, Type
from shared.model import Action, Change, Outcome, RecordId, Value, stamp_at
from shared.overlap import Inline
from shared.peers.firestore import FirestorePeer
from shared.peers.firestore_apply import RECORDS_OF_A_PART
from shared.run import Order
from shared.wiring import BESIDE


def threads(number: int = BESIDE) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(number)


def town(records: int) -> World:
    w = World()
    for number in range(records):
        w.d_save("wxyz"[number], a=number, b=0, c=0)
    w.pair = replace(w.pair, beside=threads, scope=replace(w.pair.scope, page_size=2))
    return w


def run(w: World, **order: Any) -> Any:
    return sync(w.pair, Order("overlapped", **order), w.store, w.clock, w.log)


def before(peer: Any, name: str, step: Callable[..., None], patch: pytest.MonkeyPatch) -> None:
    call = getattr(peer, name)

    def stepped(*given: Any, **more: Any) -> Any:
        step()
        return call(*given, **more)

    patch.setattr(peer, name, stepped)


def test_a_page_is_acknowledged_while_the_next_one_is_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    w = town(4)
    both = Barrier(2, timeout=10)  # neither gets any further unless the other is under way
    applied: list[None] = []

    def apply() -> None:
        applied.append(None)
        if len(applied) == 2:
            both.wait()

    before(w.firestore, "apply", apply, monkeypatch)
    acknowledged: list[None] = []

    def acknowledge() -> None:
        acknowledged.append(None)
        if len(acknowledged) == 1:
            both.wait()

    before(w.django, "acknowledge", acknowledge, monkeypatch)
    assert run(w).directions["django_to_firestore"].applied == 4


def test_a_page_is_applied_while_the_one_before_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    w = town(4)
    both = Barrier(2, timeout=10)
    before(w.firestore, "apply", lambda: bool(both.wait()), monkeypatch)
    assert run(w).directions["django_to_firestore"].applied == 4
    w.settle()
    w.check("wxyz")


def test_the_first_pages_of_several_entities_are_fetched_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    w = World()
    entity = w.pair.entities["thing"]
    names = ("branch", "thing", "event")
    w.pair = replace(w.pair, beside=lambda: threads(len(names) + 1), scope=replace(w.pair.scope, entities=names))
    w.pair = replace(w.pair, entities={name: replace(entity, name=name) for name in names})
    all_of_them, pages = Barrier(len(names), timeout=10), w.django.changes
    w.d_save("w", a=1, b=0, c=0)

    def changes(scope: Any) -> Any:
        if scope.page_size > 1:  # the look whether there is anything to do
            all_of_them.wait()
        yield from pages(scope) if "thing" in scope.entities else ()

    monkeypatch.setattr(w.django, "changes", changes)
    assert run(w, direction="django_to_firestore").directions["django_to_firestore"].applied == 1


def steps(w: World, target: Any, source: Any) -> str:
    """Return in which order a run does its steps: "a" for a page that is applied, "k" for one that is acknowledged."""
    done: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        before(target, "apply", lambda: done.append("a"), patch)
        before(source, "acknowledge", lambda: done.append("k"), patch)
        report = run(w, direction=f"{source.name}_to_{target.name}")
    assert report.failure is None
    return "".join(done)


def in_one_thread(w: World, page_size: int = 2) -> World:
    w.pair = replace(w.pair, beside=Inline, scope=replace(w.pair.scope, page_size=page_size))
    return w


def test_pages_of_other_records_do_not_wait_for_each_other_where_the_target_lets_them() -> None:
    w = in_one_thread(town(4))
    assert steps(w, w.firestore, w.django) == "aakk"


def test_a_target_that_takes_turns_gets_a_page_once_the_one_before_is_done() -> None:
    w = in_one_thread(town(4))
    w.settle()
    for number in range(4):
        w.f_update("wxyz"[number], b=number + 1)
    w.deliver_all()
    assert steps(w, w.django, w.firestore) == "akak"


def test_the_changes_of_one_record_wait_for_each_other() -> None:
    w = in_one_thread(town(1), page_size=1)
    w.d_save("w", b=1)
    w.clock.tick()
    w.d_save("w", b=2)
    assert steps(w, w.firestore, w.django) == "akakak"
    w.settle()
    w.check("w")


def test_a_page_with_deletes_waits_until_those_before_it_are_out_of_the_queue() -> None:
    w = in_one_thread(town(4))
    w.settle()
    w.d_save("w", b=1)
    w.d_save("x", b=1)
    w.d_delete("y")
    w.d_delete("z")
    assert steps(w, w.firestore, w.django) == "akak"


def test_what_goes_wrong_in_acknowledging_fails_the_run_and_the_next_one_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    w = town(4)

    def fail() -> None:
        raise Transient("no answer")

    with monkeypatch.context() as patch:
        before(w.django, "acknowledge", fail, patch)
        report = run(w)
    assert report.failure
    assert report.failure.retry
    again = run(w)
    assert again.failure is None
    assert again.directions["django_to_firestore"].read == 4
    w.settle()
    w.check("wxyz")


def test_a_page_that_cannot_be_fetched_leaves_the_one_before_carried_and_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    w = town(4)
    pages = w.django.changes

    def changes(scope: Any) -> Any:
        given = pages(scope)
        yield next(given)
        raise Transient("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(w.django, "changes", changes)
        report = run(w)
    assert report.failure
    assert report.directions["django_to_firestore"].applied == 2
    assert run(w).directions["django_to_firestore"].read == 2


@pytest.mark.parametrize("limit", [{"max_changes": 2}, {"max_billed": 10_000}])
def test_nothing_is_fetched_ahead_where_changes_or_operations_are_counted(limit: dict[str, int]) -> None:
    w = town(4)
    reads: list[int] = []
    pages = w.django.changes

    def changes(scope: Any) -> Any:
        for page in pages(scope):
            reads.append(len(page))
            yield page

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(w.django, "changes", changes)
        report = run(w, **limit)
    assert sum(reads) <= report.moved + 1, "one entry is looked at to see whether there is anything to do"


def test_a_run_that_dies_leaves_no_thread_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    w = town(4)
    made: list[ThreadPoolExecutor] = []

    def making() -> ThreadPoolExecutor:
        made.append(threads())
        return made[-1]

    w.pair = replace(w.pair, beside=making)
    before(w.firestore, "apply", _die, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(w)
    with pytest.raises(RuntimeError, match="after shutdown"):
        made[0].submit(int)


def _die() -> None:
    raise KeyboardInterrupt


@pytest.mark.stack
def test_parts_of_a_page_are_applied_at_the_same_time_each_record_s_changes_in_order(emulator: Any) -> None:
    database, entity = (
        documents(emulator.host, f"parts-{uuid.uuid4().hex[:12]}"),
        Entity("thing", "things", (Field("a", Type.INTEGER, "a"),)),
    )
    moment = datetime(2026, 11, 24, tzinfo=UTC)

    def saved(number: int, a: int) -> Change:
        stamp = stamp_at(moment + timedelta(seconds=a), "django")
        return Change(f"c{number}-{a}", RecordId("thing", f"k{number}"), Action.CREATE, {"a": Value(a, stamp)}, {"a": None})

    with threads(2) as beside:
        peer = FirestorePeer("firestore", database, "things", [entity], lambda: datetime.now(UTC), time.sleep, beside)
        both, first = Barrier(2, timeout=10), threading.local()
        commit = database.commit

        def meeting(writes: Any, transaction: bytes | None = None) -> None:
            if not hasattr(first, "met"):  # the first commit of each thread waits for that of the other
                first.met = both.wait()
            commit(writes, transaction)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(database, "commit", meeting)
            changes = [saved(number, a) for number in range(RECORDS_OF_A_PART + 50) for a in (1, 2)]
            results = peer.apply(changes, "run")
        assert [each.id for each in results] == [each.id for each in changes]
        assert {each.outcome for each in results} == {Outcome.APPLIED}
        kept = peer.read([change.record for change in changes])
    assert {record.version.fields["a"].value for record in kept} == {2}
