"""Health says what needs somebody, with its cure, and only that; its figures reach the log, and no key does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from test_breaker import FAILURES, town_whose_django_went_down
from world import Quiet, World

from shared.config import Health, Schedule
from shared.errors import Transient
from shared.health import pair_health, say
from shared.model import Policy, Problem, RecordId, Scope, Status, instant
from shared.quota import Quota
from shared.reconcile import Task
from shared.schedule import second_after
from shared.store import IDLE_RECORD_EVERY

LIMITS, SCHEDULE = Health(), Schedule()


def health(w: World) -> dict[str, Any]:
    return pair_health(w.pair, LIMITS, w.store, w.clock())


def codes(w: World) -> list[str]:
    return [each["code"] for each in health(w)["problems"]]


def well() -> World:
    w = World()
    w.d_save("x", a=1)
    w.settle()
    assert health(w)["problems"] == []
    return w


def overdue() -> World:
    w = well()
    w.clock.time = due(w) + timedelta(minutes=1)
    return w


def due(w: World) -> datetime:
    """Return when the second run after the last one is planned."""
    return second_after(w.store.lease("things").last["succeeded_at"] + IDLE_RECORD_EVERY, SCHEDULE)


def waiting() -> World:
    w = well()
    w.f_update("x", a=2)
    w.deliver_all()
    w.clock.time += timedelta(hours=LIMITS.oldest_pending_hours, minutes=1)
    run = w.store.lease("things").last
    w.database.client_update("sync_leases/things", {"last": dict(run) | {"succeeded_at": w.clock()}})
    return w


def apart() -> World:
    w = well()
    w.django.now = w.clock.apart(LIMITS.clock_seconds + 1)
    return w


def failed() -> World:
    w = well()
    w.d_save("x", a=2)

    def fault(call: str) -> None:
        if call == "query":
            raise Transient("Firestore, query")

    w.database.fault = fault
    w.sync()
    w.database.fault = lambda call: None
    return w


def flooded() -> World:
    w = World()
    for number in range(60):
        w.d_save(f"k{number}", a=1)
    w.settle()
    for number in range(60):
        w.d_delete(f"k{number}")
    w.sync()
    return w


def refused() -> World:
    w = well()
    w.store.refuse("things", "django", {"c1": (None, Problem("type", "is none", record=RecordId("thing", "x")))}, "r", w.clock())
    return w


def undecided() -> World:
    w = World(entity=replace(World().pair.entities["thing"], policy=Policy.MANUAL))
    w.d_save("x", a=1)
    w.settle()
    w.d_save("x", a=2)
    w.f_update("x", a=3)
    w.deliver_all()
    w.sync()
    return w


def over_quota() -> World:
    w = well()
    w.pair = replace(w.pair, quota=Quota())
    w.d_save("x", a=2)
    w.database.fault = lambda call: w.pair.quota.met("firestore") if call == "commit" else None
    w.sync()
    w.database.fault = lambda call: None
    return w


def silent() -> World:
    w = well()

    def status(scope: Scope) -> Status:
        raise Transient("peer 'django': no answer; is the backend running?")

    w.django.status = status  # type: ignore[method-assign]
    return w


TROUBLES = {
    # code: a world that has it, what the message says, what the cure says
    "overdue": (overdue, "no run has gone through since", "./bothways sync"),
    "queue": (waiting, "firestore: changes have been waiting since", "./bothways sync"),
    "clock": (apart, "its clock is 61 s off the functions'", "NTP"),
    "failed": (failed, "failed", "sync_runs"),
    "brake": (flooded, "held a mass delete", "--allow-mass-delete PLAN"),
    "dead-letters": (refused, "1 dead letter waits", "./bothways dead-letters"),
    "conflicts": (undecided, "1 conflict waits", "./bothways conflicts --open"),
    "quota": (over_quota, "firestore: it said", "limits in sync.yaml"),
    "peer": (silent, "is the backend running?", "start or mend django"),
}


@pytest.mark.parametrize("code", TROUBLES)
def test_each_trouble_is_said_alone_with_its_cure(code: str) -> None:
    make, message, cure = TROUBLES[code]
    problems = health(make())["problems"]
    assert [each["code"] for each in problems] == [code]
    assert message in problems[0]["message"]
    assert cure in problems[0]["cure"]
    assert "\n" not in problems[0]["cure"]


def test_an_open_breaker_is_said_with_the_time_until_which_the_peer_is_left_alone() -> None:
    w = town_whose_django_went_down()
    found = health(w)
    assert [each["code"] for each in found["problems"]] == ["breaker", "failed"]
    until = w.lease()["breakers"]["django"]["until"]
    assert f"django: {FAILURES} calls in a row failed, so runs leave it alone until {instant(until)}" in json.dumps(found)
    assert found["figures"]["breakers_open"] == 1
    w.django.down = False
    w.let_an_hour_pass()
    w.run()
    assert codes(w) == []


def test_a_failure_or_two_open_nothing() -> None:
    w = town_whose_django_went_down()
    lease = w.database.snapshot("sync_leases/things")
    few = {"state": "closed", "failures": 2}
    w.database.client_update(lease.path, {"last": lease.fields["last"] | {"breakers": {"django": few}}})
    assert codes(w) == ["failed"]


CURES: dict[str, Callable[[World], object]] = {
    "overdue": lambda w: w.sync(),
    "queue": lambda w: w.sync(),
    "brake": lambda w: w.sync(allow_mass_delete=w.sync().brakes[0].plan),
    "failed": lambda w: w.sync(),
    "quota": lambda w: w.sync(),
}


@pytest.mark.parametrize("code", CURES)
def test_what_is_cured_is_said_no_more(code: str) -> None:
    w = TROUBLES[code][0]()
    CURES[code](w)
    assert codes(w) == []


def test_a_run_that_fails_leaves_when_one_last_went_through() -> None:
    w = failed()
    last = w.store.lease("things").last
    assert last["completed_at"] > last["succeeded_at"]
    w.clock.time = due(w) + timedelta(minutes=1)
    assert codes(w) == ["queue", "failed", "overdue"], "however often it was tried since"


def test_the_figures_for_alerts_are_numbers_of_what_was_found() -> None:
    w = waiting()
    figures = health(w)["figures"]
    assert figures["pending"] == 1
    assert figures["oldest_pending_seconds"] > LIMITS.oldest_pending_hours * 3600
    assert figures["intervals_since_success"] == 0
    assert health(overdue())["figures"]["intervals_since_success"] == pytest.approx(2, abs=0.02)
    assert health(apart())["figures"]["clock_seconds"] == pytest.approx(61, abs=0.1)
    assert health(flooded())["figures"]["brakes"] == 1
    assert health(refused())["figures"] | {"dead_letters": 1} == health(refused())["figures"]
    assert health(World())["figures"]["intervals_since_success"] is None


def test_the_log_says_each_pairs_figures_and_troubles_and_no_key() -> None:
    w, log = refused(), Quiet()
    w.store.refuse("things", "django", {"c2": (None, Problem("type", "x", record=RecordId("thing", "Guðrún")))}, "r", w.clock())
    say(log, {"things": health(w), "others": health(well())})
    one, other = log.lines
    assert (one["event"], one["severity"], one["pair"], one["problems"]) == ("sync_health", "WARNING", "things", ["dead-letters"])
    assert one["stats"]["dead_letters"] == 2
    assert (other["severity"], other["problems"], other["message"]) == ("INFO", [], "pair others: all is well")
    assert all(value is None or isinstance(value, (int, float)) for line in log.lines for value in line["stats"].values())
    assert "Guð" not in json.dumps(log.lines, ensure_ascii=False)


def test_the_last_line_of_a_run_has_the_figures_that_alerts_are_made_of() -> None:
    w = over_quota()
    stats = w.log.lines[-1]["stats"]
    assert set(stats) == {"duration_seconds", "changes", "stopped_by", "billed", "cost", "quota_errors"}
    assert stats["quota_errors"] > 0
    assert stats["cost"]["amount"] > 0
    assert set(stats["billed"]) == {"reads", "writes", "deletes"}
    for number in range(9):
        w.d_save(f"k{number}", a=1)
    w.sync(max_billed=1)
    assert w.log.lines[-1]["stats"]["stopped_by"] == "budget"


# By tenant


def two_towns() -> World:
    w = well()
    w.pair = replace(w.pair, tenants={"thing": ("AK", "RVK")})
    w.sync()
    return w


def of_tenant(w: World, tenant: str) -> dict[str, Any]:
    told: dict[str, Any] = health(w)["tenants"][tenant]
    return told


def sync_of(w: World, tenant: str | None = None, **options: Any) -> None:
    whole, w.pair = w.pair, replace(w.pair, scope=replace(w.pair.scope, tenant=tenant))
    w.sync(**options)
    w.pair = whole


def test_each_tenant_has_its_figures_and_is_asked_about_only_while_something_waits() -> None:
    w = two_towns()
    before = w.database.billed.copy()
    assert [(name, each["problems"]) for name, each in health(w)["tenants"].items()] == [("AK", []), ("RVK", [])]
    quiet = w.database.billed.since(before).reads
    letter = Problem("type", "is none", record=RecordId("thing", "x", "RVK"))
    w.store.refuse("things", "django", {"c1": (None, letter)}, "r", w.clock())
    before = w.database.billed.copy()
    assert [(name, each["problems"]) for name, each in health(w)["tenants"].items()] == [("AK", []), ("RVK", ["dead-letters"])]
    assert w.database.billed.since(before).reads == quiet + 2 * 3


def test_a_tenants_backlog_is_told_by_side_with_its_age() -> None:
    w = two_towns()
    w.django.save(RecordId("thing", "x", "RVK"), {"a": 1})
    w.clock.time += timedelta(hours=LIMITS.oldest_pending_hours, minutes=1)
    told = of_tenant(w, "RVK")
    assert (told["pending_in_django"], told["pending_in_firestore"], told["problems"]) == (1, 0, ["queue"])
    assert told["oldest_pending_seconds"] == pytest.approx(LIMITS.oldest_pending_hours * 3600 + 60, abs=2)
    assert (of_tenant(w, "AK")["oldest_pending_at"], of_tenant(w, "AK")["problems"]) == (None, [])
    w.f_update("x", a=2)
    w.deliver_all()
    [entry] = [
        path for path in w.database.documents if path.startswith("sync_queue/") and "pending" in str(w.database.snapshot(path))
    ]
    w.database.client_update(entry, {"tenant": "AK"})
    w.clock.time += timedelta(seconds=60)
    told = of_tenant(w, "AK")
    assert (told["pending_in_django"], told["pending_in_firestore"], told["problems"]) == (0, 1, [])
    assert told["oldest_pending_seconds"] == pytest.approx(60, abs=2)


def test_a_run_of_one_tenant_is_a_success_of_that_tenant_alone() -> None:
    w = two_towns()
    w.clock.time = due(w) + timedelta(minutes=1)
    sync_of(w, "AK")
    assert (of_tenant(w, "AK")["problems"], of_tenant(w, "RVK")["problems"]) == ([], ["overdue"])
    [problem] = health(w)["problems"]
    assert (problem["code"], problem["message"].rpartition(" for ")[2]) == ("overdue", "RVK")
    sync_of(w, "RVK")
    assert codes(w) == []
    sync_of(w)
    assert w.store.lease("things").last["tenants"] == {}, "one of all tenants is each one's"
    assert of_tenant(w, "AK")["last_success_at"] == of_tenant(w, "RVK")["last_success_at"]


PARTS: dict[str, Callable[[World], object]] = {
    "one direction": lambda w: sync_of(w, direction="django_to_firestore"),
    "some records": lambda w: w.reconcile(Task(keys=("x",))),
    "only counting": lambda w: w.reconcile(Task(repair=False)),
}


@pytest.mark.parametrize("run", PARTS.values(), ids=PARTS)
def test_a_run_of_a_part_is_no_success_of_the_whole(run: Callable[[World], object]) -> None:
    w = overdue()
    run(w)
    assert codes(w) == ["overdue"]
    w.reconcile()
    assert codes(w) == []


def test_the_log_names_the_tenant_that_needs_somebody_and_no_other() -> None:
    w, log = two_towns(), Quiet()
    w.clock.time = due(w) + timedelta(hours=1)
    sync_of(w, "AK")
    say(log, {"things": health(w)})
    pair, tenant = log.lines
    assert (pair.get("tenant"), tenant["tenant"], tenant["severity"], tenant["problems"]) == (None, "RVK", "WARNING", ["overdue"])
    assert pair["stats"]["intervals_since_success"] == tenant["stats"]["intervals_since_success"] > 2
    assert all(value is None or isinstance(value, (int, float)) for value in tenant["stats"].values())


# Twice the interval

MONDAY = datetime(2026, 11, 23, 3, 31, tzinfo=UTC)
DUE = {
    # cron, the last success, when the second run after it is planned
    "nightly": ("30 3 * * *", MONDAY, MONDAY.replace(day=25, minute=30)),
    "on working days, over a weekend": ("30 3 * * 1-5", MONDAY.replace(day=20), MONDAY.replace(day=24, minute=30)),
    "weekly": ("0 3 * * 1", MONDAY, datetime(2026, 12, 7, 3, tzinfo=UTC)),
    "by another clock": ("0 3 * * *", MONDAY, datetime(2026, 11, 25, 2, tzinfo=UTC)),
    "often, though idle runs are recorded once an hour": ("*/5 * * * *", MONDAY, MONDAY.replace(hour=4, minute=40)),
}


@pytest.mark.parametrize("name", DUE)
def test_the_schedule_says_how_long_no_run_may_go_through(name: str) -> None:
    cron, success, second = DUE[name]
    schedule = Schedule(cron=cron, time_zone="Europe/Prague" if "clock" in name else "Atlantic/Reykjavik")
    w = well()
    w.database.client_update("sync_leases/things", {"last": {"succeeded_at": success, "success": True}})
    for moment, share, wanted in ((second, 2, []), (second + timedelta(seconds=9), 2, ["overdue"])):
        w.clock.time = moment
        told = pair_health(w.pair, LIMITS, w.store, moment, schedule)
        assert told["figures"]["intervals_since_success"] == pytest.approx(share, abs=0.01)
        assert [each["code"] for each in told["problems"]] == wanted


def test_hours_that_are_named_go_before_the_schedule() -> None:
    w = well()
    w.clock.time += timedelta(hours=3)
    named = pair_health(w.pair, Health(last_success_hours=2), w.store, w.clock())
    assert [each["code"] for each in named["problems"]] == ["overdue"]
    assert named["figures"]["intervals_since_success"] == pytest.approx(3, abs=0.1)
    assert codes(w) == []


def test_yesterdays_figures_are_told_too() -> None:
    w = well()
    day = w.clock().date().isoformat()
    w.clock.time += timedelta(days=1)
    told = health(w)["last_day"]
    assert (told["day"], told["runs"] > 0, told["success_rate"]) == (day, True, 1.0)


def test_all_of_it_is_json() -> None:
    for make, *_ in TROUBLES.values():
        json.dumps(health(make()))
    json.dumps(health(town_whose_django_went_down()))
