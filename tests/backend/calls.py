"""Calls of the queue as an engine makes them, and what they are made of."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from django.test import Client as DjangoClient
from syncqueue.access import digest_of
from syncqueue.models import QueueEntry, SyncToken

MOUNT = "/felagar/api/sync/"
NUMBERS = count(1)
DAY = datetime(2026, 3, 1, tzinfo=UTC)


def at(second: float, origin: str = "firestore") -> str:
    """Return a stamp so many seconds into a day long ago."""
    return f"{(DAY + timedelta(seconds=second)).replace(tzinfo=None).isoformat(timespec='microseconds')}Z|{origin}"


MEMBER: dict[str, Any] = {
    "name": "Anna",
    "email": None,
    "phone": None,
    "birth_date": "1990-02-03",
    "fee": "12.50",
    "paid_until": None,
    "active": True,
    "address": {"town": "Akureyri"},
    "branch": None,
    "interests": [],
    "notes": None,
    "joined_at": "2020-01-01T00:00:00.000000Z",
    "visits": 0,
}


def change(key: str, fields: dict[str, Any] | None = None, stamp: str = "", **more: Any) -> dict[str, Any]:
    """Return a change of a member; an update unless told otherwise."""
    parts = {"id": f"c{next(NUMBERS)}", "entity": "member", "tenant": None, "key": key, "action": "update"}
    return parts | {"fields": fields or {}, "stamp": stamp or at(1), "base": {}} | more


def created(key: str, stamp: str = "", **fields: Any) -> dict[str, Any]:
    """Return the create of a whole member."""
    return change(key, MEMBER | fields, stamp, action="create", base=dict.fromkeys(MEMBER))


def deleted(key: str, stamp: str, **more: Any) -> dict[str, Any]:
    """Return a delete."""
    return change(key, {}, stamp, action="delete", deleted=stamp, **more)


def anonymous() -> DjangoClient:
    """Return a caller without a token."""
    return DjangoClient(headers={"host": "localhost"})


@dataclass
class Client:
    """A caller over Django's test client: the whole stack of a request but the socket."""

    token: str
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def with_token(cls, role: str, tenants: list[str] | None = None) -> "Client":
        token = f"{role}-token-{next(NUMBERS)}"
        SyncToken.objects.create(name=token, digest=digest_of(token), role=role, tenants=tenants)
        return cls(token)

    def get(self, path: str, **query: Any) -> Any:
        return self._client().get(MOUNT + path, query, headers=self._headers())

    def post(self, path: str, body: Any, **headers: str) -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._client().post(MOUNT + path, raw, content_type="application/json", headers=self._headers() | headers)

    def apply(self, *changes: dict[str, Any], mode: str = "lww") -> list[dict[str, Any]]:
        """Return the results."""
        answer = self.post("apply/", {"run_id": "r", "mode": mode, "changes": list(changes)})
        assert answer.status_code == 200, answer.content
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    def outcomes(self, *changes: dict[str, Any], mode: str = "lww") -> list[str]:
        """Return outcomes, with the code of an error in its place."""
        return [result.get("error", {}).get("code", result["outcome"]) for result in self.apply(*changes, mode=mode)]

    def changes(self, **query: Any) -> list[dict[str, Any]]:
        """Return every pending change, page by page."""
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self.get("changes/", **query, **({"cursor": cursor} if cursor else {})).json()
            found, cursor = found + page["results"], page["next"]
        return found

    def record(self, key: str, entity: str = "member", tenant: str | None = None) -> dict[str, Any] | None:
        """Return one record as `records` tells it."""
        results = self.post("records/", {"entity": entity, "tenant": tenant, "keys": [key]}).json()["results"]
        return results[0] if results else None

    def _client(self) -> DjangoClient:
        return anonymous()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.token}"} | self.headers


def entries() -> list[tuple[str, str, dict[str, Any]]]:
    """Return what is queued: action, key, fields."""
    return [(entry.action, entry.key, entry.fields) for entry in QueueEntry.objects.order_by("id")]


def forget_entries() -> None:
    """Empty the queue, to see only what comes next."""
    QueueEntry.objects.all().delete()
