"""How a record lies in a graph, and the statements that read and write such: pure.

A node has the entity's label, a relationship its type; both have `key` (and `tenant`), the synced fields, and `_sync`, the
index as JSON (`{"name": "stamp|fingerprint"}`), beside `_hash` and `_bucket`. Somebody who wants a record deleted on both
sides sets `_delete` to true: that something is not there says nothing. While that has to wait, `_asked` holds the stamps then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shared.canonical import bucket_of, same
from shared.errors import TerminalRecord
from shared.index import Entry, Held, index_of
from shared.mapping import Entity
from shared.model import Json, Record, RecordId, Stamp, Version, parse_stamp
from shared.peers.graph_values import from_property, to_property

PLACE = ("key", "start", "end")
NAMED = {name: f"row.{name}" for name in (*PLACE, "tenant")}
LOCK = "SET x._lock = true REMOVE x._lock"
"""Writing a property locks its node or relationship until the end of the transaction; to remove one that is there, too."""


def quoted(name: str) -> str:
    """Return a label, a type or a property as statements write it."""
    return "`" + name.replace("`", "``") + "`"


def label_of(collection: str) -> str:
    """Return the label of what is declared as a collection: its last part."""
    return collection.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Lying:
    """A node, or a relationship and the keys of its two ends, as it lies in the graph."""

    properties: Mapping[str, Any]
    start: str | None = None
    end: str | None = None

    @property
    def marked(self) -> bool:
        """Whether somebody asked for it to be deleted."""
        return self.properties.get("_delete") is True

    @property
    def asked_over(self) -> dict[str, Stamp]:
        """The stamps over which that was asked for, noted while it has to wait; nothing where somebody wrote something else."""
        try:
            return {name: parse_stamp(stamp) for name, stamp in json.loads(self.properties["_asked"]).items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            return {}


@dataclass(frozen=True)
class Shape:
    """An entity's records in the graph. Statements take `$rows` or `$keys`; what they find is called `x`."""

    entity: Entity

    @cached_property
    def name(self) -> str:
        """The label or the type."""
        return quoted(label_of(self.entity.collection))

    @cached_property
    def ends(self) -> tuple[str, ...]:
        """The fields that say between which nodes a relationship runs; none of a node."""
        return self.entity.ends or ()

    def _id(self, at: Mapping[str, str] = NAMED) -> str:
        return f"tenant: {at['tenant']}, key: {at['key']}" if self.entity.has_tenant else f"key: {at['key']}"

    @cached_property
    def end_labels(self) -> tuple[str, ...]:
        """The labels of the nodes at both ends."""
        return tuple(quoted(label_of(self.entity.by_name[name].to or "")) for name in self.ends)

    def _node_at(self, variable: str, number: int, key: str, tenant: str = "row.tenant") -> str:
        tenant = f"tenant: {tenant}, " if "{tenant}" in (self.entity.by_name[self.ends[number]].to or "") else ""
        return f"({variable}:{self.end_labels[number]} {{{tenant}key: {key}}})"

    @property
    def definition(self) -> str:
        """The statement that makes the constraint, where it is not there. Digests do without an index: it would cost every
        write more than it saves them."""
        name, what = (
            quoted(f"sync_key_{label_of(self.entity.collection)}"),
            f"()-[x:{self.name}]-()" if self.ends else f"(x:{self.name})",
        )
        unique = "(x.tenant, x.key)" if self.entity.has_tenant else "x.key"
        return f"CREATE CONSTRAINT {name} IF NOT EXISTS FOR {what} REQUIRE {unique} IS UNIQUE"

    @cached_property
    def all(self) -> str:
        """What finds all of them."""
        return f"MATCH (a)-[x:{self.name}]->(b)" if self.ends else f"MATCH (x:{self.name})"

    @cached_property
    def shown(self) -> str:
        """What shows them as `lying` reads it."""
        ends = "a.key AS start, b.key AS end" if self.ends else "null AS start, null AS end"
        return f"RETURN properties(x) AS properties, {ends}"

    def reading(self, locked: bool) -> str:
        """Return what reads those with the `$keys`, and locks them, if so wanted."""
        return f"{self.all} WHERE x.key IN $keys {LOCK if locked else ''} {self.shown}"

    def page(self, tenant: str | None) -> str:
        """Return what reads `$limit` of them after the key `$after` (of `$after_tenant`), in order."""
        later, order = "x.key > $after", "x.key"
        if self.entity.has_tenant and tenant is None:
            later, order = f"({later} OR (x.key = $after AND x.tenant > $after_tenant))", "x.key, x.tenant"
        return f"{self.all} WHERE {later}{self.within(tenant)} {self.shown} ORDER BY {order} LIMIT $limit"

    def within(self, tenant: str | None) -> str:
        """Return the condition that keeps to `$tenant`, where one is named."""
        return " AND x.tenant = $tenant" if tenant and self.entity.has_tenant else ""

    def made(self, names: Sequence[str]) -> str:
        """Return what makes those of the `$rows`: lists of key, start, end and the values of the properties of these names.

        It answers how many bear their marks now: fewer, where an end is missing, or somebody else made one meanwhile.
        """
        at = {name: f"row[{number}]" for number, name in enumerate((*PLACE, *names))}
        fields = ", ".join(f"x.{quoted(name)} = {at[name]}" for name in names)
        new = f"ON CREATE SET {fields} WITH x, row WHERE x._sync = {at['_sync']} RETURN count(x) AS made"
        if not self.ends:
            return f"UNWIND $rows AS row MERGE (x:{self.name} {{{self._id(at)}}}) {new}"
        start, end = (self._node_at(*each, at.get("tenant", "")) for each in (("a", 0, at["start"]), ("b", 1, at["end"])))
        return f"UNWIND $rows AS row MATCH {start} MATCH {end} MERGE (a)-[x:{self.name} {{{self._id(at)}}}]->(b) {new}"

    @cached_property
    def _there(self) -> str:
        if not self.ends:
            return f"UNWIND $rows AS row MATCH (x:{self.name} {{{self._id()}}})"
        start, end = self._node_at("", 0, "row.start"), self._node_at("", 1, "row.end")
        return f"UNWIND $rows AS row MATCH {start}-[x:{self.name}]->{end} WHERE x.key = row.key"

    @property
    def changed(self) -> str:
        """What sets properties of those that are there."""
        return f"{self._there} SET x += row.properties"

    @property
    def removed(self) -> str:
        """What deletes them; a node only if nothing is tied to it."""
        return f"{self._there} DELETE x"

    @property
    def tied(self) -> str:
        """What tells which nodes of the `$keys` have relationships."""
        return f"MATCH (x:{self.name}) WHERE x.key IN $keys AND EXISTS {{ (x)--() }} RETURN x.key AS key, x.tenant AS tenant"

    def missing_end(self, number: int) -> str:
        """Return what tells which of the `$rows` (key, tenant) are no nodes that could be such an end."""
        node = self._node_at("n", number, "row.key")
        return (
            f"UNWIND $rows AS row OPTIONAL MATCH {node} WITH row, n WHERE n IS NULL RETURN row.key AS key, row.tenant AS tenant"
        )

    # What lies there, and what is to

    def record(self, lying: Lying) -> RecordId | None:
        """Return which record it is; None of what is none: without a key, or a tenant, that is a text."""
        key, tenant = lying.properties.get("key"), lying.properties.get("tenant") if self.entity.has_tenant else None
        if not isinstance(key, str) or not key or (self.entity.has_tenant and not (isinstance(tenant, str) and tenant)):
            return None
        return RecordId(self.entity.name, key, tenant)

    def held(self, lying: Lying | None, tombstone: Version) -> Held:
        """Return what is held of a record. What has neither a synced field nor an index is none."""
        if lying is None:
            return Held(None, {}, tombstone)
        index = _index(lying.properties.get("_sync"), self.entity)
        values = self._values(lying)
        return Held(values, index, tombstone) if values or index else Held(None, {}, tombstone)

    def _values(self, lying: Lying) -> dict[str, Json]:
        ends = dict(zip(self.ends, (lying.start, lying.end), strict=False))
        held = {each.name: ends.get(each.name, lying.properties.get(each.at)) for each in self.entity.fields}
        wire = {name: from_property(self.entity.by_name[name], value) for name, value in held.items() if value is not None}
        return {name: value for name, value in wire.items() if value is not None}

    def fits(self, record: RecordId, lying: Lying, version: Version) -> bool:
        """Return whether the noted hash is that of this version: not so after a field was taken out of sync.yaml."""
        return bool(lying.properties.get("_hash") == self.entity.hash_of(Record(record, version)))

    def properties(self, record: RecordId, version: Version, before: Held) -> dict[str, Any]:
        """Return the properties to set, so that a live version is held in place of `before`; TerminalRecord naming a field."""
        known, fields = before.values or {}, {name: version.fields[name] for name in self.entity.names if name in version.fields}
        new = {name: each.value for name, each in fields.items() if name not in known or not same(known[name], each.value)}
        stored = {self.entity.by_name[name].at: to_property(self.entity.by_name[name], value) for name, value in new.items()}
        for name in self.ends:
            stored.pop(self.entity.by_name[name].at, None)
            if name not in fields or fields[name].value is None:
                raise TerminalRecord("required", f"field {name!r} is an end of a relationship and cannot be empty", name)
        index = {name: f"{each.stamp}|{each.fingerprint}" for name, each in index_of(fields).items()}
        own = {"_sync": json.dumps(index), "_hash": self.entity.hash_of(Record(record, version)), "_bucket": bucket_of(record)}
        return stored | own | ({"tenant": record.tenant} if record.tenant else {})


def _index(text: Any, entity: Entity) -> dict[str, Entry]:
    """Return the index that a text holds; an empty one where somebody wrote something else."""
    try:
        lines = {name: line.rpartition("|") for name, line in json.loads(text).items() if name in entity.by_name}
        return {name: Entry(parse_stamp(stamp), fingerprint) for name, (stamp, _, fingerprint) in lines.items()}
    except (TypeError, ValueError, AttributeError):
        return {}
