"""Catches every write of the ORM to a synced model, or to a many-to-many table behind a synced field.

Four places of Django are wrapped once, at start; each asks the registry whether the model matters and else goes on:
`Model.save_base` (save, create, get_or_create, update_or_create, loaddata), `QuerySet.update` (also bulk_update and
SET_NULL), `QuerySet.bulk_create` (also many-to-many `add`), and `Collector.delete` (delete, cascades from any model,
many-to-many `remove` and `clear`). Wrapping managers instead would miss related managers, which Django builds anew
from the manager's class; signals would miss update() and bulk_create(). Raw SQL is found by fingerprint.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from django.db import connections, models, router
from django.db.models.deletion import Collector
from django.db.models.query import QuerySet

from .edits import Edit, is_unwatched, one_edit
from .registry import Touch, registry, touches
from .rows import place_of, plain_rows


def install() -> None:
    """Wrap Django's write paths; a second call does nothing."""
    if hasattr(models.Model.save_base, "__wrapped__"):
        return
    models.Model.save_base = _saving(models.Model.save_base)  # type: ignore[method-assign]
    QuerySet.update = _updating(QuerySet.update)  # type: ignore[method-assign]
    QuerySet.bulk_create = _creating(QuerySet.bulk_create)  # type: ignore[method-assign]
    Collector.delete = _deleting(Collector.delete)  # type: ignore[method-assign]


def install_links() -> None:
    """Make `set()` of a synced many-to-many field one edit, though Django removes and adds."""
    for entity in registry().entities.values():
        for link in entity.links:
            forward = getattr(entity.model, link.name)
            backward = getattr(link.column.related_model, link.column.remote_field.get_accessor_name() or "", None)
            for descriptor in filter(None, (forward, backward)):
                manager = descriptor.related_manager_cls
                if not hasattr(manager.set, "__wrapped__"):
                    manager.set = _setting(manager.set)


