"""A PostgreSQL server of its own for the length of a `with`, torn down at the end."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from local.errors import StackError
from local.ports import HOST, free_port

USERS = ("postgres", "nobody")


def programs() -> Path | None:
    """Return the folder of initdb and pg_ctl, or None where PostgreSQL's server is not installed."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    folders = [*packaged, *([Path(on_path).parent] if on_path else [])]
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


class Postgres:
    """A new, empty cluster on a free port. `url` is its database, in the form of DATABASE_URL.

    It outlives no `with` and need survive no power cut, so it does not wait for the disk.
    """

    def __init__(self) -> None:
        """Describe the server; nothing starts before `with`."""
        self._port = free_port()
        self.url = f"postgresql://postgres@{HOST}:{self._port}/postgres"

    def __enter__(self) -> Self:
        folder = programs()
        if folder is None:
            raise StackError("PostgreSQL's initdb and pg_ctl are not installed: apt-get install postgresql")
        self._programs, self._home = folder, Path(tempfile.mkdtemp(prefix="bothways-pg-"))
        self._run_as = _unprivileged(self._home)
        try:
            self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
            self.start()
        except BaseException:
            shutil.rmtree(self._home, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self._home, ignore_errors=True)

    def start(self) -> None:
        """Start the server and return once it takes connections."""
        sockets = f"-c listen_addresses={HOST} -c unix_socket_directories={self._home}"
        options = f"-p {self._port} {sockets} -c fsync=off -c full_page_writes=off"
        self._run("pg_ctl", "-w", "-l", str(self._home / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Stop the server as a crash does: connections are cut, and the next start recovers what was committed."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), "-D", str(self._home / "cluster"), *arguments],
            cwd=self._home,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(self._home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
            **self._run_as,
        )
        if done.returncode:
            raise StackError(f"PostgreSQL's {program} failed: {done.stderr.decode(errors='replace')[-500:]}")


def _unprivileged(home: Path) -> Mapping[str, Any]:
    """Return how to start a program as somebody else where we are root, whom PostgreSQL refuses; hand over the folder."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = next(names[name] for name in USERS if name in names)
    os.chown(home, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
