"""The tracker under events that come doubled, late, in any order, without their data, or not at all: an event is a poke."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from world import ENTITY, FIELDS, World

from shared.errors import Transient
from shared.model import RecordId, instant, stamp_at
from shared.peers.layout import Layout
from shared.tracker import Poke, track

ZEROS = {"a": 0, "b": 0, "c": 0}
TOMBSTONE = Layout("things", "firestore", ENTITY).tombstone_path(RecordId("thing", "x"))


@pytest.fixture
def w() -> World:
    """Both sides hold x with a, b and c = 0; the queue and the events are empty."""
    world = World()
    world.d_save("x", **ZEROS)
    world.settle()
    return world


def queue(w: World) -> list[Mapping[str, Any]]:
    """Return the queue's entries in the order of their ids."""
    return [each.fields for path, each in sorted(w.database.documents.items()) if path.startswith("sync_queue/")]


def stamps(entry: Mapping[str, Any]) -> dict[str, str]:
    return {name: entry["stamps"].get(name, entry["stamp"]) for name in entry["fields"]}


def document(w: World) -> Any:
    return w.database.snapshot("things/x")


def tombstone(w: World) -> Any:
    return w.database.snapshot(TOMBSTONE)


def bill(w: World, work: Callable[[], object]) -> tuple[int, int, int]:
    """Return the reads, writes and deletes that some work is billed for."""
    before = w.database.billed.copy()
    work()
    made = w.database.billed.since(before)
    return made.reads, made.writes, made.deletes


def ends(w: World, expected: Mapping[str, Any] | None) -> None:
    w.settle()
    w.check("x")
    assert w.d_values("x") == expected


# What adopting does, and what it costs


def test_an_edit_is_queued_and_indexed_at_the_time_of_its_document(w: World) -> None:
    w.f_update("x", a=1)
    written, before = document(w).update_time, w.django.version(w.id("x")).fields["a"].stamp
    assert w.deliver() == "adopted"
    (entry,) = queue(w)
    stamp = stamp_at(written, "firestore")
    assert f"sync_queue/thing:x:{instant(written)}" in w.database.documents
    assert (entry["action"], entry["sync_status"], entry["key"]) == ("update", "pending", "x")
    assert entry["fields"] == {"a": 1}
    assert stamps(entry) == {"a": stamp}
    assert entry["base"] == {"a": before}
    assert document(w).fields["_sync"]["fields"]["a"].startswith(stamp)


def no_edit(w: World) -> None:
    w.d_save("x", a=1)
    w.sync()


def unsynced_edit(w: World) -> None:
    w.database.client_update("things/x", {"shoe_size": 43})


def edit(w: World) -> None:
    w.f_update("x", a=1, b=1)


def blind_set(w: World) -> None:
    w.f_set("x", a=1)


def creation_over_a_tombstone(w: World) -> None:
    w.f_delete("x")
    w.deliver_all()
    w.f_set("x", a=1)


def delete(w: World) -> None:
    w.f_delete("x")


def delete_by_the_sync(w: World) -> None:
    w.d_delete("x")
    w.sync()


# what happened, what the tracker does, reads, writes, deletes
COSTS = {
    "a write of the sync": (no_edit, "in line", 0, 0, 0),
    "an edit of what is not synced": (unsynced_edit, "in line", 0, 0, 0),
    "an edit: the entry and the index": (edit, "adopted", 0, 2, 0),
    "a document with no index: its tombstone is looked for": (blind_set, "adopted", 1, 2, 0),
    "a creation over a tombstone": (creation_over_a_tombstone, "adopted", 1, 2, 1),
    "a delete: the entry and the tombstone": (delete, "deleted", 2, 2, 0),
    "a delete by the sync": (delete_by_the_sync, "in line", 2, 0, 0),
}


