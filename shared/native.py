"""JSON, as values travel, and what Firestore holds. Pure."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.canonical import canonical
from shared.errors import TerminalRecord
from shared.model import Json, instant
from shared.naming import reserved, sayable

Native = Any
"""What Firestore holds: None, bool, int, float, str, datetime, bytes, Reference, GeoPoint, list or dict of them."""

INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Reference:
    """A Firestore reference; `path` is relative to the database: `branches/north`."""

    path: str


@dataclass(frozen=True, slots=True)
class GeoPoint:
    """A Firestore geographical point, in degrees."""

    latitude: float
    longitude: float


def plain(native: Native) -> Json:
    """Return any Firestore value as JSON. What JSON has no word for becomes a map that names the kind."""
    if isinstance(native, str):
        return native
    if isinstance(native, datetime):
        return instant(native)
    if isinstance(native, float) and native.is_integer():
        return int(native)
    if isinstance(native, float) and not math.isfinite(native):
        return {"double": str(native)}
    if isinstance(native, bytes):
        return {"bytes": native.hex()}
    if isinstance(native, Reference):
        return {"reference": native.path}
    if isinstance(native, GeoPoint):
        return {"latitude": native.latitude, "longitude": native.longitude}
    if isinstance(native, list):
        return [plain(item) for item in native]
    if isinstance(native, dict):
        return {name: plain(item) for name, item in native.items()}
    return native


def size_of(native: Native) -> int:
    """Return about how many bytes Firestore reckons for a value, as its limits count them."""
    if isinstance(native, str):
        return (len(native) if native.isascii() else len(native.encode())) + 1
    if isinstance(native, dict):
        sizes = [len(item) + 1 if type(item) is str and item.isascii() else size_of(item) for item in native.values()]
        return sum(sizes) + sum(map(len, native)) + len(native)
    if isinstance(native, list):
        return sum(map(size_of, native))
    return 8


def storable(wire: Json, in_list: bool = False) -> Native:
    """Return a JSON value that Firestore can hold; TerminalRecord for one that it cannot: an integer that neither 64 bits
    nor a double hold, a list right inside a list, half a surrogate pair, a name that Firestore keeps for itself."""
    if isinstance(wire, str):
        return sayable(wire)
    if isinstance(wire, int) and not isinstance(wire, bool) and wire not in INT64:
        return _double(wire)
    if isinstance(wire, list):
        if in_list:
            raise TerminalRecord("not-representable", "Firestore holds no list right inside a list; wrap it in a map")
        return [storable(item, in_list=True) for item in wire]
    if isinstance(wire, dict):
        if any(map(reserved, wire)):
            raise TerminalRecord("not-representable", "a map has a name that Firestore keeps for itself (empty, or __x__)")
        return {sayable(name): storable(item) for name, item in wire.items()}
    return wire


def _double(number: int) -> float:
    canonical(number)
    if int(float(number)) != number:
        raise TerminalRecord("not-representable", "an integer is past 64 bits, and a double would round it")
    return float(number)


def stored(name: str, wire: Json) -> Native:
    """Return a field's value as the `sync_*` collections keep it: as it is, or as JSON where Firestore cannot hold it."""
    try:
        return {"json": canonical(wire)} if isinstance(wire, dict) and set(wire) == {"json"} else storable(wire)
    except TerminalRecord:
        return {"json": _any_json(wire)}


def _any_json(wire: Json) -> str:
    try:
        return canonical(wire)
    except TerminalRecord:
        return json.dumps(wire)  # escapes what UTF-8 cannot say


def loaded(name: str, native: Native) -> Json:
    """Return the value that `stored` made."""
    return json.loads(native["json"]) if isinstance(native, dict) and set(native) == {"json"} else plain(native)
