"""While a page is applied the next one is fetched and the last one acknowledged; nothing of what that may meet gets lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
from world import World

from shared.engine import sync
from shared.errors import Transient
from shared.run import Order


def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1)


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
