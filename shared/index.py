"""What a peer remembers of a record, and how it finds the edits that no one told it of: pure.

Like git's index: for every field the stamp and the fingerprint of the value last accounted for. A value that no longer
matches its fingerprint is an unseen edit. Adopting gives it its one stamp and its change, to be written in one commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from shared.canonical import canonical, fingerprint, fingerprint_of
from shared.model import Action, Change, Json, RecordId, Stamp, Value, Version, stamp_after


@dataclass(frozen=True, slots=True)
class Entry:
    """A field's line in the index."""

    stamp: Stamp
    fingerprint: str


NULL = canonical(None)
Index = Mapping[str, Entry]


@dataclass(frozen=True)
class Held:
    """What lies at a peer: the live values (None: no live record; null and absent are the same), the index, the tombstone."""

    values: Mapping[str, Json] | None = None
    index: Index = field(default_factory=dict)
    tombstone: Version = field(default_factory=Version)

    def unseen(self) -> tuple[str, ...]:
        """Return the names of the fields that were edited and not adopted yet."""
        return self._unseen

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """The canonical JSON of each live value but null; fingerprints and the record's hash are made of it."""
        return {name: canonical(value) for name, value in (self.values or {}).items() if value is not None}

    @cached_property
    def _unseen(self) -> tuple[str, ...]:
        if self.values is None:
            return ()
        texts, index = self.texts, self.index
        known = [name for name, entry in index.items() if entry.fingerprint != fingerprint_of(texts.get(name, NULL))]
        return (*known, *[name for name in texts if name not in index])

    def version(self) -> Version:
        """Return the version held, the same object every time. Only of a record without unseen edits: no value leaves a peer
        before it is adopted."""
        return self.tombstone if self.values is None else self._live

    @cached_property
    def _live(self) -> Version:
        values = self.values or {}
        return Version({name: Value(values.get(name), entry.stamp) for name, entry in self.index.items()})


def index_of(fields: Mapping[str, Value]) -> dict[str, Entry]:
    """Return the index that accounts for these fields."""
    return {name: Entry(value.stamp, fingerprint(value.value)) for name, value in fields.items()}


def adopt(record: RecordId, held: Held, when: datetime, origin: str, names: Iterable[str], id: str) -> tuple[Change, Version]:
    """Return the change that the unseen edits make, and the version held with it.

    A record with no index at all was written blindly or is new: that is a create, which stamps every one of `names` and
    inherits nothing; what the index had said is gone with it.
    """
    values = held.values or {}
    blind = not held.index
    edited = tuple(names) if blind else held.unseen()
    seen = [entry.stamp for entry in held.index.values()]  # of all: one may have beaten a tombstone that is forgotten
    if held.tombstone.deleted is not None:
        seen += [held.tombstone.deleted, *(value.stamp for value in held.tombstone.fields.values())]
    stamp = stamp_after(when, origin, seen)
    fields = {name: Value(values.get(name), stamp) for name in edited}
    base = {name: held.index[name].stamp if name in held.index else held.tombstone.deleted for name in edited}
    known = {name: Value(values.get(name), entry.stamp) for name, entry in held.index.items()}
    action = Action.CREATE if blind else Action.UPDATE
    return Change(id, record, action, fields, base), Version({**known, **fields})
