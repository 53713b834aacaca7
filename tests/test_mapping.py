"""How a record looks in Firestore and how it travels: names that can always be read back, values that lose nothing."""

import json
import math
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from shared.canonical import canonical, same
from shared.errors import TerminalRecord
from shared.mapping import Entity, Field, Type
from shared.model import RecordId
from shared.naming import document_id, key_of, state_id
from shared.native import GeoPoint, Reference, loaded, plain, storable, stored

QUICK = settings(derandomize=True, database=None, deadline=None)

MEMBERS = Entity("member", "members", (Field("birth_date", Type.DATE, "birthDate"), Field("name", Type.TEXT, "name")))
PUPILS = Entity("pupil", "schools/{tenant}/pupils", (Field("name", Type.TEXT, "name"),))


def a_field(type, **more):
    return Field("fee", type, "fee", **more)


# Names of documents

NAMES = {
    "a plain key stays": ("1203894569", "1203894569"),
    "letters of any language stay": ("Þórður 🎉", "Þórður 🎉"),
    "a slash": ("a/b", "a%2Fb"),
    "nothing but a slash": ("/", "%2F"),
    "a percent sign that hides no slash stays": ("100%", "100%"),
    "an escape that was there before": ("a%2Fb", "a%252Fb"),
    "an escaped escape": ("a%252Fb", "a%25252Fb"),
    "lower case is no escape": ("a%2fb", "a%2fb"),
    "%25 alone is no escape": ("a%25b", "a%25b"),
    "a dot": (".", "%."),
    "two dots": ("..", "%.."),
    "three dots are allowed": ("...", "..."),
    "a name that Firestore keeps": ("__id7__", "%__id7__"),
    "the shortest of them": ("____", "%____"),
    "one that is none": ("__id7_", "__id7_"),
    "one over two lines": ("__a\nb__", "%__a\nb__"),
    "one with a slash in it": ("__/__", "%__%2F__"),
    "a reserved name with a percent sign before it": ("%__id7__", "%%__id7__"),
    "a dot with percent signs": ("%%.", "%%%."),
}


@pytest.mark.parametrize("key, id", NAMES.values(), ids=NAMES)
def test_a_key_has_one_document_name(key, id):
    assert document_id(key) == id
    assert key_of(id) == key


def a_name(text):
    """Whether Firestore takes it as the name of a document."""
    return 0 < len(text.encode()) <= 1500 and "/" not in text and not re.fullmatch(r"\.|\.\.|__.*__", text, re.DOTALL)


tricky = st.lists(st.sampled_from(["/", "%", "2F", "25", "%2F", "%25", ".", "__", "_", "a", "é"]), min_size=1, max_size=8).map(
    "".join
)
keys = st.text(min_size=1, max_size=60) | tricky


@QUICK
@given(keys)
def test_every_key_becomes_a_name_and_comes_back(key):
    assert a_name(document_id(key))
    assert key_of(document_id(key)) == key


@QUICK
@given(keys.filter(a_name))
def test_every_document_that_was_there_before_keeps_its_name(id):
    assert document_id(key_of(id)) == id


@QUICK
@given(keys, keys)
def test_two_keys_never_share_a_document(one, other):
    assume(one != other)
    assert document_id(one) != document_id(other)


LENGTHS = {
    "empty": ("", False),
    "1500 bytes": ("a" * 1500, True),
    "1501 bytes": ("a" * 1501, False),
    "bytes count, not letters": ("é" * 751, False),
    "slashes grow": ("/" * 500, True),
    "slashes grow too much": ("/" * 501, False),
}


@pytest.mark.parametrize("key, fits", LENGTHS.values(), ids=LENGTHS)
def test_a_key_that_no_document_can_have_is_refused(key, fits):
    if fits:
        assert len(document_id(key).encode()) == 1500
    else:
        with pytest.raises(TerminalRecord, match="1 to 1500 bytes") as refused:
            document_id(key)
        assert refused.value.code == "not-representable"


def test_a_key_with_half_a_surrogate_pair_is_refused_as_that_records_own_fault():
    with pytest.raises(TerminalRecord) as refused:
        MEMBERS.path(RecordId("member", "a\ud83c"))
    assert refused.value.code == "not-representable"


