"""The doctor: what each check says of what it is given, and the whole of it, as a process, on the real stack."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploying.google import Google, serve
from deploying.trees import PROJECT
from deploying.trees import real as real_gcloud
from real import Real
from test_cli import Terminal, documents, terminal

from local.backend import Backend
from local.bundle import ROOT
from scheduler.deployment import scheduling, state
from shared import wiring
from shared.config import parse
from shared.doctor import deployed, examination, files, machine, models, queues, reaching
from shared.doctor.deployed import Deployed
from shared.doctor.finding import State
from shared.errors import TerminalBatch, Transient
from shared.model import Scope
from shared.peers.rest_queue import RestQueue

__all__ = ["terminal"]
ENVIRONMENT = {"DJANGO_URL": "http://x", "GOOGLE_CLOUD_PROJECT": "demo"}
SETTINGS = parse((ROOT / "sync.yaml").read_text(encoding="utf-8"), "sync.yaml", ENVIRONMENT)
SYNC = yaml.safe_load((ROOT / "sync.yaml").read_text(encoding="utf-8"))
ENTITIES = SETTINGS.pairs["members"].entities
MAIN = (ROOT / "functions" / "main.py").read_text(encoding="utf-8")
RULES = (ROOT / "firestore.rules").read_text(encoding="utf-8")
COLLECTIONS = {name: spec.collection for name, spec in ENTITIES.items()}


def told(**fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a backend tells of a branch with these fields."""
    found = [{"name": name, **each} for name, each in fields.items()]
    return {"contract": "1", "results": [{"entity": "branch", "key": "code", "has_tenants": False, "fields": found}]}


NAME, CITY = {"type": "text"}, {"type": "text", "empty": ""}
MODELS = {
    # what the backend tells, how it looks, what is said
    "the same": (told(name=NAME, city=CITY), State.OK, "branch: key and 2 fields are as django has them"),
    "more than is synced": (told(name=NAME, city=CITY, more=NAME), State.OK, "branch: key and 2 fields"),
    "another contract": (told(name=NAME, city=CITY) | {"contract": "2"}, State.FAILED, "speaks version 2, and this is 1"),
    "no such entity": ({"contract": "1", "results": []}, State.FAILED, "branch: the backend syncs no such entity"),
    "a field less": (told(name=NAME), State.FAILED, "branch.city: the backend does not sync it"),
    "another type": (told(name={"type": "integer"}, city=CITY), State.FAILED, "branch.name: is integer there and text here"),
    "nothing": (None, State.SKIPPED, "does not tell what it syncs"),
}


@pytest.mark.parametrize("found, state, said", MODELS.values(), ids=MODELS)
def test_models_are_compared_with_sync_yaml(found: Any, state: State, said: str) -> None:
    lines = list(models.compared("django", found, {"branch": ENTITIES["branch"]}))
    assert [each.state for each in lines if said in each.message] == [state]
    assert all(each.cure for each in lines if each.state in {State.FAILED, State.WARNING})


def test_a_column_without_null_asks_for_what_stands_for_nothing() -> None:
    spec = ENTITIES["branch"].model_copy(update={"fields": {"name": ENTITIES["branch"].fields["name"]}})
    [_, found] = models.compared("django", told(name=CITY), {"branch": spec})
    assert (found.state, found.cure.startswith("write `empty: ''`")) == (State.WARNING, True)


def test_the_key_and_tenants_must_be_the_backends() -> None:
    other = told(name=NAME, city=CITY)
    other["results"][0] |= {"key": "slug", "has_tenants": True}
    [_, key, tenants] = models.compared("django", other, {"branch": ENTITIES["branch"]})
    assert (key.cure, tenants.state) == ("write `key: slug` in sync.yaml", State.FAILED)


def test_an_entity_without_a_tracker_is_named() -> None:
    assert [each.state for each in files.trackers(MAIN, list(ENTITIES))] == [State.OK]
    [found] = files.trackers(MAIN, [*ENTITIES, "book"])
    assert (found.state, "no track_book_changes" in found.message) == (State.FAILED, True)


