"""How a record looks in Firestore and how it travels: names, types and paths. Pure.

A value travels as JSON: a decimal, a date and a datetime as text in one fixed form, a reference as the key it points to.
Reading is lenient and never fails: a value that does not fit its type travels as it is, and the other side refuses it by
name. Writing is strict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Context, Decimal, InvalidOperation
from enum import StrEnum
from functools import cached_property

from shared.canonical import canonical, hash_of_texts, same
from shared.errors import TerminalRecord
from shared.model import Json, Policy, Record, RecordId, instant, parse_instant
from shared.naming import document_id, key_of
from shared.native import INT64, Native, Reference, plain, storable

SYNC_FIELD = "_sync"
EXACT = Context(prec=400)


class Type(StrEnum):
    """The types that a field may be declared as in sync.yaml."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    LIST = "list"
    SET = "set"
    MAP = "map"
    JSON = "json"
    REFERENCE = "reference"


@dataclass(frozen=True)
class Field:
    """A synced field. `name` is the backend's, `at` Firestore's. `places`: of a decimal; `to`: a reference's collection.

    `empty` is what both sides write where there is nothing, for backends that have no null there; it travels as null.
    `policy` is the field's own, if it is not that of its entity.
    """

    name: str
    type: Type
    at: str
    places: int | None = None
    to: str | None = None
    empty: Json = None
    policy: Policy | None = None

    def to_wire(self, native: Native, tenant: str | None) -> Json:
        """Return what Firestore holds as it travels; never fails."""
        if native is None:
            return None
        fitting = self._read(self, native, tenant) if self._read else None
        wire = plain(native) if fitting is None else fitting
        return wire if self.empty is None else self.from_backend(wire)

    @cached_property
    def _read(self) -> Callable[[Field, Native, str | None], Json] | None:
        return _READERS.get(self.type)

    @cached_property
    def _write(self) -> Callable[[Field, Json, str | None], Native]:
        return _WRITERS[self.type]

    def to_native(self, wire: Json, tenant: str | None) -> Native:
        """Return what Firestore is to hold; TerminalRecord naming the field if it cannot be."""
        wire = self.at_backend(wire)
        if wire is None:
            return None
        try:
            return self._native(wire, tenant)
        except (ValueError, TypeError, OverflowError, InvalidOperation):
            raise TerminalRecord("type", f"field {self.name!r} is not of type {self.type}", self.name) from None
        except TerminalRecord as error:
            raise TerminalRecord(error.code, f"field {self.name!r}: {error}", self.name) from None

    def _native(self, wire: Json, tenant: str | None) -> Native:
        """Return what Firestore is to hold; what would read back in another form is refused, or it would look like an edit."""
        native = self._write(self, wire, tenant)
        if self._read and not same(wire, native if (read := self._read(self, native, tenant)) is None else read):
            raise TerminalRecord("not-representable", f"is not in the one form in which a {self.type} travels")
        return native

    def at_backend(self, wire: Json) -> Json:
        """Return a value as the backend writes it."""
        return self.empty if wire is None else wire

    def from_backend(self, wire: Json) -> Json:
        """Return a value as it travels."""
        return None if self.empty is not None and same(wire, self.empty) else wire


def _read_decimal(spec: Field, native: Native, tenant: str | None) -> Json:
    if isinstance(native, bool) or not isinstance(native, (int, float, str)):
        return None
    try:
        number = Decimal(repr(native) if isinstance(native, float) else native)
        if not number.is_finite() or abs(number.adjusted()) > EXACT.prec:
            return None
        fixed = number if spec.places is None else number.quantize(Decimal(1).scaleb(-spec.places), context=EXACT)
    except InvalidOperation:
        return None
    return format(fixed if fixed else abs(fixed), "f") if fixed == number else None


def _read_date(spec: Field, native: Native, tenant: str | None) -> Json:
    if isinstance(native, datetime) and instant(native).endswith("T00:00:00.000000Z"):
        return native.astimezone(UTC).date().isoformat()
    return None


def _read_datetime(spec: Field, native: Native, tenant: str | None) -> Json:
    try:
        return instant(native if isinstance(native, datetime) else parse_instant(native))
    except (TypeError, ValueError, OverflowError):
        return None


def as_set(items: Sequence[Json]) -> list[Json]:
    """Return the items as a set travels: each once, texts by their UTF-8 bytes as the backend sorts keys, else by their JSON."""
    unique = {canonical(item): item for item in items}
    return sorted(unique.values(), key=lambda item: (False, item) if isinstance(item, str) else (True, canonical(item)))


def _read_set(spec: Field, native: Native, tenant: str | None) -> Json:
    if not isinstance(native, list):
        return None
    return as_set(list(map(plain, native)))


def _read_reference(spec: Field, native: Native, tenant: str | None) -> Json:
    if not isinstance(native, Reference):
        return None
    collection, _, id = native.path.rpartition("/")
    return key_of(id) if collection == (spec.to or "").format(tenant=tenant and document_id(tenant)) else None


_READERS: Mapping[Type, Callable[[Field, Native, str | None], Json]] = {
    Type.DECIMAL: _read_decimal,
    Type.DATE: _read_date,
    Type.DATETIME: _read_datetime,
    Type.SET: _read_set,
    Type.REFERENCE: _read_reference,
}


def _a(*kinds: type) -> Callable[[Field, Json, str | None], Native]:
    def write(spec: Field, wire: Json, tenant: str | None) -> Native:
        if not isinstance(wire, kinds) or (isinstance(wire, bool) and bool not in kinds):
            raise TypeError
        return storable(wire)

    return write


