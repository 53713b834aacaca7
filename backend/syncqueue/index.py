"""Locks the index rows of records, and writes adoptions: index and queue entry in one transaction."""

import hashlib
import json
import uuid
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connections

from .adoption import Adoption, Known, adopt_delete, adopt_row, unadopted
from .canonical import bucket_hash
from .correlation import current
from .index_table import IndexRow, insert_blank, known_places, select_index, update_index
from .models import QueueEntry, RecordIndex
from .nudging import nudge_after_commit
from .registry import Entity, registry
from .rows import Place, Row, chunks, large_batches, rows_by_place

LARGEST_ENTRY = 9 * 1024 * 1024  # an entry must fit into a page of 10 MiB


@dataclass(frozen=True)
class Seen:
    """One record as a local write left it: the row, or None for deleted, with its last values in `last`."""

    place: Place
    row: Row | None
    created: bool = False
    last: Mapping[str, Any] | None = None


def clock(using: str) -> datetime:
    """Return the time by the database's clock; SQLite's is this machine's."""
    if connections[using].vendor != "postgresql":
        return datetime.now(UTC)
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now.astimezone(UTC)


def place_bytes(tenant: str, key: str) -> bytes:
    """Return what orders records by the UTF-8 bytes of key, then of tenant, null first (a key holds no zero byte)."""
    return f"{key}\0{tenant}".encode()


def read_index(entity: str, using: str, places: Collection[Place]) -> dict[Place, IndexRow]:
    """Return the index rows of these places, by place, without a lock."""
    rows = [row for part in chunks(places) for row in select_index(using, entity, [place_bytes(*place) for place in part])]
    return {(row.tenant, row.key): row for row in rows}


def lock_index(entity: str, using: str, places: Collection[Place], skip_locked: bool = False) -> dict[Place, IndexRow]:
    """Lock the index rows of these places, making those that lack; always in the same order, so as not to deadlock.

    With `skip_locked`, rows that another transaction holds are left out of the answer.
    """
    lock = "FOR UPDATE" if connections[using].features.has_select_for_update else ""
    lock += " SKIP LOCKED" if lock and skip_locked else ""
    ordered = sorted((place_bytes(*place), place) for place in set(places))
    locked: dict[Place, IndexRow] = {}
    for part in chunks(ordered):
        known = known_places(using, entity, [place for place, _ in part])
        fresh = [(*pair, place, bucket_hash(*pair)) for place, pair in part if pair not in known]
        rows = insert_blank(using, entity, fresh) if fresh else []
        made = {(row.tenant, row.key) for row in rows}
        rows += select_index(using, entity, [place for place, pair in part if pair not in made], lock)
        locked |= {(row.tenant, row.key): row for row in rows}
    return locked


def known_of(row: IndexRow | RecordIndex) -> Known:
    """Return the index row as a value."""
    return Known(row.stamps, row.prints, row.values, row.deleted)


def adopt(entity: Entity, using: str, seen: Collection[Seen]) -> int:
    """Adopt what local writes did to these records; return how many edits that made. Call inside a transaction."""
    if not seen:
        return 0
    locked = lock_index(entity.name, using, [one.place for one in seen])
    now, origin = clock(using), registry().origin
    adopted: list[tuple[IndexRow, Adoption]] = []
    for one in seen:
        row = locked[one.place]
        adoption = _adoption(known_of(row), one, now, origin)
        if adoption is not None:
            adopted.append((row, adoption))
    _write(adopted, using, now)
    if adopted:
        nudge_after_commit(using)
    return len(adopted)


def adopt_published(entity: str, using: str, place: Place, values: Mapping[str, Any]) -> str | None:
    """Adopt what no model holds, and return the id of the change; None where it is what was adopted last."""
    now, row = clock(using), lock_index(entity, using, [place])[place]
    adoption = adopt_row(known_of(row), values, False, now, registry().origin)
    if adoption is None:
        return None
    [entry] = _write([(row, adoption)], using, now)
    nudge_after_commit(using)
    return entry.change_id


def adopt_drift(entity: Entity, using: str, rows: Collection[Row]) -> int:
    """Adopt the unseen edits in rows that were read while their index is locked; return how many."""
    return adopt(entity, using, [Seen(row.place, row) for row in rows])


def adopt_if_drifted(entity: Entity, using: str, rows: Mapping[Place, Row]) -> tuple[dict[Place, Row], int]:
    """Read the index without a lock; lock, read again and adopt only what differs. Return the rows and the count."""
    index = read_index(entity.name, using, list(rows))
    odd = [place for place, row in rows.items() if place not in index or drifted(known_of(index[place]), row)]
    if not odd:
        return dict(rows), 0
    lock_index(entity.name, using, odd)
    fresh = rows_by_place(entity, using, odd, lock=True)
    count = adopt_drift(entity, using, list(fresh.values()))
    return {place: row for place, row in rows.items() if place not in set(odd)} | fresh, count


def drifted(known: Known, row: Row) -> bool:
    """Return whether a row holds what its index does not account for."""
    return known.blank or bool(known.deleted) or bool(unadopted(known, row.values))


def _adoption(known: Known, one: Seen, now: datetime, origin: str) -> Adoption | None:
    if one.row is not None:
        return adopt_row(known, one.row.values, one.created, now, origin)
    if known.deleted or known.blank:
        return None
    return adopt_delete(known, one.last, now, origin)


def _write(adopted: list[tuple[IndexRow, Adoption]], using: str, now: datetime) -> list[QueueEntry]:
    if not adopted:
        return []
    update_index(using, [(row.pk, adoption.known) for row, adoption in adopted])
    with large_batches(using):
        return QueueEntry.objects.using(using).bulk_create([_entry(row, adoption, now) for row, adoption in adopted])


def _entry(row: IndexRow, adoption: Adoption, now: datetime) -> QueueEntry:
    entry = QueueEntry(change_id=uuid.uuid4().hex, entity=row.entity, tenant=row.tenant, key=row.key, created_at=now)
    entry.spread, entry.shard = _spread(row), zlib.crc32(row.key.encode())
    entry.action, entry.stamp, entry.correlation_id = adoption.action, adoption.stamp, current()
    entry.fields, entry.base = dict(adoption.fields), dict(adoption.base)
    if adoption.action == "delete":
        entry.deleted, entry.deleted_base = adoption.stamp, dict(adoption.deleted_base)
    if len(json.dumps(entry.fields)) > LARGEST_ENTRY:
        entry.status, entry.error = QueueEntry.FAILED, "too-large: an edit must fit into a page of 10 MiB"
    return entry


def _spread(row: IndexRow) -> int:
    digest = hashlib.sha256(f"{row.entity}\0{row.tenant}\0{row.key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
