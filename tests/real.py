"""The real stack as a test uses it: Django's users, plain Firestore clients, and the functions by HTTP."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
from google.cloud.firestore import Client
from google.cloud.firestore_v1.base_query import FieldFilter

from local.django_users import DjangoUsers
from local.process import wait_until
from local.stack import Stack
from shared.mapping import Entity
from shared.peers.rest_queue import RestQueue

COLLECTIONS = ("branches", "interests", "members")


@dataclass
class Real:
    """A running stack, empty on both sides."""

    stack: Stack
    users: DjangoUsers
    firestore: Client
    keys: Any = field(default_factory=lambda: itertools.count(1))

    def empty(self) -> None:
        """Forget all records and all that the sync keeps. What is cleared fires triggers too: none may reach the next test."""
        self.users.call("empty")
        self.stack.emulator.clear()
        self.wait_for_triggers()
        for collection in self.firestore.collections():
            self.firestore.recursive_delete(collection)

    def wait_for_triggers(self) -> None:
        """Wait until all writes so far have been tracked: the emulator's triggers fire one after the other."""
        last = self.firestore.collection("interests").document(f"last-{uuid.uuid4().hex}")
        last.set({"name": "last"})
        self.wait_for_queue(1, key=last.id)
        last.delete()
        wait_until(lambda: bool(self.rows("sync_tombstones", key=last.id)), "the last delete", 30)

    def peer(self, entities: Sequence[Entity]) -> RestQueue:
        """Return the backend as the library sees it."""
        token = self.stack.backend_token
        return RestQueue("django", self.stack.backend_url, {each.name: each for each in entities}, lambda: token)

    def call(self, function: str, body: Any = None, token: str | None = None, **headers: str) -> requests.Response:
        """Call a function as an admin with curl does."""
        headers = {"Authorization": f"Bearer {token or self.stack.admin_token}"} | headers
        url = f"{self.stack.functions_url}/{function}"
        return (
            requests.get(url, headers=headers, timeout=60)
            if function == "sync_health"
            else requests.post(url, json=body or {}, headers=headers, timeout=300)
        )

    def sync(self, function: str = "bidirectional_sync", **body: Any) -> dict[str, Any]:
        """Sync the pair and return its result; everything that was read is accounted for."""
        answer = self.call(function, {"pair": "members", **body})
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()["result"]["pairs"]["members"]
        for tally in result["directions"].values():
            outcomes = ("applied", "unchanged", "superseded", "held", "dead_letters", "waiting")
            assert body.get("dry_run") or tally["read"] == sum(tally[each] for each in outcomes)
        return result

    def moved(self, result: dict[str, Any]) -> int:
        """Return how many changes a run read."""
        return sum(tally["read"] for tally in result["directions"].values())

    def rows(self, collection: str, **equal: Any) -> list[dict[str, Any]]:
        """Return the documents of a collection whose fields have these values."""
        query: Any = self.firestore.collection(collection)
        for name, value in equal.items():
            query = query.where(filter=FieldFilter(name, "==", value))
        return [(row.to_dict() or {}) | {"__id__": row.id} for row in query.stream()]

    def wait_for_queue(self, number: int, **equal: Any) -> None:
        """Wait until so many changes are queued in Firestore."""
        wait_until(lambda: len(self.rows("sync_queue", sync_status="pending", **equal)) >= number, f"{number} queue entries", 30)

    def document(self, path: str) -> dict[str, Any] | None:
        """Return a document without the sync's own field."""
        found = self.firestore.document(path).get().to_dict()
        return None if found is None else {name: value for name, value in found.items() if name != "_sync"}
