"""Firestore's values as protobuf messages, and back; the filters of its queries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from shared.native import GeoPoint, Native, Reference

Within = Mapping[str, range]
"""Names of integer fields, with dots between those of maps in maps, and what their values must lie in."""


def encode(value: Native, root: str, raw: Any) -> None:
    """Write a plain value into a protobuf one; `root` is what references are relative to."""
    if isinstance(value, str):
        raw.string_value = value
    elif value is None:
        raw.null_value = 0
    elif isinstance(value, bool):
        raw.boolean_value = value
    elif isinstance(value, int):
        raw.integer_value = value
    elif isinstance(value, float):
        raw.double_value = value
    elif isinstance(value, datetime):
        raw.timestamp_value.CopyFrom(timestamp(value))
    elif isinstance(value, bytes):
        raw.bytes_value = value
    elif isinstance(value, Reference):
        raw.reference_value = f"{root}/{value.path}"
    elif isinstance(value, GeoPoint):
        raw.geo_point_value.latitude, raw.geo_point_value.longitude = value.latitude, value.longitude
    elif isinstance(value, (list, tuple)):
        raw.array_value.SetInParent()
        for item in value:
            encode(item, root, raw.array_value.values.add())
    else:
        raw.map_value.SetInParent()
        encode_fields(value, root, raw.map_value.fields)


def encode_fields(values: Mapping[str, Native], root: str, raw: Any) -> None:
    """Write plain values into a protobuf map of values. Most are texts."""
    for name, value in values.items():
        if type(value) is str:
            raw[name].string_value = value
        else:
            encode(value, root, raw[name])


_PLAIN = frozenset({"string_value", "boolean_value", "integer_value", "double_value", "bytes_value"})


def decode(raw: Any) -> Native:
    """Return a protobuf value as a plain one."""
    kind = raw.WhichOneof("value_type")
    if kind in _PLAIN:
        return getattr(raw, kind)
    if kind == "map_value":
        return decode_fields(raw.map_value.fields)
    if kind in {None, "null_value"}:
        return None
    if kind == "timestamp_value":
        return moment(raw.timestamp_value)
    if kind == "reference_value":
        return Reference(raw.reference_value.partition("/documents/")[2])
    if kind == "geo_point_value":
        return GeoPoint(raw.geo_point_value.latitude, raw.geo_point_value.longitude)
    return [decode(item) for item in raw.array_value.values]


def decode_fields(raw: Any) -> dict[str, Native]:
    """Return a protobuf map of values as a plain one. Most are texts, which are asked for first: "" where it is none. (Its
    `items()` costs twice as much as looking each up.)"""
    return {name: (value := raw[name]).string_value or decode(value) for name in raw}


def moment(raw: Any) -> datetime:
    """Return a protobuf timestamp as an aware datetime; Firestore keeps microseconds."""
    return raw.ToDatetime(tzinfo=UTC)  # type: ignore[no-any-return]


def timestamp(when: datetime) -> Timestamp:
    """Return an aware datetime as a protobuf timestamp."""
    raw = Timestamp()
    raw.FromDatetime(when.astimezone(UTC))
    return raw


def _filter(name: str, op: str, value: Native) -> dict[str, Any]:
    kind = "integer_value" if isinstance(value, int) else "string_value"
    return {"field_filter": {"field": {"field_path": name}, "op": op, "value": {kind: value}}}


def equal_filters(equal: Mapping[str, Native]) -> list[dict[str, Any]]:
    """Return the filters of a query for documents with these values, texts or integers; a tuple of integers, 30 at most, stands
    for any one of them."""
    return [_one_of(name, value) if isinstance(value, tuple) else _filter(name, "EQUAL", value) for name, value in equal.items()]


def _one_of(name: str, numbers: tuple[int, ...]) -> dict[str, Any]:
    listed = {"array_value": {"values": [{"integer_value": number} for number in numbers]}}
    return {"field_filter": {"field": {"field_path": name}, "op": "IN", "value": listed}}


def has_values(fields: Mapping[str, Native], equal: Mapping[str, Native]) -> bool:
    """Return whether a document is one that `equal_filters` lets through."""
    wanted = {name: each if isinstance(each, tuple) else (each,) for name, each in equal.items()}
    return all(fields.get(name) in each for name, each in wanted.items())


def within_filters(within: Within) -> list[dict[str, Any]]:
    """Return the filters of a query for documents whose values lie in these ranges."""
    filters: list[dict[str, Any]] = []
    for name, each in within.items():
        if len(each) == 1:
            filters.append(_filter(name, "EQUAL", each.start))
        else:
            filters += [_filter(name, "GREATER_THAN_OR_EQUAL", each.start), _filter(name, "LESS_THAN", each.stop)]
    return filters
