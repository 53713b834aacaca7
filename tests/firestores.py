"""Firestore as the library sees it and as a plain client does, on the emulator."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from memory_firestore import Event

from shared.native import Native
from shared.peers.calls import READ_AT_ONCE
from shared.peers.documents import Firestore, Snapshot, Write


def documents(host: str, project: str) -> Firestore:
    """Return the library's view of a project of the emulator."""
    return Firestore(grpc.insecure_channel(host, [READ_AT_ONCE]), project, metadata=[("authorization", "Bearer owner")])


def plain_client(host: str, project: str) -> firestore.Client:
    """Return the client library as anybody uses it."""
    os.environ["FIRESTORE_EMULATOR_HOST"] = host
    try:
        return firestore.Client(project=project, credentials=AnonymousCredentials())
    finally:
        del os.environ["FIRESTORE_EMULATOR_HOST"]


class RealClock:
    """The clock of the machine. Where a schedule needs a second to pass it passes; hours are not waited for."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)

    def tick(self, seconds: float = 1.0) -> None:
        if 1 <= seconds <= 10:
            time.sleep(seconds)

    def apart(self, seconds: float) -> Callable[[], datetime]:
        return lambda: datetime.now(UTC) + timedelta(seconds=seconds)


class Kept(dict[str, Snapshot]):
    """The sync's own documents; what is deleted here is deleted there."""

    def __init__(self, database: EmulatorFirestore) -> None:
        super().__init__()
        self.database = database

    def __delitem__(self, path: str) -> None:
        self.database.inner.write([Write(path, None)])


class EmulatorFirestore:
    """The emulator with the handles of `MemoryFirestore`: faults around each call, and an event for each write to `things`."""

    def __init__(self, inner: Firestore) -> None:
        self.inner, self.billed, self.now = inner, inner.billed, RealClock()
        self.events: list[Event] = []
        self.fault: Callable[[str], None] = lambda _: None

    def get(self, paths: Sequence[str], transaction: bytes | None = None) -> Any:
        self.fault("get")
        found = self.inner.get(paths, transaction)
        self.fault("got")
        return found

    def begin(self) -> bytes:
        return self.inner.begin()

    def rollback(self, transaction: bytes) -> None:
        self.inner.rollback(transaction)

    def commit(self, writes: Sequence[Write], transaction: bytes | None = None) -> None:
        self.fault("commit")
        self._watched(writes, lambda: self.inner.commit(writes, transaction), locked=transaction is not None)
        self.fault("committed")

    def write(self, writes: Sequence[Write]) -> list[int]:
        self.fault("write")
        statuses: list[int] = self._watched(writes, lambda: self.inner.write(writes))
        self.fault("written")
        return statuses

    def query(self, *given: Any, **options: Any) -> list[Snapshot]:
        self.fault("query")
        return self.inner.query(*given, **options)

    def count(self, collection: str, equal: Mapping[str, Native]) -> int:
        return self.inner.count(collection, equal)

    def total(self, *given: Any) -> tuple[int, int | None]:
        self.fault("total")
        return self.inner.total(*given)

    def select(self, *given: Any) -> list[Snapshot]:
        self.fault("select")
        return self.inner.select(*given)

    def _watched(self, writes: Sequence[Write], act: Callable[[], Any], locked: bool = False) -> Any:
        """Do it, and note what it did to the documents of `things`, as a trigger would."""
        paths = [each.path for each in writes if each.path.startswith("things/")]
        before = self.inner.get(paths)[0] if paths and not locked else {}
        before |= {each.path: each.seen for each in writes if locked and isinstance(each.seen, Snapshot)}
        done = act()
        after = self.inner.get(paths)[0] if paths else {}
        for path in paths:
            old, new = (each if each and each.exists else None for each in (before.get(path), after[path]))
            if old != new:
                self.events.append(Event(path, old, new, self.now()))
        return done

    def snapshot(self, path: str) -> Snapshot:
        return self.inner.get([path])[0][path]

    @property
    def documents(self) -> Kept:
        kept = Kept(self)
        for collection in ("sync_conflicts", "sync_leases", "sync_dead_letters"):
            kept.update({each.path: each for each in self.inner.query(collection, {})})
        return kept

    def client_update(self, path: str, fields: Mapping[str, Native]) -> None:
        self._watched([write := Write(path, fields, tuple(fields))], lambda: self.inner.commit([write]))

    def client_set(self, path: str, fields: Mapping[str, Native]) -> None:
        self._watched([write := Write(path, fields)], lambda: self.inner.commit([write]))

    def client_delete(self, path: str) -> None:
        self._watched([write := Write(path, None)], lambda: self.inner.commit([write]))
