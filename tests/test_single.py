"""A few records synced at once: only their changes, whoever holds the pair, one way or both; and an agent's own writes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from world import World

from shared.authored import write_as
from shared.canonical import slot_of
from shared.claims import Claimed, Claims
from shared.errors import BadRequest
from shared.model import RecordId
from shared.peers.documents import Contended
from shared.report import Report
from shared.retention import RULES
from shared.run import LEASE, Order
from shared.single import End, sync_records

KEYS: Any = ("k1", "k2", "k3")
TO_DJANGO, TO_FIRESTORE = "firestore_to_django", "django_to_firestore"


@pytest.fixture
def w() -> World:
    """Two sides that hold k1 to k3 alike."""
    made = World()
    for key in KEYS:
        made.d_save(key, a=key, b=0, c=0)
    made.settle()
    return made


def single(w: World, *keys: str, direction: str | None = None) -> tuple[Report, dict[str, End]]:
    order = Order(f"single-{next(w.runs)}", direction, by="tester")
    report, ends = sync_records(w.pair, [w.id(key) for key in keys], order, w.store, w.clock, w.log)
    w.clock.tick(0.01)
    return report, {id.key: end for id, end in ends.items()}


def test_only_what_is_asked_for_is_carried(w: World) -> None:
    w.d_save("k1", a="one")
    w.f_update("k2", a="two")
    w.deliver_all()
    assert single(w, "k1")[1] == {"k1": "equal"}
    assert w.f_values("k1")["a"] == "one"  # type: ignore[index]
    assert w.d_values("k2")["a"] == "k2"  # type: ignore[index]
    w.settle()
    w.check(KEYS)


def test_what_lies_in_the_same_part_of_a_queue_is_not_carried_along(w: World) -> None:
    like = next(key for key in map(str, range(10_000)) if slot_of(w.id(key)) == slot_of(w.id("k1")))
    w.d_save("k1", a="one")
    w.d_save(like, a="two")
    assert single(w, "k1")[1] == {"k1": "equal"}
    assert w.f_values(like) is None


def test_many_are_carried_at_a_time_and_answered_one_by_one(w: World) -> None:
    keys = [f"n{number}" for number in range(40)]
    for key in keys[:-1]:
        w.d_save(key, a=key)
    _, ends = single(w, *keys)
    assert ends == dict.fromkeys(keys[:-1], "equal") | {keys[-1]: "unknown"}


def test_an_edit_whose_trigger_was_lost_is_taken_along(w: World) -> None:
    w.f_update("k1", a="unseen")
    w.events().clear()
    assert single(w, "k1")[1] == {"k1": "equal"}
    assert w.d_values("k1")["a"] == "unseen"  # type: ignore[index]


def test_it_waits_for_no_run_that_holds_the_pair(w: World) -> None:
    lease = w.store.lease("things")
    w.store.begin(lease, Report("things", "another", w.clock()), w.clock() + LEASE)
    w.d_save("k1", a="now")
    assert single(w, "k1")[1] == {"k1": "equal"}
    assert w.store.lease("things").holder(w.clock()) == "another"


@pytest.mark.parametrize("direction, django, firestore", [(TO_DJANGO, "F", "F"), (TO_FIRESTORE, "k1", "F")])
def test_one_way_carries_nothing_the_other_way(w: World, direction: str, django: str, firestore: str) -> None:
    w.f_update("k1", a="F")
    w.d_save("k1", b="D")
    w.deliver_all()
    single(w, "k1", direction=direction)
    assert (w.d_values("k1") or {})["a"] == django
    assert (w.f_values("k1") or {})["a"] == firestore
    assert (w.f_values("k1") or {})["b"] == (0 if direction == TO_DJANGO else "D")
    w.settle()
    w.check(KEYS)


def test_two_edits_that_met_are_a_conflict_of_which_the_loser_is_kept(w: World) -> None:
    w.d_save("k1", a="first")
    w.f_update("k1", a="second")
    w.deliver_all()
    report, ends = single(w, "k1")
    assert ends == {"k1": "equal"}
    assert len(report.conflicts) == 1
    w.settle()
    w.check(KEYS)


def test_a_delete_is_carried_and_not_undone(w: World) -> None:
    w.d_delete("k1")
    assert single(w, "k1")[1] == {"k1": "equal"}
    assert w.f_values("k1") is None


def test_a_repeat_moves_nothing(w: World) -> None:
    w.d_save("k1", a="one")
    single(w, "k1")
    report, _ = single(w, "k1")
    assert report.moved == 0


def test_the_run_is_on_record_with_who_asked(w: World) -> None:
    report, _ = single(w, "k1")
    kept = w.store.run("things", report.run_id)
    assert (kept["status"], kept["by"]) == ("done", "tester")


# What an agent writes


def _values(w: World, key: str) -> dict[str, Any]:
    return {name: value for name, value in (w.d_values(key) or {}).items() if value is not None}


def stamps(w: World, key: str) -> dict[str, str]:
    layout = w.firestore.layouts["thing"]
    held = layout.held(w.id(key), w.database.snapshot(w.path(key)))
    return {name: entry.stamp.partition("|")[2] for name, entry in held.index.items()}


def test_a_write_carries_its_authors_name_to_the_other_side(w: World) -> None:
    write_as(w.firestore, "copy-editor", w.id("k1"), {"a": "better"})
    assert stamps(w, "k1") == {"a": "copy-editor", "b": "django", "c": "django"}
    w.settle()
    assert w.django.version(w.id("k1")).fields["a"].stamp.endswith("|copy-editor")
    assert w.d_values("k1")["a"] == "better"  # type: ignore[index]


def test_what_somebody_else_wrote_unseen_stays_theirs(w: World) -> None:
    w.f_update("k1", b="theirs")
    w.ledger.saw("k1", {"a": "k1"}, ["a"])
    write_as(w.firestore, "copy-editor", w.id("k1"), {"a": "better"})
    assert stamps(w, "k1")["b"] == "firestore"
    w.settle()
    w.ledger.wrote("k1", "a", "better")
    w.check(KEYS)


def test_a_write_is_as_late_as_it_was_made_and_not_as_its_document(w: World) -> None:
    w.clock.tick(3600)
    w.d_save("k1", a="an hour on")
    w.clock.tick(3600)
    write_as(w.firestore, "copy-editor", w.id("k1"), {"a": "two hours on"})
    w.settle()
    assert w.d_values("k1")["a"] == "two hours on"  # type: ignore[index]
    assert len(w.conflicts()) == 1


def test_the_trigger_of_such_a_write_finds_it_in_line(w: World) -> None:
    w.events().clear()
    write_as(w.firestore, "copy-editor", w.id("k1"), {"a": "better"})
    assert len(w.events()) == 1
    assert w.deliver() == "in line"


def test_what_is_so_already_is_no_write(w: World) -> None:
    assert write_as(w.firestore, "copy-editor", w.id("k1"), {"a": "k1"}) is None
    assert w.sync().moved == 0


def test_a_record_can_be_made_and_made_again_after_its_delete(w: World) -> None:
    write_as(w.firestore, "copy-editor", w.id("new"), {"a": 1})
    w.settle()
    assert _values(w, "new") == {"a": 1}
    w.d_delete("new")
    w.settle()
    write_as(w.firestore, "copy-editor", w.id("new"), {"b": 2})
    w.settle()
    assert _values(w, "new") == {"b": 2}


def test_a_write_that_loses_a_race_is_made_on_top_of_what_won(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, raced = w.database.commit, list[bool]()

    def racing(*arguments: object) -> None:
        if not raced:
            raced.append(True)
            w.f_update("k1", a="faster")
            raise Contended
        commit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(w.database, "commit", racing)
    write_as(w.firestore, "copy-editor", w.id("k1"), {"a": "after all"})
    w.settle()
    assert w.d_values("k1")["a"] == "after all"  # type: ignore[index]
    assert w.conflicts() == []


def test_a_field_that_is_not_synced_is_refused(w: World) -> None:
    with pytest.raises(BadRequest, match="x of 'thing' are not synced; there are: a, b, c"):
        write_as(w.firestore, "copy-editor", w.id("k1"), {"x": 1})


# Claims


def test_a_record_is_claimed_by_one_at_a_time(w: World) -> None:
    mine, theirs = (Claims(w.store, w.clock, name) for name in ("mine", "theirs"))
    record = RecordId("thing", "k1")
    mine.take(record)
    mine.take(record)
    with pytest.raises(Claimed, match="'mine' is at work"):
        theirs.take(record)
    theirs.take(RecordId("thing", "k2"))
    mine.give_back(record)
    theirs.take(record)


def test_a_claim_runs_out_and_is_then_not_given_back_for_another(w: World) -> None:
    mine, theirs = (Claims(w.store, w.clock, name, timedelta(seconds=30)) for name in ("mine", "theirs"))
    record = RecordId("thing", "k1")
    mine.take(record)
    w.clock.tick(31)
    theirs.take(record)
    mine.give_back(record)
    with pytest.raises(Claimed):
        mine.take(record)


def test_a_claim_names_no_key(w: World) -> None:
    Claims(w.store, w.clock, "mine").take(RecordId("thing", "k1", "tenant-x"))
    [(path, claim)] = [(path, each.fields) for path, each in w.database.documents.items() if path.startswith("sync_claims/")]
    assert ("k1" in path or "tenant-x" in path, "k1" in repr(claim)) == (False, False)


def test_a_claim_that_nobody_gives_back_expires(w: World) -> None:
    Claims(w.store, w.clock, "mine").take(RecordId("thing", "k1"))
    [claim] = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_claims/")]
    assert claim["expire_at"] == w.clock() + RULES["sync_claims"].kept
