"""Every policy meets every kind of conflict, whoever wrote later and whichever direction runs first, cut off anywhere."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from test_invariants import BOUNDED, Crash, Schedules, at, failing
from world import ENTITY, World

from shared.engine import whole_change
from shared.mapping import Entity, Type
from shared.model import Action, Change, Policy, Problem, RecordId, Stamp, Value, Version
from shared.resolution import BY_LAST_WRITE, Rules, Sides, plan

LWW, LEFT, RIGHT, MERGE, MANUAL = Policy
Act = Callable[[World], None]
DIRECTIONS = ["django_to_firestore", "firestore_to_django"]
SIDES = ["django", "firestore"]


def under(policy: Policy, **types: Type) -> Entity:
    """Return the entity of the tests under a policy, with fields of other types."""
    fields = tuple(replace(each, type=types.get(each.name, each.type)) for each in ENTITY.fields)
    return replace(ENTITY, policy=policy, fields=fields)


def world(policy: Policy, synced: bool = True, **types: Type) -> World:
    """Both sides hold x with a, b and c, unless there is to be nothing yet."""
    w = World(entity=under(policy, **types))
    if synced:
        w.d_save("x", a=0, b=0, c=0)
        w.settle()
    watched(w)
    return w


def watched(w: World) -> None:
    """Let Django's calls be cut off as Firestore's are, before and after."""

    def watch(call: Callable[..., Any]) -> Callable[..., Any]:
        def watching(*given: Any) -> Any:
            w.database.fault("django")
            done = call(*given)
            w.database.fault("django did")
            return done

        return watching

    for name in ("apply", "acknowledge", "read", "settle"):
        setattr(w.django, name, watch(getattr(w.django, name)))


def d_edit(w: World) -> None:
    w.d_save("x", a="D")


def f_edit(w: World) -> None:
    w.f_update("x", a="F")


def d_delete(w: World) -> None:
    w.d_delete("x")


def f_delete(w: World) -> None:
    w.f_delete("x")


def d_create(w: World) -> None:
    w.d_save("x", a="D", b="same")


def f_create(w: World) -> None:
    w.f_set("x", a="F", b="same")


EDITED = {"D": {"a": "D", "b": 0, "c": 0}, "F": {"a": "F", "b": 0, "c": 0}, "gone": None}
CREATED = {"D": {"a": "D", "b": "same"}, "F": {"a": "F", "b": "same"}}

# kind: whether x is there before, what Django's users do, what Firestore's do, what either leaves
KINDS: Mapping[str, tuple[bool, Act, Act, str, str]] = {
    "edit/edit": (True, d_edit, f_edit, "D", "F"),
    "edit/delete": (True, d_edit, f_delete, "D", "gone"),
    "delete/edit": (True, d_delete, f_edit, "gone", "F"),
    "create/create": (False, d_create, f_create, "D", "F"),
}


def staged(policy: Policy, kind: str, later: str) -> World:
    """Both sides have acted, neither knowing of the other."""
    there, by_django, by_firestore, _, _ = KINDS[kind]
    w = world(policy, there)
    for act in (by_firestore, by_django) if later == "django" else (by_django, by_firestore):
        act(w)
        w.clock.tick()
    w.deliver_all()
    return w


def winner(policy: Policy, kind: str, later: str) -> str:
    """Return what both sides are to hold in the end."""
    _, _, _, left, right = KINDS[kind]
    by_time = left if later == "django" else right
    if policy is MERGE and "gone" in (left, right):
        return left if right == "gone" else right
    return {LEFT: left, RIGHT: right}.get(policy, by_time)


def kept(w: World) -> list[Mapping[str, Any]]:
    return [each.fields for path, each in sorted(w.database.documents.items()) if path.startswith("sync_conflicts/")]


def crash(w: World, call: int) -> bool:
    """Run until it is cut off at the n-th call; False if it came to its end first."""
    at(w, "any", call, failing(Crash()))
    try:
        w.sync()
    except Crash:
        for path in [path for path in w.database.documents if path.startswith("sync_leases/")]:
            del w.database.documents[path]
        return True
    finally:
        w.database.fault = lambda _: None
    return False


RULED = [(policy, kind, later) for policy in (LWW, LEFT, RIGHT, MERGE) for kind in KINDS for later in SIDES]


def check_end(w: World, policy: Policy, kind: str, later: str) -> None:
    wanted = (CREATED if kind == "create/create" else EDITED)[winner(policy, kind, later)]
    assert (w.d_values("x"), w.f_values("x")) == (wanted, wanted)
    w.check("x")
    [conflict] = kept(w)
    fell_back = policy is MERGE and "/" in kind and "delete" not in kind
    assert (conflict["field"], conflict["status"], conflict["rule"]) == ("a", "settled", BY_LAST_WRITE if fell_back else policy)
    values = {side.get("value", "gone") for side in (conflict["local"], conflict["incoming"])}
    assert values == {KINDS[kind][3], KINDS[kind][4]}, "the loser is kept, and the winner with it"
    assert conflict[conflict["winner"]].get("value", "gone") == winner(policy, kind, later)
    assert conflict["expire_at"] is not None


@pytest.mark.parametrize("first", DIRECTIONS)
@pytest.mark.parametrize("policy, kind, later", RULED)
def test_both_sides_end_as_the_policy_says_and_the_loser_is_kept(policy: Policy, kind: str, later: str, first: str) -> None:
    w = staged(policy, kind, later)
    w.sync(direction=first)
    w.sync()
    check_end(w, policy, kind, later)
    w.deliver_all()
    assert w.sync().moved == 0
    assert w.reconcile().reconciled["thing"].different == 0
    check_end(w, policy, kind, later)


@pytest.mark.parametrize("policy, kind, later", RULED)
def test_a_run_cut_off_at_any_call_ends_the_same(policy: Policy, kind: str, later: str) -> None:
    for call in itertools.count(1):
        w = staged(policy, kind, later)
        if not crash(w, call):
            break
        w.settle()
        check_end(w, policy, kind, later)
    assert call > 20


@pytest.mark.parametrize("policy", Policy)
def test_two_deletes_are_no_conflict(policy: Policy) -> None:
    w = world(policy)
    w.d_save("x", b=1)
    w.d_delete("x")
    w.f_delete("x")
    w.settle()
    assert (w.d_values("x"), w.f_values("x"), kept(w)) == (None, None, [])
    w.check("x")


@pytest.mark.parametrize("policy", Policy)
def test_edits_of_other_fields_are_no_conflict_and_cost_no_second_call(policy: Policy) -> None:
    w = world(policy)
    w.d_save("x", a=1)
    w.f_update("x", b=2)
    w.deliver_all()
    w.sync()
    assert w.d_values("x") == w.f_values("x") == {"a": 1, "b": 2, "c": 0}
    assert kept(w) == []
    w.settle()
    w.check("x")


# Any schedule


def mixed(**policies: Policy) -> World:
    """Fields under policies of their own; `all` is the entity's."""
    fields = tuple(replace(each, policy=policies.get(each.name)) for each in ENTITY.fields)
    return World(entity=replace(ENTITY, fields=fields, policy=policies.get("all", LWW)))


