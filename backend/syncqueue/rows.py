"""Reads rows of synced models as records with wire values. Few statements for many rows; writes nothing."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db import connections, models
from django.db.models import Q

from .registry import Entity, SyncedField, registry

CHUNK = 1000  # the largest page; SQLite takes 32,766 values in a statement
Place = tuple[str, str]  # tenant ("" for none) and key


@dataclass(frozen=True)
class Row:
    """One live row: where it belongs, its wire values, and the instance they were read from."""

    pk: Any
    tenant: str
    key: str
    values: dict[str, Any]
    instance: models.Model

    @property
    def place(self) -> Place:
        return self.tenant, self.key


def chunks(items: Iterable[Any], size: int = CHUNK) -> Iterator[list[Any]]:
    """Yield lists of at most `size`."""
    source = iter(items)
    while part := list(islice(source, size)):
        yield part


@contextmanager
def large_batches(using: str) -> Iterator[None]:
    """Let bulk_create put as many rows into a statement as this SQLite takes, instead of the 999 values of an old one."""
    connection: Any = connections[using]
    if connection.vendor != "sqlite":
        yield
        return
    usual = connection.features.max_query_params
    connection.ensure_connection()
    connection.features.max_query_params = connection.connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    try:
        yield
    finally:
        connection.features.max_query_params = usual


def plain_rows(model: type[models.Model], using: str) -> models.QuerySet[Any]:
    """Return a queryset over all rows, past any manager of the user's that hides some."""
    return models.QuerySet(model=model, using=using)


def rows_by_pk(entity: Entity, using: str, pks: Collection[Any], lock: bool = False) -> list[Row]:
    """Return the rows of these primary keys, in any order. With `lock`, nobody writes them until the transaction ends."""
    found = []
    for part in chunks(pks):
        found += read_rows(entity, using, plain_rows(entity.model, using).filter(pk__in=part), lock)
    return found


def rows_by_place(entity: Entity, using: str, places: Collection[Place], lock: bool = False) -> dict[Place, Row]:
    """Return the rows of these tenants and keys, by place."""
    found: dict[Place, Row] = {}
    for part in chunks(places):
        rows = read_rows(entity, using, plain_rows(entity.model, using).filter(at_places(entity, part)), lock)
        found |= {row.place: row for row in rows}
    return found


def at_places(entity: Entity, places: Iterable[Place]) -> Q:
    """Return the condition that picks the rows of these places; keys that the column cannot hold pick nothing."""
    by_tenant: dict[str, list[Any]] = {}
    for tenant, key in places:
        if fits_key(entity, key):
            by_tenant.setdefault(tenant, []).append(entity.key.to_python(key))
    wanted = Q(pk__in=[])
    for tenant, keys in by_tenant.items():
        one = Q(**{f"{entity.key.name}__in": keys})
        if entity.tenant is not None:
            one &= Q(**{entity.tenant.name: tenant})
        elif tenant:
            continue
        wanted |= one
    return wanted


def fits_key(entity: Entity, key: str) -> bool:
    """Return whether the key column stores exactly this key."""
    if "\0" in key:
        return False
    if isinstance(entity.key, models.IntegerField):
        return key.isascii() and key.lstrip("-").isdigit() and len(key) < 20 and str(int(key)) == key
    return len(key) <= (entity.key.max_length or 0)


def place_of(entity: Entity, instance: models.Model) -> Place:
    """Return tenant and key of an instance as text."""
    tenant = getattr(instance, entity.tenant.attname) if entity.tenant is not None else ""
    key = getattr(instance, entity.key.attname)
    return str(tenant or ""), "" if key is None else str(key)


def read_rows(entity: Entity, using: str, found: models.QuerySet[Any], lock: bool = False) -> list[Row]:
    """Return the rows of a queryset; one with an empty key is no record and left out."""
    found = found.order_by()
    if lock and connections[using].features.has_select_for_update:
        found = found.order_by("pk").select_for_update(no_key=connections[using].features.has_select_for_no_key_update)
    instances = [instance for instance in found if place_of(entity, instance)[1]]
    related = {field.name: _related_keys(field, using, instances) for field in entity.columns if field.refers_to}
    linked = {field.name: _linked_keys(field, using, instances) for field in entity.links}
    return [
        Row(
            one.pk,
            *place_of(entity, one),
            {name: _value(field, one, related, linked) for name, field in entity.fields.items()},
            one,
        )
        for one in instances
    ]


def _value(field: SyncedField, instance: models.Model, related: dict[str, Any], linked: dict[str, Any]) -> Any:
    if field.many:
        return sorted(linked[field.name].get(instance.pk, ()))
    raw = getattr(instance, field.column.attname)
    if field.refers_to:
        return related[field.name].get(raw)
    return None if raw is None else field.kind.read(raw)


def _related_keys(field: SyncedField, using: str, instances: list[models.Model]) -> dict[Any, str]:
    """Return the key of the referenced record by the value of the foreign key's column."""
    target = field.column.target_field.attname
    keys: dict[Any, str] = {}
    wanted = {getattr(instance, field.column.attname) for instance in instances} - {None}
    entity = registry().entities[field.refers_to or ""]
    for part in chunks(wanted):
        pairs = plain_rows(entity.model, using).filter(**{f"{target}__in": part}).values_list(target, entity.key.attname)
        keys |= {value: str(key) for value, key in pairs}
    return keys


def _linked_keys(field: SyncedField, using: str, instances: list[models.Model]) -> dict[Any, list[str]]:
    """Return the keys of the linked records by the primary key of the owner."""
    through = field.column.remote_field.through
    owner = through._meta.get_field(field.column.m2m_field_name()).attname
    entity = registry().entities[field.refers_to or ""]
    key = f"{field.column.m2m_reverse_field_name()}__{entity.key.name}"
    linked: dict[Any, list[str]] = {}
    for part in chunks([instance.pk for instance in instances]):
        for pk, linked_key in plain_rows(through, using).filter(**{f"{owner}__in": part}).values_list(owner, key):
            linked.setdefault(pk, []).append(str(linked_key))
    return linked
