"""Writes records as merging left them: rows, links and index, a few statements for many records.

Raises IntegrityError or DataError where the database refuses; the caller rolls back and looks closer. A reference
that is not here raises Unresolved before anything is written.
"""

from collections.abc import Collection, Sequence
from typing import Any

from django.db import models

from .adoption import Known
from .canonical import fingerprint, same
from .edits import one_edit, unwatched
from .index import known_of
from .index_table import update_index
from .references import Targets, missing, targets_of, wanted
from .registry import Entity, SyncedField
from .rows import Row, chunks, large_batches, plain_rows
from .states import State
from .wire import Column


class Unresolved(Exception):
    """Records that refer to something that is not here, and the fields that do."""

    def __init__(self, lacking: list[tuple[State, list[str]]]) -> None:
        super().__init__("a reference is missing")
        self.states = [state for state, _ in lacking]
        self.names = sorted({name for _, names in lacking for name in names})


def store(entity: Entity, using: str, states: Sequence[State], loose: bool = False) -> None:
    """Write rows, links and index of these records; none of them is `leaving`.

    `loose` leaves out references that are not here yet (a nullable one, or a link), to be written again once they are.
    """
    live = [state for state in states if state.held.live]
    targets = targets_of(entity, using, live)
    lacking = [missing(state, targets) for state in live]
    unresolved = [(state, left) for state, names in zip(live, lacking, strict=True) if (left := _unresolved(state, names, loose))]
    if unresolved:
        raise Unresolved(unresolved)
    with unwatched(using), large_batches(using):
        instances = _store_rows(entity, using, live, targets)
        for link in entity.links:
            _store_links(link, using, [(state, instances[id(state)]) for state in live], targets)
    _save_changed(states, using)
    for state, names in zip(live, lacking, strict=True):
        state.row = _row(state, instances[id(state)], names)


def remove(entity: Entity, using: str, states: Collection[State]) -> set[tuple[str, tuple[str, str]]]:
    """Delete rows under their tombstones; return the other records that this touched, which were adopted as edits.

    Raises ProtectedError, RestrictedError or IntegrityError.
    """
    own = frozenset((entity.name, state.place) for state in states)
    _save_changed(states, using)
    with large_batches(using), one_edit(using, leave_out=own) as edit:
        for part in chunks([state.row.pk for state in states if state.row is not None]):
            plain_rows(entity.model, using).filter(pk__in=part).delete()
    for state in states:
        state.row = None
    touched = {
        (owner.name, row.place) for owner, touched in edit.touched.items() for row in touched.before.values() if row is not None
    }
    return touched - own


def known_now(state: State) -> Known:
    """Return what the index is to say of the record. A value that is as it was read keeps its fingerprint."""
    held, index = state.held, state.index
    values = held.values
    if values is None:
        return Known(held.stamps, index.prints, None, held.deleted or "")
    read = state.read if state.read is not None else {}
    kept = {name: known for name, known in index.prints.items() if name in read and read[name] is values.get(name)}
    prints = {name: kept[name] if name in kept else fingerprint(values.get(name)) for name in held.stamps}
    return Known(held.stamps, prints, values if held.deleted else None, held.deleted or "")


def violated(state: State, using: str) -> list[str]:
    """Return the fields whose unique value another row has already."""
    instance = _instance(state, _differing(state), targets_of(state.entity, using, [state]))
    names: set[str] = set()
    for fields in state.entity.uniques:
        values = {name: getattr(instance, _attname(instance, name)) for name in fields}
        others = plain_rows(state.entity.model, using).filter(**values)
        if None not in values.values() and others.exclude(pk=instance.pk).exists():
            names |= set(fields)
    return sorted(names & set(state.entity.fields)) or sorted(names)


def _attname(instance: models.Model, name: str) -> str:
    field: Column = instance._meta.get_field(name)
    return str(field.attname)


