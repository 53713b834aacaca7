"""Canonical JSON and the hashes made of it. Pure.

RFC 8785, save that keys sort by UTF-8 bytes (which is code point order), integers are written out in full, any
integral float is written as that integer, and -0 is 0.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from json.encoder import encode_basestring
from typing import Any

LARGEST_DOUBLE = 1.7976931348623157e308


class NotJson(ValueError):
    """A value that JSON between the two sides cannot carry. The text never holds the value."""


def canonical(value: Any) -> bytes:
    """Return the canonical JSON of `value` as UTF-8. Raise NotJson: NaN, past a double, lone surrogate, other types."""
    try:
        return (encode_basestring(value) if type(value) is str else _text(value)).encode()
    except UnicodeEncodeError:
        raise NotJson("half a surrogate pair") from None


def _text(value: Any) -> str:
    return (_WRITERS.get(type(value)) or _writer_for(value))(value)


def _writer_for(value: Any) -> Callable[[Any], str]:
    """Return what writes a value of a subclass, or of another kind of map or list."""
    for kind, writer in _WRITERS.items():
        if isinstance(value, kind):
            return writer
    if isinstance(value, Mapping):
        return _map
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return _list
    raise NotJson("a type that JSON does not have")


def _map(value: Mapping[Any, Any]) -> str:
    if not all(isinstance(key, str) for key in value):
        raise NotJson("a key that is no text")
    return "{" + ",".join([f"{encode_basestring(key)}:{_text(value[key])}" for key in sorted(value)]) + "}"


def _list(value: Sequence[Any]) -> str:
    return "[" + ",".join([_text(item) for item in value]) + "]"


def _integer(value: int) -> str:
    if abs(value) > int(LARGEST_DOUBLE):
        raise NotJson("a number past a double")
    return str(int(value))


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise NotJson("a number past a double, or none at all")
    if value.is_integer():
        return str(int(value))
    text = repr(value)
    if "e" not in text:
        return text
    # ECMAScript writes 1e-5 and 1e-6 out, and its exponents have no leading zero
    mantissa, exponent = text.split("e")
    power = int(exponent)
    if power < -6:
        return f"{mantissa}e{power}"
    sign, digits = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
    return f"{sign}0.{'0' * (-power - 1)}{digits.replace('.', '')}"


_WRITERS: Mapping[type, Callable[[Any], str]] = {
    str: encode_basestring,
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: _integer,
    float: _float,
    dict: _map,
    list: _list,
}
"""By type, bool before int; looking one up is cheaper than asking for each in turn."""


def plain(value: Any) -> Any:
    """Return `value` with integral floats as integers: equal in canonical JSON, and stored alike by every database."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def same(a: Any, b: Any) -> bool:
    """Return whether two values are one value: equal canonical JSON."""
    if a is b:
        return True
    if type(a) is type(b) and isinstance(a, str | int | None):
        return bool(a == b)  # the usual case, without the detour
    return canonical(a) == canonical(b)


_OF_NULL = sha256(b"null").hexdigest()[:16]


def fingerprint(value: Any) -> str:
    """Return the first 16 hex digits of SHA-256 of the canonical JSON."""
    if value is None:
        return _OF_NULL
    plain_text = type(value) is str and value.isascii()  # most values are: they are spared the way round
    return sha256(encode_basestring(value).encode() if plain_text else canonical(value)).hexdigest()[:16]


def record_hash(tenant: str, key: str, fields: Mapping[str, Any]) -> int:
    """Return the 44-bit hash of a live record, null fields left out."""
    held = {name: value for name, value in fields.items() if value is not None}
    return int(sha256(canonical([tenant or None, key, held])).hexdigest()[:11], 16)


def bucket_hash(tenant: str, key: str) -> int:
    """Return the 32-bit number whose remainder by `buckets` is the record's bucket."""
    return int.from_bytes(sha256(f"{tenant}\0{key}".encode()).digest()[:4], "big")


def conflict_id(entity: str, tenant: str, key: str, field: str, stamps: tuple[str, str]) -> str:
    """Return the 32 hex digits that name one conflict alike from both sides."""
    parts = [entity, tenant or None, key, field, min(stamps), max(stamps)]
    return sha256(canonical(parts)).hexdigest()[:32]
