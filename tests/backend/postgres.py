"""A PostgreSQL cluster for the length of a `with`, of its own, torn down at the end."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

USERS = ("postgres", "nobody")


def programs() -> Path | None:
    """Return the folder of initdb and pg_ctl, or None where PostgreSQL's server is not installed."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    folders = [*packaged, *([Path(on_path).parent] if on_path else [])]
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


@contextmanager
def postgres() -> Iterator[str]:
    """Yield a database URL of a new cluster on a free port of 127.0.0.1. Raise RuntimeError where it cannot start."""
    folder = programs()
    if folder is None:
        raise RuntimeError("PostgreSQL's initdb and pg_ctl are not installed: apt-get install postgresql")
    home = Path(tempfile.mkdtemp(prefix="bothways-pg-"))
    run_as = _unprivileged(home)
    port = _free_port()
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c fsync=off -c full_page_writes=off"
    try:
        _run(
            [folder / "initdb", "-D", home / "cluster", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"], run_as, home
        )
        _run([folder / "pg_ctl", "-D", home / "cluster", "-w", "-l", home / "log", "-o", options, "start"], run_as, home)
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            _run([folder / "pg_ctl", "-D", home / "cluster", "-w", "-m", "immediate", "stop"], run_as, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _unprivileged(home: Path) -> dict[str, Any]:
    """Return how to start a program as somebody else where we are root, whom PostgreSQL refuses; hand over the folder."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = next(names[name] for name in USERS if name in names)
    os.chown(home, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _run(command: list[Any], run_as: dict[str, Any], home: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(home)}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=60,
        **run_as,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.decode(errors='replace')[-500:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
