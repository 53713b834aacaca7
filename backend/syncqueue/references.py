"""Turns the keys of referenced records into what the columns hold."""

from collections.abc import Collection
from typing import Any

from .registry import Entity, SyncedField, registry
from .rows import chunks, fits_key, plain_rows
from .states import State

Targets = dict[tuple[str, str, str], Any]  # (field, tenant, key) -> value of the column


def targets_of(entity: Entity, using: str, states: Collection[State]) -> Targets:
    """Return every reference in the values of these records that exists."""
    found: Targets = {}
    for field in entity.relations:
        found |= _targets(field, using, {place for state in states for place in wanted(state, field)})
    return found


def wanted(state: State, field: SyncedField) -> list[tuple[str, str]]:
    """Return tenant and key of what a field of this record refers to. Records of two tenants never meet."""
    value = (state.held.values or {}).get(field.name)
    if value is None or value == []:
        return []
    target = registry().entities[field.refers_to or ""]
    tenant = state.place[0] if target.tenant is not None else ""
    return [(tenant, key) for key in value] if field.many else [(tenant, value)]


def missing(state: State, targets: Targets) -> list[str]:
    """Return the fields of this record that refer to something that is not here."""
    return [
        field.name
        for field in state.entity.relations
        if any((field.name, tenant, key) not in targets for tenant, key in wanted(state, field))
    ]


def _targets(field: SyncedField, using: str, places: set[tuple[str, str]]) -> Targets:
    target = registry().entities[field.refers_to or ""]
    column = "pk" if field.many else field.column.target_field.attname
    found: Targets = {}
    for tenant in {tenant for tenant, _ in places}:
        keys = [target.key.to_python(key) for owner, key in places if owner == tenant and fits_key(target, key)]
        for part in chunks(keys):
            rows = plain_rows(target.model, using).filter(**{f"{target.key.name}__in": part})
            if target.tenant is not None:
                rows = rows.filter(**{target.tenant.name: tenant})
            found |= {(field.name, tenant, str(key)): value for key, value in rows.values_list(target.key.attname, column)}
    return found
