"""Values as a graph's properties, which hold texts, numbers, truths, and lists of one of these: pure.

What a property cannot hold lies there as JSON in a text; dates, times and decimals as the text in which they travel, which
sorts. Reading never fails: also the graph's own dates and times are read, where somebody set one.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

from shared.canonical import canonical
from shared.errors import TerminalRecord
from shared.mapping import Field, Type
from shared.model import Json

AS_JSON: dict[Type, type] = {Type.LIST: list, Type.MAP: dict, Type.JSON: object}
ALIKE = (str, bool, int)
"""Of these a property holds a list; one of several kinds comes back as another."""


def to_property(field: Field, wire: Json) -> Any:
    """Return what a property is to hold, None for no property; TerminalRecord naming the field if it cannot."""
    wire = field.at_backend(wire)
    if wire is None:
        return None
    if field.type not in AS_JSON:
        native = field.to_native(wire, None)  # checks type and form
        fitting = native if field.type in {Type.INTEGER, Type.NUMBER} else wire
        return _listed(fitting) if field.type is Type.SET else fitting
    if not isinstance(wire, AS_JSON[field.type]):
        raise TerminalRecord("type", f"field {field.name!r} is not of type {field.type}", field.name)
    try:
        text = canonical(wire)
    except TerminalRecord as error:
        raise TerminalRecord(error.code, f"field {field.name!r}: {error}", field.name) from None
    return _listed(wire) if field.type is Type.LIST else text


def _listed(items: Any) -> Any:
    kinds = {type(item) for item in items}
    return items if len(kinds) <= 1 and kinds <= set(ALIKE) else canonical(items)


def from_property(field: Field, held: Any) -> Json:
    """Return what a property holds, as it travels."""
    return field.to_wire(_native(field, held), None)


def _native(field: Field, held: Any) -> Any:
    if isinstance(held, str):
        return _parsed(held) if field.type in AS_JSON or field.type is Type.SET else held
    if hasattr(held, "iso_format"):
        return _moment(held)
    if isinstance(held, bytes | bytearray):
        return bytes(held)
    if isinstance(held, tuple):  # a point
        return {"point": list(held)}
    return [_native(field, item) if not isinstance(item, str) else item for item in held] if isinstance(held, list) else held


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _moment(held: Any) -> Any:
    """Return one of the driver's dates and times: a time with a zone as such, all others as text."""
    native = held.to_native() if hasattr(held, "to_native") else None
    if isinstance(native, datetime) and native.tzinfo is not None:
        return native
    return native.isoformat() if isinstance(native, date) and not isinstance(native, datetime) else held.iso_format()
