"""The pure parts of comparing two peers: side by side in the order of document ids, and narrowing down by digests."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Iterator
from functools import cache
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.canonical import BUCKETS, bucket_of, record_hash
from shared.comparing import WINDOW, alike, differing_fields, in_turn, side_by_side, turn
from shared.digests import FEW, HASHES, Digest, Hashed, differing_buckets, narrow
from shared.model import Json, Record, RecordId, Scope, Stamp, Value, Version
from shared.quick import quick

STAMP = Stamp("2026-01-01T00:00:00.000000Z|django")
LATER = Stamp("2026-01-02T00:00:00.000000Z|django")
SCOPE = Scope("things", ("thing",))


def record(key: str) -> Record:
    return Record(RecordId("thing", key), Version({"a": Value(1, STAMP)}))


def version(value: Json, stamp: Stamp = STAMP) -> Version:
    return Version({"a": Value(value, stamp)})


# What is the same

ALIKE = [(1, 1.0), (0, -0.0), (2**53, float(2**53)), ({"x": 1, "y": 2}, {"y": 2, "x": 1}), (None, None), ([], [])]
NOT_ALIKE = [
    ("é", "e\u0301"),
    ("Å", "\u212b"),
    (2**53 + 1, 2**53),
    (1, True),
    (0, False),
    (0, None),
    ("", None),
    ([], None),
    ({}, None),
    ("1", 1),
    (["a", "b"], ["b", "a"]),
    ({"x": None}, {}),
    ("12.50", "12.5"),
    ("a", "A"),
    ("a", "a "),
]


@pytest.mark.parametrize("one, other", ALIKE)
def test_one_value_written_in_two_ways_is_no_difference(one: Json, other: Json) -> None:
    assert alike(version(one), version(other))
    assert differing_fields(version(one), version(other)) == []


@pytest.mark.parametrize("one, other", NOT_ALIKE)
def test_values_that_only_look_alike_differ(one: Json, other: Json) -> None:
    assert not alike(version(one), version(other))
    assert differing_fields(version(one), version(other)) == ["a"]


def test_a_stamp_a_field_or_a_delete_that_only_one_side_has_is_a_difference() -> None:
    assert not alike(version(1), version(1, LATER))
    assert not alike(version(1), Version())
    assert not alike(version(1), Version({"a": Value(1, STAMP), "b": Value(None, STAMP)}))
    assert not alike(version(1), Version({"a": Value(1, STAMP)}, LATER))
    assert differing_fields(version(1), Version({"b": Value(1, STAMP)})) == ["a", "b"]


# Side by side

AWKWARD = st.text(st.sampled_from("%/._-0AZaz2F5é日😀"), min_size=1, max_size=6)
RESERVED = st.sampled_from([".", "..", "__x__", "__zz__", "%.", "%__x__", "/", "%2F"])
keys = st.sets(AWKWARD | RESERVED, max_size=30)


def by_key(some: set[str]) -> Iterator[Record]:
    """A backend's order: the UTF-8 bytes of the key."""
    return iter([record(key) for key in sorted(some, key=str.encode)])


def by_document(some: set[str]) -> Iterator[Record]:
    """Firestore's order."""
    return iter([record(key) for key in sorted(some, key=turn)])


@settings(deadline=None, max_examples=400)
@given(keys, keys)
def test_every_record_of_both_sides_is_met_once_whatever_its_key(mine: set[str], theirs: set[str]) -> None:
    late: list[RecordId] = []
    pairs = list(side_by_side(in_turn(by_key(mine), late), in_turn(by_document(theirs), late)))
    assert late == []
    met = [(one.id.key if one else None, other.id.key if other else None) for one, other in pairs]
    expected = [(key if key in mine else None, key if key in theirs else None) for key in sorted(mine | theirs, key=turn)]
    assert met == expected


