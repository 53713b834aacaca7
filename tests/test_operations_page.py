"""docs/operations.md: each trouble is made on the real stack, is seen by the page's commands, and is over after its cure.

gcloud has no project here: it parses each of its lines, and then finds that nobody is logged in.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
import requests
from real import Real

from local.bundle import ROOT
from local.django_users import DjangoUsers
from local.process import wait_until
from local.stack import Stack

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
HEALTH = (ROOT / "shared" / "health.py").read_text(encoding="utf-8")
SECTIONS = {title: text for title, _, text in (part.partition("\n") for part in PAGE.split("\n## ")[1:])}
MEMBER = {"name": "Anna", "active": True, "visits": 1}
THREE_DAYS = timedelta(days=3)


def commands(text: str) -> list[str]:
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def codes_of(title: str) -> set[str]:
    """Return the words of health that lead to a section."""
    anchor = f"(#{title.lower().replace(' ', '-').replace(',', '')})"
    [row] = [line for line in PAGE.splitlines() if line.startswith("|") and anchor in line]
    return set(re.findall(r"`([\w-]+)`", row))


def test_every_trouble_that_health_names_leads_to_a_section() -> None:
    assert {code for title in SECTIONS for code in codes_of(title)} == set(re.findall(r'Trouble\(\s*"([\w-]+)"', HEALTH))


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_says_how_to_see_the_trouble_its_cause_and_its_cure(title: str) -> None:
    see, cause, cure = (SECTIONS[title].index(f"**{word}.**") for word in ("See", "Cause", "Cure"))
    assert see < cause < cure
    assert commands(SECTIONS[title][see:cause])
    assert commands(SECTIONS[title][cure:])
    assert [line for line in commands(SECTIONS[title]) if line.split()[0] not in {"./bothways", "curl", "gcloud"}] == []


GCLOUD = sorted({line for text in SECTIONS.values() for line in commands(text) if line.startswith("gcloud ")})


@pytest.mark.stack
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
@pytest.mark.parametrize("line", GCLOUD)
def test_gcloud_takes_the_line(line: str, tmp_path: Path) -> None:
    names = {name: f"a-{name.lower()}" for name in ("PROJECT", "REGION", "JOB")}
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path), **names}
    done = subprocess.run(["bash", "-c", line], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "active account" in done.stderr) == (1, True), done.stderr


# The rest, on the real stack


class Gate:
    """Passes Firestore's events on to the functions, or drops them while it is shut."""

    def __init__(self) -> None:
        gate = self
        self.target, self.shut, self.dropped = "", False, 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                headers = {
                    name: value for name, value in self.headers.items() if name.lower().startswith(("ce-", "content-type"))
                }
                if gate.shut:
                    gate.dropped += 1
                else:
                    requests.post(gate.target + self.path, data=body, headers=headers, timeout=60)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


CONFIG = {
    "token: secret:django-token": "token: secret:django-token\n    attempts: 1\n    breaker_seconds: 1",
    "collection: interests": "collection: interests\n        policy: manual",
}


@dataclass
class Trouble:
    """A trouble that was made: what the page's commands call by name, and what is mended besides before they cure it."""

    names: Mapping[str, str] = field(default_factory=dict)
    mend: Callable[[], object] = lambda: None