def _save_changed(states: Collection[State], using: str) -> None:
    """Write the index rows that are not as they were: applying again writes nothing."""
    known = [(state.index, known_now(state)) for state in states]
    changed = [(row.pk, now) for row, now in known if now != known_of(row)]
    if changed:
        update_index(using, changed)


def _unresolved(state: State, lacking: list[str], loose: bool) -> list[str]:
    fields = state.entity.fields
    return [name for name in lacking if not loose or (fields[name].required and not fields[name].many)]


def _store_rows(entity: Entity, using: str, states: Sequence[State], targets: Targets) -> dict[int, models.Model]:
    made: dict[int, models.Model] = {}
    fresh, changed, columns = [], [], set()
    for state in states:
        names = _differing(state)
        instance = _instance(state, names, targets)
        made[id(state)] = instance
        if state.row is None:
            fresh.append(instance)
        elif names:
            changed.append(instance)
            columns |= set(names)
    rows = plain_rows(entity.model, using)
    rows.bulk_create(fresh)
    if changed:
        # every column of the locked row is at hand, so those that one record does not change are written as they were
        rows.bulk_create(
            changed, update_conflicts=True, unique_fields=[entity.model._meta.pk.name], update_fields=sorted(columns)
        )
    return made


def _differing(state: State) -> list[str]:
    """Return the columns whose value in the row is not the one held."""
    if state.row is None:
        return [field.name for field in state.entity.columns]
    held, row = state.held.values or {}, state.row.values
    names = [field.name for field in state.entity.columns if field.name in held]
    return [name for name in names if name not in row or not same(row[name], held[name])]


def _instance(state: State, names: Collection[str], targets: Targets) -> models.Model:
    entity = state.entity
    held = state.held.values or {}
    fields = [entity.fields[name] for name in names]
    values = {field.column.attname: _column_value(state, field, held.get(field.name), targets) for field in fields}
    if state.row is None:
        values[entity.key.attname] = entity.key.to_python(state.place[1])
        if entity.tenant is not None:
            values[entity.tenant.attname] = state.place[0]
        return entity.model(**values)
    instance = _twin(state.row.instance)
    for attname, value in values.items():
        setattr(instance, attname, value)
    return instance


def _twin(instance: models.Model) -> models.Model:
    """Return a shallow copy: what is written and then rolled back must leave no trace in the row that was read."""
    twin = type(instance).__new__(type(instance))
    twin.__dict__.update(instance.__dict__)
    return twin


def _column_value(state: State, field: SyncedField, value: Any, targets: Targets) -> Any:
    if value is None:
        return None
    if field.refers_to:
        tenant, key = wanted(state, field)[0]
        return targets.get((field.name, tenant, key))
    return state.column_value(field, value)


def _store_links(field: SyncedField, using: str, pairs: list[tuple[State, models.Model]], targets: Targets) -> None:
    through = field.column.remote_field.through
    owner = through._meta.get_field(field.column.m2m_field_name()).attname
    other = through._meta.get_field(field.column.m2m_reverse_field_name()).attname
    stale, fresh = [], []
    for state, instance in pairs:
        value = (state.held.values or {}).get(field.name) or []
        if state.row is not None and state.row.values.get(field.name) == value:
            continue
        stale += [instance.pk] if state.row is not None else []
        here = [targets[(field.name, *place)] for place in wanted(state, field) if (field.name, *place) in targets]
        fresh += [through(**{owner: instance.pk, other: pk}) for pk in here]
    for part in chunks(stale):
        plain_rows(through, using).filter(**{f"{owner}__in": part}).delete()
    plain_rows(through, using).bulk_create(fresh)


def _row(state: State, instance: models.Model, lacking: list[str]) -> Row:
    """Return the row as it is stored now; what was left out of a loose write is not in its values."""
    values = dict(state.held.values or {})
    for name in lacking:
        values.pop(name, None)
    return Row(instance.pk, *state.place, values, instance)