def test_a_key_far_out_of_turn_is_told_apart_and_disturbs_nothing() -> None:
    some = {f"k{number:05}" for number in range(2 * WINDOW)} | {"__x__", "a/b", "z/b"}
    late: list[RecordId] = []
    early = {f"A{number:05}" for number in range(2 * WINDOW)}
    pairs = list(side_by_side(in_turn(by_key(some | early), late), by_document(some | early)))
    assert [each.key for each in late] == ["__x__"], "its document comes before all the others, its key after a thousand"
    assert [one for one, other in pairs if one is None] == [None]
    assert all(other is not None and (one is None or one.id == other.id) for one, other in pairs)


@settings(deadline=None, max_examples=200)
@given(keys, st.data())
def test_going_on_after_a_key_meets_exactly_the_rest(some: set[str], data: st.DataObject) -> None:
    after = data.draw(AWKWARD | RESERVED)
    late: list[RecordId] = []
    rest = [each.id.key for each in in_turn(by_key(some), late, after)]
    assert rest == sorted((key for key in some if turn(key) > turn(after)), key=turn)
    assert {each.key for each in late} == {key for key in some if turn(key) <= turn(after) and key > after}, (
        "done already, or late"
    )


# Digests


@cache
def hashed(key: str, value: int) -> Hashed:
    id = RecordId("thing", key)
    return Hashed(id, record_hash(id, {"a": value}))


@cache
def place(each: Hashed) -> int:
    return bucket_of(each.id) * HASHES + each.hash