@QUICK
@given(st.lists(st.text(max_size=8) | st.none(), min_size=1, max_size=3))
def test_an_entry_of_the_syncs_own_has_a_readable_name(parts):
    named = [part for part in parts if part]
    id = state_id(*parts, at="2026-11-22T03:10:56.123456Z")
    assert "/" not in id
    assert id.count(":") == len(named) + 2, "one after each part, two in the time"


def test_entries_of_other_records_have_other_names():
    ids = [
        state_id(*parts)
        for parts in (("a", "b"), ("a:b",), ("a%3Ab",), ("a/b",), ("a%2Fb",), (None, "a", "b", "c"), ("a", "b:c"))
    ]
    assert len(set(ids)) == len(ids)


# Paths of records

PATHS = {
    "without a tenant": (MEMBERS, RecordId("member", "a/b"), "members/a%2Fb"),
    "with one": (PUPILS, RecordId("pupil", "7", "north"), "schools/north/pupils/7"),
    "with one that must be escaped": (PUPILS, RecordId("pupil", "..", "a/b"), "schools/a%2Fb/pupils/%.."),
    "with braces in it": (PUPILS, RecordId("pupil", "{tenant}", "{x}"), "schools/{x}/pupils/{tenant}"),
}


@pytest.mark.parametrize("entity, record, path", PATHS.values(), ids=PATHS)
def test_a_record_has_one_path(entity, record, path):
    assert entity.path(record) == path
    assert entity.record(path) == record


@QUICK
@given(keys, keys)
def test_every_record_is_found_again_by_its_path(tenant, key):
    record = RecordId("pupil", key, tenant)
    assert PUPILS.record(PUPILS.path(record)) == record


@pytest.mark.parametrize(
    "entity, path",
    [
        pytest.param(MEMBERS, "branches/north", id="another collection"),
        pytest.param(MEMBERS, "members/1/notes/2", id="below a member"),
        pytest.param(MEMBERS, "old/1/members/2", id="members of something else"),
        pytest.param(MEMBERS, "members", id="the collection itself"),
        pytest.param(PUPILS, "pupils/7", id="without its tenant"),
        pytest.param(PUPILS, "schools/a/b/pupils/7", id="too deep"),
        pytest.param(Entity("odd", "a.b"), "axb/1", id="a dot is no wildcard"),
    ],
)
def test_a_document_of_another_collection_is_no_record(entity, path):
    assert entity.record(path) is None


@pytest.mark.parametrize("tenant", [None, ""])
def test_a_record_that_lacks_its_tenant_has_no_path(tenant):
    with pytest.raises(TerminalRecord, match="names no tenant") as refused:
        PUPILS.path(RecordId("pupil", "7", tenant))
    assert refused.value.code == "malformed"


def test_a_document_gives_its_synced_fields_by_the_backends_names():
    document = {"birthDate": datetime(1990, 3, 12, tzinfo=UTC), "name": None, "theme": "dark", "_sync": {}}
    assert MEMBERS.to_wire(document, None) == {"birth_date": "1990-03-12"}
    assert MEMBERS.to_native({"birth_date": "1990-03-12", "name": None}, None) == {"birthDate": "1990-03-12", "name": None}
    assert MEMBERS.names == ("birth_date", "name")


# Values

NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
BRANCH = {"to": "branches"}
TENANTED = {"to": "schools/{tenant}/classes"}

