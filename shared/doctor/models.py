"""Checks of what the backend syncs against what sync.yaml says. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.config import EntitySpec, FieldSpec
from shared.doctor.finding import Finding, failed, ok, skipped, warning

CONTRACT = "1"
"""The version of the REST contract that the library speaks."""
FITTING: Mapping[str, frozenset[str]] = {
    "integer": frozenset({"integer", "number"}),
    "json": frozenset({"json", "map", "list", "set"}),
}
"""Which types of sync.yaml fit one of the backend's, where it is not that alone."""
Told = Mapping[str, Any]


def compared(backend: str, told: Told | None, wanted: Mapping[str, EntitySpec]) -> Iterator[Finding]:
    """Yield how what the backend tells fits sync.yaml's entities: the contract's version, then every entity."""
    if told is None:
        yield skipped("models", f"{backend} does not tell what it syncs (GET models/ is beyond the contract)")
        return
    if told["contract"] == CONTRACT:
        yield ok("contract", f"{backend} speaks version {CONTRACT}")
    else:
        cure = "update whichever is older: backend/syncqueue there, or this"
        yield failed("contract", f"{backend} speaks version {told['contract']}, and this is {CONTRACT}", cure)
    offered = {each["entity"]: each for each in told["results"]}
    for name, spec in wanted.items():
        troubles = list(_entity(name, spec, offered.get(name)))
        yield from troubles or [ok("models", f"{name}: key and {len(spec.fields)} fields are as {backend} has them")]


def _entity(name: str, spec: EntitySpec, offered: Told | None) -> Iterator[Finding]:
    if offered is None:
        yield failed("models", f"{name}: the backend syncs no such entity", "add it to SYNC_QUEUE in the backend's settings")
        return
    if offered["key"] != spec.key:
        yield failed("models", f"{name}: its key is {offered['key']!r} there", f"write `key: {offered['key']}` in sync.yaml")
    if offered["has_tenants"] != bool(spec.tenants):
        cure = "write `tenants` and a `{tenant}` in `collection`" if offered["has_tenants"] else "take out `tenants`"
        yield failed("models", f"{name}: {'has' if offered['has_tenants'] else 'has no'} tenants there", cure)
    fields = {each["name"]: each for each in offered["fields"]}
    for field, wanted in spec.fields.items():
        yield from _field(f"{name}.{field}", wanted, fields.get(field))


def _field(place: str, wanted: FieldSpec, offered: Told | None) -> Iterator[Finding]:
    if offered is None:
        yield failed("models", f"{place}: the backend does not sync it", "add it to SYNC_QUEUE, or take it out of sync.yaml")
        return
    there = offered["type"]
    if str(wanted.type) not in FITTING.get(there, {there}):
        yield failed("models", f"{place}: is {there} there and {wanted.type} here", f"write `type: {there}` in sync.yaml")
    elif there == "decimal" and offered["places"] != wanted.places:
        yield failed("models", f"{place}: has {offered['places']} places there", f"write `places: {offered['places']}`")
    elif there == "reference" and offered["to"] != wanted.to:
        yield failed("models", f"{place}: refers to {offered['to']!r} there", f"write `to: {offered['to']}`")
    elif "empty" in offered and wanted.empty is None:
        cure = f"write `empty: {offered['empty']!r}`, so that a field without a value has that on both sides"
        yield warning("models", f"{place}: the backend has no null there", cure)
