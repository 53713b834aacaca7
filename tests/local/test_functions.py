"""The functions host: every function under its name, from the bundle alone."""

import json
import sys
from pathlib import Path

import pytest

from local.bundle import stage
from local.ports import HOST, free_port
from local.process import Child, wait_until
from local.web import answers, call

ROOT = Path(__file__).resolve().parents[2]
EVENT = {
    "ce-id": "1",
    "ce-source": "//firestore.googleapis.com/projects/demo/databases/(default)",
    "ce-specversion": "1.0",
    "ce-type": "google.cloud.firestore.document.v1.written",
    "Content-Type": "application/protobuf",
}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "functions.log"


@pytest.fixture
def host(tree, tmp_path, log):
    port = free_port()
    command = [sys.executable, "-m", "local.functions", "--bundle", str(stage(tmp_path / "bundle", tree))]
    env = {"GOOGLE_CLOUD_PROJECT": "demo"}
    with Child("the functions host", [*command, "--port", str(port)], log=log, env=env, cwd=ROOT) as child:
        child.wait_ready(lambda: answers(f"http://{HOST}:{port}/"))
        yield f"http://{HOST}:{port}"


def test_every_function_is_served_from_the_bundle(host, tmp_path, log):
    assert json.loads(call("GET", f"{host}/")[1]) == {
        "functions": {"bidirectional_sync": "http", "reconcile": "http", "track_member_changes": "cloudevent"}
    }

    status, body = call("POST", f"{host}/bidirectional_sync", {})
    assert (status, json.loads(body)["path"]) == (200, "/")
    assert Path(json.loads(body)["shared"]).is_relative_to(tmp_path / "bundle")

    for path in ("track_member_changes", "functions/projects/demo/triggers/track_member_changes"):
        assert call("POST", f"{host}/{path}", {"proto": "buf"}, EVENT)[0] == 200
    wait_until(lambda: log.read_text().count('"seen"') == 2, "two events in the log")
    assert [json.loads(line) for line in log.read_text().splitlines()] == [{"seen": EVENT["ce-type"]}] * 2

    for path in ("not_registered", "functions/projects/other/triggers/track_member_changes", "nothing"):
        assert call("GET", f"{host}/{path}")[0] == 404


def test_a_main_that_does_not_load_is_quoted(tree, tmp_path, log):
    (tree / "functions/main.py").write_text("import nothing_of_that_name\n")
    bundle = stage(tmp_path / "bundle", tree)
    command = [sys.executable, "-m", "local.functions", "--bundle", str(bundle), "--port", str(free_port())]
    with Child("the functions host", command, log=log, cwd=ROOT) as child:
        wait_until(lambda: child.pid is None, "the end of the host")
    assert "No module named 'nothing_of_that_name'" in log.read_text()