ROUND_TRIPS = {
    # type, what Firestore holds, how it travels
    "text": (a_field(Type.TEXT), "Anna", "Anna"),
    "an empty text": (a_field(Type.TEXT), "", ""),
    "an integer": (a_field(Type.INTEGER), -(2**63), -(2**63)),
    "a number": (a_field(Type.NUMBER), 1.5, 1.5),
    "a decimal": (a_field(Type.DECIMAL, places=2), "4900.00", "4900.00"),
    "a negative decimal": (a_field(Type.DECIMAL, places=2), "-0.10", "-0.10"),
    "a decimal without places": (a_field(Type.DECIMAL), "12.3400", "12.3400"),
    "a decimal past a double's precision": (
        a_field(Type.DECIMAL, places=4),
        "12345678901234567890.1234",
        "12345678901234567890.1234",
    ),
    "true": (a_field(Type.BOOLEAN), True, True),
    "false": (a_field(Type.BOOLEAN), False, False),
    "a date": (a_field(Type.DATE), "2026-11-22", "2026-11-22"),
    "a date of the first year": (a_field(Type.DATE), "0001-01-01", "0001-01-01"),
    "a datetime": (a_field(Type.DATETIME), NOON, "2026-11-22T12:00:00.123456Z"),
    "a datetime on the second": (a_field(Type.DATETIME), NOON.replace(microsecond=0), "2026-11-22T12:00:00.000000Z"),
    "a list": (a_field(Type.LIST), [2, 1, 2, {"a": [1]}], [2, 1, 2, {"a": [1]}]),
    "a set": (a_field(Type.SET), ["choir", "swim"], ["choir", "swim"]),
    "a map": (a_field(Type.MAP), {"city": "Reykjavík", "old": None}, {"city": "Reykjavík", "old": None}),
    "any JSON": (a_field(Type.JSON), [{"a": True}, None], [{"a": True}, None]),
    "a reference": (a_field(Type.REFERENCE, **BRANCH), Reference("branches/north"), "north"),
    "a reference to an odd key": (a_field(Type.REFERENCE, **BRANCH), Reference("branches/a%2Fb"), "a/b"),
    "a reference within the tenant": (a_field(Type.REFERENCE, **TENANTED), Reference("schools/t%2F1/classes/7a"), "7a"),
}


@pytest.mark.parametrize("field, native, wire", ROUND_TRIPS.values(), ids=ROUND_TRIPS)
def test_a_value_travels_and_comes_back(field, native, wire):
    assert field.to_wire(native, "t/1") == wire
    written = field.to_native(wire, "t/1")
    assert (written, type(written)) == (native, type(native))


@pytest.mark.parametrize("type", Type)
def test_null_is_null_in_every_type(type):
    assert a_field(type, **BRANCH).to_wire(None, None) is None
    assert a_field(type, **BRANCH).to_native(None, None) is None


EMPTIES = {
    # field, what both sides write where there is nothing
    "a text": (a_field(Type.TEXT, empty=""), ""),
    "a set": (a_field(Type.SET, empty=[]), []),
    "a map": (a_field(Type.MAP, empty={}), {}),
    "an integer": (a_field(Type.INTEGER, empty=0), 0),
    "a boolean": (a_field(Type.BOOLEAN, empty=False), False),
    "a decimal": (a_field(Type.DECIMAL, places=2, empty="0.00"), "0.00"),
}


@pytest.mark.parametrize("field, empty", EMPTIES.values(), ids=EMPTIES)
def test_what_stands_for_nothing_travels_as_null(field, empty):
    assert field.to_native(None, None) == empty
    assert field.to_wire(empty, None) is field.to_wire(None, None) is None
    assert field.at_backend(None) == empty
    assert field.from_backend(empty) is None


def test_only_that_value_stands_for_nothing():
    field, entity = a_field(Type.INTEGER, empty=0), Entity("member", "members", (a_field(Type.SET, empty=[]),))
    assert field.from_backend(False) is False
    assert field.from_backend(0.0) is None, "0 and 0.0 are one value"
    assert field.at_backend(5) == field.from_backend(5) == 5
    assert a_field(Type.TEXT).from_backend("") == "", "where nothing was said, an empty text is one"
    assert (entity.at_backend("fee", None), entity.from_backend("fee", [])) == ([], None)


MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
EAST = timezone(timedelta(hours=2))

