"""Stamps: text of a fixed width whose order is the order of writes."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.model import (
    TICK,
    Action,
    Change,
    RecordId,
    Stamp,
    Value,
    Version,
    instant,
    parse_instant,
    parse_stamp,
    side_stamp,
    stamp_after,
    stamp_at,
    stamp_time,
)

QUICK = settings(derandomize=True, database=None, deadline=None)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
RECORD = RecordId("member", "1")

# A year's room on either side, so that neither a zone nor a tick leads out of the calendar.
zones = st.integers(-720, 720).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones)  # noqa: DTZ001  # as Hypothesis wants them
origins = st.from_regex(r"[a-z0-9_-]{1,32}", fullmatch=True)


def test_a_naive_time_is_refused():
    with pytest.raises(ValueError, match="without a zone"):
        stamp_at(NOON.replace(tzinfo=None), "django")
    with pytest.raises(ValueError, match="without a zone"):
        instant(NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match="no zone"):
        parse_instant("2026-11-22T12:00:00")
    with pytest.raises(ValueError, match="without a zone"):
        stamp_after(NOON.replace(tzinfo=None), "django", [])


@pytest.mark.parametrize(
    "when, text",
    [
        pytest.param(NOON, "2026-11-22T12:00:00.000000Z", id="always six decimals"),
        pytest.param(NOON + TICK, "2026-11-22T12:00:00.000001Z", id="microseconds"),
        pytest.param(NOON.astimezone(timezone(timedelta(hours=-5))), "2026-11-22T12:00:00.000000Z", id="always UTC"),
        pytest.param(datetime(476, 9, 4, tzinfo=UTC), "0476-09-04T00:00:00.000000Z", id="always four digits of a year"),
    ],
)
def test_a_time_has_one_form(when, text):
    assert instant(when) == text
    assert parse_instant(text) == when
    assert parse_instant(text).tzinfo is UTC


@QUICK
@given(times, origins)
def test_a_stamp_can_be_read_back(when, origin):
    stamp = stamp_at(when, origin)
    assert parse_stamp(stamp) == stamp
    assert stamp_time(stamp) == when
    assert stamp_time(stamp).utcoffset() == timedelta(0)
    assert len(stamp) == len("2026-11-22T03:10:56.123456Z|") + len(origin)


@QUICK
@given(times, times)
def test_the_order_of_stamps_is_the_order_of_writes(one, other):
    assert (stamp_at(one, "django") < stamp_at(other, "django")) is (one < other)


@QUICK
@given(times, origins, origins)
def test_of_two_writes_at_one_moment_the_peers_name_decides(when, one, other):
    assert (stamp_at(when, one) < stamp_at(when, other)) is (one < other)


@QUICK
@given(times, times, origins, origins)
def test_an_earlier_write_has_the_smaller_stamp_whatever_the_peers_are_called(one, other, first, second):
    if one < other:
        assert stamp_at(one, first) < stamp_at(other, second)


@QUICK
@given(times, st.lists(st.builds(stamp_at, times, origins), max_size=4), origins)
def test_an_edit_is_later_than_all_that_its_author_saw(when, seen, origin):
    stamp = stamp_after(when, origin, seen)
    assert all(stamp > each for each in seen)
    assert stamp_time(stamp) >= when
    assert stamp_time(stamp) in {when, *(stamp_time(each) + TICK for each in seen)}


AFTER = {
    "nothing seen": ([], NOON),
    "an older write seen": ([NOON - TICK], NOON),
    "a write of this very moment": ([NOON], NOON + TICK),
    "a write of a clock that is ahead": ([NOON + timedelta(hours=1)], NOON + timedelta(hours=1) + TICK),
    "the latest of many counts": ([NOON + TICK, NOON - TICK], NOON + 2 * TICK),
}


@pytest.mark.parametrize("seen, expected", AFTER.values(), ids=AFTER)
def test_an_edit_is_stamped_when_it_was_made_or_just_after_what_it_replaced(seen, expected):
    assert stamp_after(NOON, "django", [stamp_at(each, "zulu") for each in seen]) == stamp_at(expected, "django")


NO_STAMPS = {
    "nothing": "",
    "no text": 5,
    "null": None,
    "no origin": "2026-11-22T12:00:00.000000Z|",
    "no bar": "2026-11-22T12:00:00.000000Z",
    "no microseconds": "2026-11-22T12:00:00Z|django",
    "three decimals": "2026-11-22T12:00:00.000Z|django",
    "another zone": "2026-11-22T12:00:00.000000+00:00|django",
    "a blank for the T": "2026-11-22 12:00:00.000000Z|django",
    "no day of the calendar": "2026-02-30T12:00:00.000000Z|django",
    "no hour of the day": "2026-11-22T24:00:00.000001Z|django",
    "capitals": "2026-11-22T12:00:00.000000Z|Django",
    "a long origin": "2026-11-22T12:00:00.000000Z|" + "d" * 33,
    "a line break after it": "2026-11-22T12:00:00.000000Z|django\n",
    "digits of another script": "２０２６-11-22T12:00:00.000000Z|django",
}


@pytest.mark.parametrize("text", NO_STAMPS.values(), ids=NO_STAMPS)
def test_what_is_no_stamp_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011  # whichever of the two checks it fails
        parse_stamp(text)


def at(seconds):
    return stamp_at(NOON + timedelta(seconds=seconds), "django")


def a_change(fields, deleted=None):
    return Change("c", RECORD, Action.UPDATE, {name: Value(1, stamp) for name, stamp in fields.items()}, deleted=deleted)


DELETES = {
    "no delete": ({"a": at(1)}, None, False),
    "nothing but a delete": ({}, at(1), True),
    "later than its fields": ({"a": at(1), "b": at(2)}, at(3), True),
    "between its fields": ({"a": at(1), "b": at(3)}, at(2), False),
    "as late as a field": ({"a": at(1)}, at(1), False),
}


@pytest.mark.parametrize("fields, deleted, stands", DELETES.values(), ids=DELETES)
def test_a_delete_stands_while_it_is_later_than_all_fields(fields, deleted, stands):
    assert a_change(fields, deleted).deletes is stands


def test_a_change_is_as_late_as_the_latest_stamp_in_it():
    assert a_change({"a": at(1), "b": at(3)}, at(2)).latest == at(3)
    assert a_change({"a": at(1)}, at(2)).latest == at(2)


def test_a_version_is_known_by_its_fields_or_its_delete():
    assert not Version().known
    assert Version({"a": Value(None, at(1))}).known
    assert Version(deleted=at(1)).known


def test_a_side_of_a_conflict_is_a_write_or_a_bare_delete():
    assert side_stamp(Value(1, at(1))) == side_stamp(Stamp(at(1))) == at(1)
