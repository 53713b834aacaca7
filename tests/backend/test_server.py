"""server.sh for real, in folders of its own: installed, backed up, restored, and a release that does not migrate."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pretend_root
import psycopg
import pytest
import requests

from local.bundle import ROOT
from local.ports import free_port

pytestmark = pytest.mark.stack


@dataclass
class Server:
    """A machine on which server.sh is run."""

    folder: Path
    database_url: str
    port: int

    def run(self, *arguments: str, release: Path = ROOT / "backend") -> subprocess.CompletedProcess[str]:
        """Run server.sh of a release."""
        return subprocess.run(
            ["bash", str(release / "deploy/server.sh"), *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def does(self, *arguments: str) -> str:
        """Run server.sh and return what it printed; it must go through."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def env(self) -> dict[str, str]:
        places = {"PREFIX": "opt", "SETTINGS": "etc/backend.env", "STATE": "lib", "BACKUPS": "backups", "UNITS": "units"}
        env = {name: str(self.folder / place) for name, place in places.items()}
        return env | {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "ADDRESS": f"127.0.0.1:{self.port}"}

    @property
    def backups(self) -> list[Path]:
        return sorted((self.folder / "backups").iterdir())

    @property
    def pid(self) -> int | None:
        return pretend_root.pid(self.folder)

    def members(self) -> int:
        """Ask the database how many members there are."""
        code = "from members.models import Member; print('members', Member.objects.count())"
        return int(self.does("manage", "shell", "-c", code).rpartition("members ")[2])

    def is_well(self) -> bool:
        """Ask the running gunicorn."""
        return requests.get(f"http://127.0.0.1:{self.port}/health/", timeout=10).status_code == 200


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A machine with nothing on it but the packages, and a database."""
    url = "" if request.param == "sqlite" else _new_database(request.getfixturevalue("postgres_url"))
    (tmp_path / "units").mkdir()
    pretend_root.programs(tmp_path, tmp_path / "opt")
    made = Server(tmp_path, url, free_port())
    if url:  # as the guide says: the settings name it, and the machine is installed
        (tmp_path / "etc").mkdir()
        settings = (f"DATABASE_URL={url}", "DJANGO_ALLOWED_HOSTS=127.0.0.1", f"DJANGO_SECRET_KEY={'k' * 60}")
        (tmp_path / "etc/backend.env").write_text("\n".join(settings))
    yield made
    pretend_root.stop(tmp_path)


def _new_database(url: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS server")
        connection.execute("CREATE DATABASE server")
    return f"{url.rpartition('/')[0]}/server"


def test_a_server_is_installed_backed_up_and_restored_and_serves_all_the_while(server: Server) -> None:
    server.does("install")
    assert server.is_well()
    assert "--require-hashes" in (server.folder / "pip.log").read_text()
    made = list(server.backups)
    server.does("manage", "seed_members", "--count", "5", "--seed", "7")
    assert server.does("check").strip().endswith("}"), "health is said as JSON"
    server.does("backup")
    [kept] = set(server.backups) - set(made)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    server.does("manage", "seed_members", "--count", "8", "--seed", "8")
    assert server.members() == 13
    before = server.pid
    said = server.does("restore", str(kept))
    assert (server.members(), server.is_well(), server.pid != before) == (5, True, True)
    assert "mode" in said.splitlines()[-1], "it says that a reconcile is to follow"
    assert len(set(server.backups) - {kept, *made}) == 1, "and what was there before is kept"


def test_a_release_that_does_not_migrate_leaves_a_backup_and_the_old_one_serving(server: Server, tmp_path: Path) -> None:
    server.does("install")
    server.does("manage", "seed_members", "--count", "5", "--seed", "7")
    before, made = server.pid, len(server.backups)
    broken = tmp_path / "release"
    shutil.copytree(ROOT / "backend", broken, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3*", ".mypy_cache"))
    migration = "from django.db import migrations\nclass Migration(migrations.Migration):\n"
    migration += "    dependencies = [('members', '0001_initial')]\n    operations = [migrations.RunSQL('SELECT FROM WHERE')]\n"
    (broken / "members/migrations/0002_broken.py").write_text(migration)
    done = server.run("install", release=broken)
    assert done.returncode != 0
    assert (server.pid, server.is_well(), len(server.backups)) == (before, True, made + 1)
    assert not (server.folder / "opt/backend/members/migrations/0002_broken.py").exists(), "new workers are of the old release"
    assert "what was there runs on" in done.stderr
    server.does("install")
    assert (server.members(), server.is_well()) == (5, True), "the release before it is installed again"


def test_the_nights_service_backs_up_and_cleans_up(server: Server) -> None:
    server.does("install")
    server.does("manage", "seed_members", "--count", "5", "--seed", "7")
    made = len(server.backups)
    done = subprocess.run([server.folder / "bin/systemctl", "start", "bothways-daily.service"], env=server.env, check=False)
    assert (done.returncode, len(server.backups)) == (0, made + 1)
    journal = (server.folder / "journal").read_text()
    assert "tombstones: 0 dropped" in journal
