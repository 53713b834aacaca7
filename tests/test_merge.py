"""The one rule, and what it is called: merge, collapse and the policy's outcomes, as tables.

Times are small numbers, in the order of writing; `at(3)` is a stamp. A version is written `a=(value, time)`.
"""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.canonical import conflict_id, same
from shared.merge import collapse, later, later_delete, merge
from shared.model import Action, Change, Outcome, RecordId, Value, Version, side_stamp, stamp_at
from shared.policy import Mode, decide

QUICK = settings(derandomize=True, database=None, deadline=None)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
RECORD = RecordId("member", "1203894569", "north")
LWW, IF_UNCHANGED = Mode


def at(time, origin="django"):
    return stamp_at(NOON + timedelta(seconds=time), origin)


def none_or_at(time):
    return None if time is None else at(time)


def v(deleted=None, **fields):
    """A version: `v(a=("old", 1), deleted=2)`."""
    return Version({name: Value(value, at(time)) for name, (value, time) in fields.items()}, none_or_at(deleted))


def c(base=None, deleted=None, deleted_base=None, action=Action.UPDATE, id="c", **fields):
    """A change: its fields as in a version, the times of its bases by field."""
    return Change(
        id,
        RECORD,
        action,
        v(**fields).fields,
        {name: none_or_at(time) for name, time in (base or {}).items()},
        none_or_at(deleted),
        {name: at(time) for name, time in (deleted_base or {}).items()},
    )


# Later

LATER = {
    # one, other, the one that survives
    "the larger stamp": (Value("z", at(1)), Value("a", at(2)), Value("a", at(2))),
    "also if it is a null": (Value("z", at(1)), Value(None, at(2)), Value(None, at(2))),
    "at one moment, the peer's name": (
        Value("z", at(1, "django")),
        Value("a", at(1, "firestore")),
        Value("a", at(1, "firestore")),
    ),
    "of equal stamps, the larger JSON": (Value("a", at(1)), Value("b", at(1)), Value("b", at(1))),
    "as bytes, not as numbers": (Value(10, at(1)), Value(9, at(1)), Value(9, at(1))),
    "null is larger than a number and a text": (Value(None, at(1)), Value("z", at(1)), Value(None, at(1))),
    "true is larger than null": (Value(True, at(1)), Value(None, at(1)), Value(True, at(1))),
    "true is larger than 1": (Value(1, at(1)), Value(True, at(1)), Value(True, at(1))),
    "an object is larger than a list": (Value([9], at(1)), Value({}, at(1)), Value({}, at(1))),
    "bytes, where UTF-16 would say otherwise": (Value("\uffff", at(1)), Value("\U00010000", at(1)), Value("\U00010000", at(1))),
}


@pytest.mark.parametrize("one, other, survivor", LATER.values(), ids=LATER)
def test_the_later_write_survives(one, other, survivor):
    for found in (later(one, other), later(other, one)):
        assert (found.stamp, same(found.value, survivor.value)) == (survivor.stamp, True)


@pytest.mark.parametrize("one, other, larger", [(None, None, None), (1, None, 1), (None, 1, 1), (1, 2, 2), (2, 1, 2)])
def test_of_two_deletes_the_larger_counts_and_none_is_smaller_than_any(one, other, larger):
    assert later_delete(none_or_at(one), none_or_at(other)) == none_or_at(larger)


# Merge

MERGES = {
    "nothing and nothing": (v(), v(), v()),
    "nothing adds nothing": (v(a=("x", 1)), v(), v(a=("x", 1))),
    "fields are merged one by one": (v(a=("x", 1), b=("x", 4)), v(a=("y", 2), b=("y", 3)), v(a=("y", 2), b=("x", 4))),
    "fields of either side stay": (v(a=("x", 1)), v(b=("y", 2)), v(a=("x", 1), b=("y", 2))),
    "a delete later than all hides them": (v(a=("x", 1), b=("x", 2)), v(deleted=3), v(a=("x", 1), b=("x", 2), deleted=3)),
    "a delete that one field outlives is forgotten": (v(a=("x", 1), b=("x", 4)), v(deleted=3), v(a=("x", 1), b=("x", 4))),
    "also one of equal stamp": (v(a=("x", 3)), v(deleted=3), v(a=("x", 3))),
    "a later edit brings the whole record back": (v(a=("x", 1), b=("x", 2), deleted=3), v(a=("y", 4)), v(a=("y", 4), b=("x", 2))),
    "an edit between stays hidden": (v(a=("x", 1), deleted=3), v(a=("y", 2)), v(a=("y", 2), deleted=3)),
    "the larger of two deletes": (v(a=("x", 1), deleted=2), v(deleted=3), v(a=("x", 1), deleted=3)),
    "a delete of an unknown record": (v(), v(deleted=1), v(deleted=1)),
}


