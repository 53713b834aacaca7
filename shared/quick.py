"""Compares two peers by the digests of their records: finds what the stored hashes show, for a read per thousand records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from shared.canonical import bucket_of
from shared.comparing import Batch
from shared.digests import FEW, HASHES, Digest, Hashed, Part, differing_buckets, differing_hashes
from shared.model import RecordId, Scope
from shared.peers.base import Asked, Peer, Teller

ALL = range(HASHES)
PAGES_AT_ONCE = 10
"""A backend adopts raw edits when it shows its hashes, and mending one batch carries all of them over: what comes in a later
batch is then found equal. So batches are large."""


def roles(left: Peer, right: Peer) -> tuple[Teller, Asked] | None:
    """Return which side tells its digests and which is asked; None if the two are not such a pair."""
    for teller, asked in ((left, right), (right, left)):
        if isinstance(teller, Teller) and isinstance(asked, Asked):
            return teller, asked
    return None


def quick(teller: Teller, asked: Asked, scope: Scope, entity: str, told: Sequence[Digest]) -> Iterator[Batch]:
    """Yield the records of one entity and tenant whose hashes differ, some at a time, and at last how many others there are.

    `told` are the teller's digests. An edit whose trigger was lost left the hash as it was, and is not seen.
    """
    parts = list(differing_buckets(told, lambda low, high: asked.digest(scope, entity, range(low, high), ALL)))
    buckets = {bucket: told[bucket] for part in parts for bucket in range(part.low, part.high)}
    rest = sum(each.count for each in told)
    for some, mine in teller.hashes(scope, entity, buckets) if buckets else ():
        found = _unlike(asked, scope, entity, parts, some, mine)
        while ids := list(islice(found, PAGES_AT_ONCE * scope.page_size)):
            rest -= len({each.id for each in mine} & set(ids))
            yield Batch(len(ids), ids)
    yield Batch(rest, [])


def _unlike(
    asked: Asked, scope: Scope, entity: str, parts: Sequence[Part], buckets: set[int], mine: Sequence[Hashed]
) -> Iterator[RecordId]:
    """Yield the records in these buckets that only one side has, or each with another hash; `mine` are the teller's."""
    lying: dict[int, list[Hashed]] = {}
    for each in mine:
        lying.setdefault(bucket_of(each.id), []).append(each)
    for part, within in _pieces(parts, buckets):
        here = [each for bucket in within for each in lying.get(bucket, ())]
        found: dict[RecordId, None] = {}
        for hashes in _ranges(asked, scope, entity, part, within, here):
            there = asked.hashed(scope, entity, within, hashes) if part.theirs.count else []
            found |= dict.fromkeys(each.id for each in {each for each in here if each.hash in hashes} ^ set(there))
        yield from found


def _pieces(parts: Sequence[Part], buckets: set[int]) -> Iterator[tuple[Part, range]]:
    """Yield the differing parts as far as they lie in these buckets: whole, or bucket by bucket."""
    for part in parts:
        inside = [bucket for bucket in range(part.low, part.high) if bucket in buckets]
        whole = len(inside) == part.high - part.low
        yield from ((part, piece) for piece in ([range(part.low, part.high)] if whole else [range(b, b + 1) for b in inside]))


def _ranges(asked: Asked, scope: Scope, entity: str, part: Part, buckets: range, here: Sequence[Hashed]) -> Iterator[range]:
    """Yield the hashes to look at: all, save in a bucket of many records, where only some of them differ."""
    if part.high - part.low > 1 or part.theirs.count <= FEW:
        yield ALL
        return
    for some in differing_hashes(here, lambda low, high: asked.digest(scope, entity, buckets, range(low, high)), part.theirs):
        yield range(some.low, some.high)
