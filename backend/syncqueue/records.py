"""Whole records, as `records` and `digest` tell them."""

import json
from collections.abc import Collection
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from .access import Caller
from .canonical import bucket_hash, record_hash
from .http import Encoded
from .index import adopt_if_drifted, known_of, place_bytes, read_index
from .index_table import IndexRow
from .models import RecordIndex
from .questions import Shard
from .registry import Entity
from .rows import CHUNK, Place, Row, plain_rows, rows_by_pk, rows_by_place

PAGE_BYTES = 9 * 1024 * 1024 + 512 * 1024


def page(
    entity: Entity, using: str, caller: Caller, tenant: str | None, bucket: Shard | None, after: list[Any] | None, limit: int
) -> tuple[Encoded, list[Any] | None]:
    """Return a page of records, as JSON, by key and tenant, and the place to go on after, or None at the end."""
    found = RecordIndex.objects.using(using).filter(caller.only, entity=entity.name).order_by("place")
    if tenant is not None:
        found = found.filter(tenant=tenant)
    if bucket is not None:
        found = found.annotate(turn=F("bucket") % bucket.count).filter(turn=bucket.number)
    if after is not None:
        found = found.filter(place__gt=place_bytes(*after))
    places = list(found.values_list("tenant", "key")[: limit + 1])
    results = Encoded()
    room = PAGE_BYTES
    told = places[:limit]
    records = whole(entity, using, told)
    for position, place in enumerate(told):
        record = records.get(place)
        if record is None:
            continue
        text = json.dumps(record, ensure_ascii=False, allow_nan=False)
        room -= len(text.encode())
        if room < 0 and results:
            return results, list(told[position - 1])
        results.append(text)
    return results, list(told[-1]) if len(places) > limit else None


def whole(entity: Entity, using: str, places: Collection[Place]) -> dict[Place, dict[str, Any]]:
    """Return the records of these places, their unseen edits adopted first. One gone by raw SQL is absent."""
    with transaction.atomic(using=using):
        rows, _ = adopt_if_drifted(entity, using, rows_by_place(entity, using, places))
        index = read_index(entity.name, using, places)
        stood = {place: row for place, row in index.items() if row.deleted or place in rows}
        return {place: _record(entity, row, rows.get(place)) for place, row in stood.items() if row.deleted or row.stamps}


def digest(entity: Entity, using: str, caller: Caller, tenant: str | None, buckets: int) -> list[dict[str, int]]:
    """Return count and sum of hashes per bucket, read from the rows themselves, so that raw edits show."""
    counts: dict[int, list[int]] = {}
    last = None
    while pks := _next_pks(entity, using, last):
        for row in rows_by_pk(entity, using, pks):
            if (tenant is None or row.tenant == tenant) and caller.may_touch(row.tenant):
                bucket = counts.setdefault(bucket_hash(*row.place) % buckets, [0, 0])
                bucket[0] += 1
                bucket[1] += record_hash(row.tenant, row.key, row.values)
        last = pks[-1]
    return [{"bucket": number, "count": count, "sum": total} for number, (count, total) in sorted(counts.items())]


def _next_pks(entity: Entity, using: str, last: Any) -> list[Any]:
    after = Q() if last is None else Q(pk__gt=last)
    return list(plain_rows(entity.model, using).filter(after).order_by("pk").values_list("pk", flat=True)[:CHUNK])


def _record(entity: Entity, index: IndexRow, row: Row | None) -> dict[str, Any]:
    known = known_of(index)
    record: dict[str, Any] = {"entity": entity.name, "tenant": index.tenant or None, "key": index.key}
    if known.deleted or row is None:
        return record | {"fields": {}, "stamps": {}, "deleted": known.deleted or None}
    stamps = {name: stamp for name, stamp in known.stamps.items() if name in entity.fields}
    return record | {"fields": {name: row.values[name] for name in stamps}, "stamps": stamps, "deleted": None}
