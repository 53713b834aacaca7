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
from deploying.trees import ARGUMENTS, deploy

from local.bundle import stage
from local.errors import StackError
from local.triggers import triggers
from scheduler.deployment import indexes
from scheduler.deployment.commands import Command, Output
from scheduler.deployment.errors import DeployError
from scheduler.deployment.monitoring import alerts, policy
from scheduler.deployment.parts import planned
from scheduler.deployment.project import Project, nothing
from scheduler.deployment.scheduling import jobs
from scheduler.deployment.settings import Settings
from shared.journals import HealthRequest
from shared.service import ReconcileRequest, SyncRequest

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = {"bidirectional_sync": "http", "reconcile": "http", "sync_health": "http"}
BARE = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere", "CLOUDSDK_CONFIG": "/tmp/no-such-config"}  # noqa: S108  # nobody is logged in


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The project's own functions and sync.yaml, for an empty project."""
    bundle = stage(tmp_path_factory.mktemp("staged") / "bundle", ROOT)
    where = (
        "demo-project",
        "europe-west1",
        "europe-west1",
        bundle,
        {"DJANGO_URL": "https://django.example/felagar/api/sync"},
        {},
    )
    return Settings(*where, alerts_to="watch@example.org", host="ops@register.example")


@pytest.fixture(scope="module")
def plan(settings: Settings) -> list[Command]:
    return planned(settings, Project(settings, nothing), None)


def found(plan: list[Command], *words: str) -> list[list[str]]:
    """Return the commands that begin so, without gcloud."""
    lines = [[str(word) for word in command.words] for command in plan]
    return [line[1:] for line in lines if line[1 : len(words) + 1] == list(words)]


def test_a_dry_run_prints_every_command_in_order_and_runs_none(tree):
    done = deploy(tree, "--dry-run", *ARGUMENTS, env=BARE)
    assert (done.returncode, done.stderr) == (0, "# nobody is logged in: these are the commands for an empty project\n")
    lines = [shlex.split(line, comments=True) for line in done.stdout.splitlines()]
    order = [" ".join(word for word in line[1:5] if not word.startswith("-")) for line in lines]
    first = {name: next(place for place, each in enumerate(order) if each.startswith(name)) for name in ORDER}
    assert sorted(first, key=lambda name: first[name]) == ORDER


ORDER = [
    "services enable",
    "iam service-accounts create",
    "projects add-iam-policy-binding",
    "secrets create",
    "firestore databases create",
    "projects:addfirebase",
    "deploy firestore:rules",
    "firestore indexes composite",
    "firestore fields ttls",
    "functions deploy bidirectional_sync",
    "pubsub topics create",
    "functions deploy track_member_changes",
    "tasks queues create",
    "scheduler jobs create",
    "deploy hosting",
    "logging metrics create",
    "alpha monitoring policies create",
]


@pytest.mark.parametrize(
    ("part", "begins"),
    [
        ("functions", {"functions deploy", "functions add-invoker-policy-binding", "run services"}),
        ("rules", {"deploy"}),
        ("scheduler", {"tasks queues", "scheduler jobs"}),
        ("hosting", {"deploy"}),
    ],
)
def test_one_part_alone(tree, part, begins):
    done = deploy(tree, "--dry-run", *ARGUMENTS, "--only", part, env=BARE)
    assert done.returncode == 0, done.stderr
    said = {" ".join(word for word in shlex.split(line)[1:3] if not word.startswith("-")) for line in done.stdout.splitlines()}
    assert said == begins


def test_the_nightly_job_calls_the_sync_with_a_signed_token(plan):
    options = dict(itertools.pairwise(found(plan, "scheduler", "jobs", "create")[0]))
    url = "https://europe-west1-demo-project.cloudfunctions.net/bidirectional_sync"
    assert options["--schedule"] == "30 3 * * *"
    assert options["--time-zone"] == "Atlantic/Reykjavik"
    assert (options["--uri"], options["--oidc-token-audience"]) == (url, url)
    assert options["--oidc-service-account-email"] == "bothways-caller@demo-project.iam.gserviceaccount.com"
    assert (options["--attempt-deadline"], options["--max-retry-attempts"]) == ("1800s", "3")


