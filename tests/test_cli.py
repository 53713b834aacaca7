"""The command line: what it says and with which exit code; and, as a process of its own, against the real stack."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from real import Real
from rich.console import Console, RenderableType
from test_replay import again, refused, world
from test_service import CACHES
from typer.testing import CliRunner
from world import World

from local.bundle import ROOT
from shared import cli_decisions, cli_doctor, cli_init, cli_ojs, cli_overview, cli_privacy, cli_roles, shown
from shared.cli import app
from shared.config import Health
from shared.explain import tell
from shared.facts import gather
from shared.health import pair_health
from shared.model import Problem, RecordId
from shared.rollups import by_day
from shared.statistics import told_of_days

PARTS = (cli_decisions, cli_doctor, cli_init, cli_ojs, cli_overview, cli_privacy, cli_roles)
COMMANDS = ["conflicts", "dead-letters", "doctor", "erase", "explain", "export", "grant", "health", "init", "ojs", "plan"]
COMMANDS += ["reconcile", "replay", "resolve", "revoke", "statistics", "status", "sync"]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "demo-cli")
    monkeypatch.setenv("DJANGO_URL", "http://127.0.0.1:9/api/sync")
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:9")
    monkeypatch.delenv("SYNC_CONFIG", raising=False)
    for cache in CACHES:
        cache.cache_clear()
    yield
    for cache in CACHES:
        cache.cache_clear()


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "100"})
    return done.exit_code, done.output


def test_help_names_every_command_and_every_exit_code() -> None:
    code, said = run("--help")
    assert code == 0
    assert all(part.app is app for part in PARTS)
    assert sorted(line.split()[0] for line in said.partition("Commands:")[2].splitlines() if re.match(r"  \w", line)) == COMMANDS
    for name in COMMANDS:
        code, said = run(name, "--help")
        assert code == 0
        assert [number for number in "01234" if f"{number} " not in said] == [], name
        assert "--json" in said


WRONG = {
    # what is typed, what the answer names
    "no command": ([], "Usage"),
    "a command that is not there": (["nonsense"], "No such command"),
    "a misspelt command": (["statsu"], "Did you mean 'status'"),
    "a misspelt option": (["sync", "--entty", "x"], "Possible options: --entity"),
    "a pair that is not there, to status": (["status", "--pair", "membrs"], "did you mean 'members'?"),
    "an entity that is not there, to plan": (["plan", "--entity", "memberr"], "did you mean 'member'?"),
    "a misspelt role": (["grant", "a@example.org", "viewr"], "did you mean 'viewer'?"),
    "a file that is there already": (["init", "--url", "http://x"], "is there already; --force writes over it"),
    "no key": (["explain", "member"], "Missing argument 'KEY'"),
    "a misspelt entity": (
        ["explain", "membr", "5"],
        "there is no entity 'membr'; did you mean 'member'? there are: branch, interest",
    ),
    "an entity that is like none": (["sync", "--entity", "zzz"], "there is no entity 'zzz'; there are: branch"),
    "a misspelt pair": (["sync", "--pair", "member"], "did you mean 'members'?"),
    "a direction that is not there": (["sync", "--direction", "up"], "there are: django_to_firestore, firestore_to_django"),
    "no changes at all": (["sync", "--max-changes", "0"], "greater than or equal to 1"),
    "a record without its tenant": (["explain", "event", "5"], "name it with --tenant: AK, EGS"),
    "a tenant that is not there": (["explain", "event", "5", "--tenant", "EG"], "did you mean 'EGS'?"),
    "a tenant where there is none": (["explain", "member", "5", "--tenant", "AK"], "there is no tenant 'AK'"),
    "letters by nothing": (["replay"], "name the letters: by id, entity or reason"),
    "a reason that can be none": (["replay", "--reason", "Not Unique"], "reason: String should match"),
    "a side that there is not": (["resolve", "x", "--keep", "left"], "keep: Input should be 'local', 'incoming' or 'value'"),
    "no side at all": (["resolve", "x"], "Missing option '--keep'"),
    "a value that is not given": (["resolve", "x", "--keep", "value"], "`value` goes with keep: value"),
    "a value that is no JSON": (["resolve", "x", "--keep", "value", "--value", "Anna"], "--value is no JSON; a text stands in"),
    "a key without its entity": (["reconcile", "--key", "5"], "keys needs exactly one entity"),
    "a file of settings that is not there": (["--env", "nowhere", "health"], "nowhere cannot be read"),
}


@pytest.mark.parametrize("arguments, said", WRONG.values(), ids=WRONG)
def test_wrong_usage_is_one_sentence_and_exit_code_2(arguments: list[str], said: str) -> None:
    code, output = run(*arguments)
    assert (code, said in " ".join(output.split())) == (2, True), output


def test_a_file_of_settings_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# a comment\n\nDJANGO_URL=http://x\nnonsense\n")
    code, said = run("--env", str(tmp_path / "env"), "health")
    assert (code, "setting 2 is not of the form NAME=VALUE" in said) == (2, True)


def test_a_wrong_configuration_is_said_with_every_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_URL")
    code, said = run("health")
    assert (code, "DJANGO_URL is not set" in said, "--env .local/up/env" in said) == (2, True, True)


def test_with_json_what_went_wrong_is_one_document_too() -> None:
    done = CliRunner().invoke(app, ["sync", "--pair", "nobody", "--json"])
    [error] = json.loads(done.stdout)["errors"]
    assert (done.exit_code, error["exit_code"], "there is no pair 'nobody'" in error["message"]) == (2, 2, True)
    assert done.stderr.startswith("bothways: there is no pair 'nobody'")


def as_a_process(*arguments: str, **env: str) -> tuple[int, str]:
    """Run the program as a shell does, on no stack; return its exit code and all that it said."""
    variables = os.environ | {"COLUMNS": "100"} | env
    done = subprocess.run(
        [str(ROOT / "bothways"), *arguments], env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_every_command_of_the_program_has_its_help_and_refuses_an_option_that_there_is_not() -> None:
    _, said = as_a_process("--help")
    commands = [line.split()[0] for line in said.partition("Commands:")[2].splitlines() if re.match(r"  \w", line)]
    assert sorted(commands) == sorted(COMMANDS)
    for name in commands:
        code, said = as_a_process(name, "--help")
        assert (code, "Usage: bothways" in said, "--json" in said, "Exit codes: 0" in said) == (0, True, True, True), name
        code, said = as_a_process(name, "--jsn")
        assert (code, "--json" in said or "Missing argument" in said, "Traceback" in said) == (2, True, False), (name, said)


WITHOUT_A_STACK = {
    # what is typed, its exit code, what is said: configuration first, then what cannot be reached
    "no configuration": (["status"], {"SYNC_CONFIG": "/nowhere"}, 2, "cannot be read"),
    "no journals": (["ojs"], {}, 2, "sync.yaml has no pair with an OJS"),
    "no journals to ask for": (["ojs", "--health-check", "--journal", "x", "--json"], {}, 2, '"exit_code": 2'),
    "a role that is misspelt": (["grant", "anna@example.is", "viewr"], {}, 2, "did you mean 'viewer'?"),
    "a pair that is misspelt": (["statistics", "--pair", "membrs"], {}, 2, "did you mean 'members'?"),
    "an entity that there is not": (["export", "membr", "1"], {}, 2, "there is no entity 'membr'"),
    "an entity to erase that there is not": (["erase", "membr", "1"], {}, 2, "there is no entity 'membr'"),
    "letters of an entity that there is not": (["dead-letters", "--entity", "membr"], {}, 2, "did you mean 'member'?"),
    "conflicts of an entity that there is not": (["conflicts", "--entity", "membr"], {}, 2, "did you mean 'member'?"),
}


@pytest.mark.parametrize("arguments, env, code, said", WITHOUT_A_STACK.values(), ids=WITHOUT_A_STACK)
def test_what_is_wrong_is_said_by_the_program_in_a_sentence(
    arguments: list[str], env: dict[str, str], code: int, said: str
) -> None:
    found, output = as_a_process(*arguments, **env)
    assert (found, said in output, "Traceback" in output) == (code, True, False), output


SHELLS = {
    # shell, how it asks, what its answer has in it for each command that fits
    "zsh": ({"_TYPER_COMPLETE_ARGS": "bothways sta"}, ('"status"', '"statistics"')),
    "fish": ({"_TYPER_COMPLETE_ARGS": "bothways sta", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}, ("status", "statistics")),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_other_shells_are_offered_the_commands_too(shell: str) -> None:
    asked, offered = SHELLS[shell]
    _, said = as_a_process(_BOTHWAYS_COMPLETE=f"complete_{shell}", **asked)
    assert all(each in said for each in offered), said


COMPLETED = {
    # what stands on the line, what the shell is offered
    "commands": ("bothways sta", {"status", "statistics"}),
    "entities": ("bothways explain m", {"member"}),
    "pairs": ("bothways sync --pair ", {"members"}),
}


@pytest.mark.parametrize("typed, offered", COMPLETED.values(), ids=COMPLETED)
def test_the_shell_completes_commands_and_what_sync_yaml_names(typed: str, offered: set[str]) -> None:
    words = {"_BOTHWAYS_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = subprocess.run(
        [str(ROOT / "bothways")], env=os.environ | words, capture_output=True, text=True, timeout=60, check=False
    )
    assert set(done.stdout.split()) == offered, done.stderr


def test_the_shell_is_offered_nothing_where_sync_yaml_cannot_be_read() -> None:
    words = {
        "_BOTHWAYS_COMPLETE": "complete_bash",
        "COMP_WORDS": "bothways explain ",
        "COMP_CWORD": "2",
        "SYNC_CONFIG": "/nowhere",
    }
    done = subprocess.run(
        [str(ROOT / "bothways")], env=os.environ | words, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def on_a_terminal(*arguments: str, env: dict[str, str] | None = None) -> tuple[str, str]:
    """Return what a command prints on stdout, and what appears on the terminal that is its stderr."""
    mine, its = pty.openpty()
    with os.fdopen(mine, "rb", buffering=0) as screen:
        child = subprocess.Popen(
            [str(ROOT / "bothways"), *arguments], env=os.environ | (env or {}), stdout=subprocess.PIPE, stderr=its, text=True
        )
        os.close(its)
        seen = bytearray()
        with suppress(OSError):  # what Linux says once nobody holds the other end any more
            while part := screen.read(4096):
                seen += part
        said, _ = child.communicate(timeout=60)
    return said, seen.decode()


# What people see


def screen(parts: Iterable[RenderableType], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    for part in parts:
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    return str(text)


def runs(w: World, report: Any) -> str:
    return screen(shown.runs({"runId": "run-1", "result": {"pairs": {"things": report.as_json()}}, "errors": []}))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_story_shows_both_values_of_a_conflict_and_which_one_stands(width: int) -> None:
    w = world()
    w.d_save("x", a="581 2345")
    w.clock.tick(60)
    w.f_update("x", a="555 0199")
    w.deliver_all()
    w.settle()
    text = screen(shown.story(tell(gather(w.pair, w.id("x"), w.store), w.clock()).as_json()), width)
    assert text.startswith("thing x: equal on both sides\n")
    flat = " ".join(text.split())
    assert 'conflict over a: django: "581 2345", firestore: "555 0199"' in flat
    assert "firestore's won over django's of 2026-01-01 01:00:00 (last_write_wins), run run-5" in flat
    assert 'overtook "581 2345"' in flat


def test_a_story_shows_both_sides_of_a_field_that_differs() -> None:
    w = world()
    w.d_save("x", a=1)
    w.f_update("x", b=2)
    text = screen(shown.story(tell(gather(w.pair, w.id("x"), w.store), w.clock()).as_json()))
    assert "django: 1" in text
    assert "firestore: 0" in text
    assert "edited, and not adopted yet" in text


def test_a_plan_shows_record_by_record_what_would_be_written_and_what_it_costs() -> None:
    w = world()
    w.d_save("x", a=1, b=None)
    text = runs(w, w.sync(dry_run=True))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[lines.index("django to firestore") :][1:4] == [
        "record field from to why",
        "update thing x a 0 1 applied",
        "b 0 null applied",
    ]
    assert "it would be billed: " in text


def test_a_held_flood_shows_how_to_let_it_pass() -> None:
    w = World()
    for number in range(60):
        w.d_save(f"k{number}", a=1)
    w.settle()
    for number in range(60):
        w.d_delete(f"k{number}")
    report = w.sync()
    assert f"--allow-mass-delete {report.brakes[0].plan}" in " ".join(runs(w, report).split())


def test_what_stopped_a_run_is_shown() -> None:
    w = World()
    for number in range(9):
        w.d_save(f"k{number}", a=1)
    assert "stopped by its changes; the next run goes on" in runs(w, w.sync(max_changes=3))


def test_statistics_are_shown_by_day_or_by_month_with_all_of_them_together() -> None:
    w = world()
    w.clock.time = datetime(2026, 1, 30, 12, tzinfo=UTC)
    for day in range(4):
        w.d_save("x", a=day)
        w.sync()
        w.clock.time += timedelta(days=1)
    days = by_day(w.store, "things", 4, w.clock())
    text = screen(shown.statistics({"things": told_of_days(days, by_months=False)}))
    assert [line.split()[:4] for line in text.splitlines()[2:]] == [
        ["2026-01-31", "1", "100.0%", "1"],
        ["2026-02-01", "1", "100.0%", "1"],
        ["2026-02-02", "1", "100.0%", "1"],
        ["all", "3", "100.0%", "3"],
    ]
    assert "0.0000 USD" in text
    text = screen(shown.statistics({"things": told_of_days(days, by_months=True)}))
    assert [line.split()[:2] for line in text.splitlines()[2:]] == [["2026-01", "1"], ["2026-02", "2"], ["all", "3"]]
    assert "all" in screen(shown.statistics({"things": told_of_days({}, by_months=True)}))


def test_health_shows_each_trouble_with_its_cure_and_the_tenants_that_wait() -> None:
    w = world()
    refused(w)
    w.pair = replace(w.pair, tenants={"thing": ("AK", "RVK")})
    letter = Problem("type", "is none", record=RecordId("thing", "x", "AK"))
    w.store.refuse("things", "django", {"c1": (None, letter)}, "r", w.clock())
    found = pair_health(w.pair, Health(), w.store, w.clock())
    text = " ".join(screen(shown.health({"result": {"pairs": {"things": found}}})).split())
    assert "pair things: needs somebody" in text
    assert (
        "AK: 0 pending in django, 0 pending in firestore, 1 dead letters, 0 open conflicts; last success 2026-01-01 01:00:00"
        in text
    )
    assert "RVK: " not in text
    assert "dead-letters: 2 dead letters wait for somebody `./bothways dead-letters` says why" in text


def test_letters_and_what_became_of_them_are_shown() -> None:
    w = world()
    refused(w)
    text = screen(shown.letters([shown.letter(each) for each in w.store.letters("things", {}, 9)]))
    assert "unique: another record has it (1 attempt(s))\n1 open dead letter" in text
    w.django.refused = ()  # type: ignore[attr-defined]
    body = {"result": {"letters": [each.as_json() for each in again(w, entity="thing")], "left_over": False}}
    assert "  replayed\n1 letter\n" in screen(shown.replayed(body))


def test_a_value_that_no_utf8_can_say_is_shown_all_the_same() -> None:
    w = world()
    told = tell(gather(w.pair, w.id("x"), w.store), w.clock()).as_json()
    told["events"][0]["fields"]["a"] = "\ud800"
    assert "\\ud800" in screen(shown.story(told))


def test_the_status_of_all_pairs_is_one_table() -> None:
    w = world()
    refused(w)
    w.d_save("x", a=1)
    found = pair_health(w.pair, Health(), w.store, w.clock()) | {"sides": ["django", "firestore"]}
    lines = screen(shown.status({"result": {"pairs": {"things": found}}, "errors": [{}]}), 120).splitlines()
    assert lines[0].split("  ")[0] == "pair"
    assert lines[1].split() == ["things", "dead-letters", "django", "1", *lines[1].split()[4:8], "0", "1"]
    assert lines[2].split() == ["firestore", "0"]
    assert "`./bothways health`" in lines[3]
    found["peers"].pop("django")
    assert "django (no answer)" in screen(shown.status({"result": {"pairs": {"things": found}}, "errors": []}), 120)


# The real thing


class Terminal:
    """The program as it is called, on the stack, in a folder of its own and through a link."""

    def __init__(self, real: Real, folder: Path) -> None:
        config = real.stack.folder.parent / "sync.yaml"
        self.folder, self.env = folder, folder / "env"
        self.env.write_text(
            "".join(f"{name}={value}\n" for name, value in (real.stack.env | {"SYNC_CONFIG": str(config)}).items())
        )
        (folder / "b").symlink_to(ROOT / "bothways")

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [str(self.folder / "b"), "--env", str(self.env), *arguments]
        clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"COLUMNS": "100", "USER": "gunnar"}
        done = subprocess.run(command, cwd=self.folder, env=clean, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = self.run(*arguments, code=code)
        return done.stdout + done.stderr

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code).stdout)


@pytest.fixture
def terminal(real: Real, tmp_path: Path) -> Terminal:
    return Terminal(real, tmp_path)


MEMBER = {"name": "Anna", "active": True, "visits": 1}


def documents(real: Real) -> dict[str, Any]:
    """Return every document that there is, the sync's own too."""
    return {row.reference.path: row.to_dict() for each in real.firestore.collections() for row in each.stream()}


