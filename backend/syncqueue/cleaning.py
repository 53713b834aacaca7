"""Drops what has served its time, in batches, so that no transaction grows with the tables."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from .history import KEPT
from .models import GoneRow, QueueEntry, RecordIndex, SeenNonce, SyncConflict
from .stamps import timestamp

BATCH = 1000


def outdated(now: datetime, days: int) -> dict[str, QuerySet[Any]]:
    """Return what may go, by name. A tombstone stays while an entry of its record is not carried over."""
    before = now - timedelta(days=days)
    finished = QueueEntry.objects.filter(status__in=[QueueEntry.SYNCED, QueueEntry.SUPERSEDED], synced_at__lt=before)
    waiting = QueueEntry.objects.filter(
        entity=OuterRef("entity"),
        tenant=OuterRef("tenant"),
        key=OuterRef("key"),
        status__in=[QueueEntry.PENDING, QueueEntry.FAILED],
    )
    tombstones = RecordIndex.objects.filter(~Q(deleted=""), ~Exists(waiting), deleted__lt=timestamp(before))
    return {
        "queue entries": finished,
        "conflicts": SyncConflict.objects.filter(acknowledged_at__lt=before),
        "tombstones": tombstones,
        "nonces": SeenNonce.objects.filter(expires_at__lt=now),
        "gone rows": GoneRow.objects.filter(gone_at__lt=now - KEPT),
        "placeholders": RecordIndex.objects.filter(deleted="", stamps={}, updated_at__lt=now - timedelta(days=1)),
    }


def drop(found: QuerySet[Any]) -> int:
    """Delete rows in batches; return how many."""
    dropped = 0
    while pks := list(found.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic(using=found.db):
            dropped += found.filter(pk__in=pks).delete()[0]
    return dropped
