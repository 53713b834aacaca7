"""Finds what no write path saw: rows without an index, and rows that raw SQL changed; adopts them in batches."""

import time
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, TextField, Value
from django.db.models.functions import Cast

from .index import adopt_drift, adopt_if_drifted, lock_index
from .models import RecordIndex
from .registry import Entity
from .rows import CHUNK, plain_rows, rows_by_pk


@dataclass
class Found:
    """What a scan saw and did, in records."""

    read: int = 0
    adopted: int = 0
    absent: int = 0


def adopt_unindexed(entity: Entity, using: str, seconds: float) -> bool:
    """Adopt rows that have no index row yet; return whether that was all of them within `seconds`."""
    until = time.monotonic() + seconds
    last = None
    while time.monotonic() < until:
        rows = plain_rows(entity.model, using).filter(~Exists(_index_of(entity, using))).exclude(**{entity.key.name: ""})
        rows = rows if last is None else rows.filter(pk__gt=last)
        pks = list(rows.order_by("pk").values_list("pk", flat=True)[:CHUNK])
        if not pks:
            return True
        _adopt_pks(entity, using, pks)
        last = pks[-1]
    return False


def scan(entity: Entity, using: str) -> Found:
    """Read every row of an entity, adopt what its index does not account for, and count what is gone by raw SQL."""
    found = Found()
    last = None
    while True:
        rows = plain_rows(entity.model, using) if last is None else plain_rows(entity.model, using).filter(pk__gt=last)
        pks = list(rows.order_by("pk").values_list("pk", flat=True)[:CHUNK])
        if not pks:
            break
        with transaction.atomic(using=using):
            part = {row.place: row for row in rows_by_pk(entity, using, pks)}
            _, adopted = adopt_if_drifted(entity, using, part)
        found.read, found.adopted, last = found.read + len(part), found.adopted + adopted, pks[-1]
    live = RecordIndex.objects.using(using).filter(entity=entity.name, deleted="").exclude(stamps={}).count()
    found.absent = max(0, live - found.read)
    return found


def _adopt_pks(entity: Entity, using: str, pks: list[int]) -> None:
    with transaction.atomic(using=using):
        lock_index(entity.name, using, [row.place for row in rows_by_pk(entity, using, pks)])
        adopt_drift(entity, using, rows_by_pk(entity, using, pks, lock=True))


def _index_of(entity: Entity, using: str) -> QuerySet[RecordIndex]:
    tenant = OuterRef(entity.tenant.name) if entity.tenant is not None else Value("")
    key = Cast(OuterRef(entity.key.name), TextField())
    return RecordIndex.objects.using(using).filter(entity=entity.name, tenant=tenant, key=key)