EXAMPLES = {
    # which example, whose edits in Firestore are carried somewhere, a secret that it needs
    "bakalari.yaml": (set(), "school-north"),
    "agents.yaml": ({"submission", "review"}, "ojs-summit"),
    "ojs.yaml": (set(), "ojs-summit-events"),
}


@pytest.mark.parametrize("name, tracked, secret", [(name, *each) for name, each in EXAMPLES.items()], ids=EXAMPLES)
def test_only_what_is_carried_from_firestore_needs_a_tracker_and_all_secrets_are_looked_at(
    name: str, tracked: set[str], secret: str
) -> None:
    urls = {f"OJS_{version}_URL": "http://x" for version in (33, 34, 35, 36)} | dict.fromkeys(
        ("SCHOOL_NORTH_URL", "SCHOOL_SOUTH_URL"), "http://x"
    )
    settings = parse((ROOT / "examples" / name).read_text(encoding="utf-8"), name, ENVIRONMENT | urls)
    assert set(examination._tracked(settings)) == tracked
    assert secret in examination._secrets(settings)
    lacking = [each for each in files.trackers("", sorted(tracked)) if each.state is State.FAILED]
    assert len(lacking) == len(tracked)


def test_each_tenant_of_a_polled_side_is_a_line_of_its_own() -> None:
    class Journals:
        def greet(self, tenant: str) -> str:
            if tenant == "quarry":
                raise TerminalBatch("the token is wrong")
            return "OJS 3.6"

    good, bad = reaching.tenants("ojs", Journals(), ["summit", "quarry"])
    assert (good.state, good.message) == (State.OK, "ojs: summit: OJS 3.6")
    assert (bad.state, bad.message) == (State.FAILED, "the token is wrong")


def test_the_projects_own_rules_are_in_order_and_holes_are_named() -> None:
    assert [each.state for each in files.rules(RULES, COLLECTIONS)] == [State.OK]
    [found] = files.rules(RULES, COLLECTIONS | {"book": "books"})
    assert (found.state, "no block for books" in found.message) == (State.WARNING, True)
    [found] = files.rules(RULES.replace("signedIn() && withoutSync()", "signedIn()", 1), COLLECTIONS)
    assert (found.state, "write `_sync` in members (allow create)" in found.message) == (State.FAILED, True)


def test_the_rules_in_force_are_those_of_the_file_or_not() -> None:
    states = [files.published("a", there, "x").state for there in ("a\n", "b", None)]
    assert states == [State.OK, State.WARNING, State.FAILED]


def test_what_a_new_entity_needs_passes_both_checks() -> None:
    main = MAIN + "\n\n" + files.TRACKER.format(entity="book")
    block = "match /books/{id}"
    rules = RULES.replace("    match /members/{id}", f"    {files.RULES.format(path='books')}\n\n    match /members/{{id}}")
    assert block in rules
    assert [each.state for each in files.trackers(main, [*ENTITIES, "book"])] == [State.OK]
    assert [each.state for each in files.rules(rules, COLLECTIONS | {"book": "books"})] == [State.OK]


def test_a_library_that_is_not_as_pinned_is_named(tmp_path: Path) -> None:
    pins = tmp_path / "requirements.txt"
    pins.write_text("pyyaml==0.0.1 \\\n    --hash=x\nnever-heard-of==1 \\\n")
    found = machine.libraries(pins)
    assert (found.state, "never-heard-of is missing, not 1, pyyaml is" in found.message) == (State.WARNING, True)
    assert machine.libraries(ROOT / "requirements.txt").state is State.OK
    assert machine.libraries(tmp_path / "none").state is State.SKIPPED
    assert machine.python().state is State.OK


