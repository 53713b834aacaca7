"""Roles of Firebase's users: firebase_admin itself against a small server that keeps users as Identity Toolkit does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import firebase_admin
import pytest
from certified import unsigned
from google.cloud.firestore import Client
from typer.testing import CliRunner
from werkzeug.datastructures import Headers

from local.emulator import Emulator
from shared import wiring
from shared.callers import Role
from shared.cli_roles import app
from shared.errors import Refused

PROJECT = "demo-roles"
ANNA = {"localId": "uid-anna", "email": "anna@example.is", "customAttributes": '{"branch": "RVK", "bothways": "viewer"}'}
CACHES = (wiring.settings, wiring.documents, wiring.store, wiring.callers, wiring.firebase)


class Toolkit(BaseHTTPRequestHandler):
    users: dict[str, dict[str, Any]]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = [each for each in self.users.values() if {each["localId"]} & {asked.get("localId"), *self._named(asked)}]
        if self.path.endswith("/accounts:update"):
            found[0].update(asked)
        answer = found[0] if self.path.endswith("/accounts:update") else {"users": found}
        body = json.dumps(answer if "refuses" not in self.path + str(asked) else {}).encode()
        self.send_response(403 if "refuses" in str(asked) else 200)
        self.end_headers()
        self.wfile.write(body)

    def _named(self, asked: Any) -> list[str]:
        return [id for id, each in self.users.items() if each["email"] in asked.get("email", [])]

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, dict[str, Any]]]:
    there = {"uid-anna": dict(ANNA)}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Toolkit,), {"users": there}))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    for name, value in {
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "DJANGO_URL": "http://127.0.0.1:9/api/sync",
        "FIREBASE_AUTH_EMULATOR_HOST": f"127.0.0.1:{server.server_port}",
        "FIRESTORE_EMULATOR_HOST": "127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
        "USER": "björn",
    }.items():
        monkeypatch.setenv(name, value)
    for cache in CACHES:
        cache.cache_clear()
    yield there
    if wiring.firebase.cache_info().currsize:
        firebase_admin.delete_app(wiring.firebase())
    for cache in CACHES:
        cache.cache_clear()
    server.shutdown()
    server.server_close()


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output


@pytest.mark.stack
def test_a_role_is_given_taken_and_noted_and_other_claims_stay(
    users: dict[str, dict[str, Any]], emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", emulator.host)
    firestore = Client(project=PROJECT)
    for arguments, role in ((("grant", "anna@example.is", "admin"), "admin"), (("revoke", "anna@example.is"), None)):
        code, said = run(*arguments, "--json")
        assert (code, json.loads(said)) == (0, {"user": "uid-anna", "role": role})
        claims = json.loads(users["uid-anna"]["customAttributes"])
        assert claims == {"branch": "RVK"} | ({"bothways": role} if role else {})
        token = unsigned(iss=f"https://securetoken.google.com/{PROJECT}", aud=PROJECT, sub="uid-anna", **claims)
        headers = Headers({"Authorization": f"Bearer {token}"})
        if role:
            assert wiring.callers().recognise(headers).role is Role.ADMIN
        else:
            with pytest.raises(Refused, match="have no role here"):
                wiring.callers().recognise(headers)
    noted = [row.to_dict() or {} for row in firestore.collection("sync_audit").stream()]
    found = sorted((each["what"], each["id"], each["by"], each["role"]) for each in noted)
    assert found == [("grant", "uid-anna", "björn", "admin"), ("revoke", "uid-anna", "björn", None)]
    firestore.close()


WRONG = {
    "a role that there is not": (("grant", "anna@example.is", "owner"), 2, "there are: viewer, operator, admin"),
    "the trackers' role": (("grant", "anna@example.is", "events"), 2, "there are: viewer, operator, admin"),
    "nobody's address": (("grant", "jon@example.is", "viewer"), 1, "let them sign in once"),
    "no address": (("revoke", "anna"), 2, "no e-mail address"),
    "Firebase refuses": (("grant", "refuses@example.is", "viewer"), 1, "let this account manage users"),
}


@pytest.mark.parametrize("arguments, code, named", WRONG.values(), ids=WRONG)
def test_a_role_that_cannot_be_given_is_said_in_a_sentence(
    users: dict[str, dict[str, Any]], arguments: tuple[str, ...], code: int, named: str
) -> None:
    found, said = run(*arguments)
    assert (found, named in said) == (code, True), said
    assert users["uid-anna"] == ANNA
    assert arguments[1] not in said
