"""What Firestore bills for each change more, by the kind of change. What a run costs besides is the same for many as for few."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from firestores import EmulatorFirestore, documents
from world import World

from shared.config import Health
from shared.health import pair_health
from shared.model import Billed
from shared.prices import Prices

FEW, MANY = 10, 40
Keys = list[str]


def town(keys: Keys) -> World:
    w = World()
    w.pair = replace(w.pair, scope=replace(w.pair.scope, page_size=500))
    for key in keys:
        w.d_save(key, a=1, b=2, c=3)
    w.settle()
    return w


def saved(w: World, keys: Keys) -> None:
    for key in keys:
        w.d_save(key, a=7)


def created(w: World, keys: Keys) -> None:
    for key in keys:
        w.d_save(f"{key}-new", a=1, b=2, c=3)


def deleted(w: World, keys: Keys) -> None:
    for key in keys:
        w.d_delete(key)


def updated_by_clients(w: World, keys: Keys) -> None:
    for key in keys:
        w.f_update(key, a=7)
    w.deliver_all()


def of_one(steps: Callable[[World, Keys], None], run: Callable[[World], object]) -> Billed:
    """Return what each record more adds to the bill of these steps and a run."""
    bills = []
    for number in (FEW, MANY):
        keys = [f"k{each:03}" for each in range(number)]
        w = town(keys)
        before = w.database.billed.copy()
        steps(w, keys)
        run(w)
        bills.append(w.database.billed.since(before))
    more = bills[1].since(bills[0])
    assert all(each % (MANY - FEW) == 0 for each in (more.reads, more.writes, more.deletes)), more
    return Billed(*(each // (MANY - FEW) for each in (more.reads, more.writes, more.deletes)))


CLIENT = 1
"""The client's own write."""
COSTS = {
    "saved in Django: its document is read and written": (saved, Billed(1, 1)),
    "made in Django: written where neither it nor a tombstone is": (created, Billed(0, 1, 1)),
    "deleted in Django: read with its tombstone, which takes its place": (deleted, Billed(2, 1, 1)),
    "written by a client: queued and indexed, read from the queue, acknowledged": (updated_by_clients, Billed(1, 3 + CLIENT)),
}


@pytest.mark.parametrize("steps, cost", COSTS.values(), ids=COSTS)
def test_a_change_costs_no_more_than_this(steps: Callable[[World, Keys], None], cost: Billed) -> None:
    assert of_one(steps, lambda w: w.sync()) == cost


def test_the_first_load_of_rows_that_no_queue_knew_costs_one_read_and_one_write_a_record() -> None:
    def imported(w: World, keys: Keys) -> None:
        for key in keys:
            w.d_raw(f"{key}-raw", a=1, b=2, c=3)

    assert of_one(imported, lambda w: w.reconcile()) == Billed(2, 1, 1), "one read is of the record there before"


def test_an_estimate_in_money_follows_the_prices() -> None:
    billed = Billed(reads=200_000, writes=100_000, deletes=50_000)
    assert Prices().cost(billed) == {"amount": 0.31, "currency": "USD"}
    assert Prices(0.1, 0.2, 0.3, "EUR").cost(billed) == {"amount": 0.55, "currency": "EUR"}
    assert town(["k"]).sync().as_json()["cost"] == {"amount": 0.000001, "currency": "USD"}


HEALTHY = 8
"""Lease, dead letters, conflicts; of the queue: what waits, what failed, the clock; of the last day: its rollup, its runs."""


def test_asking_for_the_health_of_a_pair_that_is_well_is_billed_eight_reads_and_no_write() -> None:
    w = town([f"k{number}" for number in range(40)])
    before = w.database.billed.copy()
    assert pair_health(w.pair, Health(), w.store, w.clock())["problems"] == []
    assert w.database.billed.since(before) == Billed(HEALTHY)


@pytest.mark.stack
def test_records_too_large_for_one_commit_are_made_in_several_without_a_read(emulator: Any) -> None:
    w = World(database=EmulatorFirestore(documents(emulator.host, f"large-{uuid.uuid4().hex[:12]}")))
    w.pair = replace(w.pair, scope=replace(w.pair.scope, page_size=500))
    for number in range(30):
        w.d_save(f"k{number}", a="x" * 300_000, b=2, c=3)
    calls: list[str] = []
    w.database.fault = calls.append
    report = w.sync()
    assert report.directions["django_to_firestore"].applied == 30
    assert calls.count("get") == 3, "the clock, and the lease at both ends: no record was read"
    assert calls.count("committed") > 6