@pytest.mark.stack
def test_a_dry_run_on_real_parts_writes_nothing_and_the_run_that_follows_does_just_that(real: Real, terminal: Terminal) -> None:
    for number in range(12):
        real.users.call("save", entity="member", key=f"m{number}", fields=MEMBER)
    real.sync()
    real.users.call("save", entity="member", key="m1", fields={"phone": "581"})
    real.firestore.document("members/m1").update({"phone": "555"})
    real.firestore.document("members/m2").update({"visits": 7})
    real.firestore.document("members/m3").delete()
    real.users.call("delete", entity="member", key="m4")
    real.users.call("save", entity="member", key="new", fields=MEMBER)
    real.wait_for_queue(3)
    before = documents(real)
    told = terminal.json("sync", "--dry-run")["result"]["pairs"]["members"]
    assert documents(real) == before
    assert (told["billed"]["writes"], told["billed"]["deletes"]) == (0, 0)
    done = terminal.json("sync")["result"]["pairs"]["members"]
    assert told["directions"] == done["directions"]
    assert told["conflicts"] == done["conflicts"] == 1
    forecast, billed = sum(told["forecast"].values()), sum(done["billed"].values())
    assert abs(forecast - billed) <= 0.05 * billed, f"foretold {told['forecast']}, billed {done['billed']}"
    steps = {(row["direction"], row["key"], row["action"], row["field"]) for row in told["plan"] if row["action"] != "none"}
    assert {
        ("firestore_to_django", "m1", "update", "phone"),
        ("firestore_to_django", "m2", "update", "visits"),
        ("firestore_to_django", "m3", "delete", None),
        ("django_to_firestore", "m4", "delete", None),
        ("django_to_firestore", "new", "create", "name"),
    } <= steps
    assert real.users.call("dump", entity="member")["m1"]["phone"] == "555"
    assert real.document("members/m4") is None


