"""Firestore as documents by path: reads and writes in bulk over its gRPC interface, and nothing about syncing.

Raw protobuf messages inside, since the wrapped ones cost half of the throughput. Values are `mapping.Native`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Literal, NoReturn, Protocol

import grpc
from google.api_core import exceptions, retry
from google.cloud.firestore_v1.types import firestore as types

from shared.errors import SyncError, TerminalBatch, TerminalRecord, Transient
from shared.model import Billed
from shared.native import Native
from shared.peers.calls import Calls
from shared.peers.protobuf import Within, decode_fields, encode_fields, equal_filters, moment, timestamp, within_filters
from shared.peers.ramp import Ramp
from shared.quota import Quota

MAX_WRITES = 500
MAX_BYTES = 3_500_000
"""Of one request. The emulator's limit is 4 MiB, production's 10; a single document is 1 MiB at most."""
PASSING = (exceptions.ServiceUnavailable, exceptions.ResourceExhausted)


class Contended(SyncError):
    """A document was not as it had been read; nothing of the commit was written. Read again."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A document as it was read; `update_time` is None where there is none."""

    path: str
    fields: Mapping[str, Native]
    update_time: datetime | None

    @property
    def exists(self) -> bool:
        return self.update_time is not None


@dataclass(frozen=True, slots=True)
class Write:
    """One write. `fields` None deletes. With a `mask`, only these top-level fields are touched.

    `seen` is the precondition: the snapshot that the document must still be, True if it must only exist, None for none.
    """

    path: str
    fields: Mapping[str, Native] | None
    mask: tuple[str, ...] | None = None
    seen: Snapshot | Literal[True] | None = None


OK, INVALID, NOT_FOUND, ALREADY_EXISTS, NOT_AS_SEEN = 0, 3, 5, 6, 9
LOST_RACE = frozenset({NOT_FOUND, ALREADY_EXISTS, NOT_AS_SEEN, 10})
"""gRPC codes of single writes in a bulk request: a precondition that failed, or an aborted write."""


class Documents(Protocol):
    """What the Firestore peer needs of Firestore."""

    billed: Billed

    def get(self, paths: Sequence[str], transaction: bytes | None = None) -> tuple[dict[str, Snapshot], datetime]: ...
    def begin(self) -> bytes: ...
    def rollback(self, transaction: bytes) -> None: ...
    def commit(self, writes: Sequence[Write], transaction: bytes | None = None) -> None: ...
    def write(self, writes: Sequence[Write]) -> list[int]: ...
    def query(
        self, collection: str, equal: Mapping[str, Native], after: str | None = None, limit: int = 500
    ) -> list[Snapshot]: ...
    def count(self, collection: str, equal: Mapping[str, Native]) -> int: ...
    def total(self, collection: str, within: Within, field: str) -> tuple[int, int | None]: ...
    def select(self, collection: str, within: Within, field: str) -> list[Snapshot]: ...


