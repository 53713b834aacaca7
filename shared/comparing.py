"""Two sides' records next to each other, and what differs in them: pure.

Both are walked in the order of document ids. A backend shows its records in the order of keys, which is nearly the same:
only a key with "/" in it, or one that no document may be named after, has another name in Firestore.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from shared.canonical import same
from shared.errors import TerminalRecord
from shared.model import Record, RecordId, Version
from shared.naming import document_id

WINDOW = 500
"""Records held back of a backend, so that those slightly out of turn can be put in order."""


def document_of(key: str) -> str | None:
    """Return the id of a record's document; None if no document can be named after it."""
    try:
        return document_id(key)
    except TerminalRecord:
        return None


def turn(key: str) -> bytes:
    """Return what orders records by the ids of their documents."""
    return (document_of(key) or key).encode(errors="surrogatepass")


def in_turn(records: Iterable[Record], late: list[RecordId], after: str | None = None, window: int = WINDOW) -> Iterator[Record]:
    """Yield the records after the key `after` in the order of their document ids. What comes too late is put into `late`.

    So many as `window` are looked at ahead: 0 of a side that comes in this order, where each look is billed.
    """
    waiting: list[tuple[bytes, int, Record]] = []
    last = turn(after) if after is not None else b""
    for number, record in enumerate(records):
        place = turn(record.id.key)
        if place > last:
            heappush(waiting, (place, number, record))
        elif after is None or record.id.key > after:
            late.append(record.id)
        if len(waiting) > window:
            last, _, first = heappop(waiting)
            yield first
    while waiting:
        yield heappop(waiting)[2]


def side_by_side(left: Iterator[Record], right: Iterator[Record]) -> Iterator[tuple[Record | None, Record | None]]:
    """Yield every record as both sides hold it, None where one has none; both come in turn."""
    mine, theirs = next(left, None), next(right, None)
    while mine or theirs:
        places = [turn(each.id.key) for each in (mine, theirs) if each]
        first = min(places)
        here = mine if mine and places[0] == first else None
        there = theirs if theirs and places[-1] == first else None
        yield here, there
        mine, theirs = next(left, None) if here else mine, next(right, None) if there else theirs


def alike(one: Version, other: Version, but: frozenset[str] = frozenset()) -> bool:
    """Return whether two sides hold the same delete, or the same values and stamps, save in the fields named in `but`.

    What lies hidden under a tombstone is not compared: a backend does not show it.
    """
    if one.deleted or other.deleted:
        return one.deleted == other.deleted
    return but.issuperset(differing_fields(one, other))


def differing_fields(one: Version, other: Version) -> list[str]:
    """Return the names of the fields whose value or stamp is not the same on both sides."""
    names = dict.fromkeys((*one.fields, *other.fields))
    return [name for name in names if not _equal(one, other, name)]


def _equal(one: Version, other: Version, name: str) -> bool:
    mine, theirs = one.fields.get(name), other.fields.get(name)
    return mine is not None and theirs is not None and mine.stamp == theirs.stamp and same(mine.value, theirs.value)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records that were compared: how many, and which of them may differ. `last`: the last key, where they are in turn.

    `sure` are those that were seen to differ for certain, with the fields that did; it tells of what a run mends on its way.
    """

    compared: int
    differing: list[RecordId]
    last: str | None = None
    sure: Mapping[RecordId, list[str]] = field(default_factory=dict)
