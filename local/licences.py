"""Lists what is deployed, and under which licences: `python -m local.licences` prints docs/licences.md."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.txt", "backend/requirements.txt")
HEAD = """# Licences

What `make lock` pins for the functions (`requirements.txt`) and the backend (`backend/requirements.txt`), as each package's own
metadata has it. `make lock` writes this page; a test holds that it is current and that no copyleft comes in unnamed. What is
needed only to develop and test is in `requirements-dev.txt` and is not deployed.

Copyleft: `merge3` (GPL 2 or later; joins texts under the policy `merge`), `psycopg` (LGPL; used unchanged) and `certifi` (MPL;
certificates, used unchanged).

What the GPL means here: to deploy the functions to your own project and run them is no handing on, whoever uses them, and asks
nothing of you. Whoever hands the functions on to others with `merge3` in them (the staged bundle, an image) hands all of that on
under the GPL, with its source: under version 3, since the Apache licence of Google's packages does not go with version 2. The
backend has nothing of it.

"""


def pinned(lock: str) -> dict[str, str]:
    """Return the versions that a file pins, by name."""
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))


def page() -> str:
    """Return the page as it should be."""
    names = sorted({name for lock in LOCKS for name in pinned(lock)})
    shown = ["--from=mixed", "--format=markdown", "--no-version"]
    command = [sys.executable, "-m", "piplicenses", *shown, "--packages", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return f"{HEAD}{done.stdout.strip()}\n"


if __name__ == "__main__":
    sys.stdout.write(page())
