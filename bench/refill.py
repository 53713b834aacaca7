"""Fills Firestore's queue with edits: adopted by the sync the first time, after that model from then on, which takes seconds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bench.ceiling import QUEUE, plain
from bench.raw import update, value
from bench.stand import Stand
from shared.canonical import fingerprint

EDITED = ("phone", "notes", "visits")


class Refill:
    """Edits documents as clients do and has the edits queued. The first time must be the one with the most documents."""

    def __init__(self, stand: Stand) -> None:
        """Describe it."""
        self._stand, self._models = stand, dict[str, Any]()

    def __call__(self, turn: int, number: int) -> None:
        """Edit so many members, each value another one in each turn; nothing else is in the queue then."""
        firestore = self._stand.firestore
        firestore.delete([each.name for each in firestore.documents(QUEUE, ["entity"])])
        documents = firestore.documents("members")[:number]
        for each in documents:
            _edit(each, turn)
        if self._models:
            stamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z|firestore"
            entries = [_adopted(each, self._models, stamp) for each in documents]
            firestore.write([update(each, (*EDITED, "_sync")) for each in documents])
            firestore.write([update(each) for each in entries])
            return
        firestore.write([update(each, EDITED) for each in documents])
        self._stand.ours("adopt", given=[_key(each) for each in documents])
        self._models = {each.fields["key"].string_value: each for each in firestore.documents(QUEUE)}


def _key(document: Any) -> str:
    return str(document.name.rpartition("/")[2])


def _edit(document: Any, turn: int) -> None:
    visits = document.fields["visits"].integer_value + 1
    for name, new in zip(EDITED, (f"{turn} {_key(document)}", f"note {turn} on {_key(document)}", visits), strict=True):
        document.fields[name].CopyFrom(value(new))


def _adopted(document: Any, models: Mapping[str, Any], stamp: str) -> Any:
    """Note the edits in the document's index, and return their queue entry."""
    entry = type(document)()
    entry.CopyFrom(models[_key(document)])
    lines = document.fields["_sync"].map_value.fields["fields"].map_value.fields
    bases, values = (entry.fields[name].map_value.fields for name in ("base", "fields"))
    for name in EDITED:
        bases[name].string_value = lines[name].string_value.rpartition("|")[0]
        values[name].CopyFrom(document.fields[name])
        lines[name].string_value = f"{stamp}|{fingerprint(plain(document.fields[name]))}"
    entry.fields["stamp"].string_value = stamp
    return entry
