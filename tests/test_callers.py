"""Who may call which function: a matrix, over real tokens, real keys and Google's own libraries."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import firebase_admin
import functions_framework
import pytest
from certified import USERS, Google, Key, google, unsigned, without_signature

from local.functions import discover
from local.secrets import SecretServer, write_secrets
from shared import wiring
from shared.callers import Role, accounts_of
from shared.errors import ConfigError

MAIN = Path(__file__).resolve().parents[1] / "functions" / "main.py"
PROJECT, HERE = "demo-callers", "https://here.example/function"
FIREBASE = f"https://securetoken.google.com/{PROJECT}"
ACCOUNTS = {
    "scheduler@p.iam.gserviceaccount.com": "operator",
    "tasks@p.iam.gserviceaccount.com": "operator",
    "eventarc@p.iam.gserviceaccount.com": "events",
    "watcher@p.iam.gserviceaccount.com": "viewer",
}
TOKENS = "old-operators-token\nnew-operators-token\n\nadmin the-admins-token\nviewer the-viewers-token\n"
CACHES = (
    wiring.settings,
    wiring.secrets,
    wiring.documents,
    wiring.store,
    wiring.log,
    wiring.pairs,
    wiring._peer,
    wiring.callers,
    wiring.certificates,
    wiring.firebase,
)
EVENT = {
    "ce-id": "1",
    "ce-source": "//firestore.googleapis.com/projects/p/databases/(default)",
    "ce-specversion": "1.0",
    "ce-type": "google.cloud.firestore.document.v1.written",
    "ce-time": "2026-11-22T03:00:00Z",
    "ce-document": "nowhere/north",
    "Content-Type": "application/protobuf",
}
RUNS = (
    "bidirectional_sync",
    "reconcile",
    "replay_dead_letters",
    "resolve_conflict",
    "sync_shard",
    "export_record",
    "explain_record",
)
ADMINS = {"admin", "the admins' token"}
"""Who may erase, of those in the matrix who may run and decide."""
TRACKERS = ("track_member_changes", "track_branch_changes", "track_interest_changes", "track_event_changes")


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Google]:
    with google(tmp_path_factory.mktemp("google")) as running:
        yield running


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    file = tmp_path_factory.mktemp("secrets") / "secrets.json"
    write_secrets(file, {"operator-token": TOKENS, "log-key": "a key for the log", "django-token": "not asked for"})
    with SecretServer(file, project=PROJECT) as server:
        yield file, server.address


def forget() -> None:
    """End this instance: the next call is the first one of another."""
    if wiring.secrets.cache_info().currsize:
        wiring.secrets().client.transport.close()
    if wiring.firebase.cache_info().currsize:
        firebase_admin.delete_app(wiring.firebase())
    for cache in CACHES:
        cache.cache_clear()


@pytest.fixture(autouse=True)
def _instance(monkeypatch: pytest.MonkeyPatch, secrets: tuple[Path, str], certified: Google) -> Iterator[None]:
    for name in ("SYNC_CONFIG", "SYNC_TRUST_IAM", "SYNC_OPEN_TRACKERS", "FIREBASE_AUTH_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in certified.env.items():
        monkeypatch.setenv(name, value)
        monkeypatch.delenv(name.lower(), raising=False)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", PROJECT)
        monkeypatch.setenv("DJANGO_URL", f"http://{address}/api/sync")
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", address)
        monkeypatch.setenv("SECRET_MANAGER_HOST", secrets[1])
        monkeypatch.setenv("SYNC_AUDIENCES", f"https://other.example, {HERE}")
        monkeypatch.setenv("SYNC_CALLERS", ",".join(f"{email}={role}" for email, role in ACCOUNTS.items()))
        forget()
        yield
        forget()


@pytest.fixture(scope="module")
def apps() -> dict[str, Any]:
    """Every function as a Flask application of its own, as in production."""
    kinds = dict.fromkeys((*RUNS, "erase_record", "sync_health", "ojs_health", "ojs_event", "dashboard"), "http") | dict.fromkeys(
        TRACKERS, "cloudevent"
    )
    return {name: functions_framework.create_app(name, str(MAIN), kind) for name, kind in kinds.items()}


Called = Callable[..., Any]


@pytest.fixture
def called(apps: dict[str, Any]) -> Called:
    """What a function answers a token. Whoever is let in is then told that nothing can be done about what was asked."""

    def call(name: str, token: str | None, body: Any = None, **headers: str) -> Any:
        sent = {each.replace("_", "-"): value for each, value in headers.items()}
        sent |= {"Authorization": f"Bearer {token}"} if token is not None else {}
        client = apps[name].test_client()
        if name in TRACKERS:
            return client.post("/", headers=EVENT | sent, data=b"")
        return client.post("/", headers=sent, json={"pair": 0} if body is None else body)

    return call


def account(certified: Google, name: str, key: Key | None = None, **claims: Any) -> str:
    """Return a token as Google makes them for a service account."""
    said = {"iss": "https://accounts.google.com", "aud": HERE, "sub": "1", "email_verified": True}
    return (key or certified.oidc).sign(**said | {"email": f"{name}@p.iam.gserviceaccount.com"} | claims)


def user(certified: Google, role: Any, key: Key | None = None, **claims: Any) -> str:
    """Return a token as Firebase makes them for somebody who has signed in."""
    said = {"iss": FIREBASE, "aud": PROJECT, "sub": "uid-1", "email": "anna@example.is", "email_verified": True}
    return (key or certified.users).sign(**said | ({} if role is None else {"bothways": role}) | claims)


STRANGER = Key("google-1"), Key("firebase-1")
"""Keys of somebody who has given them the ids of Google's."""
LONG_AGO = {"iat": 1_600_000_000, "exp": 1_600_003_600}
YES, NO, WHO = "let in", 403, 401
# caller: how the token is made; then runs and decisions, health, trackers
MATRIX: dict[str, tuple[Callable[[Google], str | None], Any, Any, Any]] = {
    "anonymous": (lambda g: None, WHO, WHO, WHO),
    "nothing after Bearer": (lambda g: "", WHO, WHO, WHO),
    "a token nobody gave out": (lambda g: "0123456789abcdef", WHO, WHO, WHO),
    "three parts that are no token": (lambda g: "a.b.c", WHO, WHO, WHO),
    # Google's accounts
    "scheduler": (lambda g: account(g, "scheduler"), YES, YES, NO),
    "tasks": (lambda g: account(g, "tasks"), YES, YES, NO),
    "a viewing account": (lambda g: account(g, "watcher"), NO, YES, NO),
    "Eventarc": (lambda g: account(g, "eventarc"), NO, NO, YES),
    "Google's other name for itself": (lambda g: account(g, "scheduler", iss="accounts.google.com"), YES, YES, NO),
    "an account of somebody else's": (lambda g: account(g, "stranger"), NO, NO, NO),
    "an account whose name is not proven": (lambda g: account(g, "scheduler", email_verified=False), NO, NO, NO),
    "scheduler, expired": (lambda g: account(g, "scheduler", **LONG_AGO), WHO, WHO, WHO),
    "scheduler, never expiring": (lambda g: account(g, "scheduler", exp="never"), WHO, WHO, WHO),
    "scheduler, not yet valid": (lambda g: account(g, "scheduler", iat=time.time() + 600), WHO, WHO, WHO),
    "scheduler, for another audience": (lambda g: account(g, "scheduler", aud="https://elsewhere.example"), WHO, WHO, WHO),
    "scheduler, for a list of audiences": (lambda g: account(g, "scheduler", aud=[HERE]), WHO, WHO, WHO),
    "scheduler, of another signer": (lambda g: account(g, "scheduler", STRANGER[0]), WHO, WHO, WHO),
    "scheduler, signed by Firebase's key": (lambda g: account(g, "scheduler", g.users), WHO, WHO, WHO),
    "scheduler, of another issuer": (lambda g: account(g, "scheduler", iss="https://evil.example"), WHO, WHO, WHO),
    "scheduler, its signature taken away": (lambda g: without_signature(account(g, "scheduler")), WHO, WHO, WHO),
    "scheduler, signed by nobody": (
        lambda g: unsigned(iss="accounts.google.com", aud=HERE, email="scheduler@p.iam.gserviceaccount.com", email_verified=True),
        WHO,
        WHO,
        WHO,
    ),
    # Firebase's users
    "viewer": (lambda g: user(g, "viewer"), NO, YES, NO),
    "operator": (lambda g: user(g, "operator"), YES, YES, NO),
    "admin": (lambda g: user(g, "admin"), YES, YES, NO),
    "signed in, with no role": (lambda g: user(g, None), NO, NO, NO),
    "a role that there is not": (lambda g: user(g, "owner"), NO, NO, NO),
    "a list of roles": (lambda g: user(g, ["admin"]), NO, NO, NO),
    "a person as Eventarc": (lambda g: user(g, "events"), NO, NO, NO),
    "admin, expired": (lambda g: user(g, "admin", **LONG_AGO), WHO, WHO, WHO),
    "admin, of another project": (lambda g: user(g, "admin", aud="p", iss="https://securetoken.google.com/p"), WHO, WHO, WHO),
    "admin, for another audience": (lambda g: user(g, "admin", aud="another-project"), WHO, WHO, WHO),
    "admin, of another signer": (lambda g: user(g, "admin", STRANGER[1]), WHO, WHO, WHO),
    "admin, signed by Google's other key": (lambda g: user(g, "admin", g.oidc), WHO, WHO, WHO),
    "admin, signed by nobody": (lambda g: unsigned(iss=FIREBASE, aud=PROJECT, sub="1", bothways="admin"), WHO, WHO, WHO),
    # operators' tokens
    "the old operators' token": (lambda g: "old-operators-token", YES, YES, NO),
    "the new operators' token": (lambda g: "new-operators-token", YES, YES, NO),
    "the admins' token": (lambda g: "the-admins-token", YES, YES, NO),
    "the viewers' token": (lambda g: "the-viewers-token", NO, YES, NO),
    "the admins' line of the secret": (lambda g: "admin the-admins-token", WHO, WHO, WHO),
    "the whole secret": (lambda g: TOKENS.replace("\n", " "), WHO, WHO, WHO),
}
LET_IN = (
    dict.fromkeys((*RUNS, "erase_record", "ojs_health"), 400)
    | {"ojs_event": 401}
    | {"sync_health": 405, "dashboard": 404}
    | dict.fromkeys(TRACKERS, 200)
)
BEHIND_THE_DOOR = ("bidirectional_sync", "reconcile", "replay_dead_letters", "resolve_conflict", "explain_record", "sync_health")