class Shelf:
    """Records by bucket and hash, as a peer that tells and as one that is asked, and what the questions are billed."""

    def __init__(self, records: dict[str, int]) -> None:
        self.records = [
            Hashed(RecordId("thing", key), record_hash(RecordId("thing", key), {"a": value})) for key, value in records.items()
        ]
        self.records.sort(key=lambda each: (bucket_of(each.id), each.hash))
        self.places = [bucket_of(each.id) * HASHES + each.hash for each in self.records]
        self.sums = [0, *accumulate(each.hash for each in self.records)]
        self.reads = self.questions = 0

    def _between(self, buckets: range, hashes: range) -> tuple[int, int]:
        assert len(hashes) == HASHES or len(buckets) == 1, "no index serves two ranges"
        low, high = buckets.start * HASHES + hashes.start, (buckets.stop - 1) * HASHES + hashes.stop
        return bisect.bisect_left(self.places, low), bisect.bisect_left(self.places, high)

    def digest(self, scope: Scope, entity: str, buckets: range, hashes: range) -> Digest:
        start, end = self._between(buckets, hashes)
        self.reads, self.questions = self.reads + max(1, -(-(end - start) // 1000)), self.questions + 1
        total = self.sums[end] - self.sums[start]
        return Digest(end - start, total if total < 2**63 else None)

    def hashed(self, scope: Scope, entity: str, buckets: range, hashes: range) -> list[Hashed]:
        start, end = self._between(buckets, hashes)
        self.reads, self.questions = self.reads + max(1, end - start), self.questions + 1
        return self.records[start:end]

    def digests(self, scope: Scope, entity: str) -> list[Digest]:
        edges = [bisect.bisect_left(self.places, bucket * HASHES) for bucket in range(BUCKETS + 1)]
        return [Digest(b - a, self.sums[b] - self.sums[a]) for a, b in pairwise(edges)]

    def hashes(self, scope: Scope, entity: str, buckets: dict[int, Digest]) -> Iterator[tuple[set[int], list[Hashed]]]:
        for half in (0, 1):
            some = {bucket for bucket in buckets if bucket % 2 == half}
            yield some, [each for each in self.records if place(each) // HASHES in some]


def found_by(mine: Shelf, theirs: Shelf) -> tuple[set[str], int]:
    """The keys that quick finds, and how many records it says it compared."""
    batches = list(quick(mine, theirs, SCOPE, "thing", mine.digests(SCOPE, "thing")))
    found = [id.key for batch in batches for id in batch.differing]
    assert len(found) == len(set(found))
    return set(found), sum(batch.compared for batch in batches)


def differing(mine: dict[str, int], theirs: dict[str, int]) -> set[str]:
    return {key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)}


shelves = st.dictionaries(st.integers(0, 60).map(str), st.integers(0, 3), max_size=60)


@settings(deadline=None, max_examples=300)
@given(shelves, shelves)
def test_quick_finds_every_difference_and_no_other(mine: dict[str, int], theirs: dict[str, int]) -> None:
    found, compared = found_by(Shelf(mine), Shelf(theirs))
    assert found == differing(mine, theirs)
    assert compared == len(mine.keys() | theirs.keys())


@settings(deadline=None, max_examples=20)
@given(st.randoms(use_true_random=False), st.sampled_from([1_000, 20_000]), st.sampled_from([0, 1, 30, 1000]))
def test_quick_finds_every_difference_among_many_records(chance: random.Random, number: int, planted: int) -> None:
    mine = {f"{each}": each for each in range(number)}
    theirs = dict(mine)
    for key in chance.sample(sorted(mine), planted):
        chance.choice([theirs, mine]).pop(key) if chance.random() < 0.4 else theirs.update({key: -1})
    found, compared = found_by(Shelf(mine), Shelf(theirs))
    assert found == differing(mine, theirs)
    assert compared == len(mine.keys() | theirs.keys())


@cache
def many(number: int) -> Shelf:
    return Shelf({f"{each}": each for each in range(number)})


def cost(number: int, planted: int) -> int:
    theirs = Shelf({f"{each}": each for each in range(number)} | {f"{each * 7}": -1 for each in range(planted)})
    found, _ = found_by(many(number), theirs)
    assert len(found) == planted
    return theirs.reads


@pytest.mark.parametrize("number, at_most", [(1_000, 1), (100_000, 100), (300_000, 301)])
def test_equal_records_cost_a_read_per_thousand(number: int, at_most: int) -> None:
    assert cost(number, 0) <= at_most


def test_a_difference_costs_as_many_reads_as_the_logarithm_of_the_records() -> None:
    of = {number: (cost(number, 100) - -(-number // 1000)) / 100 for number in (10_000, 100_000, 300_000)}
    print({number: round(each, 1) for number, each in of.items()})  # noqa: T201
    assert all(each < FEW + 2 * math.log2(number) for number, each in of.items())
    assert cost(100_000, 1) <= 150 + 120


def test_a_sum_past_exactness_is_narrowed_down_and_never_trusted() -> None:
    """The side that is asked holds so many more records than are told that its sums are no whole numbers any more."""
    told = [Digest()] * BUCKETS

    def ask(low: int, high: int) -> Digest:
        count = (high - low) * 1000
        return Digest(count, count * (HASHES - 1) if count < 2**19 else None)

    parts = list(differing_buckets(told, ask))
    assert [(part.low, part.high) for part in parts] == [(bucket, bucket + 1) for bucket in range(BUCKETS)]
    assert all(part.theirs.total is not None for part in parts)


def test_so_many_records_are_asked_for_in_parts_whose_sums_are_exact() -> None:
    asked: list[tuple[int, int]] = []

    def ask(low: int, high: int) -> Digest:
        asked.append((low, high))
        total = (high - low) * 256 * (HASHES - 1)
        return Digest((high - low) * 256, total if total < 2**63 else None)

    assert list(differing_buckets([Digest(256, 256 * (HASHES - 1))] * BUCKETS, ask)) == []
    assert asked == [(0, 1024), (1024, 2048), (2048, 3072), (3072, 4096)]


def test_of_two_halves_only_one_is_asked_for() -> None:
    asked: list[tuple[int, int]] = []

    def ask(low: int, high: int) -> Digest:
        asked.append((low, high))
        return Digest((high - low) * FEW, (high - low) * FEW + (low <= 7 < high))

    parts = list(narrow(0, 16, lambda low, high: Digest((high - low) * FEW, (high - low) * FEW), ask))
    assert [(part.low, part.high) for part in parts] == [(7, 8)]
    assert asked == [(0, 16), (0, 8), (0, 4), (4, 6), (6, 7)]