@pytest.mark.stack
def test_status_and_plan_tell_what_a_sync_then_does(real: Real, terminal: Terminal) -> None:
    real.users.call("save", entity="branch", key="n", fields={"name": "one"})
    [pair] = terminal.json("status")["result"]["pairs"].values()
    assert {name: each["pending"] for name, each in pair["peers"].items()} == {"django": 1, "firestore": 0}
    assert "django 1" in terminal("status")
    text = terminal("plan")
    assert " ".join(text.split()).index('record field from to why create branch n name nothing "one" applied') > 0
    planned, rehearsed = (terminal.json(*asked)["result"]["pairs"]["members"] for asked in (["plan"], ["sync", "--dry-run"]))
    assert (planned["plan"], planned["forecast"]) == (rehearsed["plan"], rehearsed["forecast"])
    assert real.document("branches/n") is None
    terminal("sync")
    assert real.document("branches/n") == {"name": "one", "city": ""}
    assert terminal.json("plan")["result"]["pairs"]["members"]["plan"] == []


@pytest.mark.stack
def test_a_bar_is_shown_on_a_terminal_and_the_log_where_it_is_asked_for(real: Real, terminal: Terminal) -> None:
    for number in range(3):
        real.users.call("save", entity="branch", key=f"b{number}", fields={"name": "one"})
    said, seen = on_a_terminal("--env", str(terminal.env), "sync", "--json")
    assert json.loads(said)["success"] is True
    assert ("sync" in seen, "3 changes" in seen) == (True, True), seen
    said, seen = on_a_terminal("--env", str(terminal.env), "reconcile", "--entity", "branch")
    assert ("pair members, run" in said, "3 records compared" in seen) == (True, True), seen
    done = terminal.run("--verbose", "sync", "--json")
    assert json.loads(done.stdout)["success"] is True
    assert {json.loads(line)["event"] for line in done.stderr.splitlines()} >= {"sync_start", "sync_ok"}
    assert terminal.run("sync").stderr == ""


