"""Builds .venv; called by venv.sh with the checksum that the finished venv is stamped with. Standard library only."""

import fcntl
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "stamp"
MADE_FOR = VENV / "made_for"
REQUIREMENTS = "requirements-dev.txt"


def main() -> int:
    """Build it unless another make did so meanwhile. Half-built ones carry no stamp, and are built again."""
    wanted = sys.argv[1]
    (ROOT / ".local").mkdir(exist_ok=True)
    with (ROOT / ".local" / "venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if STAMP.is_file() and STAMP.read_text().strip() == wanted:
            return 0
        return _build(wanted)


def _build(wanted: str) -> int:
    sys.stderr.write(f"setting up .venv with Python {sys.version.split()[0]}: a minute or two ...\n")
    _create()
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*command, "-r", REQUIREMENTS], cwd=ROOT, env=env, check=False)
    if done.returncode:
        sys.stderr.write(f"pip could not install {REQUIREMENTS}, as said above: mend that, and run make again\n")
        return 1
    STAMP.write_text(wanted + "\n")
    return 0


def _create() -> None:
    """Make an empty one, unless the one here has this Python and was not moved: somebody may be using it."""
    STAMP.unlink(missing_ok=True)
    made_for = f"{ROOT}\n{sys.version}\n"
    if MADE_FOR.is_file() and MADE_FOR.read_text() == made_for:
        return
    venv.create(VENV, clear=True, with_pip=True)
    MADE_FOR.write_text(made_for)


if __name__ == "__main__":
    sys.exit(main())
