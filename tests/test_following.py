"""Following an edit: its correlation id in the log and in its story, and how long edits of its kind take."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from world import World

from shared import wire
from shared.model import Action, Change, RecordId, Value, stamp_at
from shared.rollups import by_day
from shared.timing import Taken, add_all, taken_from, times_of

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)


def edit(seconds_ago: float, action: Action = Action.CREATE) -> Change:
    stamp = stamp_at(NOON - timedelta(seconds=seconds_ago), "django")
    return Change("e", RecordId("concept", "k"), action, {"a": Value(1, stamp)})


def test_times_are_told_by_kind_of_event_and_can_be_added_up() -> None:
    times = times_of([edit(2), edit(4), edit(6, Action.UPDATE), edit(-5, Action.UPDATE)], NOON)
    assert {kind: each.as_json() for kind, each in times.items()} == {
        "concept created": {"count": 2, "seconds": 6.0, "mean_seconds": 3.0},
        "concept updated": {"count": 2, "seconds": 6.0, "mean_seconds": 3.0},
    }
    kept = taken_from({kind: each.as_json() for kind, each in times.items()})
    add_all(kept, {"concept created": Taken(1, 3.0), "concept deleted": Taken(1, 1.0)})
    assert (kept["concept created"], kept["concept deleted"]) == (Taken(3, 9.0), Taken(1, 1.0))


def test_a_run_tells_how_long_the_edits_took_and_the_day_keeps_it() -> None:
    world = World()
    world.d_save("k", a=1)
    world.clock.tick(30)
    report = world.sync()
    taken = report.events["thing created"]
    assert taken.count == 1
    assert 29 < taken.seconds < 32
    [day] = by_day(world.store, "things", 1, world.clock()).values()
    assert day.events == report.events


def test_an_edit_with_a_correlation_id_is_logged_with_what_became_of_it_and_no_other_is() -> None:
    world = World()
    world.d_save("k", a="secret")
    world.d_save("other", a=1)
    [id] = [id for id, each in world.django.queue.items() if each.record.key == "k"]
    world.django.queue[id] = replace(world.django.queue[id], correlation_id="order-77")
    world.sync()
    [line] = [line for line in world.log.lines if line["event"] == "event"]
    assert (line["event_id"], line["correlation_id"], line["outcome"]) == (id, "order-77", "applied")
    assert line["source_version"] == world.django.queue[id].latest
    assert "secret" not in str(line)
    assert "'k'" not in str(line)


def test_the_id_travels_in_the_contracts_form_and_is_cut_where_it_is_too_long() -> None:
    told = wire.change_to_json(replace(edit(0), correlation_id="order-77"))
    assert wire.change_from_json(told).correlation_id == "order-77"
    assert "correlation_id" not in wire.change_to_json(edit(0))
    assert len(wire.change_from_json(told | {"correlation_id": "x" * 500}).correlation_id) == 200


def test_a_pair_of_one_direction_carries_nothing_the_other_way_nor_does_a_reconcile() -> None:
    world = World(read_only=frozenset({"django"}))
    world.d_save("k", a=1)
    world.f_update("own", a="only in Firestore")
    world.deliver_all()
    report = world.sync()
    assert list(report.directions) == ["django_to_firestore"]
    world.reconcile()
    assert world.f_values("k") == {"a": 1}
    assert world.d_values("own") is None


def test_what_is_only_published_is_carried_and_never_compared() -> None:
    world = World()
    entity = replace(world.pair.entities["thing"], published=True)
    world.pair = replace(world.pair, entities={"thing": entity})
    world.d_save("k", a=1)
    world.sync()
    assert world.f_values("k") == {"a": 1}
    assert world.reconcile().reconciled == {}
