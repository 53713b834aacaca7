"""A decision is written only over what it has read; one that was cut off is gone on with, or refused; nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from test_invariants import Crash, at, failing
from test_manual import Refusing, conflict_ids, decide, held_apart, in_conflict, row, side_of
from test_policies import EDITED, KINDS, LWW, MANUAL, kept, staged, watched
from world import World

from shared.canonical import fingerprint
from shared.errors import BadRequest, NotFound, NotOpen, Transient
from shared.index import Entry
from shared.model import Action, Change, Outcome, Policy, Problem, Result, Value


def settled(kind: str, later: str) -> tuple[World, str]:
    """Return a world in which the last write won, and the conflict."""
    w = staged(LWW, kind, later)
    w.settle()
    [id] = conflict_ids(w, "settled")
    return w, id


def values_kept(w: World) -> set[Any]:
    return {side.get("value", "gone") for each in kept(w) for side in (each["local"], each["incoming"])}


def cut_off(w: World, call: str, number: int, **asked: Any) -> None:
    at(w, call, number, failing(Crash()))
    with pytest.raises(Crash):
        decide(w, **asked)
    w.clock.tick(60)


def both(w: World) -> Mapping[str, Any] | None:
    """Return what both sides hold, once all is carried over."""
    w.settle()
    w.check("x")
    return w.d_values("x")


def test_what_was_cut_off_before_anything_was_written_is_refused_when_the_same_call_is_made_again() -> None:
    w = in_conflict()
    [id] = conflict_ids(w)
    before = w.d_values("x"), w.f_values("x")
    cut_off(w, "django", 2, id=id, keep="value", value="taken")
    assert "resolving" in row(w, id)
    for _ in range(2):
        with pytest.raises(BadRequest, match="django refuses it, nothing was written"):
            decide(w, id=id, keep="value", value="taken")
    assert (w.d_values("x"), w.f_values("x")) == before
    decide(w, id=id, keep="local")
    assert both(w) == {"a": row(w, id)["local"]["value"], "b": "0", "c": "0"}


def test_what_one_side_refuses_and_the_other_holds_is_decided_otherwise() -> None:
    w, id = settled("edit/edit", "django")
    w.firestore.apply = lambda changes, *_: [refused(each) for each in changes]
    for _ in range(2):
        with pytest.raises(BadRequest, match="firestore refuses what the other side holds by now"):
            decide(w, id=id, keep=side_of(w, id, "F"))
    del w.firestore.apply
    decide(w, id=id, keep="value", value="another", again=True)
    assert both(w) == {"a": "another", "b": 0, "c": 0}


def refused(change: Any) -> Result:
    return Result(change.id, Outcome.INVALID, problem=Problem("too-large", "over 1 MiB"))


@pytest.mark.parametrize("name", ["a", "b"])
def test_an_edit_after_the_record_was_read_is_written_over_by_no_decision(name: str) -> None:
    w, id = settled("edit/delete", "firestore")
    w.d_save("x", a="back", b="old", c="old")
    at(w, "django did", 1, lambda: w.d_save("x", **{name: "since"}))
    with pytest.raises(NotOpen, match="written anew at django just now; look again"):
        decide(w, id=id, keep=side_of(w, id, "D"))
    assert "resolving" not in row(w, id)
    assert both(w) == {"a": "back", "b": "old", "c": "old"} | {name: "since"}


def brought_back(name: str, ahead: float, between: str = "between") -> tuple[World, dict[str, Any]]:
    """A record is deleted at Django, whose clock is `ahead`; it is brought back, and edited in Firestore before it is there."""
    w = World(ahead)
    w.d_save("x", a=0, b=0, c=0)
    w.settle()
    w.d_save("x", a="D")
    w.clock.tick(60)
    w.f_update("x", a="F")
    w.settle()
    [id] = conflict_ids(w, "settled")
    w.d_delete("x")
    watched(w)
    asked = {"id": id, "keep": "value", "value": "own"}
    at(w, "django did", 2, lambda: w.f_update("x", **{name: between}))
    with pytest.raises(Transient, match="the same call goes on with it"):
        decide(w, **asked)
    assert w.d_values("x") == {"a": "own", "b": 0, "c": 0}
    return w, asked


@pytest.mark.parametrize("ahead", [-3, 0, 3])
def test_what_was_edited_while_its_record_was_carried_over_does_not_give_way_to_what_was_there_before(ahead: float) -> None:
    w, asked = brought_back("b", ahead)
    decide(w, **asked)
    assert both(w) == {"a": "own", "b": "between", "c": 0}


def test_nor_when_the_repeated_call_is_cut_off_as_well() -> None:
    w, asked = brought_back("b", 3)
    cut_off(w, "django did", 2, **asked)
    assert (w.d_values("x"), w.f_values("x")) == ({"a": "own", "b": "between", "c": 0}, {"a": "F", "b": "between", "c": 0})
    decide(w, **asked)
    assert both(w) == {"a": "own", "b": "between", "c": 0}


@pytest.mark.parametrize("ahead, last", [(-3, "between"), (3, "own")])
def test_what_was_written_of_the_field_meanwhile_wins_if_it_is_later_else_it_is_kept(ahead: float, last: str) -> None:
    w, asked = brought_back("a", ahead)
    decide(w, **asked)
    assert both(w) == {"a": last, "b": 0, "c": 0}
    assert {"between", last} <= values_kept(w) | {last}


def test_what_is_written_on_top_of_a_value_that_was_brought_back_stays() -> None:
    w, asked = brought_back("b", 3)
    w.d_save("x", a="on top")
    decide(w, **asked)
    assert both(w) == {"a": "on top", "b": "between", "c": 0}
    assert "on top" not in values_kept(w)


def test_what_the_other_side_will_refuse_of_the_rest_of_the_record_does_not_stop_a_decision_that_is_begun() -> None:
    w, asked = brought_back("b", -3, "taken")
    w.django.__class__ = Refusing
    assert decide(w, **asked)["status"] == "resolved"
    assert (w.d_values("x"), w.f_values("x")) == ({"a": "own", "b": 0, "c": 0}, {"a": "own", "b": "taken", "c": 0})


def test_an_edit_of_another_field_meanwhile_leaves_no_decision_at_one_side_alone() -> None:
    w = staged(MANUAL, "delete/edit", "django")
    w.settle()
    [id] = conflict_ids(w)
    at(w, "django did", 2, lambda: w.f_update("x", b="between"))
    with pytest.raises(Transient):
        decide(w, id=id, keep="value", value="own")
    decide(w, id=id, keep="value", value="own")
    w.settle()
    assert (w.d_values("x") or {})["a"] == (w.f_values("x") or {})["a"] == "own"


def test_a_record_made_anew_while_it_was_brought_back_is_no_reason_to_lose_either() -> None:
    w, id = settled("edit/delete", "firestore")
    w.django.now = w.clock.apart(3)
    w.d_save("x", a="back", b="mine", c="mine")
    at(w, "django did", 2, lambda: w.f_set("x", a="theirs", b="theirs", c="theirs"))
    with pytest.raises(Transient):
        decide(w, id=id, keep=side_of(w, id, "D"))
    decide(w, id=id, keep=side_of(w, id, "D"))
    assert "mine" in values_kept(w)
    assert both(w) == {"a": "D", "b": "theirs", "c": "theirs"}


def test_what_was_written_on_top_of_a_decision_stays_when_its_call_is_repeated() -> None:
    w, id = settled("edit/edit", "django")
    cut_off(w, "write", 4, id=id, keep=side_of(w, id, "F"))
    assert w.d_values("x") == w.f_values("x") == EDITED["F"]
    w.d_save("x", a="on top")
    assert decide(w, id=id, keep=side_of(w, id, "F"))["status"] == "resolved"
    assert both(w) == {"a": "on top", "b": 0, "c": 0}
    assert "on top" not in values_kept(w)


def test_a_record_that_was_made_anew_after_a_decision_deleted_it_stays() -> None:
    w, id = settled("delete/edit", "firestore")
    cut_off(w, "write", 3, id=id, keep=side_of(w, id, "gone"))
    assert (w.d_values("x"), w.f_values("x")) == (None, None)
    w.d_save("x", a="anew", b="anew", c="anew")
    assert decide(w, id=id, keep=side_of(w, id, "gone"))["status"] == "resolved"
    assert both(w) == {"a": "anew", "b": "anew", "c": "anew"}
    assert "anew" not in values_kept(w)


def test_a_record_that_was_deleted_after_a_decision_wrote_it_stays_deleted() -> None:
    w, id = settled("edit/edit", "django")
    cut_off(w, "write", 4, id=id, keep=side_of(w, id, "F"))
    w.d_delete("x")
    assert decide(w, id=id, keep=side_of(w, id, "F"))["status"] == "resolved"
    assert w.d_values("x") is None
    assert both(w) is None
    assert len(kept(w)) == 1


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_delete_of_which_nothing_was_done_yet_is_to_be_decided_again_where_the_record_was_edited(name: str) -> None:
    w, id = settled("delete/edit", "firestore")
    asked = {"id": id, "keep": side_of(w, id, "gone")}
    cut_off(w, "django", 2, **asked)
    w.d_save("x", **{name: "since"})
    w.settle()
    with pytest.raises(NotOpen, match="look again"):
        decide(w, **asked)
    assert both(w) == {"a": "F", "b": 0, "c": 0} | {name: "since"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "delete" in kind])
def test_a_delete_that_was_cut_off_and_written_over_deletes_nothing_more(kind: str) -> None:
    w, id = settled(kind, "firestore" if kind == "delete/edit" else "django")
    asked = {"id": id, "keep": side_of(w, id, "gone")}
    cut_off(w, "django did", 2, **asked)
    w.d_save("x", a="anew", b="anew", c="anew")
    w.f_update("x", b="other")
    w.clock.tick()
    for _ in range(2):
        with pytest.raises(NotOpen, match="written over since; look again"):
            decide(w, **asked)
    assert both(w) == {"a": "anew", "b": "other", "c": "anew"}
    decide(w, **asked, again=True)
    assert (w.d_values("x"), w.f_values("x")) == (None, None)


def test_a_users_edit_that_got_the_stamp_of_a_decision_that_was_cut_off_is_not_taken_for_it() -> None:
    """Django's clock is behind, and nobody had told it of the decision: the next stamp after all that it has seen is the same."""
    w, id = settled("edit/edit", "django")
    cut_off(w, "django", 2, id=id, keep="value", value="decided")
    noted = row(w, id)["resolving"]["stamp"]
    edit = Change(
        "edit", w.id("x"), Action.UPDATE, {"a": Value("edited", noted)}, {"a": w.django.version(w.id("x")).fields["a"].stamp}
    )
    w.django.apply([edit], "a user")
    w.django._enqueue(edit)
    assert decide(w, id=id, keep="value", value="decided")["stamp"] > noted
    assert both(w) == {"a": "decided", "b": 0, "c": 0}
    assert "edited" in values_kept(w)


