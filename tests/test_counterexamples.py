"""Schedules that broke simpler designs. Each ends well, and each ends badly again once its rule is taken out.

Planting a bug is the only case where replacing our own code is right: it shows that the schedule still tells the rule from
its obvious simplification. A plant is a small wrong implementation of one rule (simulation/simpler_designs.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from firestores import EmulatorFirestore, documents
from simulation.simpler_designs import (
    Plant,
    a_creation_asks_for_no_missing_tombstone,
    a_creation_trusts_what_was_read_before,
    a_delete_carries_nothing,
    a_delete_does_not_adopt_raw_drift,
    a_delete_event_trusts_its_own_document,
    a_later_update_time_skips_a_delete,
    acknowledging_writes_the_index,
    any_larger_tombstone_skips_a_delete,
    each_path_stamps_for_itself,
    only_a_standing_tombstone_tells_the_syncs_own_deletes,
    only_the_last_action_is_sent,
    reconcile_leaves_the_queues_alone,
    stamps_from_the_future_are_taken,
    stamps_from_the_future_are_taken_and_acknowledging_writes_the_index,
    the_event_alone_counts,
    the_queue_entry_and_the_index_are_two_commits,
    what_was_adopted_before_is_shown_as_it_is_now,
)
from world import World


class Crash(BaseException):
    """The process is gone; nothing may catch it."""


def synced(w: World) -> None:
    """Both sides hold x with a, b and c = 0."""
    w.d_save("x", a=0, b=0, c=0)
    w.settle()


def at(w: World, call: str, number: int, act: Callable[[], None]) -> None:
    """Let something happen once, when Firestore is called so for the n-th time from now."""
    left = number

    def fault(name: str) -> None:
        nonlocal left
        left -= name == call
        if left == 0:
            w.database.fault = lambda _: None
            act()

    w.database.fault = fault


def crash_at(w: World, call: str, number: int, work: Callable[[], Any]) -> None:
    """Do the work and lose the process in the middle of it; its lease runs out."""

    def crash() -> None:
        raise Crash

    at(w, call, number, crash)
    with pytest.raises(Crash):
        work()
    for path in [path for path in w.database.documents if path.startswith("sync_leases/")]:
        del w.database.documents[path]


def lose_events(w: World) -> None:
    w.events()
    w.late.clear()


# The schedules


def an_edit_waits_for_its_event_while_the_other_side_is_carried(w: World) -> None:
    synced(w)
    w.f_update("x", a=1)
    w.d_save("x", a=2)
    w.f_update("x", b=3)
    w.sync()
    w.deliver()


def a_carried_edit_is_answered_on_both_sides_before_it_is_acknowledged(w: World) -> None:
    synced(w)
    w.f_update("x", a=1)
    w.deliver_all()

    def meanwhile() -> None:
        w.d_save("x", a=2)
        w.f_update("x", b=3)

    at(w, "write", 1, meanwhile)
    w.sync()


def the_tracker_is_cut_off_after_its_first_commit(w: World) -> None:
    synced(w)
    w.f_update("x", a=1)
    crash_at(w, "committed", 1, lambda: w.deliver(keep=True))
    w.sync()
    w.d_save("x", a=2)
    w.f_update("x", b=3)


def two_edits_follow_a_value_from_the_future(w: World) -> None:
    w.d_save("x", a=5, b=0, c=0)
    w.sync()
    if not w.f_values("x"):  # it waits until Firestore's clock is as far
        w.settle()
    w.f_update("x", a=9)  # larger than 2: a tie would fall to it
    w.deliver_all()
    crash_at(w, "write", 1, w.sync)
    w.f_update("x", a=2)


def a_blind_set_follows_a_value_from_the_future(w: World) -> None:
    w.d_save("x", a=5, b=0, c=0)
    w.sync()
    w.deliver_all()
    w.f_set("x", a=1, b=0, c=0)


def a_delete_and_a_creation_follow_a_value_from_the_future(w: World) -> None:
    w.d_save("x", a=5, b=0, c=0)
    w.sync()
    w.deliver_all()
    w.f_delete("x")
    w.f_set("x", a=1, b=0, c=0)


def a_value_is_changed_and_changed_back_before_its_events_come(w: World) -> None:
    synced(w)
    w.f_update("x", a=1)
    w.f_update("x", a=0)


def an_edit_and_a_delete_wait_together_and_the_other_side_revives(w: World) -> None:
    synced(w)
    w.d_save("x", b=2)
    w.d_delete("x")
    w.f_update("x", a=3)


def an_edit_is_deleted_before_it_was_seen_and_the_other_side_revives(w: World) -> None:
    synced(w)
    w.f_update("x", a=1)
    w.f_delete("x")
    w.deliver_all()
    w.d_save("x", b=2)


def the_event_of_a_delete_comes_after_a_run_put_the_document_back(w: World) -> None:
    synced(w)
    w.d_save("x", a=1)
    w.clock.tick(2)  # an event's own time has whole seconds
    w.f_delete("x")
    w.sync()
    assert w.f_values("x"), "the run put it back"


def two_deletes_come_in_the_wrong_order_and_the_other_side_revives(w: World) -> None:
    synced(w)
    w.f_update("x", c=5)
    w.deliver_all()
    w.d_save("x", a=1)
    w.f_delete("x")
    w.sync()
    assert w.f_values("x") == {"a": 1, "b": 0, "c": 0}, "the run put it back as Django knew it then"
    w.f_delete("x")
    while w.events():
        w.deliver(index=-1)
    w.d_save("x", b=7)


def a_delete_is_merged_while_reconcile_makes_the_document(w: World) -> None:
    synced(w)
    w.f_delete("x")
    w.events()
    at(w, "commit", 2, w.deliver_all)
    w.reconcile()
    assert not w.late, "the delete was merged in between"


def a_raw_edit_is_deleted_and_the_other_side_revives(w: World) -> None:
    synced(w)
    w.d_raw("x", a=1)
    w.d_delete("x")
    w.f_update("x", b=2)


def a_document_is_lost_while_an_edit_of_it_waits(w: World) -> None:
    synced(w)
    w.f_update("x", a=1)
    w.deliver_all()
    w.f_delete("x")
    lose_events(w)
    w.reconcile()


def a_user_edits_between_adopting_and_reading(w: World) -> None:
    synced(w)
    del w.django.rows[w.id("x")]  # past the queue: reconcile is to put it back
    at(w, "get", 3, lambda: w.f_update("x", a=1))
    w.reconcile()
    assert w.d_values("x"), "reconcile put it back"
    w.f_update("x", a=0)


def a_record_is_deleted_carried_and_created_anew_before_the_event_of_the_delete_comes(w: World) -> None:
    synced(w)
    w.d_delete("x")
    w.sync()
    w.d_save("x", a=7, b=0, c=0)
    w.sync()
    assert w.f_values("x") == {"a": 7, "b": 0, "c": 0}


@dataclass(frozen=True)
class Row:
    """A schedule, how x ends on both sides (None: gone), and the simplifications under which it does not."""

    steps: Callable[[World], None]
    ends: Mapping[str, int] | None
    plants: tuple[Plant, ...]
    ahead: float = 0.0


ROWS = {
    row.steps.__name__: row
    for row in [
        # One edit, one stamp: it is adopted before anything is merged with it. Django's 2 lies in the conflicts.
        Row(
            an_edit_waits_for_its_event_while_the_other_side_is_carried, {"a": 1, "b": 3, "c": 0}, (each_path_stamps_for_itself,)
        ),
        # Acknowledging touches only the queue.
        Row(
            a_carried_edit_is_answered_on_both_sides_before_it_is_acknowledged,
            {"a": 2, "b": 3, "c": 0},
            (acknowledging_writes_the_index,),
        ),
        # Adopting is one commit.
        Row(
            the_tracker_is_cut_off_after_its_first_commit,
            {"a": 2, "b": 3, "c": 0},
            (the_queue_entry_and_the_index_are_two_commits,),
        ),
        # Firestore takes no stamp from the future: two edits on top of it would get the same one.
        Row(
            two_edits_follow_a_value_from_the_future,
            {"a": 2, "b": 0, "c": 0},
            (stamps_from_the_future_are_taken_and_acknowledging_writes_the_index,),
            ahead=180,
        ),
        # A client that knows of no stamps could not beat it. Here Django's waiting value is the later one, and wins.
        Row(
            a_blind_set_follows_a_value_from_the_future, {"a": 5, "b": 0, "c": 0}, (stamps_from_the_future_are_taken,), ahead=180
        ),
        # A few seconds are slept out: then the client's is the later one.
        Row(
            a_delete_and_a_creation_follow_a_value_from_the_future,
            {"a": 1, "b": 0, "c": 0},
            (stamps_from_the_future_are_taken,),
            ahead=4,
        ),
        # An event is a poke: the current document counts.
        Row(a_value_is_changed_and_changed_back_before_its_events_come, {"a": 0, "b": 0, "c": 0}, (the_event_alone_counts,)),
        # Collapse is merge: a change may carry fields and a delete.
        Row(
            an_edit_and_a_delete_wait_together_and_the_other_side_revives,
            {"a": 3, "b": 2, "c": 0},
            (only_the_last_action_is_sent,),
        ),
        # A delete carries what was unseen in the old document.
        Row(
            an_edit_is_deleted_before_it_was_seen_and_the_other_side_revives,
            {"a": 1, "b": 2, "c": 0},
            (a_delete_carries_nothing,),
        ),
        # A delete is merged into the current document, not into that of its event.
        Row(the_event_of_a_delete_comes_after_a_run_put_the_document_back, None, (a_delete_event_trusts_its_own_document,)),
        # A delete is skipped only if all that it knows is held, and a tombstone stands over it.
        Row(
            two_deletes_come_in_the_wrong_order_and_the_other_side_revives,
            {"a": 1, "b": 7, "c": 5},
            (any_larger_tombstone_skips_a_delete, a_later_update_time_skips_a_delete),
        ),
        # The sync notes which state of a document it deleted: a late event of that is its own, whatever stands there now.
        Row(
            a_record_is_deleted_carried_and_created_anew_before_the_event_of_the_delete_comes,
            {"a": 7, "b": 0, "c": 0},
            (only_a_standing_tombstone_tells_the_syncs_own_deletes,),
            ahead=-60,
        ),
        # A document is made only together with a look at its tombstone.
        Row(
            a_delete_is_merged_while_reconcile_makes_the_document,
            None,
            (a_creation_trusts_what_was_read_before, a_creation_asks_for_no_missing_tombstone),
        ),
        # Every local write first adopts the raw drift of its record.
        Row(a_raw_edit_is_deleted_and_the_other_side_revives, {"a": 1, "b": 2, "c": 0}, (a_delete_does_not_adopt_raw_drift,)),
        # Reconcile drains both queues first.
        Row(a_document_is_lost_while_an_edit_of_it_waits, {"a": 1, "b": 0, "c": 0}, (reconcile_leaves_the_queues_alone,)),
        # A record is read again until nothing in it is unseen.
        Row(
            a_user_edits_between_adopting_and_reading, {"a": 0, "b": 0, "c": 0}, (what_was_adopted_before_is_shown_as_it_is_now,)
        ),
    ]
}
PLANTED = {f"{plant.__name__}-{name}": (row, plant) for name, row in ROWS.items() for plant in row.plants}


def play(row: Row) -> World:
    w = World(ahead=row.ahead)
    row.steps(w)
    return w


def ends_well(w: World, ends: Mapping[str, int] | None) -> None:
    w.settle()
    w.check("x")
    assert w.d_values("x") == ends


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_it_ends_well(row: Row) -> None:
    ends_well(play(row), row.ends)


ONLY_IN_MEMORY = {
    "two_edits_follow_a_value_from_the_future": "a clock cannot be three minutes behind the emulator's without waiting for them",
    "a_blind_set_follows_a_value_from_the_future": "the same",
    "a_delete_is_merged_while_reconcile_makes_the_document": "the transaction locks both documents, so nothing comes in between",
}
STAGED = {name: row for name, row in ROWS.items() if name not in ONLY_IN_MEMORY}


@pytest.mark.stack
@pytest.mark.parametrize("row", STAGED.values(), ids=STAGED)
def test_it_ends_well_on_the_emulator(row: Row, emulator: Any) -> None:
    w = World(ahead=row.ahead, database=EmulatorFirestore(documents(emulator.host, f"rows-{uuid.uuid4().hex[:12]}")))
    row.steps(w)
    ends_well(w, row.ends)


@pytest.mark.parametrize("row, plant", PLANTED.values(), ids=PLANTED)
def test_it_ends_badly_once_its_rule_is_taken_out(row: Row, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    w = play(row)
    with pytest.raises(AssertionError):
        ends_well(w, row.ends)


def test_an_index_that_is_written_late_is_sound_without_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is the future that breaks the schedule with two plants."""
    acknowledging_writes_the_index(monkeypatch)
    row = ROWS["two_edits_follow_a_value_from_the_future"]
    ends_well(play(row), row.ends)


