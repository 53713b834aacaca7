"""The REST queue's client against a real server that misbehaves in every way that servers do."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from shared.canonical import conflict_id
from shared.errors import SyncError, TerminalBatch, Transient
from shared.mapping import Entity, Field, Type
from shared.model import Acknowledgement, Action, Change, Outcome, RecordId, Scope, Stamp, Value, Waiting
from shared.peers.rest_queue import RestQueue
from shared.policy import Mode
from shared.retry import Backoff

TOKEN = "a-token-that-no-message-may-show"
KEY = "a-signing-key"
MEMBER = Entity("member", "members", (Field("name", Type.TEXT, "name"), Field("interests", Type.SET, "interests", empty=[])))
SCOPE = Scope("members", ("member",))
OLD, NEW = (Stamp(f"2026-11-22T03:10:5{second}.123456Z|django") for second in (6, 7))
TEN_MEBIBYTES = 10 * 2**20


# The server


@dataclass(frozen=True)
class Request:
    """What came in, byte by byte."""

    method: str
    target: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path.removeprefix("/api/sync")

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query)

    @property
    def unpacked(self) -> bytes:
        return gzip.decompress(self.raw) if self.headers.get("Content-Encoding") == "gzip" else self.raw

    @property
    def body(self) -> Any:
        return json.loads(self.unpacked)


@dataclass(frozen=True)
class Answer:
    """What goes out. `cut`: so many bytes of the body, though the length of all is announced."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    packed: bool = False
    cut: int | None = None

    def content(self) -> bytes:
        raw = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return gzip.compress(raw) if self.packed else raw


Reply = Answer | Callable[[Request], Answer]