@pytest.mark.parametrize("one, other, merged", MERGES.values(), ids=MERGES)
def test_two_versions_merge_field_by_field(one, other, merged):
    assert merge(one, other) == merge(other, one) == merged


stamps = st.builds(at, st.integers(1, 5), st.sampled_from(["django", "firestore"]))
values = st.sampled_from([None, True, False, 0, 1, 1.5, "a", "b", [1], {"a": 1}])
contents = st.dictionaries(st.sampled_from("abc"), st.builds(Value, values, stamps))
versions = st.builds(Version, contents, st.none() | stamps).map(lambda version: merge(version, Version()))


@QUICK
@given(versions, versions)
def test_merge_does_not_know_which_side_is_which(one, other):
    assert merge(one, other) == merge(other, one)


@QUICK
@given(versions)
def test_merging_a_version_with_itself_changes_nothing(version):
    assert merge(version, version) == version


@QUICK
@given(versions, versions)
def test_merging_again_changes_nothing(one, other):
    assert merge(merge(one, other), other) == merge(one, other)


@QUICK
@given(versions, versions, versions)
def test_three_sides_end_with_the_same_live_fields_in_whatever_order(one, two, three):
    """A forgotten delete may come back through a third side, but it cannot hide what outlived it."""
    merged = [merge(merge(first, second), third) for first, second, third in itertools.permutations([one, two, three])]
    assert all(each == merged[0] for each in merged)


# Collapse


def test_one_edit_alone_is_the_change_itself():
    edit = c(a=("x", 2), base={"a": 1})
    assert collapse([edit]) == replace(edit, edits=(edit,))


COLLAPSES = {
    "a chain keeps the last value and the oldest base": (
        [c(a=("x", 2), base={"a": 1}), c(a=("y", 3), base={"a": 2}), c(a=("z", 4), base={"a": 3})],
        c(a=("z", 4), base={"a": 1}),
    ),
    "a base of nothing is the oldest": (
        [c(a=("x", 2), base={"a": None}), c(a=("y", 3), base={"a": 2})],
        c(a=("y", 3), base={"a": None}),
    ),
    "fields come together": (
        [c(a=("x", 2), base={"a": 1}), c(b=("y", 4), base={"b": 3})],
        c(a=("x", 2), b=("y", 4), base={"a": 1, "b": 3}),
    ),
    "equal stamps fall to the larger JSON": (
        [c(a=("y", 2), base={"a": 1}), c(a=("x", 2), base={"a": 1})],
        c(a=("y", 2), base={"a": 1}),
    ),
    "a create makes the whole a create": (
        [c(a=("x", 1), b=(None, 1), base={"a": None, "b": None}, action=Action.CREATE), c(a=("y", 2), base={"a": 1})],
        c(a=("y", 2), b=(None, 1), base={"a": None, "b": None}, action=Action.CREATE),
    ),
    "an edit, then a delete: a delete that carries what it hides": (
        [c(a=("x", 2), base={"a": 1}), c(deleted=3, deleted_base={"a": 2, "b": 1}, action=Action.DELETE)],
        c(a=("x", 2), base={"a": 1}, deleted=3, deleted_base={"a": 2, "b": 1}, action=Action.DELETE),
    ),
    "a delete, then an edit: both go on, and the base is what the deleter had seen": (
        [c(deleted=2, deleted_base={"a": 1, "b": 1}, action=Action.DELETE), c(a=("x", 3), base={"a": 2})],
        c(a=("x", 3), base={"a": 1}, deleted=2, deleted_base={"a": 1, "b": 1}),
    ),
    "a delete, then a create of what the deleter never held": (
        [c(deleted=2, action=Action.DELETE), c(a=("x", 3), b=(None, 3), base={"a": 2, "b": 2}, action=Action.CREATE)],
        c(a=("x", 3), b=(None, 3), base={"a": None, "b": None}, deleted=2, action=Action.CREATE),
    ),
    "created and deleted again": (
        [c(a=("x", 1), base={"a": None}, action=Action.CREATE), c(deleted=2, deleted_base={"a": 1}, action=Action.DELETE)],
        c(a=("x", 1), base={"a": None}, deleted=2, deleted_base={"a": 1}, action=Action.DELETE),
    ),
    "of two deletes the larger, with its own bases": (
        [c(deleted=2, deleted_base={"a": 1}, action=Action.DELETE), c(deleted=4, deleted_base={"a": 3}, action=Action.DELETE)],
        c(deleted=4, deleted_base={"a": 3}, action=Action.DELETE),
    ),
    "deleted, revived and deleted: the base reaches back past the first delete": (
        [
            c(deleted=2, deleted_base={"a": 1}, action=Action.DELETE),
            c(a=("x", 3), base={"a": 2}),
            c(deleted=4, deleted_base={"a": 3}, action=Action.DELETE),
        ],
        c(a=("x", 3), base={"a": 1}, deleted=4, deleted_base={"a": 3}, action=Action.DELETE),
    ),
}


