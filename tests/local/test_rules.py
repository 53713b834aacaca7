"""firestore.rules against the real emulator: who may do what, as a table."""

import base64
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from local.emulator import PROJECT, Emulator
from local.web import call

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
OK, DENIED, MISSING = 200, 403, 404
STORED = {
    "name": {"stringValue": "Anna"},
    "_sync": {"mapValue": {"fields": {"hash": {"integerValue": "7"}, "bucket": {"integerValue": "1"}}}},
}
NAME = {"name": {"stringValue": "Jón"}}
OTHER_SYNC = {"_sync": {"mapValue": {"fields": {"hash": {"integerValue": "8"}}}}}
NEW_SYNC = {"_sync": {"mapValue": {"fields": {"fields": {"mapValue": {}}}}}}
SYNCED = ("members", "branches", "interests", "branches/RVK/events")
PRIVATE = (
    "sync_queue",
    "sync_runs",
    "sync_conflicts",
    "sync_dead_letters",
    "sync_refs",
    "sync_tombstones",
    "sync_leases",
    "sync_audit",
    "sync_anything_new",
)
ids = itertools.count()


def token(**claims: Any) -> dict[str, str]:
    """Return the header of an end user; the emulator takes tokens that nobody signed."""
    now = int(time.time())
    payload = {"sub": "anna", "user_id": "anna", "aud": PROJECT, "iss": f"https://securetoken.google.com/{PROJECT}"}
    payload |= {"iat": now, "auth_time": now, "exp": now + 3600, "firebase": {}, **claims}
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, payload)]
    encoded = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts]
    return {"Authorization": f"Bearer {'.'.join(encoded)}."}


OWNER = {"Authorization": "Bearer owner"}  # what service accounts are in production
NOBODY: dict[str, str] = {}
USER = token()
FALSE_ADMIN = token(admin="true")
ADMIN = token(admin=True)


class Documents:
    """The documents of an emulator, as the REST interface serves them."""

    def __init__(self, host: str) -> None:
        self.root = f"http://{host}/v1/projects/{PROJECT}/databases/(default)/documents"

    def status(self, who: dict[str, str], method: str, path: str, fields: Any = None, **query: Any) -> int:
        """Return the status of one request by one caller."""
        body = None if fields is None else {"fields": fields}
        return call(method, f"{self.root}/{path}?{urlencode(query, doseq=True)}", body, who)[0]

    def stored(self, collection: str, fields: Any) -> str:
        """Put a document there with an owner's rights, and return its path."""
        path = f"{collection}/d{next(ids)}"
        assert self.status(OWNER, "PATCH", path, fields) == OK
        return path


@pytest.fixture(scope="module")
def documents() -> Iterator[Documents]:
    with Emulator(rules=ROOT / "firestore.rules") as emulator:
        yield Documents(emulator.host)


@pytest.mark.parametrize("collection", SYNCED)
@pytest.mark.parametrize(
    ("who", "read", "written", "deleted"),
    [(NOBODY, DENIED, DENIED, DENIED), (USER, OK, OK, DENIED), (FALSE_ADMIN, OK, OK, DENIED), (ADMIN, OK, OK, OK)],
    ids=["nobody", "user", "false admin", "admin"],
)
def test_signed_in_clients_write_and_admins_delete(documents, collection, who, read, written, deleted):
    path = documents.stored(collection, STORED)
    assert documents.status(who, "GET", path) == read
    assert documents.status(who, "GET", collection) == read
    assert documents.status(who, "POST", collection, NAME, documentId=f"new{next(ids)}") == written
    assert documents.status(who, "PATCH", path, NAME, **{"updateMask.fieldPaths": "name"}) == written
    assert documents.status(who, "DELETE", path) == deleted


MASK = "updateMask.fieldPaths"
UPDATES = {
    "a field": (STORED, NAME, {MASK: "name"}, OK),
    "a field is removed": (STORED, {}, {MASK: "name"}, OK),
    "the whole document, with _sync as it was": (STORED, STORED | NAME, {}, OK),
    "the whole document, without _sync: a blind set()": (STORED, NAME, {}, DENIED),
    "the whole document, with another _sync": (STORED, STORED | OTHER_SYNC, {}, DENIED),
    "_sync alone": (STORED, OTHER_SYNC, {MASK: "_sync"}, DENIED),
    "_sync is removed": (STORED, {}, {MASK: "_sync"}, DENIED),
    "one field inside _sync": (STORED, OTHER_SYNC, {MASK: "_sync.hash"}, DENIED),
    "a new field inside _sync": (STORED, NEW_SYNC, {MASK: ["name", "_sync.fields"]}, DENIED),
    "a field inside _sync is removed": (STORED, {}, {MASK: "_sync.bucket"}, DENIED),
    "not tracked yet: a field": (NAME, NAME, {MASK: "name"}, OK),
    "not tracked yet: the whole document": (NAME, {"city": {"stringValue": "Vík"}}, {}, OK),
    "not tracked yet: _sync is added": (NAME, NAME | OTHER_SYNC, {}, DENIED),
    "not tracked yet: _sync is added as null": (NAME, {"_sync": {"nullValue": None}}, {MASK: "_sync"}, DENIED),
}


@pytest.mark.parametrize("who", [USER, ADMIN], ids=["user", "admin"])
@pytest.mark.parametrize("collection", SYNCED)
@pytest.mark.parametrize(("stored", "fields", "query", "expected"), UPDATES.values(), ids=UPDATES)
def test_no_update_touches_the_index(documents, who, collection, stored, fields, query, expected):
    path = documents.stored(collection, stored)
    assert documents.status(who, "PATCH", path, fields, **query) == expected


CREATES = {
    "without _sync": (NAME, OK),
    "with _sync": (NAME | OTHER_SYNC, DENIED),
    "with an empty _sync": ({"_sync": {"mapValue": {}}}, DENIED),
    "with _sync null": ({"_sync": {"nullValue": None}}, DENIED),
}


@pytest.mark.parametrize("who", [USER, ADMIN], ids=["user", "admin"])
@pytest.mark.parametrize("collection", SYNCED)
@pytest.mark.parametrize(("fields", "expected"), CREATES.values(), ids=CREATES)
def test_nothing_is_created_with_an_index(documents, who, collection, fields, expected):
    path = f"{collection}/new{next(ids)}"
    assert documents.status(who, "PATCH", path, fields, **{"currentDocument.exists": "false"}) == expected
    assert documents.status(OWNER, "GET", path) == (OK if expected == OK else MISSING)


@pytest.mark.parametrize("who", [NOBODY, USER, ADMIN], ids=["nobody", "user", "admin"])
@pytest.mark.parametrize("collection", [*PRIVATE, "unknown", "members/a/notes", "members/a/sync_queue", "a/b/members"])
def test_all_else_is_nobodys(documents, who, collection):
    path = documents.stored(collection, NAME)
    assert documents.status(who, "GET", path) == DENIED
    assert documents.status(who, "GET", collection) == DENIED
    assert documents.status(who, "POST", collection, NAME, documentId=f"new{next(ids)}") == DENIED
    assert documents.status(who, "PATCH", path, NAME) == DENIED
    assert documents.status(who, "PATCH", path, NAME, **{MASK: "name"}) == DENIED
    assert documents.status(who, "DELETE", path) == DENIED
    assert documents.status(OWNER, "GET", path) == OK
