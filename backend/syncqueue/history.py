"""Django's admin keeps a history of what was done there, with the record's name in it: an erasure reaches that too.

The history names a record by its row's primary key, which nobody knows any more once the row is gone. So when a row goes of
which the history speaks, its key is noted beside its primary key.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import models

from .models import GoneRow
from .registry import Entity
from .rows import Place, chunks, plain_rows

ERASED = "(erased)"
KEPT = timedelta(days=365)
"""How long such a note is kept: as long as the other side keeps its tombstone, and the record can still be named."""


def note_gone(entity: Entity, using: str, gone: Mapping[Any, Place]) -> None:
    """Note the records of rows that are gone, by primary key, where the admin's history speaks of them."""
    if not gone or not apps.is_installed("django.contrib.admin"):
        return
    places = {str(pk): place for pk, place in gone.items()}
    for part in chunks(places):
        spoken_of = set(_entries(entity, using, part).values_list("object_id", flat=True))
        notes = [GoneRow(entity=entity.name, tenant=places[row][0], key=places[row][1], row=row) for row in spoken_of]
        GoneRow.objects.using(using).bulk_create(notes)


def forget(entity: Entity, using: str, tenant: str, keys: Collection[str]) -> int:
    """Leave in the admin's history of deleted records who did what and when, not to whom; return how many entries that were."""
    if not apps.is_installed("django.contrib.admin"):
        return 0
    notes = GoneRow.objects.using(using).filter(entity=entity.name, tenant=tenant, key__in=keys)
    rows = set(notes.values_list("row", flat=True))
    rows -= {str(pk) for pk in plain_rows(entity.model, using).filter(pk__in=rows).values_list("pk", flat=True)}
    emptied = _entries(entity, using, rows).update(object_id=None, object_repr=ERASED, change_message="") if rows else 0
    notes.delete()
    return emptied


def _entries(entity: Entity, using: str, rows: Collection[str]) -> models.QuerySet[Any]:
    from django.contrib.admin.models import LogEntry  # only where that app is installed

    shown_as = [model for model in apps.get_models() if issubclass(model, entity.model)]
    kinds = ContentType.objects.db_manager(using).get_for_models(*shown_as, for_concrete_models=False)
    return LogEntry.objects.using(using).filter(content_type__in=kinds.values(), object_id__in=rows)
