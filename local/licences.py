"""Lists what is deployed, and under which licences: `python -m local.licences` prints docs/licences.md."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NPM = "hosting/package-lock.json"
LOCKS = ("requirements.txt", "backend/requirements.txt")
HEAD = """# Licences

What `make lock` pins for the functions (`requirements.txt`) and the backend (`backend/requirements.txt`), as each package's own
metadata has it, and what the pages are made from. `make lock` writes this page; a test holds that it is current and that no
copyleft comes in unnamed. What is needed only to develop and test is in `requirements-dev.txt` and is not deployed.

Copyleft: `merge3` (GPL 2 or later; joins texts under the policy `merge`), `psycopg` (LGPL; used unchanged) and `certifi` (MPL;
certificates, used unchanged).

What the GPL means here: to deploy the functions to your own project and run them is no handing on, whoever uses them, and asks
nothing of you. Whoever hands the functions on to others with `merge3` in them (the staged bundle, an image) hands all of that on
under the GPL, with its source: under version 3, since the Apache licence of Google's packages does not go with version 2. The
backend has nothing of it.

"""
PAGES = """
## The pages

What the dashboard and the profile page are bundled from, as `hosting/package-lock.json` has it. The bundler takes only
the modules that the pages use, and puts the licence comments in them into `*.LEGAL.txt` beside the scripts.

| Name | License |
| --- | --- |
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
    rows = "".join(f"| {name} | {licence} |\n" for name, licence in sorted(bundled().items()))
    return f"{HEAD}{done.stdout.strip()}\n{PAGES}{rows}"


def bundled() -> dict[str, str]:
    """Return the licences of the npm packages that the pages are made from, by name; those that only make them are left out."""
    packages = json.loads((ROOT / NPM).read_text(encoding="utf-8"))["packages"]
    used = {place: each for place, each in packages.items() if place and not each.get("dev")}
    return {place.rpartition("node_modules/")[2]: each.get("license", "unknown") for place, each in used.items()}


if __name__ == "__main__":
    sys.stdout.write(page())
