"""Firestore's answer that a quota is used up is repeated by its client without a word: it is counted all the same."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.cloud.firestore_v1.types import firestore as calls

from shared.errors import Transient
from shared.peers.documents import Firestore, Write
from shared.quota import Quota


class Service(grpc.GenericRpcHandler):
    """Answers as many calls with these codes, then takes every commit; reads are answered with `reads` for ever."""

    def __init__(self) -> None:
        self.codes: list[grpc.StatusCode] = []
        self.reads = grpc.StatusCode.PERMISSION_DENIED

    def service(self, details: Any) -> Any:
        if details.method.endswith("/Commit"):
            return grpc.unary_unary_rpc_method_handler(self._commit)
        return grpc.unary_stream_rpc_method_handler(lambda request, context: context.abort(self.reads, "no"))

    def _commit(self, request: bytes, context: Any) -> bytes:
        if self.codes:
            context.abort(self.codes.pop(0), "no")
        return bytes(calls.CommitResponse.pb()().SerializeToString())


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def firestore(service: Service) -> Iterator[Firestore]:
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    yield Firestore(channel, "demo-quota")
    channel.close()
    server.stop(None).wait()


def test_it_is_counted_though_the_client_repeats_the_call_until_it_goes_through(firestore: Firestore, service: Service) -> None:
    service.codes = [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.RESOURCE_EXHAUSTED]
    firestore.commit([Write("things/x", {})])
    assert firestore.quota.copy() == {"firestore": 2}


def test_another_answer_that_may_pass_is_not_one(firestore: Firestore, service: Service) -> None:
    service.codes = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED]
    with pytest.raises(Exception, match="Aborted"):
        firestore.commit([Write("things/x", {})])
    assert firestore.quota.copy() == {}


def test_what_is_copied_stays_as_it_was() -> None:
    quota = Quota()
    quota.met("django")
    before = quota.copy()
    quota.met("django")
    quota.met("firestore")
    assert quota.copy() - before == {"django": 1, "firestore": 1}


def test_another_failure_is_transient_and_no_question_of_quota(firestore: Firestore, service: Service) -> None:
    service.reads = grpc.StatusCode.INTERNAL
    with pytest.raises(Transient):
        firestore.get(["things/x"])
    assert firestore.quota.copy() == {}