@pytest.mark.stack
def test_explain_tells_why_a_phone_number_came_back(real: Real, terminal: Terminal) -> None:
    real.users.call("save", entity="member", key="a/b þ", fields=MEMBER)
    real.sync()
    real.users.call("save", entity="member", key="a/b þ", fields={"phone": "581"})
    real.firestore.document("members/a%2Fb þ").update({"phone": "555"})
    real.wait_for_queue(1)
    real.sync()
    text = " ".join(terminal("explain", "member", "a/b þ").split())
    assert text.startswith("member a/b þ: equal on both sides")
    assert 'conflict over phone: django: "581", firestore: "555" firestore\'s won over django\'s' in text
    told = terminal.json("explain", "member", "a/b þ")
    [phone] = [each for each in told["fields"] if each["field"] == "phone"]
    assert (phone["state"], [each["value"] for each in phone["overtook"]]) == ("equal", ["581"])
    assert terminal("explain", "member", "nobody", code=1).startswith("bothways: nothing is known of this member")


@pytest.mark.stack
def test_a_record_of_a_tenant_has_its_own_story(real: Real, terminal: Terminal) -> None:
    real.firestore.document("branches/AK/events/e1").set({"title": "Here"})
    real.firestore.document("branches/RVK/events/e1").set({"title": "There"})
    real.wait_for_queue(2)
    text = terminal("explain", "event", "e1", "--tenant", "AK")
    assert ("event e1 of AK" in text, "Here" in text, "There" in text) == (True, True, False)


