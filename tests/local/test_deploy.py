"""deploy.sh: what it would run, and that the real gcloud understands it."""

import itertools
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from local.deployment import functions, jobs
from local.errors import StackError
from local.triggers import triggers
from shared.service import ReconcileRequest, SyncRequest

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = {"bidirectional_sync": "http", "reconcile": "http"}
ARGUMENTS = ("--dry-run", "--project", "demo-project", "--django-url", "https://django.example/felagar/api/sync")


@pytest.fixture
def deployable(tree: Path) -> Path:
    """The made-up work tree with the real deploy.sh in it, and this Python instead of a .venv."""
    shutil.copytree(ROOT / "local", tree / "local", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "scheduler", tree / "scheduler")
    shutil.copy(ROOT / "deploy.sh", tree)
    (tree / "local/venv.sh").write_text("exit 0\n")
    python = tree / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    return tree


def deploy(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(tree / "deploy.sh"), *arguments]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)


def commands(tree: Path) -> list[list[str]]:
    done = deploy(tree, *ARGUMENTS)
    assert (done.returncode, done.stderr) == (0, "")
    return [shlex.split(line) for line in done.stdout.splitlines()]


def test_a_dry_run_prints_every_command_in_order(deployable):
    assert [command[:5] for command in commands(deployable)] == [
        ["firebase", "deploy", "--only", "firestore:rules,firestore:indexes", "--project"],
        ["gcloud", "functions", "deploy", "bidirectional_sync", "--project"],
        ["gcloud", "functions", "add-invoker-policy-binding", "bidirectional_sync", "--project"],
        ["gcloud", "functions", "deploy", "reconcile", "--project"],
        ["gcloud", "functions", "add-invoker-policy-binding", "reconcile", "--project"],
        ["gcloud", "functions", "deploy", "track_member_changes", "--project"],
        *(["gcloud", "scheduler", "jobs", "create", "http"] for _ in range(3)),
    ]


def test_the_nightly_job_calls_the_sync_with_a_signed_token(deployable):
    job = commands(deployable)[-3]
    options = dict(itertools.pairwise(job))
    url = "https://europe-west1-demo-project.cloudfunctions.net/bidirectional_sync"
    assert options["--schedule"] == "30 3 * * *"
    assert options["--time-zone"] == "Atlantic/Reykjavik"
    assert (options["--uri"], options["--oidc-token-audience"]) == (url, url)
    assert (options["--attempt-deadline"], options["--max-retry-attempts"]) == ("1800s", "3")


def test_whole_peers_are_compared_quickly_each_night_and_fully_once_a_week(deployable):
    wanted = []
    for job in commands(deployable)[-2:]:
        options = dict(itertools.pairwise(job))
        wanted.append((job[5], options["--schedule"], options["--uri"].rpartition("/")[2], json.loads(options["--message-body"])))
    assert wanted == [
        ("bothways-quick-members", "30 4 * * 1-6", "reconcile", {"pair": "members", "mode": "quick"}),
        ("bothways-full-members", "30 4 * * 0", "reconcile", {"pair": "members", "mode": "full"}),
    ]


def test_the_bodies_of_the_jobs_are_what_their_functions_take():
    kinds = {"bidirectional_sync": SyncRequest, "reconcile": ReconcileRequest}
    for job in yaml.safe_load((ROOT / "scheduler/jobs.yaml").read_text())["jobs"]:
        kinds[job["function"]].model_validate(job.get("body", {}))


def test_functions_are_told_that_iam_guards_them_and_nobody_else_gets_in(deployable):
    _, http, binding, _, _, event, *_ = commands(deployable)
    for command in (http, event):
        (env,) = [part for part in command if part.startswith("--set-env-vars=")]
        assert env.removeprefix("--set-env-vars=").split(",") == [
            "GOOGLE_CLOUD_PROJECT=demo-project",
            "DJANGO_URL=https://django.example/felagar/api/sync",
            "SYNC_TRUST_IAM=1",
        ]
    assert "--no-allow-unauthenticated" in http
    assert "--retry" in event
    assert binding[-1] == "serviceAccount:bothways@demo-project.iam.gserviceaccount.com"


@pytest.mark.stack
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="no gcloud on this machine")
def test_the_real_gcloud_parses_every_command(deployable, tmp_path):
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path / "gcloud")}
    program = str(shutil.which("gcloud"))
    for command in (command for command in commands(deployable) if command[0] == "gcloud"):
        arguments = [
            str(deployable / "functions") if before == "--source" else part for before, part in itertools.pairwise(command)
        ]
        done = subprocess.run([program, *arguments], env=env, capture_output=True, text=True, check=False)
        # 2: the parser refused it. 1, for want of an account: it was about to be sent.
        assert (done.returncode, "active account" in done.stderr) == (1, True), done.stderr


