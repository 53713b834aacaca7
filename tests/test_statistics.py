"""What the runs of a pair came to: by day and by month, put together from their records once a day is over."""

from __future__ import annotations

import math
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from firestores import documents
from hypothesis import given
from hypothesis import strategies as st
from world import World

from shared.errors import Transient
from shared.model import Billed
from shared.peers.documents import Write
from shared.rollups import STATISTICS, by_day, last_day
from shared.statistics import Figures, by_month, days_up_to, figures_of, figures_of_runs, total
from shared.store import Store

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def record(seconds: float = 1.0, changes: int = 1, status: str = "done", currency: str = "USD") -> dict[str, Any]:
    """Return a run's record as `sync_runs` holds it, as far as figures are taken from it."""
    result = {
        "directions": {"a_to_b": {"read": changes}, "b_to_a": {"read": 0}},
        "conflicts": 1,
        "dead_letters": 2,
        "billed": {"reads": 3, "writes": 2, "deletes": 1},
        "cost": {"amount": 0.25, "currency": currency},
        "quota_errors": {"firestore": 4},
    }
    return {"status": status, "started_at": NOON, "completed_at": NOON + timedelta(seconds=seconds), "result": result}


def test_what_runs_did_is_added_up() -> None:
    figures = figures_of_runs([record(changes=5), record(changes=2, status="failed"), record(currency="ISK")])
    told = figures.as_json()
    assert {name: told[name] for name in ("runs", "failed", "unfinished", "changes", "conflicts", "dead_letters")} == {
        "runs": 3,
        "failed": 1,
        "unfinished": 0,
        "changes": 8,
        "conflicts": 3,
        "dead_letters": 6,
    }
    assert told["quota_errors"] == 12
    assert told["success_rate"] == pytest.approx(2 / 3, abs=0.001)
    assert told["billed"] == {"reads": 9, "writes": 6, "deletes": 3}
    assert told["cost"] == {"USD": 0.5, "ISK": 0.25}


def test_a_run_that_was_cut_off_is_one_that_did_not_go_through() -> None:
    told = figures_of_runs([record(), {"status": "running", "started_at": NOON}]).as_json()
    assert (told["runs"], told["unfinished"], told["success_rate"]) == (2, 1, 0.5)


def test_what_a_reconcile_mended_counts_as_changes() -> None:
    mended = record(changes=1)
    mended["result"]["reconciled"] = {"member": {"repaired": 4}, "branch": {"repaired": 0}}
    figures = figures_of_runs([mended, record(changes=2)])
    assert (figures.changes, figures.carried) == (7, {"a_to_b": 3, "reconcile": 4})
    assert figures.as_json()["carried"] == {"a_to_b": 3, "reconcile": 4}


def test_of_no_runs_there_is_no_rate_and_no_time() -> None:
    told = Figures().as_json()
    assert (told["runs"], told["success_rate"], told["p50_seconds"], told["p95_seconds"]) == (0, None, None, None)


DURATIONS = st.lists(st.floats(0.001, 1700), min_size=1, max_size=60)


@given(DURATIONS, st.sampled_from([0.5, 0.95]))
def test_a_percentile_is_told_to_within_a_tenth(seconds: list[float], share: float) -> None:
    told = figures_of_runs(record(each) for each in seconds).percentile(share)
    exact = sorted(seconds)[math.ceil(share * len(seconds)) - 1]
    assert told is not None
    assert exact * 0.999 - 0.006 <= told <= max(exact, 0.01) * 1.101 + 0.006


@given(st.lists(DURATIONS, min_size=1, max_size=5))
def test_days_that_are_added_up_are_as_all_their_runs_together(days: list[list[float]]) -> None:
    apart = [figures_of_runs(record(each) for each in seconds) for seconds in days]
    assert total(apart) == figures_of_runs(record(each) for seconds in days for each in seconds)


@given(DURATIONS)
def test_what_is_kept_is_what_was_figured(seconds: list[float]) -> None:
    figures = figures_of_runs(record(each) for each in seconds)
    assert figures_of(figures.as_kept()) == figures
    assert all(len(name) < 4 for name in figures.as_kept()["durations"])


def test_a_rollup_of_another_release_counts_as_far_as_it_goes() -> None:
    assert figures_of({"pair": "things", "runs": 2, "unheard_of": 5}) == Figures(runs=2)


def test_days_are_those_of_utc() -> None:
    late = datetime(2026, 1, 2, 1, tzinfo=UTC)
    assert days_up_to(late, 3) == ["2025-12-31", "2026-01-01", "2026-01-02"]
    assert by_month({"2025-12-31": Figures(runs=1), "2026-01-01": Figures(runs=2), "2026-01-02": Figures(runs=3)}) == {
        "2025-12": Figures(runs=1),
        "2026-01": Figures(runs=5),
    }


# Rollups


def town(*days: int) -> World:
    """A world with a run that moves two changes at noon of each of these days of January, and its clock at noon of the tenth."""
    w = World()
    for day in days:
        w.clock.time = NOON.replace(day=day)
        w.d_save(f"k{day}", a=1)
        w.d_save(f"l{day}", a=1)
        w.sync()
    w.clock.time = NOON
    return w


def kept(w: World) -> list[str]:
    return sorted(path for path in w.database.documents if path.startswith(f"{STATISTICS}/"))


def test_a_run_writes_nothing_for_the_statistics() -> None:
    assert kept(town(5, 6)) == []


