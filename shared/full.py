"""Compares two peers by reading every record of both: finds what no trigger and no digest told of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from shared.comparing import WINDOW, Batch, alike, differing_fields, document_of, in_turn, side_by_side, turn
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
        last = next((key for pair in reversed(some) for each in pair if each and document_of(key := each.id.key)), None)
        differing = dict(_differing(some))
        sure = {id: names for id, names in differing.items() if names is not None}
        yield Batch(len(some) + len(lost), [*differing, *lost], last, sure)


def _differing(pairs: Sequence[tuple[Record | None, Record | None]]) -> Iterator[tuple[RecordId, list[str] | None]]:
    """Yield what is not alike, with the fields that differ; None for what may only be out of turn on the other side."""
    for mine, theirs in pairs:
        one = mine or theirs
        if mine and theirs and not alike(mine.version, theirs.version):
            yield mine.id, differing_fields(mine.version, theirs.version)
        elif one and not (mine and theirs):
            yield one.id, [] if turn(one.id.key) == one.id.key.encode(errors="surrogatepass") else None


def _missing(late: list[RecordId], other: Peer) -> list[RecordId]:
    """Return those of the records that came too late to be compared which the other side lacks, and forget them all.

    Those that it has were met in its own turn, seemed to be missing here, and are read again for that.
    """
    ids = late.copy()
    late.clear()
    there = {each.id for each in other.read(ids, adopting=False) if each.version.deleted is None} if ids else set()
    return [id for id in ids if id not in there]
