"""When the backend is down, slow, broken or refuses: nothing is lost, and the next run completes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from proxy import Fault, Proxy, cut_short, half, page, refused, status, unanswered
from real import Real
from test_bundle import framework

from local.bundle import ROOT, stage
from local.process import wait_until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def proxy(stack: object) -> Iterator[Proxy]:
    with Proxy(stack.backend_url) as listening:  # type: ignore[attr-defined]
        yield listening


@pytest.fixture(scope="module")
def function(stack: object, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The function in a process of its own, which reaches the backend through the proxy."""
    folder = tmp_path_factory.mktemp("failing")
    bundle = stage(folder / "bundle", ROOT)
    (bundle / "sync.yaml").write_text(
        (ROOT / "sync.yaml")
        .read_text()
        .replace("token: secret:django-token", "token: secret:django-token\n    timeout_seconds: 1\n    attempts: 2")
    )
    env = stack.env | {"DJANGO_URL": proxy.url}  # type: ignore[attr-defined]
    with framework(bundle, "bidirectional_sync", "http", env, folder / "function.log") as url:
        yield url


@pytest.fixture(autouse=True)
def whole(proxy: Proxy) -> Iterator[None]:
    yield
    proxy.faults.clear()


def edit_on_both_sides(real: Real) -> None:
    real.users.call("save", entity="branch", key="d", fields={"name": "Django's"})
    real.firestore.document("branches/f").set({"name": "Firestore's"})
    real.wait_for_queue(1)


def run(real: Real, url: str) -> requests.Response:
    return requests.post(url, json={}, headers={"Authorization": f"Bearer {real.stack.operator_token}"}, timeout=120)


def in_step(real: Real) -> bool:
    in_django = {key: each["name"] for key, each in real.users.call("dump", entity="branch").items()}
    return in_django == {row["__id__"]: row["name"] for row in real.rows("branches")} == {"d": "Django's", "f": "Firestore's"}


FAULTS: dict[str, tuple[str, Fault, str]] = {
    "500 when changes are asked for": ("changes/", status(500), "answered 500"),
    "500 when changes are applied": ("apply/", status(500), "answered 500"),
    "429 with a wait that is too long": ("apply/", status(429, Retry_After="600"), "answered 429"),
    "a page for people": ("changes/", page, "text/html that is no JSON"),
    "a page for people instead of results": ("apply/", page, "text/html that is no JSON"),
    "half of the changes": ("changes/", half, "no answer"),
    "the answer to an apply that was done is lost": ("apply/", half, "no answer"),
    "the answer to an acknowledgement is lost": ("mark-synced/", half, "no answer"),
    "an apply is cut off before the backend hears of it": ("apply/", refused, "no answer"),
    "an apply is cut off in the middle": ("apply/", cut_short, "no answer"),
    "an apply is done and cut off before its answer": ("apply/", unanswered, "no answer"),
    "an acknowledgement is cut off in the middle": ("mark-synced/", cut_short, "no answer"),
}


@pytest.mark.parametrize("path, fault, said", FAULTS.values(), ids=FAULTS)
def test_a_failing_backend_ends_the_run_and_the_next_one_completes(
    real: Real, proxy: Proxy, function: str, path: str, fault: Fault, said: str
) -> None:
    edit_on_both_sides(real)
    proxy.faults[path] = fault
    answer = run(real, function)
    body = answer.json()
    assert (answer.status_code, body["success"]) == (500, False)
    assert said in body["errors"][0]["message"]
    assert body["errors"][0]["retry"] is True
    assert [row["status"] for row in real.rows("sync_runs")] == ["failed"]
    applied = set(real.users.call("dump", entity="branch"))
    synced = {row["key"] for row in real.rows("sync_queue") if row["sync_status"] != "pending"}
    assert synced <= applied, "nothing is acknowledged that was not applied"
    proxy.faults.clear()
    assert run(real, function).json()["success"] is True
    assert in_step(real)
    assert real.rows("sync_dead_letters") == []


def test_a_slow_backend_is_not_waited_for_for_ever(real: Real, proxy: Proxy, function: str) -> None:
    edit_on_both_sides(real)
    released = threading.Event()

    def never(handler: object, forward: object) -> bool:
        released.wait(60)
        return True

    proxy.faults["apply/"] = never  # type: ignore[assignment]
    answer = run(real, function)
    released.set()
    assert answer.status_code == 500
    assert "ReadTimeout" in answer.json()["errors"][0]["message"]
    proxy.faults.clear()
    assert run(real, function).json()["success"] is True
    assert in_step(real)


def test_a_short_wait_that_the_backend_asks_for_is_waited(real: Real, proxy: Proxy, function: str) -> None:
    edit_on_both_sides(real)
    left = [status(429, Retry_After="1")]
    proxy.faults["apply/"] = lambda handler, forward: bool(left) and left.pop(0)(handler, forward)
    assert run(real, function).json()["success"] is True
    assert in_step(real)


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_token_is_one_clear_line_and_no_storm(real: Real, proxy: Proxy, function: str, code: int) -> None:
    edit_on_both_sides(real)
    proxy.seen.clear()
    proxy.faults["changes/"] = status(code)
    answer = run(real, function)
    [error] = answer.json()["errors"]
    assert (answer.status_code, error["retry"]) == (500, False)
    assert f"answered {code}" in error["message"]
    assert "token" in error["message"]
    assert "\n" not in error["message"]
    assert real.stack.backend_token not in answer.text
    assert proxy.seen == ["changes"]
    assert real.rows("sync_dead_letters") == []
    proxy.faults.clear()
    assert run(real, function).json()["success"] is True
    assert in_step(real)


