"""Changes, results and records as the JSON of the REST contract. Firestore's queue uses the same names. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import TerminalRecord
from shared.model import (
    Action,
    Change,
    Conflict,
    Json,
    Outcome,
    Problem,
    Record,
    RecordId,
    Result,
    Side,
    Value,
    Version,
    parse_stamp,
)

LONGEST_CORRELATION = 200
Codec = Callable[[str, Json], Any]
"""What becomes of a field's value on its way in or out: (name, value) -> value."""


def _as_it_is(name: str, value: Json) -> Json:
    return value


def change_to_json(change: Change, encode: Codec = _as_it_is) -> dict[str, Any]:
    """Return a change as the contract writes it; `encode` is applied to every field's value."""
    stamp = change.latest
    body: dict[str, Any] = {
        "id": change.id,
        "entity": change.record.entity,
        "tenant": change.record.tenant,
        "key": change.record.key,
        "action": str(change.action),
        "fields": {name: encode(name, value.value) for name, value in change.fields.items()},
        "stamp": stamp,
        "stamps": {name: value.stamp for name, value in change.fields.items() if value.stamp != stamp},
        "base": dict(change.base),
        "deleted": change.deleted,
        "deleted_base": dict(change.deleted_base),
    }
    return body | ({"correlation_id": change.correlation_id} if change.correlation_id else {})


def change_from_json(body: Mapping[str, Any], names: tuple[str, ...] | None = None, decode: Codec = _as_it_is) -> Change:
    """Return the change that a queue shows, with only the fields in `names`; TerminalRecord `malformed` if it is none."""
    try:
        stamp = parse_stamp(body["stamp"])
        stamps = {name: parse_stamp(each) for name, each in (body.get("stamps") or {}).items()}
        deleted, tenant = body.get("deleted"), body.get("tenant") or None
        if (
            not (body["fields"] or deleted)
            or (body["action"] == Action.DELETE and not deleted)
            or not isinstance(tenant, str | None)
        ):
            raise ValueError
        kept = {name: value for name, value in body["fields"].items() if names is None or name in names}
        return Change(
            id=str(body["id"]),
            record=RecordId(_text(body["entity"]), _text(body["key"]), tenant),
            action=Action(body["action"]),
            fields={name: Value(decode(name, value), stamps.get(name, stamp)) for name, value in kept.items()},
            base={name: parse_stamp(base) if base else None for name, base in (body.get("base") or {}).items() if name in kept},
            deleted=parse_stamp(deleted) if deleted else None,
            deleted_base={name: parse_stamp(base) for name, base in (body.get("deleted_base") or {}).items()},
            correlation_id=str(body.get("correlation_id") or "")[:LONGEST_CORRELATION],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TerminalRecord("malformed", f"a change is not as the REST contract has it ({type(error).__name__})") from None


def record_named_in(body: Mapping[str, Any]) -> RecordId | None:
    """Return the record that what is no change is about, as far as it says so."""
    try:
        tenant = body.get("tenant")
        return RecordId(_text(body["entity"]), _text(body["key"]), _text(tenant) if tenant else None)
    except (KeyError, ValueError):
        return None


def _text(key: object) -> str:
    if not isinstance(key, str) or not key:
        raise ValueError
    return key


def side_to_json(name: str, side: Side, encode: Codec = _as_it_is) -> dict[str, Any]:
    """Return one side of a conflict over the field `name`; a delete has a stamp and no value."""
    return {"value": encode(name, side.value), "stamp": side.stamp} if isinstance(side, Value) else {"stamp": side}


def side_from_json(name: str, body: Mapping[str, Any], decode: Codec = _as_it_is) -> Side:
    """Return the side that `side_to_json` wrote."""
    stamp = parse_stamp(body["stamp"])
    return Value(decode(name, body["value"]), stamp) if "value" in body else stamp


def result_from_json(body: Mapping[str, Any], change: Change, decode: Codec = _as_it_is) -> Result:
    """Return what the backend answered for `change`; ValueError or KeyError if it is no result."""
    error = body.get("error") or {}
    return Result(
        id=change.id,
        outcome=Outcome(body["outcome"]),
        applied=tuple(body.get("applied") or ()),
        stamps={name: parse_stamp(stamp) for name, stamp in (body.get("stamps") or {}).items() if stamp},
        deleted=parse_stamp(body["deleted"]) if body.get("deleted") else None,
        conflicts=tuple(_conflict(each, change, decode) for each in body.get("conflicts") or ()),
        problem=Problem(error.get("code", "malformed"), error.get("message", ""), error.get("fields") or {}) if error else None,
    )


def _conflict(body: Mapping[str, Any], change: Change, decode: Codec) -> Conflict:
    name = body["field"]
    base = change.base.get(name, change.deleted_base.get(name))
    local, incoming = side_from_json(name, body["local"], decode), side_from_json(name, body["incoming"], decode)
    return Conflict(body["id"], change.record, name, body["winner"], local, incoming, base)


def record_from_json(body: Mapping[str, Any], names: tuple[str, ...], decode: Codec = _as_it_is) -> Record:
    """Return a record that the backend shows, with only the fields in `names`. A field with a stamp and no value is null."""
    stamps = {name: parse_stamp(stamp) for name, stamp in body["stamps"].items() if name in names}
    fields = {name: Value(decode(name, body["fields"].get(name)), stamp) for name, stamp in stamps.items()}
    deleted = body.get("deleted")
    record = RecordId(body["entity"], body["key"], body.get("tenant") or None)
    return Record(record, Version(fields, parse_stamp(deleted) if deleted else None))
