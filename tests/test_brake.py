"""8. Brakes: a flood of deletes is held, and everything else goes on, until somebody allows just that flood."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from real import Real
from world import FIELDS, World

from shared.brake import Brakes, Way
from shared.errors import Transient
from shared.model import Page, Record, RecordId, Scope
from shared.peers.memory import MemoryPeer
from shared.reconcile import reconcile


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


def test_8_brakes_many_small_runs_let_no_more_pass_than_one_large_one() -> None:
    w, keys = with_records(60)
    delete(w, keys[:55], World.d_delete)
    for _ in range(5):
        [found] = w.sync(max_changes=10).brakes
        assert found.deletes == 55
    assert live(w) == (5, 60)


def test_8_brakes_what_arrives_while_a_run_is_on_counts_too() -> None:
    w, keys = with_records(120)
    w.d_delete(keys[0])
    written = 0

    def more_and_more(name: str) -> None:
        nonlocal written
        if name == "commit" and written < 100:
            for key in keys[1 + written : 11 + written]:
                w.django.delete(w.id(key))
            written += 10

    w.database.fault = more_and_more
    w.django.changes = lambda scope: cursor(w, scope)  # type: ignore[method-assign]
    report = w.sync(direction="django_to_firestore")
    w.database.fault = lambda _: None
    assert written == 100, "the flood came while the run was on"
    [found] = report.brakes
    assert live(w)[1] >= 120 - 50
    assert found.deletes + (120 - live(w)[1]) >= 51


def cursor(w: World, scope: Scope) -> Iterator[Page]:
    """Yield pages as a cursor over a queue does that goes on being filled."""
    shown: set[str] = set()
    while page := [each for id, each in w.django.queue.items() if w.django.labels[id] == "pending" and id not in shown][:3]:
        shown |= {each.id for each in page}
        yield Page(page)


def test_8_brakes_a_delete_that_a_later_edit_took_back_is_carried_as_that_edit() -> None:
    w, keys = with_records(60)
    delete(w, keys[:51], World.d_delete)
    w.pair = replace(w.pair, scope=replace(w.pair.scope, page_size=500))
    w.d_save(keys[0], a=5)
    report = w.sync()
    assert [each.deletes for each in report.brakes] == [51]
    assert (w.f_values(keys[0]), live(w)) == ({"a": 5}, (10, 60))


def test_8_brakes_an_allowed_plan_lets_only_its_own_deletes_pass() -> None:
    w, keys = with_records(70)
    delete(w, keys[:55], World.d_delete)
    [found] = w.sync().brakes

    commits = 0

    def one_more(name: str) -> None:
        nonlocal commits
        commits += name == "commit"
        if name == "commit" and commits == 2:  # the first takes the lease, the second deletes
            w.django.delete(w.id(keys[60]))

    w.database.fault = one_more
    w.django.changes = lambda scope: cursor(w, scope)  # type: ignore[method-assign]
    held = w.sync(allow_mass_delete=found.plan, direction="django_to_firestore").directions["django_to_firestore"].held
    assert (held, live(w)[1]) == (1, 15)


@pytest.mark.parametrize("how", [World.d_delete, World.f_delete], ids=["django", "firestore"])
def test_8_brakes_a_reconciliation_holds_what_waits_in_a_queue_and_does_not_send_it_past_the_brake(
    how: Callable[[World, str], None],
) -> None:
    w, keys = with_records(60)
    delete(w, keys[:51], how)
    report = w.reconcile()
    [found] = report.brakes
    assert sorted(live(w)) == [9, 60]
    assert [line["event"] for line in w.log.lines].count("brake") == 1
    w.sync(reconcile, allow_mass_delete=found.plan)
    assert live(w) == (9, 9)


@pytest.mark.parametrize("how", [World.d_delete, World.f_delete], ids=["django", "firestore"])
def test_8_brakes_a_reconciliation_holds_deletes_that_no_queue_knows_any_more(how: Callable[[World, str], None]) -> None:
    w, keys = with_records(60)
    delete(w, keys[:51], how)
    for id in w.django.labels:
        w.django.labels[id] = "synced"
    for path in [path for path in w.database.documents if path.startswith("sync_queue/")]:
        del w.database.documents[path]
    w.d_save(keys[59], a=2)
    report = w.reconcile()
    [found] = report.brakes
    assert (found.deletes, sorted(live(w))) == (51, [9, 60])
    assert w.f_values(keys[59]) == {"a": 2}
    assert w.sync(reconcile, allow_mass_delete=found.plan).brakes == []
    assert live(w) == (9, 9)
    w.settle()


def test_8_brakes_a_reconciliation_that_is_cut_short_deletes_nothing_that_no_queue_knows() -> None:
    w, keys = with_records(60)
    delete(w, keys[:51], World.d_delete)
    for id in w.django.labels:
        w.django.labels[id] = "synced"
    for _ in range(3):
        assert w.sync(reconcile, max_billed=60).stopped_by == "budget"
    assert live(w) == (9, 60)


def test_8_brakes_the_records_of_all_tenants_count() -> None:
    counted: list[str | None] = []

    class Counting(MemoryPeer):
        def count(self, scope: Scope) -> int:
            counted.append(scope.tenant)
            return 400

    w = World()
    target = Counting("other", {"thing": FIELDS}, w.clock)
    scope = Scope("things", ("thing",))
    for number in range(60):
        record = RecordId("thing", f"{number}", "north")
        w.django.save(record, {"a": 1})
        w.django.delete(record)
    brakes = Brakes()
    page = next(w.django.changes(scope))
    assert brakes.held(Way(w.django, target, scope, ("north", "south")), page) == frozenset()
    assert counted == ["north", "south"]


# An empty or half-read peer


@pytest.mark.parametrize("side", ["django", "firestore"])
def test_8_brakes_an_empty_peer_is_filled_again(side: str) -> None:
    w, _ = with_records(60)
    forget(w, side, 60)
    w.sync()
    assert sorted(live(w)) == [0, 60], "nothing was queued, so nothing is carried"
    w.reconcile()
    assert live(w) == (60, 60)


@pytest.mark.parametrize("side", ["django", "firestore"])
def test_8_brakes_a_half_empty_peer_is_filled_again(side: str) -> None:
    w, _ = with_records(60)
    forget(w, side, 30)
    w.reconcile()
    assert live(w) == (60, 60)


@pytest.mark.parametrize("side", ["django", "firestore"])
def test_8_brakes_a_peer_that_cannot_be_read_to_its_end_costs_nobody_a_record(side: str) -> None:
    w, _ = with_records(60)
    peer = w.django if side == "django" else w.firestore
    whole = peer.records

    def half(scope: Scope, entity: str, adopting: bool = True) -> Iterator[list[Record]]:
        yield next(iter(whole(scope, entity)))
        raise Transient("cut off")

    peer.records = half  # type: ignore[method-assign]
    assert w.reconcile().failure is not None
    assert live(w) == (60, 60)


def forget(w: World, side: str, number: int) -> None:
    """Lose records without a delete, as a restore of an old backup does."""
    for id in list(w.django.rows)[:number] if side == "django" else ():
        del w.django.rows[id], w.django.index[id]
    paths = [path for path in w.database.documents if path.startswith("things/")]
    for path in paths[:number] if side == "firestore" else ():
        del w.database.documents[path]


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
