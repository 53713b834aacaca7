"""The whole stack: its parts know each other, and all of it goes away. Only the backend and the functions are made up."""

import json
import subprocess
from pathlib import Path

import grpc
import pytest
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport

from local.errors import StackError
from local.process import wait_until
from local.stack import Stack
from local.web import call

pytestmark = pytest.mark.stack


def processes_of(folder: Path) -> list[str]:
    listed = subprocess.run(["ps", "-eww", "-o", "stat=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line and not line.startswith("Z")]


@pytest.fixture(scope="module")
def stack(shared_tree):
    with Stack(shared_tree.parent / "stack", root=shared_tree) as stack:
        yield stack


def test_every_part_answers_where_the_stack_says(stack):
    assert call("POST", f"{stack.functions_url}/bidirectional_sync", {})[0] == 200
    assert call("GET", f"http://{stack.emulator_host}/")[0] == 200
    assert call("GET", stack.backend_url.replace("/felagar/api/sync", "/health/"))[0] == 200
    stack.check()


def test_a_write_reaches_its_function(stack):
    client = stack.firestore()
    client.document("members/a").set({"name": "Anna"})
    client.close()
    wait_until(lambda: '"seen"' in (stack.logs / "functions.log").read_text(), "an event")


def test_the_functions_secrets_come_from_the_stack(stack):
    with grpc.insecure_channel(stack.env["SECRET_MANAGER_HOST"]) as channel:
        client = SecretManagerServiceClient(transport=SecretManagerServiceGrpcTransport(channel=channel))
        name = f"projects/{stack.project}/secrets/operator-token/versions/latest"
        assert client.access_secret_version(name=name).payload.data.decode().splitlines()[0] == stack.operator_token


def test_the_secrets_are_their_owners(stack):
    file = stack.folder / "secrets.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert {"django-token", "operator-token", "log-key"} <= set(json.loads(file.read_text()))


def test_the_rules_are_in_force(stack):
    path = f"http://{stack.emulator_host}/v1/projects/{stack.project}/databases/(default)/documents/members/a"
    assert call("GET", path)[0] == 403


def test_a_second_stack_runs_beside_it_but_not_in_its_folder(stack, tree, tmp_path):
    with Stack(tmp_path / "other", root=tree) as other:
        assert other.operator_token != stack.operator_token
        assert other.emulator_host != stack.emulator_host
        assert len(processes_of(tmp_path)) >= 2  # functions and backend
    assert processes_of(tmp_path) == []
    stack.check()

    with pytest.raises(StackError, match="another stack is running in"), Stack(stack.folder, root=tree):
        pass


@pytest.mark.parametrize("keep", [True, False])
def test_only_a_kept_stack_goes_on_where_it_was(tree, tmp_path, keep):
    with Stack(tmp_path / "stack", root=tree, backend=False, keep=True) as first:
        token, client = first.operator_token, first.firestore()
        client.document("members/a").set({"name": "Anna"})
        client.close()
    with Stack(tmp_path / "stack", root=tree, backend=False, keep=keep) as second:
        client = second.firestore()
        assert client.document("members/a").get().exists == keep
        client.close()
        assert (second.operator_token == token) == keep


def test_a_folder_of_someone_else_is_not_emptied(tree, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter.txt").write_text("dear")
    with pytest.raises(StackError, match="was not made by a stack"), Stack(tmp_path / "home", root=tree):
        pass
    assert (tmp_path / "home/letter.txt").exists()


BROKEN = {
    "a trigger without its function": (("track_member_changes", "track_x"), "no event function track_member_changes"),
    "functions that do not load": (("import json", "import nothing_at_all"), "No module named 'nothing_at_all'"),
}


@pytest.mark.parametrize(("change", "complaint"), BROKEN.values(), ids=BROKEN)
def test_a_start_that_fails_says_why_and_leaves_nothing(tree, tmp_path, change, complaint):
    main = tree / "functions/main.py"
    main.write_text(main.read_text().replace(*change))
    with pytest.raises(StackError, match=complaint), Stack(tmp_path / "stack", root=tree, backend=False):
        pass
    assert processes_of(tmp_path / "stack") == []


def test_a_part_that_died_is_noticed(tree, tmp_path):
    with Stack(tmp_path / "stack", root=tree, backend=False) as stack:
        stack.emulator.stop()
        with pytest.raises(StackError, match="the emulator stopped by itself"):
            stack.check()