class LeftWins(Schedules):
    make = staticmethod(lambda: mixed(all=LEFT))


class RightWins(Schedules):
    make = staticmethod(lambda: mixed(all=RIGHT))


class Mixed(Schedules):
    """The entity falls to the last write, and its fields to others."""

    make = staticmethod(lambda: mixed(a=LEFT, b=MERGE))


class MergeOfRecords(Schedules):
    make = staticmethod(lambda: mixed(all=MERGE, c=RIGHT))


@pytest.mark.parametrize("schedules", [LeftWins, RightWins, Mixed, MergeOfRecords])
def test_1_convergence_and_2_no_lost_update_under_any_policy_on_any_schedule(schedules: type[Schedules]) -> None:
    run_state_machine_as_test(schedules, settings=settings(BOUNDED, max_examples=60))


def test_a_late_delete_tells_of_what_it_brought_back_into_a_document_put_back() -> None:
    w = mixed(a=LEFT, b=MERGE)
    w.f_set("x", a=1, b=2, c=3)
    w.deliver(keep=True)
    w.django.now = w.clock.apart(-73)
    w.d_save("x", a=4, b=5)
    w.f_delete("x")
    w.sync()
    w.f_update("x", b=0)
    w.settle()
    w.check("x")


def test_the_fields_of_a_delete_that_was_beaten_at_its_own_side_are_settled_all_the_same() -> None:
    w = mixed(all=RIGHT)
    w.d_save("x", a=1, b=2, c=3)
    w.f_set("x", a=4, b=5, c=6)
    w.d_save("x", a=0, b=0)
    w.f_delete("x")
    w.sync()
    w.settle()
    w.check("x")