def test_a_secret_that_is_missing_or_empty_is_named_and_a_silent_server_is_asked_once() -> None:
    asked = []

    def get(name: str) -> str:
        asked.append(name)
        if name == "gone":
            raise TerminalBatch("Secret Manager has no 'gone' for us")
        if name == "silent":
            raise Transient("no answer")
        return "" if name == "empty" else "x"

    found = list(reaching.secrets(["good", "gone", "empty", "silent", "after"], get))
    assert [each.state for each in found] == [State.OK, State.FAILED, State.FAILED, State.FAILED, State.SKIPPED]
    assert asked == ["good", "gone", "empty", "silent"]


def test_what_health_knows_is_a_warning_unless_another_check_tells_it() -> None:
    problems = [{"code": code, "message": code, "cure": "do"} for code in ("clock", "dead-letters")]
    status = {"peers": {"django": {"pending": 2}}, "dead_letters": 1, "open_conflicts": 0, "problems": problems}
    [sizes, dead] = queues.waiting("members", status)
    assert ("django 2; 1 dead letters" in sizes.message, dead.state, dead.message) == (
        True,
        State.WARNING,
        "members: dead-letters",
    )


EMPTY = Deployed({}, (), (), None, {}, None)
WANTED = {"track_member_changes": "members/{id}"}
DEPLOYED = {
    # what Google tells of the trackers, what is not active, what is said
    "all there": ({"track_member_changes": "members/{id}"}, (), "1 trackers are deployed and active"),
    "missing": ({}, (), "track_member_changes is not deployed"),
    "elsewhere": ({"track_member_changes": "people/{id}"}, (), "listens to people/{id}, not to members/{id}"),
    "broken": ({"track_member_changes": "members/{id}"}, ("track_member_changes",), "deployed, but not active"),
}


@pytest.mark.parametrize("trackers, inactive, said", DEPLOYED.values(), ids=DEPLOYED)
def test_triggers_are_compared_with_sync_yaml(trackers: dict[str, str | None], inactive: tuple[str, ...], said: str) -> None:
    [found] = deployed.triggers(replace(EMPTY, trackers=trackers, inactive=inactive), WANTED)
    assert (said in found.message, found.state is State.OK) == (True, said.startswith("1 trackers"))


def test_missing_indexes_and_local_functions_are_told() -> None:
    assert deployed.indexes(replace(EMPTY, indexes=("gcloud …",))).state is State.WARNING
    assert deployed.indexes(EMPTY).state is State.OK
    assert deployed.local_triggers({"track_member_changes": "cloudevent"}, list(WANTED)).state is State.OK
    assert deployed.local_triggers({"track_member_changes": "http"}, list(WANTED)).state is State.FAILED


def test_jobs_that_are_missing_paused_or_called_at_other_times_are_told() -> None:
    jobs = scheduling.wanted(SYNC)
    there = {each.name: {"state": "ENABLED", "schedule": each.schedule, "timeZone": each.time_zone} for each in jobs}
    assert dict(scheduling.amiss(jobs, there)) == {}
    [good] = deployed.jobs(EMPTY)
    assert good.state is State.OK
    del there["bothways-health"]
    there["bothways-full-members"]["state"] = "PAUSED"
    there["bothways-nightly-members"]["timeZone"] = "UTC"
    found = {each.message: each for each in deployed.jobs(replace(EMPTY, jobs=dict(scheduling.amiss(jobs, there))))}
    assert {each.state for each in found.values()} == {State.WARNING}
    assert {message: each.cure for message, each in found.items()} == {
        "bothways-health is missing": "./deploy.sh --only scheduler",
        "bothways-full-members is paused": "./deploy.sh --resume",
        "bothways-nightly-members runs at 30 3 * * * UTC, not at 30 3 * * * Atlantic/Reykjavik": "./deploy.sh --only scheduler",
    }


QUEUES = {
    # its state, how it looks, what is said
    "running": ("RUNNING", State.OK, "running"),
    "paused": ("PAUSED", State.WARNING, "what is put there waits"),
    "missing": (None, State.WARNING, "no queue of ours"),
}


