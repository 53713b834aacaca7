"""The REST queue's calls over HTTP, as far as `requests.Session` shows: what the peer's injected session does here."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl
from zlib import crc32

import requests
from syncqueue.canonical import bucket_hash, record_hash
from syncqueue.stamps import timestamp

from simulation.backend import Backend, Place, spread

URL = "http://backend.test/api/sync"
MAY_BECOME = {
    "pending": {"failed"},
    "failed": {"pending", "failed"},
    "superseded": {"pending", "failed"},
    "synced": {"pending", "failed", "superseded"},
}


@dataclass
class Answer:
    """An answer, as far as the peer looks at one."""

    status_code: int
    text: str = "{}"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return self.text.encode()


@dataclass
class Prepared:
    """A request ready to be sent."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def path_url(self) -> str:
        return self.url.removeprefix("http://backend.test")


class Server:
    """The calls of the contract over a backend."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.cursors: dict[str, tuple[Any, Any]] = {}

    def answer(self, request: Prepared) -> Answer:
        """Answer one request, all of it or nothing."""
        path, _, query = request.url.removeprefix(URL + "/").partition("?")
        if request.method == "GET":
            return self._json(self._read(path, parse_qsl(query)))
        raw = gzip.decompress(request.body) if "Content-Encoding" in request.headers else request.body
        return self._json(self._write(path, json.loads(raw)))

    def _json(self, body: dict[str, Any] | None) -> Answer:
        return Answer(400, '{"detail": "the cursor is not good"}') if body is None else Answer(200, json.dumps(body))

    def _read(self, path: str, query: list[tuple[str, str]]) -> dict[str, Any] | None:
        asked = dict(query)
        if path == "changes/":
            found = self._pending([each for name, each in query if name == "entity"], asked.get("tenant"))
            number, count = map(int, asked.get("shard", "0/1").split("/"))
            return self._page(query, [each for each in found if crc32(each[1]["key"].encode()) % count == number])
        if path == "records/":
            page = self._page(query, self._places(asked["entity"], asked.get("tenant"), asked))
            return page and page | {"results": self.backend.records(page["results"])}
        return self._digest(asked) if path == "digest/" else self._status()

    def _write(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "apply/":
            results = self.backend.apply(body["changes"], body["mode"])
            return {"results": results, "server_time": timestamp(self.backend.now())}
        if path == "records/":
            return {"results": self.backend.records((body["entity"], body["tenant"] or "", key) for key in body["keys"])}
        return self._mark(body)

    def _pending(self, entities: list[str], tenant: str | None) -> list[tuple[Any, Any]]:
        """Return the pending entries and their places, records spread, of one record in stamp order."""
        labels = self.backend.labels
        found = [
            ((spread(each["entity"], each["tenant"], each["key"]), each["stamp"], id), each)
            for id, each in self.backend.queue.items()
            if labels[id] == "pending" and each["entity"] in entities and tenant in {None, each["tenant"]}
        ]
        return sorted(found, key=lambda pair: pair[0])

    def _places(self, entity: str, tenant: str | None, asked: Mapping[str, str] | None = None) -> list[tuple[Any, Place]]:
        """Return the records that anything is known of, or those in a bucket, by key and tenant; rows without an index are
        adopted first."""
        found = self.backend.known | dict.fromkeys(self.backend.rows)
        places = [each for each in found if each[0] == entity and tenant in {None, each[1]}]
        if asked and "bucket" in asked:
            bucket, buckets = int(asked["bucket"]), int(asked["buckets"])
            places = [each for each in places if bucket_hash(each[1], each[2]) % buckets == bucket]
        return sorted((((place[2].encode(), place[1].encode()), place) for place in places), key=lambda pair: pair[0])

    def _page(self, query: list[tuple[str, str]], found: list[tuple[Any, Any]]) -> dict[str, Any] | None:
        """Return a page of what is found and the cursor of the next; None where the cursor is of other filters."""
        asked = dict(query)
        filters = [each for each in query if each[0] not in {"limit", "cursor"}]
        after, bound = self.cursors[asked["cursor"]] if "cursor" in asked else (None, filters)
        if bound != filters:
            return None
        rest = [pair for pair in found if after is None or pair[0] > after]
        page, following = rest[: int(asked["limit"])], None
        if len(rest) > len(page):
            following = f"c{len(self.cursors)}"
            self.cursors[following] = page[-1][0], filters
        return {"results": [each for _, each in page], "next": following, "server_time": timestamp(self.backend.now())}

    def _mark(self, body: dict[str, Any]) -> dict[str, Any]:
        named = {"pending": body.get("pending", []), "failed": [each["id"] for each in body.get("failed", [])]}
        named |= {"superseded": body.get("superseded", []), "synced": body.get("ids", [])}
        labels = self.backend.labels
        for label, ids in named.items():
            labels.update({id: label for id in ids if labels.get(id) in MAY_BECOME[label]})
        for reported in self.backend.unsettled.values():
            for id in body.get("conflicts", []):
                reported.pop(id, None)
        ids = [id for some in named.values() for id in some]
        return {"marked": sum(id in labels for id in ids), "unknown": [id for id in ids if id not in labels]}

    def _digest(self, asked: Mapping[str, str]) -> dict[str, Any]:
        buckets = int(asked.get("buckets", "256"))
        sums: dict[int, list[int]] = {}
        for _, (entity, tenant, key) in self._places(asked["entity"], asked.get("tenant")):
            row = self.backend.rows.get((entity, tenant, key))
            if row is not None:
                bucket = sums.setdefault(bucket_hash(tenant, key) % buckets, [0, 0])
                bucket[0] += 1
                bucket[1] += record_hash(tenant, key, row)
        return {"buckets": buckets, "results": [{"bucket": n, "count": c, "sum": s} for n, (c, s) in sorted(sums.items())]}

    def _status(self) -> dict[str, Any]:
        labels = list(self.backend.labels.values())
        counts = {label: labels.count(label) for label in MAY_BECOME}
        oldest = min(
            (each["stamp"] for id, each in self.backend.queue.items() if self.backend.labels[id] == "pending"), default=None
        )
        oldest_at = oldest and oldest.partition("|")[0]
        return {**counts, "oldest_pending_at": oldest_at, "by_entity": {}, "server_time": timestamp(self.backend.now())}


class Session:
    """What `RestQueue` asks of a `requests.Session`. `gate` stands between it and the server: the network."""

    def __init__(self, server: Server, gate: Callable[[str, Callable[[], Answer]], Answer]) -> None:
        self.server, self.gate = server, gate

    def prepare_request(self, request: requests.Request) -> Prepared:
        return Prepared(request.method or "", request.url or "", dict(request.headers), request.data)

    def merge_environment_settings(self, *given: Any) -> dict[str, Any]:
        return {}

    def send(self, request: Prepared, **options: Any) -> Answer:
        path = request.url.removeprefix(URL + "/").partition("?")[0]
        return self.gate(f"backend {request.method} {path}", lambda: self.server.answer(request))
