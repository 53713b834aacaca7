"""The calls of the contract; each reads the question, asks, and answers."""

from pathlib import Path
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.http import FileResponse, HttpRequest

from . import queue, records
from .access import Caller
from .applying import Request, apply_request
from .cursors import seal, unseal
from .erasing import erase
from .http import BadRequest, SyncView
from .index import clock
from .keeping import kept
from .models import QueueEntry, SyncToken
from .questions import (
    bucket_of,
    check_tenant,
    entity_of,
    filters_of,
    list_of,
    number_of,
    queued_of,
    shard_of,
    storable_text,
    tenant_of,
    text_of,
    texts_of,
)
from .registry import Entity
from .rows import Place
from .scanning import adopt_unindexed
from .stamps import timestamp

USING = DEFAULT_DB_ALIAS
SECONDS_TO_ADOPT = 20.0
_OPENAPI = Path(__file__).with_name("openapi.yaml")


class Changes(SyncView):
    """Pending changes, page by page."""

    def read(self, request: HttpRequest, caller: Caller) -> dict[str, Any]:
        entities = [queued_of(name) for name in request.GET.getlist("entity")]
        limit, filters = number_of(request, "limit", 1, 1000, 500), filters_of(request)
        found = queue.pending(caller, entities, tenant_of(request, caller), shard_of(request))
        results, after = queue.page(found, unseal(request.GET.get("cursor"), filters), limit)
        return {"results": results, "next": seal(after, filters) if after else None, "server_time": server_time()}


class Apply(SyncView):
    """Changes of the other side, merged in."""

    def write(self, body: dict[str, Any], caller: Caller) -> dict[str, Any]:
        run_id, mode, changes = text_of(body, "run_id"), body.get("mode", "lww"), list_of(body, "changes", required=True)
        if mode not in ("lww", "if-unchanged"):
            raise BadRequest("the body is wrong", ("mode", "expected lww or if-unchanged"))
        for number, change in enumerate(changes):
            if not isinstance(change, dict) or not isinstance(change.get("id"), str):
                raise BadRequest("the body is wrong", (f"changes.{number}.id", "expected a change with an id"))
        results = apply_request(Request(changes, mode, run_id, caller.may_touch, USING))
        return {"results": results, "server_time": server_time()}


class MarkSynced(SyncView):
    """Acknowledgements."""

    def write(self, body: dict[str, Any], caller: Caller) -> dict[str, Any]:
        run_id, failed = text_of(body, "run_id"), list_of(body, "failed")
        for number, item in enumerate(failed):
            good = isinstance(item, dict) and isinstance(item.get("id"), str) and isinstance(item.get("error"), str)
            if not good or not storable_text(item["error"]):
                raise BadRequest("the body is wrong", (f"failed.{number}", "expected an id and an error"))
        named = {
            QueueEntry.SYNCED: texts_of(body, "ids"),
            QueueEntry.FAILED: [item["id"] for item in failed],
            QueueEntry.SUPERSEDED: texts_of(body, "superseded"),
            QueueEntry.PENDING: texts_of(body, "pending"),
        }
        conflicts = [name for name in texts_of(body, "conflicts") if name.isascii() and name.isalnum()]
        return queue.acknowledge(caller, run_id, named, {item["id"]: item["error"] for item in failed}, conflicts)


class Status(SyncView):
    """Figures of the queue."""

    roles = (SyncToken.SYNC, SyncToken.VIEWER)

    def read(self, request: HttpRequest, caller: Caller) -> dict[str, Any]:
        return queue.figures(caller) | {"server_time": server_time()}


class Records(SyncView):
    """Whole records, page by page or by key."""

    def read(self, request: HttpRequest, caller: Caller) -> dict[str, Any]:
        entity, tenant, bucket = entity_of(request.GET.get("entity")), tenant_of(request, caller), bucket_of(request)
        limit, filters = number_of(request, "limit", 1, 1000, 500), filters_of(request)
        after = unseal(request.GET.get("cursor"), filters)
        if after is None and not adopt_unindexed(entity, USING, SECONDS_TO_ADOPT):
            raise BadRequest("records from before the app are still being adopted; ask again", status=429)
        results, after = records.page(entity, USING, caller, tenant, bucket, after, limit)
        return {"results": results, "next": seal(after, filters) if after else None}

    def write(self, body: dict[str, Any], caller: Caller) -> dict[str, Any]:
        entity, _, places = _named(body, caller)
        return {"results": list(records.whole(entity, USING, places).values())}


class Erase(SyncView):
    """Beyond the contract: drops what is kept of deleted records."""

    def write(self, body: dict[str, Any], caller: Caller) -> dict[str, Any]:
        entity, tenant, places = _named(body, caller)
        return {"results": erase(entity.name, tenant, [key for _, key in places], USING)._asdict()}


class About(SyncView):
    """Beyond the contract: all that is kept of records, for people who ask what is known of them."""

    def write(self, body: dict[str, Any], caller: Caller) -> dict[str, Any]:
        entity, _, places = _named(body, caller)
        return {"results": kept(entity, USING, places)}


class Digest(SyncView):
    """Count and sum of hashes per bucket."""

    roles = (SyncToken.SYNC, SyncToken.VIEWER)

    def read(self, request: HttpRequest, caller: Caller) -> dict[str, Any]:
        entity, tenant = entity_of(request.GET.get("entity")), tenant_of(request, caller)
        buckets = number_of(request, "buckets", 1, 4096, 256)
        return {"buckets": buckets, "results": records.digest(entity, USING, caller, tenant, buckets)}


def _named(body: dict[str, Any], caller: Caller) -> tuple[Entity, str, set[Place]]:
    """Return the entity, the tenant and the records that a body names by their keys."""
    entity, keys, tenant = entity_of(body.get("entity")), texts_of(body, "keys", required=True), body.get("tenant") or ""
    if not isinstance(tenant, str):
        raise BadRequest("the body is wrong", ("tenant", "expected text or null"))
    check_tenant(tenant, caller)
    return entity, tenant, {(tenant, key) for key in keys if key and storable_text(key)}


def openapi(request: HttpRequest) -> FileResponse:
    """The page that says what these calls take and answer."""
    return FileResponse(_OPENAPI.open("rb"), content_type="application/yaml")


def server_time() -> str:
    """Return the time by the database's clock."""
    return timestamp(clock(USING))
