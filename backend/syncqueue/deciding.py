"""Somebody keeps one of the two writes of a conflict: by a newer write here, or by the function `resolve_conflict`.

The function is asked where it can be: it writes both sides and notes who decided. Else this side writes the value itself,
as any edit of its own, which the next run carries over. A conflict that waits for a decision is the function's alone: a
write here would be met by the same policy again.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError

from . import functions
from .edits import one_edit
from .models import SyncConflict
from .registry import Entity, SyncedField, registry
from .rows import Row, rows_by_place
from .wire import Unfit


class Impossible(Exception):
    """What cannot be kept, with the reason and what to do instead; no value."""


def why_not(conflict: SyncConflict, side: dict[str, Any]) -> str:
    """Return why this side of a conflict cannot be kept from here; "" if it can."""
    entity = registry().entities.get(conflict.entity)
    if entity is None or conflict.field not in entity.fields:
        return "this field is not synced any more"
    if "value" not in side:
        return "a delete is kept by deleting the record"
    if conflict.winner == "none" and not functions.are_known():
        return "it waits for a decision on both sides: decide it on the dashboard, or by ./bothways resolve"
    return ""


def keep(conflict: SyncConflict, side: dict[str, Any], by: str, using: str) -> str:
    """Keep this side of a conflict; return what was done. Raise Impossible, or functions.Failed."""
    if reason := why_not(conflict, side):
        raise Impossible(reason)
    if functions.are_known():
        asked = {"id": conflict.conflict_id, "keep": "value", "value": side["value"], "by": by, "again": True}
        functions.call("resolve_conflict", asked)  # by its value: what is `local` there may be `incoming` here
        return "Both sides have this value now."
    _write_here(registry().entities[conflict.entity], (conflict.tenant, conflict.key), conflict.field, side["value"], using)
    return "The value is written anew; the next run carries it over."


def _write_here(entity: Entity, place: tuple[str, str], name: str, value: Any, using: str) -> None:
    field = entity.fields[name]
    try:
        with one_edit(using):
            row = rows_by_place(entity, using, [place], lock=True).get(place)
            if row is None:
                raise Impossible("the record is deleted: create it anew, with this value")
            _assign(row, field, _targets(field, place[0], value, using) if field.refers_to else value)
    except (Unfit, ValidationError, IntegrityError) as error:
        raise Impossible(f"the record does not take this value any more ({type(error).__name__})") from None


def _assign(row: Row, field: SyncedField, value: Any) -> None:
    instance = row.instance
    if field.many:
        getattr(instance, field.name).set(value)
        return
    if field.refers_to:
        setattr(instance, field.name, value[0] if value else None)
    else:
        setattr(instance, field.column.attname, None if value is None else field.kind.write(value))
    instance.clean_fields(exclude=[each.name for each in instance._meta.fields if each.name != field.name])
    instance.save(update_fields=[field.name])


def _targets(field: SyncedField, tenant: str, value: Any, using: str) -> list[Any]:
    """Return the rows that a reference names by their keys. Records of two tenants never meet."""
    target = registry().entities[field.refers_to or ""]
    keys = value if field.many else [value] if value is not None else []
    places = [(tenant if target.tenant is not None else "", key) for key in keys or []]
    found = rows_by_place(target, using, places)
    if len(found) < len(set(places)):
        raise Impossible("it refers to something that is not here any more")
    return [row.instance for row in found.values()]