def _write_decimal(spec: Field, wire: Json, tenant: str | None) -> Native:
    if not isinstance(wire, str) or _read_decimal(spec, wire, tenant) != wire:
        raise ValueError
    return wire


def _write_date(spec: Field, wire: Json, tenant: str | None) -> Native:
    return date.fromisoformat(wire).isoformat()


def _write_datetime(spec: Field, wire: Json, tenant: str | None) -> Native:
    return parse_instant(wire)


def _write_integer(spec: Field, wire: Json, tenant: str | None) -> Native:
    if isinstance(wire, float) and wire.is_integer():
        wire = int(wire)
    if isinstance(wire, int) and wire not in INT64:
        raise TerminalRecord("not-representable", "an integer is past 64 bits")
    return _a(int)(spec, wire, tenant)


def _write_reference(spec: Field, wire: Json, tenant: str | None) -> Native:
    if not isinstance(wire, str):
        raise TypeError
    return Reference(f"{(spec.to or '').format(tenant=tenant and document_id(tenant))}/{document_id(wire)}")


_WRITERS: Mapping[Type, Callable[[Field, Json, str | None], Native]] = {
    Type.TEXT: _a(str),
    Type.INTEGER: _write_integer,
    Type.NUMBER: _a(int, float),
    Type.DECIMAL: _write_decimal,
    Type.BOOLEAN: _a(bool),
    Type.DATE: _write_date,
    Type.DATETIME: _write_datetime,
    Type.LIST: _a(list),
    Type.SET: _a(list),
    Type.MAP: _a(dict),
    Type.JSON: _a(bool, int, float, str, list, dict),
    Type.REFERENCE: _write_reference,
}


@dataclass(frozen=True)
class Entity:
    """A kind of record: where its documents lie (`members`, `schools/{tenant}/members`) and its synced fields. `policy`
    decides over deletes, and over the fields that have none of their own. `ends` are the two references between which a
    graph has it as a relationship. What is `published` are events: no table of the backend's holds them."""

    name: str
    collection: str
    fields: tuple[Field, ...] = field(default=())
    policy: Policy = Policy.LAST_WRITE_WINS
    ends: tuple[str, str] | None = None
    published: bool = False

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The fields' names as they travel."""
        return tuple(each.name for each in self.fields)

    def policy_of(self, name: str) -> Policy:
        """Return the policy by which a field's conflicts are settled."""
        return self.by_name[name].policy or self.policy

    @cached_property
    def policies(self) -> frozenset[Policy]:
        """All policies in use, that for deletes among them."""
        return frozenset({self.policy, *map(self.policy_of, self.names)})

    def at_backend(self, name: str, wire: Json) -> Json:
        """Return a field's value as the backend writes it."""
        return self.by_name[name].at_backend(wire)

    def from_backend(self, name: str, wire: Json) -> Json:
        """Return a field's value as it travels."""
        return self.by_name[name].from_backend(wire)

    def hash_of(self, record: Record) -> int:
        """Return the hash of a live record, which both sides make of the values as the backend writes them."""
        values = {name: each.value for name, each in record.version.fields.items()}
        return self.hash_of_texts(record.id, {name: canonical(each) for name, each in values.items() if each is not None}, values)

    def hash_of_texts(self, record: RecordId, texts: Mapping[str, str], names: Container[str]) -> int:
        """Return the hash of a live record with these fields, whose values but null have these texts as their canonical JSON."""
        empty = {name: text for name, text in self._empty.items() if name not in texts and name in names}
        return hash_of_texts(record, {**texts, **empty})

    @cached_property
    def _empty(self) -> Mapping[str, str]:
        """The canonical JSON of what the backend writes for null, of the fields that have no null there."""
        return {each.name: canonical(each.empty) for each in self.fields if each.empty is not None}

    @cached_property
    def by_name(self) -> Mapping[str, Field]:
        """The fields by the name under which they travel."""
        return {each.name: each for each in self.fields}

    @cached_property
    def has_tenant(self) -> bool:
        """Whether its collection is nested under a tenant."""
        return "{tenant}" in self.collection

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = (r"(?P<tenant>[^/]+)" if part == "{tenant}" else re.escape(part) for part in self.collection.split("/"))
        return re.compile("/".join(parts) + r"/(?P<id>[^/]+)")

    def collection_of(self, tenant: str | None) -> str:
        """Return the path of the collection that holds a tenant's records."""
        if not self.has_tenant:
            return self.collection
        if not tenant:
            raise TerminalRecord(
                "malformed", f"a record of {self.name!r} names no tenant, and its collection is {self.collection}"
            )
        return self.collection.format(tenant=document_id(tenant))

    def path(self, record: RecordId) -> str:
        """Return the path of a record's document, relative to the database."""
        return f"{self.collection_of(record.tenant)}/{document_id(record.key)}"

    def record(self, path: str) -> RecordId | None:
        """Return the record whose document lies at `path`; None if that is no document of this entity."""
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        tenant = key_of(found["tenant"]) if self.has_tenant else None
        return RecordId(self.name, key_of(found["id"]), tenant)

    def to_wire(self, native: Mapping[str, Native], tenant: str | None) -> dict[str, Json]:
        """Return the synced fields that a document holds, nulls left out."""
        values = [(each.name, each.to_wire(native[each.at], tenant)) for each in self.fields if each.at in native]
        return {name: value for name, value in values if value is not None}

    def to_native(self, values: Mapping[str, Json], tenant: str | None) -> dict[str, Native]:
        """Return what a document is to hold, by Firestore's names; TerminalRecord naming the field that it cannot."""
        return {self.by_name[name].at: self.by_name[name].to_native(value, tenant) for name, value in values.items()}
