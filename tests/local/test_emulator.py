"""The real emulator: it starts, tells, clears, and leaves no process."""

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from local.emulator import Emulator
from local.errors import StackError
from local.ports import HOST, free_port
from local.process import wait_until
from local.web import call

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
OWNER = {"Authorization": "Bearer owner"}
SCRIPT = """
import sys, time
from local.emulator import Emulator
from local.process import exit_on_sigterm
exit_on_sigterm()
with Emulator() as emulator:
    print(emulator.pid, flush=True)
    time.sleep(600)
"""


def document(emulator: Emulator, path: str) -> str:
    return f"http://{emulator.host}/v1/projects/{emulator.project}/databases/(default)/documents/{path}"


def write(emulator: Emulator, path: str) -> None:
    assert call("PATCH", document(emulator, path), {"fields": {"n": {"integerValue": 1}}}, OWNER)[0] == 200


def exists(emulator: Emulator, path: str) -> bool:
    return call("GET", document(emulator, path), headers=OWNER)[0] == 200


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.startswith("Z")


@pytest.fixture(autouse=True)
def _no_running_emulator(monkeypatch):
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)


@pytest.fixture
def listener():
    """An HTTP server that notes the paths of what is posted to it."""
    posted: list[str] = []

    class Note(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            posted.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer((HOST, free_port()), Note) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{HOST}:{server.server_port}", posted
        server.shutdown()


def test_it_starts_clears_and_leaves_no_process_or_file(tmp_path):
    with Emulator(log=tmp_path / "emulator.log") as emulator:
        pid = emulator.pid
        write(emulator, "members/a")
        emulator.clear()
        assert not exists(emulator, "members/a")
    assert gone(pid)
    assert emulator.pid is None


def test_what_is_exported_can_be_imported(tmp_path):
    with Emulator() as emulator:
        write(emulator, "members/a")
        emulator.export(tmp_path / "saved")
    with Emulator(imported=tmp_path / "saved") as emulator:
        assert exists(emulator, "members/a")


def test_a_trigger_is_posted_only_for_its_documents(listener):
    functions, posted = listener
    with Emulator(functions=functions) as emulator:
        emulator.register_trigger("track_member_changes", "members/{id}")
        write(emulator, "branches/a")
        write(emulator, "members/a")
        wait_until(lambda: bool(posted), "an event")
    assert posted == [f"/functions/projects/{emulator.project}/triggers/track_member_changes"]


def test_an_emulator_that_runs_already_is_used_and_left_running(monkeypatch):
    with Emulator() as running:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", running.host)
        with Emulator() as emulator:
            assert (emulator.host, emulator.pid) == (running.host, None)
        assert call("GET", f"http://{running.host}/")[0] == 200


def test_a_named_emulator_that_does_not_answer_is_said(monkeypatch):
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"{HOST}:{free_port()}")
    with pytest.raises(StackError, match=r"nothing answers at .* unset FIRESTORE_EMULATOR_HOST"), Emulator():
        pass


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        ("service cloud.firestore {", "Unexpected '<EOF>'"),
        ("service cloud.firestore { match /a/{b} { allow read: if foo(); } }", "has mistakes, mend them: line 1: .*foo"),
    ],
    ids=["no syntax", "no such function"],
)
def test_wrong_rules_stop_the_start(tmp_path, rules, complaint):
    (tmp_path / "wrong.rules").write_text(rules)
    emulator = Emulator(rules=tmp_path / "wrong.rules")
    with pytest.raises(StackError, match=complaint), emulator:
        pass
    assert emulator.pid is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_signal_to_the_parent_ends_the_emulator(tmp_path, number):
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux tells a child of its parent's death")
    command = [sys.executable, "-c", SCRIPT]
    env = os.environ | {"PYTHONPATH": ".", "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        pid = json.loads(parent.stdout.readline())
        parent.send_signal(number)
    wait_until(lambda: gone(pid), "the emulator's end")
