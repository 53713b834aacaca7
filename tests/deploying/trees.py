"""A small work tree that deploy.sh can deploy, and the programs that it finds on its PATH."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from deploying.google import Google

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PROJECT = "demo-project"
URL = "https://django.example/felagar/api/sync"
ARGUMENTS = ("--project", PROJECT, "--django-url", URL)

MAIN = """
import functions_framework


@functions_framework.http
def bidirectional_sync(request):
    return {}


@functions_framework.http
def reconcile(request):
    return {}


@functions_framework.http
def sync_health(request):
    return {}


@functions_framework.cloud_event
def track_member_changes(event):
    pass
"""
SYNC = """
peers: {django: {url: "${DJANGO_URL}", token: "secret:django-token"}}
pairs: {members: {entities: {member: {collection: members}}}}
"""


def build(tree: Path) -> Path:
    """Make a work tree with one collection, the real deploy.sh and all it needs, and this Python instead of a .venv."""
    for folder in ("functions", "shared", "hosting"):
        (tree / folder).mkdir(parents=True)
    (tree / "functions/main.py").write_text(MAIN)
    (tree / "sync.yaml").write_text(SYNC)
    (tree / "requirements.txt").write_text("")
    for name in ("local", "scheduler"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("deploy.sh", "firebase.json"):
        shutil.copy(ROOT / name, tree)
    _fewer_indexes(tree)
    (tree / "local/venv.sh").write_text("exit 0\n")
    program(tree / ".venv/bin/python", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    return tree


def program(path: Path, text: str) -> None:
    """Write something that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def _fewer_indexes(tree: Path) -> None:
    """Leave the indexes of one collection of the sync's own: each costs a call of gcloud."""
    content = json.loads((ROOT / "firestore.indexes.json").read_text())
    kept = {name: [each for each in rows if each["collectionGroup"] in {"sync_runs"}] for name, rows in content.items()}
    (tree / "firestore.indexes.json").write_text(json.dumps(kept))


def real(folder: Path, google: Google) -> dict[str, str]:
    """Return variables under which the real gcloud is logged in and speaks to the stand-in for Google."""
    (folder / "token").write_text("a-made-up-token")
    google.resources[f"projects/{PROJECT}/billingInfo"] = {"billingEnabled": True}
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "CLOUDSDK_CONFIG": str(folder / "config"),
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(folder / "token"),
        **google.environment(),
    }


def pretended(folder: Path, google: Google) -> dict[str, str]:
    """Return variables under which gcloud and firebase are stand-ins that keep what they made in a file, and are quick."""
    for name in ("gcloud", "firebase"):
        program(folder / "bin" / name, f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S {HERE / "pretending.py"} {name} "$@"\n')
    return {
        "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
        "HOME": str(folder),
        "PRETENDED": str(folder / "state.json"),
        **google.environment(),
    }


def made(env: dict[str, str]) -> dict[str, Any]:
    """Return what the pretended programs keep: what there is, by kind and name, and the commands that were run."""
    path = Path(env["PRETENDED"])
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"there": {}, "ran": []}
    return found


def deploy(tree: Path, *arguments: str, env: dict[str, str] | None = None, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run deploy.sh from elsewhere."""
    variables = {**os.environ} if env is None else env
    command = [str(tree / "deploy.sh"), *arguments]
    return subprocess.run(command, cwd="/", env=variables, input=typed, capture_output=True, text=True, check=False)
