"""Erasure: the values of a deleted record leave this side for good; the tombstone stays."""

from collections.abc import Collection

from django.db import transaction

from .adoption import Known
from .index import lock_index
from .index_table import update_index
from .models import QueueEntry, RecordIndex, SyncConflict
from .rows import chunks


def erase(entity: str, tenant: str, keys: Collection[str], using: str) -> int:
    """Drop hidden values, queued values and conflicts of deleted records; return how many tombstones that were.

    The queue keeps only the deletes, so the stamps of the fields go too: nothing is on its way that they could wait for.
    """
    erased = 0
    for part in chunks(keys):
        with transaction.atomic(using=using):
            rows = lock_index(entity, using, [(tenant, key) for key in part])
            gone = [row for row in rows.values() if row.deleted]
            if gone:
                update_index(using, [(row.pk, Known(deleted=row.deleted)) for row in gone])
            held = {"entity": entity, "tenant": tenant, "key__in": [row.key for row in gone]}
            QueueEntry.objects.using(using).filter(**held).exclude(action="delete").delete()
            SyncConflict.objects.using(using).filter(**held).delete()
            blank = [row.pk for row in rows.values() if not row.deleted and not row.stamps]
            RecordIndex.objects.using(using).filter(pk__in=blank).delete()
        erased += len(gone)
    return erased