READINGS = {
    # a date
    "a timestamp at midnight is that date": (a_field(Type.DATE), MIDNIGHT, "2026-11-22"),
    "midnight is that of UTC": (a_field(Type.DATE), datetime(2026, 11, 22, 2, tzinfo=EAST), "2026-11-22"),
    "a timestamp at noon is no date": (a_field(Type.DATE), NOON, "2026-11-22T12:00:00.123456Z"),
    "a text stays for the other side to judge": (a_field(Type.DATE), "22.11.2026", "22.11.2026"),
    # a datetime
    "a zone is reckoned into UTC": (
        a_field(Type.DATETIME),
        datetime(2026, 11, 22, 14, tzinfo=EAST),
        "2026-11-22T12:00:00.000000Z",
    ),
    "a text with a zone is a time": (a_field(Type.DATETIME), "2026-11-22T14:00:00+02:00", "2026-11-22T12:00:00.000000Z"),
    "a text without a zone is none": (a_field(Type.DATETIME), "2026-11-22T14:00:00", "2026-11-22T14:00:00"),
    "a text out of UTC's years is none": (a_field(Type.DATETIME), "0001-01-01T00:00:00+02:00", "0001-01-01T00:00:00+02:00"),
    # a decimal
    "an integer is exact": (a_field(Type.DECIMAL, places=2), 4900, "4900.00"),
    "an integer past a double": (a_field(Type.DECIMAL, places=2), 2**62 + 1, "4611686018427387905.00"),
    "a float is what it prints as": (a_field(Type.DECIMAL, places=2), 0.1, "0.10"),
    "a float with an exponent": (a_field(Type.DECIMAL, places=2), 1e16, "10000000000000000.00"),
    "a small float": (a_field(Type.DECIMAL, places=7), 1e-7, "0.0000001"),
    "a text with fewer places": (a_field(Type.DECIMAL, places=2), "4900", "4900.00"),
    "a text with zeros too many": (a_field(Type.DECIMAL, places=2), "4900.0000", "4900.00"),
    "a text with an exponent": (a_field(Type.DECIMAL, places=2), "4.9E+3", "4900.00"),
    "minus zero is zero": (a_field(Type.DECIMAL, places=2), "-0.00", "0.00"),
    "no places": (a_field(Type.DECIMAL, places=0), 7.0, "7"),
    "a place too many passes unchanged": (a_field(Type.DECIMAL, places=2), "1.005", "1.005"),
    "a float with a place too many": (a_field(Type.DECIMAL, places=2), 1.005, 1.005),
    "a sum of floats is not rounded": (a_field(Type.DECIMAL, places=2), 0.1 + 0.7, 0.7999999999999999),
    "a text that is no number": (a_field(Type.DECIMAL, places=2), "free", "free"),
    "NaN as text": (a_field(Type.DECIMAL, places=2), "NaN", "NaN"),
    "a signalling NaN": (a_field(Type.DECIMAL, places=2), "sNaN", "sNaN"),
    "infinity as text": (a_field(Type.DECIMAL, places=2), "-Infinity", "-Infinity"),
    "true is no number": (a_field(Type.DECIMAL, places=2), True, True),
    "a number that would fill the memory": (a_field(Type.DECIMAL, places=2), "1e999999999", "1e999999999"),
    "one as small": (a_field(Type.DECIMAL), "1e-999999999", "1e-999999999"),
    "one past all precision": (a_field(Type.DECIMAL, places=30), "1e390", "1e390"),
    # a set
    "a set is sorted by canonical JSON": (a_field(Type.SET), ["b", "a", 10, 9], ["a", "b", 10, 9]),
    "and has each value once": (a_field(Type.SET), ["b", "a", "b"], ["a", "b"]),
    "1 and 1.0 are one": (a_field(Type.SET), [1.0, 1], [1]),
    "1 and true are two": (a_field(Type.SET), [True, 1], [1, True]),
    "maps in it too": (a_field(Type.SET), [{"b": 1}, {"a": 1}, {"b": 1.0}], [{"a": 1}, {"b": 1}]),
    "an empty set": (a_field(Type.SET), [], []),
    "no list is no set": (a_field(Type.SET), {"a": True}, {"a": True}),
    # a reference
    "a reference elsewhere says where": (a_field(Type.REFERENCE, **BRANCH), Reference("old/north"), {"reference": "old/north"}),
    "a reference of another tenant": (
        a_field(Type.REFERENCE, **TENANTED),
        Reference("schools/2/classes/7"),
        {"reference": "schools/2/classes/7"},
    ),
    "a reference below": (a_field(Type.REFERENCE, **BRANCH), Reference("branches/n/x/1"), {"reference": "branches/n/x/1"}),
    "a text is no reference": (a_field(Type.REFERENCE, **BRANCH), "north", "north"),
    # anything, where it does not fit
    "bytes": (a_field(Type.TEXT), b"\x00\xff", {"bytes": "00ff"}),
    "a place on earth": (a_field(Type.MAP), GeoPoint(64.1, -21.9), {"latitude": 64.1, "longitude": -21.9}),
    "NaN": (a_field(Type.NUMBER), math.nan, {"double": "nan"}),
    "infinity": (a_field(Type.NUMBER), -math.inf, {"double": "-inf"}),
    "a timestamp in a map": (a_field(Type.MAP), {"at": NOON}, {"at": "2026-11-22T12:00:00.123456Z"}),
    "a reference in a list": (a_field(Type.LIST), [Reference("a/b")], [{"reference": "a/b"}]),
    "all of them deep inside": (a_field(Type.JSON), {"a": [{"b": b"", "c": 1.0}]}, {"a": [{"b": {"bytes": ""}, "c": 1}]}),
    "a text in an integer": (a_field(Type.INTEGER), "seven", "seven"),
    "a map in a text": (a_field(Type.TEXT), {"a": 1}, {"a": 1}),
    "a whole float is an integer": (a_field(Type.INTEGER), 7.0, 7),
    "true stays true": (a_field(Type.INTEGER), True, True),
}


