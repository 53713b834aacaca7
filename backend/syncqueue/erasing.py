"""Erasure: the values of a deleted record leave this side for good; the tombstone stays."""

from collections.abc import Collection
from typing import Any, NamedTuple

from django.db import transaction

from .adoption import Known
from .history import forget
from .index import lock_index
from .index_table import update_index
from .models import QueueEntry, RecordIndex, SyncConflict
from .registry import registry
from .rows import chunks


class Erased(NamedTuple):
    """How much was dropped: tombstones emptied (now or before), queue entries and conflicts removed, entries of the admin's
    history emptied."""

    tombstones: int = 0
    queue_entries: int = 0
    conflicts: int = 0
    history_entries: int = 0


def erase(entity: str, tenant: str, keys: Collection[str], using: str) -> Erased:
    """Drop hidden values, queued values and conflicts of deleted records; return how much that was.

    The queue keeps only the deletes, so the stamps of the fields go too: nothing is on its way that they could wait for.
    """
    parts = [_erase(entity, tenant, part, using) for part in chunks(keys)]
    return Erased(*map(sum, zip(*parts, strict=True))) if parts else Erased()


def _erase(entity: str, tenant: str, keys: Collection[str], using: str) -> Erased:
    with transaction.atomic(using=using):
        rows = lock_index(entity, using, [(tenant, key) for key in keys])
        gone = [row for row in rows.values() if row.deleted]
        if gone:
            update_index(using, [(row.pk, Known(deleted=row.deleted)) for row in gone])
        held: dict[str, Any] = {"entity": entity, "tenant": tenant, "key__in": [row.key for row in gone]}
        entries, _ = QueueEntry.objects.using(using).filter(**held).exclude(action="delete").delete()
        conflicts, _ = SyncConflict.objects.using(using).filter(**held).delete()
        blank = [row.pk for row in rows.values() if not row.deleted and not row.stamps]
        RecordIndex.objects.using(using).filter(pk__in=blank).delete()
        spoken_of = forget(registry().entities[entity], using, tenant, held["key__in"])
    return Erased(len(gone), entries, conflicts, spoken_of)
