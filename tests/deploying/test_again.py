"""deploy.sh as a whole, against gcloud and firebase that keep what they made: again, cut off, failing, paused, taken back."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from deploying.google import Google, serve
from deploying.trees import ARGUMENTS, PROJECT, deploy, made, pretended, program

MAIL = ("--alerts-to", "watch@example.org")


def deployed(tree: Path, env: dict[str, str], token: Path, *more: str) -> subprocess.CompletedProcess[str]:
    done = deploy(tree, *ARGUMENTS, *MAIL, "--secret", f"django-token={token}", *more, env=env)
    assert done.returncode == 0, done.stderr
    return done


def verbs(env: dict[str, str], since: int = 0) -> list[str]:
    """Return what was run that makes something."""
    ran = [" ".join(each["words"][:5]) for each in made(env)["ran"][since:]]
    return [each for each in ran if " create" in each]


def names(env: dict[str, str]) -> dict[str, list[str]]:
    return {kind: sorted(known) for kind, known in made(env)["there"].items() if known}


@pytest.fixture(scope="module")
def first(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """One deployment that nothing disturbed: what it printed, and what is there after it."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "token").write_text("a-secret-of-django\n")
    google = Google()
    server = serve(google)
    env = pretended(folder, google)
    done = deployed(tree, env, folder / "token")
    server.shutdown()
    server.server_close()
    return done, made(env)


@pytest.fixture
def whole(first: tuple[Any, dict[str, Any]], env: dict[str, str]) -> dict[str, Any]:
    """What is there after that deployment, in a project of one's own."""
    Path(env["PRETENDED"]).write_text(json.dumps(first[1]))
    return names(env)


def test_an_empty_project_gets_everything(whole, env):
    jobs = ["bothways-full-members", "bothways-health", "bothways-nightly-members", "bothways-quick-members"]
    assert whole["scheduler jobs"] == jobs
    assert whole["iam service-accounts"] == ["bothways-builder", "bothways-caller", "bothways-functions"]
    assert whole["functions"] == ["bidirectional_sync", "reconcile", "sync_health", "track_member_changes"]
    assert whole["secrets"] == ["django-token", "log-key", "operator-token"]
    assert whole["tasks queues"] == ["bothways"]
    assert (len(whole["logging metrics"]), len(whole["alpha monitoring policies"])) == (9, 10)


def test_a_second_run_makes_nothing_twice(whole, tree, env, token_file):
    before = len(made(env)["ran"])
    deployed(tree, env, token_file)
    assert verbs(env, before) == []
    assert names(env) == whole
    again = [" ".join(each["words"][:4]) for each in made(env)["ran"][before:]]
    assert again.count("scheduler jobs update http") == 4
    assert [each for each in again if each.startswith(("firestore", "run "))] == []
    (reconcile,) = [
        each["words"] for each in made(env)["ran"][before:] if each["words"][:3] == ["functions", "deploy", "reconcile"]
    ]
    assert "SYNC_AUDIENCES=https://europe-west1-demo-project.cloudfunctions.net/reconcile,https://reconcile.example|" in " ".join(
        reconcile
    )


def test_killed_half_way_a_run_is_completed_by_the_next(tree, env, token_file, whole, tmp_path, google):
    cut = {**env, "PRETENDED": str(tmp_path / "other.json")}
    command = [str(tree / "deploy.sh"), *ARGUMENTS, *MAIL, "--secret", f"django-token={token_file}"]
    with subprocess.Popen(command, env=cut, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while len(made(cut)["ran"]) < 25:
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert names(cut) != whole
    deployed(tree, cut, token_file)
    assert names(cut) == whole


def test_a_failure_says_what_is_done_and_that_running_again_is_safe(tree, env, token_file):
    failing = env | {"PRETEND_TO_FAIL_AT": "tasks queues create", "PRETEND_TO_SAY": "PERMISSION_DENIED: not for you"}
    done = deploy(tree, *ARGUMENTS, "--secret", f"django-token={token_file}", env=failing)
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("deploy.sh")]
    assert done.returncode == 1
    assert "(gcloud) PERMISSION_DENIED: not for you (let the project's owner grant you the role named above)" in line
    assert "steps are done and stay so; running this again is safe and goes on" in line
    deployed(tree, env, token_file)


def test_a_secret_reaches_standard_input_and_nothing_else(first):
    done, kept = first
    (given,) = [each["given"] for each in kept["ran"] if each["words"][:3] == ["secrets", "create", "django-token"]]
    assert given == "a-secret-of-django"
    printed = done.stdout + done.stderr + " ".join(word for each in kept["ran"] for word in each["words"])
    secrets = [each["given"] for each in kept["ran"] if each["given"]]
    assert len(secrets) == 3
    assert [secret for secret in secrets if secret in printed] == []


def test_while_it_runs_no_secret_is_in_the_list_of_processes(tree, env, token_file, tmp_path):
    real = (tmp_path / "bin/gcloud").read_text().removeprefix("#!/bin/sh\n")
    listing = f'#!/bin/sh\ncat /proc/[0-9]*/cmdline /proc/$PPID/environ >> "{tmp_path}/processes" 2>/dev/null\n'
    program(tmp_path / "bin/gcloud", listing + real)
    deployed(tree, env, token_file)
    processes = (tmp_path / "processes").read_bytes().decode(errors="replace")
    assert "secrets\0create\0django-token" in processes
    assert [each["given"] for each in made(env)["ran"] if each["given"] and each["given"] in processes] == []


