"""Reads SYNC_QUEUE into a registry and finds every problem in it, with its place and what is valid."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models

from .registry import Entity, Registry, SyncedField
from .stamps import ORIGIN
from .wire import Column, kind_of

KINDS = "text, integer, decimal, boolean, date, datetime, float, JSON, foreign key, many-to-many"
_KEYS = frozenset({"entity", "model", "key", "tenant", "fields"})


class Problems(list[tuple[str, str]]):
    """Pairs of place and text."""

    def add(self, where: str, what: str) -> None:
        self.append((where, what))


def read_declarations(declared: Any) -> Registry:
    """Return the registry; its `problems` are empty where all is well."""
    problems = Problems()
    if not isinstance(declared, Mapping) or not isinstance(declared.get("entities"), list):
        problems.add("SYNC_QUEUE", "expected {'origin': NAME, 'entities': [...]}")
        return Registry("", {}, tuple(problems))
    origin = declared.get("origin", "")
    if not isinstance(origin, str) or not ORIGIN.fullmatch(origin):
        problems.add("SYNC_QUEUE.origin", "expected 1 to 32 of a-z, 0-9, _ and -")
    entities: dict[str, Entity] = {}
    for number, item in enumerate(declared["entities"]):
        entity = _entity(item, f"SYNC_QUEUE.entities[{number}]", problems)
        if entity is None:
            continue
        if entity.name in entities or any(entity.model is other.model for other in entities.values()):
            problems.add(f"SYNC_QUEUE.entities[{number}]", "the name or the model is declared twice")
        entities[entity.name] = entity
    published = _published(declared.get("published", {}), entities, problems)
    return replace(_related(origin, entities, problems), published=published)


def _published(told: Any, entities: Mapping[str, Entity], problems: Problems) -> dict[str, tuple[str, ...]]:
    """Return the fields of each entity without a model."""
    if not isinstance(told, Mapping):
        problems.add("SYNC_QUEUE.published", "expected a mapping of entity and a list of its fields")
        return {}
    for name, fields in told.items():
        good = isinstance(name, str) and ORIGIN.fullmatch(name) and isinstance(fields, list | tuple) and fields
        if not good or not all(isinstance(each, str) and each for each in fields) or name in entities:
            problems.add(f"SYNC_QUEUE.published.{name}", "expected a name that no model has, and a list of names of fields")
    return {} if problems else {name: tuple(fields) for name, fields in told.items()}


def _entity(item: Any, where: str, problems: Problems) -> Entity | None:
    if not isinstance(item, Mapping) or not {"entity", "model", "key", "fields"} <= set(item) <= _KEYS:
        problems.add(where, f"expected a mapping of entity, model, key, fields and perhaps tenant, not more: {sorted(_KEYS)}")
        return None
    name = item["entity"]
    if not isinstance(name, str) or not ORIGIN.fullmatch(name):
        problems.add(f"{where}.entity", "expected 1 to 32 of a-z, 0-9, _ and -")
    try:
        model = apps.get_model(item["model"])
    except (LookupError, ValueError, AttributeError):
        valid = sorted(known._meta.label for known in apps.get_models())
        problems.add(f"{where}.model", f"no such model; valid: {', '.join(valid)}")
        return None
    if model._meta.proxy or model._meta.parents or not model._meta.managed:
        problems.add(f"{where}.model", "expected a concrete model with a table of its own, not a proxy or a child table")
    key, tenant = _key(item, model, where, problems), _tenant(item, model, where, problems)
    fields = _fields(item, model, where, problems)
    if key is None:
        return None
    _check_unique(model, key, tenant, where, problems)
    return Entity(str(name), model, key, tenant, fields, _uniques(model))


def _key(item: Mapping[str, Any], model: type[models.Model], where: str, problems: Problems) -> Column | None:
    field = _field(model, item["key"], f"{where}.key", problems)
    if field is not None and not isinstance(field, models.IntegerField) and not _short_text(field):
        problems.add(f"{where}.key", "expected an integer field or a text field of at most 255 characters")
        return None
    if field is not None and field.null:
        problems.add(f"{where}.key", "expected a field that is never null")
    return field


def _tenant(item: Mapping[str, Any], model: type[models.Model], where: str, problems: Problems) -> Column | None:
    if item.get("tenant") is None:
        return None
    field = _field(model, item["tenant"], f"{where}.tenant", problems)
    if field is not None and (not _short_text(field) or field.null):
        problems.add(f"{where}.tenant", "expected a text field of at most 255 characters that is never null")
        return None
    return field


def _short_text(field: Column) -> bool:
    return isinstance(field, models.CharField) and (field.max_length or 256) <= 255


def _check_unique(model: type[models.Model], key: Any, tenant: Any, where: str, problems: Problems) -> None:
    wanted = {key.name} if tenant is None else {key.name, tenant.name}
    if not any(set(names) <= wanted for names in _uniques(model)):
        problems.add(f"{where}.key", f"expected a unique field, or a unique constraint over {' and '.join(sorted(wanted))}")


def _fields(item: Mapping[str, Any], model: type[models.Model], where: str, problems: Problems) -> dict[str, SyncedField]:
    names = item["fields"]
    if not isinstance(names, list | tuple) or not names or len(set(map(str, names))) != len(names):
        problems.add(f"{where}.fields", "expected a list of field names, each once")
        return {}
    fields = {}
    for name in names:
        place = f"{where}.fields.{name}"
        column = _field(model, name, place, problems)
        if column is None:
            continue
        if name in (item["key"], item.get("tenant")):
            problems.add(place, "the key and the tenant are not among the fields")
        kind = kind_of(column)
        if kind is None:
            problems.add(place, f"no way to carry a {type(column).__name__}; valid: {KINDS}")
        elif getattr(column, "auto_now", False) or getattr(column, "auto_now_add", False):
            problems.add(place, "Django sets this field at every save; use default= instead of auto_now")
        else:
            fields[str(name)] = SyncedField(str(name), column, kind)
    return fields


def _field(model: type[models.Model], name: Any, where: str, problems: Problems) -> Column | None:
    try:
        field = model._meta.get_field(str(name))
    except FieldDoesNotExist:
        field = None
    if not isinstance(field, models.Field):
        valid = sorted(known.name for known in (*model._meta.fields, *model._meta.many_to_many))
        problems.add(where, f"no such field of {model._meta.label}; valid: {', '.join(valid)}")
        return None
    return field


def _uniques(model: type[models.Model]) -> tuple[tuple[str, ...], ...]:
    """Return every set of fields that the table keeps unique."""
    single = [(field.name,) for field in model._meta.local_fields if field.unique]
    together = [tuple(names) for names in model._meta.unique_together]
    constraints = [
        tuple(each.fields) for each in model._meta.constraints if isinstance(each, models.UniqueConstraint) and each.fields
    ]
    return tuple(single + together + constraints)


def _related(origin: str, entities: dict[str, Entity], problems: Problems) -> Registry:
    """Name the entity behind every relation, and put entities that are referred to first."""
    by_model = {entity.model: entity for entity in entities.values()}
    linked: dict[str, Entity] = {}
    for entity in entities.values():
        fields = {}
        for field in entity.fields.values():
            target = by_model.get(field.column.related_model) if field.column.is_relation else None
            if field.column.is_relation and target is None:
                problems.add(f"{entity.name}.{field.name}", f"refers to a model that is not synced; valid: {', '.join(entities)}")
            elif target is not None and target.tenant is not None and entity.tenant is None:
                problems.add(f"{entity.name}.{field.name}", "a record without a tenant cannot refer to one that has one")
            fields[field.name] = SyncedField(field.name, field.column, field.kind, target.name if target else None)
        linked[entity.name] = Entity(entity.name, entity.model, entity.key, entity.tenant, fields, entity.uniques)
    return Registry(origin, _ordered(linked), tuple(problems))


def _ordered(entities: dict[str, Entity]) -> dict[str, Entity]:
    ordered: dict[str, Entity] = {}

    def place(entity: Entity, above: tuple[str, ...]) -> None:
        for field in entity.fields.values():
            if field.refers_to and field.refers_to not in (*above, entity.name):
                place(entities[field.refers_to], (*above, entity.name))
        ordered.setdefault(entity.name, entity)

    for entity in entities.values():
        place(entity, ())
    return ordered
