"""The stand-in for Secret Manager, asked by the real client."""

import grpc
import pytest
from google.api_core.exceptions import MethodNotImplemented, NotFound
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport

from local.errors import StackError
from local.secrets import SecretServer, read_secrets, write_secrets


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "deep/secrets.json"
    write_secrets(file, {"django-token": "þungt"})
    return file


@pytest.fixture
def server(file):
    with SecretServer(file, project="demo") as server:
        yield server


@pytest.fixture
def client(server):
    with grpc.insecure_channel(server.address) as channel:
        yield SecretManagerServiceClient(transport=SecretManagerServiceGrpcTransport(channel=channel))


@pytest.mark.parametrize("version", ["latest", "1"])
def test_a_secret_is_served(client, version):
    answer = client.access_secret_version(name=f"projects/demo/secrets/django-token/versions/{version}")
    assert answer.payload.data.decode() == "þungt"
    assert answer.name == "projects/demo/secrets/django-token/versions/1"


@pytest.mark.parametrize(
    "name",
    [
        "projects/demo/secrets/other/versions/latest",
        "projects/another/secrets/django-token/versions/latest",
        "projects/demo/secrets/django-token/versions/2",
        "django-token",
    ],
)
def test_what_is_not_there_is_not_found(client, name):
    with pytest.raises(NotFound, match="not found or has no versions"):
        client.access_secret_version(name=name)


def test_a_rotated_secret_is_served_at_the_next_call(client, file):
    write_secrets(file, {"django-token": "new"})
    answer = client.access_secret_version(name="projects/demo/secrets/django-token/versions/latest")
    assert answer.payload.data == b"new"


def test_other_calls_are_not_implemented(client):
    with pytest.raises(MethodNotImplemented):
        client.get_secret(name="projects/demo/secrets/django-token")


def test_only_the_owner_reads_the_file(file):
    assert file.stat().st_mode & 0o777 == 0o600
    write_secrets(file, {"django-token": "again"})
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_taken_port_is_said(server, file):
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(StackError, match=f"port 127.0.0.1:{port} is taken"), SecretServer(file, project="x", port=port):
        pass


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}'])
def test_a_spoilt_file_is_said_without_its_content(tmp_path, content):
    file = tmp_path / "secrets.json"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(StackError, match=r"secrets\.json .*: delete it, and start again"):
        read_secrets(file)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_touch_is_refused_with_what_to_do(tmp_path, mode):
    file = tmp_path / "secrets.json"
    write_secrets(file, {"a": "leyndarmál"})
    file.chmod(mode)
    with pytest.raises(StackError, match=r"secrets\.json may be read by others than its owner: `chmod 600 ") as raised:
        read_secrets(file)
    assert "leyndarmál" not in str(raised.value)
