"""Canonical JSON, and the fingerprints, hashes and ids that are made of it: pure. Both ends of a pair make the same.

RFC 8785 with three differences: keys sort by UTF-8 bytes (the order of code points), integral numbers are written out
in full without a fraction, and -0 is 0.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

from shared.errors import TerminalRecord
from shared.model import Json, RecordId, Stamp

BUCKETS = 4096
SLOTS = 64
"""Queue entries in Firestore carry one of so many numbers; n shards of a queue take every nth of them each."""


def canonical(value: Json) -> str:
    """Return the canonical JSON of `value`; TerminalRecord `not-representable` for NaN, infinity and half a surrogate pair."""
    if type(value) is str:  # most values are
        return encode_basestring(value) if value.isascii() else _string(value)
    return (_WRITERS.get(type(value)) or _writer_for(value))(value)


def _writer_for(value: Json) -> Callable[[Any], str]:
    """Return what writes a value of a subclass; a tuple is a list."""
    return next((write for kind, write in _WRITERS.items() if isinstance(value, kind)), _list)


def _list(items: Sequence[Json]) -> str:
    return "[" + ",".join([canonical(item) for item in items]) + "]"


def _map(items: Mapping[str, Json]) -> str:
    return "{" + ",".join([f"{canonical(name)}:{canonical(items[name])}" for name in sorted(items)]) + "}"


def _string(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TerminalRecord("not-representable", "a text holds half of a surrogate pair, which UTF-8 cannot say") from None
    return encode_basestring(text)


def _integer(value: int) -> str:
    try:
        float(value)
    except OverflowError:
        raise TerminalRecord("not-representable", "a number is past what a double can hold") from None
    return str(value)


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise TerminalRecord("not-representable", "a number is NaN or infinite, which JSON cannot say")
    if value.is_integer():
        return str(int(value))
    shortest = repr(value)
    if "e" not in shortest:
        return shortest
    if abs(value) >= 1e-6:  # ECMAScript writes these without an exponent, Python does not
        return format(Decimal(shortest), "f")
    digits, _, exponent = shortest.partition("e")
    return f"{digits}e{int(exponent)}"


_WRITERS: Mapping[type, Callable[[Any], str]] = {
    str: _string,
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: _integer,
    float: _number,
    dict: _map,
    list: _list,
}
"""By type, bool before int: a value's own type is looked up, which is most of what writing one costs."""


def same(one: Json, other: Json) -> bool:
    """Return whether two values are one value: 1 and 1.0 are, 1 and true are not."""
    if one is None or other is None:
        return one is other
    if type(one) is type(other) is str and one.isascii() and other.isascii():
        return bool(one == other)
    return canonical(one) == canonical(other)


def digest(text: str) -> str:
    """Return the SHA-256 of `text` in UTF-8, 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(value: Json) -> str:
    """Return 16 hex digits that tell one value from another."""
    return fingerprint_of(canonical(value))


def fingerprint_of(text: str) -> str:
    """Return the fingerprint of the value whose canonical JSON this is."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def record_hash(record: RecordId, fields: Mapping[str, Json]) -> int:
    """Return the 44-bit hash of a record's key and synced fields, named as the backend names them; null is absent."""
    return hash_of_texts(record, {name: canonical(value) for name, value in fields.items() if value is not None})


def hash_of_texts(record: RecordId, texts: Mapping[str, str]) -> int:
    """Return the hash of the record whose fields, save the absent ones, have these texts as their canonical JSON."""
    fields = ",".join([f"{canonical(name)}:{texts[name]}" for name in sorted(texts)])
    return int(digest(f"[{canonical(record.tenant or None)},{canonical(record.key)},{{{fields}}}]")[:11], 16)


def bucket_of(record: RecordId, buckets: int = BUCKETS) -> int:
    """Return the bucket of a record, 0 to `buckets` - 1. Coarser buckets are this one modulo their number."""
    start = hashlib.sha256(f"{record.tenant or ''}\0{record.key}".encode()).digest()[:4]
    return int.from_bytes(start) % buckets


def slot_of(record: RecordId, slots: int = SLOTS) -> int:
    """Return the slot of a record by its key alone, 0 to `slots` - 1: the REST contract's `shard=i/n` is slot i of n. Where n
    divides 64, it is this modulo n, so one shard has the same records in both queues."""
    return zlib.crc32(record.key.encode(errors="surrogatepass")) % slots


def conflict_id(record: RecordId, field: str, one: Stamp, other: Stamp) -> str:
    """Return the id by which both directions know one conflict: 32 hex digits."""
    first, second = sorted((one, other))
    return digest(canonical([record.entity, record.tenant or None, record.key, field, first, second]))[:32]