@pytest.mark.parametrize("field, native, wire", READINGS.values(), ids=READINGS)
def test_reading_is_lenient(field, native, wire):
    read = field.to_wire(native, "1")
    assert (read, type(read)) == (wire, type(wire))
    assert canonical(read) == canonical(wire), "which tells true from 1"


timestamps = st.datetimes(timezones=st.just(UTC))
references = st.text("ab/%.", min_size=1, max_size=9).map(Reference)
natives = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text()
    | st.binary()
    | timestamps
    | references
    | st.builds(GeoPoint, st.floats(-90, 90), st.floats(-180, 180))
    | st.decimals().map(str)
    | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3),
    max_leaves=8,
)
fields = st.builds(a_field, st.sampled_from(Type), places=st.sampled_from([None, 0, 2]), to=st.just("ab"))


@QUICK
@given(fields, natives)
@example(a_field(Type.DATETIME), "9999-12-31T23:59:59-02:00")
def test_reading_never_fails_and_gives_json(field, native):
    wire = field.to_wire(native, None)
    assert same(json.loads(canonical(wire)), wire)
    assert (wire is None) is (native is None)


WRONG = {
    "a number in a text": (a_field(Type.TEXT), 5),
    "a list in a text": (a_field(Type.TEXT), ["5"]),
    "a text in an integer": (a_field(Type.INTEGER), "5"),
    "a fraction in an integer": (a_field(Type.INTEGER), 5.5),
    "true in an integer": (a_field(Type.INTEGER), True),
    "an integer past 64 bits": (a_field(Type.INTEGER), 2**63),
    "a whole float past 64 bits": (a_field(Type.INTEGER), 1e19),
    "true in a number": (a_field(Type.NUMBER), True),
    "a text in a number": (a_field(Type.NUMBER), "5.5"),
    "a number in a decimal": (a_field(Type.DECIMAL, places=2), 55),
    "a decimal with too few places": (a_field(Type.DECIMAL, places=2), "5.5"),
    "a decimal with too many": (a_field(Type.DECIMAL, places=2), "5.555"),
    "a decimal with an exponent": (a_field(Type.DECIMAL), "5E+5"),
    "a decimal with a plus": (a_field(Type.DECIMAL), "+5.55"),
    "a decimal of minus zero": (a_field(Type.DECIMAL, places=2), "-0.00"),
    "a decimal with white space": (a_field(Type.DECIMAL), " 5.55"),
    "a decimal with underscores": (a_field(Type.DECIMAL), "5_5.5"),
    "a decimal in Arabic digits": (a_field(Type.DECIMAL), "٥٥.٥"),
    "no decimal at all": (a_field(Type.DECIMAL), "fifty-five"),
    "1 in a boolean": (a_field(Type.BOOLEAN), 1),
    "a text in a boolean": (a_field(Type.BOOLEAN), "true"),
    "no date": (a_field(Type.DATE), "5.5.2026"),
    "no day of the calendar": (a_field(Type.DATE), "2026-02-30"),
    "a time in a date": (a_field(Type.DATE), "2026-11-22T05:55:00Z"),
    "a number in a date": (a_field(Type.DATE), 20261122),
    "a time without a zone": (a_field(Type.DATETIME), "2026-11-22T05:55:00"),
    "a time out of UTC's years": (a_field(Type.DATETIME), "0001-01-01T00:00:00+05:55"),
    "a number in a time": (a_field(Type.DATETIME), 55555),
    "a map in a list": (a_field(Type.LIST), {"a": 5}),
    "a text in a set": (a_field(Type.SET), "55"),
    "a list in a map": (a_field(Type.MAP), [5]),
    "a list right inside a list": (a_field(Type.LIST), [[5]]),
    "one deeper down": (a_field(Type.JSON), {"a": {"b": [[5]]}}),
    "a name that Firestore keeps": (a_field(Type.MAP), {"__a55__": 5}),
    "an empty name": (a_field(Type.MAP), {"a": [{"": 5}]}),
    "an integer past 64 bits deep inside": (a_field(Type.JSON), {"a": [2**64 + 1]}),
    "a number in a reference": (a_field(Type.REFERENCE, **BRANCH), 55),
    "an empty reference": (a_field(Type.REFERENCE, **BRANCH), ""),
    "a reference too long": (a_field(Type.REFERENCE, **BRANCH), "5" * 1501),
    "half a surrogate pair in a reference": (a_field(Type.REFERENCE, **BRANCH), "5\ud83c"),
}