@pytest.mark.parametrize("act, done, reads, writes, deletes", COSTS.values(), ids=COSTS)
def test_what_the_first_delivery_of_an_event_does_and_costs(
    w: World, act: Callable[[World], None], done: str, reads: int, writes: int, deletes: int
) -> None:
    act(w)
    said = []
    assert bill(w, lambda: said.append(w.deliver())) == (reads, writes, deletes)
    assert said == [done]


@pytest.mark.parametrize("act, done, reads, writes, deletes", COSTS.values(), ids=COSTS)
def test_an_event_delivered_again_writes_nothing(
    w: World, act: Callable[[World], None], done: str, reads: int, writes: int, deletes: int
) -> None:
    act(w)
    w.deliver(keep=True)
    queued = queue(w)
    assert bill(w, lambda: w.deliver())[1:] == (0, 0)
    assert queue(w) == queued


def test_the_event_of_the_adoption_itself_needs_neither_a_read_nor_a_write(w: World) -> None:
    w.f_update("x", a=1)
    w.deliver()
    said = []
    assert bill(w, lambda: said.append(w.deliver())) == (0, 0, 0)
    assert said == ["in line"]


# Late, in the wrong order, and without data


def test_of_two_events_in_the_wrong_order_the_first_finds_all_and_the_second_nothing(w: World) -> None:
    w.f_update("x", a=1)
    w.f_update("x", a=2, b=1)
    w.events()
    assert w.deliver(index=1) == "adopted"
    assert w.deliver(index=0) == "in line"
    assert [entry["fields"] for entry in queue(w)] == [{"a": 2, "b": 1}]
    ends(w, {"a": 2, "b": 1, "c": 0})


def test_a_late_event_adopts_the_current_document_and_not_its_own(w: World) -> None:
    w.f_update("x", a=1)
    w.f_update("x", a=2)
    assert w.deliver(index=0) == "adopted"
    (entry,) = queue(w)
    assert entry["fields"] == {"a": 2}
    assert entry["stamp"] == stamp_at(w.late[-1].time, "firestore")


def test_an_event_that_comes_after_a_run_adopted_its_edit_does_nothing(w: World) -> None:
    w.f_update("x", a=1)
    w.d_save("x", b=2)
    w.sync()
    assert len(queue(w)) == 1
    assert w.deliver() == "in line"
    assert len(queue(w)) == 1
    ends(w, {"a": 1, "b": 2, "c": 0})


def test_an_event_without_data_reads_the_document(w: World) -> None:
    w.f_update("x", a=1)
    said = []
    assert bill(w, lambda: said.append(w.deliver(keep=True, bare=True))) == (1, 2, 0)
    assert bill(w, lambda: said.append(w.deliver(bare=True))) == (1, 0, 0)
    assert said == ["adopted", "in line"]
    ends(w, {"a": 1, "b": 0, "c": 0})


def test_an_event_without_data_of_a_document_that_is_gone_does_nothing(w: World) -> None:
    w.f_delete("x")
    assert track(w.firestore, Poke(w.id("x"), None, None, w.clock())) == "nothing"
    assert queue(w) == []
    ends(w, None)


def test_the_event_of_an_edit_that_was_deleted_meanwhile_leaves_it_to_that_of_the_delete(w: World) -> None:
    w.f_update("x", a=1)
    w.f_delete("x")
    w.events()
    assert w.deliver(index=0) == "nothing"
    assert w.deliver() == "deleted"
    assert [entry["fields"] for entry in queue(w)] == [{"a": 1}]
    ends(w, None)


@pytest.mark.parametrize("bare", [False, True])
def test_an_edit_in_between_is_read_again(w: World, bare: bool) -> None:
    w.f_update("x", a=1)
    w.events()
    w.database.fault = lambda call: w.f_update("x", a=2) if call == "commit" and w.f_values("x")["a"] == 1 else None
    assert w.deliver(bare=bare) == "adopted"
    w.database.fault = lambda _: None
    assert [entry["fields"] for entry in queue(w)] == [{"a": 2}]
    ends(w, {"a": 2, "b": 0, "c": 0})