def test_whole_peers_are_compared_quickly_each_night_and_fully_once_a_week(plan):
    wanted = []
    for job in found(plan, "scheduler", "jobs", "create")[1:3]:
        options = dict(itertools.pairwise(job))
        wanted.append((job[4], options["--schedule"], options["--uri"].rpartition("/")[2], json.loads(options["--message-body"])))
    assert wanted == [
        ("bothways-quick-members", "30 4 * * 1-6", "reconcile", {"pair": "members", "mode": "quick"}),
        ("bothways-full-members", "30 4 * * 0", "reconcile", {"pair": "members", "mode": "full"}),
    ]


def test_the_bodies_of_the_jobs_are_what_their_functions_take():
    kinds = {"bidirectional_sync": SyncRequest, "reconcile": ReconcileRequest, "ojs_health": HealthRequest}
    for job in yaml.safe_load((ROOT / "scheduler/jobs.yaml").read_text())["jobs"]:
        if job["method"] == "POST":
            kinds[job["function"]].model_validate(job.get("body", {}))


PUBLIC = {"dashboard"}
"""What a browser must be let through to: IAM knows nobody there."""


def test_the_browsers_door_is_open_to_all_and_believes_no_token_without_its_signature(plan):
    deployed = {words[2]: words for words in found(plan, "functions", "deploy")}
    assert {name for name, words in deployed.items() if "--allow-unauthenticated" in words} == PUBLIC
    assert {name for name, words in deployed.items() if "SYNC_TRUST_IAM" not in variables(words)} == PUBLIC


def test_every_function_is_closed_to_strangers_and_limited(plan):
    deployed = found(plan, "functions", "deploy")
    assert len(deployed) >= 9
    for words in deployed:
        assert {"--no-allow-unauthenticated", "--retry"} & set(words) or words[2] in PUBLIC, words
        for limit in ("--memory=", "--timeout=", "--concurrency=", "--max-instances="):
            assert [word for word in words if word.startswith(limit)], words
        assert dict(itertools.pairwise(words))["--service-account"].startswith("bothways-functions@")
        assert dict(itertools.pairwise(words))["--runtime"] == "python313"


def variables(words):
    """Return the environment variables that a function is deployed with."""
    (given,) = [word for word in words if word.startswith("--set-env-vars=^|^")]
    return dict(each.split("=", 1) for each in given.removeprefix("--set-env-vars=^|^").split("|"))


def test_a_function_is_told_who_may_call_it_and_under_what_address(plan):
    deployed = {words[2]: words for words in found(plan, "functions", "deploy")}
    caller, base = "bothways-caller@demo-project.iam.gserviceaccount.com", "https://europe-west1-demo-project.cloudfunctions.net"
    assert variables(deployed["reconcile"]) == {
        "GOOGLE_CLOUD_PROJECT": "demo-project",
        "SYNC_TRUST_IAM": "1",
        "SYNC_CALLERS": f"{caller}=operator",
        "SYNC_AUDIENCES": f"{base}/reconcile",
        "FUNCTIONS_URL": base,
        "TASK_QUEUE": "projects/demo-project/locations/europe-west1/queues/bothways",
        "TASK_ACCOUNT": caller,
        "MALLOC_ARENA_MAX": "1",
        "DJANGO_URL": "https://django.example/felagar/api/sync",
    }
    assert variables(deployed["track_member_changes"])["SYNC_CALLERS"] == f"{caller}=events"
    (later,) = [words[-4] for words in found(plan, "run", "services", "update", "reconcile")]
    assert later.startswith(f'"--update-env-vars=^|^SYNC_AUDIENCES={base}/reconcile,$(gcloud functions describe reconcile')


def test_only_the_callers_account_may_invoke_and_it_may_do_nothing_else(plan):
    invoked = found(plan, "functions", "add-invoker-policy-binding")
    assert {words[-4] for words in invoked} == {"--member=serviceAccount:bothways-caller@demo-project.iam.gserviceaccount.com"}
    assert {words[2] for words in invoked} == {words[2] for words in found(plan, "functions", "deploy")} - PUBLIC
    roles = {
        (words[3].partition("@")[0].rpartition(":")[2], words[4]) for words in found(plan, "projects", "add-iam-policy-binding")
    }
    assert roles == {
        ("bothways-functions", "--role=roles/datastore.user"),
        ("bothways-functions", "--role=roles/cloudtasks.enqueuer"),
        ("bothways-caller", "--role=roles/eventarc.eventReceiver"),
        ("bothways-builder", "--role=roles/cloudbuild.builds.builder"),
    }


def test_functions_are_built_by_an_account_that_may_do_nothing_else(plan):
    account = "projects/demo-project/serviceAccounts/bothways-builder@demo-project.iam.gserviceaccount.com"
    assert all(f"--build-service-account={account}" in words for words in found(plan, "functions", "deploy"))