@pytest.mark.parametrize("field, wire", WRONG.values(), ids=WRONG)
def test_writing_is_strict_and_names_the_field_but_never_the_value(field, wire):
    with pytest.raises(TerminalRecord, match="field 'fee'") as refused:
        field.to_native(wire, None)
    assert refused.value.field == "fee"
    assert refused.value.code in {"type", "not-representable"}
    said = str(refused.value).replace("1500", "").replace("64 bits", "")
    assert "5" not in said, "a 5 stands in every one of these values and in no message"
    assert refused.value.__cause__ is None, "the cause would quote the value"
    assert refused.value.__suppress_context__


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("json"), inner, max_size=3),
    max_leaves=8,
)
formatted = st.one_of(
    st.dates().map(str),
    st.dates().map(lambda day: day.strftime("%Y%m%d")),
    timestamps.map(str),
    timestamps.map(lambda when: when.isoformat(timespec="microseconds").replace("+00:00", "Z")),
    st.decimals(allow_nan=False, places=2).map(str),
    st.lists(st.sampled_from("abc"), max_size=4),
    st.integers(0, 10**30),
)


@QUICK
@given(fields, formatted | json_values)
def test_what_is_written_is_read_back_as_it_was_sent(field, wire):
    """A value that would be held differently from what was sent is refused: its fingerprint would show an edit of nobody's."""
    try:
        native = field.to_native(wire, None)
    except TerminalRecord:
        return
    assert same(field.to_wire(native, None), wire)


AS_SENT = {
    "a date of eight digits": (a_field(Type.DATE), "20261122"),
    "a date by its week": (a_field(Type.DATE), "2026-W47-7"),
    "a time with another zone": (a_field(Type.DATETIME), "2026-11-22T14:00:00.000000+02:00"),
    "a time without microseconds": (a_field(Type.DATETIME), "2026-11-22T12:00:00Z"),
    "a set out of order": (a_field(Type.SET), ["swim", "choir"]),
    "a set with a value twice": (a_field(Type.SET), ["choir", "choir"]),
}