@pytest.mark.parametrize("edits, expected", COLLAPSES.values(), ids=COLLAPSES)
def test_the_edits_of_a_record_become_one_change(edits, expected):
    edits = [replace(edit, id=f"c{number}") for number, edit in enumerate(edits)]
    latest = max(edits, key=lambda edit: edit.latest)
    for order in itertools.permutations(edits):
        whole = collapse(order)
        assert whole == replace(expected, id=whole.id, edits=order)
        assert whole.id == latest.id or latest.latest in [edit.latest for edit in edits if edit is not latest]


changes = st.lists(st.tuples(contents, st.none() | stamps), min_size=1, max_size=4)


@QUICK
@given(changes, versions)
def test_collapsed_edits_do_what_the_edits_do_one_after_another(edits, held):
    parts = [Change(str(number), RECORD, Action.UPDATE, fields, {}, deleted) for number, (fields, deleted) in enumerate(edits)]
    if all(part.stamps for part in parts):
        whole = collapse(parts)
        one_by_one = held
        for part in parts:
            one_by_one = merge(one_by_one, Version(part.fields, part.deleted))
        assert merge(held, Version(whole.fields, whole.deleted)) == one_by_one


# The policy's outcomes: what a change does to the version held here.
#
# mode, version here, change, outcome, names taken, conflicts as {field: winner}, what is held afterwards (None: as before)

BASED = {"a": 1}
APPLIED, UNCHANGED, STALE, HELD = Outcome.APPLIED, Outcome.UNCHANGED, Outcome.STALE, Outcome.HELD
HERE = v(a=("old", 1), b=("old", 1))

