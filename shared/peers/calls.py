"""Firestore's gRPC methods on raw messages: wrapping each, and the client's own way to a call, cost more than the messages do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from google.api_core import exceptions
from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.cloud.firestore_v1.types import firestore as types
from google.protobuf.empty_pb2 import Empty
from grpc.experimental import ChannelOptions

SERVICE = "/google.firestore.v1.Firestore"
CALL_SECONDS = 60.0
READ_AT_ONCE = (ChannelOptions.SingleThreadedUnaryStream, 1)
"""A channel's option: who asks for a stream reads it, instead of being handed message by message from another thread. Of the time
that reading documents takes it saves more than half."""
UNARY: Mapping[str, Any] = {
    "BeginTransaction": types.BeginTransactionResponse.pb(),
    "Rollback": Empty,
    "Commit": types.CommitResponse.pb(),
    "BatchWrite": types.BatchWriteResponse.pb(),
    "ListCollectionIds": types.ListCollectionIdsResponse.pb(),
}
STREAMS: Mapping[str, Any] = {
    "BatchGetDocuments": types.BatchGetDocumentsResponse.pb(),
    "RunQuery": types.RunQueryResponse.pb(),
    "RunAggregationQuery": types.RunAggregationQueryResponse.pb(),
}


class Calls:
    """The methods that the sync needs, by name, over one channel; any number of threads may call."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._unary = {name: channel.unary_unary(f"{SERVICE}/{name}", _bytes, kind.FromString) for name, kind in UNARY.items()}
        self._streams = {
            name: channel.unary_stream(f"{SERVICE}/{name}", _bytes, kind.FromString) for name, kind in STREAMS.items()
        }

    def __call__(self, name: str, request: Any, metadata: Sequence[tuple[str, str]]) -> Any:
        """Return the answer of a method, of a stream all answers; GoogleAPICallError where it fails."""
        where = "parent" if hasattr(request, "parent") else "database"
        routed = to_grpc_metadata([(where, getattr(request, where))])  # type: ignore[no-untyped-call]
        sent = [*metadata, routed]
        try:
            if name in self._streams:
                return list(self._streams[name](request, timeout=CALL_SECONDS, metadata=sent))
            return self._unary[name](request, timeout=CALL_SECONDS, metadata=sent)
        except grpc.RpcError as error:
            raise exceptions.from_grpc_error(error) from error  # type: ignore[no-untyped-call]


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString())
