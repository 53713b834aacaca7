"""Health says what needs somebody, with its cure, and only that; its figures reach the log, and no key does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from test_breaker import FAILURES, town_whose_django_went_down
from world import Quiet, World

from shared.config import Health
from shared.errors import Transient
from shared.health import pair_health, say
from shared.model import Policy, Problem, RecordId, Scope, Status, instant
from shared.quota import Quota

LIMITS = Health()


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
    w.clock.time += timedelta(hours=LIMITS.last_success_hours, minutes=1)
    return w


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
    "dead-letters": (refused, "1 dead letter(s)", "./bothways dead-letters"),
    "conflicts": (undecided, "1 conflict(s)", "./bothways conflicts --open"),
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
    w.clock.time += timedelta(hours=LIMITS.last_success_hours, minutes=1)
    assert codes(w) == ["queue", "failed", "overdue"], "however often it was tried since"


def test_the_figures_for_alerts_are_numbers_of_what_was_found() -> None:
    w = waiting()
    figures = health(w)["figures"]
    assert figures["pending"] == 1
    assert figures["oldest_pending_seconds"] > LIMITS.oldest_pending_hours * 3600
    assert figures["intervals_since_success"] == 0
    assert health(overdue())["figures"]["intervals_since_success"] == pytest.approx(1, abs=0.02)
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


def test_tenants_are_named_for_whom_something_waits_and_asked_about_only_then() -> None:
    w = well()
    w.pair = replace(w.pair, tenants={"thing": ("AK", "RVK")})
    before = w.database.billed.copy()
    assert health(w)["tenants"] == {}
    quiet = w.database.billed.since(before).reads
    letter = Problem("type", "is none", record=RecordId("thing", "x", "RVK"))
    w.store.refuse("things", "django", {"c1": (None, letter)}, "r", w.clock())
    before = w.database.billed.copy()
    assert health(w)["tenants"] == {"RVK": {"dead_letters": 1, "open_conflicts": 0, "pending_in_firestore": 0}}
    assert w.database.billed.since(before).reads == quiet + 2 * 3


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
