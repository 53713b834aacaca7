"""8. Brakes: a flood of deletes is held, and everything else goes on, until somebody allows just that flood."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from real import Real
from world import World


def with_records(number: int) -> tuple[World, list[str]]:
    w = World()
    keys = [f"k{each:04}" for each in range(number)]
    for key in keys:
        w.d_save(key, a=1)
    w.settle()
    return w, keys


def delete(w: World, keys: list[str], how: Callable[[World, str], None]) -> None:
    for key in keys:
        how(w, key)
    w.deliver_all()


def live(w: World) -> tuple[int, int]:
    return len(w.django.rows), sum(path.startswith("things/") for path in w.database.documents)


@pytest.mark.parametrize("how", [World.d_delete, World.f_delete], ids=["django", "firestore"])
def test_8_brakes_a_few_deletes_pass(how: Callable[[World, str], None]) -> None:
    w, keys = with_records(60)
    delete(w, keys[:50], how)
    assert w.sync().brakes == []
    assert live(w) == (10, 10)


@pytest.mark.parametrize("how", [World.d_delete, World.f_delete], ids=["django", "firestore"])
def test_8_brakes_many_deletes_are_held_again_and_again_and_edits_go_on(how: Callable[[World, str], None]) -> None:
    w, keys = with_records(60)
    delete(w, keys[:51], how)
    w.d_save(keys[59], a=2)
    w.f_update(keys[58], a=3)
    w.deliver_all()
    for _ in range(2):
        report = w.sync()
        [found] = report.brakes
        assert (found.entity, found.deletes, found.allowed) == ("thing", 51, 50)
        assert sum(tally.held for tally in report.directions.values()) == 51
        assert sorted(live(w)) == [9, 60]
    assert w.f_values(keys[59]) == {"a": 2}
    assert w.d_values(keys[58]) == {"a": 3}
    assert [line["severity"] for line in w.log.lines if line["event"] == "brake"] == ["WARNING", "WARNING"]


def test_8_brakes_that_very_plan_can_be_allowed_and_no_other() -> None:
    w, keys = with_records(60)
    delete(w, keys[:51], World.d_delete)
    [first] = w.sync().brakes
    w.d_delete(keys[51])
    [second] = w.sync(allow_mass_delete=first.plan).brakes
    assert (second.deletes, second.plan != first.plan) == (52, True)
    assert w.sync(allow_mass_delete=second.plan).brakes == []
    w.settle()
    assert live(w) == (8, 8)


def test_8_brakes_a_tenth_of_many_records_passes() -> None:
    w, keys = with_records(700)
    delete(w, keys[:70], World.d_delete)
    assert w.sync().brakes == []
    delete(w, keys[70:140], World.d_delete)
    [found] = w.sync().brakes
    assert (found.deletes, found.allowed) == (70, 63)


def test_8_brakes_a_dry_run_shows_the_brake_and_the_plan() -> None:
    w, keys = with_records(60)
    delete(w, keys[:51], World.d_delete)
    report = w.sync(dry_run=True)
    assert report.directions["django_to_firestore"].held == 51
    [found] = report.brakes
    assert w.sync().brakes == [found]


def test_8_brakes_an_empty_peer_is_not_taken_for_a_deletion_of_everything() -> None:
    w, _ = with_records(60)
    for path in [path for path in w.database.documents if path.startswith("things/")]:
        del w.database.documents[path]
    w.reconcile()
    assert live(w) == (60, 60)


@pytest.mark.stack
def test_8_brakes_over_http(real: Real) -> None:
    for number in range(60):
        real.users.call("save", entity="interest", key=f"i{number}", fields={"name": "x"})
    real.sync()
    for number in range(51):
        real.users.call("delete", entity="interest", key=f"i{number}")
    [found] = real.sync()["brakes"]
    assert (found["entity"], found["deletes"]) == ("interest", 51)
    assert len(real.rows("interests")) == 60
    health = real.call("sync_health")
    assert (health.status_code, "held a mass delete" in health.text) == (503, True)
    assert real.sync(allow_mass_delete="not this one")["brakes"] == [found]
    assert real.sync(allow_mass_delete=found["plan"])["brakes"] == []
    assert len(real.rows("interests")) == 9
    assert real.call("sync_health").status_code == 200
