"""The whole stack on this machine: secrets, emulator, backend and functions, wired to each other."""

import fcntl
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from local.arcade import Arcade
from local.backend import Backend
from local.bundle import ROOT, stage
from local.emulator import PROJECT, Emulator
from local.errors import StackError
from local.graph import graph_env, with_graph
from local.ports import HOST, port_from
from local.process import Child
from local.secrets import SecretServer, read_secrets, write_secrets
from local.tasks import TaskServer
from local.triggers import triggers
from local.web import answers, call

if TYPE_CHECKING:
    from google.cloud.firestore import Client

# Served under these names, as in production; the last two are of use only here.
SECRETS = ("django-token", "operator-token", "log-key", "neo4j-password", "django-secret-key", "admin-password")


class Stack:
    """Everything running, inside `with`. Another stack may run beside it, in another folder.

    `folder` holds what the stack keeps: database, secrets, logs, bundle and, with `keep`, Firestore's documents.
    Without `keep` it starts empty. `triggers` maps event functions to the document patterns they listen to, such as
    `{"track_member_changes": "members/{id}"}`; by default, what sync.yaml says. `root` is where functions/, shared/,
    backend/ and sync.yaml lie. Always starts an emulator of its own, since one that runs already posts its events elsewhere.
    `events` is the HOST:PORT of whatever takes those events instead of the functions; `database_url` the backend's database.
    With `tasks` there is a task queue, which makes so many calls at once, to `functions_url` if that is not the functions' own:
    only then are runs handed out in shards, and changes carried in real time. `more_secrets` are served too. With `graph` there
    is a graph, and the pair of graph.yaml.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep: bool = False,
        triggers: Mapping[str, str] | None = None,
        members: int = 0,
        functions_env: Mapping[str, str] | None = None,
        backend: bool = True,
        root: Path = ROOT,
        events: str | None = None,
        database_url: str | None = None,
        tasks: int = 0,
        functions_url: str = "",
        more_secrets: Mapping[str, str] | None = None,
        graph: bool = False,
        django_url: str = "",
    ) -> None:
        """Describe the stack; nothing starts, and nothing is deleted, before `with`."""
        self.folder, self.project = folder.resolve(), PROJECT
        self.logs = self.folder / "logs"
        self._keep, self._triggers, self._members = keep, triggers, members
        self._functions_env, self._with_backend, self._root = dict(functions_env or {}), backend and not django_url, root
        self._events, self._database_url = events, database_url
        self._tasks, self.functions_url, self._more_secrets = tasks, functions_url, dict(more_secrets or {})
        self._task_server: TaskServer | None = None
        self._with_graph, self._django_url = graph, django_url
        self.arcade: Arcade | None = None
        self._exits = ExitStack()
        self.emulator: Emulator
        self.backend: Backend | None = None
        self._functions: Child

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            exits.enter_context(_only_user(self.folder))
            self._prepare_folder()
            self._choose_ports()
            self._start(exits)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def _prepare_folder(self) -> None:
        for kept in self.folder.iterdir() if not self._keep else [self.logs]:
            if kept.is_dir():
                shutil.rmtree(kept)
            elif kept.name != LOCK:
                kept.unlink(missing_ok=True)
        self.logs.mkdir(exist_ok=True)
        self._secrets_file = self.folder / "secrets.json"
        known = read_secrets(self._secrets_file) if self._secrets_file.exists() else {}
        new = {name: secrets.token_hex(24) for name in SECRETS}
        new["operator-token"] += f"\nadmin {secrets.token_hex(24)}"
        write_secrets(self._secrets_file, new | known | self._more_secrets)

    def _choose_ports(self) -> None:
        self._ports = {part: port_from(f"BOTHWAYS_{part.upper()}_PORT") for part in PARTS}
        self._called_url = self.functions_url or f"http://{HOST}:{self._ports['functions']}"
        self.functions_url = f"http://{HOST}:{self._ports['functions']}"

    def _start(self, exits: ExitStack) -> None:
        """Start in this order, so that each part finds what it needs; ExitStack stops in the reverse."""
        self._secret_server = SecretServer(self._secrets_file, project=self.project, port=self._ports["secrets"])
        exits.enter_context(self._secret_server)
        if self._tasks:
            self._task_server = exits.enter_context(TaskServer(port=self._ports["tasks"], at_once=self._tasks))
        if self._with_graph:
            self.arcade = exits.enter_context(self._described_graph())
        self.emulator = exits.enter_context(self._described_emulator())
        exits.callback(self._save_documents)
        if self._with_backend:
            self.backend = exits.enter_context(self._described_backend())
        self._functions = exits.enter_context(self._described_functions())
        self._functions.wait_ready(lambda: answers(f"{self.functions_url}/"))
        self._register_triggers()

    def _described_graph(self) -> Arcade:
        config = self.folder / "sync.yaml"
        config.write_text(with_graph(self._root / "sync.yaml"), encoding="utf-8")
        password, log = self.secret("neo4j-password"), self.logs / "graph.log"
        return Arcade(self.folder / "graph", port=self._ports["graph"], password=password, log=log)

    def _described_emulator(self) -> Emulator:
        saved = self.folder / DOCUMENTS
        return Emulator(
            self._ports["emulator"],
            functions=self._events or f"{HOST}:{self._ports['functions']}",
            rules=ROOT / "firestore.rules",
            project=self.project,
            log=self.logs / "emulator.log",
            imported=saved if saved.exists() else None,
        )

    def _described_backend(self) -> Backend:
        return Backend(
            self.folder,
            token=self.backend_token,
            secret_key=self.secret("django-secret-key"),
            port=self._ports["backend"],
            members=self._members,
            log=self.logs / "backend.log",
            manage=self._root / "backend" / "manage.py",
            database_url=self._database_url,
            env=self._functions_as_django_knows_them() | self._task_env,
        )

    def _functions_as_django_knows_them(self) -> dict[str, str]:
        """Return where the functions are, and with which token they are called, for its admin's buttons and its nudges."""
        token = self.folder / "operator-token"
        token.touch(mode=0o600)
        token.write_text(self.operator_token, encoding="ascii")
        known = {"FUNCTIONS_URL": self._called_url, "FUNCTIONS_TOKEN_FILE": str(token)}
        return known | ({"TASK_TOKEN": self.operator_token, "NUDGE_PAIR": "members"} if self._task_env else {})

    def _described_functions(self) -> Child:
        stage(self.folder / "bundle", self._root)
        return self.functions_host("functions", self._ports["functions"])

    def functions_host(self, name: str, port: int, **env: str) -> Child:
        """Return a process that serves all functions on a port, as another instance does; its log has the name given.

        `env` is added to its environment. The caller starts and stops it.
        """
        command = [sys.executable, "-m", "local.functions", "--bundle", str(self.folder / "bundle"), "--port", str(port)]
        one_heap = {"MALLOC_ARENA_MAX": "1"}  # as deployed: else each thread keeps what its largest request took
        settings = self.env | one_heap | self._functions_env | env
        return Child("the functions host", command, log=self.logs / f"{name}.log", env=settings, cwd=ROOT)

    def _register_triggers(self) -> None:
        """Tell the emulator; a trigger with no function behind it would lose every event without a word."""
        served: dict[str, str] = json.loads(call("GET", f"{self.functions_url}/")[1])["functions"]
        wanted = triggers(self._root / "sync.yaml") if self._triggers is None else self._triggers
        for name, pattern in wanted.items():
            if served.get(name) != "cloudevent":
                raise StackError(f"functions/main.py has no event function {name} for the trigger on {pattern}: add it")
            self.emulator.register_trigger(name, pattern)

    def _save_documents(self) -> None:
        if not self._keep:
            return
        new = self.folder / f"{DOCUMENTS}.new"
        shutil.rmtree(new, ignore_errors=True)
        self.emulator.export(new)
        shutil.rmtree(self.folder / DOCUMENTS, ignore_errors=True)
        new.replace(self.folder / DOCUMENTS)

    def check(self) -> None:
        """Raise StackError if a part has stopped by itself."""
        parts = {"emulator": self.emulator.pid, "functions": self._functions.pid}
        if self.backend:
            parts["backend"] = self.backend.pid
        if self.arcade:
            parts["graph"] = self.arcade.pid
        for name, pid in parts.items():
            if pid is None:
                raise StackError(f"the {name} stopped by itself: {self.logs / name}.log tells why; start again")

    def secret(self, name: str) -> str:
        """Return a secret of this stack, one of SECRETS."""
        return read_secrets(self._secrets_file)[name]

    @property
    def emulator_host(self) -> str:
        """HOST:PORT of Firestore."""
        return self.emulator.host

    @property
    def secrets_host(self) -> str:
        """HOST:PORT of Secret Manager."""
        return self._secret_server.address

    @property
    def backend_url(self) -> str:
        """Where the REST queue is mounted."""
        return self.backend.url if self.backend else self._django_url

    @property
    def backend_token(self) -> str:
        """What the sync presents to the backend."""
        return self.secret("django-token")

    @property
    def operator_token(self) -> str:
        """What an operator presents to the functions."""
        return self.secret("operator-token").splitlines()[0]

    @property
    def admin_token(self) -> str:
        """What an admin presents to the functions."""
        return self.secret("operator-token").split()[-1]

    @property
    def env(self) -> dict[str, str]:
        """The environment of a process that is to work with this stack, functions included."""
        return (
            {
                "GOOGLE_CLOUD_PROJECT": self.project,
                "FIRESTORE_EMULATOR_HOST": self.emulator_host,
                "SECRET_MANAGER_HOST": self.secrets_host,
                "DJANGO_URL": self.backend_url,
                "SYNC_OPEN_TRACKERS": "1",  # the emulator's events carry no token
                "PYTHONUNBUFFERED": "1",
                "NO_PROXY": f"{HOST},localhost",
            }
            | self._graph_env
            | self._task_env
        )

    @property
    def _graph_env(self) -> dict[str, str]:
        config = {"SYNC_CONFIG": str(self.folder / "sync.yaml")}
        return graph_env(self.arcade) | config if self.arcade else {}

    @property
    def _task_env(self) -> dict[str, str]:
        """What a process must know to add tasks; the local server takes the queue's name as it comes."""
        if self._task_server is None:
            return {}
        queue = f"projects/{self.project}/locations/local/queues/bothways"
        return {"CLOUD_TASKS_HOST": self._task_server.address, "TASK_QUEUE": queue, "FUNCTIONS_URL": self._called_url}

    def firestore(self) -> "Client":
        """Return a new client of the emulator, with an owner's rights."""
        from google.cloud.firestore import Client

        with _environment(FIRESTORE_EMULATOR_HOST=self.emulator_host):  # the client has no argument for it
            return Client(project=self.project)


PARTS = ("secrets", "emulator", "backend", "functions", "tasks", "graph")
DOCUMENTS = "firestore"
LOCK = "lock"


@contextmanager
def _only_user(folder: Path) -> Iterator[None]:
    """Hold the folder: a second stack in it would delete the first one's database, and a stack in a home folder all."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (folder / LOCK).exists():
        raise StackError(f"{folder} is not empty and was not made by a stack: name another folder")
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise StackError(f"another stack is running in {folder}: stop it, or use another folder") from exc
        yield


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
