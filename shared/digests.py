"""Counts and sums of record hashes, and how to find what differs by few of them: pure.

A record's hash is a number of 44 bits of its key and synced fields; a digest is how many records there are in a part and
the sum of their hashes. One side tells all its digests at once, the other is asked, part by part; each question costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from shared.model import RecordId

HASHES = 2**44
EXACT_BELOW = 2**18
"""Records of one part whose sum surely stays below 2^63, where Firestore's sums stop being exact; half of what fits."""
FEW = 32
"""Records of a part that are rather read than narrowed down further: a question costs one read at least."""


@dataclass(frozen=True, slots=True)
class Digest:
    """How many records, and the sum of their hashes; None where that is past exactness, which equals nothing that is told."""

    count: int = 0
    total: int | None = 0

    def without(self, part: Digest) -> Digest | None:
        """Return the digest of the rest; None if it has to be asked for."""
        if self.total is None or part.total is None:
            return None
        return Digest(self.count - part.count, self.total - part.total)


@dataclass(frozen=True, slots=True)
class Hashed:
    """A record and its hash, as a peer remembers it."""

    id: RecordId
    hash: int


@dataclass(frozen=True, slots=True)
class Part:
    """A part in which two sides differ, from `low` up to but not with `high`; `theirs` is what the side that is asked holds."""

    low: int
    high: int
    theirs: Digest


Tell = Callable[[int, int], Digest]
"""(low, high) -> the digest of what lies there."""


def narrow(low: int, high: int, told: Tell, ask: Tell, theirs: Digest | None = None) -> Iterator[Part]:
    """Yield the parts of `low` to `high` that differ, each with few records at the side that is asked, or of width 1.

    Halves what differs. Of two halves only one is asked for; the other is the rest.
    """
    theirs = theirs or ask(low, high)
    if theirs == told(low, high):
        return
    if high - low == 1 or theirs.count <= FEW:
        yield Part(low, high, theirs)
        return
    middle = (low + high) // 2
    left = ask(low, middle)
    yield from narrow(low, middle, told, ask, left)
    yield from narrow(middle, high, told, ask, theirs.without(left))


def differing_buckets(told: Sequence[Digest], ask: Tell) -> Iterator[Part]:
    """Yield the parts of all buckets that differ; `told` holds each bucket's digest, `ask` is asked about ranges of them."""
    tell = _sums(told)
    width = len(told)
    while width > 1 and tell(0, len(told)).count * width > EXACT_BELOW * len(told):
        width //= 2
    for low in range(0, len(told), width):
        yield from narrow(low, low + width, tell, ask)


def differing_hashes(mine: Sequence[Hashed], ask: Tell, theirs: Digest) -> Iterator[Part]:
    """Yield the ranges of hashes in which one bucket differs; `mine` are the records that the other side has in it."""

    def tell(low: int, high: int) -> Digest:
        inside = [each.hash for each in mine if low <= each.hash < high]
        return Digest(len(inside), sum(inside))

    yield from narrow(0, HASHES, tell, ask, theirs)


def _sums(told: Sequence[Digest]) -> Tell:
    counts = [0, *accumulate(each.count for each in told)]
    totals = [0, *accumulate(each.total or 0 for each in told)]
    return lambda low, high: Digest(counts[high] - counts[low], totals[high] - totals[low])
