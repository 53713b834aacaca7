"""Hostile input over every HTTP entry of the running stack: no 500, nobody waits, memory stays bounded, nothing is moved."""

from __future__ import annotations

import gzip
import http.client
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from certified import unsigned
from real import Real

from local.bundle import ROOT
from local.functions import discover
from local.stack import Stack

pytestmark = pytest.mark.stack

SECONDS = 5
GROWTH = 300 * 2**20
"""Bytes of memory that all of it together may cost a server: thirty times the largest body."""
BEHIND_THE_DOOR = ("bidirectional_sync", "reconcile", "replay_dead_letters", "resolve_conflict", "explain_record", "sync_health")
HTTP = (*BEHIND_THE_DOOR, "sync_shard", "erase_record", "export_record", "ojs_event", "ojs_health", "dashboard")
TRACKERS = ("track_member_changes", "track_branch_changes", "track_interest_changes", "track_event_changes")
ENTRIES = (*HTTP, *(f"dashboard/api/{name}" for name in BEHIND_THE_DOOR))
CALLS = (
    *("changes/", "apply/", "mark-synced/", "status/", "records/", "digest/", "erase/", "about/", "models/", "openapi.yaml"),
)
PAGES = ("/health/", "/admin/", "/admin/login/", "/admin/syncqueue/queueentry/")
MEBIBYTE = 2**20
JSON, EVENT = {"Content-Type": "application/json"}, {"Content-Type": "application/cloudevents+json"}
BINARY = {
    "ce-id": "1",
    "ce-source": "//firestore.googleapis.com/x",
    "ce-specversion": "1.0",
    "ce-type": "google.cloud.firestore.document.v1.written",
    "ce-time": "2026-11-22T03:00:00Z",
    "ce-document": "members/1",
    "Content-Type": "application/protobuf",
}


