"""What is remembered of a polled system's records, one document each in `sync_refs`: pure.

A record's reference lies under a hash of its key, so that an erased one need not say whose it is. Where another external id
leads to it, that id has a reference of its own which only says so; both are made in one commit, so an external id has one
key and a key one external id, once and for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from shared.index import Entry, Held, Index
from shared.model import Json, RecordId, Stamp, Value, Version, parse_stamp
from shared.naming import hashed_id, state_id
from shared.native import loaded, stored
from shared.peers.documents import Snapshot, Write
from shared.retention import TOMBSTONE_RETENTION

REFS = "sync_refs"


@dataclass(frozen=True, slots=True)
class Ref:
    """What is known of one record. `external` is None while it is not (or no longer) there.

    `writing` are the stamps and fingerprints of values that are being written, `removing` the stamp of a delete that is:
    what is found later with such a fingerprint is that write, and no edit of somebody's.
    """

    record: RecordId
    document: Snapshot
    external: str | None = None
    index: Index = field(default_factory=dict)
    deleted: Stamp | None = None
    hidden: Mapping[str, Value] = field(default_factory=dict)
    writing: Index = field(default_factory=dict)
    removing: Stamp | None = None
    writing_at: datetime | None = None
    missed: int = 0
    """How often in a row a complete list lacked it."""
    missed_at: datetime | None = None
    """When the poll began that counted so last."""
    at: datetime | None = None
    """When the system said it was changed last."""
    erased: Stamp | None = None
    leads_to: str | None = None
    """Of an external id that is no key: the key of its record."""

    @property
    def live(self) -> bool:
        """Whether the system had the record when last seen."""
        return self.external is not None and self.deleted is None

    @property
    def creating(self) -> bool:
        """Whether it may be there already, made by a write whose answer was lost."""
        return self.external is None and bool(self.writing)

    @property
    def state(self) -> str:
        """Return which of these it is, as queries ask for it: `live`, `creating` or `gone`."""
        return "live" if self.live else "creating" if self.creating else "gone"

    @property
    def known(self) -> bool:
        """Whether anything is known of the record."""
        return self.document.exists

    @property
    def stamps(self) -> dict[str, Stamp]:
        """The stamp of every field."""
        return {name: entry.stamp for name, entry in self.index.items()}

    def held(self, values: Mapping[str, Json] | None) -> Held:
        """Return what the system holds, given the values it shows; None: it shows none."""
        index = self.index if self.deleted is None else {}
        return Held(values, index, Version(self.hidden, self.deleted) if self.deleted else Version())

    def gone(self, version: Version) -> Ref:
        """Return the reference once the record is deleted."""
        return replace(self, external=None, index={}, deleted=version.deleted, hidden=version.fields).settled()

    def settled(self) -> Ref:
        """Return the reference once nothing is being written."""
        return replace(self, writing={}, removing=None, writing_at=None, missed=0)


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the references of one pair's polled peer lie."""

    pair: str
    peer: str

    def path(self, record: RecordId) -> str:
        """Return where a record's reference lies; that of an external id, taken for a key, likewise."""
        return f"{REFS}/{state_id(self.pair, self.peer, record.entity, hashed_id(record.tenant, record.key))}"

    def named(self, entity: str, tenant: str | None) -> dict[str, Any]:
        """Return what the references of an entity's records have in common."""
        return {"pair": self.pair, "peer": self.peer, "entity": entity} | ({"tenant": tenant} if tenant else {})

    def ref(self, record: RecordId, document: Snapshot) -> Ref:
        """Return the reference that lies in a document; an empty one where there is none."""
        body = document.fields
        return Ref(
            record=record,
            document=document,
            external=body.get("external"),
            index=_index(body.get("fields")),
            deleted=_stamp(body.get("deleted")),
            hidden=_values(body),
            writing=_index(body.get("writing")),
            removing=_stamp(body.get("removing")),
            writing_at=body.get("writing_at"),
            missed=body.get("missed", 0),
            missed_at=body.get("missed_at"),
            at=body.get("at"),
            erased=_stamp(body.get("erased")),
            leads_to=body.get("leads_to"),
        )

    def known(self, document: Snapshot) -> Ref:
        """Return the reference of a record that the document names."""
        body = document.fields
        return self.ref(RecordId(body["entity"], body["key"], body.get("tenant")), document)

    def write(self, ref: Ref, now: datetime) -> Write:
        """Return the write that keeps a reference, if nobody changed it since it was read."""
        record, grave = ref.record, ref.deleted is not None
        named = {"tenant": record.tenant, "key": record.key} if not (ref.erased and grave) else {"tenant": None, "key": None}
        body = {
            "pair": self.pair,
            "peer": self.peer,
            "entity": record.entity,
            "external": ref.external,
            "fields": _lines(ref.index),
            "deleted": ref.deleted,
            "hidden": {name: stored(name, value.value) for name, value in ref.hidden.items()},
            "stamps": {name: value.stamp for name, value in ref.hidden.items()},
            "writing": _lines(ref.writing),
            "removing": ref.removing,
            "writing_at": ref.writing_at,
            "missed": ref.missed,
            "missed_at": ref.missed_at,
            "at": ref.at,
            "erased": ref.erased,
            "state": ref.state,
            "expire_at": now + TOMBSTONE_RETENTION if grave else None,
        }
        return Write(ref.document.path, body | named, seen=ref.document)

    def sign(self, record: RecordId, external: str) -> list[Write]:
        """Return the write that makes an external id lead to its record; none where the id is the key."""
        if external == record.key:
            return []
        path = self.path(RecordId(record.entity, external, record.tenant))
        body = {"pair": self.pair, "peer": self.peer, "entity": record.entity, "tenant": record.tenant, "leads_to": record.key}
        return [Write(path, body, seen=Snapshot(path, {}, None))]


def _lines(index: Index) -> dict[str, str]:
    return {name: f"{entry.stamp}|{entry.fingerprint}" for name, entry in index.items()}


def _index(lines: Any) -> dict[str, Entry]:
    parts = {name: line.rpartition("|") for name, line in (lines or {}).items()}
    return {name: Entry(parse_stamp(stamp), fingerprint) for name, (stamp, _, fingerprint) in parts.items()}


def _values(body: Mapping[str, Any]) -> dict[str, Value]:
    stamps, values = body.get("stamps") or {}, body.get("hidden") or {}
    return {name: Value(loaded(name, values.get(name)), parse_stamp(stamp)) for name, stamp in stamps.items()}


def _stamp(text: str | None) -> Stamp | None:
    return None if text is None else parse_stamp(text)