DECISIONS = {
    # An edit meets a live record.
    "a fast-forward": (LWW, HERE, c(a=("new", 2), base=BASED), APPLIED, "a", {}, v(a=("new", 2), b=("old", 1))),
    "to null": (LWW, HERE, c(a=(None, 2), base=BASED), APPLIED, "a", {}, v(a=(None, 2), b=("old", 1))),
    "two fields": (
        LWW,
        HERE,
        c(a=("new", 2), b=("new", 2), base={"a": 1, "b": 1}),
        APPLIED,
        "ab",
        {},
        v(a=("new", 2), b=("new", 2)),
    ),
    "edit and edit, theirs later": (
        LWW,
        v(a=("mine", 2)),
        c(a=("theirs", 3), base=BASED),
        APPLIED,
        "a",
        {"a": "incoming"},
        v(a=("theirs", 3)),
    ),
    "edit and edit, mine later": (LWW, v(a=("mine", 3)), c(a=("theirs", 2), base=BASED), STALE, "", {"a": "local"}, None),
    "edit and edit of other fields": (
        LWW,
        v(a=("mine", 2), b=("old", 1)),
        c(b=("theirs", 2), base={"b": 1}),
        APPLIED,
        "b",
        {},
        v(a=("mine", 2), b=("theirs", 2)),
    ),
    "one field each way": (
        LWW,
        v(a=("mine", 4), b=("mine", 2)),
        c(a=("theirs", 3), b=("theirs", 3), base={"a": 1, "b": 1}),
        APPLIED,
        "b",
        {"a": "local", "b": "incoming"},
        v(a=("mine", 4), b=("theirs", 3)),
    ),
    "a clearing loses to an edit": (LWW, v(a=("mine", 3)), c(a=(None, 2), base=BASED), STALE, "", {"a": "local"}, None),
    "an edit loses to a clearing": (LWW, v(a=(None, 3)), c(a=("theirs", 2), base=BASED), STALE, "", {"a": "local"}, None),
    "a late one that had been seen": (LWW, v(a=("mine", 3)), c(a=("theirs", 2), base={"a": 3}), STALE, "", {}, None),
    "a base that was never held here": (
        LWW,
        v(a=("mine", 2)),
        c(a=("theirs", 3), base={}),
        APPLIED,
        "a",
        {"a": "incoming"},
        v(a=("theirs", 3)),
    ),
    "a field never held here has no opponent": (
        LWW,
        v(b=("old", 1)),
        c(a=("new", 3), base={"a": 2}),
        APPLIED,
        "a",
        {},
        v(a=("new", 3), b=("old", 1)),
    ),
    "also with a null": (LWW, v(b=("old", 1)), c(a=(None, 2), base={"a": None}), APPLIED, "a", {}, v(a=(None, 2), b=("old", 1))),
    # The same value on both sides is no conflict, whatever the stamps.
    "a larger stamp over an equal value is stored": (
        LWW,
        v(a=("x", 2)),
        c(a=("x", 3), base=BASED),
        APPLIED,
        "a",
        {},
        v(a=("x", 3)),
    ),
    "a smaller stamp over an equal value is stale": (LWW, v(a=("x", 3)), c(a=("x", 2), base=BASED), STALE, "", {}, None),
    "1 over 1.0 is equal": (LWW, v(a=(1.0, 2)), c(a=(1, 3), base=BASED), APPLIED, "a", {}, v(a=(1, 3))),
    "true over 1 is not": (LWW, v(a=(1, 2)), c(a=(True, 3), base=BASED), APPLIED, "a", {"a": "incoming"}, v(a=(True, 3))),
    "0 over false is not": (LWW, v(a=(False, 2)), c(a=(0, 3), base=BASED), APPLIED, "a", {"a": "incoming"}, v(a=(0, 3))),
    # Equal stamps: a repeat, or a coarse clock, where the larger JSON wins.
    "a repeat": (LWW, v(a=("x", 2)), c(a=("x", 2), base=BASED), UNCHANGED, "", {}, None),
    "a repeat of two fields": (LWW, v(a=("x", 2), b=("y", 3)), c(a=("x", 2), b=("y", 3), base=BASED), UNCHANGED, "", {}, None),
    "a repeat of which one field was overtaken": (
        LWW,
        v(a=("x", 2), b=("y", 4)),
        c(a=("x", 2), b=("x", 3), base={"b": 4}),
        STALE,
        "",
        {},
        None,
    ),
    "1 is a repeat of 1.0": (LWW, v(a=(1.0, 2)), c(a=(1, 2), base=BASED), UNCHANGED, "", {}, None),
    "equal stamps, theirs larger": (
        LWW,
        v(a=("m", 2)),
        c(a=("t", 2), base=BASED),
        APPLIED,
        "a",
        {"a": "incoming"},
        v(a=("t", 2)),
    ),
    "equal stamps, mine larger": (LWW, v(a=("t", 2)), c(a=("m", 2), base=BASED), STALE, "", {"a": "local"}, None),
    "equal stamps, true against 1": (LWW, v(a=(True, 2)), c(a=(1, 2), base=BASED), STALE, "", {"a": "local"}, None),
    "equal stamps are a conflict even if seen": (
        LWW,
        v(a=("m", 2)),
        c(a=("t", 2), base={"a": 2}),
        APPLIED,
        "a",
        {"a": "incoming"},
        v(a=("t", 2)),
    ),
    # A create.
    "a create of what is not here": (
        LWW,
        v(),
        c(a=("new", 2), b=(None, 2), base={"a": None, "b": None}, action=Action.CREATE),
        APPLIED,
        "ab",
        {},
        v(a=("new", 2), b=(None, 2)),
    ),
    "create and create, theirs later": (
        LWW,
        v(a=("mine", 1), b=("x", 1)),
        c(a=("theirs", 2), b=("x", 2), base={"a": None, "b": None}),
        APPLIED,
        "ab",
        {"a": "incoming"},
        v(a=("theirs", 2), b=("x", 2)),
    ),
    "create and create, mine later": (
        LWW,
        v(a=("mine", 2), b=("x", 2)),
        c(a=("theirs", 1), b=("x", 1), base={"a": None, "b": None}),
        STALE,
        "",
        {"a": "local"},
        None,
    ),
    # A delete meets a live record.
    "a delete of what was seen": (
        LWW,
        HERE,
        c(deleted=2, deleted_base={"a": 1, "b": 1}),
        APPLIED,
        "",
        {},
        v(a=("old", 1), b=("old", 1), deleted=2),
    ),
    "a delete over an unseen edit": (
        LWW,
        v(a=("mine", 2), b=("old", 1)),
        c(deleted=3, deleted_base={"a": 1, "b": 1}),
        APPLIED,
        "",
        {"a": "incoming"},
        v(a=("mine", 2), b=("old", 1), deleted=3),
    ),
    "a delete over an unseen clearing loses no value": (
        LWW,
        v(a=(None, 2)),
        c(deleted=3, deleted_base=BASED),
        APPLIED,
        "",
        {},
        v(a=(None, 2), deleted=3),
    ),
    "a delete beaten by an unseen edit": (
        LWW,
        v(a=("mine", 3), b=("old", 1)),
        c(deleted=2, deleted_base={"a": 1, "b": 1}),
        STALE,
        "",
        {"a": "local"},
        None,
    ),
    "a delete beaten by an edit that was seen": (LWW, v(a=("mine", 3)), c(deleted=2, deleted_base={"a": 3}), STALE, "", {}, None),
    "a delete as late as an unseen edit": (
        LWW,
        v(a=("mine", 2)),
        c(deleted=2, deleted_base=BASED),
        STALE,
        "",
        {"a": "local"},
        None,
    ),
    "a delete that knows nothing of the record": (
        LWW,
        HERE,
        c(deleted=2),
        APPLIED,
        "",
        {"a": "incoming", "b": "incoming"},
        v(a=("old", 1), b=("old", 1), deleted=2),
    ),
    "a delete of an unknown key": (LWW, v(), c(deleted=2), APPLIED, "", {}, v(deleted=2)),
    # A delete meets a tombstone.
    "delete and delete, theirs later": (
        LWW,
        v(a=("old", 1), deleted=2),
        c(deleted=3, deleted_base=BASED),
        APPLIED,
        "",
        {},
        v(a=("old", 1), deleted=3),
    ),
    "delete and delete, mine later": (LWW, v(a=("old", 1), deleted=3), c(deleted=2, deleted_base=BASED), STALE, "", {}, None),
    "a repeat of a delete": (LWW, v(a=("old", 1), deleted=2), c(deleted=2, deleted_base=BASED), UNCHANGED, "", {}, None),
    "a repeat of a delete of an unknown key": (LWW, v(deleted=2), c(deleted=2), UNCHANGED, "", {}, None),
    "delete and delete, of what was edited before, are no conflict": (
        LWW,
        v(a=("old", 1), deleted=3),
        c(a=("theirs", 2), base=BASED, deleted=4, deleted_base={"a": 2}),
        APPLIED,
        "",
        {},
        v(a=("theirs", 2), deleted=4),
    ),
    # An edit meets a tombstone.
    "an older edit is taken, and stays hidden": (
        LWW,
        v(a=("old", 1), deleted=3),
        c(a=("theirs", 2), base=BASED),
        STALE,
        "",
        {"a": "local"},
        v(a=("theirs", 2), deleted=3),
    ),
    "one whose author had seen neither value nor delete": (
        LWW,
        v(a=("mine", 2), deleted=4),
        c(a=("theirs", 3), base=BASED),
        STALE,
        "",
        {"a": "local"},
        v(a=("theirs", 3), deleted=4),
    ),
    "one that is older than what is hidden": (
        LWW,
        v(a=("mine", 3), deleted=4),
        c(a=("theirs", 2), base=BASED),
        STALE,
        "",
        {"a": "local"},
        None,
    ),
    "one that was made on top of a delete that is older": (
        LWW,
        v(a=("old", 1), deleted=4),
        c(a=("theirs", 3), base={"a": 2}),
        STALE,
        "",
        {"a": "local"},
        v(a=("theirs", 3), deleted=4),
    ),
    "a repeat of a hidden one": (LWW, v(a=("x", 2), deleted=3), c(a=("x", 2), base=BASED), UNCHANGED, "", {}, None),
    "a hidden clearing loses nothing": (
        LWW,
        v(a=("mine", 1), deleted=3),
        c(a=(None, 2), base={}),
        STALE,
        "",
        {},
        v(a=(None, 2), deleted=3),
    ),
    "an edit on top of the delete revives": (
        LWW,
        v(a=("old", 1), b=("old", 1), deleted=2),
        c(a=("new", 3), base={"a": 2}),
        APPLIED,
        "a",
        {},
        v(a=("new", 3), b=("old", 1)),
    ),
    "an edit that had not seen the delete revives, and beats it": (
        LWW,
        v(a=("old", 1), deleted=2),
        c(a=("theirs", 3), base={"a": None}),
        APPLIED,
        "a",
        {"a": "incoming"},
        v(a=("theirs", 3)),
    ),
    "an edit of a field that the tombstone lacks": (
        LWW,
        v(deleted=2),
        c(a=("theirs", 3), base={"a": 2}),
        APPLIED,
        "a",
        {},
        v(a=("theirs", 3)),
    ),
    "a create anew inherits nothing": (
        LWW,
        v(a=("old", 1), b=("old", 1), deleted=2),
        c(a=("new", 3), b=(None, 3), base={"a": 2, "b": 2}, action=Action.CREATE),
        APPLIED,
        "ab",
        {},
        v(a=("new", 3), b=(None, 3)),
    ),
    # A collapsed change carries both.
    "an edit and then a delete": (
        LWW,
        HERE,
        c(a=("new", 2), base=BASED, deleted=3, deleted_base={"a": 2, "b": 1}),
        APPLIED,
        "",
        {},
        v(a=("new", 2), b=("old", 1), deleted=3),
    ),
    "and the field was edited here too": (
        LWW,
        v(a=("mine", 2), b=("old", 1)),
        c(a=("theirs", 3), base=BASED, deleted=4, deleted_base={"a": 3, "b": 1}),
        APPLIED,
        "",
        {"a": "incoming"},
        v(a=("theirs", 3), b=("old", 1), deleted=4),
    ),
    "and another field was edited here": (
        LWW,
        v(a=("old", 1), b=("mine", 2)),
        c(a=("theirs", 3), base=BASED, deleted=4, deleted_base={"a": 3, "b": 1}),
        APPLIED,
        "",
        {"b": "incoming"},
        v(a=("theirs", 3), b=("mine", 2), deleted=4),
    ),
    "and another was edited here later": (
        LWW,
        v(a=("old", 1), b=("mine", 5)),
        c(a=("theirs", 3), base=BASED, deleted=4, deleted_base={"a": 3, "b": 1}),
        APPLIED,
        "a",
        {"b": "local"},
        v(a=("theirs", 3), b=("mine", 5)),
    ),
    "a delete and then an edit": (
        LWW,
        HERE,
        c(a=("new", 3), base=BASED, deleted=2, deleted_base={"a": 1, "b": 1}),
        APPLIED,
        "a",
        {},
        v(a=("new", 3), b=("old", 1)),
    ),
    "its repeat": (
        LWW,
        v(a=("new", 3), b=("old", 1)),
        c(a=("new", 3), base=BASED, deleted=2, deleted_base={"a": 1, "b": 1}),
        UNCHANGED,
        "",
        {},
        None,
    ),
    "a delete and then an edit, over a tombstone that neither had seen": (
        LWW,
        v(a=("old", 1), deleted=2),
        c(a=("new", 4), base={"a": 1}, deleted=3, deleted_base={"a": 1}),
        APPLIED,
        "a",
        {"a": "incoming"},
        v(a=("new", 4)),
    ),
    # if-unchanged: all of it as a fast-forward, or nothing.
    "unchanged: a fast-forward": (
        IF_UNCHANGED,
        HERE,
        c(a=("new", 2), base=BASED),
        APPLIED,
        "a",
        {},
        v(a=("new", 2), b=("old", 1)),
    ),
    "unchanged: a repeat": (IF_UNCHANGED, v(a=("x", 2)), c(a=("x", 2), base=BASED), UNCHANGED, "", {}, None),
    "unchanged: an edit was made here, though earlier": (
        IF_UNCHANGED,
        v(a=("mine", 2)),
        c(a=("theirs", 3), base=BASED),
        HELD,
        "",
        {"a": "none"},
        None,
    ),
    "unchanged: an edit was made here, later": (
        IF_UNCHANGED,
        v(a=("mine", 3)),
        c(a=("theirs", 2), base=BASED),
        HELD,
        "",
        {"a": "none"},
        None,
    ),
    "unchanged: one field holds the other back": (
        IF_UNCHANGED,
        v(a=("mine", 2), b=("old", 1)),
        c(a=("theirs", 3), b=("theirs", 3), base={"a": 1, "b": 1}),
        HELD,
        "",
        {"a": "none"},
        None,
    ),
    "unchanged: an edit of another field is nothing to it": (
        IF_UNCHANGED,
        v(a=("old", 1), b=("mine", 2)),
        c(a=("theirs", 3), base=BASED),
        APPLIED,
        "a",
        {},
        v(a=("theirs", 3), b=("mine", 2)),
    ),
    "unchanged: an equal value of another stamp is held, and is no conflict": (
        IF_UNCHANGED,
        v(a=("x", 2)),
        c(a=("x", 3), base=BASED),
        HELD,
        "",
        {},
        None,
    ),
    "unchanged: a new field": (
        IF_UNCHANGED,
        v(b=("old", 1)),
        c(a=("new", 2), base={"a": None}),
        APPLIED,
        "a",
        {},
        v(a=("new", 2), b=("old", 1)),
    ),
    "unchanged: a field that should have been here": (
        IF_UNCHANGED,
        v(b=("old", 1)),
        c(a=("new", 3), base={"a": 2}),
        HELD,
        "",
        {},
        None,
    ),
    "unchanged: a create of what is not here": (
        IF_UNCHANGED,
        v(),
        c(a=("new", 2), base={"a": None}),
        APPLIED,
        "a",
        {},
        v(a=("new", 2)),
    ),
    "unchanged: create and create": (
        IF_UNCHANGED,
        v(a=("mine", 1)),
        c(a=("theirs", 2), base={"a": None}),
        HELD,
        "",
        {"a": "none"},
        None,
    ),
    "unchanged: a delete of what was seen": (
        IF_UNCHANGED,
        HERE,
        c(deleted=2, deleted_base={"a": 1, "b": 1}),
        APPLIED,
        "",
        {},
        v(a=("old", 1), b=("old", 1), deleted=2),
    ),
    "unchanged: a delete of an edited record": (
        IF_UNCHANGED,
        v(a=("old", 1), b=("mine", 2)),
        c(deleted=3, deleted_base={"a": 1, "b": 1}),
        HELD,
        "",
        {"b": "none"},
        None,
    ),
    "unchanged: a delete speaks of every field": (
        IF_UNCHANGED,
        HERE,
        c(deleted=2, deleted_base={"a": 1}),
        HELD,
        "",
        {"b": "none"},
        None,
    ),
    "unchanged: a delete over a tombstone never holds": (
        IF_UNCHANGED,
        v(a=("mine", 2), deleted=3),
        c(deleted=4, deleted_base=BASED),
        APPLIED,
        "",
        {},
        v(a=("mine", 2), deleted=4),
    ),
    "unchanged: its repeat": (IF_UNCHANGED, v(a=("old", 1), deleted=2), c(deleted=2), UNCHANGED, "", {}, None),
    "unchanged: nor does one that carries what it hides": (
        IF_UNCHANGED,
        v(a=("mine", 1), deleted=3),
        c(a=("theirs", 2), base={"a": None}, deleted=4, action=Action.DELETE),
        APPLIED,
        "",
        {},
        v(a=("theirs", 2), deleted=4),
    ),
    "unchanged: a beaten delete speaks of no field": (
        IF_UNCHANGED,
        v(a=("old", 1), b=("mine", 2)),
        c(a=("new", 4), base=BASED, deleted=3, deleted_base={"a": 1, "b": 1}),
        APPLIED,
        "a",
        {},
        v(a=("new", 4), b=("mine", 2)),
    ),
    "unchanged: equal stamps of other values are never seen": (
        IF_UNCHANGED,
        v(a=("mine", 2)),
        c(a=("theirs", 2), base={"a": 2}),
        HELD,
        "",
        {"a": "none"},
        None,
    ),
    "unchanged: an edit on top of the delete": (
        IF_UNCHANGED,
        v(a=("old", 1), deleted=2),
        c(a=("new", 3), base={"a": 2}),
        APPLIED,
        "a",
        {},
        v(a=("new", 3)),
    ),
    "unchanged: a field never held here, over a delete": (
        IF_UNCHANGED,
        v(deleted=2),
        c(a=("new", 3), base={"a": None}),
        APPLIED,
        "a",
        {},
        v(a=("new", 3)),
    ),
    "unchanged: an edit that had seen neither": (
        IF_UNCHANGED,
        v(a=("mine", 2), deleted=3),
        c(a=("theirs", 4), base=BASED),
        HELD,
        "",
        {"a": "none"},
        None,
    ),
}


