"""firestore.rules against the real emulator: who may do what, as a table."""

import base64
import itertools
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from local.emulator import PROJECT, Emulator
from local.triggers import triggers
from local.web import call

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[1]
OK, DENIED, MISSING = 200, 403, 404
STORED = {
    "name": {"stringValue": "Anna"},
    "_sync": {"mapValue": {"fields": {"hash": {"integerValue": "7"}, "bucket": {"integerValue": "1"}}}},
}
NAME = {"name": {"stringValue": "Jón"}}
OTHER_SYNC = {"_sync": {"mapValue": {"fields": {"hash": {"integerValue": "8"}}}}}
NEW_SYNC = {"_sync": {"mapValue": {"fields": {"fields": {"mapValue": {}}}}}}
SYNCED = ("members", "branches", "interests", "branches/RVK/events")
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
USER = token()
ADMIN = token(admin=True)
CALLERS = {
    "nobody": {},
    "user": USER,
    "almost": token(admin="true", bothways="Admin", role="admin"),
    "app-admin": ADMIN,
    "odd-role": token(bothways=["viewer", "operator", "admin"]),
    "viewer": token(bothways="viewer"),
    "operator": token(bothways="operator"),
    "admin": token(bothways="admin"),
}

# What each may do: g get, l list, c create, s create with _sync, u update, t update that touches _sync, d delete
TABLE = """
collection                  nobody  user  almost  app-admin  odd-role  viewer  operator  admin
members                     -       glcu  glcu    glcud      glcu      glcu    glcu      glcu
branches                    -       glcu  glcu    glcud      glcu      glcu    glcu      glcu
interests                   -       glcu  glcu    glcud      glcu      glcu    glcu      glcu
branches/RVK/events         -       glcu  glcu    glcud      glcu      glcu    glcu      glcu
sync_runs                   -       -     -       -          -         gl      gl        gl
sync_leases                 -       -     -       -          -         gl      gl        gl
sync_statistics             -       -     -       -          -         gl      gl        gl
sync_queue                  -       -     -       -          -         -       gl        gl
sync_conflicts              -       -     -       -          -         -       gl        gl
sync_dead_letters           -       -     -       -          -         -       gl        gl
sync_audit                  -       -     -       -          -         -       -         gl
sync_tombstones             -       -     -       -          -         -       -         -
sync_refs                   -       -     -       -          -         -       -         -
sync_checkpoints            -       -     -       -          -         -       -         -
sync_claims                 -       -     -       -          -         -       -         -
sync_anything_new           -       -     -       -          -         -       -         -
unknown                     -       -     -       -          -         -       -         -
members/a/notes             -       -     -       -          -         -       -         -
members/a/sync_queue        -       -     -       -          -         -       -         -
sync_runs/a/sync_runs       -       -     -       -          -         -       -         -
a/b/members                 -       -     -       -          -         -       -         -
"""


def cells() -> Iterator[tuple[str, str, str]]:
    """Yield the cells of the table: collection, caller, what they may do."""
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    for collection, *may in rows:
        yield from ((collection, who, what) for who, what in zip(head[1:], may, strict=True))


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


@pytest.mark.parametrize(("collection", "who", "may"), list(cells()))
def test_who_may_do_what(documents, collection, who, may):
    caller, path = CALLERS[who], documents.stored(collection, STORED)
    statuses = {
        "g": documents.status(caller, "GET", path),
        "l": documents.status(caller, "GET", collection),
        "c": documents.status(caller, "POST", collection, NAME, documentId=f"new{next(ids)}"),
        "s": documents.status(caller, "POST", collection, NAME | OTHER_SYNC, documentId=f"new{next(ids)}"),
        "u": documents.status(caller, "PATCH", path, NAME, **{MASK: "name"}),
        "t": documents.status(caller, "PATCH", path, OTHER_SYNC, **{MASK: "_sync"}),
        "d": documents.status(caller, "DELETE", path),
    }
    assert statuses == {name: OK if name in may else DENIED for name in statuses}
    assert documents.status(OWNER, "GET", path) == (MISSING if "d" in may else OK)


def test_the_table_has_a_row_for_each_collection_and_a_column_for_each_caller():
    """A collection that sync.yaml or the code names and nobody has thought of is a hole."""
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "shared").rglob("*.py"))
    constants = "".join(re.findall(r"^[A-Z_, ]+ = (.*)$", code, re.MULTILINE))
    in_code = set(re.findall(r'"(sync_[a-z_]+)"', constants))
    synced = {pattern.removesuffix("/{id}").replace("{tenant}", "RVK") for pattern in triggers(ROOT / "sync.yaml").values()}
    rows = {collection for collection, _, _ in cells()}
    assert {who for _, who, _ in cells()} == set(CALLERS)
    assert set(SYNCED) == synced
    assert {"sync_queue", "sync_runs"} <= in_code
    assert synced | in_code <= rows


OWN = ("sync_queue", "sync_conflicts", "sync_dead_letters")


def about(key: str, entity: str = "member") -> dict[str, Any]:
    return {"entity": {"stringValue": entity}, "key": {"stringValue": key}}


@pytest.mark.parametrize("collection", OWN)
def test_members_read_what_is_about_their_own_record_and_of_nobody_elses(documents: Documents, collection: str) -> None:
    anna = token(member="0101701234")
    own, other, branch = (
        documents.stored(collection, each) for each in (about("0101701234"), about("1"), about("0101701234", "branch"))
    )
    assert documents.status(anna, "GET", own) == OK
    assert documents.status(anna, "GET", other) == DENIED
    assert documents.status(anna, "GET", branch) == DENIED
    assert documents.status(USER, "GET", own) == DENIED
    assert documents.status(anna, "GET", collection) == DENIED, "a list of all"
