"""Canonical JSON and what is made of it: one text, one fingerprint and one id for one value, at both ends."""

import hashlib
import json
import math

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.canonical import bucket_of, canonical, conflict_id, fingerprint, record_hash, same
from shared.errors import TerminalRecord
from shared.model import RecordId, Stamp

QUICK = settings(derandomize=True, database=None, deadline=None)

NUMBERS = {
    # RFC 8785, appendix B: numbers with a fraction
    "the smallest double": (5e-324, "5e-324"),
    "its negative": (-5e-324, "-5e-324"),
    "a sum that is not exact": (0.1 + 0.2, "0.30000000000000004"),
    "a third": (333333333.3333333, "333333333.3333333"),
    "one digit more": (333333333.33333325, "333333333.33333325"),
    "the last without an exponent": (0.000001, "0.000001"),
    "written out where Python has an exponent": (0.000015, "0.000015"),
    "written out with many digits": (9.995e-05, "0.00009995"),
    "the first with an exponent": (1e-7, "1e-7"),
    "an exponent without a leading zero": (9.999999999999997e-7, "9.999999999999997e-7"),
    "a negative one with digits": (-0.0000033333333333333333, "-0.0000033333333333333333"),
    "two digits of exponent": (1.5e-10, "1.5e-10"),
    # integral numbers: always an integer, in full, which is where RFC 8785 is left
    "a float without fraction": (1.0, "1"),
    "zero": (0.0, "0"),
    "minus zero": (-0.0, "0"),
    "1e21": (1e21, "1" + "0" * 21),
    "the largest double": (1.7976931348623157e308, str(int(1.7976931348623157e308))),
    "an integer past a double's precision": (2**53 + 1, "9007199254740993"),
    "an integer past 64 bits": (-(2**70), "-1180591620717411303424"),
}


@pytest.mark.parametrize("number, text", NUMBERS.values(), ids=NUMBERS)
def test_a_number_has_one_form(number, text):
    assert canonical(number) == text


OTHERS = {
    "null": (None, "null"),
    "true": (True, "true"),
    "false": (False, "false"),
    "nested, without spaces": ({"b": [1, {"a": None}], "a": []}, '{"a":[],"b":[1,{"a":null}]}'),
    "a null inside a value stays": ([None, {"a": None}], '[null,{"a":null}]'),
    "letters are not escaped": ("Þórður 🎉", '"Þórður 🎉"'),
    "quotes and backslashes are": ('"\\/', '"\\"\\\\/"'),
    "short escapes": ("\b\t\n\f\r", '"\\b\\t\\n\\f\\r"'),
    "other control characters, in lower case": ("\x00\x0b\x1f\x7f", '"\\u0000\\u000b\\u001f\x7f"'),
    "line separators are not escaped": ("\u2028\u2029", '"\u2028\u2029"'),
}


@pytest.mark.parametrize("value, text", OTHERS.values(), ids=OTHERS)
def test_a_value_has_one_form(value, text):
    assert canonical(value) == text


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["", "A", "a", "b"], id="letters"),
        pytest.param(["a", "a\x00", "aa"], id="a beginning first"),
        pytest.param(["1", "10", "9"], id="digits as text"),
        pytest.param(["z", "é", "€"], id="one, two and three bytes"),
        pytest.param(["\ue000", "\uffff", "\U00010000", "\U0010ffff"], id="astral last, where UTF-16 would put it before U+E000"),
    ],
)
def test_keys_sort_by_their_utf8_bytes(names):
    assert names == sorted(names, key=str.encode), "the table itself is in order"
    assert list(json.loads(canonical(dict.fromkeys(reversed(names))))) == names


def test_text_is_not_normalised():
    composed, decomposed = "\u00e9", "e\u0301"
    assert canonical(decomposed) == f'"{decomposed}"'
    assert not same(composed, decomposed)


REFUSED = {
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "a number that JSON reads as infinite": json.loads("1e400"),
    "an integer past a double": 10**309,
    "an integer that Python will not even print": 10**5000,
    "the first half of a pair": "\ud83c",
    "the second half": "\udf89",
    "a half in a name": {"\ud83c": 1},
}


@pytest.mark.parametrize("nested", [False, True], ids=["alone", "deep inside"])
@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_what_json_cannot_say_is_refused_as_the_records_own_fault(value, nested):
    with pytest.raises(TerminalRecord) as refused:
        canonical([{"a": value}] if nested else value)
    assert refused.value.code == "not-representable"


ONE_VALUE = {
    "1 and 1.0": (1, 1.0, True),
    "1 and true": (1, True, False),
    "0 and false": (0, False, False),
    "1.0 and true": (1.0, True, False),
    "0 and minus zero": (0, -0.0, True),
    "1 and its text": (1, "1", False),
    "null and its text": (None, "null", False),
    "null and nothing in a list": ([None], [], False),
    "null and absent in a map": ({"a": None}, {}, False),
    "maps in another order": ({"a": 1, "b": 2.0}, {"b": 2, "a": 1}, True),
    "lists in another order": ([1, 2], [2, 1], False),
    "1 and true in a list": ([1], [True], False),
}