@pytest.mark.stack
def test_a_dead_letter_is_listed_replayed_once_its_cause_is_mended_and_health_follows(real: Real, terminal: Terminal) -> None:
    assert "all is well" in terminal("health")
    real.users.call("save", entity="member", key="1", fields=MEMBER | {"email": "a@example.is"})
    real.users.call("save", entity="member", key="2", fields=MEMBER)
    real.sync()
    real.firestore.document("members/2").update({"email": "a@example.is"})
    real.wait_for_queue(1)
    terminal("sync", code=3)
    assert "1 dead letter waits for somebody" in terminal("health", code=3)
    [letter] = terminal.json("dead-letters")
    assert (letter["key"], letter["attempts"]) == ("2", 1)
    assert "refused" in terminal("replay", "--id", letter["id"], code=3)
    real.users.call("save", entity="member", key="1", fields={"email": "b@example.is"})
    assert "replayed" in terminal("replay", "--reason", letter["reason"])
    assert real.users.call("dump", entity="member")["2"]["email"] == "a@example.is"
    assert [row["sync_status"] for row in real.rows("sync_queue", key="2")] == ["synced"]
    notes = {row["by"] for row in real.rows("sync_audit")}
    assert notes == {"gunnar"}
    assert "all is well" in terminal("health")
    assert "there is no dead letter 'never'" in terminal("replay", "--id", "never", code=1)