def test_of_two_people_at_one_conflict_who_was_cut_off_may_go_on_and_the_other_looks_again() -> None:
    w, id = settled("edit/edit", "django")
    theirs = {"id": id, "keep": "value", "value": "theirs"}
    at(w, "django did", 1, lambda: cut_off(w, "django did", 2, **theirs))
    with pytest.raises(NotOpen, match="somebody else is deciding it"):
        decide(w, id=id, keep="value", value="mine")
    assert row(w, id)["resolving"]["stamp"] == w.django.version(w.id("x")).fields["a"].stamp
    decide(w, **theirs)
    assert both(w) == {"a": "theirs", "b": 0, "c": 0}


def test_a_decided_delete_keeps_what_was_written_since_the_conflict_and_who_decides_had_not_before_them() -> None:
    w, id = settled("edit/delete", "django")
    w.d_save("x", b="since, at django")
    w.f_update("x", b="since, in firestore")
    w.deliver_all()
    decide(w, id=id, keep=side_of(w, id, "gone"))
    assert both(w) is None
    assert {"since, at django", "since, in firestore"} <= values_kept(w)


def test_a_conflict_about_a_field_that_is_synced_no_more_is_not_decided() -> None:
    w, id = settled("edit/edit", "django")
    entity = w.pair.entities["thing"]
    fields = tuple(each for each in entity.fields if each.name != "a")
    w.pair = replace(w.pair, entities={"thing": replace(entity, fields=fields)})
    with pytest.raises(NotFound, match="the field 'a', which is not synced any more"):
        decide(w, id=id, keep="incoming")


def test_an_edit_on_top_of_a_decision_that_one_side_lacks_waits_for_it() -> None:
    w = held_apart("edit/delete")
    [id] = conflict_ids(w)
    asked = {"id": id, "keep": next(side for side in ("local", "incoming") if "value" in row(w, id)[side])}
    cut_off(w, "django did", 2, **asked)
    w.d_save("x", b="on top")
    assert w.sync(direction="django_to_firestore").directions["django_to_firestore"].waiting == 1
    assert conflict_ids(w) == [id]
    decide(w, **asked)
    assert (both(w) or {})["b"] == "on top"


def test_a_users_edit_that_got_the_stamp_of_a_resolution_is_kept_when_somebody_decides_anew() -> None:
    w = staged(Policy.LEFT_WINS, "edit/edit", "django")
    w.settle()
    [id] = conflict_ids(w, "settled")
    stamp, record = row(w, id)["resolution"], w.id("x")
    w.django.rows[record]["a"] = "edited"  # Django had not been told of the resolution, and its clock was behind
    w.django.index[record]["a"] = Entry(stamp, fingerprint("edited"))
    decide(w, id=id, keep="value", value="decided")
    assert both(w) == {"a": "decided", "b": 0, "c": 0}
    assert "edited" in values_kept(w)