@pytest.mark.parametrize("mode, local, change, outcome, applied, conflicts, after", DECISIONS.values(), ids=DECISIONS)
def test_a_change_has_one_outcome(mode, local, change, outcome, applied, conflicts, after):
    decision = decide(local, change, mode)
    assert decision.outcome is outcome
    assert decision.applied == tuple(applied)
    assert {each.field: each.winner for each in decision.conflicts} == conflicts
    assert len(decision.conflicts) == len(conflicts), "one conflict per field"
    assert decision.version == (local if after is None else after)


@pytest.mark.parametrize("mode, local, change, outcome, applied, conflicts, after", DECISIONS.values(), ids=DECISIONS)
def test_a_change_applied_again_takes_nothing_and_answers_the_same_conflicts_or_fewer(
    mode, local, change, outcome, applied, conflicts, after
):
    held = decide(local, change, mode).version
    again = decide(held, change, mode)
    assert again.version == held
    assert again.applied == ()
    assert again.outcome in {UNCHANGED, STALE, HELD}


# Conflicts name both writes


def test_a_conflict_holds_both_values_both_stamps_and_the_base():
    [conflict] = decide(v(a=("mine", 2)), c(a=("theirs", 3), base=BASED)).conflicts
    assert conflict.id == conflict_id(RECORD, "a", at(2), at(3))
    assert (conflict.record, conflict.field, conflict.base) == (RECORD, "a", at(1))
    assert (conflict.local, conflict.incoming) == (Value("mine", at(2)), Value("theirs", at(3)))