@pytest.mark.parametrize("caller", MATRIX)
def test_who_may_call_what(called, certified, caller):
    token, runs, health, trackers = MATRIX[caller]
    wanted = dict.fromkeys(RUNS, runs) | {"sync_health": health} | dict.fromkeys(TRACKERS, trackers)
    wanted |= {"ojs_health": health, "ojs_event": WHO}  # whoever signs calls that one, and no token does
    wanted["erase_record"] = NO if runs is YES and caller not in ADMINS else runs
    made = token(certified)
    found = {name: called(name, made).status_code for name in wanted}
    assert found == {name: LET_IN[name] if each is YES else each for name, each in wanted.items()}


def test_every_function_of_the_entry_file_is_in_the_matrix(apps):
    assert set(discover(MAIN)) == set(LET_IN)


@pytest.mark.parametrize("caller", MATRIX)
def test_the_browsers_door_lets_in_whom_the_function_behind_it_lets_in(apps, called, certified, caller):
    token = MATRIX[caller][0](certified)
    sent = {"Authorization": f"Bearer {token}"} if token is not None else {}
    door = apps["dashboard"].test_client()
    found = {name: door.post(f"/api/{name}", headers=sent, json={"pair": 0}).status_code for name in BEHIND_THE_DOOR}
    assert found == {name: called(name, token).status_code for name in BEHIND_THE_DOOR}


