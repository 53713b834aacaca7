"""Compares two peers by reading every record of both: finds what no trigger and no digest told of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from shared.comparing import WINDOW, Batch, alike, in_turn, side_by_side
from shared.model import Record, RecordId, Scope
from shared.peers.base import Asked, Peer


def full(left: Peer, right: Peer, scope: Scope, entity: str, after: str | None = None) -> Iterator[Batch]:
    """Yield all records of one entity and tenant after the key `after`, compared, a page's worth at a time.

    Going on costs a backend's pages again, since the contract starts them at the first record, and no Firestore reads.
    """
    late: tuple[list[RecordId], list[RecordId]] = ([], [])
    streams = [
        in_turn(chain.from_iterable(peer.records(scope, entity, after)), some, after, 0 if isinstance(peer, Asked) else WINDOW)
        for peer, some in zip((left, right), late, strict=True)
    ]
    pairs = side_by_side(*streams)
    while True:
        some = list(islice(pairs, scope.page_size))
        lost = _missing(late[0], right) + _missing(late[1], left)
        if not some and not lost:
            return
        last = [each.id.key for pair in some for each in pair if each][-1:]
        yield Batch(len(some) + len(lost), [*_differing(some), *lost], *last)


def _differing(pairs: Sequence[tuple[Record | None, Record | None]]) -> Iterator[RecordId]:
    for mine, theirs in pairs:
        one = mine or theirs
        if one and not (mine and theirs and alike(mine.version, theirs.version)):
            yield one.id


def _missing(late: list[RecordId], other: Peer) -> list[RecordId]:
    """Return those of the records that came too late to be compared which the other side lacks, and forget them all.

    Those that it has were met in its own turn, seemed to be missing here, and are read again for that.
    """
    ids = late.copy()
    late.clear()
    there = {each.id for each in other.read(ids, adopting=False) if each.version.deleted is None} if ids else set()
    return [id for id in ids if id not in there]