def test_a_backend_that_is_down_is_named_and_the_rest_waits(real: Real, function: str, tmp_path: Path) -> None:
    edit_on_both_sides(real)
    bundle = stage(tmp_path / "bundle", ROOT)
    env = real.stack.env | {"DJANGO_URL": "http://127.0.0.1:9/felagar/api/sync"}
    with framework(bundle, "bidirectional_sync", "http", env, tmp_path / "down.log") as url:
        answer = run(real, url)
    assert answer.status_code == 500
    assert "is the backend running and reachable?" in answer.json()["errors"][0]["message"]
    assert len(real.rows("sync_queue", sync_status="pending")) == 1
    assert run(real, function).json()["success"] is True
    assert in_step(real)


BAD = {
    "a pair that is not there": ({"pair": "people"}, "there is no pair 'people'; there are: members"),
    "an entity that is not there": ({"entities": ["member", "ghost"]}, "there is no entity 'ghost' there; there are: branch"),
    "a direction that is not there": ({"direction": "up"}, "there is no direction 'up'; there are: django_to_firestore"),
    "a field that is not there": ({"dryrun": True}, "dryrun"),
    "a wrong type": ({"dry_run": "yes"}, "dry_run"),
    "a number that makes no sense": ({"max_changes": 0}, "max_changes"),
    "a list": ([1], "body"),
}


@pytest.mark.parametrize("body, said", BAD.values(), ids=BAD)
def test_a_bad_request_is_told_what_is_wrong_and_what_there_is(real: Real, function: str, body: object, said: str) -> None:
    answer = requests.post(function, json=body, headers={"Authorization": f"Bearer {real.stack.operator_token}"}, timeout=60)
    assert answer.status_code == 400
    assert said in answer.json()["errors"][0]["message"]
    assert real.rows("sync_runs") == []


def test_a_caller_without_the_operator_token_learns_nothing(real: Real, function: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eA=="}):
        answer = requests.post(function, json={"pair": "people"}, headers=headers, timeout=60)
        assert answer.status_code == 401
        assert "people" not in answer.text
    assert requests.get(function, headers={"Authorization": f"Bearer {real.stack.operator_token}"}, timeout=60).status_code == 405


@pytest.mark.timeout(400)
def test_a_function_killed_in_the_middle_loses_nothing(real: Real, tmp_path: Path) -> None:
    """kill -9 at three moments of a run, each a little later; its lease, which would run out in two minutes, is taken away.

    A transaction that died with it may lock its documents for a while yet: what it holds waits for a later run.
    """
    bundle = stage(tmp_path / "bundle", ROOT)
    keys = [f"{number:03}" for number in range(300)]
    for key in keys:
        real.users.call("save", entity="branch", key=key, fields={"name": f"Django's {key}"})
    kills = 0
    for moment in (0, 1, 2):
        real.firestore.document(f"branches/f{moment}").set({"name": "Firestore's"})
        with framework(bundle, "bidirectional_sync", "http", real.stack.env, tmp_path / f"{moment}.log") as url:
            caller = threading.Thread(target=_call_and_be_cut_off, args=(real, url))
            caller.start()
            wait_until(lambda: not caller.is_alive() or _got_as_far_as(real, moment), f"moment {moment} of the run", 150)  # noqa: B023
            kill(url)
            kills += 1
            caller.join()
        real.firestore.document("sync_leases/members").delete()
    assert kills == 3
    real.wait_for_triggers()
    wait_until(lambda: real.moved(real.sync()) == 0, "a run with nothing left to do", 100)
    in_django = {key: each["name"] for key, each in real.users.call("dump", entity="branch").items()}
    assert in_django == {row["__id__"]: row["name"] for row in real.rows("branches")}
    assert set(in_django) == {*keys, "f0", "f1", "f2"}
    assert real.rows("sync_conflicts") == real.rows("sync_dead_letters") == []


def _call_and_be_cut_off(real: Real, url: str) -> None:
    with suppress(requests.RequestException):
        run(real, url)


def _got_as_far_as(real: Real, moment: int) -> bool:
    """The lease is taken; the first documents are there; all of them are."""
    return [
        real.firestore.document("sync_leases/members").get().exists,
        len(real.rows("branches")) > 50,
        len(real.rows("branches")) >= 300,
    ][moment]


def kill(url: str) -> None:
    """End the process that listens at the address, as the kernel would."""
    port = url.rstrip("/").rpartition(":")[2]
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        line = each.read_bytes().split(b"\0")
        if b"--port" in line and port.encode() in line:
            os.kill(int(each.parent.name), signal.SIGKILL)