@pytest.mark.parametrize("field, wire", AS_SENT.values(), ids=AS_SENT)
def test_a_value_in_another_form_than_it_is_read_in_is_held_as_sent_or_refused(field, wire):
    try:
        native = field.to_native(wire, None)
    except TerminalRecord:
        return
    assert field.to_wire(native, None) == wire, "else the sync's own write looks like an edit of somebody's"


FITTING = {
    Type.TEXT: st.text(),
    Type.INTEGER: st.integers(-(2**63), 2**63 - 1),
    Type.NUMBER: st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1),
    Type.DECIMAL: st.decimals(-(10**20), 10**20, places=2).map(lambda number: str(number if number else abs(number))),
    Type.BOOLEAN: st.booleans(),
    Type.DATE: st.dates().map(str),
    Type.DATETIME: timestamps,
    Type.REFERENCE: keys.map(lambda key: Reference(f"branches/{document_id(key)}")),
}


@pytest.mark.parametrize("type", FITTING)
@QUICK
@given(data=st.data())
def test_what_firestore_holds_can_be_written_back_after_its_journey(type, data):
    field = a_field(type, places=2 if type is Type.DECIMAL else None, **BRANCH)
    native = data.draw(FITTING[type])
    wire = json.loads(json.dumps(field.to_wire(native, None)))
    assert same(field.to_wire(field.to_native(wire, None), None), wire)


# What the sync keeps of a value


@QUICK
@given(json_values)
@example({"json": {"json": 1}})
@example({"json": "[[1]]"})
@example([[1]])
@example({"": {"__x__": [[2**64]]}})
@example([{"json": [[1]]}])
def test_any_json_can_be_kept_and_comes_back(value):
    kept = stored("fee", value)
    assert same(loaded("fee", kept), value)
    assert same(plain(storable(kept)), kept), "what is kept is something that Firestore can hold"


KEPT_AS_TEXT = {
    "a list right inside a list": [[1, 2], []],
    "an integer past 64 bits that a double would round": 2**64 + 1,
    "a name that Firestore keeps": {"__name__": 1},
    "an empty name": {"": 1},
    "what looks like a value kept as text": {"json": "1"},
}


@pytest.mark.parametrize("value", KEPT_AS_TEXT.values(), ids=KEPT_AS_TEXT)
def test_what_firestore_cannot_hold_is_kept_as_canonical_json(value):
    assert stored("fee", value) == {"json": canonical(value)}
    assert loaded("fee", stored("fee", value)) == value


@pytest.mark.parametrize("value", ["a\ud83c", {"\ud83c": 1}, [["\udf89"]]], ids=["in a text", "in a name", "in a list in a list"])
def test_a_text_that_firestore_cannot_hold_can_be_kept_too(value):
    """Else the very dead letter that says so could not be written, and the queue behind it would wait for ever."""
    kept = stored("fee", value)
    json.dumps(kept, ensure_ascii=False).encode()
    assert loaded("fee", kept) == value


AS_IT_IS = {
    "a map in a list in a map": {"a": [{"b": [1]}]},
    "two underscores before": {"__a": 1},
    "two underscores after": {"a__": 1},
    "a dot in a name": {"a.b": 1},
    "a dot as a name": {".": 1},
    "two dots as a name": {"..": 1},
    "a percent sign before a reserved name": {"%__a__": 1},
    "a slash in a name": {"a/b": 1},
    "the largest integer": 2**63 - 1,
    "the smallest": -(2**63),
    "json beside another name": {"json": "1", "a": 1},
}


@pytest.mark.parametrize("value", AS_IT_IS.values(), ids=AS_IT_IS)
def test_what_firestore_can_hold_is_kept_as_it_is(value):
    assert storable(value) == stored("fee", value) == value


def test_a_set_of_keys_travels_in_the_order_in_which_the_backend_sorts_them():
    """By the texts themselves: as JSON, the quote after `a` would sort behind a blank."""
    keys = ["a", "a b", "a!", "ab", "é"]
    assert Field("tags", Type.SET, "tags").to_wire(list(reversed(keys)), None) == sorted(keys)