def test_an_edit_at_the_source_while_its_conflict_is_settled_leaves_the_target_alone() -> None:
    w = staged(RIGHT, "edit/edit", "firestore")
    target = w.django.version(w.id("x")).fields["a"]
    at(w, "written", 1, lambda: w.f_update("x", a="newer"))  # the conflict is kept, nothing is settled yet
    tally = w.sync(direction="firestore_to_django").directions["firestore_to_django"]
    assert (tally.waiting, tally.applied) == (1, 0)
    assert w.django.version(w.id("x")).fields["a"] == target
    w.settle()
    w.check("x")
    assert w.d_values("x") == w.f_values("x") == {"a": "newer", "b": 0, "c": 0}


@pytest.mark.timeout(20)
def test_a_whole_record_that_was_refused_once_tells_nothing_of_what_its_values_were_made_on() -> None:
    w = world(RIGHT)
    for peer in (w.django, w.firestore):
        whole = [whole_change(each, Change("reconcile", each.id, Action.UPDATE)) for each in peer.read([w.id("x")])]
        w.store.refuse("things", peer.name, {each.id: (each, Problem("type", "refused")) for each in whole}, "run", w.clock())
    w.d_save("x", a="D")
    w.f_update("x", a="F")
    w.settle()
    w.check("x")
    assert w.d_values("x") == w.f_values("x") == {"a": "F", "b": 0, "c": 0}


def test_what_the_target_made_on_top_of_a_resolution_wins_over_what_the_resolution_came_of() -> None:
    w = world(RIGHT)
    w.d_delete("x")
    w.f_update("x", a="F")
    w.sync(direction="django_to_firestore")  # brings the record back, while Firestore's own edit waits
    w.d_save("x", a="newer")
    w.sync(direction="firestore_to_django")
    w.settle()
    w.check("x")
    assert w.d_values("x") == w.f_values("x") == {"a": "newer", "b": 0, "c": 0}


def test_a_repeat_does_not_overrule_what_was_written_on_top_of_it() -> None:
    w = world(LEFT)
    w.d_save("x", a="D")
    at(w, "django", 1, failing(Crash()))  # carried, and not acknowledged
    with pytest.raises(Crash):
        w.sync(direction="django_to_firestore")
    w.database.fault = lambda _: None
    w.clock.tick(3600)
    w.f_update("x", a="on top")
    w.settle()
    w.check("x")
    assert w.d_values("x") == w.f_values("x") == {"a": "on top", "b": 0, "c": 0}
    assert kept(w) == []


