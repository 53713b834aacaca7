"""What server.sh needs of a system that tests must not touch: root, the user `bothways`, systemd, and a package index.

`programs` writes stand-ins for these, to be first on PATH. Their systemctl starts what the unit says, with its settings and
in its folder, and stops it; all else (bash, sed, cp, curl, Django, gunicorn, pg_dump) is the real thing.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from local.bundle import ROOT
from local.process import wait_until

RUNUSER = '#!/bin/bash\n[[ "$1 $2 $3" == "-u bothways --" ]] || exit 9\nexec "${@:4}"\n'
ID = "#!/bin/bash\n[[ ${1:-} != -u ]] || echo 0\n"
INSTALL = """#!/bin/bash
words=()
while (($#)); do
    case $1 in -o | -g) shift 2 ;; *) words+=("$1") && shift ;; esac
done
exec /usr/bin/install "${words[@]}"
"""
SYSTEMCTL = '#!/bin/bash\nPYTHONPATH={root} exec {python} {here} {folder} "$@"\n'
PYTHON = """#!/bin/bash
if [[ "$1 $2 $3" == "-m pip install" ]]; then
    echo "$*" >>{folder}/pip.log
else
    exec {python} "$@"
fi
"""


def programs(folder: Path, prefix: Path) -> Path:
    """Write the stand-ins into a folder and a virtual environment below `prefix`; return the folder for PATH."""
    bin_ = folder / "bin"
    systemctl = SYSTEMCTL.format(python=sys.executable, here=Path(__file__), folder=folder, root=ROOT)
    for name, text in {"runuser": RUNUSER, "id": ID, "install": INSTALL, "systemctl": systemctl}.items():
        _program(bin_ / name, text)
    _program(prefix / "venv/bin/python", PYTHON.format(python=sys.executable, folder=folder))
    _program(prefix / "venv/bin/gunicorn", f'#!/bin/bash\nexec {sys.executable} -m gunicorn "$@"\n')
    return bin_


def pid(folder: Path) -> int | None:
    """Return the process id of the backend's service while it is meant to run."""
    kept = folder / "pid"
    return int(kept.read_text()) if kept.exists() else None


def stop(folder: Path) -> None:
    """End the backend's service and wait until it is gone."""
    running = pid(folder)
    if running is None:
        return
    (folder / "pid").unlink()
    os.killpg(running, signal.SIGTERM)
    wait_until(lambda: not _lives(running), "the end of gunicorn", 20)


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _settings(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found.setdefault(name, []).append(value)
    return found


def _started(folder: Path, unit: dict[str, list[str]], command: str) -> subprocess.Popen[bytes]:
    lines = Path(unit["EnvironmentFile"][0]).read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    env = {"PATH": "/usr/bin:/bin", **given}
    with (folder / "journal").open("ab") as journal:
        return subprocess.Popen(
            shlex.split(command),
            cwd=unit["WorkingDirectory"][0],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=journal,
            stderr=journal,
            start_new_session=True,
        )


def main(folder: Path, verb: str, *units: str) -> int:
    """Do what systemctl does."""
    for name in units if verb in {"start", "stop", "restart"} else ():
        if name.endswith(".timer"):
            continue
        unit = _settings(Path(os.environ["UNITS"]) / name)
        if unit.get("Type") == ["oneshot"]:
            if any(_started(folder, unit, command).wait() for command in unit["ExecStart"]):
                return 1
            continue
        stop(folder)
        if verb != "stop":
            (folder / "pid").write_text(str(_started(folder, unit, unit["ExecStart"][0]).pid))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
