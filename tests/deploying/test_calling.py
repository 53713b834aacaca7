"""scheduler/call.sh against a server that answers as the functions do. call.ps1 says the same on Windows; no test runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from local.ports import free_port

CALL = Path(__file__).resolve().parents[2] / "scheduler" / "call.sh"
Calling = Callable[..., "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")


class Functions(ThreadingHTTPServer):
    """Answers with one status after the other, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.statuses: list[int] = []
        self.asked: list[dict[str, str]] = []


class Answering(BaseHTTPRequestHandler):
    server: Functions

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        told = {"method": self.command, "path": self.path, "body": body, "token": self.headers.get("Authorization") or ""}
        self.server.asked.append(told)
        status = self.server.statuses.pop(0)
        said = json.dumps({"runId": f"run-of-{status}"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = _answer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def functions() -> Iterator[Functions]:
    server = Functions()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def call(functions: Functions, tmp_path: Path) -> Calling:
    token = tmp_path / "token"
    token.write_text("made-up-token\n")
    token.chmod(0o600)

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": os.environ["PATH"],
            "SYNC_URL": f"http://127.0.0.1:{functions.server_address[1]}/",
            "SYNC_TOKEN_FILE": str(token),
            "SYNC_TRIES": "3",
            "SYNC_WAIT": "0",
        }
        command = ["bash", str(CALL), *arguments]
        return subprocess.run(command, env=env | variables, cwd="/", capture_output=True, text=True, check=False)

    return run


def test_a_run_that_is_done_prints_the_answer(call: Calling, functions: Functions) -> None:
    functions.statuses = [200]
    done = call("bidirectional_sync", '{"pair": "members"}')
    assert done.returncode == 0, done.stderr
    assert "bidirectional_sync: done (200)" in done.stdout
    assert '"run-of-200"' in done.stdout
    expected = {"method": "POST", "path": "/bidirectional_sync", "body": '{"pair": "members"}', "token": "Bearer made-up-token"}
    assert functions.asked == [expected]


def test_health_is_asked_with_get(call: Calling, functions: Functions) -> None:
    functions.statuses = [200]
    assert call("sync_health").returncode == 0
    assert (functions.asked[0]["method"], functions.asked[0]["body"]) == ("GET", "")


OUTCOMES: dict[str, tuple[list[int], int, str]] = {
    "another run all the time": ([409, 409, 409], 5, "try 3 of 3: another run is under way (409)"),
    "another run at first": ([409, 200], 0, "try 1 of 3: another run is under way (409)"),
    "a failure at first": ([500, 200], 0, 'try 1 of 3: failed (500): {"runId": "run-of-500"}'),
    "failures all the time": ([500, 503, 500], 1, "try 3 of 3: failed (500)"),
    "a token that is not valid": ([401], 3, 'refused (401): {"runId": "run-of-401"}'),
    "a token that may not": ([403], 3, "refused (403)"),
    "a wrong request": ([400], 4, "the request is wrong (400)"),
    "no such function": ([404], 4, "the request is wrong (404)"),
}


@pytest.mark.parametrize("statuses, code, line", OUTCOMES.values(), ids=OUTCOMES)
def test_each_answer_has_its_exit_code_and_its_line(
    call: Calling, functions: Functions, statuses: list[int], code: int, line: str
) -> None:
    functions.statuses = list(statuses)
    done = call("bidirectional_sync")
    assert (done.returncode, functions.statuses, len(functions.asked)) == (code, [], len(statuses))
    assert line in done.stderr


def test_no_answer_is_tried_again(call: Calling, functions: Functions) -> None:
    done = call("bidirectional_sync", SYNC_URL=f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert done.stderr.count("no answer") == 3
    assert "Failed to connect" in done.stderr or "Connection refused" in done.stderr or "connect" in done.stderr


def test_the_token_is_on_no_command_line(call: Calling, functions: Functions, tmp_path: Path) -> None:
    """A curl before the real one notes how it was called."""
    noting = tmp_path / "bin/curl"
    noting.parent.mkdir()
    noting.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/line\nexec {shutil.which("curl")} "$@"\n')
    noting.chmod(0o755)
    functions.statuses = [200]
    assert call("bidirectional_sync", PATH=f"{noting.parent}:{os.environ['PATH']}").returncode == 0
    line = (tmp_path / "line").read_text()
    assert "--config -" in line
    assert "made-up-token" not in line


def test_behind_iam_gcloud_is_asked_for_a_token_of_the_account_at_each_try(
    call: Calling, functions: Functions, tmp_path: Path
) -> None:
    gcloud = tmp_path / "bin/gcloud"
    gcloud.parent.mkdir()
    gcloud.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\necho "token $(wc -l < {tmp_path}/asked)"\n')
    gcloud.chmod(0o755)
    functions.statuses = [500, 200]
    account = "bothways-caller@demo-project.iam.gserviceaccount.com"
    path = {"PATH": f"{gcloud.parent}:{os.environ['PATH']}", "SYNC_TOKEN_FILE": ""}
    assert call("bidirectional_sync", SYNC_ACCOUNT=account, **path).returncode == 0
    assert [each["token"] for each in functions.asked] == ["Bearer token 1", "Bearer token 2"]
    url = f"http://127.0.0.1:{functions.server_address[1]}/bidirectional_sync"
    line = f"auth print-identity-token --impersonate-service-account={account} --audiences={url} --include-email --quiet"
    assert (tmp_path / "asked").read_text().splitlines() == [line] * 2


def test_where_gcloud_gives_no_token_its_reason_is_seen_and_the_refusal(
    call: Calling, functions: Functions, tmp_path: Path
) -> None:
    gcloud = tmp_path / "bin/gcloud"
    gcloud.parent.mkdir()
    gcloud.write_text("#!/bin/sh\necho 'ERROR: no active account' >&2\nexit 1\n")
    gcloud.chmod(0o755)
    functions.statuses = [401]
    done = call("reconcile", SYNC_ACCOUNT="caller@p", PATH=f"{gcloud.parent}:{os.environ['PATH']}")
    assert done.returncode == 3
    assert "no active account" in done.stderr


WRONG: dict[str, tuple[list[str], dict[str, str], str]] = {
    "no function": ([], {}, "usage: scheduler/call.sh FUNCTION [JSON]"),
    "a path": (["../x"], {}, "../x is no function's name"),
    "no address": (["reconcile"], {"SYNC_URL": ""}, "say in SYNC_URL where the functions are"),
    "no token": (["reconcile"], {"SYNC_TOKEN_FILE": "/no/such"}, "say in SYNC_TOKEN_FILE where the token is"),
    "no number": (["reconcile"], {"SYNC_TRIES": "many"}, "take whole numbers"),
}


@pytest.mark.parametrize("arguments, variables, line", WRONG.values(), ids=WRONG)
def test_a_wrong_call_is_said_and_calls_nothing(
    call: Calling, functions: Functions, arguments: list[str], variables: dict[str, str], line: str
) -> None:
    done = call(*arguments, **variables)
    assert (done.returncode, functions.asked) == (2, [])
    assert line in done.stderr


def test_a_token_that_others_can_read_is_not_used(call: Calling, functions: Functions, tmp_path: Path) -> None:
    (tmp_path / "token").chmod(0o644)
    done = call("reconcile")
    assert (done.returncode, functions.asked) == (2, [])
    assert f"others can read the token: chmod 600 {tmp_path / 'token'}" in done.stderr
