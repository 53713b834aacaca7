"""The staged bundle as Cloud Functions runs it: the plain functions-framework command line, and no glue of ours."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from events.replay import RECORDED
from real import Real

from local.bundle import ROOT, stage
from local.functions import discover
from local.ports import HOST, free_port
from local.process import Child


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stage(tmp_path_factory.mktemp("staged") / "bundle", ROOT)


@contextmanager
def framework(bundle: Path, target: str, kind: str, env: dict[str, str], log: Path) -> Iterator[str]:
    """Serve one function with the framework's own command line; yield its address."""
    port = free_port()
    program = Path(sys.executable).with_name("functions-framework")
    command = [str(program), "--source", str(bundle / "main.py"), "--target", target, "--signature-type", kind]
    with Child(target, [*command, "--host", HOST, "--port", str(port)], log=log, env=env, cwd=bundle) as child:
        child.wait_ready(lambda: _listens(port))
        yield f"http://{HOST}:{port}/"


def _listens(port: int) -> bool:
    try:
        return requests.get(f"http://{HOST}:{port}/no-such", timeout=5).status_code > 0
    except requests.ConnectionError:
        return False


def test_the_bundle_is_imported_without_a_setting_a_network_or_a_client(bundle: Path) -> None:
    code = (
        "import main, sys; from shared import wiring; "
        "print(wiring.settings.cache_info().misses, wiring.documents.cache_info().misses, 'typer' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=bundle, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "0 0 False"), done.stderr


def test_a_function_loads_what_it_needs_when_it_is_called(bundle: Path) -> None:
    code = (
        "import main, sys; before = {each for each in sys.modules if each.startswith(('shared', 'google.cloud.firestore'))}; "
        "from shared import events; "
        "print(sorted(before), [each for each in ('shared.engine', 'shared.reconcile') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=bundle, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "['shared', 'shared.errors', 'shared.unreadable'] []", done.stdout + done.stderr


def test_every_synced_collection_has_its_tracker(bundle: Path) -> None:
    from local.triggers import triggers

    kinds = discover(bundle / "main.py")
    assert {name for name, kind in kinds.items() if kind == "cloudevent"} == set(triggers(bundle / "sync.yaml"))
    http = {"bidirectional_sync", "reconcile", "replay_dead_letters", "resolve_conflict", "sync_health", "sync_shard"}
    http |= {"erase_record", "export_record", "explain_record", "dashboard", "ojs_event", "ojs_health"}
    assert {name for name, kind in kinds.items() if kind == "http"} == http


@pytest.mark.stack
def test_each_http_function_answers_under_the_plain_framework(real: Real, bundle: Path, tmp_path: Path) -> None:
    real.users.call("save", entity="branch", key="n", fields={"name": "Norður"})
    headers = {"Authorization": f"Bearer {real.stack.operator_token}"}
    for target in ("bidirectional_sync", "reconcile", "sync_health"):
        with framework(bundle, target, "http", real.stack.env, tmp_path / f"{target}.log") as url:
            method = "GET" if target == "sync_health" else "POST"
            answer = requests.request(method, url, headers=headers, timeout=60)
            assert (answer.status_code, answer.json()["success"]) == (200, True), answer.text
            assert requests.request(method, url, timeout=60).status_code == 401
    assert [row["name"] for row in real.rows("branches")] == ["Norður"]


@pytest.mark.stack
def test_a_tracker_answers_binary_events_under_the_plain_framework(real: Real, bundle: Path, tmp_path: Path) -> None:
    real.firestore.document("interests/kor").set({"name": "Kór"})
    real.wait_for_queue(1)
    for row in real.rows("sync_queue"):
        real.firestore.collection("sync_queue").document(row["__id__"]).delete()
    real.firestore.document("members/0101302399").set({"name": "Jón", "active": True})
    real.wait_for_queue(1)
    with framework(bundle, "track_member_changes", "cloudevent", real.stack.env, tmp_path / "tracker.log") as url:
        post = RECORDED["created"]
        body = base64.b64decode(base64.b64decode(post["body"]))
        assert requests.post(url, data=body, headers=post["headers"], timeout=60).status_code == 200
    lines = [json.loads(line) for line in (tmp_path / "tracker.log").read_text().splitlines() if line.startswith("{")]
    assert [line["message"] for line in lines if line["event"] == "tracked"] == ["in line"]