@pytest.mark.parametrize("held, state, said", QUEUES.values(), ids=QUEUES)
def test_the_task_queue_is_looked_at(held: str | None, state: State, said: str) -> None:
    found = deployed.task_queue(replace(EMPTY, queue=held))
    assert (found.state, said in found.message, bool(found.cure)) == (state, True, state is not State.OK)


@pytest.mark.stack
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_the_real_gcloud_tells_what_is_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    google = Google()
    server = serve(google)
    try:
        for name, value in real_gcloud(tmp_path, google).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(state.RULES, google.url)
        place = f"projects/{PROJECT}/locations/europe-west1/functions"
        filters = [{"attribute": "document", "value": "members/{id}", "operator": "match-path-pattern"}]
        tracker = {"name": f"{place}/track_member_changes", "state": "ACTIVE", "environment": "GEN_2"}
        google.resources[tracker["name"]] = tracker | {"eventTrigger": {"eventFilters": filters}}  # type: ignore[index]
        google.resources[f"{place}/sync_health"] = {"name": f"{place}/sync_health", "state": "FAILED", "environment": "GEN_2"}
        google.resources[f"projects/{PROJECT}/releases/cloud.firestore"] = {"rulesetName": f"projects/{PROJECT}/rulesets/1"}
        google.resources[f"projects/{PROJECT}/rulesets/1"] = {"source": {"files": [{"content": RULES}]}}
        place = f"projects/{PROJECT}/locations/europe-west1"
        nightly = f"{place}/jobs/bothways-nightly-members"
        google.resources[nightly] = {"name": nightly, "state": "PAUSED"}
        google.resources[f"{place}/queues/bothways"] = {"name": f"{place}/queues/bothways", "state": "RUNNING"}
        held = Deployed(**state.looked(PROJECT, SYNC))
    finally:
        server.shutdown()
        server.server_close()
    assert dict(held.trackers) == {"track_member_changes": "members/{id}", "sync_health": None}
    assert (list(held.inactive), held.rules) == (["sync_health"], RULES)
    assert held.indexes
    assert (held.jobs["bothways-nightly-members"], held.jobs["bothways-health"], held.queue) == (
        "is paused",
        "is missing",
        "RUNNING",
    )
    assert {method for method, _, _ in google.calls} == {"GET"}


# The real thing


@pytest.mark.stack
def test_whether_the_backend_insists_on_signed_requests_is_found_out(real: Real, tmp_path: Path) -> None:
    lax, scope = real.peer(()), Scope("members", ())
    [unsigned] = reaching.signed(lax, scope)
    assert "are not signed" in unsigned.message
    [both] = reaching.signed(replace(lax, signing_key=lambda: "k"), scope)
    assert (both.state, "not signed too" in both.message) == (State.WARNING, True)
    keys = {"SYNC_QUEUE_SIGNING_KEYS": "k" * 20}
    with Backend(tmp_path / "b", token="t" * 20, secret_key="s" * 50, env=keys) as strict:
        peer = RestQueue("django", strict.url, {}, lambda: "t" * 20, lambda: "k" * 20)
        [good] = reaching.signed(peer, scope)
        assert (good.state, good.message) == (State.OK, "django takes signed requests only")


@pytest.mark.stack
def test_a_token_that_may_only_look_and_a_clock_that_is_off_are_told(real: Real) -> None:
    assert real.stack.backend is not None
    real.stack.backend.manage("sync_token", "looker", "--role", "viewer", "--stdin", given="only-looking-at-it")
    looker = replace(real.peer(()), token=lambda: "only-looking-at-it")
    scope = Scope("members", ("member",))
    assert [each.state for each in reaching.answering(looker, scope, wiring.now, 60)] == [State.OK, State.OK]
    with pytest.raises(TerminalBatch, match="403"):
        list(reaching.may_sync(looker, scope))
    [_, clock] = reaching.answering(looker, scope, lambda: wiring.now() - timedelta(minutes=5), 60)
    assert (clock.state, clock.message) == (State.WARNING, "django is +300 s off ours; 60 s are let pass")


