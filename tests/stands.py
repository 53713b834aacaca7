"""A peer and its own users, for the suite that every peer must pass."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self

import pytest
from memory_firestore import MemoryFirestore
from memory_system import MemorySystem
from simulation.backend import Backend
from simulation.rest import URL, Server, Session

from shared.mapping import Entity, Field, Type
from shared.model import Problem, RecordId, Scope
from shared.peers.base import Peer
from shared.peers.firestore import FirestorePeer
from shared.peers.memory import MemoryPeer
from shared.peers.polled import PolledPeer
from shared.peers.polled_records import Habits
from shared.peers.rest_queue import RestQueue
from shared.tracker import Poke, track

NAMES = ("name", "city")
BRANCH = Entity("branch", "branches", (Field("name", Type.TEXT, "name"), Field("city", Type.TEXT, "city", empty="")))


def now() -> datetime:
    return datetime.now(UTC)


class Stand(Protocol):
    """`save`, `save_unseen` and `delete` are what the system's own users do; the second slips past the queue.

    `nothing` is what the system writes for a city that is not there.
    """

    peer: Peer
    unacceptable: object
    nothing: object
    shows_without_adopting: bool

    def __init__(self, request: pytest.FixtureRequest) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def save(self, key: str, **fields: object) -> None: ...
    def save_unseen(self, key: str, **fields: object) -> None: ...
    def delete(self, key: str) -> None: ...
    def deliver_events(self) -> None: ...


class Plain:
    """What most stands have in common: nothing to open or close, and nothing to deliver."""

    nothing: object = ""
    shows_without_adopting = False

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.request = request

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def deliver_events(self) -> None:
        pass


class Picky(MemoryPeer):
    """A memory peer that refuses a number for a text, as the others do."""

    def _apply(self, change: Any, mode: Any) -> Any:
        from shared.model import Outcome, Problem, Result

        wrong = {name: "type" for name, each in change.fields.items() if isinstance(each.value, int)}
        return Result(change.id, Outcome.INVALID, problem=Problem("type", "", wrong)) if wrong else super()._apply(change, mode)


class MemoryStand(Plain):
    unacceptable = 5
    nothing = None

    def __init__(self, request: pytest.FixtureRequest) -> None:
        super().__init__(request)
        self.peer = Picky("memory", {"branch": NAMES}, now)

    def save(self, key: str, **fields: object) -> None:
        self.peer.save(RecordId("branch", key), fields)

    def save_unseen(self, key: str, **fields: object) -> None:
        self.peer.write_raw(RecordId("branch", key), fields)

    def delete(self, key: str) -> None:
        self.peer.delete(RecordId("branch", key))


class SimulatedBackendStand(Plain):
    """The simulation's stand-in for a backend, behind the real peer's requests and their answers."""

    unacceptable = 5

    def __init__(self, request: pytest.FixtureRequest) -> None:
        super().__init__(request)
        fields = tuple(("branch", name) for name in NAMES)
        self.database = Backend(now, names={"branch": NAMES}, texts=frozenset(fields), required=fields)
        session: Any = Session(Server(self.database), lambda _, act: act())
        self.peer = RestQueue("django", URL, {"branch": BRANCH}, lambda: "token", session=session)

    def save(self, key: str, **fields: object) -> None:
        place = ("branch", "", key)
        self.database.save(place, ({} if place in self.database.rows else {"city": ""}) | fields)

    def save_unseen(self, key: str, **fields: object) -> None:
        self.database.write_raw(("branch", "", key), fields)

    def delete(self, key: str) -> None:
        self.database.delete(("branch", "", key))


class MemoryFirestoreStand(Plain):
    unacceptable = 5
    shows_without_adopting = True

    def __init__(self, request: pytest.FixtureRequest) -> None:
        super().__init__(request)
        self.database = MemoryFirestore(now)
        self.peer = FirestorePeer("firestore", self.database, "branches", [BRANCH], now, time.sleep)

    def save(self, key: str, **fields: object) -> None:
        self.save_unseen(key, **fields)
        self.deliver_events()

    def save_unseen(self, key: str, **fields: object) -> None:
        self.database.client_update(BRANCH.path(RecordId("branch", key)), fields)

    def delete(self, key: str) -> None:
        self.database.client_delete(BRANCH.path(RecordId("branch", key)))
        self.deliver_events()

    def deliver_events(self) -> None:
        while self.database.events:
            event = self.database.events.pop(0)
            record = BRANCH.record(event.path)
            if record:
                track(self.peer, Poke(record, event.before, event.after, event.time))


class PolledStand(Plain):
    """A system without a queue, polled after each edit of its users; it has ids of its own for what is created there."""

    unacceptable = 5
    nothing = ""
    knows_keys = False

    def __init__(self, request: pytest.FixtureRequest) -> None:
        super().__init__(request)
        self.system = MemorySystem(now, knows_keys=self.knows_keys)
        self.system.malformed = {"illegible": Problem("malformed", "a list with nothing in it would prove no delete")}
        self.peer = PolledPeer(self.system, MemoryFirestore(now), "branches", [BRANCH], now, Habits(missing_polls=1))
        self.deliver_events()

    def _external(self, key: str) -> str:
        [ref] = self.peer.refs([RecordId("branch", key)]).values()
        return ref.external or key

    def save(self, key: str, **fields: object) -> None:
        self.save_unseen(key, **fields)
        self.deliver_events()

    def save_unseen(self, key: str, **fields: object) -> None:
        self.system.user_writes(None, "branch", self._external(key), fields, key)

    def delete(self, key: str) -> None:
        self.system.remove(None, "branch", self._external(key))
        self.deliver_events()

    def deliver_events(self) -> None:
        """Poll, everything: what is gone shows in a whole list only."""
        self.peer.habits = Habits(timedelta(), 1)
        assert self.peer.poll(Scope("branches", ("branch",)), lambda entity: (None,)) == {}


class PolledByKeyStand(PolledStand):
    """The same, where the system keeps the key."""

    knows_keys = True


class PolledOnEmulatorStand(PolledStand):
    """The same, where what is remembered of the system lies in the real emulator."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        from firestores import documents

        super().__init__(request)
        host, project = request.getfixturevalue("emulator").host, f"polled-{uuid.uuid4().hex[:12]}"
        self.peer = PolledPeer(self.system, documents(host, project), "branches", [BRANCH], now, Habits(missing_polls=1))
        self.deliver_events()