class Operator:
    """Types the page's commands."""

    def __init__(self, real: Real, folder: Path, config: Path, gate: Gate) -> None:
        self.real, self.folder, self.gate = real, folder, gate
        (folder / "bothways").symlink_to(ROOT / "bothways")
        headers = folder / "headers"
        headers.write_text(f"X-Serverless-Authorization: Bearer \nAuthorization: Bearer {real.stack.operator_token}\n")
        called = {"FUNCTIONS_URL": real.stack.functions_url, "HEADERS": str(headers), "SYNC_CONFIG": str(config)}
        shell = {name: os.environ[name] for name in ("PATH", "HOME")} | {"USER": "gunnar", "COLUMNS": "100"}
        self.env = shell | real.stack.env | called

    def __call__(self, line: str, names: Mapping[str, str], codes: tuple[int, ...]) -> str:
        done = subprocess.run(
            ["bash", "-uc", line],
            cwd=self.folder,
            env=self.env | dict(names),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode in codes, f"{line}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def problems(self) -> set[str]:
        return {each["code"] for each in self.real.call("sync_health").json()["errors"]}

    def saved(self, *keys: str) -> None:
        """Let members be on both sides."""
        for key in keys:
            self.real.users.call("save", entity="member", key=key, fields=MEMBER)
        self.real.sync()

    def last_run(self, **fields: Any) -> None:
        """Change what is kept of the last run."""
        lease = self.real.firestore.document("sync_leases/members")
        lease.update({f"last.{name}": value for name, value in fields.items()})


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    with Gate() as standing:
        yield standing


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = (ROOT / "sync.yaml").read_text(encoding="utf-8")
    for plain, ours in CONFIG.items():
        assert plain in text
        text = text.replace(plain, ours)
    file = tmp_path_factory.mktemp("operations") / "sync.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def town(config: Path, gate: Gate) -> Iterator[tuple[Stack, DjangoUsers]]:
    with Stack(config.parent / "up", functions_env={"SYNC_CONFIG": str(config)}, events=gate.address) as stack:
        gate.target = stack.functions_url
        backend = stack.backend
        assert backend is not None
        with DjangoUsers(backend.env, backend.manage_script) as users:
            yield stack, users


@pytest.fixture
def operator(town: tuple[Stack, DjangoUsers], gate: Gate, config: Path, tmp_path: Path) -> Iterator[Operator]:
    client = town[0].firestore()
    real = Real(*town, client)
    real.empty()
    yield Operator(real, tmp_path, config, gate)
    client.close()


def not_running(on: Operator) -> Trouble:
    on.saved("1")
    on.last_run(succeeded_at=datetime.now(UTC) - THREE_DAYS, success=False)
    return Trouble()


def no_answers(on: Operator) -> Trouble:
    on.saved("1")
    backend: Any = on.real.stack.backend
    backend.kill()
    for _ in range(3):
        assert on.real.call("bidirectional_sync").status_code == 500
    lease = on.real.firestore.document("sync_leases/members")

    def mend() -> None:
        backend.start()
        until = lease.get().to_dict()["last"]["breakers"]["django"]["until"]
        wait_until(lambda: datetime.now(UTC) > until, "the breaker's time", 10)

    return Trouble(mend=mend)


def dropped(on: Operator) -> Trouble:
    """An edit whose event nobody took."""
    on.saved("1")
    before = on.gate.dropped
    on.gate.shut = True
    on.real.firestore.document("members/1").update({"visits": 7})
    wait_until(lambda: on.gate.dropped > before, "the event", 30)
    on.gate.shut = False
    assert "not adopted yet" in on("./bothways explain member 1", {}, (0,))
    return Trouble({"KEY": "1"})


def undecided(on: Operator) -> Trouble:
    on.real.users.call("save", entity="interest", key="n", fields={"name": "one"})
    on.real.sync()
    on.real.users.call("save", entity="interest", key="n", fields={"name": "two"})
    on.real.firestore.document("interests/n").update({"name": "three"})
    on.real.wait_for_queue(1)
    on.real.sync()
    [conflict] = on.real.rows("sync_conflicts", status="open")
    return Trouble({"CONFLICT": conflict["__id__"]})


def refused(on: Operator) -> Trouble:
    on.saved("1", "2")
    on.real.users.call("save", entity="member", key="1", fields={"email": "a@example.is"})
    on.real.sync()
    on.real.firestore.document("members/2").update({"email": "a@example.is"})
    on.real.wait_for_queue(1)
    on.real.sync()
    [letter] = on.real.rows("sync_dead_letters")
    other = {"email": "b@example.is"}
    return Trouble(
        {"LETTER": letter["__id__"]},
        lambda: on.real.users.call("save", entity="member", key="1", fields=other) and on.real.sync(),
    )


def flooded(on: Operator) -> Trouble:
    keys = [str(number) for number in range(55)]
    on.saved(*keys)
    for key in keys:
        on.real.users.call("delete", entity="member", key=key)
    [brake] = on.real.sync()["brakes"]
    return Trouble({"PLAN": brake["plan"]})


def waiting(on: Operator) -> Trouble:
    on.saved("1")
    on.real.firestore.document("members/1").update({"visits": 7})
    on.real.wait_for_queue(1)
    [entry] = on.real.rows("sync_queue", sync_status="pending")
    on.real.firestore.document(f"sync_queue/{entry['__id__']}").update({"created_at": datetime.now(UTC) - THREE_DAYS})
    return Trouble()


def over_quota(on: Operator) -> Trouble:
    on.saved("1")
    on.last_run(quota_errors={"firestore": 5})
    return Trouble()


def ahead(on: Operator) -> Trouble:
    """Nothing is wrong here, since no test sets the machine's clock: the commands work."""
    on.saved("1")
    return Trouble()


UNSEEN = {"A trigger does not fire", "An edit was missed", "A clock is wrong"}
TROUBLES: dict[str, Callable[[Operator], Trouble]] = {
    "The sync is not running": not_running,
    "Django answers with errors, or not at all": no_answers,
    "A trigger does not fire": dropped,
    "An edit was missed": dropped,
    "Conflicts": undecided,
    "Dead letters": refused,
    "The brake is on": flooded,
    "The queue grows": waiting,
    "A clock is wrong": ahead,
    "A quota is used up": over_quota,
}


def test_every_section_has_its_trouble() -> None:
    assert list(TROUBLES) == list(SECTIONS)


@pytest.mark.stack
@pytest.mark.parametrize("title", TROUBLES)
def test_the_trouble_is_seen_and_is_over_after_its_cure(operator: Operator, title: str) -> None:
    trouble = TROUBLES[title](operator)
    seen, _, cured = SECTIONS[title].partition("**Cure.**")
    assert codes_of(title) <= operator.problems() or title in UNSEEN
    for line in commands(seen):
        if not line.startswith("gcloud "):
            operator(line, trouble.names, (0, 3))
    trouble.mend()
    for line in commands(cured):
        if line.startswith("curl "):
            assert json.loads(operator(line, trouble.names, (0,)))["success"], line
        elif not line.startswith("gcloud "):
            operator(line, trouble.names, (0,))
    assert operator.problems() == set()
    members = operator.real.users.call("dump", entity="member")
    assert {row["__id__"]: row["visits"] for row in operator.real.rows("members")} == {
        key: each["visits"] for key, each in members.items()
    }