def project(real: Real, terminal: Terminal, folder: Path, **env: str) -> Path:
    """Return a folder that holds all that a project has beside its sync.yaml, which the terminal then works with."""
    folder.mkdir()
    shutil.copy(ROOT / "sync.yaml", folder)
    shutil.copy(ROOT / "firestore.rules", folder)
    shutil.copy(ROOT / "requirements.txt", folder)
    shutil.copytree(ROOT / "functions", folder / "functions", ignore=shutil.ignore_patterns("__pycache__"))
    more = {"SYNC_CONFIG": str(folder / "sync.yaml"), "FUNCTIONS_URL": real.stack.functions_url} | env
    terminal.env.write_text(terminal.env.read_text() + "".join(f"{name}={value}\n" for name, value in more.items()))
    return folder


def states(body: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in body["checks"]:
        found.setdefault(each["check"], set()).add(each["state"])
    return found


@pytest.mark.stack
def test_a_stack_that_is_in_order_passes_and_is_not_changed(real: Real, terminal: Terminal, tmp_path: Path) -> None:
    project(real, terminal, tmp_path / "p")
    real.users.call("save", entity="branch", key="n", fields={"name": "one"})
    before = documents(real), real.users.call("dump", entity="branch")
    body = terminal.json("doctor")
    assert body["success"] is True
    good = {"python", "libraries", "configuration", "secrets", "django", "firestore", "clocks", "token", "signing", "contract"}
    good |= {"models", "queues", "trackers", "rules", "triggers"}
    assert states(body) == {name: {"ok"} for name in good} | {name: {"not checked"} for name in ("indexes", "jobs")}
    assert (documents(real), real.users.call("dump", entity="branch")) == before


@pytest.mark.stack
def test_each_trouble_is_a_line_with_its_cure(real: Real, terminal: Terminal, tmp_path: Path) -> None:
    folder = project(real, terminal, tmp_path / "p")
    config = (folder / "sync.yaml").read_text()
    (folder / "sync.yaml").write_text(
        config.replace("phone: text", "phone: integer").replace("token: secret:django-token", "token: secret:log-key")
    )
    text = " ".join(terminal("doctor", code=1).split())
    assert "answered 401; the token (or its signing key) is wrong" in text
    (folder / "sync.yaml").write_text(config.replace("phone: text", "phone: integer"))
    (folder / "functions" / "main.py").write_text(MAIN.replace("track_member_changes", "track_nobody_changes"))
    (folder / "firestore.rules").write_text(re.sub(r"(?s)    match /interests.*?\n    }\n", "", RULES))
    text = " ".join(terminal("doctor", code=1).split())
    for said in (
        "member.phone: is text there and integer here cure: write `type: text` in sync.yaml",
        "functions/main.py has no track_member_changes",
        "firestore.rules has no block for interests",
        "the rules in force in the emulator are not those in firestore.rules cure: ./deploy.sh --only rules",
    ):
        assert said in text
    (folder / "sync.yaml").write_text(config.replace("version: 1", "version: 2"))
    body = terminal.json("doctor", code=1)
    assert states(body)["configuration"] == {"failed"}


@pytest.mark.stack
def test_a_backend_that_is_down_is_one_failure_and_the_rest_is_checked_all_the_same(
    real: Real, terminal: Terminal, tmp_path: Path
) -> None:
    project(real, terminal, tmp_path / "p", DJANGO_URL="http://127.0.0.1:9/api/sync")
    found = states(terminal.json("doctor", code=1))
    assert (found["django"], found["firestore"], found["queues"], found["rules"]) == ({"failed"}, {"ok"}, {"not checked"}, {"ok"})
