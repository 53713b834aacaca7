"""Joining two values of one field: sets and lists, with and without the value that both were made on top of, and texts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_policies import MERGE, kept, under, watched
from world import World

from shared.joining import join
from shared.mapping import Type
from shared.resolution import BY_LAST_WRITE

UNKNOWN = object()
SET, LIST, TEXT = Type.SET, Type.LIST, Type.TEXT
BASE = "one\ntwo\nthree\nfour\n"

CASES: dict[str, tuple[Type, Any, Any, Any, Any]] = {
    # type, base, left, right, what they come to (UNKNOWN: that cannot be told)
    "sets without a base: all of both": (SET, UNKNOWN, ["a", "b"], ["b", "c"], ["a", "b", "c"]),
    "in one order, whatever the sides'": (SET, UNKNOWN, ["c", "a"], ["b"], ["a", "b", "c"]),
    "1 and 1.0 are one item, 1 and true are two": (SET, UNKNOWN, [1], [1.0, True], [1, True]),
    "a set cleared, without a base": (SET, UNKNOWN, None, ["a"], ["a"]),
    "sets with a base: what one took out is out": (SET, ["a", "b"], ["a"], ["a", "b", "c"], ["a", "c"]),
    "what both took out": (SET, ["a", "b"], ["a"], ["a"], ["a"]),
    "all of it": (SET, ["a"], None, None, None),
    "one takes out, one puts in": (SET, ["a", "b"], ["b"], ["a", "c"], ["c"]),
    "lists without a base: left's, then what right has more": (LIST, UNKNOWN, ["b", "a"], ["c", "a"], ["b", "a", "c"]),
    "lists with a base": (LIST, ["a", "b"], ["b", "x"], ["a", "b", "y"], ["b", "x", "y"]),
    "lists of objects": (LIST, UNKNOWN, [{"n": 1}], [{"n": 1.0}, {"n": 2}], [{"n": 1}, {"n": 2}]),
    "an emptied list": (LIST, ["a"], [], None, []),
    "what is no list": (LIST, UNKNOWN, ["a"], "a", UNKNOWN),
    "what is no set": (SET, UNKNOWN, 5, ["a"], UNKNOWN),
    "texts, changed in other lines": (TEXT, BASE, BASE.replace("one", "1"), BASE.replace("four", "4"), "1\ntwo\nthree\n4\n"),
    "changed alike": (TEXT, BASE, BASE.replace("one", "1"), BASE.replace("one", "1"), "1\ntwo\nthree\nfour\n"),
    "changed in one line": (TEXT, BASE, BASE.replace("two", "2"), BASE.replace("two", "zwei"), UNKNOWN),
    "a line taken out, another added": (TEXT, BASE, "two\nthree\nfour\n", BASE + "five\n", "two\nthree\nfour\nfive\n"),
    "texts without a base": (TEXT, UNKNOWN, "a", "b", UNKNOWN),
    "a text cleared": (TEXT, BASE, None, BASE.replace("one", "1"), UNKNOWN),
    "another type": (Type.INTEGER, 1, 2, 3, UNKNOWN),
    "a map": (Type.MAP, {}, {"a": 1}, {"b": 1}, UNKNOWN),
}


@pytest.mark.parametrize("kind, base, left, right, joined", CASES.values(), ids=CASES)
def test_two_values_come_to_one(kind: Type, base: Any, left: Any, right: Any, joined: Any) -> None:
    found = join(kind, left, right, None if base is UNKNOWN else (base,))
    assert found == (None if joined is UNKNOWN else (joined,))


items = st.lists(st.sampled_from("abcd"), unique=True).map(sorted)


@settings(derandomize=True, database=None, deadline=None)
@given(items, items, items)
def test_a_joined_set_holds_what_nobody_took_out_and_all_that_was_put_in(
    base: list[str], left: list[str], right: list[str]
) -> None:
    [joined] = join(SET, left, right, (base,)) or [None]
    expected = {item for item in "abcd" if (item in left and item in right) or (item in left + right and item not in base)}
    assert set(joined or []) == expected
    assert join(SET, left, right, (base,)) == join(SET, right, left, (base,))


# On both sides


def edited(kind: Type, base: Any, left: Any, right: Any, django_wrote_base: bool, told: bool = True) -> World:
    """Both sides hold `base`; Django's users make `left` of it and Firestore's `right`. `told`: the event has its data."""
    w = World(entity=under(MERGE, a=kind))
    if django_wrote_base:
        w.d_save("x", a=base, b=1, c=1)
    else:
        w.f_set("x", a=base, b=1, c=1)
    w.settle()
    w.d_save("x", a=left)
    w.f_update("x", a=right)
    w.deliver(bare=not told)
    watched(w)
    return w


@pytest.mark.parametrize("direction", ["django_to_firestore", "firestore_to_django"])
@pytest.mark.parametrize("django_wrote_base", [True, False])
@pytest.mark.parametrize(
    "name", ["texts, changed in other lines", "sets with a base: what one took out is out", "lists with a base"]
)
def test_edits_of_both_sides_are_merged_into_one(name: str, django_wrote_base: bool, direction: str) -> None:
    kind, base, left, right, joined = CASES[name]
    w = edited(kind, base, left, right, django_wrote_base)
    w.sync(direction=direction)
    assert w.d_values("x") == w.f_values("x") == {"a": joined, "b": 1, "c": 1}
    [conflict] = kept(w)
    assert (conflict["winner"], conflict["rule"], conflict["status"]) == ("both", "merge", "settled")
    w.settle()
    w.check("x")
    assert len(kept(w)) == 1


def test_what_was_there_before_is_not_known_of_an_event_without_data() -> None:
    kind, base, left, right, _ = CASES["texts, changed in other lines"]
    w = edited(kind, base, left, right, True, told=False)
    w.settle()
    assert w.d_values("x") == w.f_values("x")
    assert w.d_values("x")["a"] in (left, right)
    [conflict] = kept(w)
    assert (conflict["rule"], conflict["status"]) == (BY_LAST_WRITE, "settled")
    assert {conflict["local"]["value"], conflict["incoming"]["value"]} == {left, right}


def test_the_value_replaced_is_kept_in_the_queue_only_where_conflicts_are_merged() -> None:
    entries = {}
    for policy, number in zip(("merge", "manual"), itertools.count()):
        w = World(entity=under(type(MERGE)(policy)))
        w.f_set("x", a=number)
        w.settle()
        w.f_update("x", a="new")
        w.deliver_all()
        rows = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_queue/")]
        entries[policy] = [row.get("replaced") for row in rows if row["sync_status"] == "pending"]
    assert entries == {"merge": [{"a": 0}], "manual": [None]}
