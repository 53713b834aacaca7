"""A commit that queued a change nudges its pair, once for a burst, and never gets in the way of who saved."""

import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from calls import Client, created
from django.db import transaction
from django.test import override_settings
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from members.models import Branch
from syncqueue import nudging

from local.process import wait_until
from local.tasks import TaskServer
from shared.nudges import slot_end
from shared.tasks import task_id

QUEUE = "projects/demo/locations/local/queues/bothways"
NUDGE = {"queue": QUEUE, "functions_url": "http://127.0.0.1:9", "pair": "members", "seconds": 3600, "token": "a token"}


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "nudge"]


def settled() -> None:
    wait_until(lambda: not threads(), "the nudges under way")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    nudging._last.clear()
    nudging._client.cache_clear()
    with override_settings(NUDGE=NUDGE):
        yield
        settled()
    nudging._client.cache_clear()


class Counting(TaskServer):
    """A server that counts how often it is asked to take a task."""

    asked = 0

    def create(self, *what: Any) -> Any:
        self.asked += 1
        return super().create(*what)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    with Counting() as running:
        monkeypatch.setenv("CLOUD_TASKS_HOST", running.address)
        yield running


@pytest.fixture
def tasks(server: Counting) -> Iterator[CloudTasksClient]:
    """A queue whose tasks wait for the hour to end."""
    channel = grpc.insecure_channel(server.address)
    yield CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
    channel.close()


def lying(tasks: CloudTasksClient) -> list:
    settled()
    return list(tasks.list_tasks(parent=QUEUE))


def test_a_burst_of_saves_is_one_task_for_the_end_of_the_slot_and_one_call(
    db: str, server: Counting, tasks: CloudTasksClient
) -> None:
    began = datetime.now(UTC)
    for number in range(20):
        Branch.objects.create(code=f"B{number}", name="Norður")
    [task] = lying(tasks)
    assert server.asked == 1
    assert task.http_request.url == "http://127.0.0.1:9/bidirectional_sync"
    assert json.loads(task.http_request.body) == {"pair": "members"}
    assert task.http_request.headers["Authorization"] == "Bearer a token"
    assert began < task.schedule_time <= datetime.now(UTC) + timedelta(hours=1, seconds=1)


def test_functions_and_backend_make_the_same_task_of_the_same_slot(db: str, tasks: CloudTasksClient) -> None:
    now = datetime.now(UTC)
    Branch.objects.create(code="N", name="Norður")
    [task] = lying(tasks)
    end = slot_end(now, 3600)
    assert nudging.slot_end(now, 3600) == end
    assert task.name.endswith(task_id(f"nudge-members-{end:%Y%m%dT%H%M%S%f}"))


def test_what_is_rolled_back_nudges_nobody(db: str, tasks: CloudTasksClient) -> None:
    with transaction.atomic():
        Branch.objects.create(code="N", name="Norður")
        transaction.set_rollback(True)
    assert not Branch.objects.exists()
    assert lying(tasks) == []


def test_what_the_sync_writes_nudges_nobody(db: str, tasks: CloudTasksClient, client: Client) -> None:
    assert client.outcomes(created("1", name="Jón", active=True, visits=1)) == ["applied"]
    assert lying(tasks) == []


def test_a_queue_that_is_away_fails_no_save_and_is_told_to_the_log_without_a_value(
    db: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CLOUD_TASKS_HOST", "127.0.0.1:9")
    with caplog.at_level(logging.WARNING):
        Branch.objects.create(code="N", name="Norður")
        settled()
    assert Branch.objects.count() == 1
    [line] = [each.getMessage() for each in caplog.records if each.name == "syncqueue.nudging"]
    assert line == "a nudge did not reach Cloud Tasks (ServiceUnavailable); the next save nudges again"
    assert nudging._last == {}


@override_settings(NUDGE=None)
def test_without_the_setting_there_is_no_nudge(db: str, tasks: CloudTasksClient) -> None:
    Branch.objects.create(code="N", name="Norður")
    assert lying(tasks) == []
