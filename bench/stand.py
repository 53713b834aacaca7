"""What is measured on: the stack, with its backend under gunicorn and no triggers, and hands to prepare it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import requests

from bench.proxy import Proxy
from bench.raw import RawBackend, RawFirestore
from local.backend import API, Backend
from local.bundle import ROOT
from local.errors import StackError
from local.ports import HOST, free_port
from local.postgres import Postgres
from local.process import Child
from local.stack import Stack
from local.web import answers

MANY, HEAP_GB, LARGE_HEAP_GB = 20_000, 4, 12
"""The emulator keeps what was overwritten for an hour, and slows down long before its memory is full."""
SIDE = Path(__file__).with_name("backend_side.py")


class Stand:
    """Inside `with`: an emulator, a backend with so many members on `database` (sqlite or postgresql), the functions."""

    def __init__(self, folder: Path, database: str, members: int) -> None:
        """Describe it, with its files in a folder of its own in `folder`; nothing starts before `with`."""
        self.folder, self.database, self.members = folder / database, database, members
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}{API}"
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            heap = HEAP_GB if self.members <= MANY else LARGE_HEAP_GB
            os.environ["_JAVA_OPTIONS"] = f"-Xmx{heap}g"  # the only variable that stands above the command line
            url = exits.enter_context(Postgres()).url if self.database == "postgresql" else None
            env = {"DJANGO_URL": self.url}
            described = Stack(self.folder, members=self.members, triggers={}, functions_env=env, database_url=url)
            self.stack = exits.enter_context(described)
            self.gunicorn = exits.enter_context(self._gunicorn())
            self.gunicorn.wait_ready(lambda: answers(f"http://{HOST}:{self.port}/health/"))
            self._exits = exits.pop_all()
        self.firestore = RawFirestore(self.stack.emulator_host, self.stack.project)
        self.backend = RawBackend(self.url, self.stack.backend_token)
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    @property
    def django(self) -> Backend:
        """The stack's backend: its database and its commands."""
        if self.stack.backend is None:
            raise StackError("the stack was started without its backend")
        return self.stack.backend

    def afar(self, milliseconds: int) -> Afar:
        """Return the way to the two peers that is so long; nothing is started before `with`."""
        return Afar(self, milliseconds)

    def _gunicorn(self) -> Child:
        command = [sys.executable, "-m", "gunicorn", "register.wsgi", "--bind", f"{HOST}:{self.port}", "--log-level", "warning"]
        serving = ["--worker-class", "gthread", "--workers", "2", "--threads", "4", "--keep-alive", "60"]
        env = self.django.env | {"PYTHONPATH": "."}
        where = self.django.manage_script.parent
        return Child("gunicorn", [*command, *serving], log=self.stack.logs / "gunicorn.log", env=env, cwd=where)

    def side(self, action: str, **details: Any) -> Any:
        """Do something to the backend's database; see backend_side.py."""
        path = f"{self.django.manage_script.parent}{os.pathsep}{ROOT}"
        env = self.django.env | {"PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "register.settings"}
        return _last_line([sys.executable, str(SIDE), action, json.dumps(details)], env)

    def ours(self, action: str, *options: str, given: Sequence[str] = (), **env: str) -> dict[str, Any]:
        """Have the sync do something in a process of its own; see ours.py."""
        command = [sys.executable, "-m", "bench.ours", action, *options]
        found: dict[str, Any] = _last_line(command, self.stack.env | {"DJANGO_URL": self.url} | env, json.dumps(list(given)))
        if found.get("failure"):
            raise StackError(f"a run failed: {found['failure']}")
        return found

    def tracking(self, names: Sequence[str]) -> dict[str, list[float]]:
        """Have the tracker meet these documents; see tracking.py."""
        command = [sys.executable, "-m", "bench.tracking"]
        found: dict[str, list[float]] = _last_line(command, self.stack.env | {"DJANGO_URL": self.url}, json.dumps(list(names)))
        return found

    def call(self, direction: str) -> tuple[dict[str, Any], float]:
        """Sync through the HTTP function; return the pair's figures and the seconds that the call took."""
        headers = {"Authorization": f"Bearer {self.stack.operator_token}"}
        body = {"pair": "members", "direction": direction}
        began = time.perf_counter()
        answer = requests.post(f"{self.stack.functions_url}/bidirectional_sync", json=body, headers=headers, timeout=1800)
        seconds = time.perf_counter() - began
        if answer.status_code != 200:
            raise StackError(f"bidirectional_sync answered {answer.status_code}; see {self.stack.logs}")
        return answer.json()["result"]["pairs"]["members"], seconds


class Afar:
    """The peers through a proxy, inside `with`: raw clients, and the environment that sends ours that way."""

    def __init__(self, stand: Stand, milliseconds: int) -> None:
        """Describe it."""
        self.ports = {"firestore": free_port(), "backend": free_port()}
        self.firestore_host, url = f"{HOST}:{self.ports['firestore']}", f"http://{HOST}:{self.ports['backend']}{API}"
        self.proxy = Proxy(
            milliseconds, {self.ports["firestore"]: stand.stack.emulator_host, self.ports["backend"]: f"{HOST}:{stand.port}"}
        )
        self.firestore = RawFirestore(self.firestore_host, stand.stack.project)
        self.backend = RawBackend(url, stand.stack.backend_token)
        self.env = {"FIRESTORE_EMULATOR_HOST": self.firestore_host, "DJANGO_URL": url}

    def __enter__(self) -> Self:
        self.proxy.__enter__()
        self.backend.get("status/")
        self.firestore.stream("BatchGetDocuments", self.firestore.get_request([f"{self.firestore.root}/members/nobody"]))
        return self

    def __exit__(self, *_: object) -> None:
        self.proxy.__exit__()

    def told(self) -> tuple[int, dict[str, int]]:
        """Return how many calls were under way at once, and how many there were by peer, since this was last asked."""
        told = self.proxy.told()
        return told["most"], {name: told["calls"].get(str(port), 0) for name, port in self.ports.items()}


def _last_line(command: Sequence[str], env: dict[str, str], given: str = "") -> Any:
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, env=os.environ | env, cwd=ROOT, check=False, timeout=3600
    )
    if done.returncode:
        raise StackError(f"{' '.join(command[1:4])} failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])