def test_a_conflict_with_a_delete_has_its_bare_stamp():
    [conflict] = decide(v(a=("mine", 2)), c(deleted=3, deleted_base=BASED)).conflicts
    assert (conflict.local, conflict.incoming, conflict.base) == (Value("mine", at(2)), at(3), at(1))

    [conflict] = decide(v(a=("old", 1), deleted=2), c(a=("theirs", 3), base=BASED)).conflicts
    assert (conflict.local, conflict.incoming, conflict.base) == (at(2), Value("theirs", at(3)), at(1))


def test_a_conflict_over_a_tombstone_is_with_the_hidden_value_if_that_had_not_been_seen():
    [conflict] = decide(v(a=("old", 1), deleted=2), c(a=("theirs", 3), base={"a": None})).conflicts
    assert (conflict.local, conflict.incoming, conflict.winner) == (Value("old", at(1)), Value("theirs", at(3)), "incoming")


def test_both_directions_find_one_conflict_and_agree_on_the_winner():
    mine, theirs = c(a=("mine", 2), base=BASED), c(a=("theirs", 3), base=BASED)
    [here] = decide(v(a=("mine", 2)), theirs).conflicts
    [there] = decide(v(a=("theirs", 3)), mine).conflicts
    assert here.id == there.id
    assert (here.winner, there.winner) == ("incoming", "local")


