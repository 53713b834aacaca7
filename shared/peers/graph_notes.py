"""What the sync keeps of its own in a graph, as nodes: queue entries, tombstones, conflicts not yet stored elsewhere: pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared import wire
from shared.canonical import slot_of
from shared.erasure import without_erased
from shared.model import Change, Conflict, RecordId, Stamp, Value, Version, instant, parse_stamp
from shared.naming import hashed_id, state_id

DEFINITIONS = tuple(
    f"CREATE CONSTRAINT sync_id_{label} IF NOT EXISTS FOR (x:{label}) REQUIRE x.id IS UNIQUE"
    for label in ("SyncLock", "SyncChange", "SyncTombstone", "SyncConflict")
) + tuple(
    f"CREATE INDEX sync_{name}_{label} IF NOT EXISTS FOR (x:{label}) ON (x.{name})"
    for label, name in (("SyncChange", "status"), ("SyncChange", "place"), ("SyncConflict", "place"))
)

TAKE_TURN = "MERGE (x:SyncLock {id: $id}) SET x.turn = coalesce(x.turn, 0) + 1 RETURN timestamp() AS now"
"""Writing transactions of the sync come one after the other: what one of them read as missing stays so."""
IS_ANYTHING_NOTED = "RETURN EXISTS { MATCH (x:SyncTombstone) } AS tombstones, EXISTS { MATCH (x:SyncConflict) } AS conflicts"
FIND_TOMBSTONES = "MATCH (x:SyncTombstone) WHERE x.id IN $places RETURN properties(x) AS properties"
KEEP_TOMBSTONES = "UNWIND $rows AS row MERGE (x:SyncTombstone {id: row.id}) SET x += row"
DROP_TOMBSTONES = "UNWIND $places AS id MATCH (x:SyncTombstone {id: id}) DELETE x"
FIND_CONFLICTS = "MATCH (x:SyncConflict) WHERE x.place IN $places RETURN x.place AS place, x.body AS body"
KEEP_CONFLICTS = "UNWIND $rows AS row MERGE (x:SyncConflict {id: row.id}) ON CREATE SET x += row"
DROP_CONFLICTS = "UNWIND $ids AS id MATCH (x:SyncConflict {id: id}) DELETE x"
ENQUEUE = "UNWIND $rows AS row MERGE (x:SyncChange {id: row.id}) ON CREATE SET x += row"
LABEL = "UNWIND $rows AS row MATCH (x:SyncChange {id: row.id}) SET x += row"
CLEAN_UP = "MATCH (x:SyncChange) WHERE x.expire_at < $now WITH x LIMIT 1000 DELETE x"
ERASE_CHANGES = "MATCH (x:SyncChange) WHERE x.place = $place AND x.stamp <= $erased DELETE x RETURN count(*) AS count"
ERASE_CONFLICTS = "MATCH (x:SyncConflict) WHERE x.place = $place DELETE x RETURN count(*) AS count"


def place_of(record: RecordId) -> str:
    """Return the name of a record here: a hash, so that an erased one need not say whose it is."""
    return state_id(record.entity, hashed_id(record.tenant, record.key))


@dataclass(frozen=True, slots=True)
class Grave:
    """A tombstone, and up to which stamp nothing of the record may be kept. One that was beaten has no `deleted` any more."""

    version: Version = field(default_factory=Version)
    erased: Stamp | None = None

    def over(self, version: Version) -> Grave:
        """Return what to keep once this is the version held."""
        kept = without_erased(version, self.erased) if version.deleted else Version()
        return Grave(kept, self.erased)

    def row(self, place: str) -> dict[str, Any] | None:
        """Return the properties to keep; None for nothing."""
        if self.version.deleted is None and self.erased is None:
            return None
        fields = {name: [each.value, each.stamp] for name, each in self.version.fields.items()}
        return {"id": place, "deleted": self.version.deleted, "fields": json.dumps(fields), "erased": self.erased}


def grave_of(row: Mapping[str, Any] | None) -> Grave:
    """Return the tombstone that a row holds, or an empty one."""
    if row is None:
        return Grave()
    fields = {name: Value(value, parse_stamp(stamp)) for name, (value, stamp) in json.loads(row["fields"]).items()}
    deleted, erased = row.get("deleted"), row.get("erased")
    return Grave(Version(fields, parse_stamp(deleted)) if deleted else Version(), parse_stamp(erased) if erased else None)


def entry_of(change: Change, pair: str, now: datetime) -> dict[str, Any]:
    """Return a change as it waits in the queue."""
    return {
        "id": change.id,
        "pair": pair,
        "place": place_of(change.record),
        "entity": change.record.entity,
        "tenant": change.record.tenant,
        "slot": slot_of(change.record),
        "action": str(change.action),
        "stamp": change.latest,
        "status": "pending",
        "created_at": instant(now),
        "body": json.dumps(wire.change_to_json(change)),
    }


def conflict_row(conflict: Conflict) -> dict[str, Any]:
    """Return a conflict as it is kept until it is stored elsewhere."""
    sides = {"local": conflict.local, "incoming": conflict.incoming}
    body = {"id": conflict.id, "field": conflict.field, "winner": conflict.winner, "base": conflict.base}
    told = body | {name: wire.side_to_json(conflict.field, side) for name, side in sides.items()}
    return {"id": conflict.id, "place": place_of(conflict.record), "body": json.dumps(told)}


def conflict_of(record: RecordId, text: str) -> Conflict:
    """Return the conflict that was kept."""
    body = json.loads(text)
    name = body["field"]
    local, incoming = wire.side_from_json(name, body["local"]), wire.side_from_json(name, body["incoming"])
    return Conflict(body["id"], record, name, body["winner"], local, incoming, body["base"] and parse_stamp(body["base"]))
