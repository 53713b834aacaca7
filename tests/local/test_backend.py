"""How the backend is started: with a made-up manage.py that notes what it is asked, and answers like Django."""

import json
import subprocess

import pytest

from local.backend import Backend
from local.errors import StackError
from local.web import call


@pytest.fixture
def manage(tree, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return tree / "backend/manage.py"


def notes(manage):
    return [json.loads(line) for line in (manage.parent / "notes").read_text().splitlines()]


def test_it_migrates_stores_the_token_seeds_and_serves(manage, tmp_path):
    folder = tmp_path / "kept"
    with Backend(folder, token="t-1", secret_key="s-1", members=5, manage=manage) as backend:
        assert call("GET", f"{backend.site}/health/")[0] == 200
        assert backend.url == f"{backend.site}/felagar/api/sync"
        pid = backend.pid
        address = backend.site.removeprefix("http://")
    assert [note["command"] for note in notes(manage)] == [
        ["migrate", "--noinput"],
        ["sync_token", "local", "--role", "sync", "--stdin"],
        ["seed_members", "--count", "5", "--seed", "7"],
        ["runserver", "--noreload", "--insecure", address],
    ]
    assert [note["given"] for note in notes(manage)] == ["", "t-1", "", ""]
    assert notes(manage)[-1]["env"] == {
        "DATABASE_URL": f"sqlite:///{folder}/django.sqlite3",
        "DJANGO_SECRET_KEY": "s-1",
        "DJANGO_ALLOWED_HOSTS": "127.0.0.1,localhost",
        "BOTHWAYS_ADMIN_PASSWORD": None,
    }
    assert subprocess.run(["ps", "-p", str(pid)], stdout=subprocess.DEVNULL, check=False).returncode == 1


def test_a_database_that_was_named_is_used(manage, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://named")
    Backend(tmp_path, token="t", secret_key="s", manage=manage).manage("migrate")
    assert notes(manage)[0]["env"]["DATABASE_URL"] == "postgres://named"


def test_a_database_given_to_it_comes_before_the_environments(manage, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://named")
    Backend(tmp_path, token="t", secret_key="s", manage=manage, database_url="postgres://given").manage("migrate")
    assert notes(manage)[0]["env"]["DATABASE_URL"] == "postgres://given"


def test_a_killed_server_is_started_again_and_nothing_is_prepared_anew(manage, tmp_path):
    with Backend(tmp_path / "kept", token="t", secret_key="s", manage=manage) as backend:
        backend.kill()
        assert backend.pid is None
        with pytest.raises(OSError, match="refused"):
            call("GET", f"{backend.site}/health/")
        backend.start()
        assert call("GET", f"{backend.site}/health/")[0] == 200
    assert [note["command"][0] for note in notes(manage)] == ["migrate", "sync_token", "runserver", "runserver"]


def test_the_admins_password_is_no_argument(manage, tmp_path):
    Backend(tmp_path, token="t", secret_key="s", manage=manage).set_admin("geheim")
    (note,) = notes(manage)
    assert note["env"]["BOTHWAYS_ADMIN_PASSWORD"] == "geheim"
    assert "geheim" not in str(note["command"])


def test_a_failed_command_is_quoted(manage, tmp_path):
    backend = Backend(tmp_path, token="t", secret_key="s", manage=manage)
    with pytest.raises(StackError, match=r"`manage.py fail` failed with exit code 1: something is wrong"):
        backend.manage("fail")


def test_a_missing_backend_is_said(tmp_path):
    with (
        pytest.raises(StackError, match=r"manage\.py is missing: check out the whole repository"),
        Backend(tmp_path, token="t", secret_key="s", manage=tmp_path / "manage.py"),
    ):
        pass
