"""Backs the database up and restores it: `python deploy/database.py backup DIR` or `restore FILE`. SQLite and PostgreSQL.

Which database it is, Django's settings say. Passwords go through the environment: command lines are seen by everybody.
"""

import argparse
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

KEPT = 14
"""How many backups stay in the folder; older ones are deleted once a new one is there."""
PLACES = (r"^Command was: ((?:[A-Z]+ )+[\w.]+)", r"(COPY failed for table \"\w+\"):", r"ERROR:  permission denied for (\w+ \w+)")
"""How pg_restore and pg_dump name what they were at, in words that hold no value."""
NAMED = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD"}  # as libpq and as Django call it


class Unusable(Exception):
    """A backup that cannot be made or restored, with the reason."""


def backup(database: Mapping[str, Any], folder: Path, now: datetime) -> Path | None:
    """Write a backup that only its owner can read, and return its path; None if there is no database yet. Raises Unusable."""
    if _is_sqlite(database) and not Path(database["NAME"]).exists():
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kind = "sqlite3" if _is_sqlite(database) else "dump"
    path = folder / f"bothways-{now:%Y%m%dT%H%M%S%fZ}.{kind}"
    unfinished = path.with_suffix(".unfinished")
    os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        if kind == "sqlite3":
            _copy(Path(database["NAME"]), unfinished)
        else:
            _postgres(["pg_dump", "--format=custom", "--no-owner", "--file", str(unfinished), database["NAME"]], database)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    for old in sorted(folder.glob(f"bothways-*.{kind}"))[:-KEPT]:
        old.unlink()
    return path


def restore(database: Mapping[str, Any], path: Path) -> None:
    """Make the database what it was when the backup was made: all of it, or, if that fails, none. Raises Unusable."""
    if not path.is_file():
        raise Unusable(f"there is no file {path}")
    if (path.suffix == ".sqlite3") != _is_sqlite(database):
        raise Unusable(f"{path.name} is a backup of another kind of database than DATABASE_URL names")
    if _is_sqlite(database):
        _copy(path, Path(database["NAME"]))
    else:
        whole = ["--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error"]
        _postgres(["pg_restore", *whole, "--dbname", database["NAME"], str(path)], database)


def _is_sqlite(database: Mapping[str, Any]) -> bool:
    return str(database["ENGINE"]).endswith("sqlite3")


def _copy(source: Path, target: Path) -> None:
    """Copy page by page in one transaction, while others go on reading and writing."""
    with closing(sqlite3.connect(source)) as old:
        try:
            sound = old.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        except sqlite3.DatabaseError:
            sound = False
        if not sound:
            raise Unusable(f"{source} is damaged: take another backup")
        with closing(sqlite3.connect(target)) as new:
            old.backup(new)


def _postgres(command: list[str], database: Mapping[str, Any]) -> None:
    env = {**os.environ, **{name: str(database[key]) for name, key in NAMED.items() if database.get(key)}}
    try:
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Unusable(
            f"{command[0]} is missing: install PostgreSQL's client (Debian: apt-get install postgresql-client)"
        ) from None
    if done.returncode:
        where = failed_at(done.stderr)
        why = (
            f"at {where}: does something else depend on it, or is it another user's?"
            if where
            else "is the database up, and the backup its own?"
        )
        raise Unusable(f"{command[0]} failed with exit code {done.returncode}, {why}")


def failed_at(said: str) -> str:
    """Return the object that PostgreSQL's programs failed at, by kind and name; "" where they name none.

    What else they say may hold rows.
    """
    found = next((match for pattern in PLACES for match in re.finditer(pattern, said, re.MULTILINE)), None)
    return " ".join(found.group(1).split()) if found else ""


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python deploy/database.py", description="Back up, or restore, Django's database.")
    parser.add_argument("deed", choices=["backup", "restore"])
    parser.add_argument("path", type=Path, help="the folder of the backups, or the file to restore")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "register.settings")
    from django.conf import settings

    try:
        if options.deed == "backup":
            made = backup(settings.DATABASES["default"], options.path, datetime.now(UTC))
            sys.stdout.write(f"{made or 'there is no database yet, and so nothing to back up'}\n")
        else:
            restore(settings.DATABASES["default"], options.path)
    except Unusable as error:
        sys.stderr.write(f"database.py: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