class Backend:
    """Answers with the replies given, one by one; the last one is repeated."""

    def __init__(self) -> None:
        self.replies: list[Reply] = [Answer({})]
        self.requests: list[Request] = []
        self.over = threading.Event()
        handler = type("Handler", (_Handler,), {"backend": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/sync"

    def answers(self, *replies: Reply | object) -> None:
        self.replies = [each if isinstance(each, Answer) or callable(each) else Answer(each) for each in replies]

    def reply_to(self, request: Request) -> Answer:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return reply if isinstance(reply, Answer) else reply(request)

    def __enter__(self) -> Backend:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    backend: Backend

    def do_GET(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.backend.reply_to(Request(self.command, self.path, dict(self.headers), raw))
        content = answer.content()
        self.send_response(answer.status)
        encoding = {"Content-Encoding": "gzip"} if answer.packed else {}
        defaults = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        for name, value in {**defaults, **encoding, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):  # a caller that waits no longer
            self.wfile.write(content[: answer.cut])
        self.close_connection = answer.cut is not None

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions heed the environment; nothing of the machine's may stand between the two ends."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NETRC", "/dev/null")


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as running:
        yield running


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def peer(backend: Backend, slept: list[float]) -> Iterator[RestQueue]:
    with a_peer(backend.url, slept) as made:
        yield made


class a_peer:  # reads as a noun
    """A peer at an address; its connections are closed at the end."""

    def __init__(self, url: str, slept: list[float], **options: Any) -> None:
        self.peer = RestQueue("django", url, {"member": MEMBER}, lambda: TOKEN, sleep=slept.append, **options)

    def __enter__(self) -> RestQueue:
        return self.peer

    def __exit__(self, *_: object) -> None:
        self.peer.session.close()


def page(*rows: object, next: str | None = None) -> dict[str, Any]:
    return {"results": list(rows), "next": next, "server_time": "2026-11-22T03:11:00Z"}


def row(id: str = "c1", **other: Any) -> dict[str, Any]:
    body = {"id": id, "entity": "member", "key": "1", "action": "update", "fields": {"name": "Anna"}, "stamp": OLD}
    return {name: value for name, value in {**body, **other}.items() if value is not ...}


def change(number: int = 1, name: object = "Anna") -> Change:
    return Change(f"c{number}", RecordId("member", str(number)), Action.UPDATE, {"name": Value(name, OLD)}, {"name": None})


def applied(request: Request) -> Answer:
    return Answer(page(*({"id": each["id"], "outcome": "applied", "applied": ["name"]} for each in request.body["changes"])))


EMPTY = page()
STATUS = {
    "pending": 2, "synced": 5, "superseded": 1, "failed": 3,
    "oldest_pending_at": "2026-11-22T03:00:00Z", "by_entity": {}, "server_time": "2026-11-22T03:11:00.5Z",
}  # fmt: skip


def read_all(peer: RestQueue) -> list[Change]:
    return [each for page in peer.changes(SCOPE) for each in page.changes]


# What passes, and what does not

CALLS: dict[str, Callable[[RestQueue], object]] = {
    "changes": read_all,
    "apply": lambda peer: peer.apply([change()], "run-1"),
    "acknowledge": lambda peer: peer.acknowledge("run-1", Acknowledgement(("c1",))),
    "settle": lambda peer: peer.settle("run-1", ["x"]),
    "read": lambda peer: peer.read([RecordId("member", "1")]),
    "records": lambda peer: list(peer.records(SCOPE, "member")),
    "status": lambda peer: peer.status(SCOPE),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def says_who_and_where(error: SyncError, url: str) -> bool:
    text = str(error)
    assert TOKEN not in text
    assert "\n" not in text, "one clear line"
    return "'django'" in text and url in text


@every_call
def test_a_backend_that_is_not_there_is_tried_again_and_named(call, slept):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: the connection is refused
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/api/sync"
        with a_peer(url, slept) as peer, pytest.raises(Transient, match="is the backend running") as raised:
            call(peer)
    assert says_who_and_where(raised.value, url)
    assert len(slept) == 3, "four attempts"


def test_a_backend_that_does_not_answer_in_time_is_tried_again(backend, slept):
    backend.answers(lambda request: Answer(backend.over.wait(30)))
    options = {"timeout": 0.05, "backoff": Backoff(attempts=2)}
    with a_peer(backend.url, slept, **options) as peer, pytest.raises(Transient, match="no answer") as raised:
        peer.status(SCOPE)
    assert says_who_and_where(raised.value, backend.url)
    assert len(slept) == 1
    assert len(backend.requests) == 2


PASSING = {
    "an internal error": Answer({"detail": "oops"}, 500),
    "a bad gateway that answers in HTML": Answer(b"<html>Bad gateway</html>", 502, {"Content-Type": "text/html"}),
    "overload": Answer(None, 503),
    "too many requests": Answer(None, 429),
    "a page of a proxy or a login form, with 200": Answer(b"<html>Sign in</html>", 200, {"Content-Type": "text/html"}),
    "half a body": Answer(STATUS, cut=40),
    "no body at all": Answer(b""),
    "half a body that says it is whole": Answer(json.dumps(STATUS).encode()[:40]),
    "what says it is gzip and is not": Answer(STATUS, headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING)
def test_what_may_pass_is_tried_again(peer, backend, slept, failure):
    backend.answers(failure, STATUS)
    assert peer.status(SCOPE).pending == 2
    assert len(slept) == 1
    assert len(backend.requests) == 2


@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING)
def test_what_does_not_pass_ends_after_four_attempts(peer, backend, slept, failure):
    backend.answers(failure)
    with pytest.raises(Transient) as raised:
        peer.status(SCOPE)
    assert says_who_and_where(raised.value, f"{backend.url}/status/")
    assert len(backend.requests) == 4
    assert [round(0.25 * 2**number, 2) <= wait <= 0.5 * 2**number for number, wait in enumerate(slept)] == [True] * 3, (
        "longer waits"
    )


def test_an_answer_lost_half_way_is_asked_for_again_with_the_same_changes(peer, backend):
    backend.answers(lambda request: Answer(applied(request).body, cut=20), applied)
    assert [each.outcome for each in peer.apply([change()], "run-1")] == [Outcome.APPLIED]
    first, second = backend.requests
    assert first.body == second.body


WAITED = {"at once": ("0", 0.0), "a little": ("3", 3.0), "as long as we have": ("8", 8.0)}


@pytest.mark.parametrize("named, least", WAITED.values(), ids=WAITED)
@pytest.mark.parametrize("status", [429, 503])
def test_a_short_wait_that_the_backend_names_is_waited(peer, backend, slept, status, named, least):
    backend.answers(Answer(None, status, {"Retry-After": named}), STATUS)
    assert peer.status(SCOPE).pending == 2
    assert slept[0] >= least
    assert slept[0] <= 8.0


LONG = {"an hour": "3600", "just too long": "9", "a date far ahead": "Fri, 31 Dec 2099 23:59:59 GMT"}


@pytest.mark.parametrize("named", LONG.values(), ids=LONG)
def test_a_long_wait_is_left_for_the_next_run(peer, backend, slept, named):
    backend.answers(Answer(None, 429, {"Retry-After": named}))
    with pytest.raises(Transient) as raised:
        peer.status(SCOPE)
    assert (len(backend.requests), slept) == (1, [])
    assert raised.value.after > 8.0


@pytest.mark.parametrize("named", ["soon", "-5", "", "1.5", "²"])
def test_a_wait_that_is_no_time_is_as_none(peer, backend, slept, named):
    backend.answers(Answer(None, 429, {"Retry-After": named}), STATUS)
    assert peer.status(SCOPE).pending == 2
    assert slept[0] <= 0.5


FINAL = {
    "not authenticated": (401, "token"),
    "not allowed": (403, "token"),
    "no longer there": (410, "address"),
    "a bad request": (400, "address"),
    "too large": (413, "page_size"),
    "moved for good": (301, "address"),
    "moved": (302, "address"),
    "moved, as it is": (307, "address"),
    "nothing in it": (204, "address"),
}


@every_call
@pytest.mark.parametrize("status, remedy", FINAL.values(), ids=FINAL)
def test_what_somebody_must_mend_is_asked_once_and_said_with_its_remedy(peer, backend, slept, call, status, remedy):
    backend.answers(Answer({"detail": f"Invalid token {TOKEN}"}, status, {"Location": "/elsewhere/"}))
    with pytest.raises(TerminalBatch, match=remedy) as raised:
        call(peer)
    assert says_who_and_where(raised.value, backend.url)
    assert str(status) in str(raised.value)
    assert [each.target for each in backend.requests if "elsewhere" in each.target] == []
    assert (len(backend.requests), slept) == (1, []), "no storm of retries"


def test_a_wrong_address_is_named(peer, backend):
    backend.answers(Answer(None, 404))
    with pytest.raises(TerminalBatch, match="is the address right"):
        list(peer.changes(SCOPE))


def test_a_backend_need_not_show_whole_records(peer, backend):
    """Then what waits for a whole record goes on waiting, and there is no reconcile."""
    backend.answers(Answer(None, 404))
    assert peer.read([RecordId("member", "1")]) == []
    with pytest.raises(TerminalBatch, match="no reconcile"):
        list(peer.records(SCOPE, "member"))


ODD_MODELS = {
    # what models/ tells of an entity, in place of a good one
    "nothing of its key": {"entity": "member", "has_tenants": False, "fields": [{"name": "name", "type": "text"}]},
    "no fields": {"entity": "member", "key": "id", "has_tenants": False, "fields": []},
    "a type that there is not": {
        "entity": "member",
        "key": "id",
        "has_tenants": False,
        "fields": [{"name": "a", "type": "blob"}],
    },
    "a name that is none": {"entity": 5, "key": "id", "has_tenants": False, "fields": [{"name": "a", "type": "text"}]},
    "no object at all": "member",
}


def test_a_backend_need_not_tell_its_models(peer, backend):
    backend.answers(Answer(None, 404))
    assert peer.models() is None
    good = {"entity": "member", "key": "id", "has_tenants": False, "fields": [{"name": "name", "type": "text"}]}
    backend.answers(Answer({"contract": "1", "results": [good]}))
    assert peer.models() == {"contract": "1", "results": [good]}


@pytest.mark.parametrize("odd", ODD_MODELS.values(), ids=ODD_MODELS)
def test_models_that_are_told_in_another_form_are_refused(peer, backend, odd):
    backend.answers(Answer({"contract": "1", "results": [odd]}))
    with pytest.raises(TerminalBatch, match="not as the REST contract has it"):
        peer.models()


def test_a_backend_need_not_erase_nor_tell_what_it_keeps(peer, backend):
    backend.answers(Answer(None, 404))
    assert peer.erase(RecordId("member", "1")) is None
    assert peer.about(RecordId("member", "1")) is None
    backend.answers(Answer({"results": {"tombstones": 0, "queue_entries": 0, "conflicts": 0}}))
    with pytest.raises(Transient, match="written anew"):
        peer.erase(RecordId("member", "1"))


def test_a_read_that_is_too_large_is_asked_for_in_smaller_parts(peer, backend):
    def at_most_two(request: Request) -> Answer:
        keys = request.body["keys"]
        records = [{"entity": "member", "key": key, "fields": {"name": key}, "stamps": {"name": OLD}} for key in keys]
        return Answer(None, 413) if len(keys) > 2 else Answer({"results": [{**each, "deleted": None} for each in records]})

    backend.answers(at_most_two)
    assert sorted(each.id.key for each in peer.read([RecordId("member", key) for key in "abcde"])) == list("abcde")


# Answers of the wrong shape

A_RESULT = {"id": "c1", "outcome": "applied"}
A_CONFLICT = {"id": "x", "field": "name", "winner": "local", "local": {"stamp": OLD}, "incoming": {"stamp": OLD}}
A_RECORD = {"entity": "member", "key": "1", "fields": {}, "stamps": {}, "deleted": None}

SHAPES = {
    "a list for a page": ("changes", []),
    "null for a page": ("changes", None),
    "a text for a page": ("changes", "no"),
    "a page without results": ("changes", {"next": None}),
    "a page without next": ("changes", {"results": []}),
    "null for results": ("changes", {"results": None, "next": None}),
    "a map for results": ("changes", {"results": {"a": 1}, "next": None}),
    "a number for results": ("changes", {"results": 5, "next": None}),
    "no results of an apply": ("apply", {}),
    "null for results of an apply": ("apply", {"results": None}),
    "a list for an apply": ("apply", [A_RESULT]),
    "fewer results than changes": ("apply", page()),
    "more results than changes": ("apply", page(A_RESULT, A_RESULT)),
    "the result of another change": ("apply", page({**A_RESULT, "id": "c2"})),
    "a result without id": ("apply", page({"outcome": "applied"})),
    "a result that is a text": ("apply", page("applied")),
    "a result that is null": ("apply", page(None)),
    "a result without outcome": ("apply", page({"id": "c1"})),
    "an outcome that is none": ("apply", page({**A_RESULT, "outcome": "splendid"})),
    "a stamp that is none": ("apply", page({**A_RESULT, "stamps": {"name": "yesterday"}})),
    "a delete's stamp that is none": ("apply", page({**A_RESULT, "deleted": "yesterday"})),
    "an error that is a text": ("apply", page({**A_RESULT, "outcome": "invalid", "error": "no"})),
    "a conflict without its field": ("apply", page({**A_RESULT, "conflicts": [{"id": "x"}]})),
    "a conflict without a stamp": ("apply", page({**A_RESULT, "conflicts": [{**A_CONFLICT, "local": {"value": 1}}]})),
    "no records": ("read", {}),
    "a list for records": ("read", []),
    "a record without stamps": ("read", {"results": [{**A_RECORD, "stamps": None}]}),
    "a record that is a text": ("read", {"results": ["Anna"]}),
    "a page of records without next": ("records", {"results": []}),
    "a record with no stamp": ("records", {"results": [{**A_RECORD, "stamps": {"name": "no"}}], "next": None}),
    "no status": ("status", {}),
    "a list for a status": ("status", []),
    "a status without figures": ("status", {**STATUS, "pending": None}),
    "a status without a clock": ("status", {**STATUS, "server_time": None}),
    "a clock without a zone": ("status", {**STATUS, "server_time": "2026-11-22T03:11:00"}),
}


@pytest.mark.parametrize("call, answer", SHAPES.values(), ids=SHAPES)
def test_an_answer_that_is_not_the_contracts_stops_the_run_and_says_where(peer, backend, slept, call, answer):
    backend.answers(answer)
    with pytest.raises(TerminalBatch) as raised:
        CALLS[call](peer)
    assert says_who_and_where(raised.value, backend.url)
    assert (len(backend.requests), slept) == (1, [])


def test_results_in_another_order_are_not_taken_for_those_of_the_changes(peer, backend):
    backend.answers(lambda request: Answer(page(*reversed(applied(request).body["results"]))))
    with pytest.raises(TerminalBatch, match="in their order"):
        peer.apply([change(1), change(2)], "run-1")


MALFORMED = {
    "a text": "nonsense",
    "null": None,
    "a list": [],
    "no entity": row(entity=...),
    "an entity that was not asked for": row(entity="ghost"),
    "an entity that is no text": row(entity=["member"]),
    "no key": row(key=...),
    "an empty key": row(key=""),
    "a key that is a number": row(key=5),
    "a tenant that is a list": row(tenant=["north"]),
    "no action": row(action=...),
    "an action that is none": row(action="upsert"),
    "no fields": row(fields=...),
    "fields that are a list": row(fields=["name"]),
    "no stamp": row(stamp=...),
    "a stamp that is no real date": row(stamp="2026-02-30T00:00:00.000000Z|django"),
    "a field's stamp that is none": row(stamps={"name": "now"}),
    "stamps that are a list": row(stamps=["name"]),
    "a base that is none": row(base={"name": "never"}),
    "a delete's stamp that is none": row(deleted="now"),
    "a delete that has none": row(action="delete", fields={}),
    "nothing in it": row(fields={}),
    "a deleter's base that is none": row(action="delete", fields={}, deleted=OLD, deleted_base={"name": "never"}),
}


@pytest.mark.parametrize("bad", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_change_is_set_aside_and_the_rest_of_the_page_is_there(peer, backend, bad):
    if isinstance(bad, dict):
        bad = {**bad, "id": "bad"}
    backend.answers(page(row("before"), bad, row("after")))
    [found] = peer.changes(SCOPE)
    assert [each.id for each in found.changes] == ["before", "after"]
    assert [problem.code for problem in found.malformed.values()] == ["malformed"]
    if isinstance(bad, dict):
        assert list(found.malformed) == ["bad"]
    assert len(found) == 3
    assert "Anna" not in str(found.malformed), "no value in the reason"


def test_changes_without_an_id_are_counted_one_by_one(peer, backend):
    backend.answers(page(row(id=...), row(id=...), row("c3")))
    [found] = peer.changes(SCOPE)
    assert [each.id for each in found.changes] == ["c3"]
    assert len(found) == 3


def test_a_number_that_json_lacks_does_not_come_in(peer, backend):
    backend.answers(Answer(json.dumps(page(row("c1", fields={"name": float("nan")}))).encode()))
    try:
        pages = list(peer.changes(SCOPE))
    except SyncError:
        return
    assert [each for page in pages for each in page.changes] == []


# Reading a queue


def test_a_change_is_read_as_it_was_made(peer, backend):
    backend.answers(
        page(
            row(
                "c1",
                tenant="",
                fields={"name": "Anna", "interests": [], "shoe_size": 38},
                stamps={"interests": NEW},
                base={"name": OLD, "interests": None, "shoe_size": OLD},
            ),
            row("c2", tenant="north", action="delete", fields={}, stamp=NEW, deleted=NEW, deleted_base={"name": OLD}),
        )
    )
    edit, delete = read_all(peer)
    assert edit.record == RecordId("member", "1", None), "an empty tenant is none"
    assert edit.fields == {"name": Value("Anna", OLD), "interests": Value(None, NEW)}, "an empty set is null on its way"
    assert edit.base == {"name": OLD, "interests": None}, "what is not synced is left out"
    assert (edit.action, edit.deleted) == (Action.UPDATE, None)
    assert delete.record == RecordId("member", "1", "north")
    assert (delete.action, delete.fields, delete.deleted, delete.deleted_base) == (Action.DELETE, {}, NEW, {"name": OLD})


def test_a_change_of_a_field_that_is_not_synced_is_read_and_touches_nothing(peer, backend):
    backend.answers(page(row(fields={"shoe_size": 38})))
    [found] = read_all(peer)
    assert (found.fields, found.deleted) == ({}, None)


def test_pages_follow_one_another_until_there_is_no_next(peer, backend):
    cursor = "a+b/c=é&d%20 #"
    backend.answers(page(row("c1"), next=cursor), page(next="2"), page(row("c3")))
    assert [len(each) for each in peer.changes(Scope("members", ("member", "branch"), "north/1", page_size=2))] == [1, 0, 1]
    asked = [("entity", "member"), ("entity", "branch"), ("tenant", "north/1"), ("limit", "2")]
    assert [each.query for each in backend.requests] == [asked, [*asked, ("cursor", cursor)], [*asked, ("cursor", "2")]]


def test_no_page_is_asked_for_that_is_larger_than_the_contract_allows(peer, backend):
    backend.answers(EMPTY)
    list(peer.changes(Scope("members", ("member",), page_size=5000)))
    assert ("limit", "1000") in backend.requests[0].query


def test_a_page_is_fetched_when_it_is_wanted(peer, backend):
    backend.answers(page(row("c1"), next="2"))
    next(peer.changes(SCOPE))
    assert len(backend.requests) == 1


def test_the_figures_of_a_queue_are_read(peer, backend):
    backend.answers(STATUS, {**STATUS, "oldest_pending_at": None})
    status = peer.status(SCOPE)
    assert (status.pending, status.failed) == (2, 3)
    assert status.oldest_pending_at == datetime(2026, 11, 22, 3, tzinfo=UTC)
    assert status.now == datetime(2026, 11, 22, 3, 11, 0, 500000, tzinfo=UTC)
    assert peer.status(SCOPE).oldest_pending_at is None


def test_a_backend_may_tell_who_of_the_tenants_waits_and_need_not(peer, backend):
    told = {"AK": {"pending": 2, "oldest_pending_at": "2026-11-22T03:00:00Z"}}
    backend.answers(STATUS, {**STATUS, "by_tenant": told})
    assert peer.status(SCOPE).tenants == {}
    assert peer.status(SCOPE).tenants == {"AK": Waiting(2, datetime(2026, 11, 22, 3, tzinfo=UTC))}


# Applying


def test_a_change_is_sent_as_the_contract_writes_it(peer, backend):
    backend.answers(applied)
    whole = Change(
        "c1",
        RecordId("member", "1", "north"),
        Action.CREATE,
        {"name": Value(None, OLD), "interests": Value(None, NEW)},
        {"name": None, "interests": OLD},
        OLD,
        {"name": OLD},
    )
    peer.apply([whole], "run-1", Mode.IF_UNCHANGED)
    [request] = backend.requests
    assert (request.method, request.path) == ("POST", "/apply/")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == f"Token {TOKEN}"
    assert request.body == {
        "run_id": "run-1",
        "mode": "if-unchanged",
        "changes": [
            {
                "id": "c1",
                "entity": "member",
                "tenant": "north",
                "key": "1",
                "action": "create",
                "fields": {"name": None, "interests": []},
                "stamp": NEW,
                "stamps": {"name": OLD},
                "base": {"name": None, "interests": OLD},
                "deleted": OLD,
                "deleted_base": {"name": OLD},
            }
        ],
    }


def test_results_are_read_with_their_conflicts_and_reasons(peer, backend):
    id = conflict_id(change(1).record, "name", OLD, NEW)
    conflict = {
        "id": id,
        "field": "name",
        "winner": "local",
        "local": {"value": "Björn", "stamp": NEW},
        "incoming": {"stamp": OLD},
    }
    error = {"code": "unique", "message": "another member has it", "fields": {"name": "unique"}}
    backend.answers(
        page(
            {"id": "c1", "outcome": "stale", "applied": [], "stamps": {"name": NEW}, "deleted": None, "conflicts": [conflict]},
            {"id": "c2", "outcome": "invalid", "error": error},
            {"id": "c3", "outcome": "applied", "applied": ["name"], "stamps": {"name": OLD}, "deleted": OLD},
        )
    )
    stale, invalid, taken = peer.apply([change(1), change(2), change(3)], "run-1")
    [found] = stale.conflicts
    assert (found.id, found.record, found.winner, found.base) == (id, change(1).record, "local", None)
    assert (found.local, found.incoming) == (Value("Björn", NEW), OLD)
    assert (invalid.problem.code, invalid.problem.fields) == ("unique", {"name": "unique"})
    assert (taken.applied, taken.stamps, taken.deleted) == (("name",), {"name": OLD}, OLD)


def test_nothing_to_apply_is_not_asked(peer, backend):
    assert peer.apply([], "run-1") == []
    assert backend.requests == []


def test_no_request_carries_more_than_a_thousand_changes(peer, backend):
    backend.answers(applied)
    changes = [change(number) for number in range(2500)]
    assert [each.id for each in peer.apply(changes, "run-1")] == [each.id for each in changes]
    assert [len(each.body["changes"]) for each in backend.requests] == [1000, 1000, 500]


@pytest.mark.parametrize("letter", ["a", "é", '"', "\x00"])
def test_no_request_is_larger_than_ten_mebibytes_unpacked(peer, backend, letter):
    backend.answers(applied)
    width = len(json.dumps(letter)) - 2
    changes = [change(number, letter * (4_000_000 // width)) for number in range(5)]
    assert len(peer.apply(changes, "run-1")) == 5
    assert [len(each.body["changes"]) for each in backend.requests] == [2, 2, 1]
    assert max(len(each.unpacked) for each in backend.requests) < TEN_MEBIBYTES


def test_one_refused_request_among_many_stops_the_rest(peer, backend):
    backend.answers(applied, Answer(None, 401))
    with pytest.raises(TerminalBatch):
        peer.apply([change(number) for number in range(2500)], "run-1")
    assert len(backend.requests) == 2


# On the wire


def test_a_large_body_is_packed_and_a_small_one_is_not(peer, backend):
    backend.answers(applied)
    peer.apply([change(1, "a" * 5000)], "run-1")
    peer.apply([change(1, "a")], "run-1")
    large, small = backend.requests
    assert large.headers["Content-Encoding"] == "gzip"
    assert len(large.raw) < 500
    assert large.body["changes"][0]["fields"] == {"name": "a" * 5000}
    assert "Content-Encoding" not in small.headers


def test_a_packed_answer_is_unpacked(peer, backend):
    backend.answers(Answer(page(row("c1", fields={"name": "Þórður" * 500})), packed=True))
    [found] = read_all(peer)
    assert found.fields["name"].value == "Þórður" * 500
    assert "gzip" in backend.requests[0].headers["Accept-Encoding"]


def test_the_token_is_asked_for_on_every_call_so_that_it_can_be_rotated(backend, slept):
    tokens = iter(["old", "new"])
    backend.answers(Answer(None, 500), STATUS)
    peer = RestQueue("django", backend.url, {}, lambda: next(tokens), sleep=slept.append)
    peer.status(SCOPE)
    peer.session.close()
    assert [each.headers["Authorization"] for each in backend.requests] == ["Token old", "Token new"]


def test_a_netrc_file_does_not_replace_the_token(peer, backend, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    backend.answers(STATUS)
    peer.status(SCOPE)
    assert backend.requests[0].headers["Authorization"] == f"Token {TOKEN}"


def test_a_slash_at_the_end_of_the_address_makes_no_difference(backend, slept):
    backend.answers(STATUS)
    with a_peer(backend.url + "/", slept) as peer:
        peer.status(SCOPE)
    assert backend.requests[0].target == "/api/sync/status/"


# Signatures: made over what the server sees


def signature(request: Request) -> str:
    """Return the signature as a server of the contract works it out from the request line and the body's bytes."""
    moment, nonce = request.headers["X-Sync-Timestamp"], request.headers["X-Sync-Nonce"]
    signed = f"{moment}\n{nonce}\n{request.method}\n{request.target}\n".encode("latin-1") + request.raw
    return f"v1={hmac.new(KEY.encode(), signed, hashlib.sha256).hexdigest()}"


SIGNED: dict[str, tuple[str, Callable[[RestQueue], object]]] = {
    "a GET": ("", lambda peer: peer.status(SCOPE)),
    "a GET with a query": ("", lambda peer: list(peer.changes(Scope("members", ("member",), "norð/1 & 2+~*'(é)")))),
    "a POST": ("", lambda peer: peer.apply([change()], "run-1")),
    "a POST that is packed": ("", lambda peer: peer.apply([change(1, "a" * 5000)], "run-1")),
    "a POST with letters": ("", lambda peer: peer.apply([change(1, "Þórður 🎉")], "run-1")),
    "an address with a slash at its end": ("/", lambda peer: peer.status(SCOPE)),
    "an address with escapes": ("/f%C3%A9lag%2Fx", lambda peer: peer.status(SCOPE)),
    "an address with needless escapes": ("/%7Esync", lambda peer: peer.status(SCOPE)),
    "an address with letters": ("/félag", lambda peer: peer.status(SCOPE)),
    "an address with a blank": ("/our sync", lambda peer: peer.status(SCOPE)),
}


@pytest.mark.parametrize("more, call", SIGNED.values(), ids=SIGNED)
def test_a_signature_is_over_the_request_line_and_the_bytes_that_the_server_sees(backend, slept, more, call):
    backend.answers(lambda request: applied(request) if request.method == "POST" else Answer({**STATUS, **EMPTY}))
    with a_peer(backend.url + more, slept, signing_key=lambda: KEY) as peer:
        call(peer)
    [request] = backend.requests
    assert request.headers["X-Sync-Signature"] == signature(request)
    nonce = request.headers["X-Sync-Nonce"]
    assert (len(bytes.fromhex(nonce)), nonce) == (16, nonce.lower())
    assert abs(int(request.headers["X-Sync-Timestamp"]) - time.time()) < timedelta(minutes=5).total_seconds()


def test_every_attempt_has_a_nonce_of_its_own(backend, slept):
    backend.answers(Answer(None, 500), Answer(None, 500), STATUS)
    with a_peer(backend.url, slept, signing_key=lambda: KEY) as peer:
        peer.status(SCOPE)
    assert len({each.headers["X-Sync-Nonce"] for each in backend.requests}) == 3
    assert all(each.headers["X-Sync-Signature"] == signature(each) for each in backend.requests)


def test_without_a_signing_key_nothing_is_signed(peer, backend):
    backend.answers(STATUS)
    peer.status(SCOPE)
    assert not [name for name in backend.requests[0].headers if name.startswith("X-Sync")]


# Acknowledging


def test_entries_are_acknowledged_a_thousand_at_a_time(peer, backend):
    done = Acknowledgement(
        synced=tuple(f"s{number}" for number in range(2500)),
        superseded={f"o{number}": NEW for number in range(1200)},
        failed={"f1": "unique: another member has it"},
    )
    backend.answers({"marked": 1, "unknown": []})
    peer.acknowledge("run-1", done)
    bodies = [each.body for each in backend.requests]
    assert [each.path for each in backend.requests] == ["/mark-synced/"] * 3
    assert all(len(body.get(name, [])) <= 1000 for body in bodies for name in ("ids", "superseded", "failed"))
    assert [id for body in bodies for id in body["ids"]] == list(done.synced)
    assert [id for body in bodies for id in body["superseded"]] == list(done.superseded)
    assert [each for body in bodies for each in body["failed"]] == [{"id": "f1", "error": "unique: another member has it"}]
    assert {body["run_id"] for body in bodies} == {"run-1"}


def test_conflicts_are_settled_a_thousand_at_a_time(peer, backend):
    ids = [f"x{number}" for number in range(1001)]
    peer.settle("run-1", ids)
    assert [len(each.body["conflicts"]) for each in backend.requests] == [1000, 1]
    assert [id for each in backend.requests for id in each.body["conflicts"]] == ids


def test_nothing_to_acknowledge_is_not_asked(peer, backend):
    peer.acknowledge("run-1", Acknowledgement())
    peer.settle("run-1", [])
    assert backend.requests == []


# Records


def found(request: Request) -> Answer:
    return Answer(
        {
            "results": [
                {"entity": "member", "tenant": request.body["tenant"], "key": key, "fields": {}, "stamps": {}, "deleted": OLD}
                for key in request.body["keys"]
            ]
        }
    )


def test_records_are_asked_for_by_key_a_thousand_at_a_time_and_tenant_by_tenant(peer, backend):
    backend.answers(found)
    ids = [RecordId("member", f"k{number}") for number in range(1500)] + [RecordId("member", "k1", "north")]
    assert {each.id for each in peer.read([*ids, ids[0]])} == set(ids)
    assert [(each.body["tenant"], len(each.body["keys"])) for each in backend.requests] == [
        (None, 1000),
        (None, 500),
        ("north", 1),
    ]


def test_no_key_stands_in_an_address(peer, backend):
    backend.answers(found)
    peer.read([RecordId("member", "1203894569")])
    assert backend.requests[0].target == "/api/sync/records/"


def test_no_records_are_not_asked_for(peer, backend):
    assert peer.read([]) == []
    assert backend.requests == []


def test_a_record_is_read_with_its_nulls_and_without_what_is_not_synced(peer, backend):
    shown = {
        "entity": "member",
        "tenant": None,
        "key": "1",
        "fields": {"name": "Anna", "shoe_size": 38, "interests": []},
        "stamps": {"name": OLD, "shoe_size": OLD, "interests": NEW},
        "deleted": None,
    }
    backend.answers({"results": [shown]})
    [record] = peer.read([RecordId("member", "1")])
    assert record.version.fields == {"name": Value("Anna", OLD), "interests": Value(None, NEW)}
    assert record.version.deleted is None


def test_a_walk_over_records_shows_live_ones_and_no_empty_page(peer, backend):
    live, gone = {**A_RECORD, "fields": {"name": "Anna"}, "stamps": {"name": OLD}}, {**A_RECORD, "key": "2", "deleted": NEW}
    backend.answers(page(live, gone, next="2"), page(gone, next="3"), page(live))
    pages = list(peer.records(Scope("members", ("member",), "north", 7), "member"))
    assert [[each.id.key for each in page] for page in pages] == [["1"], ["1"]]
    assert backend.requests[0].query == [("entity", "member"), ("tenant", "north"), ("limit", "7")]