@dataclass(frozen=True)
class Attack:
    """One request. `chunked`: without a length, in chunks."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    method: str = "POST"
    suffix: str = ""
    chunked: bool = False


def nested(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * levels + "1" + closing * levels).encode()


def decision(value: str) -> bytes:
    return b'{"id": "' + b"0" * 32 + b'", "keep": "value", "value": ' + value.encode() + b"}"


def packed(body: bytes) -> Attack:
    return Attack(body, JSON | {"Content-Encoding": "gzip"})


BOMB = gzip.compress(b"0" * 200 * MEBIBYTE, 9)
BODIES = {
    "eleven mebibytes of spaces": Attack(b" " * 11 * MEBIBYTE),
    "eleven mebibytes of JSON": Attack(b'{"pair": "' + b"x" * 11 * MEBIBYTE + b'"}'),
    "eleven mebibytes in chunks": Attack(b" " * 11 * MEBIBYTE, chunked=True),
    "half a mebibyte for an id": Attack(json.dumps({"id": "þ" * 80_000, "keep": "local"}).encode()),
    "two mebibytes of a name": Attack(
        json.dumps({"id": "x", "keep": "local", "by": "þ" * 201, "note": "x" * 2 * MEBIBYTE}).encode()
    ),
    "a note that is none": Attack(json.dumps({"id": "x", "keep": "local", "note": "\0" * 1000}).encode()),
    "a path for an id": Attack(b'{"id": "../../members/1", "keep": "local"}'),
    "a letter's path": Attack(b'{"id": "a/b/../c"}'),
    "half a mebibyte for a letter": Attack(json.dumps({"id": "x" * 500_000}).encode()),
    "a note of half a mebibyte": Attack(json.dumps({"id": "x", "keep": "local", "note": "x" * 500_000}).encode()),
    "fifty thousand fields": Attack(json.dumps({f"f{number}": 1 for number in range(50_000)}).encode()),
    "a name of half a mebibyte": Attack(json.dumps({"x" * 500_000: 1}).encode()),
    "a list of everything": Attack(json.dumps({"entities": [5] * 200_000, "keys": [5] * 100_000}).encode()),
    "a hundred thousand fields": Attack(json.dumps({f"f{number}": number for number in range(100_000)}).encode()),
    "a hundred thousand lists": Attack(nested(100_000)),
    "a thousand lists": Attack(nested(1000)),
    "twenty thousand objects": Attack(nested(20_000, '{"a":', "}")),
    "sixty lists for a value": Attack(decision("[" * 60 + "]" * 60)),
    "nine hundred objects for a value": Attack(decision('{"a":' * 900 + "1" + "}" * 900)),
    "NaN": Attack(decision("NaN")),
    "Infinity": Attack(decision("-Infinity")),
    "a number past a double": Attack(decision("1e999")),
    "five thousand digits": Attack(decision("9" * 5000)),
    "four thousand digits": Attack(decision("9" * 4000)),
    "half a surrogate pair": Attack(decision('"\\ud800"')),
    "half a surrogate pair as a name": Attack(b'{"\\udfff": 1, "pair": "\\ud800"}'),
    "a zero character": Attack(b'{"pair": "\\u0000", "tenant": "\\u0000", "id": "\\u0000"}'),
    "text that runs backwards": Attack('{"pair": "\u202e\u2066abc", "id": "𝔞\u0301"}'.encode()),
    "the same field twice": Attack(b'{"pair": "ghosts", "pair": 5, "pair": null, "max_changes": 0}'),
    "two documents": Attack(b'{"pair": "ghosts"}{"pair": "ghosts"}'),
    "a byte order mark": Attack(b'\xef\xbb\xbf{"pair": "ghosts"}'),
    "UTF-16": Attack('{"pair": "ghosts"}'.encode("utf-16")),
    "UTF-32": Attack('{"pair": 5}'.encode("utf-32")),
    "bytes that are no text": Attack(bytes(range(256)) * 100),
    "half a body": Attack(b'{"pair": "gho'),
    "every type for every field": Attack(
        json.dumps(
            {name: {"a": []} for name in ("pair", "entities", "tenant", "id", "keep", "keys", "changes", "run_id", "ids")}
        ).encode()
    ),
    "null": Attack(b"null"),
    "a number": Attack(b"-0"),
    "a list of nulls": Attack(b"[null, null]"),
    "a form": Attack(b"pair=ghosts&pair=5", {"Content-Type": "application/x-www-form-urlencoded"}),
    "a form of files without an end": Attack(
        b"--x\r\nContent-Disposition: form-data", {"Content-Type": "multipart/form-data; boundary=x"}
    ),
    "a type that is none": Attack(b"{]", {"Content-Type": "application/json; charset=utf-99"}),
    "200 MiB packed into 200 KiB": packed(BOMB),
    "200 MiB packed twice": packed(gzip.compress(BOMB)),
    "a thousand small members": packed(gzip.compress(b"0" * MEBIBYTE) * 1000),
    "packed, cut short": packed(BOMB[:1000]),
    "packed, but it is not": packed(b'{"pair": "ghosts"}'),
    "packed in a way that there is not": Attack(b"x", JSON | {"Content-Encoding": "br, gzip"}),
}
PATHS = {
    "two slashes": "//",
    "up and out": "/../../../etc/passwd",
    "up and out, written otherwise": "/%2e%2e/%2e%2e/etc/passwd",
    "a zero byte": "/%00",
    "no UTF-8": "/%ff%fe",
    "four thousand letters": "/" + "a" * 4000,
    "a parameter of a path": "/;x=1",
    "what search engines ask": "/robots.txt",
    "an icon": "/favicon.ico",
    "the same parameter often": "?" + "&".join(["pair=ghosts"] * 300),
    "a long query": "?q=" + "a" * 3500,
    "a query of nothing known": "?limit=-1&limit=x&cursor=%00&entity=%ff&tenant=%F0%9F&bucket=99999999999999999999&buckets=NaN",
    "a sealed cursor that is none": "?entity=member&cursor=" + quote("A" * 500),
    "letters of any script": "?entity=" + quote("þjóð\u202e") + "&key=" + quote("'; DROP TABLE members_member; --"),
}
HEADERS = {
    "a method over a method": {"X-HTTP-Method-Override": "DELETE"},
    "traces that are none": {"X-Cloud-Trace-Context": "%00{}" * 50, "traceparent": "00-zz-zz-zz"},
    "a time that is none": {"X-CloudScheduler-ScheduleTime": "never\t" * 100},
    "seven kilobytes": {"X-Long": "x" * 7000},
    "another host": {"Host": "evil.example"},
    "forwarded from nowhere": {"X-Forwarded-For": "'; --", "X-Forwarded-Proto": "gopher"},
    "ranges and conditions": {"Range": "bytes=0-,5-1", "If-Match": "*", "If-Modified-Since": "yesterday"},
    "answers in no way": {"Accept": "x/y;q=nan", "Accept-Encoding": "gzip;q=x, *;q=0"},
}
TOKENS = {
    "seven kilobytes of dots": "." * 7000,
    "a token of nested lists": f"{quote(unsigned(a=1)).partition('.')[0]}.{'W1tb' * 1700}.x",
    "a token whose claims are of any type": unsigned(iss="accounts.google.com", aud={}, exp=[], iat="x", email=5),
    "a token that never ends": unsigned(iss="accounts.google.com", exp=float("1e308")),
    "a token of a strange kind": unsigned(iss=["accounts.google.com"]),
    "letters of any script": "þjóð",
    "only spaces": "   ",
}


def attacks(method: str) -> Iterator[tuple[str, Attack]]:
    """Yield everything that is tried of a function or a call that takes this method."""
    yield from BODIES.items()
    yield from ((name, Attack(b"[", JSON, method, path)) for name, path in PATHS.items())
    yield from ((name, Attack(b"[", JSON | headers, method)) for name, headers in HEADERS.items())
    yield from ((f"the method {each}", Attack(b"[", JSON, each)) for each in ("PUT", "DELETE", "PATCH", "OPTIONS", "BREW"))


def answer(url: str, attack: Attack, headers: Mapping[str, str]) -> int | str:
    """Return the status, or what happened instead of one. A server that has heard enough may hang up."""
    place = urlsplit(url)
    line = http.client.HTTPConnection(place.hostname or "", place.port, timeout=SECONDS)
    try:
        line.putrequest(attack.method, place.path + attack.suffix, skip_host="Host" in attack.headers)
        for name, value in {**headers, **attack.headers}.items():
            line.putheader(name, value.encode("utf-8"))
        line.putheader("Transfer-Encoding", "chunked") if attack.chunked else line.putheader(
            "Content-Length", str(len(attack.body))
        )
        line.endheaders()
        with suppress(BrokenPipeError, ConnectionResetError):  # it answered before it had read all
            line.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(attack.body), attack.body) if attack.chunked else attack.body)
        return line.getresponse().status
    except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
        return 413
    except OSError as error:
        return type(error).__name__
    finally:
        line.close()


def failures(url: str, method: str, headers: Mapping[str, str]) -> dict[str, int | str]:
    """Return what was not answered as it should be."""
    found = {name: answer(url, attack, headers) for name, attack in attacks(method)}
    return {name: status for name, status in found.items() if isinstance(status, str) or status >= 500}


def memory(port: int) -> int:
    """Return the most memory that the processes of a server have held so far, in bytes."""
    held = 0
    for each in Path("/proc").glob("[0-9]*"):
        try:
            line, status = (each / "cmdline").read_text(), (each / "status").read_text()
        except (OSError, UnicodeDecodeError):
            continue
        if str(port) in line and "VmHWM:" in status:
            held += int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return held


@pytest.fixture(scope="module")
def bounded(stack: Stack) -> Iterator[None]:
    """All of this module together costs no server more memory than it should."""
    assert stack.backend is not None
    ports = [urlsplit(url).port or 0 for url in (stack.functions_url, stack.backend_url)]
    before = [memory(port) for port in ports]
    assert min(before) > 10 * MEBIBYTE, "the servers are seen"
    yield
    grown = [after - held for after, held in zip(map(memory, ports), before, strict=True)]
    assert max(grown) < GROWTH, grown


def test_nothing_that_takes_calls_is_left_out() -> None:
    assert discover(ROOT / "functions/main.py") == dict.fromkeys(HTTP, "http") | dict.fromkeys(TRACKERS, "cloudevent")
    urls = (ROOT / "backend/syncqueue/urls.py").read_text(encoding="utf-8")
    assert set(re.findall(r'path\("([^"]+)"', urls)) == set(CALLS)


@pytest.mark.parametrize("who", ["admin", "nobody"])
@pytest.mark.parametrize("name", ENTRIES)
def test_a_function_answers_anything_with_less_than_500(real: Real, bounded: None, name: str, who: str) -> None:
    headers = {"Authorization": f"Bearer {real.stack.admin_token}"} if who == "admin" else {}
    method = "GET" if name.endswith("sync_health") else "POST"
    assert failures(f"{real.stack.functions_url}/{name}", method, headers) == {}
    assert real.rows("sync_runs") == real.rows("sync_conflicts") == []


@pytest.mark.parametrize("name", [name for name in ENTRIES if name not in {"dashboard", "ojs_event"}])
def test_a_token_can_be_anything(real: Real, bounded: None, name: str) -> None:
    url, method = f"{real.stack.functions_url}/{name}", "GET" if name.endswith("sync_health") else "POST"
    sent = {each: {"Authorization": f"Bearer {token}"} for each, token in TOKENS.items()}
    assert {each: answer(url, Attack(b"{}", JSON, method), headers) for each, headers in sent.items()} == dict.fromkeys(
        TOKENS, 401
    )


EVENTS = {
    "nothing": Attack(b"", BINARY),
    "no protobuf": Attack(b"\x0a\xff\xff\xff\xff\xff", BINARY),
    "no base64": Attack(b"###", BINARY),
    "base64 of noise": Attack(b"Zm9vYmFy" * 1000, BINARY),
    "all bytes": Attack(bytes(range(256)) * 100, BINARY),
    "eleven mebibytes": Attack(b"\x0a" * 11 * MEBIBYTE, BINARY),
    "a time that is none": Attack(b"", BINARY | {"ce-time": "yesterday"}),
    "another version": Attack(b"", BINARY | {"ce-specversion": "9.9"}),
    "another type": Attack(b"", BINARY | {"ce-type": "x"}),
    "a document that is none": Attack(b"", BINARY | {"ce-document": "%00/../" * 50}),
    "JSON that is none": Attack(b"{", EVENT),
    "JSON without an event": Attack(b"[]", EVENT),
    "an event without attributes": Attack(b"{}", EVENT),
    "attributes of any type": Attack(b'{"specversion": 1, "id": [], "source": {}, "type": null, "data": "\\ud800"}', EVENT),
    "nested JSON": Attack(nested(100_000), EVENT),
    "data of another kind": Attack(
        b'{"specversion": "1.0", "id": "1", "source": "x", "type": "y", "time": "2026-11-22T03:00:00Z", "data": {"a": [1]}}',
        EVENT,
    ),
    "packed": Attack(BOMB, BINARY | {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_answers_anything_with_less_than_500(real: Real, bounded: None, name: str) -> None:
    url = f"{real.stack.functions_url}/{name}"
    found = {each: answer(url, attack, {}) for each, attack in EVENTS.items()}
    assert {each: status for each, status in found.items() if isinstance(status, str) or status >= 500} == {}
    assert failures(url, "POST", {}) == {}
    assert real.rows("sync_queue") == []


@pytest.mark.parametrize("who", ["sync", "nobody"])
@pytest.mark.parametrize("path", CALLS)
def test_the_backend_answers_anything_with_less_than_500(real: Real, bounded: None, path: str, who: str) -> None:
    headers = {"Authorization": f"Token {real.stack.backend_token}"} if who == "sync" else {}
    for method in ("GET", "POST"):
        assert failures(f"{real.stack.backend_url}/{path}", method, headers) == {}
    assert real.users.call("dump", entity="member") == {}


@pytest.mark.parametrize("path", PAGES)
def test_the_backends_own_pages_answer_anything_with_less_than_500(real: Real, bounded: None, path: str) -> None:
    place = urlsplit(real.stack.backend_url)
    for method in ("GET", "POST"):
        assert failures(f"{place.scheme}://{place.netloc}{path}", method, {}) == {}