@pytest.mark.parametrize("path", ["/", "/api/", "/api/erase_record", "/api/export_record", "/api/sync_shard", "/api/dashboard"])
def test_nothing_else_is_behind_the_browsers_door_for_anybody(apps, path):
    answer = apps["dashboard"].test_client().post(path, headers={"Authorization": "Bearer the-admins-token"}, json={})
    assert answer.status_code == 404
    assert path.rpartition("/")[2] not in BEHIND_THE_DOOR


@pytest.mark.parametrize("name", ["bidirectional_sync", "reconcile", "replay_dead_letters"])
@pytest.mark.parametrize("token, status", [("new-operators-token", 403), ("the-admins-token", 400)])
def test_mass_deletes_are_let_pass_by_admins_alone(called, name, token, status):
    answer = called(name, token, {"pair": "ghosts", "allow_mass_delete": "plan"})
    assert answer.status_code == status
    assert ("allow_mass_delete needs the role admin, and yours is operator" in answer.text) == (status == 403)


# Cloud Run has looked already


def test_a_token_whose_signature_cloud_run_has_checked_and_taken_away_is_believed_where_cloud_run_stands(
    called, certified, monkeypatch
):
    taken = without_signature(account(certified, "scheduler"))
    assert called("bidirectional_sync", taken).status_code == 401
    monkeypatch.setenv("SYNC_TRUST_IAM", "1")
    wiring.callers.cache_clear()
    assert called("bidirectional_sync", taken).status_code == 400
    assert called("track_member_changes", without_signature(account(certified, "eventarc"))).status_code == 200
    assert called("bidirectional_sync", account(certified, "scheduler")).status_code == 400


