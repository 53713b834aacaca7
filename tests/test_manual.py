"""Conflicts that wait for somebody, and what somebody decides: newer writes to both sides, once, with nothing lost."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from pydantic import ValidationError
from test_invariants import BOUNDED, Crash, Schedules, at, failing
from test_policies import DIRECTIONS, EDITED, KINDS, LEFT, LWW, MANUAL, SIDES, crash, kept, mixed, staged, under, watched, world
from world import ENTITY, World

from shared.decision import Decision
from shared.errors import BadRequest, NotFound, NotOpen, SyncError, Transient
from shared.mapping import Type
from shared.model import Outcome, Policy, Problem, Result
from shared.peers.memory import MemoryPeer
from shared.resolve import resolve

MANUAL_KINDS = [kind for kind in KINDS if kind != "create/create"]


def decide(w: World, **asked: Any) -> dict[str, Any]:
    """Decide the one conflict that is kept, or that which is named."""
    asked.setdefault("id", next(iter(conflict_ids(w)), None))
    w.clock.tick()
    return resolve({"things": w.pair}, w.store, w.clock, w.log, Decision(**asked))


def conflict_ids(w: World, status: str = "open") -> list[str]:
    rows = {path.rpartition("/")[2]: each.fields for path, each in w.database.documents.items() if "sync_conflicts/" in path}
    return [id for id, row in rows.items() if row["status"] == status]


def row(w: World, id: str) -> Mapping[str, Any]:
    return w.database.documents[f"sync_conflicts/{id}"].fields


def side_of(w: World, id: str, value: str) -> str:
    """Return which side of a conflict holds a value, or is a delete."""
    return next(side for side in ("local", "incoming") if row(w, id)[side].get("value", "gone") == value)


def held_apart(kind: str, later: str = "django", first: str | None = None) -> World:
    w = staged(MANUAL, kind, later)
    w.sync(direction=first)
    w.sync()
    return w


@pytest.mark.parametrize("first", DIRECTIONS)
@pytest.mark.parametrize("later", SIDES)
@pytest.mark.parametrize("kind", KINDS)
def test_both_sides_stay_as_they_are_until_somebody_decides(kind: str, later: str, first: str) -> None:
    w = staged(MANUAL, kind, later)
    before = w.d_values("x"), w.f_values("x")
    reports = [w.sync(direction=first), w.sync()]
    assert sum(tally.held for report in reports for tally in report.directions.values()) == 2
    w.deliver_all()
    assert w.sync().moved == 0, "what lies in a conflict is not read again"
    for _ in range(2):
        figures = w.reconcile().reconciled["thing"]
        assert (figures.different, figures.in_conflict, figures.repaired) == (1, 1, 0)
    assert (w.d_values("x"), w.f_values("x")) == before
    [conflict] = kept(w)
    assert (conflict["status"], conflict["winner"], conflict["rule"], conflict["expire_at"]) == ("open", "none", "manual", None)
    assert {side.get("value", "gone") for side in (conflict["local"], conflict["incoming"])} == set(KINDS[kind][3:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_cut_off_at_any_call_leaves_one_open_conflict(kind: str) -> None:
    for call in itertools.count(1):
        w = staged(MANUAL, kind, "django")
        before = w.d_values("x"), w.f_values("x")
        if not crash(w, call):
            break
        w.settle()
        assert ((w.d_values("x"), w.f_values("x")), len(conflict_ids(w)), len(kept(w))) == (before, 1, 1)
    assert call > 15


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("later", SIDES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_somebody_keeps_is_on_both_sides_and_the_other_is_kept(kind: str, later: str, keep: int) -> None:
    w = held_apart(kind, later)
    [id] = conflict_ids(w)
    chosen = KINDS[kind][3 + keep]
    said = decide(w, keep=side_of(w, id, chosen), by="Anna", note="asked the member")
    wanted = {"a": chosen, "b": "same"} if kind == "create/create" else EDITED[chosen]
    assert (w.d_values("x"), w.f_values("x")) == (wanted, wanted)
    assert (said["id"], said["status"], said["resolved_by"]) == (id, "resolved", "Anna")
    found = row(w, id)
    assert (found["status"], found["winner"], found["note"]) == ("resolved", side_of(w, id, chosen), "asked the member")
    assert found["expire_at"] is not None
    assert "resolving" not in found
    w.deliver_all()
    assert w.sync().moved == 0
    assert w.reconcile().reconciled["thing"].different == 0
    assert len(kept(w)) == 1
    w.check("x")


@pytest.mark.parametrize("kind", MANUAL_KINDS)
def test_somebody_may_give_a_value_of_their_own(kind: str) -> None:
    w = held_apart(kind)
    decide(w, keep="value", value={"their": "own"})
    wanted = {"a": {"their": "own"}, "b": 0, "c": 0}
    assert w.d_values("x") == w.f_values("x") == wanted
    w.settle()
    w.check("x")
    assert conflict_ids(w, "resolved") == [*conflict_ids(w, "resolved")[:1]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_decision_cut_off_at_any_call_and_repeated_ends_the_same(kind: str) -> None:
    for call in itertools.count(1):
        w = held_apart(kind)
        [id] = conflict_ids(w)
        keep = side_of(w, id, KINDS[kind][4])
        at(w, "any", call, failing(Crash()))
        try:
            decide(w, id=id, keep=keep)
            break
        except Crash:
            w.database.fault = lambda _: None
            w.clock.tick(60)
        stamp = row(w, id).get("resolving", {}).get("stamp") or row(w, id).get("resolution")
        if row(w, id)["status"] == "open":
            assert decide(w, id=id, keep=keep)["stamp"] == stamp or stamp is None
        wanted = {"a": "F", "b": "same"} if kind == "create/create" else EDITED[KINDS[kind][4]]
        assert (w.d_values("x"), w.f_values("x")) == (wanted, wanted)
        w.settle()
        w.check("x")
        assert len(kept(w)) == 1
    assert call > 15


def test_another_decision_after_one_that_was_cut_off_is_the_one_that_counts() -> None:
    w = held_apart("edit/edit")
    [id] = conflict_ids(w)
    at(w, "django did", 2, failing(Crash()))
    with pytest.raises(Crash):
        decide(w, id=id, keep=side_of(w, id, "F"))
    assert (w.d_values("x")["a"], w.f_values("x")["a"]) == ("F", "F")
    decide(w, id=id, keep=side_of(w, id, "D"))
    assert w.d_values("x") == w.f_values("x") == EDITED["D"]
    w.settle()
    w.check("x")


@pytest.mark.parametrize("side", SIDES)
def test_a_newer_edit_makes_a_new_conflict_and_closes_the_old_one(side: str) -> None:
    w = held_apart("edit/edit")
    [old] = conflict_ids(w)
    (w.d_save if side == "django" else w.f_update)("x", a="newer")
    w.deliver_all()
    w.sync()
    [new] = conflict_ids(w)
    assert new != old
    assert row(w, old)["status"] == "superseded"
    with pytest.raises(NotOpen):
        decide(w, id=old, keep="local") if row(w, old)["status"] == "open" else decide(w, id=new, keep="local", again=True) and (
            decide(w, id=new, keep="local")
        )
    w.settle()
    w.check("x")


def test_a_conflict_that_was_overtaken_before_a_run_came_is_not_decided() -> None:
    w = held_apart("edit/edit")
    [old] = conflict_ids(w)
    w.f_update("x", a="newer")
    with pytest.raises(NotOpen, match="overtaken"):
        decide(w, id=old, keep="local")
    assert row(w, old)["status"] == "superseded"
    w.settle()
    [new] = conflict_ids(w)
    decide(w, id=new, keep=side_of(w, new, "newer"))
    assert w.d_values("x") == w.f_values("x") == {"a": "newer", "b": 0, "c": 0}


def test_an_edit_between_the_two_writes_of_a_decision_is_a_conflict_again() -> None:
    w = held_apart("edit/edit")
    [id] = conflict_ids(w)
    at(w, "django did", 2, lambda: w.f_update("x", a="in between"))
    said = decide(w, id=id, keep=side_of(w, id, "D"))
    assert said["written_anew_at"] == "firestore"
    w.settle()
    [new] = conflict_ids(w)
    assert {row(w, new)[side]["value"] for side in ("local", "incoming")} == {"D", "in between"}


def test_both_sides_may_come_to_agree_by_themselves() -> None:
    w = held_apart("edit/edit")
    w.f_update("x", a="D")
    w.settle()
    w.check("x")
    assert conflict_ids(w) == []


def test_a_decision_over_one_field_of_a_deleted_record_brings_back_all_of_it() -> None:
    w = world(MANUAL)
    w.f_update("x", a="F", b="F")
    w.d_delete("x")
    w.deliver_all()
    w.sync()
    one, other = conflict_ids(w)
    decide(w, id=one, keep=side_of(w, one, "F"))
    assert w.d_values("x") == w.f_values("x") == {"a": "F", "b": "F", "c": 0}
    assert row(w, other)["status"] == "superseded"
    w.settle()
    w.check("x")


# What was settled or decided before


def test_resolving_twice_says_who_did_it_and_when() -> None:
    w = held_apart("edit/edit")
    [id] = conflict_ids(w)
    decide(w, id=id, keep="local", by="Anna")
    with pytest.raises(NotOpen, match=r"was resolved by Anna at 2026-01-01T\d\d:\d\d:\d\d"):
        decide(w, id=id, keep="incoming", by="Björn")
    again = decide(w, id=id, keep="incoming", by="Björn", again=True)
    assert again["resolved_by"] == "Björn"
    assert w.d_values("x") == w.f_values("x")
    assert w.d_values("x")["a"] == row(w, id)["incoming"]["value"]
    w.settle()
    w.check("x")
    assert len(kept(w)) == 1


@pytest.mark.parametrize("later", SIDES)
@pytest.mark.parametrize("kind", MANUAL_KINDS)
@pytest.mark.parametrize("policy", [LWW, LEFT])
def test_the_loser_of_a_settled_conflict_comes_back_by_one_call(policy: Policy, kind: str, later: str) -> None:
    w = staged(policy, kind, later)
    w.settle()
    [id] = conflict_ids(w, "settled")
    loser = "incoming" if row(w, id)["winner"] == "local" else "local"
    value = row(w, id)[loser].get("value", "gone")
    with pytest.raises(NotOpen, match=f"was settled so by {policy}"):
        decide(w, id=id, keep=row(w, id)["winner"])
    decide(w, id=id, keep=loser)
    assert (w.d_values("x"), w.f_values("x")) == (EDITED[value], EDITED[value])
    w.deliver_all()
    assert w.sync().moved == 0
    w.check("x")
    assert len(kept(w)) == 1


def test_what_was_edited_since_a_conflict_was_settled_is_kept_when_the_loser_comes_back() -> None:
    w = staged(LWW, "edit/edit", "django")
    w.settle()
    [id] = conflict_ids(w, "settled")
    w.f_update("x", a="since")
    w.settle()
    decide(w, id=id, keep=side_of(w, id, "F"))
    assert w.d_values("x") == w.f_values("x") == EDITED["F"]
    assert {side.get("value") for each in kept(w) for side in (each["local"], each["incoming"])} == {"D", "F", "since"}
    w.settle()
    w.check("x")


# What cannot be decided


@pytest.mark.parametrize("id", ["nope", "0" * 32, "../sync_runs/x", "þ"])
def test_an_unknown_conflict_is_named(id: str) -> None:
    w = world(MANUAL)
    with pytest.raises(NotFound) as raised:
        decide(w, id=id, keep="local")
    assert id in str(raised.value)


@pytest.mark.parametrize(
    "asked",
    [
        {"keep": "both"},
        {"keep": "value"},
        {"keep": "local", "value": 1},
        {"keep": "local", "by": ""},
        {"keep": "local", "why": "x"},
        {"keep": "local", "again": "yes"},
    ],
)
def test_a_decision_that_makes_no_sense_is_refused(asked: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Decision(id="0" * 32, **asked)


def test_null_is_a_value() -> None:
    w = held_apart("edit/edit")
    decide(w, keep="value", value=None)
    assert w.d_values("x") == w.f_values("x") == {"b": 0, "c": 0}


class Refusing(MemoryPeer):
    """A backend that has a rule of its own."""

    def _apply(self, change: Any, mode: Any) -> Result:
        if any(each.value == "taken" for each in change.fields.values()):
            return Result(change.id, Outcome.INVALID, problem=Problem("unique", "another has it", {"a": "not unique"}))
        return super()._apply(change, mode)


def in_conflict(**types: Type) -> World:
    w = World(entity=under(MANUAL, **types))
    w.django.__class__ = Refusing
    w.d_save("x", a="0", b="0", c="0")
    w.settle()
    w.d_save("x", a="D")
    w.f_update("x", a="F")
    w.settle()
    watched(w)
    return w


REFUSED = {
    "by Firestore's type": (5, "a: type (field 'a' is not of type text)"),
    "by Firestore at all": ("\ud800", "value"),
    "by the backend": ("taken", "a: not unique (another has it)"),
}


@pytest.mark.parametrize("value, said", REFUSED.values(), ids=REFUSED)
def test_a_value_that_a_side_refuses_is_written_nowhere_and_the_conflict_stays_as_it_was(value: Any, said: str) -> None:
    w = in_conflict(a=Type.TEXT)
    before = {path: each.fields for path, each in w.database.documents.items() if not path.startswith("sync_audit/")}
    versions = w.django.version(w.id("x"))
    with pytest.raises(BadRequest) as raised:
        decide(w, keep="value", value=value)
    assert said in str(raised.value)
    assert repr(value) not in str(raised.value)
    after = {path: each.fields for path, each in w.database.documents.items() if not path.startswith("sync_audit/")}
    assert (after, w.django.version(w.id("x"))) == (before, versions)


def test_a_side_that_cannot_take_it_yet_is_tried_again_by_the_same_call() -> None:
    w = held_apart("edit/edit")
    at(w, "django did", 2, lambda: setattr(w.firestore, "apply", lambda changes, *_: [busy(each) for each in changes]))
    with pytest.raises(Transient, match="the same call goes on with it"):
        decide(w, keep="incoming")
    del w.firestore.apply
    decide(w, keep="incoming")
    w.settle()
    w.check("x")
    assert conflict_ids(w) == []


def busy(change: Any) -> Result:
    return Result(change.id, Outcome.RETRY, problem=Problem("busy", "busy"))


def test_every_call_leaves_an_entry_in_the_audit_without_a_value() -> None:
    w = in_conflict(a=Type.TEXT)
    [id] = conflict_ids(w)
    for asked in ({"id": "nope"}, {"value": 5, "keep": "value"}, {}, {}):
        with pytest.raises(SyncError) if asked or conflict_ids(w, "resolved") else _nothing():
            decide(w, **{"id": id, "keep": "local", "by": "Anna", "note": "F it is"} | asked)
    entries = [each.fields for path, each in sorted(w.database.documents.items()) if path.startswith("sync_audit/")]
    told = sorted((each["id"], each["by"], each["outcome"]) for each in entries)
    outcomes = [(id, "Anna", each) for each in ("BadRequest", "NotOpen", "resolved")]
    assert told == sorted([("nope", "Anna", "NotFound"), *outcomes])
    assert all(set(each) == {"what", "id", "by", "at", "keep", "again", "outcome", "expire_at"} for each in entries)


class _nothing:  # stands where pytest.raises does
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


# A policy of one field


def test_a_policy_of_one_field_leaves_the_others_to_the_last_write() -> None:
    fields = tuple(replace(each, policy=MANUAL if each.name == "a" else None) for each in ENTITY.fields)
    w = World(entity=replace(ENTITY, fields=fields))
    w.d_save("x", a=0, b=0, c=0)
    w.settle()
    w.d_save("x", a="D", b="D")
    w.clock.tick()
    w.f_update("x", a="F", b="F", c="F")
    w.deliver_all()
    tallies = list(w.sync().directions.values())
    assert w.d_values("x") == {"a": "D", "b": "F", "c": "F"}
    assert w.f_values("x") == {"a": "F", "b": "F", "c": "F"}
    assert [tally.held for tally in tallies] == [1, 1]
    assert sorted((each["field"], each["status"]) for each in kept(w)) == [("a", "open"), ("b", "settled")]
    w.d_delete("x")
    w.settle()
    assert (w.d_values("x"), w.f_values("x")) == (None, None), "the entity's policy is over deletes"
    w.reconcile()
    assert conflict_ids(w) == [], "and what it overtook is closed"


def test_a_mass_of_conflicts_is_read_once() -> None:
    w = World(entity=under(MANUAL))
    keys = [f"k{number}" for number in range(7)]
    for key in keys:
        w.d_save(key, a=0)
    w.settle()
    for key in keys:
        w.d_save(key, a="D")
        w.f_update(key, a="F")
    w.settle()
    assert len(conflict_ids(w)) == len(keys)
    assert w.reconcile().reconciled["thing"].in_conflict == len(keys)


# Any schedule, and somebody who decides at the end


class Manual(Schedules):
    """Whatever happened, both sides are the same once all that waits is decided."""

    make = staticmethod(lambda: mixed(all=MANUAL, c=LWW))

    def teardown(self) -> None:
        w = self.world
        w.django.read([w.id(key) for key in "xy"])
        w.settle()
        for _ in range(5):
            w.reconcile()
            for number, id in enumerate(conflict_ids(w)):
                if row(w, id)["status"] == "open":
                    with suppress(NotOpen):
                        decide(w, id=id, keep=("local", "incoming")[number % 2])
            w.settle()
        assert conflict_ids(w) == []
        w.check("xy")
        w.database.events.clear()


def test_1_convergence_and_2_no_lost_update_once_somebody_has_decided_on_any_schedule() -> None:
    run_state_machine_as_test(Manual, settings=settings(BOUNDED, max_examples=60))


@pytest.mark.parametrize("policies", [{"all": MANUAL}, {"a": MANUAL, "b": MANUAL, "c": MANUAL}])
def test_a_late_delete_of_a_document_made_anew_leaves_its_conflict_open(policies: Mapping[str, Policy]) -> None:
    w = mixed(**policies)
    w.d_save("x", a=0, b=0, c=0)
    w.settle()
    w.f_delete("x")
    w.f_set("x", a="anew", b=0, c=0)
    w.deliver(1)
    w.sync()
    [id] = conflict_ids(w)
    w.settle()  # the delete's event comes: its author's side has the record again
    assert conflict_ids(w) == [id]
    assert (w.d_values("x"), w.f_values("x")) == ({"a": 0, "b": 0, "c": 0}, {"a": "anew", "b": 0, "c": 0})
    decide(w, id=id, keep=side_of(w, id, "anew"))
    w.settle()
    w.check("x")
    assert w.d_values("x") == {"a": "anew", "b": 0, "c": 0}


def test_a_late_delete_does_not_close_a_conflict_of_a_document_made_anew() -> None:
    w = world(MANUAL)
    w.d_save("x", a="D")
    w.f_delete("x")
    w.f_set("x", a="anew", b=0, c=0)
    w.sync()
    [id] = conflict_ids(w)
    w.settle()
    assert conflict_ids(w) == [id]


def test_an_edit_of_another_field_does_not_bring_back_a_record_that_a_conflict_is_about() -> None:
    w = mixed(all=MANUAL, b=LWW)
    w.d_save("x", a=0, b=0, c=0)
    w.settle()
    w.f_update("x", a="F")
    w.d_delete("x")
    w.deliver_all()
    w.sync()
    w.f_update("x", b="later")
    w.settle()
    assert w.d_values("x") is None
    for id in conflict_ids(w):
        with suppress(NotOpen):
            decide(w, id=id, keep="local" if "value" in row(w, id)["local"] else "incoming")
    w.settle()
    w.check("x")
    assert w.d_values("x") == {"a": "F", "b": "later", "c": 0}


def test_what_a_late_delete_adopts_does_not_get_past_the_conflict_of_what_was_written_since() -> None:
    w = mixed(a=MANUAL)
    w.d_save("x", a=0, b=0, c=0)
    w.settle()
    w.f_update("x", a="unseen")
    w.f_delete("x")
    w.f_set("x", a="anew", b=0, c=0)
    w.deliver(2)
    w.sync()
    [id] = conflict_ids(w)
    w.settle()
    assert conflict_ids(w) == [id]
    assert (w.d_values("x") or {})["a"] == 0
    decide(w, id=id, keep=side_of(w, id, "anew"))
    w.settle()
    w.check("x")


def test_two_deletes_of_which_one_was_held_leave_the_same_tombstone() -> None:
    w = world(MANUAL)
    w.f_delete("x")
    w.f_set("x", a="anew")
    w.deliver(1)
    w.clock.tick(2)
    w.d_delete("x")
    w.sync()
    w.f_delete("x")
    w.settle()
    tombstone = w.firestore.read([w.id("x")])[0].version.deleted
    assert w.d_values("x") == w.f_values("x") is None
    assert tombstone == w.django.version(w.id("x")).deleted


def test_a_beaten_delete_closes_no_conflict_of_a_record_that_lives_at_its_own_side() -> None:
    w = world(MANUAL)
    w.f_delete("x")
    w.f_set("x", a="anew", b=0, c=0)
    w.deliver(0)
    w.d_delete("x")
    w.sync()
    w.settle()
    assert conflict_ids(w)
    assert (w.d_values("x"), w.f_values("x")) == (None, {"a": "anew", "b": 0, "c": 0})
