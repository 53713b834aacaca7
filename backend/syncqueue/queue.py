"""The outbox as it is served and acknowledged."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import Case, Count, F, Min, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast

from .access import Caller
from .http import Encoded
from .models import QueueEntry, SyncConflict
from .questions import Shard
from .rows import CHUNK, chunks
from .stamps import timestamp

_PLAIN = ["change_id", "entity", "tenant", "key", "action", "deleted", "correlation_id"]
_AS_TEXT = {f"{name}_text": Cast(name, TextField()) for name in ("fields", "base", "deleted_base")}
PAGE_BYTES = 9 * 1024 * 1024 + 512 * 1024  # an answer is at most 10 MiB
PENDING, SYNCED, SUPERSEDED, FAILED = QueueEntry.PENDING, QueueEntry.SYNCED, QueueEntry.SUPERSEDED, QueueEntry.FAILED


def pending(caller: Caller, entities: Sequence[str], tenant: str | None, shard: Shard | None) -> QuerySet[QueueEntry]:
    """Return the pending entries in their order: records spread, and of one record in stamp order."""
    found = QueueEntry.objects.filter(caller.only, status=PENDING).order_by("spread", "stamp", "id")
    if entities:
        found = found.filter(entity__in=entities)
    if tenant is not None:
        found = found.filter(tenant=tenant)
    if shard is not None:
        found = found.annotate(turn=F("shard") % shard.count).filter(turn=shard.number)
    return found


def page(found: QuerySet[QueueEntry], after: list[Any] | None, limit: int) -> tuple[Encoded, list[Any] | None]:
    """Return a page of changes as JSON, and the place to go on after, or None at the end."""
    if after is not None:
        spread, stamp, pk = after
        later = Q(spread=spread, stamp=stamp, id__gt=pk) | Q(spread=spread, stamp__gt=stamp) | Q(spread__gt=spread)
        found = found.filter(later, spread__gte=spread)
    entries = list(found.annotate(**_AS_TEXT).values_list("spread", "stamp", "id", *_PLAIN, *_AS_TEXT)[: limit + 1])
    changes, room = Encoded(), PAGE_BYTES
    for _, stamp, _, *told in entries[:limit]:
        change = _wire(stamp, *told)
        room -= len(change.encode())
        if room < 0 and changes:
            break
        changes.append(change)
    if len(changes) == len(entries):
        return changes, None
    return changes, list(entries[len(changes) - 1][:3])


def _wire(stamp: str, id: str, entity: str, tenant: str, key: str, action: str, deleted: str, about: str, *maps: str) -> str:
    """Return the Change of the contract; its maps pass through as the database has them."""
    fields, base, deleted_base = maps
    parts = {"id": id, "entity": entity, "tenant": tenant or None, "key": key, "action": action, "stamp": stamp}
    parts |= {"correlation_id": about} if about else {}
    text = f'{json.dumps(parts, ensure_ascii=False)[:-1]},"fields":{fields},"base":{base}'
    return f'{text},"deleted":"{deleted}","deleted_base":{deleted_base}}}' if deleted else text + "}"


def figures(caller: Caller) -> dict[str, Any]:
    """Return the counts by status and by entity, the age of the oldest pending entry, and what is pending by tenant."""
    found = QueueEntry.objects.filter(caller.only)
    totals: Counter[str] = Counter({PENDING: 0, SYNCED: 0, SUPERSEDED: 0, FAILED: 0})
    by_entity: dict[str, Counter[str]] = {}
    for row in found.order_by().values("entity", "status").annotate(count=Count("id")):
        totals[row["status"]] += row["count"]
        by_entity.setdefault(row["entity"], Counter(dict.fromkeys(totals, 0)))[row["status"]] += row["count"]
    grouped = found.filter(status=PENDING).order_by().values("tenant")
    waiting = {row["tenant"]: row for row in grouped.annotate(pending=Count("id"), oldest_pending_at=Min("created_at"))}
    oldest = min((row["oldest_pending_at"] for row in waiting.values()), default=None)
    by_tenant = {
        tenant: {"pending": row["pending"], "oldest_pending_at": timestamp(row["oldest_pending_at"])}
        for tenant, row in waiting.items()
        if tenant
    }
    return {
        **totals,
        "oldest_pending_at": timestamp(oldest) if oldest else None,
        "by_entity": {name: dict(counts) for name, counts in by_entity.items()},
        "by_tenant": by_tenant,
    }


def acknowledge(
    caller: Caller, run_id: str, named: dict[str, list[str]], errors: dict[str, str], conflicts: list[str]
) -> dict[str, Any]:
    """Give entries the status they are named under; return how many known ones were named, and the unknown ids.

    Safe to repeat: synced is final, superseded gives way only to synced, and only failed ones go back to pending.
    """
    everything = [change_id for ids in named.values() for change_id in ids]
    with transaction.atomic():
        known = _known(caller, everything)
        for status in (PENDING, FAILED, SUPERSEDED, SYNCED):
            _mark(status, [change_id for change_id in named[status] if change_id in known], run_id, errors)
        for part in chunks(conflicts):
            open_ = SyncConflict.objects.filter(caller.only, conflict_id__in=part, acknowledged_at=None)
            open_.update(acknowledged_at=datetime.now(UTC))
    unknown = dict.fromkeys(change_id for change_id in everything if change_id not in known)
    return {"marked": sum(change_id in known for change_id in everything), "unknown": list(unknown)}


def _known(caller: Caller, ids: list[str]) -> set[str]:
    storable = {change_id for change_id in ids if change_id.isascii() and "\0" not in change_id}
    return {
        found
        for part in chunks(storable, 4 * CHUNK)  # the four lists of a call at once
        for found in QueueEntry.objects.filter(caller.only, change_id__in=part).values_list("change_id", flat=True)
    }


def _mark(status: str, ids: list[str], run_id: str, errors: dict[str, str]) -> None:
    may_become = {
        PENDING: [FAILED],
        FAILED: [PENDING, FAILED],
        SUPERSEDED: [PENDING, FAILED],
        SYNCED: [PENDING, FAILED, SUPERSEDED],
    }
    new: dict[str, Any] = {"status": status, "run_id": run_id[:200], "error": ""}
    if status in (SYNCED, SUPERSEDED):
        new["synced_at"] = datetime.now(UTC)
    for part in chunks(ids):
        named = QueueEntry.objects.alias(was=Cast("status", TextField())).filter(change_id__in=part)
        open_ = named.filter(was__in=may_become[status])  # by `status` itself, SQLite would look at all that wait
        if status == FAILED:
            new |= {"error": _error_of(part, errors), "attempts": F("attempts") + 1}
        open_.update(**new)


def _error_of(ids: list[str], errors: dict[str, str]) -> Case:
    """Return the expression that gives each entry its own error."""
    by_error: dict[str, list[str]] = {}
    for change_id in ids:
        by_error.setdefault(errors.get(change_id, "")[:500], []).append(change_id)
    return Case(*[When(change_id__in=those, then=Value(error)) for error, those in by_error.items()], default=Value(""))