def test_staging_alone_needs_no_project(deployable, tmp_path):
    assert deploy(deployable, "--stage", str(tmp_path / "bundle")).returncode == 0
    assert (tmp_path / "bundle/main.py").is_file()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--dry-run"], "name the project: --project ID"),
        (["--project", "p"], "name the backend: --django-url URL"),
        (["--project"], "--project needs a value"),
        (["--frobnicate"], "unknown option --frobnicate"),
    ],
)
def test_a_wrong_call_is_one_sentence(deployable, arguments, complaint):
    done = deploy(deployable, *arguments)
    assert (done.returncode, done.stderr.startswith(f"deploy.sh: {complaint}")) == (2, True)


def test_a_tracker_without_a_pattern_is_refused():
    with pytest.raises(StackError, match=r"event functions \['track_a'\] and triggers \['track_b'\] differ"):
        list(functions({"track_a": "cloudevent"}, {"track_b": "b/{id}"}))


@pytest.mark.parametrize(
    ("change", "complaint"), [({"function": "nothing"}, "bothways-nightly calls nothing"), ({"name": None}, "None calls nothing")]
)
def test_a_job_that_calls_no_function_is_refused(change, complaint):
    content = yaml.safe_load((ROOT / "scheduler/jobs.yaml").read_text())
    content["jobs"][0] |= {"function": "nothing"} | change
    with pytest.raises(StackError, match=complaint):
        list(jobs(content, FUNCTIONS, {"members": {}}))


@pytest.mark.parametrize("text", ["", "pairs: {}\nx: [", "pairs: [a]", "pairs: {a: {entities: {b: {}}}}"])
def test_a_sync_yaml_without_collections_is_said(tmp_path, text):
    (tmp_path / "sync.yaml").write_text(text)
    with pytest.raises(StackError, match=r"sync\.yaml names no pairs with entities and their collections"):
        triggers(tmp_path / "sync.yaml")


def test_every_synced_collection_has_rules():
    rules = (ROOT / "firestore.rules").read_text()
    for pattern in triggers(ROOT / "sync.yaml").values():
        assert f"match /{pattern} {{" in rules


def test_the_shell_scripts_are_clean():
    scripts = ["deploy.sh", "bothways", ".ci/run", "local/venv.sh"]
    shellcheck = Path(sys.executable).with_name("shellcheck")
    program = str(shellcheck) if shellcheck.exists() else shutil.which("shellcheck")
    if program is None:
        pytest.skip("no shellcheck on this machine")
    done = subprocess.run([program, *scripts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_index_of_a_document_is_exempt_save_for_hash_and_bucket():
    overrides = json.loads((ROOT / "firestore.indexes.json").read_text())["fieldOverrides"]
    synced = {pattern.split("/")[-2] for pattern in triggers(ROOT / "sync.yaml").values()}
    assert synced
    for collection in synced:
        found = {o["fieldPath"]: len(o["indexes"]) for o in overrides if o["collectionGroup"] == collection}
        assert found == {"_sync": 0, "_sync.bucket": 1, "_sync.hash": 1}


def test_what_expires_has_a_policy_that_deletes_it():
    overrides = json.loads((ROOT / "firestore.indexes.json").read_text())["fieldOverrides"]
    expiring = {o["collectionGroup"] for o in overrides if o["fieldPath"] == "expire_at" and o.get("ttl")}
    assert expiring == {
        "sync_audit",
        "sync_conflicts",
        "sync_dead_letters",
        "sync_queue",
        "sync_runs",
        "sync_statistics",
        "sync_tombstones",
    }


def test_each_pair_is_called_for_itself_and_at_its_own_time():
    content = yaml.safe_load((ROOT / "scheduler/jobs.yaml").read_text())
    own = {"members": {}, "schools": {"cron": "0 5 * * 1", "time_zone": "Europe/Prague"}}
    rows = list(jobs(content, FUNCTIONS, own))
    assert [(row[1], row[2], row[3], row[-1]) for row in rows] == [
        ("bothways-nightly-members", "30 3 * * *", "Atlantic/Reykjavik", '{"pair": "members"}'),
        ("bothways-nightly-schools", "0 5 * * 1", "Europe/Prague", '{"pair": "schools"}'),
        ("bothways-quick-members", "30 4 * * 1-6", "Atlantic/Reykjavik", '{"pair": "members", "mode": "quick"}'),
        ("bothways-quick-schools", "30 4 * * 1-6", "Atlantic/Reykjavik", '{"pair": "schools", "mode": "quick"}'),
        ("bothways-full-members", "30 4 * * 0", "Atlantic/Reykjavik", '{"pair": "members", "mode": "full"}'),
        ("bothways-full-schools", "30 4 * * 0", "Atlantic/Reykjavik", '{"pair": "schools", "mode": "full"}'),
    ]
