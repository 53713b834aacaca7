"""The pure rules: canonical JSON, stamps, merging, declarations."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from calls import MEMBER, at
from hypothesis import given
from hypothesis import strategies as st
from syncqueue.canonical import NotJson, canonical, fingerprint
from syncqueue.declarations import read_declarations
from syncqueue.merge import decide
from syncqueue.stamps import is_stamp, local_stamp
from syncqueue.versions import Change, Held, Refused

FIELDS = ["a", "b"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, False, None]}, '{"a":[true,false,null],"b":1}'),
        (1.0, "1"),
        (-0.0, "0"),
        (0.5, "0.5"),
        (1e21, "1000000000000000000000"),
        (10**30, "1" + "0" * 30),
        (1e-6, "0.000001"),
        (-1.5e-5, "-0.000015"),
        (1.5e-7, "1.5e-7"),
        (1e-10, "1e-10"),
        ('é\u2028\x1f"\\\x7f', '"é\u2028\\u001f\\"\\\\\x7f"'),
        ({"\U0001f600": 1, "\uffff": 2}, '{"\uffff":2,"\U0001f600":1}'),  # by UTF-8 bytes, not by UTF-16 units
        ("e\u0301", '"e\u0301"'),  # no normalisation
    ],
)
def test_canonical_json(value: Any, text: str) -> None:
    assert canonical(value).decode() == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**309, "\ud800", {"\udc00": 1}, {1: 2}, {1, 2}, b"x"])
def test_what_is_no_json_has_no_canonical_form(value: Any) -> None:
    with pytest.raises(NotJson):
        canonical(value)


@given(st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer()))
def test_fractions_are_written_as_ecmascript_does(number: float) -> None:
    assert canonical(number) == rfc8785.dumps(number)


def test_equal_values_have_one_fingerprint() -> None:
    assert fingerprint({"a": 1.0, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert len(fingerprint(None)) == 16


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (at(1), True),
        ("2024-02-29T23:59:59.999999Z|a_b-1", True),
        ("2023-02-29T23:59:59.999999Z|a", False),
        ("2023-02-28T24:00:00.000000Z|a", False),
        ("2023-02-28T23:59:60.000000Z|a", False),
        ("2023-02-28T23:59:59.00000Z|a", False),
        ("2023-02-28T23:59:59.000000Z|A", False),
        ("2023-02-28T23:59:59.000000Z|" + "a" * 33, False),
        ("2023-02-28T23:59:59.000000Z|a\n", False),
        (None, False),
    ],
)
def test_a_stamp_has_one_form_and_is_a_real_date(text: Any, good: bool) -> None:
    assert is_stamp(text) == good


def test_a_local_stamp_is_later_than_all_it_was_made_on() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert local_stamp(now, "d", []) == "2026-01-01T00:00:00.000000Z|d"
    assert local_stamp(now, "d", ["2025-01-01T00:00:00.000000Z|z"]) == "2026-01-01T00:00:00.000000Z|d"
    assert local_stamp(now, "d", ["2026-01-01T00:00:00.000000Z|z"]) == "2026-01-01T00:00:00.000001Z|d"


def incoming(number: int) -> st.SearchStrategy[Change]:
    """Return changes of a record with fields a and b; the value of a field at a stamp is fixed, save at one."""
    second = st.integers(1, 6)
    fields = st.dictionaries(st.sampled_from(FIELDS), second, min_size=0)
    return st.builds(_change, st.just(number), fields, st.none() | second, st.integers(0, 1))


def _change(number: int, stamped: dict[str, int], deleted: int | None, twist: int) -> Change:
    stamps = {name: at(second) for name, second in stamped.items()}
    fields = {name: f"{second}{twist if second == 3 else ''}" for name, second in stamped.items()}
    latest = max([*stamps.values(), at(deleted) if deleted else ""], default="") or at(1)
    gone = at(deleted + 0.5) if deleted else None
    return Change(f"c{number}", "e", "", "k", "update", fields, latest, stamps, gone, {}, {})


@given(st.lists(st.integers(0, 99).flatmap(incoming), min_size=1, max_size=6), st.randoms())
def test_any_order_and_repetition_gives_the_same_state(changes: list[Change], chance: random.Random) -> None:
    start = Held(dict.fromkeys(FIELDS, at(0)), dict.fromkeys(FIELDS, "0"))
    shuffled = changes + chance.choices(changes, k=3)
    chance.shuffle(shuffled)
    assert _merged(start, changes) == _merged(start, shuffled)


def _merged(held: Held, changes: list[Change]) -> Held:
    for change in changes:
        held = decide(held, change, "lww", FIELDS).held
    again = [decide(held, change, "lww", FIELDS) for change in changes]
    assert all(one.outcome in ("unchanged", "stale") and one.held == held for one in again)
    return held


@given(st.lists(st.integers(0, 99).flatmap(incoming), min_size=1, max_size=5))
def test_no_value_is_lost_without_a_later_write_or_a_conflict(changes: list[Change]) -> None:
    held = Held(dict.fromkeys(FIELDS, at(0)), dict.fromkeys(FIELDS, "0"))
    kept: set[tuple[str, str, Any]] = set()
    for change in changes:
        decision = decide(held, change, "lww", FIELDS)
        for conflict in decision.conflicts:
            kept |= {(conflict.field, side.stamp, side.value) for side in (conflict.local, conflict.incoming)}
        for name, value in change.fields.items():
            stamp = change.stamp_of(name)
            survives = decision.held.stamps[name] == stamp and (decision.held.values or {})[name] == value
            same_value = (decision.held.values or {}).get(name) == value
            assert survives or same_value or (name, stamp, value) in kept
        held = decision.held


def test_whatever_would_live_without_its_values_is_incomplete() -> None:
    gone = Held({"a": at(3)}, None, at(5))
    for fields, second in (({"a": 1}, 6), ({"b": 1}, 6)):
        with pytest.raises(Refused, match="whole record"):
            decide(gone, Change("c", "e", "", "k", "create", fields, at(second), {}, None, {}, {}), "lww", FIELDS)
    stale = decide(gone, Change("c", "e", "", "k", "update", {"a": 1}, at(4), {}, None, {}, {}), "lww", FIELDS)
    assert (stale.outcome, stale.held.values) == ("stale", None)
    whole = Change("c", "e", "", "k", "create", {"a": 1, "b": 2}, at(6), {}, None, {}, {})
    assert decide(gone, whole, "lww", FIELDS).held == Held({"a": at(6), "b": at(6)}, {"a": 1, "b": 2})


MEMBERS = {"entity": "member", "model": "members.Member", "key": "national_id", "fields": ["name"]}


@pytest.mark.parametrize(
    ("declared", "place"),
    [
        (None, "SYNC_QUEUE"),
        ({"origin": "django"}, "SYNC_QUEUE"),
        ({"origin": "Dj!", "entities": []}, "SYNC_QUEUE.origin"),
        (MEMBERS | {"model": "members.Ghost"}, "entities[0].model"),
        (MEMBERS | {"model": "nothing"}, "entities[0].model"),
        (MEMBERS | {"key": "ghost"}, "entities[0].key"),
        (MEMBERS | {"key": "name"}, "entities[0].key"),
        (MEMBERS | {"key": "email"}, "entities[0].key"),
        (MEMBERS | {"key": "birth_date"}, "entities[0].key"),
        (MEMBERS | {"tenant": "email"}, "entities[0].tenant"),
        (MEMBERS | {"fields": []}, "entities[0].fields"),
        (MEMBERS | {"fields": ["ghost"]}, "entities[0].fields.ghost"),
        (MEMBERS | {"fields": ["national_id"]}, "entities[0].fields.national_id"),
        (MEMBERS | {"fields": ["branch"]}, "member.branch"),
        (MEMBERS | {"more": 1}, "entities[0]"),
        ({"entity": "user", "model": "auth.User", "key": "username", "fields": ["groups"]}, "user.groups"),
        (
            {"entity": "log", "model": "admin.LogEntry", "key": "id", "fields": ["action_time", "content_type"]},
            "log.content_type",
        ),
    ],
)
def test_a_wrong_declaration_is_told_with_its_place_and_what_is_valid(declared: Any, place: str) -> None:
    whole = (
        declared
        if declared is None or "entities" in declared or "origin" in declared
        else {"origin": "d", "entities": [declared]}
    )
    problems = read_declarations(whole).problems
    assert any(where.endswith(place) and what for where, what in problems), problems


def test_every_problem_is_told_at_once() -> None:
    broken = {"origin": "", "entities": [MEMBERS | {"key": "ghost", "fields": ["x", "y"]}, {}, MEMBERS, MEMBERS]}
    assert len(read_declarations(broken).problems) == 6


def test_the_demo_declares_every_field_of_a_member(client: Any) -> None:
    from syncqueue.registry import registry

    assert list(registry().entities)[:4] == ["branch", "interest", "member", "event"]
    assert set(registry().entities["member"].names) == set(MEMBER)
