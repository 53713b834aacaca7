"""Firestore's documents in memory, for what needs thousands of runs: update times, preconditions, a status per write,
transactions that fail when something they read has changed, and an event per write.

Values that are put in or taken out are shared, not copied: nobody changes one (tests/simulation/test_simulation.py looks).
Written from Firestore's published semantics; tests/test_peers.py holds it to the same suite as the emulator.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from shared.model import TICK, Billed
from shared.native import Native
from shared.peers.documents import Contended, Snapshot, Write
from shared.peers.protobuf import Within, has_values

ALREADY_EXISTS, NOT_FOUND, FAILED_PRECONDITION = 6, 5, 9


@dataclass
class Event:
    """A document before and after one write, and when it was written."""

    path: str
    before: Snapshot | None
    after: Snapshot | None
    time: datetime


@dataclass
class MemoryFirestore:
    """`now` is the clock of the database; no two commits ever get the same time. `fault` is called before and after each call."""

    now: Callable[[], datetime]
    billed: Billed = field(default_factory=Billed)
    events: list[Event] = field(default_factory=list)
    fault: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self.documents: dict[str, Snapshot] = {}
        self._last = datetime.min.replace(tzinfo=UTC)
        self._transactions: dict[bytes, dict[str, datetime | None]] = {}
        self._numbers = itertools.count()

    def time(self) -> datetime:
        """The time as the database has it: never before that of a commit or a read."""
        return max(self.now(), self._last)

    def snapshot(self, path: str) -> Snapshot:
        return self.documents.get(path, Snapshot(path, {}, None))

    def get(self, paths: Sequence[str], transaction: bytes | None = None) -> tuple[dict[str, Snapshot], datetime]:
        self.fault("get")
        found = {path: self.snapshot(path) for path in paths}
        if transaction:
            self._transactions[transaction] |= {path: each.update_time for path, each in found.items()}
        self.billed.reads += len(found)
        self._last = read_at = self.time()  # whatever is committed after a read is later than the read
        self.fault("got")
        return found, read_at

    def begin(self) -> bytes:
        id = str(next(self._numbers)).encode()
        self._transactions[id] = {}
        return id

    def rollback(self, transaction: bytes) -> None:
        self._transactions.pop(transaction, None)

    def commit(self, writes: Sequence[Write], transaction: bytes | None = None) -> None:
        self.fault("commit")
        read = self._transactions.pop(transaction, {}) if transaction else {}
        if any(self.snapshot(path).update_time != time for path, time in read.items()):
            raise Contended("memory, commit: aborted")
        if any(self._status(each) for each in writes):
            raise Contended("memory, commit: a precondition failed")
        self._apply(writes)
        self.fault("committed")

    def write(self, writes: Sequence[Write]) -> list[int]:
        self.fault("write")
        assert len({each.path for each in writes}) == len(writes), "the same document twice fails the whole request"
        statuses = []
        for each in writes:
            statuses.append(self._status(each))
            if not statuses[-1]:
                self._apply([each])
        self.fault("written")
        return statuses

    def query(self, collection: str, equal: Mapping[str, Native], after: str | None = None, limit: int = 500) -> list[Snapshot]:
        self.fault("query")
        rows = sorted(self._matching(collection, equal), key=lambda each: each.path.encode())
        rows = [each for each in rows if after is None or each.path.rpartition("/")[2].encode() > after.encode()][:limit]
        self.billed.reads += max(1, len(rows))
        return rows

    def count(self, collection: str, equal: Mapping[str, Native]) -> int:
        found = len(self._matching(collection, equal))
        self.billed.reads += max(1, -(-found // 1000))
        return found

    def total(self, collection: str, within: Within, field: str) -> tuple[int, int | None]:
        self.fault("total")
        values = [_at(each, field) for each in self._within(collection, within)]
        self.billed.reads += max(1, -(-len(values) // 1000))
        return len(values), total if (total := sum(values)) < 2**63 else None

    def select(self, collection: str, within: Within, field: str) -> list[Snapshot]:
        self.fault("select")
        rows = self._within(collection, within)
        self.billed.reads += max(1, len(rows))
        return rows

    def _within(self, collection: str, within: Within) -> list[Snapshot]:
        rows = self._matching(collection, {})
        return [row for row in rows if all(isinstance(at := _at(row, name), int) and at in each for name, each in within.items())]

    def _matching(self, collection: str, equal: Mapping[str, Native]) -> list[Snapshot]:
        start = collection + "/"
        rows = [each for path, each in self.documents.items() if path.startswith(start) and "/" not in path[len(start) :]]
        return [each for each in rows if has_values(each.fields, equal)]

    def _status(self, write: Write) -> int:
        held = self.snapshot(write.path)
        if write.seen is True:
            return 0 if held.exists else NOT_FOUND
        if write.seen is None or write.seen.update_time == held.update_time:
            return 0
        return ALREADY_EXISTS if write.seen.update_time is None else FAILED_PRECONDITION

    def _apply(self, writes: Sequence[Write]) -> None:
        self._last = time = max(self.now(), self._last + TICK)
        for each in writes:
            before = self.documents.get(each.path)
            if each.fields is None:
                self.documents.pop(each.path, None)
                self.billed.deletes += 1
            else:
                mask = each.mask
                old = before.fields if before and mask is not None else {}
                kept = {name: value for name, value in old.items() if name not in (mask or ())}
                named = {name: value for name, value in each.fields.items() if mask is None or name in mask}
                fields = {**kept, **named}
                same = before is not None and before.fields == fields
                self.documents[each.path] = Snapshot(each.path, fields, before.update_time if same and before else time)
                self.billed.writes += 1
            self.events.append(Event(each.path, before, self.documents.get(each.path), time))

    # What clients do, knowing nothing of stamps

    def client_update(self, path: str, fields: Mapping[str, Native]) -> None:
        self._apply([Write(path, fields, tuple(fields))])

    def client_set(self, path: str, fields: Mapping[str, Native]) -> None:
        self._apply([Write(path, fields)])

    def client_delete(self, path: str) -> None:
        self._apply([Write(path, None)])


def _at(document: Snapshot, path: str) -> Native:
    found: Native = document.fields
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


class Clock:
    """A clock that a test moves. `behind` makes another one that runs apart from it."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def tick(self, seconds: float = 1.0) -> None:
        self.time += timedelta(seconds=seconds)

    def apart(self, seconds: float) -> Callable[[], datetime]:
        return lambda: self.time + timedelta(seconds=seconds)
