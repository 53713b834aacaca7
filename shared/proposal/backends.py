"""What a backend tells of its models: the REST queue's own answer, or an OpenAPI page. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared.errors import BadRequest
from shared.mapping import Type
from shared.proposal.seen import SeenEntity, SeenField

NOT_RECORDS = re.compile(r"^(Patched|Paginated)|(Request|List|Response|Error|Enum)$")
"""Schemas that an OpenAPI generator makes beside those of records."""
KEYS = ("id", "uuid", "pk", "key", "code", "slug")
FORMATS = {"date": Type.DATE, "date-time": Type.DATETIME, "decimal": Type.DECIMAL}
SIMPLE = {
    "string": Type.TEXT,
    "integer": Type.INTEGER,
    "number": Type.NUMBER,
    "boolean": Type.BOOLEAN,
    "array": Type.LIST,
    "object": Type.MAP,
}
DEFAULT_PLACES = 2


def of_models(told: Mapping[str, Any]) -> list[SeenEntity]:
    """Return what GET models/ of the REST queue tells."""
    return [
        SeenEntity(each["entity"], each["key"], [_told(field) for field in each["fields"]], each["has_tenants"])
        for each in told["results"]
    ]


def _told(field: Mapping[str, Any]) -> SeenField:
    kind = Type(field["type"])
    to = field.get("to") if kind is Type.REFERENCE else None
    return SeenField(field["name"], kind, field.get("places"), to, field.get("empty"))


def of_openapi(page: Any) -> list[SeenEntity]:
    """Return the records that an OpenAPI page (2 or 3) describes. BadRequest for anything else."""
    if not isinstance(page, dict) or not ("openapi" in page or "swagger" in page):
        raise BadRequest("this is no OpenAPI page: it has neither `openapi` nor `swagger` at its top")
    schemas = page.get("components", {}).get("schemas") or page.get("definitions") or {}
    records = {name: each for name, each in schemas.items() if _is_record(name, each)}
    return [_described(name, each, schemas) for name, each in records.items()]


def _is_record(name: str, schema: Any) -> bool:
    return isinstance(schema, dict) and len(schema.get("properties", ())) > 1 and not NOT_RECORDS.search(name)


def _described(name: str, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> SeenEntity:
    properties = schema["properties"]
    key = next((each for each in KEYS if each in properties), next(iter(properties)))
    notes = () if key in KEYS[:3] else (f"is {key} the key? it must be unique, and never change",)
    fixed = [each for each, spec in properties.items() if spec.get("readOnly") and each != key]
    fields = [_property(each, spec, schemas) for each, spec in properties.items() if each != key and each not in fixed]
    left_out = tuple(f"{each}: the page says that nobody writes it" for each in fixed)
    return SeenEntity(snake(name), key, fields, notes=notes, left_out=left_out)


def snake(name: str) -> str:
    """Return the name of a schema as that of an entity."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")[:32]


def _property(name: str, spec: Mapping[str, Any], schemas: Mapping[str, Any]) -> SeenField:
    spec = _followed(spec, schemas)
    kind = next((each for each in _kinds(spec) if each in SIMPLE), None)
    if kind is None:
        return SeenField(name, Type.JSON, notes=("the page does not tell its type",))
    if kind == "string" and spec.get("format") in FORMATS:
        found = FORMATS[spec["format"]]
        return _decimal(name, spec) if found is Type.DECIMAL else SeenField(name, found)
    return SeenField(name, SIMPLE[kind])


def _decimal(name: str, spec: Mapping[str, Any]) -> SeenField:
    places = re.search(r"\\\.\\d\{0,(\d+)\}", str(spec.get("pattern", "")))
    if places:
        return SeenField(name, Type.DECIMAL, int(places[1]))
    return SeenField(name, Type.DECIMAL, DEFAULT_PLACES, notes=("how many places has it?",))


def _kinds(spec: Mapping[str, Any]) -> Iterator[str]:
    kind = spec.get("type")
    yield from kind if isinstance(kind, list) else [str(kind)]


def _followed(spec: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a property refers to, once: deeper ones are shown as JSON."""
    [*alternatives] = [each for word in ("allOf", "oneOf", "anyOf") for each in spec.get(word, ())] or [spec]
    found: Mapping[str, Any] = alternatives[0]
    return schemas.get(found["$ref"].rpartition("/")[2], {}) if "$ref" in found else found
