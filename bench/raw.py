"""The peers' own calls with no thought: Firestore's gRPC methods on ready bytes, HTTP requests with ready bodies."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import requests
from google.cloud.firestore_v1.types import document as documents
from google.cloud.firestore_v1.types import firestore as calls
from google.cloud.firestore_v1.types import query as queries

SERVICE = "/google.firestore.v1.Firestore"
IN_ONE_REQUEST = 500
PAGE = 2000

Chain = Sequence[Callable[[], Any]]
"""Calls that have to follow each other, such as those of one page."""


class RawFirestore:
    """A database of the emulator. Messages are google's own, without their wrappers."""

    def __init__(self, host: str, project: str) -> None:
        self.database = f"projects/{project}/databases/(default)"
        self.root = f"{self.database}/documents"
        self.channel = grpc.insecure_channel(host, [("grpc.max_receive_message_length", -1)])
        self.metadata = [("authorization", "Bearer owner"), ("google-cloud-resource-prefix", self.database)]

    def unary(self, method: str, request: bytes) -> bytes:
        """Return the answer of a method."""
        return bytes(self.channel.unary_unary(f"{SERVICE}/{method}")(request, metadata=self.metadata, timeout=120))

    def stream(self, method: str, request: bytes) -> list[bytes]:
        """Return all answers of a method."""
        return list(self.channel.unary_stream(f"{SERVICE}/{method}")(request, metadata=self.metadata, timeout=120))

    def get_request(self, names: Sequence[str]) -> bytes:
        """Return a ready BatchGet."""
        return bytes(calls.BatchGetDocumentsRequest.pb()(database=self.database, documents=names).SerializeToString())

    def write_request(self, writes: Sequence[Any]) -> bytes:
        """Return a ready BatchWrite."""
        return bytes(calls.BatchWriteRequest.pb()(database=self.database, writes=writes).SerializeToString())

    def query_request(
        self, collection: str, equal: Mapping[str, str], after: str | None, limit: int, fields: Sequence[str] = ()
    ) -> bytes:
        """Return a ready RunQuery for documents with these values in the order of their names, after the name `after`."""
        query = queries.StructuredQuery.pb()()
        query.limit.value = limit
        query.from_.add().collection_id = collection
        query.order_by.add().field.field_path = "__name__"
        for name in fields:
            query.select.fields.add().field_path = name
        for name, value in equal.items():
            query.where.composite_filter.op = 1
            one = query.where.composite_filter.filters.add().field_filter
            one.field.field_path, one.op, one.value.string_value = name, 5, value
        if after is not None:
            query.start_at.values.add().reference_value = after
        return bytes(calls.RunQueryRequest.pb()(parent=self.root, structured_query=query).SerializeToString())

    def documents(self, collection: str, fields: Sequence[str] = ()) -> list[Any]:
        """Return all documents of a collection in the order of their names, or only these fields of theirs."""
        found: list[Any] = []
        while True:
            after = found[-1].name if found else None
            rows = self.stream("RunQuery", self.query_request(collection, {}, after, PAGE, fields))
            page = [row.document for row in map(calls.RunQueryResponse.pb().FromString, rows) if row.HasField("document")]
            found += page
            if len(page) < PAGE:
                return found

    def write(self, writes: Sequence[Any]) -> None:
        """Send the writes; RuntimeError if one was refused."""
        for some in parts(writes):
            check_written(self.unary("BatchWrite", self.write_request(some)))

    def delete(self, names: Sequence[str]) -> None:
        """Delete documents by name."""
        self.write([documents_write(delete=name) for name in names])


def documents_write(**fields: Any) -> Any:
    """Return one write as a message."""
    from google.cloud.firestore_v1.types import write

    return write.Write.pb()(**fields)


def update(document: Any, mask: Sequence[str] | None = None) -> Any:
    """Return the write that makes a document, or these fields of it, so."""
    if mask is None:
        return documents_write(update={"name": document.name, "fields": document.fields})
    fields = {name: document.fields[name] for name in mask}
    return documents_write(update={"name": document.name, "fields": fields}, update_mask={"field_paths": mask})


def value(native: str | int) -> Any:
    """Return a text or an integer as a message."""
    kind = "integer_value" if isinstance(native, int) else "string_value"
    return documents.Value.pb()(**{kind: native})


def check_written(answer: bytes) -> None:
    """RuntimeError if a write of a BatchWrite was refused."""
    codes = {status.code for status in calls.BatchWriteResponse.pb().FromString(answer).status} - {0}
    if codes:
        raise RuntimeError(f"the emulator refused writes that were to go through, with codes {sorted(codes)}")


def parts(items: Sequence[Any], size: int = IN_ONE_REQUEST) -> Iterator[Sequence[Any]]:
    """Yield the items in order, so many at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


class RawBackend:
    """The REST queue at `url`; each thread has a connection of its own, kept open."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self._token, self._of_thread = url, token, threading.local()

    @property
    def session(self) -> requests.Session:
        """This thread's connection."""
        if not hasattr(self._of_thread, "session"):
            made = self._of_thread.session = requests.Session()
            made.trust_env = False
            made.headers["Authorization"] = f"Token {self._token}"
        found: requests.Session = self._of_thread.session
        return found

    def get(self, target: str) -> bytes:
        """Return the body of an answer, unpacked; RuntimeError if it is none."""
        return self._body(self.session.get(f"{self.url}/{target}", timeout=120))

    def post(self, target: str, packed: bytes) -> bytes:
        """Post a ready body."""
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        return self._body(self.session.post(f"{self.url}/{target}", packed, headers=headers, timeout=120))

    def _body(self, answer: requests.Response) -> bytes:
        if answer.status_code != 200:
            raise RuntimeError(f"{answer.request.method} {self.url} answered {answer.status_code}")
        return answer.content


def packed(body: Any) -> bytes:
    """Return a ready body."""
    return gzip.compress(json.dumps(body).encode(), compresslevel=1)


def run(chains: Sequence[Chain], in_flight: int) -> list[list[Any]]:
    """Make the calls of all chains, so many chains side by side, and return their answers."""
    with ThreadPoolExecutor(in_flight) as pool:
        return list(pool.map(lambda chain: [call() for call in chain], chains))
