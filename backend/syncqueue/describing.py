"""What is synced, told to whoever sets up the other side: entities, fields and their types, without any record."""

from typing import Any

from django.db import models

from .http import SyncView
from .models import SyncToken
from .registry import Entity, SyncedField, registry
from .wire import Day, Exact, Integer, Json, Kind, Moment, Number, Reference, References, Text, Truth

CONTRACT = "1"
"""The version of the page that `openapi.yaml` is."""
TYPES: dict[type[Kind], str] = {
    Text: "text",
    Integer: "integer",
    Number: "number",
    Exact: "decimal",
    Truth: "boolean",
    Day: "date",
    Moment: "datetime",
    Json: "json",
    Reference: "reference",
    References: "set",
}
"""The kinds of fields by the names that the sync has for them."""


class Models(SyncView):
    """Beyond the contract: which entities and fields are synced, those that are referred to first."""

    roles = (SyncToken.SYNC, SyncToken.VIEWER)

    def read(self, *_: object) -> dict[str, Any]:
        known = registry()
        return {"contract": CONTRACT, "origin": known.origin, "results": list(map(_told, known.entities.values()))}


def _told(entity: Entity) -> dict[str, Any]:
    fields = [_field(each) for each in entity.fields.values()]
    return {"entity": entity.name, "key": entity.key.name, "has_tenants": entity.tenant is not None, "fields": fields}


def _field(field: SyncedField) -> dict[str, Any]:
    """Return a field's name and type; `places` of a decimal, `to` of a relation, `empty` where the column has no null."""
    told: dict[str, Any] = {"name": field.name, "type": TYPES[type(field.kind)]}
    if isinstance(field.kind, Exact):
        told["places"] = field.kind.places
    if field.refers_to:
        told["to"] = field.refers_to
    return told | _empty(field)


def _empty(field: SyncedField) -> dict[str, Any]:
    """Return what the model itself puts where nothing was said, if that is an empty text or a number."""
    column = field.column
    if field.many or column.null:
        return {}
    if isinstance(field.kind, Text):
        return {"empty": ""} if column.blank else {}
    plain = isinstance(column, models.IntegerField) and isinstance(column.default, int)
    return {"empty": column.default} if plain else {}