@pytest.mark.stack
def test_the_value_that_lost_is_brought_back_by_one_command(real: Real, terminal: Terminal) -> None:
    real.users.call("save", entity="member", key="1", fields=MEMBER)
    real.sync()
    real.users.call("save", entity="member", key="1", fields={"phone": "581"})
    real.firestore.document("members/1").update({"phone": "555"})
    real.wait_for_queue(1)
    real.sync()
    [conflict] = real.rows("sync_conflicts")
    loser = "local" if conflict["winner"] == "incoming" else "incoming"
    said = terminal("resolve", conflict["__id__"], "--keep", loser, "--note", "asked the member")
    assert f"member, phone: the {loser} side was kept by gunnar, and written to both sides" in " ".join(said.split())
    assert real.users.call("dump", entity="member")["1"]["phone"] == "581"
    document = real.document("members/1")
    assert document is not None
    assert document["phone"] == "581"
    assert real.moved(real.sync()) == 0
    assert "was resolved by gunnar" in terminal("resolve", conflict["__id__"], "--keep", loser, code=1)
    assert "there is no conflict 'never'" in terminal("resolve", "never", "--keep", "local", code=1)
    refused = terminal("resolve", conflict["__id__"], "--keep", "value", "--value", "[1]", "--again", code=2)
    assert "phone" in refused