def edited_all_the_time(w: World) -> None:
    w.database.fault = lambda call: w.f_update("x", c=next(w.values)) if call == "commit" else None


@pytest.mark.parametrize("act", [edit, delete])
def test_a_record_that_is_edited_all_the_time_is_for_a_later_delivery(w: World, act: Callable[[World], None]) -> None:
    act(w)
    edited_all_the_time(w)
    with pytest.raises(Transient, match="delivered again"):
        w.deliver(keep=True)
    assert queue(w) == []
    w.database.fault = lambda _: None
    w.settle()
    w.check("x")


# Blind sets


def test_a_blind_set_stamps_every_field_at_the_update_time(w: World) -> None:
    w.f_set("x", a=1, b=0)
    written = document(w).update_time
    assert w.deliver() == "adopted"
    (entry,) = queue(w)
    assert entry["action"] == "create"
    assert entry["fields"] == {"a": 1, "b": 0, "c": None}
    assert stamps(entry) == dict.fromkeys(FIELDS, stamp_at(written, "firestore"))
    assert entry["base"] == dict.fromkeys(FIELDS)
    ends(w, {"a": 1, "b": 0})


def test_a_blind_set_of_the_very_same_values_is_adopted_too(w: World) -> None:
    w.f_set("x", **ZEROS)
    assert w.deliver() == "adopted"
    ends(w, ZEROS)


# Deletes


def test_a_document_emptied_of_all_that_is_synced_is_deleted(w: World) -> None:
    w.database.client_set("things/x", {"shoe_size": 43})
    assert w.deliver() == "deleted"
    assert w.deliver() is None, "the delete wrote nothing to the document"
    assert document(w).fields == {"shoe_size": 43}
    w.settle()
    assert w.d_values("x") is None


def test_a_document_with_an_index_and_only_nulls_is_alive(w: World) -> None:
    w.f_update("x", a=None, b=None, c=None)
    assert w.deliver() == "adopted"
    ends(w, {})


def test_a_delete_carries_the_edits_that_were_unseen_in_the_old_document(w: World) -> None:
    seen = dict(w.django.version(w.id("x")).fields)
    w.f_update("x", a=1)
    edited = document(w).update_time
    w.f_delete("x")
    w.deliver(index=1)
    (entry,) = queue(w)
    assert entry["action"] == "delete"
    assert entry["fields"] == {"a": 1}
    assert stamps(entry) == {"a": stamp_at(edited, "firestore")}
    assert entry["base"] == {"a": seen["a"].stamp}
    assert entry["deleted"] > stamps(entry)["a"]
    ends(w, None)
    assert w.django.version(w.id("x")).fields["a"].value == 1, "hidden, not lost"


# how late the event says that it was, after the old document's update, and the time of the delete after that
DELETE_TIMES = {
    "an event has whole seconds, and may seem to come before the write": (-0.4, 0.000001),
    "it seems to come with the write": (0.0, 0.000001),
    "it comes later": (5.0, 5.0),
}


@pytest.mark.parametrize("late, stamped", DELETE_TIMES.values(), ids=DELETE_TIMES)
def test_a_delete_is_later_than_the_document_that_it_deleted(w: World, late: float, stamped: float) -> None:
    w.f_update("x", a=1)
    w.deliver_all()
    old = document(w)
    w.f_delete("x")
    track(w.firestore, Poke(w.id("x"), old, None, old.update_time + timedelta(seconds=late)))
    assert queue(w)[-1]["deleted"] == stamp_at(old.update_time + timedelta(seconds=stamped), "firestore")


def test_a_late_delete_loses_to_what_was_written_after_it(w: World) -> None:
    w.f_delete("x")
    w.clock.tick(2)
    w.d_save("x", a=1)
    w.sync()
    assert w.deliver() == "deleted"
    ends(w, {"a": 1, "b": 0, "c": 0})


