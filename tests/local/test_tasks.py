"""The stand-in for Cloud Tasks, asked by the real client; whatever it calls notes what it got."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from local.process import wait_until
from local.tasks import Retries, TaskServer
from shared.tasks import CloudTasks, Task, task_id

QUEUE = "projects/demo/locations/local/queues/bothways"


class Called:
    """A server that answers with the statuses in `answers`, then 200, and keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str], bytes, float]] = []
        self.answers: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self.inside = self.most = 0
        lock, called = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    called.calls.append((self.path, dict(self.headers), body, time.monotonic()))
                    called.inside += 1
                    called.most = max(called.most, called.inside)
                called.open.wait(30)
                with lock:
                    called.inside -= 1
                    status = called.answers.pop(0) if called.answers else 200
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def called() -> Iterator[Called]:
    there = Called()
    threading.Thread(target=there.server.serve_forever, daemon=True).start()
    yield there
    there.open.set()
    there.server.shutdown()
    there.server.server_close()


@pytest.fixture
def server() -> Iterator[TaskServer]:
    with TaskServer(at_once=2, retries=Retries(attempts=4, first=0.01, longest=0.05)) as running:
        yield running


@pytest.fixture
def client(server: TaskServer) -> Iterator[CloudTasksClient]:
    channel = grpc.insecure_channel(server.address)
    yield CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
    channel.close()


@pytest.fixture
def tasks(client: CloudTasksClient, called: Called) -> CloudTasks:
    return CloudTasks(client, QUEUE, called.url, None, lambda: "a token")


def is_empty(client: CloudTasksClient) -> bool:
    return not list(client.list_tasks(parent=QUEUE))


def test_a_task_is_a_call_of_a_function_with_a_body_and_the_operator_token(
    tasks: CloudTasks, called: Called, client: CloudTasksClient
):
    assert tasks.add(Task("run: 1", "sync_shard", {"shard": 3}))
    wait_until(lambda: is_empty(client), "the call")
    [(path, headers, body, _)] = called.calls
    assert (path, body) == ("/sync_shard", b'{"shard": 3}')
    assert headers["Authorization"] == "Bearer a token"
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Cloudtasks-Queuename"] == "bothways"
    assert headers["X-Cloudtasks-Taskname"] == task_id("run: 1")
    assert headers["X-Cloudtasks-Taskretrycount"] == "0"


def test_a_name_makes_one_task_also_after_it_has_run(tasks: CloudTasks, called: Called, client: CloudTasksClient):
    assert tasks.add(Task("once", "sync_shard", {}))
    wait_until(lambda: is_empty(client), "the call")
    assert not tasks.add(Task("once", "sync_shard", {}))
    assert tasks.add(Task("another", "sync_shard", {}))
    wait_until(lambda: len(called.calls) == 2 and is_empty(client), "the other call")


def test_a_task_waits_for_its_time(tasks: CloudTasks, called: Called, client: CloudTasksClient):
    began = time.monotonic()
    tasks.add(Task("later", "sync_shard", {"n": 1}, datetime.now(UTC) + timedelta(seconds=0.7)))
    tasks.add(Task("now", "sync_shard", {"n": 2}))
    wait_until(lambda: is_empty(client), "both calls")
    assert [body for _, _, body, _ in called.calls] == [b'{"n": 2}', b'{"n": 1}']
    assert called.calls[1][3] - began >= 0.6


@pytest.mark.parametrize("status", [409, 500, 302])
def test_what_is_not_answered_2xx_is_called_again_and_told_how_often(
    tasks: CloudTasks, called: Called, client: CloudTasksClient, status: int
):
    called.answers = [status, status]
    tasks.add(Task("again", "sync_shard", {}))
    wait_until(lambda: is_empty(client), "the third call")
    assert [headers["X-Cloudtasks-Taskretrycount"] for _, headers, _, _ in called.calls] == ["0", "1", "2"]


def test_a_task_that_never_goes_through_is_given_up(tasks: CloudTasks, called: Called, client: CloudTasksClient):
    called.answers = [500] * 10
    tasks.add(Task("never", "sync_shard", {}))
    wait_until(lambda: is_empty(client), "giving up")
    assert len(called.calls) == 4


def test_only_so_many_calls_are_made_at_once(tasks: CloudTasks, called: Called, client: CloudTasksClient):
    called.open.clear()
    for number in range(5):
        tasks.add(Task(f"task {number}", "sync_shard", {}))
    wait_until(lambda: called.inside == 2, "two calls")
    called.open.set()
    wait_until(lambda: is_empty(client), "all calls")
    assert (len(called.calls), called.most) == (5, 2)


def test_a_task_can_be_looked_at_and_dropped(tasks: CloudTasks, called: Called, client: CloudTasksClient):
    name = f"{QUEUE}/tasks/{task_id('dropped')}"
    tasks.add(Task("dropped", "sync_shard", {}, datetime.now(UTC) + timedelta(hours=1)))
    assert client.get_task(name=name).http_request.url == f"{called.url}/sync_shard"
    client.delete_task(name=name)
    for gone in (client.get_task, client.delete_task):
        with pytest.raises(exceptions.NotFound):
            gone(name=name)
    assert not tasks.add(Task("dropped", "sync_shard", {}))
    assert called.calls == []


def test_a_deployed_task_carries_an_oidc_token_of_the_service_account_and_none_of_ours(
    server: TaskServer, client: CloudTasksClient
):
    tasks = CloudTasks(client, QUEUE, "https://functions.example/", "us@example", lambda: "a token")
    tasks.add(Task("signed", "sync_shard", {}, datetime.now(UTC) + timedelta(hours=1)))
    request = client.get_task(name=f"{QUEUE}/tasks/{task_id('signed')}").http_request
    assert request.oidc_token.service_account_email == "us@example"
    assert request.oidc_token.audience == request.url == "https://functions.example/sync_shard"
    assert "Authorization" not in request.headers