def _saving(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def save_base(self: models.Model, *args: Any, **options: Any) -> None:
        touched = touches(type(self))
        if not touched:
            return original(self, *args, **options)
        using = options.get("using") or router.db_for_write(type(self), instance=self)
        with one_edit(using) as edit:
            _before_saving(edit, touched, self)
            original(self, *args, **options)
            for touch in touched:
                _after(edit, touch, [getattr(self, touch.owner)])
        return None

    save_base.alters_data = True  # type: ignore[attr-defined]
    return save_base


def _before_saving(edit: Edit, touched: tuple[Touch, ...], instance: models.Model) -> None:
    for touch in touched:
        owners = {getattr(instance, touch.owner)}
        if touch.owner == "pk":
            place = place_of(touch.entity, instance)
            edit.before(touch.entity, owners, [place] if _plain_key(touch, instance) and place[1] else [])
        else:
            old = plain_rows(type(instance), edit.using).filter(pk=instance.pk).values_list(touch.owner, flat=True)
            edit.before(touch.entity, owners | set(old if instance.pk is not None else []))


def _after(edit: Edit, touch: Touch, pks: Iterable[Any]) -> None:
    """Note the rows that a write made, and owners that it gave a many-to-many row to."""
    if touch.owner == "pk":
        edit.made(touch.entity, pks)
    else:
        edit.before(touch.entity, set(pks))


def _plain_key(touch: Touch, instance: models.Model) -> bool:
    return not hasattr(getattr(instance, touch.entity.key.attname), "resolve_expression")


def _updating(original: Callable[..., int]) -> Callable[..., int]:
    @wraps(original)
    def update(self: QuerySet[Any], **values: Any) -> int:
        touched = touches(self.model)
        if not touched or self.query.is_sliced or is_unwatched(self.db):  # Django refuses a slice itself
            return original(self, **values)
        with one_edit(self.db) as edit:
            written = list(self.order_by().values_list("pk", *[touch.owner for touch in touched]))
            for position, touch in enumerate(touched, start=1):
                edit.before(touch.entity, {pair[position] for pair in written})
            moved = _moved(self, touched, values)
            rows = original(_exactly(self, [pair[0] for pair in written]), **values)
            for touch in touched:
                _after(edit, touch, moved if touch.owner == "pk" else _owners(self, touch, written))
            return rows

    update.alters_data = True  # type: ignore[attr-defined]
    return update


def _exactly(found: QuerySet[Any], pks: list[Any]) -> QuerySet[Any]:
    """Return the queryset narrowed to the rows that were locked; SQLite has no other writer meanwhile."""
    return found.filter(pk__in=pks) if connections[found.db].features.has_select_for_update else found


def _moved(found: QuerySet[Any], touched: tuple[Touch, ...], values: dict[str, Any]) -> list[Any]:
    """Return the new primary keys that an update gives to rows, worked out by the database beforehand."""
    pk = found.model._meta.pk
    new = values.get(pk.name, values.get("pk"))
    if new is None or not any(touch.owner == "pk" for touch in touched):
        return []
    if hasattr(new, "resolve_expression"):
        return list(found.order_by().annotate(sync_moved=new).values_list("sync_moved", flat=True))
    return [pk.to_python(new.pk if isinstance(new, models.Model) else new)]


def _owners(found: QuerySet[Any], touch: Touch, written: list[tuple[Any, ...]]) -> list[Any]:
    rows = plain_rows(found.model, found.db).filter(pk__in=[pair[0] for pair in written])
    return list(rows.values_list(touch.owner, flat=True))


def _creating(original: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    @wraps(original)
    def bulk_create(self: QuerySet[Any], objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
        touched = touches(self.model)
        if not touched or is_unwatched(_written_to(self)):
            return original(self, objs, *args, **options)
        instances = list(objs)
        with one_edit(_written_to(self)) as edit:
            for touch in touched:
                if touch.owner != "pk":
                    edit.before(touch.entity, {getattr(one, touch.owner) for one in instances})
                    continue
                places = [place_of(touch.entity, one) for one in instances]
                edit.before(touch.entity, _overwritten(self, instances, options, edit), [p for p in places if p[1]])
            return original(self, instances, *args, **options)

    bulk_create.alters_data = True  # type: ignore[attr-defined]
    return bulk_create


def _written_to(found: Any) -> str:
    return str(found._db or router.db_for_write(found.model))  # `db` would be the one to read from


def _overwritten(found: QuerySet[Any], instances: list[Any], options: dict[str, Any], edit: Edit) -> set[Any]:
    """Return the primary keys of rows that update_conflicts may write over, whatever their key field says."""
    names = [found.model._meta.pk.name if name == "pk" else name for name in options.get("unique_fields") or ()]
    if not options.get("update_conflicts") or not names:
        return set()
    attnames = [found.model._meta.get_field(name).attname for name in names]
    wanted = {tuple(getattr(one, name) for name in attnames) for one in instances}
    first = {values[0] for values in wanted}
    rows = plain_rows(found.model, edit.using).filter(**{f"{attnames[0]}__in": first}).values_list("pk", *attnames)
    return {row[0] for row in rows if tuple(row[1:]) in wanted}


def _deleting(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def delete(self: Collector) -> Any:
        found = _doomed(self)
        if not found:
            return original(self)
        with one_edit(self.using) as edit:
            for touch, owners in found:
                edit.before(touch.entity, owners)
            return original(self)

    return delete


def _doomed(collector: Collector) -> list[tuple[Touch, set[Any]]]:
    """Return every record that this deletion removes or whose relations it clears."""
    groups: list[Any] = [*collector.data.values(), *collector.fast_deletes]
    groups += [group for pending in collector.field_updates.values() for group in pending]
    found = []
    for group in groups:
        model = group.model if isinstance(group, QuerySet) else type(next(iter(group))) if group else models.Model
        for touch in touches(model) if model is not models.Model else ():
            if isinstance(group, QuerySet):
                found.append((touch, set(group.order_by().values_list(touch.owner, flat=True))))
            else:
                found.append((touch, {getattr(one, touch.owner) for one in group}))
    return found


def _setting(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def set(self: Any, *args: Any, **options: Any) -> None:
        with one_edit(router.db_for_write(self.through, instance=self.instance)):
            original(self, *args, **options)

    set.alters_data = True  # type: ignore[attr-defined]
    return set
