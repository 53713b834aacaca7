"""The HTTP functions, served as functions-framework serves them: who may call, and what may be asked.

Neither Firestore nor a backend is here: what is refused is refused before either is spoken to. The operator's token comes
from the local stand-in for Secret Manager, over the real client.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from google.events.cloud.firestore_v1.types import DocumentEventData

from local.secrets import SecretServer, write_secrets
from shared import wiring

ROOT = Path(__file__).resolve().parents[1]
MAIN = ROOT / "functions" / "main.py"
PROJECT = "demo-service"
TOKEN = "operators-only"
SECRETS = {"operator-token": f"{TOKEN}\n", "log-key": "a key for the log", "django-token": "never wanted here"}
CACHES = (wiring.settings, wiring.secrets, wiring.documents, wiring.store, wiring.pairs, wiring._peer)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The file of secrets, and where it is served."""
    file = tmp_path_factory.mktemp("secrets") / "secrets.json"
    write_secrets(file, SECRETS)
    with SecretServer(file, project=PROJECT) as server:
        yield file, server.address


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nothing listens, and nothing can begin to."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _instance(monkeypatch: pytest.MonkeyPatch, secrets: tuple[Path, str], nobody: str) -> Iterator[None]:
    """A fresh instance in each test: its environment, and nothing built yet."""
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", PROJECT)
    monkeypatch.setenv("DJANGO_URL", f"http://{nobody}/api/sync")
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", nobody)
    monkeypatch.setenv("SECRET_MANAGER_HOST", secrets[1])
    monkeypatch.delenv("SYNC_CONFIG", raising=False)
    monkeypatch.setenv("SYNC_OPEN_TRACKERS", "1")
    for cache in (*CACHES, wiring.callers, wiring.log):
        cache.cache_clear()
    yield
    if wiring.secrets.cache_info().currsize:
        wiring.secrets().client.transport.close()
    for cache in (*CACHES, wiring.callers, wiring.log):
        cache.cache_clear()


@pytest.fixture(scope="module")
def apps() -> dict[str, Any]:
    """Every function as a Flask application of its own, as in production."""
    http = (
        "bidirectional_sync",
        "sync_shard",
        "reconcile",
        "replay_dead_letters",
        "resolve_conflict",
        "sync_health",
        "erase_record",
        "export_record",
        "explain_record",
    )
    kinds = dict.fromkeys(http, "http") | {"track_member_changes": "cloudevent"}
    return {name: functions_framework.create_app(name, str(MAIN), kind) for name, kind in kinds.items()}