def test_what_cannot_be_delivered_goes_to_a_topic_that_keeps_it(plan):
    updates = found(plan, "pubsub", "subscriptions", "update")
    assert len(updates) == len(triggers(ROOT / "sync.yaml"))
    assert all("--dead-letter-topic=bothways-undeliverable" in words for words in updates)
    (kept,) = found(plan, "pubsub", "subscriptions", "create")
    assert {"--message-retention-duration=31d", "--expiration-period=never"} <= set(kept)


def test_the_backend_is_deployed_where_a_server_is_named(settings, plan):
    lines = [str(command) for command in plan if command.words[0] in {"rsync", "ssh"}]
    assert len(lines) == 2
    assert "ops@register.example:bothways-backend/" in lines[0]
    assert lines[1] == "ssh ops@register.example 'sudo bash bothways-backend/deploy/server.sh install'"


def test_every_alert_is_about_log_lines_that_the_functions_write(settings):
    events = {"sync_ok", "sync_fail", "sync_health", "dead_letter", "brake"}
    source = "".join(path.read_text() for path in (ROOT / "shared").rglob("*.py"))
    for alert in alerts():
        [condition] = policy(settings, alert)["conditions"]
        assert condition["conditionAbsent" if "silent_for" in alert else "conditionThreshold"]["filter"]
        for event in (part.partition('"')[0] for part in alert.get("log", "").split('jsonPayload.event="')[1:]):
            assert event in events
            assert f'"{event}"' in source
        for figure in (part.split(">")[0].split("=")[0] for part in alert.get("log", "").split("jsonPayload.stats.")[1:]):
            assert f'"{figure}"' in source


def test_a_scheduler_that_is_dead_is_told_of_since_nobody_logs_that():
    [silent] = [each for each in alerts() if "silent_for" in each]
    [health] = [each for each in yaml.safe_load((ROOT / "scheduler/jobs.yaml").read_text())["jobs"] if "health" in each["name"]][
        :1
    ]
    assert (health["function"], health["schedule"]) == ("sync_health", "0 * * * *")
    assert silent["log"] == 'jsonPayload.event="sync_health"', "which every call writes"
    assert 3600 * 2 < int(silent["silent_for"].removesuffix("s")) <= 84600, "longer than an hour missed; Google takes 23.5 hours"


def inner(word: object) -> list[tuple[object, ...]]:
    """Return the commands whose output a word is."""
    return [word.words, *(each for one in word.words for each in inner(one))] if isinstance(word, Output) else []


def shape(words: tuple[object, ...]) -> tuple[str, ...]:
    """Return what gcloud's parser minds: the command and the names of its flags."""
    return tuple(
        sorted({str(word).partition("=")[0] for word in words if str(word).startswith("-")}) + [str(word) for word in words[1:4]]
    )


@pytest.mark.stack
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="no gcloud on this machine")
def test_the_real_gcloud_parses_every_command(plan, settings, tmp_path):
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path / "gcloud")}
    every = [each for command in plan for each in (command.words, *(one for word in command.words for one in inner(word)))]
    kinds = {shape(words): words for words in every if words[0] == "gcloud"}
    for words in kinds.values():
        command = ["gcloud", *(word if isinstance(word, str) else f"{word.before}told{word.after}" for word in words[1:])]
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        # 2: the parser refused it. 1, for want of an account: it was about to be sent.
        assert (done.returncode, "active account" in done.stderr) == (1, True), (command, done.stderr)