@pytest.mark.parametrize("value", ["0", "", "true", "yes"])
def test_nothing_but_a_1_trusts_cloud_run(called, certified, monkeypatch, value):
    monkeypatch.setenv("SYNC_TRUST_IAM", value)
    assert called("bidirectional_sync", without_signature(account(certified, "scheduler"))).status_code == 401


WITH_IAM = {
    # what Cloud Run lets through, and what is still refused
    "nothing": (lambda g: None, 401),
    "an account that may call Cloud Run, but is not named here": (lambda g: without_signature(account(g, "stranger")), 403),
    "another audience": (lambda g: without_signature(account(g, "scheduler", aud="https://elsewhere.example")), 401),
    "expired since": (lambda g: without_signature(account(g, "scheduler", **LONG_AGO)), 401),
    "signed by somebody else": (lambda g: account(g, "scheduler", STRANGER[0]), 401),
    "a Firebase token without a signature": (lambda g: without_signature(user(g, "admin")), 401),
}


@pytest.mark.parametrize("token, status", WITH_IAM.values(), ids=WITH_IAM)
def test_behind_cloud_run_too_audience_and_account_are_checked(called, certified, monkeypatch, token, status):
    monkeypatch.setenv("SYNC_TRUST_IAM", "1")
    assert called("bidirectional_sync", token(certified)).status_code == status


def test_a_forged_token_beside_one_that_cloud_run_has_checked_is_refused(called, certified, monkeypatch):
    """With both headers, Cloud Run looks at the serverless one alone: whoever may call at all could call as anybody."""
    monkeypatch.setenv("SYNC_TRUST_IAM", "1")
    mine = {"X_Serverless_Authorization": f"Bearer {without_signature(account(certified, 'stranger'))}"}
    forged = without_signature(account(certified, "scheduler", STRANGER[0]))
    assert called("bidirectional_sync", forged, **mine).status_code == 401
    assert called("bidirectional_sync", "new-operators-token", **mine).status_code == 400


