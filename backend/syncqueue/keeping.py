"""All that this side keeps of records: what a person is told who asks for what is known of them."""

from collections.abc import Collection
from typing import Any

from .models import QueueEntry, RecordIndex, SyncConflict
from .records import whole
from .registry import Entity
from .rows import Place
from .stamps import timestamp


def kept(entity: Entity, using: str, places: Collection[Place]) -> list[dict[str, Any]]:
    """Return for each record that is known: the record, its index with the hidden values, its queue entries, its conflicts."""
    shown = whole(entity, using, places)
    found = [{"record": shown.get(place)} | _kept(entity.name, using, place) for place in places]
    return [each for each in found if any(each.values())]


def _kept(entity: str, using: str, place: Place) -> dict[str, Any]:
    about = {"entity": entity, "tenant": place[0], "key": place[1]}
    entries = QueueEntry.objects.using(using).filter(**about).order_by("id")
    conflicts = SyncConflict.objects.using(using).filter(**about).order_by("created_at")
    return {
        "index": RecordIndex.objects.using(using).filter(**about).values("stamps", "values", "deleted").first(),
        "queue_entries": [_change(entry) | _bookkeeping(entry) for entry in entries],
        "conflicts": [conflict.wire() | {"created_at": timestamp(conflict.created_at)} for conflict in conflicts],
    }


def _change(entry: QueueEntry) -> dict[str, Any]:
    named = {"id": entry.change_id, "entity": entry.entity, "tenant": entry.tenant or None, "key": entry.key}
    written = {"action": entry.action, "stamp": entry.stamp, "fields": entry.fields, "base": entry.base}
    return named | written | ({"deleted": entry.deleted, "deleted_base": entry.deleted_base} if entry.deleted else {})


def _bookkeeping(entry: QueueEntry) -> dict[str, Any]:
    done = timestamp(entry.synced_at) if entry.synced_at else None
    times = {"created_at": timestamp(entry.created_at), "synced_at": done}
    return times | {"status": entry.status, "run_id": entry.run_id, "error": entry.error}