@pytest.mark.stack
def test_a_quick_reconcile_and_one_of_a_single_key_mend_what_differs(real: Real, terminal: Terminal) -> None:
    for key in ("1", "2"):
        real.users.call("save", entity="branch", key=key, fields={"name": key})
    real.sync()
    real.users.call("raw", entity="branch", key="1", fields={"name": "raw"})
    told = terminal.json("reconcile", "--entity", "branch", "--quick")["result"]["pairs"]["members"]
    assert (told["reconciled"]["branch"]["mode"], told["reconciled"]["branch"]["different"]) == ("quick", 1)
    real.users.call("raw", entity="branch", key="2", fields={"name": "raw too"})
    terminal("reconcile", "--entity", "branch", "--key", "2")
    assert {row["__id__"]: row["name"] for row in real.rows("branches")} == {"1": "raw", "2": "raw too"}


@pytest.mark.stack
def test_replay_over_http_answers_404_with_the_id_and_does_what_the_command_line_does(real: Real) -> None:
    answer = real.call("replay_dead_letters", {"id": "never-heard-of"})
    assert (answer.status_code, "'never-heard-of'" in answer.json()["errors"][0]["message"]) == (404, True)
    assert real.call("replay_dead_letters", {}).status_code == 400
    assert real.call("replay_dead_letters", {"entity": "ghost"}).status_code == 400
    assert real.call("replay_dead_letters", {"reason": "unique"}, token="wrong").status_code == 401
    real.users.call("save", entity="member", key="1", fields=MEMBER)
    real.sync()
    real.firestore.document("members/1").update({"active": "neither"})
    real.wait_for_queue(1)
    real.sync()
    real.firestore.document("members/1").update({"active": False})
    real.wait_for_queue(1)
    real.sync()
    answer = real.call("replay_dead_letters", {"entity": "member"})
    assert answer.status_code == 200
    assert answer.json()["result"]["counts"] == {"superseded": 1}, answer.text
    assert real.users.call("dump", entity="member")["1"]["active"] is False
    [row] = real.rows("sync_dead_letters")
    assert (row["status"], "expire_at" in row) == ("superseded", True)


@pytest.mark.stack
def test_conflicts_are_listed_with_both_values(real: Real, terminal: Terminal) -> None:
    real.users.call("save", entity="branch", key="n", fields={"name": "one"})
    real.sync()
    real.users.call("save", entity="branch", key="n", fields={"name": "two"})
    real.firestore.document("branches/n").update({"name": "three"})
    real.wait_for_queue(1)
    real.sync()
    text = terminal("conflicts")
    assert ('"two"' in text, '"three" (stands)' in text) == (True, True)
    assert [each["field"] for each in terminal.json("conflicts", "--entity", "branch")] == ["name"]
    assert terminal.json("conflicts", "--entity", "member") == []


@pytest.mark.stack
def test_a_pair_that_is_being_synced_and_a_backend_that_is_down_have_exit_codes_of_their_own(
    real: Real, terminal: Terminal
) -> None:
    lease = real.firestore.document("sync_leases/members")
    lease.set({"run_id": "the-first", "until": datetime(2100, 1, 1, tzinfo=UTC), "last": {}})
    assert "the-first" in terminal("sync", code=4)
    lease.delete()
    terminal.env.write_text(terminal.env.read_text() + "DJANGO_URL=http://127.0.0.1:9/api/sync\n")
    assert "is the backend running" in " ".join(terminal("sync", code=1).split())
    assert "is the backend running" in " ".join(terminal("health", code=3).split())
    assert "is the backend running" in terminal("explain", "member", "1", code=1)


@pytest.mark.stack
def test_a_reconciliation_from_the_command_line_mends_what_no_trigger_saw(real: Real, terminal: Terminal) -> None:
    real.users.call("save", entity="branch", key="n", fields={"name": "one"})
    real.sync()
    real.firestore.document("branches/n").delete()
    real.wait_for_triggers()
    for row in real.rows("sync_queue"):
        real.firestore.document(f"sync_queue/{row['__id__']}").delete()
    told = terminal.json("reconcile", "--entity", "branch", "--dry-run")["result"]["pairs"]["members"]
    assert real.users.call("dump", entity="branch") != {}
    done = terminal.json("reconcile", "--entity", "branch")["result"]["pairs"]["members"]
    assert (told["reconciled"], told["directions"]) == (done["reconciled"], done["directions"])
    assert sum(told["forecast"].values()) == sum(done["billed"].values())
    assert real.users.call("dump", entity="branch") == {}