def test_a_day_that_is_over_is_put_together_once() -> None:
    w = town(5, 7, 10)
    days = by_day(w.store, "things", 30, w.clock())
    assert {day: (each.runs, each.changes) for day, each in days.items()} == {
        "2026-01-05": (1, 2),
        "2026-01-07": (1, 2),
        "2026-01-10": (1, 2),
    }
    assert kept(w) == [f"{STATISTICS}/things:2026-01-05", f"{STATISTICS}/things:2026-01-07"], "the tenth is not over"
    before = w.database.billed.copy()
    assert by_day(w.store, "things", 30, w.clock()) == days
    assert w.database.billed.since(before) == Billed(reads=30 + 28), "a rollup a day, and a look for runs where there is none"


def test_figures_outlive_the_records_of_the_runs() -> None:
    w = town(5)
    days = by_day(w.store, "things", 30, w.clock())
    for path in [path for path in w.database.documents if path.startswith("sync_runs/")]:
        w.database.client_delete(path)
    w.clock.time += timedelta(days=300)
    assert by_day(w.store, "things", 366, w.clock()) == days
    assert by_day(w.store, "things", 100, w.clock()) == {}


def test_a_year_costs_a_read_a_day_and_only_a_months_missing_days_are_looked_for() -> None:
    w = town()
    before = w.database.billed.copy()
    assert by_day(w.store, "things", 366, w.clock()) == {}
    assert w.database.billed.since(before) == Billed(reads=366 + 31)


def test_a_rollup_expires_after_three_years() -> None:
    w = town(5)
    by_day(w.store, "things", 30, w.clock())
    found = w.database.snapshot(f"{STATISTICS}/things:2026-01-05").fields
    assert found["expire_at"] == datetime(2026, 1, 6, tzinfo=UTC) + timedelta(days=1100)


def test_a_run_that_goes_on_past_midnight_counts_for_the_day_it_began_on() -> None:
    w = town(7)
    w.clock.time = datetime(2026, 1, 7, 23, 59, 58, tzinfo=UTC)
    w.d_save("x", a=1)
    w.database.fault = lambda call: w.clock.tick(5)
    w.sync()
    w.database.fault = lambda call: None
    assert w.clock.time.day == 8
    w.clock.time = datetime(2026, 1, 8, 0, 59, tzinfo=UTC)
    assert last_day(w.store, "things", w.clock())[0] == "2026-01-06", "a run of the seventh may be under way"
    w.clock.time = datetime(2026, 1, 8, 1, 0, tzinfo=UTC)
    day, figures = last_day(w.store, "things", w.clock())
    assert (day, figures.runs) == ("2026-01-07", 2)


def test_a_day_that_may_have_a_run_under_way_is_figured_and_not_kept() -> None:
    w = town(9)
    w.clock.time = datetime(2026, 1, 10, 0, 30, tzinfo=UTC)
    assert by_day(w.store, "things", 2, w.clock())["2026-01-09"].runs == 1
    assert kept(w) == []


def test_the_last_day_costs_a_read_once_it_is_known_and_nothing_is_kept_of_an_idle_one() -> None:
    w = town(8)
    assert last_day(w.store, "things", w.clock()) == ("2026-01-09", Figures())
    assert kept(w) == []
    w.clock.time = NOON.replace(day=9)
    last_day(w.store, "things", w.clock())
    before = w.database.billed.copy()
    assert last_day(w.store, "things", w.clock())[1].changes == 2
    assert w.database.billed.since(before) == Billed(reads=1)


def test_runs_of_another_pair_do_not_count() -> None:
    w = town(9)
    assert last_day(w.store, "thing", w.clock())[1] == Figures()


def test_a_run_that_never_ended_is_counted_from_what_it_wrote_when_it_began() -> None:
    w = town(9)
    w.clock.time = NOON.replace(day=9) + HOUR
    w.d_save("x", a=1)
    calls = iter(range(100))

    def fault(call: str) -> None:
        if call == "committed" and next(calls) == 0:
            w.database.fault = dead

    def dead(call: str) -> None:
        raise Transient("the instance has died")

    w.database.fault = fault
    w.sync()
    w.database.fault = lambda call: None
    w.clock.time = NOON
    figures = last_day(w.store, "things", w.clock())[1]
    assert (figures.runs, figures.unfinished) == (2, 1)


def test_more_runs_than_a_page_holds_are_all_counted() -> None:
    w = World()
    w.clock.time = NOON
    numbers = list(range(1201))
    random.Random(5).shuffle(numbers)
    for number in numbers:
        w.database.client_set(f"sync_runs/things:{number}", record() | {"pair": "things", "day": "2026-01-09"})
    assert last_day(w.store, "things", w.clock())[1].runs == 1201


@pytest.mark.stack
def test_firestore_finds_a_days_runs_and_keeps_what_they_came_to(emulator: Any) -> None:
    store = Store(documents(emulator.host, f"rollups-{uuid.uuid4().hex[:12]}"))
    mine, other = {"pair": "things", "day": "2026-01-09"}, {"pair": "things", "day": "2026-01-08"}
    bodies = {"things:b": mine, "things:a": mine, "things:c": other, "others:d": mine | {"pair": "others"}}
    store.documents.write([Write(f"sync_runs/{id}", record(0.5) | body) for id, body in bodies.items()])
    first = last_day(store, "things", NOON)
    before = store.documents.billed.copy()
    assert last_day(store, "things", NOON) == first == ("2026-01-09", figures_of_runs([record(0.5), record(0.5)]))
    assert store.documents.billed.since(before) == Billed(reads=1)
    assert list(by_day(store, "things", 5, NOON)) == ["2026-01-08", "2026-01-09"]
