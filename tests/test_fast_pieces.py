"""The pieces of the hot path that are written for speed, against plain twins of theirs that must give the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.cloud.firestore_v1 import _helpers as google
from google.cloud.firestore_v1.types import document as messages
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.canonical import canonical, digest, fingerprint, hash_of_texts, same
from shared.index import Held, index_of
from shared.mapping import SYNC_FIELD, Entity, Field, Type
from shared.model import Record, RecordId, Value, Version, stamp_at
from shared.native import size_of
from shared.peers.documents import Snapshot
from shared.peers.layout import Layout
from shared.peers.protobuf import decode_fields, encode_fields

QUICK = settings(derandomize=True, database=None, deadline=None)
MOMENT = datetime(2026, 11, 24, 3, 30, tzinfo=UTC)
PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5)
NEAR = (datetime(2000, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001  # they get their zone when they are drawn
NATIVE = PLAIN | st.binary(max_size=3) | st.datetimes(*NEAR, timezones=st.just(UTC))
NAMES = st.text(min_size=1, max_size=4)
NATIVES = st.dictionaries(
    NAMES,
    st.recursive(NATIVE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8),
    max_size=5,
)
JSON = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3) | st.lists(st.text(max_size=2), max_size=2)


def as_message(values: dict[str, Any]) -> Any:
    raw = messages.Document.pb()()
    encode_fields(values, "projects/p/databases/(default)/documents", raw.fields)
    return raw


@given(NATIVES)
@QUICK
def test_documents_are_written_as_googles_client_writes_them(values: dict[str, Any]) -> None:
    assert as_message(values) == messages.Document.pb(messages.Document(fields=google.encode_dict(values)))


@given(NATIVES)
@QUICK
def test_documents_are_read_as_they_were_written(values: dict[str, Any]) -> None:
    read = decode_fields(as_message(values).fields)
    assert read == values
    assert {name: type(each) for name, each in read.items()} == {name: type(each) for name, each in values.items()}


def plain_size(native: Any) -> int:
    if isinstance(native, str):
        return len(native.encode()) + 1
    if isinstance(native, dict):
        return sum(len(name) + 1 + plain_size(item) for name, item in native.items())
    return sum(plain_size(item) for item in native) if isinstance(native, list) else 8


@given(NATIVES)
@QUICK
def test_sizes_are_reckoned_value_by_value(values: dict[str, Any]) -> None:
    assert size_of(values) == plain_size(values)


@given(JSON | st.text(), JSON | st.text())
@QUICK
def test_values_are_one_where_their_json_is(one: Any, other: Any) -> None:
    both_null = one is None and other is None
    assert same(one, other) == (both_null or (None not in (one, other) and canonical(one) == canonical(other)))


@given(st.dictionaries(NAMES, JSON, max_size=5), NAMES, st.none() | NAMES)
@QUICK
def test_a_hash_of_texts_is_that_of_the_whole_record_s_json(fields: dict[str, Any], key: str, tenant: str | None) -> None:
    present = {name: value for name, value in fields.items() if value is not None}
    whole = int(digest(canonical([tenant, key, present]))[:11], 16)
    assert hash_of_texts(RecordId("thing", key, tenant), {name: canonical(value) for name, value in present.items()}) == whole


ENTITY = Entity(
    "thing", "things", (Field("a", Type.JSON, "aAtFirestore"), Field("b", Type.JSON, "b", empty=""), Field("c", Type.JSON, "c"))
)
LAYOUT, THING = Layout("things", "firestore", ENTITY), RecordId("thing", "k")
VALUES = st.dictionaries(st.sampled_from("abc"), JSON.filter(lambda value: value != ""), max_size=3)


def version(values: dict[str, Any], second: int) -> Version:
    stamp = stamp_at(MOMENT.replace(second=second), "django")
    return Version({name: Value(value, stamp) for name, value in values.items()})


def stored(held: Version) -> Snapshot:
    fields = ENTITY.to_native({name: each.value for name, each in held.fields.items()}, None)
    index = LAYOUT.sync_field(THING, held, Snapshot("things/k", {}, None))
    return Snapshot("things/k", fields | {SYNC_FIELD: index}, MOMENT)


def plain_index(held: Version) -> dict[str, Any]:
    lines = {ENTITY.by_name[name].at: f"{each.stamp}|{each.fingerprint}" for name, each in index_of(held.fields).items()}
    return {"fields": lines, "hash": ENTITY.hash_of(Record(THING, held))}


@given(VALUES, VALUES)
@QUICK
def test_an_index_that_is_mended_field_by_field_is_that_of_the_whole_record(old: dict[str, Any], new: dict[str, Any]) -> None:
    before = version(old, 1)
    document = stored(before)
    held = LAYOUT.held(THING, document)
    after = Version({**held.version().fields, **version(new, 2).fields})
    noted = LAYOUT.sync_field(THING, after, document, held)
    assert {name: noted[name] for name in ("fields", "hash")} == plain_index(after)


@given(VALUES, VALUES)
@QUICK
def test_what_is_unseen_is_what_does_not_match_its_fingerprint(old: dict[str, Any], edited: dict[str, Any]) -> None:
    document = stored(version(old, 1))
    native = ENTITY.to_native(edited, None)
    held: Held = LAYOUT.held(THING, Snapshot(document.path, {**document.fields, **native}, MOMENT))
    values = held.values or {}
    names = dict.fromkeys((*held.index, *values))
    plain = [
        name
        for name in names
        if (held.index[name].fingerprint != fingerprint(values.get(name)) if name in held.index else values[name] is not None)
    ]
    assert list(held.unseen()) == plain
