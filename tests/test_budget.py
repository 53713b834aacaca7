"""A run stops at its budget of billed operations, says so, and the next one goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from real import Real
from test_brake import live
from world import World

from shared.engine import sync
from shared.reconcile import reconcile
from shared.report import Report

COSTLY = 14
"""The most operations that carrying one change of three fields can be billed: its entry read and labelled, its document read
twice, its tombstone read, adopted in two writes and read again, written with its tombstone, three conflicts kept."""


def with_changes(number: int, **options: Any) -> World:
    w = World(**options)
    w.pair = replace(w.pair, scope=replace(w.pair.scope, page_size=500))
    for each in range(number):
        w.d_save(f"d{each:03}", a=each)
        w.f_set(f"f{each:03}", a=each)
    w.deliver_all()
    return w


def runs_until_done(w: World, budget: int, **order: Any) -> list[Report]:
    reports = [w.sync(max_billed=budget, **order)]
    while reports[-1].left_over:
        assert len(reports) < 300, "it gets nowhere"
        reports.append(w.sync(max_billed=budget, **order))
    return reports


def test_a_run_has_no_budget_unless_one_is_set() -> None:
    report = with_changes(60).sync()
    assert (report.stopped_by, report.moved) == (None, 120)


@pytest.mark.parametrize("budget", [60, 100, 300, 450])
def test_a_run_stops_before_its_budget_is_spent_and_the_next_goes_on_until_all_is_carried(budget: int) -> None:
    w = with_changes(100)
    reports = runs_until_done(w, budget)
    assert live(w) == (200, 200)
    assert [report.stopped_by for report in reports] == ["budget"] * (len(reports) - 1) + [None]
    assert len(reports) > 1
    assert all(report.as_json()["left_over"] for report in reports[:-1])
    assert max(report.billed.total for report in reports) <= budget
    assert sum(report.moved for report in reports) == 200


@pytest.mark.parametrize("budget", [1, 5, 20, 40])
def test_a_budget_below_what_a_page_costs_still_lets_a_run_carry_one_page(budget: int) -> None:
    w = with_changes(5)
    reports = runs_until_done(w, budget)
    assert live(w) == (10, 10)
    assert all(report.moved for report in reports[:-1])


@pytest.mark.parametrize("budget", [100, 400])
def test_a_page_dearer_than_any_before_overshoots_by_less_than_a_twentieth_of_the_budget_in_changes(budget: int) -> None:
    w = World()
    for number in range(40):
        w.d_save(f"a{number:03}", a=number)
    w.settle()
    for number in range(40):
        w.d_save(f"a{number:03}", a=number)  # nothing new: cheap
        w.d_save(f"b{number:03}", a=number, b=number, c=number)
        w.f_set(f"b{number:03}", a=-1, b=-1, c=-1)  # three conflicts each, unseen: dear
    reports = runs_until_done(w, budget)
    assert max(report.billed.total for report in reports) <= budget + max(1, budget // 20) * COSTLY
    w.settle()
    w.check([f"{letter}{number:03}" for letter in "ab" for number in range(40)])  # type: ignore[arg-type]


def test_the_pairs_own_budget_holds_unless_the_request_names_another() -> None:
    w = with_changes(40, max_billed=100)
    assert w.sync().stopped_by == "budget"
    assert w.sync(max_billed=10_000).stopped_by is None


@pytest.mark.parametrize("work", [sync, reconcile], ids=["sync", "reconcile"])
def test_what_stopped_a_run_is_said(work: Any) -> None:
    w = with_changes(40)
    assert w.sync(work, max_changes=5).as_json()["stopped_by"] == "changes"
    assert w.sync(work, max_billed=50).as_json()["stopped_by"] == "budget"
    assert w.sync(work).as_json()["stopped_by"] is None


def test_a_reconciliation_stops_at_its_budget_while_it_walks_over_what_is_equal() -> None:
    w = with_changes(100)
    w.settle()
    report = w.sync(reconcile, max_billed=80)
    assert (report.stopped_by, report.billed.total <= 80) == ("budget", True)
    assert 0 < report.reconciled["thing"].compared < 200
    assert w.sync(reconcile).reconciled["thing"].compared == 200


def test_a_reconciliation_stops_at_its_budget_while_it_mends_and_a_later_one_mends_the_rest() -> None:
    w = with_changes(40)
    w.settle()
    for path in [path for path in w.database.documents if path.startswith("things/f")]:
        del w.database.documents[path]
    reports = runs_until_done(w, 200, work=reconcile)
    assert len(reports) > 1
    assert max(report.billed.total for report in reports) <= 200 + 10 * COSTLY
    assert live(w) == (80, 80)


@pytest.mark.stack
def test_a_budget_over_http_on_real_parts(real: Real) -> None:
    for number in range(30):
        real.users.call("save", entity="branch", key=f"d{number:02}", fields={"name": "x"})
        real.firestore.document(f"branches/f{number:02}").set({"name": "x"})
    real.wait_for_queue(30)
    results = [real.sync(max_billed=90)]
    while results[-1]["left_over"]:
        results.append(real.sync(max_billed=90))
    assert [each["stopped_by"] for each in results] == ["budget"] * (len(results) - 1) + [None]
    assert len(results) > 1
    assert max(sum(each["billed"].values()) for each in results) <= 90 + 4 * COSTLY
    assert len(real.rows("branches")) == len(real.users.call("dump", entity="branch")) == 60
