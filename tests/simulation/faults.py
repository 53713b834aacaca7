"""What can go wrong with a call, at the moment that it is made: before it, instead of it, or after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from memory_firestore import MemoryFirestore

from shared.errors import Transient
from shared.native import Native
from shared.peers.documents import Contended, Snapshot, Write
from shared.peers.protobuf import Within
from simulation.rest import Answer


class Crash(BaseException):
    """The process is gone; nothing may catch it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` is one of KINDS; `detail` chooses among its forms; `times`: how many calls in a row it befalls; `at`: what
    is in the names of the calls that it can befall."""

    kind: str
    detail: int = 0
    times: int = 1
    at: str = ""


STOPS = ("stop before", "stop after")
"""No faults: the actor is held there."""
KINDS = ("crash before", "crash after", "lost answer", "doubled", "refused", "partial")
REFUSALS = (401, 429, 500, 503, "connection", "timeout", "truncated before")
STATUSES = (8, 10, 13, 14)
"""gRPC codes of single writes in a bulk request: exhausted, aborted, internal, unavailable."""


def http(fault: Fault | None, act: Callable[[], Answer]) -> Answer:
    """Make a call to the backend under a fault."""
    if fault is None:
        return act()
    if fault.kind == "doubled":
        act()
        return act()
    if fault.kind == "lost answer":
        return _lost(fault, act())
    return _refused(REFUSALS[fault.detail % len(REFUSALS)])


def _lost(fault: Fault, answer: Answer) -> Answer:
    if fault.detail % 3 == 0:
        raise requests.ConnectionError("cut off")
    if fault.detail % 3 == 1:
        raise requests.ReadTimeout("no answer in time")
    return Answer(200, answer.text[: len(answer.text) // 2])


def _refused(how: int | str) -> Answer:
    if how == "connection":
        raise requests.ConnectionError("refused")
    if how == "timeout":
        raise requests.ConnectTimeout("no answer in time")
    if isinstance(how, str):
        return Answer(200, '{"resul')
    return Answer(how, json.dumps({"detail": "no"}), {"Retry-After": "3"} if how == 429 else {})


class FaultyFirestore(MemoryFirestore):
    """Firestore's documents behind the network. `gate` lets the scheduler say what befalls a call, and when it is made."""

    gate: Callable[[str, Callable[[Fault | None], Any]], Any] = staticmethod(lambda _, act: act(None))

    def get(self, paths: Any, transaction: bytes | None = None) -> Any:
        return self._call("get", lambda: MemoryFirestore.get(self, paths, transaction))

    def query(self, collection: str, equal: Any, after: str | None = None, limit: int = 500) -> list[Snapshot]:
        return self._call(f"query {collection}", lambda: MemoryFirestore.query(self, collection, equal, after, limit))

    def count(self, collection: str, equal: dict[str, Native]) -> int:  # type: ignore[override]
        return self._call("count", lambda: MemoryFirestore.count(self, collection, equal))

    def total(self, collection: str, within: Within, field: str) -> tuple[int, int | None]:
        return self._call("total", lambda: MemoryFirestore.total(self, collection, within, field))

    def select(self, collection: str, within: Within, field: str) -> list[Snapshot]:
        return self._call("select", lambda: MemoryFirestore.select(self, collection, within, field))

    def begin(self) -> bytes:
        return self._call("begin", lambda: MemoryFirestore.begin(self))

    def commit(self, writes: Any, transaction: bytes | None = None) -> None:
        return self._call(f"commit {_into(writes)}", lambda: MemoryFirestore.commit(self, writes, transaction))

    def write(self, writes: Any) -> list[int]:
        return self.gate(f"firestore write {_into(writes)}", lambda fault: self._write(fault, writes))

    def _call(self, name: str, act: Callable[[], Any]) -> Any:
        return self.gate(f"firestore {name}", lambda fault: _firestore(fault, name, act))

    def _write(self, fault: Fault | None, writes: list[Write]) -> list[int]:
        if fault is None or fault.kind != "partial":
            return _firestore(fault, "write", lambda: MemoryFirestore.write(self, writes))
        struck = {number for number in range(len(writes)) if (fault.detail >> number) & 1} or {0}
        code = STATUSES[fault.detail % len(STATUSES)]
        though_done = fault.detail % 3 == 2 and code in {13, 14}
        passing = [each for number, each in enumerate(writes) if number not in struck or though_done]
        done = iter(MemoryFirestore.write(self, passing) if passing else [])
        statuses = [next(done) if number not in struck or though_done else code for number in range(len(writes))]
        return [code if number in struck else status for number, status in enumerate(statuses)]


def _into(writes: Any) -> str:
    """Return the collection of what is written first."""
    return str(writes[0].path.partition("/")[0]) if writes else "nothing"


def _firestore(fault: Fault | None, name: str, act: Callable[[], Any]) -> Any:
    if fault is None:
        return act()
    if fault.kind == "doubled":
        act()
        return act()
    if fault.kind == "lost answer":
        act()
        raise Transient("Firestore: deadline exceeded")
    if name.startswith("commit") and fault.detail % 2:
        raise Contended("Firestore: aborted")
    raise Transient("Firestore: unavailable")