@pytest.mark.parametrize("one, other, equal", ONE_VALUE.values(), ids=ONE_VALUE)
def test_two_values_are_one_if_their_json_is(one, other, equal):
    assert same(one, other) is same(other, one) is equal
    assert (fingerprint(one) == fingerprint(other)) is equal


def _is_plain(text):
    return all(ord(letter) < 0xD800 for letter in text)


exact = 2**53 - 1
numbers = st.integers(-exact, exact) | st.floats(-exact, exact).filter(lambda number: str(number) != "-0.0")
names = st.text().filter(_is_plain)  # where the order of UTF-16 is that of UTF-8
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@QUICK
@given(values)
def test_it_is_rfc_8785_wherever_the_two_agree(value):
    assert canonical(value).encode() == rfc8785.dumps(value)


@QUICK
@given(anything)
def test_reading_it_and_writing_it_again_changes_nothing(value):
    text = canonical(value)
    assert canonical(json.loads(text)) == text
    assert same(json.loads(text), value)


MEMBER = RecordId("member", "1203894569")


def test_a_fingerprint_is_16_hex_digits_of_the_canonical_json():
    assert fingerprint({"b": 1.0, "a": "é"}) == hashlib.sha256('{"a":"é","b":1}'.encode()).hexdigest()[:16]


def test_a_record_hash_is_44_bits_of_tenant_key_and_fields():
    text = '["north","1203894569",{"active":true,"name":"Anna"}]'
    record = RecordId("member", "1203894569", "north")
    assert record_hash(record, {"name": "Anna", "active": True}) == int(hashlib.sha256(text.encode()).hexdigest()[:11], 16)
    assert record_hash(record, {"name": "Anna", "active": True}) < 2**44


def test_in_a_record_hash_a_null_field_is_an_absent_one():
    assert record_hash(MEMBER, {"name": "Anna", "email": None}) == record_hash(MEMBER, {"name": "Anna"})
    assert record_hash(MEMBER, {"name": None}) == record_hash(MEMBER, {})
    assert record_hash(MEMBER, {"address": {"city": None}}) != record_hash(MEMBER, {"address": {}}), "a null inside a value stays"


def test_an_empty_tenant_is_none():
    empty = RecordId("member", MEMBER.key, "")
    assert record_hash(empty, {"name": "Anna"}) == record_hash(MEMBER, {"name": "Anna"})
    assert bucket_of(empty) == bucket_of(MEMBER)
    assert conflict_id(empty, "name", *STAMPS) == conflict_id(MEMBER, "name", *STAMPS)


def test_tenants_share_neither_hash_nor_conflict():
    north, south = (RecordId("member", MEMBER.key, tenant) for tenant in ("north", "south"))
    assert record_hash(north, {}) != record_hash(south, {}) != record_hash(MEMBER, {})
    assert conflict_id(north, "name", *STAMPS) != conflict_id(south, "name", *STAMPS)


def test_a_bucket_is_the_first_four_bytes_of_tenant_and_key():
    start = hashlib.sha256("north\0Þór".encode()).digest()[:4]
    assert bucket_of(RecordId("member", "Þór", "north")) == int.from_bytes(start, "big") % 4096
    assert bucket_of(RecordId("branch", "Þór", "north")) == bucket_of(RecordId("member", "Þór", "north")), "whatever the entity"


@QUICK
@given(st.text(), st.none() | st.text(), st.sampled_from([1, 2, 16, 256, 1024]))
def test_a_coarser_bucket_is_the_finer_one_modulo_their_number(key, tenant, buckets):
    record = RecordId("member", key, tenant)
    assert bucket_of(record, buckets) == bucket_of(record) % buckets


STAMPS = (Stamp("2026-11-22T03:10:56.123456Z|django"), Stamp("2026-11-22T03:10:56.123456Z|firestore"))


def test_both_directions_name_a_conflict_alike():
    text = f'["member",null,"1203894569","name","{STAMPS[0]}","{STAMPS[1]}"]'
    assert conflict_id(MEMBER, "name", *STAMPS) == hashlib.sha256(text.encode()).hexdigest()[:32]
    assert conflict_id(MEMBER, "name", *STAMPS) == conflict_id(MEMBER, "name", *reversed(STAMPS))


def test_conflicts_of_other_fields_keys_entities_and_stamps_have_other_ids():
    later = Stamp("2026-11-22T03:10:56.123457Z|django")
    ids = [
        conflict_id(MEMBER, "name", *STAMPS),
        conflict_id(MEMBER, "email", *STAMPS),
        conflict_id(RecordId("member", "another"), "name", *STAMPS),
        conflict_id(RecordId("branch", MEMBER.key), "name", *STAMPS),
        conflict_id(MEMBER, "name", STAMPS[0], later),
    ]
    assert len(set(ids)) == len(ids)
