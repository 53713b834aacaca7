"""Firestore's values as protobuf messages, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from shared.native import GeoPoint, Native, Reference


def encode(value: Native, root: str, raw: Any) -> None:
    """Write a plain value into a protobuf one; `root` is what references are relative to."""
    if value is None:
        raw.null_value = 0
    elif isinstance(value, bool):
        raw.boolean_value = value
    elif isinstance(value, int):
        raw.integer_value = value
    elif isinstance(value, float):
        raw.double_value = value
    elif isinstance(value, str):
        raw.string_value = value
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
        for name, item in value.items():
            encode(item, root, raw.map_value.fields[name])


def decode(raw: Any) -> Native:
    """Return a protobuf value as a plain one."""
    kind = raw.WhichOneof("value_type")
    if kind in {None, "null_value"}:
        return None
    if kind == "timestamp_value":
        return moment(raw.timestamp_value)
    if kind == "reference_value":
        return Reference(raw.reference_value.partition("/documents/")[2])
    if kind == "geo_point_value":
        return GeoPoint(raw.geo_point_value.latitude, raw.geo_point_value.longitude)
    if kind == "array_value":
        return [decode(item) for item in raw.array_value.values]
    if kind == "map_value":
        return {name: decode(item) for name, item in raw.map_value.fields.items()}
    return getattr(raw, kind)


def moment(raw: Any) -> datetime:
    """Return a protobuf timestamp as an aware datetime; Firestore keeps microseconds."""
    return raw.ToDatetime(tzinfo=UTC)  # type: ignore[no-any-return]


def timestamp(when: datetime) -> Timestamp:
    """Return an aware datetime as a protobuf timestamp."""
    raw = Timestamp()
    raw.FromDatetime(when.astimezone(UTC))
    return raw
