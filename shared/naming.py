"""Names in Firestore: documents named after keys, and the entries of the sync's own collections. Pure."""

from __future__ import annotations

import hashlib
import re

from shared.canonical import canonical
from shared.errors import TerminalRecord

# Document ids may hold neither "/" nor be ".", ".." or "__x__". Both ways are bijective, so that documents and records
# that were there before keep the names they have.
_ESCAPED_SLASH = re.compile(r"%(?=(?:25)*2F)")
_ESCAPE = re.compile(r"%25(?=(?:25)*2F)|%2F")
_PRIVATE = re.compile("__.*__", re.DOTALL)
_RESERVED = re.compile(r"%*(\.|\.\.|__.*__)", re.DOTALL)
MAX_ID_BYTES = 1500


def sayable(text: str) -> str:
    """Return `text`; TerminalRecord if UTF-8 cannot say it (half a surrogate pair)."""
    canonical(text)
    return text


def reserved(name: str) -> bool:
    """Return whether Firestore keeps a field's name for itself."""
    return not name or _PRIVATE.fullmatch(name) is not None


def document_id(key: str) -> str:
    """Return the document id of a key; TerminalRecord if Firestore can hold none (too long, empty)."""
    escaped = _ESCAPED_SLASH.sub("%25", sayable(key)).replace("/", "%2F")
    if _RESERVED.fullmatch(escaped):
        escaped = "%" + escaped
    if not 0 < len(escaped.encode()) <= MAX_ID_BYTES:
        raise TerminalRecord("not-representable", f"a key must have 1 to {MAX_ID_BYTES} bytes to be the name of a document")
    return escaped


def is_document_id(text: str) -> bool:
    """Return whether Firestore can have a document of this name."""
    try:
        size = len(sayable(text).encode())
    except TerminalRecord:
        return False
    return 0 < size <= MAX_ID_BYTES and "/" not in text and text not in {".", ".."} and not reserved(text)


def key_of(id: str) -> str:
    """Return the key of a document id; the inverse of `document_id`."""
    if id.startswith("%") and _RESERVED.fullmatch(id):
        id = id[1:]
    return _ESCAPE.sub(lambda found: "/" if found[0] == "%2F" else "%", id)


def hashed_id(*parts: str | None) -> str:
    """Return 32 hex digits that stand for these parts where they are not to be read. Whoever can guess a key can check it."""
    text = "\0".join(part or "" for part in parts)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def state_id(*parts: str | None, at: str = "") -> str:
    """Return the readable id of an entry in a `sync_*` collection: the parts that are there, and when, joined by colons."""
    names = [re.sub("[%/:\ud800-\udfff]", lambda found: f"%{ord(found[0]):02X}", part) for part in parts if part]
    return ":".join([*names, at] if at else names)