class Function:
    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, body: object = None, method: str = "POST", token: str | None = TOKEN, **headers: str) -> tuple[int, Any]:
        """Return the status and the body of an answer; `body` is sent as JSON unless it is bytes."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token}")
        answer = self.app.test_client().open("/", method=method, data=content, headers=sent)
        self.headers = answer.headers
        return answer.status_code, answer.get_json()


@pytest.fixture(params=["bidirectional_sync", "reconcile"])
def run(request: pytest.FixtureRequest, apps: dict[str, Any]) -> Function:
    return Function(apps[request.param])


@pytest.fixture
def sync(apps: dict[str, Any]) -> Function:
    return Function(apps["bidirectional_sync"])


@pytest.fixture
def decide(apps: dict[str, Any]) -> Function:
    return Function(apps["resolve_conflict"])


@pytest.fixture
def health(apps: dict[str, Any]) -> Function:
    return Function(apps["sync_health"])


def the_error(body: Any) -> str:
    """Return the one message in a refusal, whose form is that of every answer."""
    assert body["success"] is False
    assert body["result"] == {}
    assert set(body) == {
        "success",
        "requestId",
        "runId",
        "startedAt",
        "completedAt",
        "durationMs",
        "timestamp",
        "result",
        "errors",
    }
    [error] = body["errors"]
    assert set(error) == {"kind", "message"}
    return str(error["message"])


# Who may call

STRANGERS = {
    "nobody": {},
    "an empty header": {"Authorization": ""},
    "another kind of token": {"Authorization": f"Token {TOKEN}"},
    "a name and a password": {"Authorization": "Basic b3BlcmF0b3I6b3BlcmF0b3I="},
    "no token after all": {"Authorization": "Bearer "},
    "another token": {"Authorization": "Bearer of-good-news"},
    "the beginning of the token": {"Authorization": f"Bearer {TOKEN[:-1]}"},
    "the token and more": {"Authorization": f"Bearer {TOKEN}s"},
    "the token in capitals": {"Authorization": f"Bearer {TOKEN.upper()}"},
    "a token of other letters": {"Authorization": "Bearer þórður"},
}


@pytest.mark.parametrize("headers", STRANGERS.values(), ids=STRANGERS)
def test_only_an_operator_may_call(run, headers):
    status, body = run({}, token=None, **headers)
    assert status == 401
    message = the_error(body)
    assert "operator" in message
    assert TOKEN not in message
    assert run.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("headers", STRANGERS.values(), ids=STRANGERS)
def test_health_is_for_operators_too(health, headers):
    assert health(method="GET", token=None, **headers)[0] == 401


@pytest.mark.parametrize("headers", STRANGERS.values(), ids=STRANGERS)
def test_a_conflict_is_decided_by_operators_alone(decide, headers):
    assert decide({"id": "0" * 32, "keep": "local"}, token=None, **headers)[0] == 401


def test_a_stranger_is_refused_before_anything_is_read(run, monkeypatch, tmp_path):
    """A wrong body, a wrong method and a wrong configuration are nothing that a stranger learns of."""
    monkeypatch.setenv("SYNC_CONFIG", str(tmp_path / "nowhere.yaml"))
    assert run(b"{", token=None)[0] == 401
    assert run({"pair": "ghost"}, token=None)[0] == 401
    assert run(method="DELETE", token=None)[0] == 401
    assert all(cache.cache_info().currsize == 0 for cache in CACHES)


def test_a_secret_that_is_missing_is_said_to_the_caller_and_to_the_log(run, secrets, capsys):
    file, _ = secrets
    write_secrets(file, {"log-key": "x"})
    try:
        status, body = run({}, X_Cloud_Trace_Context="0af7651916cd43dd/1;o=1")
    finally:
        write_secrets(file, SECRETS)
    assert status == 500
    assert "no 'operator-token' for us" in the_error(body)
    line, call = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["event"], line["severity"], line["requestId"]) == ("sync_fail", "ERROR", "0af7651916cd43dd")
    assert (call["event"], call["status"], call["caller"]) == ("call", 500, "nobody")
    assert line["message"] == the_error(body)


# What may be asked

PAIRS = "there are: members"
BODIES = {
    # what is sent, what the answer names
    "no JSON": (b"{", ["the body is no JSON"]),
    "a form": (b"pair=members", ["the body is no JSON"]),
    "bytes that are no text": (b'{"pair": "\xff"}', ["the body is no JSON"]),
    "a list": ([], ["body: Input should be"]),
    "a text": ("members", ["body: Input should be"]),
    "null": (b"null", ["body: Input should be"]),
    "a number for a pair": ({"pair": 5}, ["pair: Input should be a valid string"]),
    "a text for entities": ({"entities": "member"}, ["entities: Input should be a valid list"]),
    "no entities": ({"entities": []}, ["entities: List should have at least 1 item"]),
    "a number for an entity": ({"entities": ["member", 5]}, ["entities.1: Input should be a valid string"]),
    "an empty tenant": ({"tenant": ""}, ["tenant: String should have at least 1 character"]),
    "a text for a dry run": ({"dry_run": "yes"}, ["dry_run: Input should be a valid boolean"]),
    "a 1 for a dry run": ({"dry_run": 1}, ["dry_run: Input should be a valid boolean"]),
    "null for a dry run": ({"dry_run": None}, ["dry_run: Input should be a valid boolean"]),
    "no changes at most": ({"max_changes": 0}, ["max_changes: Input should be greater than or equal to 1"]),
    "no operations at most": ({"max_billed": 0}, ["max_billed: Input should be greater than or equal to 1"]),
    "a text for operations": ({"max_billed": "many"}, ["max_billed: Input should be a valid integer"]),
    "a fraction of changes": ({"max_changes": 1.5}, ["max_changes: Input should be a valid integer"]),
    "true for changes": ({"max_changes": True}, ["max_changes: Input should be a valid integer"]),
    "an unknown field": (
        {"dryrun": True},
        ["dryrun: Extra inputs are not permitted", "valid: pair, entities, tenant, dry_run, max_changes"],
    ),
    "three mistakes at once": ({"pair": 5, "dry_run": 5, "pear": 5}, ["pair: Input", "dry_run: Input", "pear: Extra"]),
    "an unknown pair": ({"pair": "ghosts"}, ["pair: there is no pair 'ghosts'", PAIRS]),
    "an unknown entity": (
        {"entities": ["member", "ghost"]},
        ["entities: there is no entity 'ghost'", "there are: branch, interest"],
    ),
    "an entity that the pair has not": ({"pair": "members", "entities": ["ghost"]}, ["entities: there is no entity 'ghost'"]),
}
SHARD = {"pair": "members", "run": "never", "entity": "member", "shard": 0, "of": 16}
SHARDS = {
    "nothing": ({}, ["pair: Field required", "run: Field", "valid: pair, run, entity, shard, of"]),
    "an unknown pair": (SHARD | {"pair": "ghosts"}, ["pair: there is no pair 'ghosts'", PAIRS]),
    "an unknown entity": (SHARD | {"entity": "ghost"}, ["entity: there is no such entity", "there are: branch, interest"]),
    "a shard out of range": (SHARD | {"shard": 16}, ["shard: 16 is out of range; of 16 there are 0 to 15"]),
    "a shard below none": (SHARD | {"shard": -1}, ["shard: -1 is out of range"]),
    "a text for a shard": (SHARD | {"shard": "1"}, ["shard: Input should be a valid integer"]),
    "shards that are no such number": (SHARD | {"of": 5}, ["of: 5 is no number of shards; valid: 4, 8, 16, 32, 64"]),
    "an empty run": (SHARD | {"run": ""}, ["run: String should have at least 1 character"]),
    "an unknown field": (SHARD | {"shards": 16}, ["shards: Extra inputs are not permitted"]),
}
DIRECTIONS = {
    "a list for a direction": ({"direction": ["both"]}, ["direction: Input should be a valid string"]),
    "an unknown direction": (
        {"direction": "up"},
        ["direction: there is no direction 'up'", "django_to_firestore, firestore_to_django"],
    ),
    "a direction to itself": ({"direction": "django_to_django"}, ["direction: there is no direction"]),
}
KEYS = "keys needs exactly one entity in entities"
RECONCILES = {
    "a direction, since it works both ways": ({"direction": "django_to_firestore"}, ["direction: Extra inputs", "valid: pair"]),
    "a mode that there is not": ({"mode": "fast"}, ["mode: Input should be 'quick' or 'full'"]),
    "a text for keys": ({"keys": "1", "entities": ["member"]}, ["keys: Input should be a valid list"]),
    "no keys": ({"keys": [], "entities": ["member"]}, ["keys: List should have at least 1 item"]),
    "an empty key": ({"keys": ["1", ""], "entities": ["member"]}, ["keys.1: String should have at least 1 character"]),
    "keys of nothing": ({"keys": ["1"]}, [KEYS]),
    "keys of two entities": ({"keys": ["1"], "entities": ["member", "branch"]}, [KEYS]),
    "keys of an unknown entity": ({"keys": ["1"], "entities": ["ghost"]}, ["entities: there is no entity 'ghost'"]),
    "keys by digests": ({"keys": ["1"], "entities": ["member"], "mode": "quick"}, ["mode can only be full"]),
    "an empty batch": ({"batch_size": 0}, ["batch_size: Input should be greater than or equal to 1"]),
    "a batch larger than a page can be": ({"batch_size": 1001}, ["batch_size: Input should be less than or equal to 1000"]),
    "a text for a restart": ({"restart": "yes"}, ["restart: Input should be a valid boolean"]),
    "an unknown field": ({"mend": True}, ["mend: Extra inputs", "dry_run", "keys, mode, batch_size, restart, repair"]),
}


def test_a_thousand_mistakes_are_answered_with_the_first_of_them(run):
    status, body = run({f"field{number:04}" + "x" * 200: 1 for number in range(1000)})
    message = the_error(body)
    assert (status, message.count("Extra inputs"), "and 980 more; valid: pair" in message) == (400, 20, True)
    assert len(message) < 4000


def test_a_body_is_bounded_in_size_and_depth(run):
    status, body = run(b'{"pair": "' + b"x" * 2**20 + b'"}')
    assert (status, body["errors"][0]["kind"]) == (413, "BodyTooLarge")
    assert the_error(body) == "the body is over 1 MiB; ask for less at a time"
    status, body = run({"tenant": json.loads("[" * 60 + "]" * 60)})
    assert (status, the_error(body)) == (400, "the body is nested more than 50 levels deep")
    assert run(b'{"pair": NaN}')[0] == 400
    assert the_error(run(b'{"max_changes": Infinity}')[1]) == "the body is no JSON"


def is_answered_with_what_makes_sense(function, sent, named):
    status, body = function(sent)
    assert status == 400
    message = the_error(body)
    assert body["errors"][0]["kind"] == "BadRequest"
    assert [text for text in named if text not in message] == []


@pytest.mark.parametrize("sent, named", BODIES.values(), ids=BODIES)
def test_what_makes_no_sense_is_answered_with_what_does(run, sent, named):
    is_answered_with_what_makes_sense(run, sent, named)


@pytest.mark.parametrize("sent, named", DIRECTIONS.values(), ids=DIRECTIONS)
def test_a_direction_that_there_is_not_is_answered_with_those_that_there_are(sync, sent, named):
    is_answered_with_what_makes_sense(sync, sent, named)


@pytest.mark.parametrize("sent, named", RECONCILES.values(), ids=RECONCILES)
def test_a_reconcile_that_makes_no_sense_is_answered_with_what_does(apps, sent, named):
    is_answered_with_what_makes_sense(Function(apps["reconcile"]), sent, named)


@pytest.mark.parametrize("sent, named", SHARDS.values(), ids=SHARDS)
def test_a_shard_that_there_is_not_is_answered_with_those_that_there_are(apps, sent, named):
    is_answered_with_what_makes_sense(Function(apps["sync_shard"]), sent, named)


DECISIONS = {
    # what is sent, what the answer names
    "nothing": ({}, ["id: Field required", "keep: Field required", "valid: id, keep, value, note, by, again"]),
    "no id": ({"keep": "local"}, ["id: Field required"]),
    "an empty id": ({"id": "", "keep": "local"}, ["id: String should have at least 1 character"]),
    "a number for an id": ({"id": 5, "keep": "local"}, ["id: Input should be a valid string"]),
    "neither side": ({"id": "x", "keep": "left"}, ["keep: Input should be 'local', 'incoming' or 'value'"]),
    "a value that is not given": ({"id": "x", "keep": "value"}, ["body: Value error, `value` goes with keep: value"]),
    "a side and a value": ({"id": "x", "keep": "local", "value": 1}, ["body: Value error, `value` goes with keep: value"]),
    "a list for a note": ({"id": "x", "keep": "local", "note": []}, ["note: Input should be a valid string"]),
    "nobody": ({"id": "x", "keep": "local", "by": ""}, ["by: String should have at least 1 character"]),
    "a 1 for again": ({"id": "x", "keep": "local", "again": 1}, ["again: Input should be a valid boolean"]),
    "an unknown field": ({"id": "x", "keep": "local", "why": "x"}, ["why: Extra inputs are not permitted"]),
}


@pytest.mark.parametrize("sent, named", DECISIONS.values(), ids=DECISIONS)
def test_a_decision_that_makes_no_sense_is_answered_with_what_does(decide, sent, named):
    status, body = decide(sent)
    assert status == 400
    assert [text for text in named if text not in the_error(body)] == []


def test_a_conflict_is_decided_with_post(decide):
    assert decide(None, method="GET")[0] == 405


@pytest.mark.parametrize("sent", [{"pair": 5}, b"{", {"pair": "ghosts"}], ids=["a type", "no JSON", "a name"])
def test_a_bad_request_is_no_failure_and_is_not_logged_as_one(run, sent, capsys):
    run(sent)
    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["event"], line["severity"], line["status"]) == ("call", "INFO", 400)


def test_what_was_sent_in_a_wrong_type_is_not_repeated(run):
    assert "1203894569" not in json.dumps(run({"tenant": {"key": "1203894569"}, "max_changes": "1203894569"})[1])


def test_the_kind_of_the_content_does_not_matter(run):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/octet-stream", ""):
        status, body = run(b'{"pair": "ghosts"}', Content_Type=kind)
        assert (status, PAIRS in the_error(body)) == (400, True)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_a_run_is_asked_for_with_post(run, method):
    status, body = run({}, method=method)
    assert status == 405
    assert the_error(body) == f"this function is called with POST, not with {method}"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_health_is_asked_for_with_get(health, method):
    status, body = health(None, method=method)
    assert status == 405
    assert "with GET" in the_error(body)


REPLAYS = {
    "nothing": ({}, "name the letters: by id, entity or reason"),
    "only how many": ({"max": 5}, "name the letters"),
    "too many": ({"reason": "unique", "max": 1001}, "max: Input should be less than or equal to 1000"),
    "an empty id": ({"id": ""}, "id: String should have at least 1 character"),
    "a number for an id": ({"id": 7}, "id: Input should be a valid string"),
    "a reason that can be none": ({"reason": "Not Unique"}, "reason: String should match pattern"),
    "an unknown entity": ({"pair": "members", "entity": "ghost"}, "entity: there is no entity 'ghost' in pair 'members'"),
    "an unknown pair": ({"pair": "ghosts", "reason": "unique"}, "pair: name one of the pairs that there are: members"),
    "an unknown field": ({"ids": ["a"]}, "valid: pair, id, entity, reason, max, by, allow_mass_delete"),
}


@pytest.fixture
def replay(apps: dict[str, Any]) -> Function:
    return Function(apps["replay_dead_letters"])


@pytest.mark.parametrize("sent, named", REPLAYS.values(), ids=REPLAYS)
def test_a_replay_of_what_makes_no_sense_is_answered_with_what_does(replay, sent, named):
    status, body = replay(sent)
    assert (status, named in the_error(body)) == (400, True), body


def test_a_replay_is_for_operators_and_asked_for_with_post(replay):
    assert replay({"reason": "unique"}, token=None)[0] == 401
    assert replay(method="GET")[0] == 405


# What every answer says


def test_an_answer_says_when_and_under_which_ids(sync):
    _, body = sync({"pair": "ghosts"}, X_Cloud_Trace_Context="0af7651916cd43dd8448eb211c80319c/123;o=1")
    assert body["requestId"] == "0af7651916cd43dd8448eb211c80319c"
    started, completed = datetime.fromisoformat(body["startedAt"]), datetime.fromisoformat(body["completedAt"])
    assert started <= completed
    assert body["timestamp"] == body["completedAt"]
    assert body["durationMs"] == round((completed - started).total_seconds() * 1000)
    assert body["runId"].startswith(f"{started:%Y%m%dT%H%M%SZ}-")


def test_two_calls_have_ids_of_their_own(sync):
    (_, one), (_, other) = sync({"pair": "ghosts"}), sync({"pair": "ghosts"})
    assert one["requestId"] != other["requestId"]
    assert one["runId"] != other["runId"]


def test_the_schedulers_repeats_of_one_attempt_share_a_run_id(sync):
    first, again, next_night = (
        sync({"pair": "ghosts"}, X_CloudScheduler_ScheduleTime=f"2026-11-{day}T03:30:00+00:00")[1] for day in (22, 22, 23)
    )
    assert first["runId"] == again["runId"] != next_night["runId"]
    assert first["runId"].startswith("scheduled-")
    assert first["requestId"] != again["requestId"]


# A configuration that is wrong


@pytest.mark.parametrize("name", ["bidirectional_sync", "sync_shard", "reconcile", "resolve_conflict", "sync_health"])
def test_a_wrong_configuration_is_logged_with_every_problem_and_the_caller_is_told_only_that(
    apps, monkeypatch, tmp_path, name, capsys
):
    file = tmp_path / "broken.yaml"
    file.write_text("version: 2\npeers: {}\n")
    monkeypatch.setenv("SYNC_CONFIG", str(file))
    status, body = Function(apps[name])(method="GET" if name == "sync_health" else "POST")
    assert status == 500
    assert the_error(body) == "the functions are not configured rightly; their log says where"
    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "sync_fail" in line]
    assert line["message"].startswith("broken.yaml: 3 problem(s); nothing was started")
    assert all(f"\n  - {place}:" in line["message"] for place in ("version", "peers", "pairs"))


# Trackers


def a_write(collection: str) -> dict[str, Any]:
    """Return a write to a document as Eventarc posts it."""
    path = f"projects/{PROJECT}/databases/(default)/documents/{collection}/north"
    written = {"seconds": 1795316400}
    event = DocumentEventData(value={"name": path, "create_time": written, "update_time": written})
    return {
        "data": DocumentEventData.serialize(event),
        "headers": {
            "ce-id": "1",
            "ce-source": f"//firestore.googleapis.com/projects/{PROJECT}/databases/(default)",
            "ce-specversion": "1.0",
            "ce-type": "google.cloud.firestore.document.v1.written",
            "ce-time": "2026-11-22T03:00:00Z",
            "ce-document": f"{collection}/north",
            "Content-Type": "application/protobuf",
        },
    }


def test_an_event_of_another_collection_is_an_error_in_the_log_and_not_delivered_again(apps, capsys):
    answer = apps["track_member_changes"].test_client().post("/", **a_write("branches"))
    assert answer.status_code == 200
    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["event"], line["severity"], line["pair"]) == ("wrong_collection", "ERROR", "members")
    assert "north" not in json.dumps(line), "no key in the log"


def test_a_document_that_holds_nothing_for_the_sync_needs_no_read(apps):
    """Nothing listens where Firestore should be: a read would be an error."""
    assert apps["track_member_changes"].test_client().post("/", **a_write("members")).status_code == 200


def test_an_event_that_cannot_be_dealt_with_is_500_and_one_line_in_the_log(apps, monkeypatch, tmp_path, capsys):
    file = tmp_path / "broken.yaml"
    file.write_text("version: 2\npeers: {}\n")
    monkeypatch.setenv("SYNC_CONFIG", str(file))
    answer = apps["track_member_changes"].test_client().post("/", **a_write("members"))
    assert (answer.status_code, answer.text) == (500, "the event could not be dealt with; the log says why")
    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["event"], line["severity"], line["function"]) == ("sync_fail", "ERROR", "track_member_changes")
    assert "broken.yaml: 3 problem(s)" in line["message"]


NO_EVENTS = {
    "data that is no event": {"data": b"Anna at home"},
    "no attributes": {"headers": {"X-Note": "Anna"}},
    "a time that is none": {"headers": a_write("members")["headers"] | {"ce-time": "Anna"}},
}


@pytest.mark.parametrize("changed", NO_EVENTS.values(), ids=NO_EVENTS)
def test_what_is_no_event_is_400_and_not_repeated(apps, changed, capsys):
    answer = apps["track_member_changes"].test_client().post("/", **(a_write("members") | changed))
    assert (answer.status_code, answer.text) == (400, "this is no CloudEvent of Firestore that can be read")
    assert "Anna" not in capsys.readouterr().out
