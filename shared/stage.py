"""Documents on which a run is rehearsed: reads go through to the real ones, writes stay here and are only counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.model import TICK, Billed
from shared.native import Native
from shared.peers.documents import ALREADY_EXISTS, NOT_AS_SEEN, NOT_FOUND, OK, Contended, Documents, Snapshot, Write
from shared.peers.protobuf import Within, has_values

Fields = Mapping[str, Native]
MOST_SEEN = 5000
"""Documents that are remembered as they were read, so that they need not be read again."""


@dataclass(frozen=True, slots=True)
class Written:
    """A document as the rehearsal left it, and as it was before."""

    now: Snapshot
    before: Snapshot


class Stage:
    """Stands for `beneath`, and counts in `billed` what the same calls would be billed there.

    What is written stays in memory, so whoever rehearses bounds that. Nobody else writes on a stage.
    """

    def __init__(self, beneath: Documents, now: Callable[[], datetime]) -> None:
        self.beneath, self.now = beneath, now
        self.billed = Billed()
        self._written: dict[str, Written] = {}
        self._seen: dict[str, Snapshot] = {}
        self._read_at = self._last_write = datetime.min.replace(tzinfo=UTC)
        self._asked_at = now()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Count nothing within: the run itself would not look."""
        before = self.billed.copy()
        try:
            yield
        finally:
            self.billed.reads, self.billed.writes, self.billed.deletes = before.reads, before.writes, before.deletes

    def get(self, paths: Sequence[str], transaction: bytes | None = None) -> tuple[dict[str, Snapshot], datetime]:
        """Return a snapshot for every path as it would be, and the time by Firestore's clock."""
        self.billed.reads += len(paths)
        self._forget_if_much()
        wanted = [path for path in paths if path not in self._seen and path not in self._written]
        if wanted:
            found, self._read_at = self.beneath.get(wanted)
            self._asked_at = self.now()
            self._seen |= found
        return {path: self._current(path) for path in paths}, self._clock()

    def _clock(self) -> datetime:
        return self._read_at + (self.now() - self._asked_at)

    def _forget_if_much(self) -> None:
        if len(self._seen) > MOST_SEEN:
            self._seen = {}

    def _current(self, path: str) -> Snapshot:
        return self._written[path].now if path in self._written else self._seen[path]

    def begin(self) -> bytes:
        """Return a transaction; nobody else is on the stage."""
        return b"rehearsal"

    def rollback(self, transaction: bytes) -> None:
        """Do nothing: what failed was not written."""

    def commit(self, writes: Sequence[Write], transaction: bytes | None = None) -> None:
        """Write all or nothing; Contended if some document is not as seen."""
        if any(self._status(each) != OK for each in writes):
            raise Contended("rehearsal, commit: a document is not as it was seen")
        for each in writes:
            self._write(each)

    def write(self, writes: Sequence[Write]) -> list[int]:
        """Write each for itself and return a status for each."""
        statuses = [self._status(each) for each in writes]
        for each, status in zip(writes, statuses, strict=True):
            if status == OK:
                self._write(each)
        return statuses

    def _status(self, write: Write) -> int:
        if write.seen is None:
            return OK
        held = self._looked_up(write.path)
        if write.seen is True:
            return OK if held.exists else NOT_FOUND
        if write.seen.update_time == held.update_time:
            return OK
        return NOT_AS_SEEN if write.seen.exists else ALREADY_EXISTS

    def _looked_up(self, path: str) -> Snapshot:
        with self.aside():
            return self.get([path])[0][path]

    def _write(self, write: Write) -> None:
        if write.fields is None:
            self.billed.deletes += 1
        else:
            self.billed.writes += 1
        under = self._looked_up(write.path)
        fields = _after(under.fields, write)
        self._last_write = max(self._clock(), self._last_write) + TICK
        same = under.exists and fields == under.fields  # such a write leaves the update time as it was
        time = None if write.fields is None else under.update_time if same else self._last_write
        before = self._written[write.path].before if write.path in self._written else under
        self._written[write.path] = Written(Snapshot(write.path, fields, time), before)

    def query(self, collection: str, equal: Fields, after: str | None = None, limit: int = 500) -> list[Snapshot]:
        """Return up to `limit` documents with these values, in the order of ids, after the id `after`, as they would be."""
        self._forget_if_much()
        found: list[Snapshot] = []
        cursor, more = after, True
        while more and len(found) < limit:
            rows = self.beneath.query(collection, equal, cursor, limit)
            self._seen |= {row.path: row for row in rows}
            found += [row for row in rows if row.path not in self._written]
            more, cursor = len(rows) == limit, _id(rows[-1]) if rows else cursor
        mine = [each.now for each in self._of(collection) if _has(each.now, equal) and _follows(each.now, after)]
        found += [each for each in mine if not (more and _follows(each, cursor))]
        found = sorted(found, key=lambda each: each.path.encode())[:limit]
        self.billed.reads += max(1, len(found))
        return found

    def count(self, collection: str, equal: Fields) -> int:
        """Return how many documents of a collection would have these values."""
        number = self.beneath.count(collection, equal)
        for each in self._of(collection):
            number += _has(each.now, equal) - _has(each.before, equal)
        self.billed.reads += max(1, -(-number // 1000))
        return number

    def total(self, collection: str, within: Within, field: str) -> tuple[int, int | None]:
        """Return how many documents lie within, and the sum of their field, as they are beneath: what was written here since
        shows as a difference, and is found equal when it is read."""
        number, sum_ = self.beneath.total(collection, within, field)
        self.billed.reads += max(1, -(-number // 1000))
        return number, sum_

    def select(self, collection: str, within: Within, field: str) -> list[Snapshot]:
        """Return the documents that lie within as they are beneath."""
        rows = self.beneath.select(collection, within, field)
        self.billed.reads += max(1, len(rows))
        return rows

    def _of(self, collection: str) -> Iterator[Written]:
        return (each for path, each in self._written.items() if path.rpartition("/")[0] == collection)


def _after(under: Fields, write: Write) -> Fields:
    """Return what a document over `under` holds after a write."""
    if write.fields is None:
        return {}
    if write.mask is None:
        return dict(write.fields)
    kept = {name: value for name, value in under.items() if name not in write.mask}
    return kept | {name: value for name, value in write.fields.items() if name in write.mask}


def _id(document: Snapshot) -> str:
    return document.path.rpartition("/")[2]


def _follows(document: Snapshot, after: str | None) -> bool:
    return after is None or _id(document).encode() > after.encode()


def _has(document: Snapshot, equal: Fields) -> bool:
    return document.exists and has_values(document.fields, equal)