def test_staging_alone_needs_no_project(tree, tmp_path):
    done = subprocess.run([tree / "deploy.sh", "--stage", "staged"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "staged/main.py").is_file()


def test_a_tracker_without_a_collection_is_refused(settings, tmp_path):
    bundle = stage(tmp_path / "bundle", ROOT)
    content = yaml.safe_load((bundle / "sync.yaml").read_text())
    del content["pairs"]["members"]["entities"]["event"]
    (bundle / "sync.yaml").write_text(yaml.safe_dump(content))
    other = Settings("p", "r", "r", bundle, {"DJANGO_URL": "https://d"}, {})
    with pytest.raises(DeployError, match="each synced collection needs its tracker"):
        planned(other, Project(other, nothing), "trackers")


@pytest.mark.parametrize(
    ("change", "complaint"), [({"function": "nothing"}, "bothways-nightly calls nothing"), ({"name": None}, "None calls nothing")]
)
def test_a_job_that_calls_no_function_is_refused(change, complaint):
    content = yaml.safe_load((ROOT / "scheduler/jobs.yaml").read_text())
    content["jobs"][0] |= {"function": "nothing"} | change
    with pytest.raises(DeployError, match=complaint):
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
    scripts = [
        "deploy.sh",
        "bothways",
        ".ci/run",
        "local/venv.sh",
        "local/lock.sh",
        "local/audit.sh",
        "scheduler/call.sh",
        "backend/deploy/server.sh",
    ]
    shellcheck = Path(sys.executable).with_name("shellcheck")
    program = str(shellcheck) if shellcheck.exists() else shutil.which("shellcheck")
    if program is None:
        pytest.skip("no shellcheck on this machine")
    done = subprocess.run([program, *scripts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_index_of_every_synced_document_is_exempt_save_for_hash_and_bucket_which_are_summed_together(settings):
    content = indexes.wanted(settings)
    synced = {pattern.split("/")[-2] for pattern in triggers(ROOT / "sync.yaml").values()}
    assert synced
    for collection in synced:
        found = {o["fieldPath"]: len(o["indexes"]) for o in content["fieldOverrides"] if o["collectionGroup"] == collection}
        assert found == {"_sync": 0, "_sync.bucket": 1, "_sync.hash": 1}
        (composite,) = [each["fields"] for each in content["indexes"] if each["collectionGroup"] == collection]
        assert [each["fieldPath"] for each in composite] == ["_sync.bucket", "_sync.hash"]


def test_what_expires_has_a_policy_that_deletes_it():
    overrides = json.loads((ROOT / "firestore.indexes.json").read_text())["fieldOverrides"]
    expiring = {o["collectionGroup"] for o in overrides if o["fieldPath"] == "expire_at" and o.get("ttl")}
    assert expiring == {
        "sync_audit",
        "sync_claims",
        "sync_conflicts",
        "sync_dead_letters",
        "sync_queue",
        "sync_refs",
        "sync_runs",
        "sync_statistics",
        "sync_tombstones",
    }


def test_each_pair_is_called_for_itself_and_at_its_own_time():
    content = yaml.safe_load((ROOT / "scheduler/jobs.yaml").read_text())
    sides = {"left": "django", "right": "firestore"}
    own = {"members": sides, "schools": sides | {"schedule": {"cron": "0 5 * * 1", "time_zone": "Europe/Prague"}}}
    rows = list(jobs(content, FUNCTIONS, own))
    assert [(row.name, row.schedule, row.time_zone, row.body) for row in rows] == [
        ("bothways-nightly-members", "30 3 * * *", "Atlantic/Reykjavik", '{"pair": "members"}'),
        ("bothways-nightly-schools", "0 5 * * 1", "Europe/Prague", '{"pair": "schools"}'),
        ("bothways-quick-members", "30 4 * * 1-6", "Atlantic/Reykjavik", '{"pair": "members", "mode": "quick"}'),
        ("bothways-quick-schools", "30 4 * * 1-6", "Atlantic/Reykjavik", '{"pair": "schools", "mode": "quick"}'),
        ("bothways-full-members", "30 4 * * 0", "Atlantic/Reykjavik", '{"pair": "members", "mode": "full"}'),
        ("bothways-full-schools", "30 4 * * 0", "Atlantic/Reykjavik", '{"pair": "schools", "mode": "full"}'),
        ("bothways-health", "0 * * * *", "Atlantic/Reykjavik", None),
    ]
    functions = {**FUNCTIONS, "ojs_health": "http"}
    (more,) = [row for row in jobs(content, functions, own, {"journals": "ojs"}) if row not in rows]
    assert (more.name, more.schedule, more.body) == ("bothways-ojs-health", "0 2 * * *", "{}")


def test_a_graph_is_compared_hourly_and_no_other_pair_is():
    content = yaml.safe_load((ROOT / "scheduler/jobs.yaml").read_text())
    sides = {"members": {"left": "django", "right": "firestore"}, "content": {"left": "django", "right": "graph"}}
    kinds = {"django": "rest_queue", "firestore": "firestore", "graph": "neo4j"}
    [found] = [row for row in jobs(content, FUNCTIONS, sides, kinds) if row.schedule == "40 * * * *"]
    assert (found.name, found.function) == ("bothways-graph-content", "reconcile")
    assert found.body == '{"pair": "content", "mode": "quick"}'
