"""A made-up work tree: one HTTP function, one event function, a backend that only notes what it is asked."""

from pathlib import Path

import pytest

MAIN = """
import json

import functions_framework
import shared


@functions_framework.http
def bidirectional_sync(request):
    return {"path": request.path, "shared": shared.__file__}


@functions_framework.http
def reconcile(request):
    return {}


@functions_framework.cloud_event
def track_member_changes(event):
    print(json.dumps({"seen": event["type"]}), flush=True)


def not_registered(request):
    return "never served"
"""


# Notes its arguments, its standard input and its environment; `runserver` serves /health/.
MANAGE = """
import http.server, json, os, pathlib, sys

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health/" else 404)
        self.end_headers()

command = sys.argv[1]
names = ("DATABASE_URL", "DJANGO_SECRET_KEY", "DJANGO_ALLOWED_HOSTS", "BOTHWAYS_ADMIN_PASSWORD")
note = {"command": sys.argv[1:], "env": {name: os.environ.get(name) for name in names}}
note["given"] = sys.stdin.read() if command == "sync_token" else ""
with open("notes", "a") as notes:
    notes.write(json.dumps(note) + "\\n")
if command == "fail":
    sys.exit("something is wrong")
if command == "runserver":
    host, _, port = sys.argv[-1].partition(":")
    http.server.HTTPServer((host, int(port)), Health).serve_forever()
"""


SYNC = "pairs: {members: {entities: {member: {collection: members}}}}\n"


def build_tree(root: Path) -> Path:
    for folder in ("functions/__pycache__", "shared/peers", "shared/__pycache__", "backend"):
        (root / folder).mkdir(parents=True)
    (root / "functions/main.py").write_text(MAIN)
    (root / "functions/__pycache__/main.cpython-311.pyc").write_bytes(b"")
    (root / "shared/__pycache__/model.cpython-311.pyc").write_bytes(b"")
    (root / "shared/__init__.py").write_text("")
    (root / "shared/peers/__init__.py").write_text("")
    (root / "backend/manage.py").write_text(MANAGE)
    (root / "sync.yaml").write_text(SYNC)
    (root / "requirements.txt").write_text("functions-framework\n")
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return build_tree(tmp_path / "tree")


@pytest.fixture(scope="module")
def shared_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests of a module that only read it."""
    return build_tree(tmp_path_factory.mktemp("shared") / "tree")