def test_a_late_delete_beats_what_was_written_before_it_and_that_is_kept(w: World) -> None:
    w.d_save("x", a=1)
    w.clock.tick(2)
    w.f_delete("x")
    w.sync()
    assert w.f_values("x") == {"a": 1, "b": 0, "c": 0}, "the run put it back"
    assert w.deliver() == "deleted"
    assert not document(w).exists
    assert w.conflicts() == [("x", "a", "incoming")], "at once, before Django hears of it"
    ends(w, None)
    assert w.conflicts() == [("x", "a", "incoming")], "both sides name one conflict"


def test_the_event_of_the_syncs_own_delete_does_nothing_even_when_the_record_is_back(w: World) -> None:
    w.d_delete("x")
    w.sync()
    w.d_save("x", a=5)
    w.sync()
    assert tombstone(w).fields["deleted"] is None
    w.events()
    assert [w.deliver(), w.deliver()] == ["in line", "in line"]
    assert queue(w) == []
    ends(w, {"a": 5})


# Deleted and made again


def test_a_creation_over_a_tombstone_has_seen_the_delete_and_forgets_it(w: World) -> None:
    w.f_delete("x")
    w.deliver()
    deleted = tombstone(w).fields["deleted"]
    w.f_set("x", a=1)
    w.deliver()
    (created,) = [entry for entry in queue(w) if entry["action"] == "create"]
    assert created["base"] == dict.fromkeys(FIELDS, deleted)
    assert all(stamp > deleted for stamp in stamps(created).values())
    assert not tombstone(w).exists
    ends(w, {"a": 1})
    assert w.conflicts() == []


def test_a_creation_over_the_tombstone_of_the_syncs_own_delete_keeps_only_what_the_sync_deleted(w: World) -> None:
    w.d_delete("x")
    w.sync()
    deleted = tombstone(w).fields["deleted"]
    w.f_set("x", a=1)
    w.events()
    assert w.deliver(index=-1) == "adopted"
    assert queue(w)[-1]["base"] == dict.fromkeys(FIELDS, deleted)
    assert tombstone(w).fields["deleted"] is None
    assert tombstone(w).fields["fields"] == {}
    assert w.deliver() == "in line", "so the late event of that delete still does nothing"
    ends(w, {"a": 1})


def edited_deleted_and_made_again(w: World, pause: float) -> None:
    w.f_update("x", a=1)
    w.clock.tick(pause)
    w.f_delete("x")
    w.clock.tick(pause)
    w.f_set("x", b=2)


ORDERS = {" ".join(order): order for order in itertools.permutations(("edit", "delete", "creation"))}


@pytest.mark.parametrize("pause", [0.0, 3.0], ids=["at once", "after a pause"])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_what_was_deleted_and_made_again_is_there_in_whatever_order_the_events_come(
    w: World, order: tuple[str, ...], pause: float
) -> None:
    edited_deleted_and_made_again(w, pause)
    events = dict(zip(("edit", "delete", "creation"), w.events().copy(), strict=True))
    for name in (*order, *reversed(order)):  # each of them twice
        w.deliver(w.events().index(events[name]), keep=True)
    assert w.f_values("x") == {"b": 2}
    ends(w, {"b": 2})


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_runs_between_the_events_make_no_difference(w: World, order: tuple[str, ...]) -> None:
    edited_deleted_and_made_again(w, pause=3.0)
    events = dict(zip(("edit", "delete", "creation"), w.events().copy(), strict=True))
    for name in order:
        w.sync()
        w.deliver(w.events().index(events[name]), keep=True)
        w.reconcile()
    ends(w, {"b": 2})


def test_a_document_outside_of_the_collection_is_no_record() -> None:
    world = World()
    world.database.client_set("things/x/notes/1", {"a": 1})
    assert world.deliver() is None
    assert RecordId("thing", "x") not in world.django.rows


def test_a_document_that_was_emptied_is_read_as_the_tombstone_that_it_left() -> None:
    w = World()
    w.f_set("x", a=1)
    w.f_update("x", a=None)
    w.deliver_all()
    [record] = w.firestore.read([w.id("x")])
    assert record.version.deleted is not None
