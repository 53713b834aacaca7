"""Turns one item of a request into a Change, or refuses it, before anything is read from the database. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from .registry import Entity
from .rows import fits_key
from .stamps import instant, is_stamp, timestamp
from .versions import Change, Refused
from .wire import Text, Unfit, storable

AHEAD = timedelta(minutes=5)
ACTIONS = ("create", "update", "delete")


def change_of(raw: Mapping[str, Any], entities: Mapping[str, Entity]) -> Change:
    """Return the change. Raise Refused (`malformed`) naming every place where its shape is wrong."""
    problems: dict[str, str] = {}
    entity = raw.get("entity")
    if not isinstance(entity, str) or entity not in entities:
        problems["entity"] = f"expected one of {', '.join(entities)}"
    if not isinstance(raw.get("key"), str) or not raw.get("key"):
        problems["key"] = "expected text, not empty"
    if raw.get("tenant") is not None and not isinstance(raw["tenant"], str):
        problems["tenant"] = "expected text or null"
    if raw.get("action") not in ACTIONS:
        problems["action"] = f"expected one of {', '.join(ACTIONS)}"
    if not is_stamp(raw.get("stamp")):
        problems["stamp"] = "expected YYYY-MM-DDTHH:MM:SS.ffffffZ|origin, a real date"
    problems |= _maps(raw) | _deleted(raw)
    if not problems:
        problems |= _of_entity(raw, entities[str(entity)])
    if problems:
        raise Refused("malformed", f"not a change: {', '.join(problems)}", problems)
    return _change(raw)


def judge(change: Change, entity: Entity, may_touch: Callable[[str], bool], now: datetime) -> None:
    """Raise Refused where the change cannot be taken whatever is held here."""
    if not may_touch(change.tenant):
        raise Refused("forbidden", "the token may not touch this tenant", {"tenant": "forbidden"})
    _fit(change, entity)
    if instant(change.latest) > now + AHEAD:
        ahead = f"stamped {timestamp(instant(change.latest))}, here it is {timestamp(now)}: over 5 minutes ahead"
        raise Refused("future", ahead)


def _maps(raw: Mapping[str, Any]) -> dict[str, str]:
    problems = {}
    if not isinstance(raw.get("fields"), dict):
        problems["fields"] = "expected a map"
    for name, nullable in (("stamps", False), ("base", True), ("deleted_base", False)):
        inner = raw.get(name, {})
        stamps = inner.values() if isinstance(inner, dict) else [""]
        if not all(is_stamp(value) for value in stamps if value is not None or not nullable):
            problems[name] = "expected a map of field and stamp"
    return problems


def _deleted(raw: Mapping[str, Any]) -> dict[str, str]:
    deleted = raw.get("deleted")
    if deleted is not None and not is_stamp(deleted):
        return {"deleted": "expected a stamp or null"}
    if deleted is None and raw.get("action") == "delete":
        return {"deleted": "a delete has its stamp here"}
    if deleted is None and not raw.get("fields"):
        return {"fields": "a change has fields, or `deleted`, or both"}
    return {}


def _of_entity(raw: Mapping[str, Any], entity: Entity) -> dict[str, str]:
    if not raw["fields"].keys() <= entity.fields.keys():
        unknown = {
            f"fields.{number}": "no such synced field" for number, name in enumerate(raw["fields"]) if name not in entity.fields
        }
        return unknown | {"fields": f"valid: {', '.join(entity.names)}"}
    if raw.get("tenant") and entity.tenant is None:
        return {"tenant": f"{entity.name} has no tenants"}
    return {}


def _change(raw: Mapping[str, Any]) -> Change:
    return Change(
        id=raw["id"],
        entity=raw["entity"],
        tenant=raw.get("tenant") or "",
        key=raw["key"],
        action=raw["action"],
        fields=raw["fields"],
        stamp=raw["stamp"],
        stamps=raw.get("stamps", {}),
        deleted=raw.get("deleted"),
        base=raw.get("base", {}),
        deleted_base=raw.get("deleted_base", {}),
    )


def _fit(change: Change, entity: Entity) -> None:
    """Note what the columns are to hold. Raise Refused with the first code and every field that they would not store as sent."""
    unfit = _unfit_place(change, entity)
    for name, value in change.fields.items():
        field = entity.fields[name]
        try:
            if value is not None:
                change.columns[name] = field.kind.write(value)
            elif field.required:
                raise Unfit("required", "never null")
        except Unfit as error:
            unfit[name] = error
    if unfit:
        code = next(iter(unfit.values())).code
        raise Refused(
            code, f"cannot be stored as sent: {', '.join(unfit)}", {name: error.message for name, error in unfit.items()}
        )


def _unfit_place(change: Change, entity: Entity) -> dict[str, Unfit]:
    unfit: dict[str, Unfit] = {}
    if not fits_key(entity, change.key):
        code = "too-large" if "\0" not in change.key and len(change.key) > 20 else "not-representable"
        unfit["key"] = Unfit(code, "the key column does not hold this key as it is")
    try:
        storable(change.key)
    except Unfit as error:
        unfit["key"] = error
    if entity.tenant is not None:
        try:
            Text(entity.tenant.max_length).write(change.tenant)
        except Unfit as error:
            unfit["tenant"] = error
    return unfit