def test_an_edit_on_top_of_one_that_was_carried_and_not_acknowledged_is_no_conflict() -> None:
    w = world(RIGHT)
    w.d_save("x", a=1)
    at(w, "django", 1, failing(Crash()))  # the acknowledgement
    with pytest.raises(Crash):
        w.sync(direction="django_to_firestore")
    w.database.fault = lambda _: None
    w.clock.tick(3600)
    w.d_save("x", a=2)
    w.settle()
    w.check("x")
    assert w.d_values("x") == w.f_values("x") == {"a": 2, "b": 0, "c": 0}
    assert kept(w) == []


def test_an_edit_on_top_of_what_the_other_side_holds_wins_whatever_was_adopted_late_before_it() -> None:
    w = world(LEFT)
    w.f_update("x", b="unseen")
    w.f_delete("x")
    w.f_set("x", a="anew", b=0, c=0)
    w.deliver(2)
    w.sync()
    w.d_save("x", b="D")
    w.sync()
    w.deliver_all()
    w.f_update("x", b="on top")
    w.settle()
    w.check("x")
    assert (w.d_values("x") or {})["b"] == "on top"


@pytest.mark.parametrize("when", ["django", "django did"])
def test_an_edit_during_a_reconcile_wins_over_what_its_author_saw(when: str) -> None:
    seen: list[Any] = []
    for call in itertools.count(1):
        w = world(RIGHT)
        w.f_set("x", a="blind", b=0, c=0)

        def edit(w: World = w) -> None:
            seen.append((w.d_values("x") or {})["a"])
            w.d_save("x", a="on top")

        at(w, when, call, edit)
        w.reconcile()
        if len(seen) < call:
            break
        w.settle()
        w.check("x")
        assert (w.d_values("x") or {})["a"] == ("on top" if seen[-1] == "blind" else "blind"), call
    assert {0, "blind"} == set(seen)


def test_a_record_brought_back_has_the_same_stamps_on_both_sides_though_it_was_edited_meanwhile() -> None:
    w = world(RIGHT)
    w.f_update("x", a="F")
    w.d_delete("x")
    at(w, "django did", 3, lambda: w.f_update("x", c="meanwhile"))  # Django has the record again, Firestore's is as it was
    w.sync(direction="django_to_firestore")
    w.settle()
    w.check("x")
    assert w.d_values("x") == w.f_values("x") == {"a": "F", "b": 0, "c": "meanwhile"}


@pytest.mark.parametrize("policy", [LEFT, RIGHT, MANUAL, MERGE])
def test_what_a_side_was_put_back_with_is_in_no_conflict_with_what_was_made_of_it(policy: Policy) -> None:
    """A document was lost and put back from Django, which had not been told of Firestore's own edit yet."""
    w = world(policy)
    w.f_update("x", a="F")
    w.deliver_all()
    del w.database.documents["things/x"]
    w.d_save("x", b="D")
    w.sync()
    w.reconcile()
    w.settle()
    w.check("x")
    assert w.d_values("x") == w.f_values("x") == {"a": "F", "b": "D", "c": 0}
    assert not kept(w)


@pytest.mark.parametrize("policy", [LEFT, RIGHT, MANUAL, MERGE])
def test_a_record_made_anew_by_who_saw_the_delete_lives_though_one_field_was_not_synced_at_that_time(policy: Policy) -> None:
    deleted = Stamp("2026-01-01T00:00:00.000000Z|django")
    first, second = (Stamp(f"2026-01-01T00:00:0{second}.000000Z|firestore") for second in (1, 2))
    fields = {"a": Value("anew", first), "c": Value("later", second)}
    change = Change("anew", RecordId("thing", "x"), Action.CREATE, fields, {"a": deleted, "c": None})
    rules = Rules(world(policy).pair.entities["thing"], Sides("firestore", "django", "django"), lambda *_: None)
    made = plan(change, Version(fields), Version({}, deleted), rules)
    assert (made.at_source, made.conflicts, made.by_last_write) == (None, (), None)
    assert made.at_target is not None
    assert made.at_target.fields == fields
