"""The backend on a server of its own: backups that can be restored, and an installation that backs up before it migrates."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import databases
import pytest
from django.db import connections
from members.models import Branch

DEPLOY = Path(__file__).resolve().parents[2] / "backend" / "deploy"
sys.path.insert(0, str(DEPLOY))
from database import KEPT, Unusable, backup, failed_at, restore  # noqa: E402

NOW = datetime(2026, 11, 24, 2, 30, tzinfo=UTC)


def database_here() -> dict[str, object]:
    return dict(connections["default"].settings_dict)


def names() -> set[str]:
    found = set(Branch.objects.values_list("name", flat=True))
    databases.close()
    return found


def needs_postgres(vendor: str) -> None:
    if vendor == "postgresql" and shutil.which("pg_dump") is None:
        pytest.skip("no pg_dump on this machine")


def test_what_was_backed_up_comes_back_and_what_came_later_goes(db: str, tmp_path: Path) -> None:
    needs_postgres(db)
    Branch.objects.create(code="n", name="Norður", city="")
    databases.close()
    kept = backup(database_here(), tmp_path / "backups", NOW)
    assert kept is not None
    Branch.objects.filter(code="n").update(name="Suður")
    Branch.objects.create(code="s", name="Later", city="")
    databases.close()
    restore(database_here(), kept)
    assert names() == {"Norður"}


def test_a_backup_is_for_its_owner_alone(db: str, tmp_path: Path) -> None:
    needs_postgres(db)
    databases.close()
    kept = backup(database_here(), tmp_path / "backups", NOW)
    assert kept is not None
    assert [stat.S_IMODE(each.stat().st_mode) for each in (kept, kept.parent)] == [0o600, 0o700]


def test_a_backup_that_cannot_be_restored_changes_nothing(db: str, tmp_path: Path) -> None:
    needs_postgres(db)
    Branch.objects.create(code="n", name="Norður", city="")
    databases.close()
    damaged = tmp_path / f"bothways-x.{'sqlite3' if db == 'sqlite' else 'dump'}"
    damaged.write_bytes(b"no backup at all " * 1000)
    with pytest.raises(Unusable, match=r"damaged|pg_restore failed"):
        restore(database_here(), damaged)
    with pytest.raises(Unusable, match="there is no file"):
        restore(database_here(), tmp_path / "missing")
    with pytest.raises(Unusable, match="of another kind of database"):
        restore(database_here(), damaged.rename(damaged.with_suffix(".dump" if db == "sqlite" else ".sqlite3")))
    assert names() == {"Norður"}


@pytest.mark.stack
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_what_a_restore_fails_at_is_named_and_no_row_is_shown(db: str, tmp_path: Path) -> None:
    """A view that somebody has made on a table is in the way of its replacement."""
    needs_postgres(db)
    Branch.objects.create(code="n", name="Leyndarmál", city="")
    databases.close()
    kept = backup(database_here(), tmp_path / "backups", NOW)
    assert kept is not None
    databases.sql("CREATE VIEW in_the_way AS SELECT * FROM members_branch")
    databases.close()
    try:
        with pytest.raises(Unusable) as caught:
            restore(database_here(), kept)
    finally:
        databases.sql("DROP VIEW in_the_way")
    assert "at DROP TABLE IF EXISTS public.members_branch" in str(caught.value)
    assert names() == {"Leyndarmál"}


SAID = {
    "a table that is in the way": (
        """pg_restore: error: could not execute query: ERROR:  cannot drop table public.members_member because others depend
Command was: DROP TABLE IF EXISTS public.members_member;""",
        "DROP TABLE IF EXISTS public.members_member",
    ),
    "a row that does not fit": (
        '''pg_restore: error: COPY failed for table "members_member": ERROR:  invalid input syntax for type date: "Leyndarmál"
CONTEXT:  COPY members_member, line 1, column birth_date: "Leyndarmál"''',
        'COPY failed for table "members_member"',
    ),
    "a dump that may not read": (
        """pg_dump: error: query failed: ERROR:  permission denied for table members_member
pg_dump: detail: Query was: LOCK TABLE public.members_member IN ACCESS SHARE MODE""",
        "table members_member",
    ),
    "a server that is down": ("""pg_dump: error: connection to server at "db", port 5432 failed: Connection refused""", ""),
}


@pytest.mark.parametrize("said, where", SAID.values(), ids=SAID)
def test_of_what_the_programs_say_only_kind_and_name_are_told(said: str, where: str) -> None:
    assert failed_at(said) == where


def test_only_the_last_backups_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "db.sqlite3"
    file.write_bytes(b"")
    here: dict[str, object] = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}
    made = [backup(here, tmp_path / "backups", NOW + timedelta(days=day)) for day in range(KEPT + 2)]
    assert sorted((tmp_path / "backups").iterdir()) == made[2:]


def test_before_the_first_migration_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    here: dict[str, object] = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "none.sqlite3")}
    assert backup(here, tmp_path / "backups", NOW) is None


def said(*arguments: str) -> list[str]:
    command = ["bash", str(DEPLOY / "server.sh"), "--dry-run", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def order(lines: list[str], *parts: str) -> list[int]:
    return [next(place for place, line in enumerate(lines) if part in line) for part in parts]


def test_installing_backs_up_before_it_migrates_and_restarts_after_it() -> None:
    places = order(
        said("install"), "--require-hashes", "database.py backup", "manage.py migrate", "systemctl restart", "/health/"
    )
    assert places == sorted(places)


def test_restoring_backs_up_what_is_there_first_and_stops_the_backend_meanwhile() -> None:
    lines = said("restore", "/var/backups/bothways/x.dump")
    places = order(lines, "systemctl stop", "database.py backup", "database.py restore", "migrate", "systemctl start", "/health/")
    assert places == sorted(places)


def test_a_wrong_call_tells_how_to_call_it() -> None:
    done = subprocess.run(["bash", str(DEPLOY / "server.sh"), "instal"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith("usage: server.sh")) == (2, True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """With a program that is there in the place of those that an installation brings."""
    for unit in DEPLOY.glob("bothways-*"):
        text = (
            unit.read_text()
            .replace("/opt/bothways/venv/bin/gunicorn", "/bin/true")
            .replace("/opt/bothways/venv/bin/python", "/bin/true")
        )
        (tmp_path / unit.name).write_text(text)
    units = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "bothways" in line] == []
    assert len(units) == 3