def test_an_edit_that_was_deleted_and_an_edit_are_one_conflict_in_both_directions():
    deleted = c(a=("mine", 2), base=BASED, deleted=4, deleted_base={"a": 2})
    [here] = decide(v(a=("theirs", 3)), deleted).conflicts
    [there] = decide(v(a=("mine", 2), deleted=4), c(a=("theirs", 3), base=BASED)).conflicts
    assert here.id == there.id
    assert there.winner == "local", "the tombstone stands"


def test_an_edit_and_a_delete_of_it_are_one_conflict_in_both_directions():
    edit, delete = c(a=("mine", 3), base=BASED), c(deleted=2, deleted_base=BASED)
    [here] = decide(v(a=("mine", 3)), delete).conflicts
    [there] = decide(v(a=("old", 1), deleted=2), edit).conflicts
    assert here.id == there.id
    assert (here.winner, there.winner) == ("local", "incoming")


# No value is lost without a word: the same, over all small cases

bases = st.dictionaries(st.sampled_from("abc"), st.none() | stamps)
deleted_bases = st.dictionaries(st.sampled_from("abc"), stamps)
some_change = st.builds(
    Change, st.just("c"), st.just(RECORD), st.just(Action.UPDATE), contents, bases, st.none() | stamps, deleted_bases
)