# Certificates


def test_certificates_are_fetched_once_and_kept_as_long_as_google_says(called, certified):
    certified.asked.clear()
    for _ in range(3):
        assert called("sync_health", account(certified, "scheduler")).status_code == 405
        assert called("sync_health", user(certified, "viewer")).status_code == 405
    assert sorted(certified.asked) == ["/oauth2/v1/certs", USERS]


@pytest.mark.parametrize("token", [lambda g: account(g, "scheduler"), lambda g: user(g, "admin")], ids=["google", "firebase"])
def test_without_certificates_nobody_is_let_in_and_the_caller_may_try_again(called, certified, token):
    certified.working = False
    try:
        answer = called("bidirectional_sync", token(certified))
    finally:
        certified.working = True
    assert (answer.status_code, answer.json["errors"][0]["kind"]) == (500, "Transient")
    assert called("bidirectional_sync", token(certified)).status_code == 400


# Local stands


def test_the_emulators_events_are_taken_where_only_the_local_stack_says_so(called, monkeypatch):
    assert called("track_member_changes", None).status_code == 401
    monkeypatch.setenv("SYNC_OPEN_TRACKERS", "1")
    wiring.callers.cache_clear()
    assert called("track_member_changes", None).status_code == 200
    assert called("bidirectional_sync", None).status_code == 401
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST")
    wiring.callers.cache_clear()
    assert called("track_member_changes", None).status_code == 401, "a real Firestore"


def test_tokens_of_firebases_emulator_are_taken_beside_firestores_alone(called, monkeypatch):
    mock = unsigned(iss=FIREBASE, aud=PROJECT, sub="uid-1", bothways="viewer")
    assert called("sync_health", mock).status_code == 401
    monkeypatch.setenv("FIREBASE_AUTH_EMULATOR_HOST", "127.0.0.1:9099")
    assert called("sync_health", mock).status_code == 405
    assert called("sync_health", unsigned(iss=FIREBASE, aud=PROJECT, sub="1")).status_code == 403
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST")
    forget()
    answer = called("sync_health", mock)
    assert (answer.status_code, answer.json["errors"][0]["kind"]) == (500, "ConfigError")


# Settings


def test_accounts_and_their_roles_are_read_from_one_line():
    assert accounts_of(" a@x=viewer , b@y=events,") == {"a@x": Role.VIEWER, "b@y": Role.EVENTS}
    assert accounts_of("") == {}


@pytest.mark.parametrize("text", ["a@x", "a@x=owner", "viewer=a@x", "a@x=viewer;b@y=viewer", "a@x=Viewer"])
def test_an_entry_that_is_none_is_named_by_its_number_alone(text):
    with pytest.raises(ConfigError) as raised:
        accounts_of(f"ok@x=viewer,{text}")
    assert "entry 2 is not EMAIL=ROLE; roles: viewer, operator, admin, events" in str(raised.value)
    assert "a@x" not in str(raised.value)


@pytest.mark.parametrize("line", ["events a-token", "owner a-token", "admin a token"])
def test_a_broken_line_of_the_secret_lets_nobody_in_and_shows_no_token(called, secrets, capsys, line):
    file, _ = secrets
    write_secrets(file, {"operator-token": f"good-token\n{line}\n", "log-key": "k"})
    try:
        answer = called("bidirectional_sync", "good-token")
    finally:
        write_secrets(file, {"operator-token": TOKENS, "log-key": "k"})
    assert answer.status_code == 500
    said = capsys.readouterr().out
    assert "the secret operator-token" in said
    assert "line 2 is neither TOKEN nor ROLE TOKEN" in said
    assert "token\n" not in said.replace(" a-token", "")
    assert line not in said + answer.text


