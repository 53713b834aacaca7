"""Which models and fields are synced, as declared in settings:

    SYNC_QUEUE = {"origin": "django", "entities": [
        {"entity": "member", "model": "members.Member", "key": "national_id", "fields": ["name", "branch"]},
        {"entity": "event", "model": "members.Event", "key": "code", "tenant": "tenant", "fields": ["title"]}]}

A user's model needs no base class and no change. declarations.py reads and checks this; here is what the rest asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models

from .wire import Column, Kind


@dataclass(frozen=True)
class SyncedField:
    """A field of an entity. `refers_to` names the entity that a relation points to."""

    name: str
    column: Column
    kind: Kind
    refers_to: str | None = None

    @cached_property
    def many(self) -> bool:
        return bool(self.column.many_to_many)

    @cached_property
    def required(self) -> bool:
        """Whether a record cannot be made without it: a server must not invent what it was not told."""
        return self.many or not self.column.null


@dataclass(frozen=True, eq=False)
class Entity:
    """A kind of record: its model, the field that is its key, the one that is its tenant, and those synced."""

    name: str
    model: type[models.Model]
    key: Column
    tenant: Column | None
    fields: Mapping[str, SyncedField]
    uniques: tuple[tuple[str, ...], ...] = ()

    @cached_property
    def columns(self) -> list[SyncedField]:
        return [field for field in self.fields.values() if not field.many]

    @cached_property
    def links(self) -> list[SyncedField]:
        return [field for field in self.fields.values() if field.many]

    @cached_property
    def names(self) -> list[str]:
        return list(self.fields)

    @cached_property
    def relations(self) -> list[SyncedField]:
        return [field for field in self.fields.values() if field.refers_to]

    @cached_property
    def claims(self) -> list[tuple[str, ...]]:
        """The unique sets in which synced fields take part; the others are told apart by tenant and key, or unknown here."""
        return [names for names in self.uniques if any(name in self.fields for name in names)]

    @cached_property
    def needed(self) -> list[str]:
        """The names of the fields that a record cannot be made without."""
        return [field.name for field in self.fields.values() if field.required]


@dataclass(frozen=True)
class Touch:
    """What a write to a model touches: rows of `entity`, found by the column `owner` of the written row."""

    entity: Entity
    owner: str


@dataclass(frozen=True)
class Registry:
    """Everything declared: `entities` by name, those that are referred to first."""

    origin: str
    entities: Mapping[str, Entity]
    problems: tuple[tuple[str, str], ...] = ()
    published: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The fields of entities that have no model: their events are put into the queue by `publish`."""

    def referring_to(self, entity: Entity) -> list[tuple[Entity, SyncedField]]:
        """Return every (entity, field) whose values are keys of `entity`."""
        return [
            (owner, field)
            for owner in self.entities.values()
            for field in owner.fields.values()
            if field.refers_to == entity.name
        ]


@cache
def _read() -> Registry:
    from .declarations import read_declarations  # it reads models, which are loaded after this module

    return read_declarations(getattr(settings, "SYNC_QUEUE", None))


def declared() -> Registry:
    """Return the registry, problems included, without complaint (for the system checks)."""
    return _read()


def registry() -> Registry:
    """Return the registry. Raise ImproperlyConfigured, naming every problem, where it is not in order."""
    read = _read()
    if read.problems:
        raise ImproperlyConfigured("SYNC_QUEUE: " + "; ".join(f"{where}: {what}" for where, what in read.problems))
    return read


def touches(model: Any) -> tuple[Touch, ...]:
    """Return what a write to a model touches: the records themselves, or the owners of a many-to-many row."""
    if model not in _TOUCHED:
        _TOUCHED[model] = _touches(model)
    return _TOUCHED[model]


_TOUCHED: dict[type[models.Model], tuple[Touch, ...]] = {}


def _touches(model: type[models.Model]) -> tuple[Touch, ...]:
    lineage = {model._meta.concrete_model, *(parent._meta.concrete_model for parent in model._meta.all_parents)}
    found = [Touch(entity, "pk") for entity in registry().entities.values() if entity.model in lineage]
    for entity in registry().entities.values():
        for link in entity.links:
            through = link.column.remote_field.through
            if through in lineage:
                found.append(Touch(entity, through._meta.get_field(link.column.m2m_field_name()).attname))
    return tuple(found)


def forget() -> None:
    """Read the settings anew at the next question (tests change them)."""
    _read.cache_clear()
    _TOUCHED.clear()