class Firestore:
    """The real thing, or its emulator. `metadata` goes with every call (the emulator wants an authorization); the `ramp`, which
    the emulator does without, spaces the writes."""

    def __init__(
        self,
        channel: grpc.Channel,
        project: str,
        database: str = "(default)",
        metadata: Sequence[tuple[str, str]] = (),
        ramp: Ramp | None = None,
    ) -> None:
        self.calls, self.ramp = Calls(channel), ramp
        self.database = f"projects/{project}/databases/{database}"
        self.root = f"{self.database}/documents"
        self.metadata = [*metadata, ("google-cloud-resource-prefix", self.database)]
        self.billed, self.quota = Billed(), Quota()
        self._retry = retry.Retry(retry.if_exception_type(*PASSING), initial=0.2, maximum=4, timeout=30, on_error=self._note)
        self._counting = Lock()

    def get(self, paths: Sequence[str], transaction: bytes | None = None) -> tuple[dict[str, Snapshot], datetime]:
        """Return a snapshot for every path, and the time they were read at by Firestore's clock."""
        found: dict[str, Snapshot] = {}
        read_at = datetime.min.replace(tzinfo=UTC)
        for start in range(0, len(paths), MAX_WRITES):
            some = paths[start : start + MAX_WRITES]
            names = [f"{self.root}/{path}" for path in some]
            request = types.BatchGetDocumentsRequest.pb()(database=self.database, documents=names, transaction=transaction)
            for raw in self._call("BatchGetDocuments", request):
                snapshot = snapshot_of(raw.found) if raw.HasField("found") else Snapshot(self._path(raw.missing), {}, None)
                found[snapshot.path] = snapshot
                read_at = max(read_at, moment(raw.read_time))
        self._bill(reads=len(paths))
        return found, read_at

    def begin(self) -> bytes:
        """Return a new transaction. What is read in it stays as it is until it is committed or rolled back."""
        return bytes(self._call("BeginTransaction", types.BeginTransactionRequest.pb()(database=self.database)).transaction)

    def rollback(self, transaction: bytes) -> None:
        """End a transaction that wrote nothing. If that fails Firestore ends it by itself, so no error is raised."""
        with suppress(SyncError):
            self._call("Rollback", types.RollbackRequest.pb()(database=self.database, transaction=transaction))

    def commit(self, writes: Sequence[Write], transaction: bytes | None = None) -> None:
        """Write all or nothing; Contended if some document was not as seen, TerminalRecord if Firestore refuses one."""
        request = types.CommitRequest.pb()(database=self.database, writes=[self._write(each) for each in writes])
        if request.ByteSize() > MAX_BYTES:
            raise TerminalRecord("too-large", f"Firestore, commit: {request.ByteSize()} bytes in one commit, {MAX_BYTES} at most")
        if transaction:
            request.transaction = transaction
        self._wait(len(writes))
        self._call("Commit", request)
        self._bill(written=writes)

    def write(self, writes: Sequence[Write]) -> list[int]:
        """Write each for itself and return a status for each. No document may stand in it twice."""
        statuses: list[int] = []
        for some in _by_size([self._write(each) for each in writes]):
            request = types.BatchWriteRequest.pb()(database=self.database, writes=some)
            self._wait(len(some))
            statuses += [status.code for status in self._call("BatchWrite", request).status]
        self._bill(written=[each for each, status in zip(writes, statuses, strict=True) if status == OK])
        return statuses

    def query(self, collection: str, equal: Mapping[str, Native], after: str | None = None, limit: int = 500) -> list[Snapshot]:
        """Return up to `limit` documents of a collection with these values, in the order of ids, after the id `after`."""
        parent, query = self._of(collection, equal_filters(equal))
        query["limit"] = limit
        query["order_by"] = [{"field": {"field_path": "__name__"}, "direction": "ASCENDING"}]
        if after is not None:
            query["start_at"] = {"values": [{"reference_value": f"{self.root}/{collection}/{after}"}], "before": False}
        return self._query(parent, query)

    def collections(self) -> list[str]:
        """Return the names of the collections that lie at the top, up to 300."""
        request = types.ListCollectionIdsRequest.pb()(parent=self.root, page_size=300)
        return sorted(self._call("ListCollectionIds", request).collection_ids)

    def count(self, collection: str, equal: Mapping[str, Native]) -> int:
        """Return how many documents of a collection have these values."""
        return int(self._aggregate(collection, equal_filters(equal), {"n": {"count": {}}})["n"].integer_value)

    def total(self, collection: str, within: Within, field: str) -> tuple[int, int | None]:
        """Return how many documents lie within, and the sum of their integer `field`; None where that is past 64 bits.

        One question, billed as one scan of the index over both; `field` must stand in every document within.
        """
        wanted = {"n": {"count": {}}, "sum": {"sum": {"field": {"field_path": field}}}}
        found = self._aggregate(collection, within_filters(within), wanted)
        number = int(found["n"].integer_value)
        exact = number == 0 or found["sum"].WhichOneof("value_type") == "integer_value"
        return number, int(found["sum"].integer_value) if exact else None

    def select(self, collection: str, within: Within, field: str) -> list[Snapshot]:
        """Return the documents that lie within, with no more than this field of theirs."""
        parent, query = self._of(collection, within_filters(within))
        query["select"] = {"fields": [{"field_path": field}]}
        return self._query(parent, query)

    def _of(self, collection: str, filters: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
        parent, _, name = f"{self.root}/{collection}".rpartition("/")
        where = {"where": {"composite_filter": {"op": "AND", "filters": filters}}} if filters else {}
        return parent, {"from_": [{"collection_id": name}], **where}

    def _query(self, parent: str, query: Mapping[str, Any]) -> list[Snapshot]:
        rows = self._call("RunQuery", types.RunQueryRequest.pb(types.RunQueryRequest(parent=parent, structured_query=query)))
        found = [snapshot_of(row.document) for row in rows if row.HasField("document")]
        self._bill(reads=max(1, len(found)))
        return found

    def _aggregate(self, collection: str, filters: Sequence[Mapping[str, Any]], wanted: Mapping[str, Any]) -> Any:
        """Return the aggregates asked for; `n`, the count, is among them, and says what is billed."""
        parent, query = self._of(collection, filters)
        aggregations = [{"alias": alias, **kind} for alias, kind in wanted.items()]
        asked = {"structured_query": query, "aggregations": aggregations}
        request = types.RunAggregationQueryRequest(parent=parent, structured_aggregation_query=asked)
        answers = self._call("RunAggregationQuery", types.RunAggregationQueryRequest.pb(request))
        found = answers[0].result.aggregate_fields
        self._bill(reads=max(1, -(-int(found["n"].integer_value) // 1000)))
        return found

    def _wait(self, writes: int) -> None:
        if self.ramp is not None:
            self.ramp.take(writes)

    def _bill(self, reads: int = 0, written: Sequence[Write] = ()) -> None:
        deletes = sum(each.fields is None for each in written)
        with self._counting:  # calls may be under way in several threads
            self.billed.reads += reads
            self.billed.deletes += deletes
            self.billed.writes += len(written) - deletes

    def _call(self, name: str, request: Any) -> Any:
        """Return what a method of Firestore answers; a stream is read to its end."""
        try:
            return self._retry(self.calls)(name, request, self.metadata)
        except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
            self._note(error)
            _translate(error, name)

    def _note(self, error: Exception) -> None:
        if isinstance(error, exceptions.ResourceExhausted):
            self.quota.met("firestore")

    def _path(self, name: str) -> str:
        return name.removeprefix(self.root + "/")

    def _write(self, write: Write) -> Any:
        raw = types.CommitRequest.pb()().writes.add()
        name = f"{self.root}/{write.path}"
        if write.fields is None:
            raw.delete = name
        else:
            raw.update.name = name
            encode_fields(write.fields, self.root, raw.update.fields)
        if write.mask is not None:
            raw.update_mask.field_paths.extend(_quoted(field) for field in write.mask)
        if isinstance(write.seen, Snapshot) and write.seen.update_time is not None:
            raw.current_document.update_time.CopyFrom(timestamp(write.seen.update_time))
        elif write.seen is not None:
            raw.current_document.exists = write.seen is True
        return raw


def snapshot_of(raw: Any) -> Snapshot:
    """Return a protobuf document (of a read or of an event) as a snapshot."""
    path = raw.name.partition("/documents/")[2]
    return Snapshot(path, decode_fields(raw.fields), moment(raw.update_time))


def _quoted(field: str) -> str:
    return "`" + field.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _by_size(writes: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield the writes in order, in requests that stay under the limits of count and bytes."""
    some: list[Any] = []
    size = 0
    for each in writes:
        bytes_ = each.ByteSize()
        if some and (len(some) == MAX_WRITES or size + bytes_ > MAX_BYTES):
            yield some
            some, size = [], 0
        some.append(each)
        size += bytes_
    if some:
        yield some


def _translate(error: Exception, call: str) -> NoReturn:
    where = f"Firestore, {call}: {type(error).__name__}"
    if isinstance(error, (exceptions.FailedPrecondition, exceptions.Aborted, exceptions.AlreadyExists, exceptions.NotFound)):
        raise Contended(where) from error
    if isinstance(error, exceptions.InvalidArgument):
        raise TerminalRecord("too-large", f"{where}: it refuses the document (1 MiB and 20 levels at most)") from error
    if isinstance(error, (exceptions.Unauthenticated, exceptions.PermissionDenied)):
        raise TerminalBatch(f"{where}: the service account may not use this database; grant it roles/datastore.user") from error
    raise Transient(f"{where}; what was under way is tried again by the next run") from error