def test_secrets_of_our_own_are_made_up_and_never_changed_by_a_second_run(whole, tree, env, token_file):
    deployed(tree, env, token_file)
    ran = [each for each in made(env)["ran"] if each["given"]]
    assert [each["words"][:3] for each in ran] == [
        ["secrets", "create", "django-token"],
        ["secrets", "create", "operator-token"],
        ["secrets", "create", "log-key"],
        ["secrets", "versions", "add"],
    ]
    assert all(len(each["given"]) >= 40 for each in ran[1:3])


def test_the_end_tells_addresses_a_call_and_what_to_check(first):
    address = f"https://europe-west1-{PROJECT}.cloudfunctions.net/sync_health"
    assert f"\n  {address}\n" in first[0].stdout
    assert "curl -H @<(printf 'Authorization: Bearer %s' \"$(gcloud auth print-identity-token" in first[0].stdout
    asking = [each for each in first[0].stdout.splitlines() if "print-identity-token" in each]
    assert len(asking) == 2
    assert all("--include-email" in each for each in asking), "without it the token does not say whose it is, and is refused"
    assert "health answers 200" in first[0].stdout


def test_jobs_that_nothing_names_any_more_are_deleted(whole, tree, env, token_file, tmp_path):
    state = made(env)
    state["there"]["scheduler jobs"] |= {name: {"name": f"x/{name}"} for name in ("bothways-nightly-gone", "somebody-elses")}
    Path(env["PRETENDED"]).write_text(json.dumps(state))
    deployed(tree, env, token_file)
    assert names(env)["scheduler jobs"] == [*whole["scheduler jobs"], "somebody-elses"]


def test_pausing_stops_jobs_and_queue_and_resuming_starts_them(whole, tree, env):
    for option, state in (("--pause", "PAUSED"), ("--resume", "ENABLED")):
        assert deploy(tree, "--project", PROJECT, option, env=env).returncode == 0
        there = made(env)["there"]
        assert {each["state"] for kind in ("scheduler jobs", "tasks queues") for each in there[kind].values()} == {state}


def test_destroying_lists_and_asks_and_leaves_data(whole, tree, env):
    before = made(env)["ran"]
    done = deploy(tree, "--project", PROJECT, "--destroy", env=env, typed="yes\n")
    assert (done.returncode, names(env)) == (1, whole)
    assert "gcloud functions delete reconcile" in done.stdout
    assert "nothing was removed" in done.stderr
    done = deploy(tree, "--project", PROJECT, "--destroy", env=env, typed=f"{PROJECT}\n")
    assert done.returncode == 0, done.stderr
    removed = [each["words"] for each in made(env)["ran"][len(before) :]]
    assert removed[0][2:4] == ["hosting:disable", "--force"], "no page is served that asks for what is gone"
    left = set(names(env)) - {"firebase", "services"}
    assert left == {"firestore databases", "firestore indexes composite", "firestore indexes fields", "firestore fields ttls"}
    assert deploy(tree, "--project", PROJECT, "--destroy", env=env).stdout == "there is nothing to do\n"


def test_a_dry_run_of_what_is_there_shows_changes_and_makes_none(whole, tree, env, tmp_path):
    before = made(env)
    done = deploy(tree, *ARGUMENTS, "--only", "scheduler", "--dry-run", env=env)
    assert (done.returncode, made(env)) == (0, before)
    assert [line.split()[3] for line in done.stdout.splitlines()] == ["update"] * 5


def test_a_dry_run_of_a_project_that_tells_nothing_yet_shows_everything(tree, env, tmp_path):
    asking = (tmp_path / "bin/gcloud").read_text().removeprefix("#!/bin/sh\n")
    disabled = '#!/bin/sh\ncase "$*" in *" list "*) echo "ERROR: SERVICE_DISABLED" >&2; exit 1;; esac\n'
    program(tmp_path / "bin/gcloud", disabled + asking)
    done = deploy(tree, *ARGUMENTS, "--only", "scheduler", "--dry-run", env=env)
    assert done.returncode == 0, done.stderr
    assert [line.split()[3] for line in done.stdout.splitlines()] == ["create"] * 5


def test_rolling_back_sends_calls_to_the_revision_before(whole, tree, env):
    state = made(env)
    service = {
        "metadata": {"name": "x"},
        "status": {"traffic": [{"revisionName": "r-2", "percent": 100}, {"revisionName": "r-1"}]},
    }
    state["there"] |= {
        "run services": {"x": service},
        "run revisions": {n: {"metadata": {"name": n}} for n in ("r-3", "r-2", "r-1")},
    }
    Path(env["PRETENDED"]).write_text(json.dumps(state))
    done = deploy(tree, "--project", PROJECT, "--rollback", env=env)
    assert done.returncode == 0, done.stderr
    moved = [each["words"][3:7:3] for each in made(env)["ran"] if each["words"][:3] == ["run", "services", "update-traffic"]]
    assert moved == [
        [name, "--to-revisions=r-1=100"] for name in ("bidirectional-sync", "reconcile", "sync-health", "track-member-changes")
    ]


def test_a_function_with_one_revision_cannot_go_back(whole, tree, env):
    done = deploy(tree, "--project", PROJECT, "--rollback", env=env)
    assert done.returncode == 1
    assert "bidirectional-sync has no revision before the one that is called" in done.stderr