class EmulatorStand(Plain):
    """The real emulator; its users write with the plain client library, and every write pokes the tracker."""

    unacceptable = 5
    shows_without_adopting = True

    def __init__(self, request: pytest.FixtureRequest) -> None:
        super().__init__(request)
        from firestores import documents, plain_client

        host, project = request.getfixturevalue("emulator").host, f"peers-{uuid.uuid4().hex[:12]}"
        self.client = plain_client(host, project)
        self.peer = FirestorePeer("firestore", documents(host, project), "branches", [BRANCH], now, time.sleep)

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def _document(self, key: str) -> Any:
        return self.client.document(BRANCH.path(RecordId("branch", key)))

    def save(self, key: str, **fields: object) -> None:
        self.save_unseen(key, **fields)
        track(self.peer, Poke(RecordId("branch", key), None, None, now()))

    def save_unseen(self, key: str, **fields: object) -> None:
        self._document(key).set(fields, merge=True)

    def delete(self, key: str) -> None:
        record = RecordId("branch", key)
        path = BRANCH.path(record)
        before = self.peer.documents.get([path])[0][path]
        self._document(key).delete()
        track(self.peer, Poke(record, before, None, now()))


class DjangoStand(Plain):
    """The real backend over HTTP; its users work with the ORM, or with SQL, in a process of their own."""

    unacceptable = 5

    def __init__(self, request: pytest.FixtureRequest) -> None:
        super().__init__(request)
        self.backend = request.getfixturevalue("backend")
        self.backend.users.call("empty")
        self.peer = self.backend.peer([BRANCH])

    def save(self, key: str, **fields: object) -> None:
        self.backend.users.call("save", entity="branch", key=key, fields=_text(fields))

    def save_unseen(self, key: str, **fields: object) -> None:
        self.backend.users.call("raw", entity="branch", key=key, fields=_text(fields))

    def delete(self, key: str) -> None:
        self.backend.users.call("delete", entity="branch", key=key)


def _text(fields: Mapping[str, object]) -> dict[str, object]:
    return dict(fields)