@QUICK
@given(versions, some_change.filter(lambda change: change.stamps))
def test_what_is_held_afterwards_is_the_merge(local, change):
    assert decide(local, change).version == merge(local, Version(change.fields, change.deleted))


@QUICK
@given(versions, some_change.filter(lambda change: change.stamps))
def test_a_value_overwritten_unseen_is_in_a_conflict(local, change):
    reported = {(each.field, side_stamp(each.local), side_stamp(each.incoming)) for each in decide(local, change).conflicts}
    for name, incoming in change.fields.items():
        held = local.fields.get(name)
        if local.deleted is None and held and not same(held.value, incoming.value) and change.base.get(name) != held.stamp:
            assert (name, held.stamp, incoming.stamp) in reported


@QUICK
@given(versions, some_change.filter(lambda change: change.stamps))
def test_a_value_deleted_unseen_is_in_a_conflict(local, change):
    decision = decide(local, change)
    if local.deleted is None and decision.version.deleted is not None:
        reported = {each.field for each in decision.conflicts}
        for name, held in local.fields.items():
            seen = change.deleted_base.get(name) == held.stamp or name in change.fields
            assert seen or held.value is None or name in reported


@QUICK
@given(versions, some_change.filter(lambda change: change.stamps), st.sampled_from(Mode))
def test_a_decision_repeated_is_idle(local, change, mode):
    held = decide(local, change, mode).version
    again = decide(held, change, mode)
    assert (again.version, again.applied) == (held, ())
    assert again.outcome is not Outcome.APPLIED


@QUICK
@given(versions, some_change.filter(lambda change: change.stamps))
def test_a_held_change_changes_nothing_and_every_conflict_in_it_is_open(local, change):
    decision = decide(local, change, IF_UNCHANGED)
    if decision.outcome is HELD:
        assert decision.version is local
        assert {each.winner for each in decision.conflicts} <= {"none"}
    else:
        assert decision.version == merge(local, Version(change.fields, change.deleted))