def test_a_rotated_token_is_good_for_five_minutes_more_and_no_longer(called, secrets, monkeypatch):
    file, _ = secrets
    assert called("bidirectional_sync", "old-operators-token").status_code == 400
    write_secrets(file, {"operator-token": "new-operators-token\n", "log-key": "k"})
    try:
        assert called("bidirectional_sync", "old-operators-token").status_code == 400
        known = wiring.secrets()._known
        known["operator-token"] = (known["operator-token"][0] - wiring.timedelta(minutes=5), known["operator-token"][1])
        assert called("bidirectional_sync", "old-operators-token").status_code == 401
        assert called("bidirectional_sync", "new-operators-token").status_code == 400
    finally:
        write_secrets(file, {"operator-token": TOKENS, "log-key": "k"})


# What is said, and noted


REASONS = {
    "nobody": (lambda g: None, "send `Authorization: Bearer TOKEN`"),
    "expired": (lambda g: account(g, "scheduler", **LONG_AGO), "has expired"),
    "another audience": (lambda g: account(g, "scheduler", aud="x"), "another audience"),
    "another signer": (lambda g: user(g, "admin", STRANGER[1]), "get a new one"),
    "an account not named": (lambda g: account(g, "stranger"), "SYNC_CALLERS"),
    "no role": (lambda g: user(g, None), "./bothways grant EMAIL ROLE"),
    "too low a role": (lambda g: user(g, "viewer"), "needs the role operator, and yours is viewer"),
}


@pytest.mark.parametrize("token, reason", REASONS.values(), ids=REASONS)
def test_a_refusal_says_what_to_do_and_nothing_of_anybody(called, certified, capsys, token, reason):
    made = token(certified)
    answer = called("bidirectional_sync", made)
    assert reason in answer.json["errors"][0]["message"]
    assert (answer.headers.get("WWW-Authenticate") == "Bearer") == (answer.status_code == 401)
    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["event"], line["severity"], line["status"]) == ("refused", "WARNING", answer.status_code)
    assert line["function"] == "bidirectional_sync"
    assert reason in line["reason"]
    assert line["caller"] == ("uid-1" if "viewer" in reason else "nobody")
    for word in ("anna@example.is", HERE, PROJECT, "stranger@", *ACCOUNTS, *(made or "no-token").split(".")[:1]):
        assert word not in answer.text
        assert word not in json.dumps(line)


def test_every_call_is_noted_with_who_and_what_and_names_no_person(called, certified, capsys):
    for token in (account(certified, "scheduler"), user(certified, "admin"), "new-operators-token"):
        called("bidirectional_sync", token)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    said = [(line["event"], line["function"], line["caller"], line["role"], line["status"]) for line in lines]
    assert said == [
        ("call", "bidirectional_sync", "scheduler@p.iam.gserviceaccount.com", "operator", 400),
        ("call", "bidirectional_sync", "uid-1", "admin", 400),
        ("call", "bidirectional_sync", "operator token 2", "operator", 400),
    ]


@pytest.mark.parametrize("trace", ["Anna Jónsdóttir", "120389-4569", "0" * 65, "{}", "a\tb"])
def test_a_trace_that_is_none_is_not_repeated(called, capsys, trace):
    answer = called("sync_health", "new-operators-token", X_Cloud_Trace_Context=trace)
    assert trace not in answer.json["requestId"] + capsys.readouterr().out


@pytest.mark.parametrize(
    "token, said, wanted",
    [
        (lambda g: user(g, "operator"), "Björn", "anna@example.is"),
        (lambda g: user(g, "operator", email_verified=False), "Björn", "uid-1"),
        (lambda g: account(g, "scheduler"), "Björn", "scheduler@p.iam.gserviceaccount.com"),
        (lambda g: "new-operators-token", "Björn", "Björn"),
    ],
    ids=["a person", "an address not proven", "an account", "a shared token"],
)
def test_nobody_signs_with_another_name_than_the_one_that_is_proven(certified, token, said, wanted):
    from werkzeug.datastructures import Headers

    caller = wiring.callers().recognise(Headers({"Authorization": f"Bearer {token(certified)}"}))
    assert caller.signs(said) == wanted