def test_nothing_is_put_back_while_a_change_of_it_must_wait() -> None:
    """The last but one again, with an edit that Django does not take yet: its clock is more than 5 minutes behind."""
    w = World(ahead=-400)
    synced(w)
    a_document_is_lost_while_an_edit_of_it_waits(w)
    assert w.f_values("x") is None
    w.clock.tick(3600)
    w.reconcile()
    ends_well(w, {"a": 1, "b": 0, "c": 0})


# Known and accepted


@pytest.mark.parametrize("write", [World.f_update, World.d_raw])
def test_a_value_overwritten_on_its_own_side_before_it_was_adopted_leaves_no_trace(write: Callable[..., None]) -> None:
    w = World()
    synced(w)
    write(w, "x", a=1)
    write(w, "x", a=2)
    w.django.read([w.id("x")])
    ends_well(w, {"a": 2, "b": 0, "c": 0})
    assert w.conflicts() == []
    assert not any("'value': 1," in repr(each.fields) for path, each in w.database.documents.items() if "queue" in path)


def test_after_a_blind_set_unchanged_fields_count_as_rewritten_and_what_they_overtake_is_kept() -> None:
    w = World()
    synced(w)
    w.d_save("x", a=1)
    w.f_set("x", a=0, b=0, c=7)
    ends_well(w, {"a": 0, "b": 0, "c": 7})
    # What had seen nothing is in conflict with all that it changes.
    assert sorted((field, winner) for _, field, winner in w.conflicts()) == [("a", "local"), ("c", "incoming")]


def test_an_edit_of_a_document_put_back_may_bring_older_values_of_the_late_delete_to_both_sides() -> None:
    w = World()
    synced(w)
    w.f_update("x", c=5)
    w.clock.tick(2)
    w.f_delete("x")
    w.d_save("x", a=1)
    w.sync()
    assert w.f_values("x") == {"a": 1, "b": 0, "c": 0}, "the run put it back, without the 5 that no event had told of"
    w.f_update("x", b=6)
    ends_well(w, {"a": 1, "b": 6, "c": 5})
