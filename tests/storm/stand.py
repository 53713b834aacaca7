"""The real stack made breakable: Django on PostgreSQL, and function processes that may be killed."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Self

import requests
from google.cloud.firestore import Client
from proxy import Proxy

from local.bundle import ROOT
from local.django_users import DjangoUsers
from local.ports import HOST, free_port
from local.postgres import Postgres
from local.process import Child
from local.stack import Stack
from local.web import answers
from storm.eventarc import MARKERS, Eventarc
from storm.weather import PATIENCE, Weather

SPARES = 2
RUN_SECONDS = 120
CONFIG = {
    "kind: rest_queue": "kind: rest_queue\n    breaker_seconds: 1",
    "token: secret:django-token": f"token: secret:django-token\n    timeout_seconds: {PATIENCE}\n    attempts: 3",
    "limits: {shard_threshold: 20000, shards: 16}": "limits: {page_size: 3}",  # many pages, so that a run has many middles
}


class Instances:
    """Function processes behind the proxy. Some are started ahead, so that a killed one is replaced at once."""

    def __init__(self, stack: Stack, backend_url: str) -> None:
        self._stack, self._backend_url = stack, backend_url
        self._exits, self._numbers = ExitStack(), itertools.count(1)
        self._ahead: list[Instance] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def take(self) -> Instance:
        """Return a process that is ready, with its clients made, as an instance that has served before."""
        while len(self._ahead) <= SPARES:
            self._ahead.append(self._start())
        instance = self._ahead.pop(0)
        instance.child.wait_ready(lambda: answers(instance.url))
        requests.get(f"{instance.url}/sync_health", headers=bearer(self._stack), timeout=RUN_SECONDS)
        return instance

    def _start(self) -> Instance:
        port, number = free_port(), next(self._numbers)
        child = self._stack.functions_host(f"instance-{number:03}", port, DJANGO_URL=self._backend_url)
        return Instance(self._exits.enter_context(child), f"http://{HOST}:{port}")


@dataclass(frozen=True)
class Instance:
    """One function process."""

    child: Child
    url: str


class Call:
    """A call of `bidirectional_sync` that is under way, and perhaps never answered. Its run has a known id."""

    def __init__(self, instance: Instance, stack: Stack, scheduled: str) -> None:
        self.run_id = f"scheduled-{hashlib.sha256(scheduled.encode()).hexdigest()[:12]}"
        self._url = f"{instance.url}/bidirectional_sync"
        self._headers = bearer(stack) | {"X-CloudScheduler-ScheduleTime": scheduled}
        self.answer: requests.Response | None = None
        self._thread = threading.Thread(target=self._call, daemon=True)
        self._thread.start()

    def _call(self) -> None:
        with suppress(requests.RequestException):
            self.answer = requests.post(self._url, json={}, headers=self._headers, timeout=RUN_SECONDS)

    def over(self, seconds: float) -> bool:
        """Wait so many seconds for its end; return whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()


def bearer(stack: Stack) -> dict[str, str]:
    """Return the headers that an operator sends."""
    return {"Authorization": f"Bearer {stack.operator_token}"}


@dataclass
class Stand:
    """All parts, running."""

    stack: Stack
    postgres: Postgres
    eventarc: Eventarc
    proxy: Proxy
    weather: Weather
    instances: Instances
    firestore: Client

    def users(self) -> DjangoUsers:
        """Return a new process of Django's users; it starts with `with`."""
        backend: Any = self.stack.backend
        return DjangoUsers(backend.env, backend.manage_script)


@contextmanager
def standing(folder: Path, dice: Random, forgettable: frozenset[str]) -> Iterator[Stand]:
    """Start everything, with no fault in it yet but those of the events' delivery. See Eventarc for `forgettable`."""
    config = folder / "sync.yaml"
    text = (ROOT / "sync.yaml").read_text(encoding="utf-8")
    for plain, ours in CONFIG.items():
        text = text.replace(plain, ours)
    config.write_text(text, encoding="utf-8")
    with ExitStack() as exits:
        postgres = exits.enter_context(Postgres())
        eventarc = exits.enter_context(Eventarc(Random(dice.random()), forgettable))
        settings = {"SYNC_CONFIG": str(config)}
        stack = Stack(folder / "up", functions_env=settings, events=eventarc.address, database_url=postgres.url)
        exits.enter_context(stack)
        stack.emulator.register_trigger(MARKERS, f"{MARKERS}/{{id}}")
        proxy = exits.enter_context(Proxy(stack.backend_url))
        instances = exits.enter_context(Instances(stack, proxy.url))
        firestore = stack.firestore()
        exits.callback(firestore.close)
        yield Stand(stack, postgres, eventarc, proxy, Weather(Random(dice.random())), instances, firestore)
