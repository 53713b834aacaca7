"""Bad input to deploy.sh: one line that says so and the command that mends it, before anything was changed."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from deploying.trees import ARGUMENTS, PROJECT, URL, deploy, made, program

from scheduler.deployment import checks
from scheduler.deployment.commands import Command
from scheduler.deployment.errors import DeployError
from scheduler.deployment.functions import refuse_taken
from scheduler.deployment.parts import hosting
from scheduler.deployment.project import Project
from scheduler.deployment.settings import Settings


def told(tree: Path, env: dict[str, str], *arguments: str, code: int = 1) -> str:
    """Return the one line that deploy.sh ends with, having changed nothing."""
    done = deploy(tree, *arguments, env=env)
    assert (done.returncode, made(env)["ran"]) == (code, [])
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "name the project: --project ID"),
        (["--project"], "argument --project: expected one argument; --help tells more"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate; --help tells more"),
        (["--project", "p", "--only", "everything"], "argument --only: invalid choice"),
        (["--project", "p", "--set", "DJANGO_URL"], "--set takes NAME=VALUE"),
        (["--project", "p", "--only", "backend"], "--only backend: name the server: --host USER@HOST"),
        (["--project", "p", "--only", "hosting", "--destroy"], "--only hosting does not go with --destroy"),
        (["--project", "p", "--only", "scheduler", "--rollback", "--dry-run"], "--only scheduler does not go with --rollback"),
    ],
)
def test_a_wrong_call_is_one_sentence(tree, env, arguments, complaint):
    assert told(tree, env, *arguments, code=2).startswith(f"deploy.sh: {complaint}")


def test_without_gcloud_it_says_what_to_install(tree, env, tmp_path):
    bare = tmp_path / "bare"
    for name in ("bash", "sh", "dirname"):
        program(bare / name, f'#!/bin/sh\nexec /bin/{name} "$@"\n')
    assert told(tree, env | {"PATH": str(bare)}, *ARGUMENTS) == "deploy.sh: gcloud is missing: install the Google Cloud CLI"


def test_nobody_logged_in_to_firebase_which_has_a_login_of_its_own(tree, env, tmp_path):
    failed = "Error: Failed to authenticate, have you run firebase login?"
    program(tmp_path / "bin/firebase", f'#!/bin/sh\necho "{failed}" >&2\nexit 1\n')
    assert told(tree, env, *ARGUMENTS) == "deploy.sh: nobody is logged in to firebase: firebase login"


def test_nobody_logged_in(tree, env, tmp_path):
    program(tmp_path / "bin/gcloud", "#!/bin/sh\nexit 1\n")
    assert told(tree, env, *ARGUMENTS) == "deploy.sh: nobody is logged in: gcloud auth login"


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (403, f"there is no project {PROJECT}, or you may not see it: gcloud projects create {PROJECT}"),
        (401, "your login has expired: gcloud auth login"),
    ],
)
def test_no_such_project_or_an_old_login(tree, env, google, status, line):
    google.status = status
    assert told(tree, env, *ARGUMENTS) == f"deploy.sh: {line}"


def test_a_missing_role_is_named_with_the_smallest_that_would_do(tree, env, google):
    google.permissions = [each for each in checks.NEEDED if each != "iam.serviceAccounts.create"]
    assert told(tree, env, *ARGUMENTS) == (
        f"deploy.sh: you lack iam.serviceAccounts.create on {PROJECT}: let its owner run gcloud projects "
        f"add-iam-policy-binding {PROJECT} --member=user:YOU --role=roles/iam.serviceAccountAdmin"
    )


def test_disabled_billing(tree, env, tmp_path):
    real = (tmp_path / "bin/gcloud").read_text().removeprefix("#!/bin/sh\n")
    program(tmp_path / "bin/gcloud", f'#!/bin/sh\n[ "$1" = billing ] && echo False && exit\n{real}')
    line = f"gcloud billing projects link {PROJECT} --billing-account=ACCOUNT"
    assert told(tree, env, *ARGUMENTS) == f"deploy.sh: billing is disabled for {PROJECT}, and functions need it: {line}"


def test_a_value_that_sync_yaml_needs(tree, env):
    complaint = "deploy.sh: sync.yaml needs DJANGO_URL: name it with --set DJANGO_URL=VALUE"
    assert told(tree, env, "--project", PROJECT) == complaint
    assert "DJANGO_URL holds a |" in told(tree, env, "--project", PROJECT, "--set", "DJANGO_URL=https://a|b")


def refusal(tree: Path, env: dict[str, str], *more: str) -> str:
    """Return the line of a run that got no further than enabling services, without which nobody can look."""
    done = deploy(tree, *ARGUMENTS, *more, env=env)
    assert (done.returncode, [each["words"][:2] for each in made(env)["ran"]]) == (1, [["services", "enable"]])
    return done.stderr.splitlines()[-1]


def test_a_secret_with_nobody_to_ask(tree, env):
    assert refusal(tree, env) == "deploy.sh: the secret django-token is not there, and nobody to ask: --secret django-token=FILE"


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_secret_whose_file_is_missing_empty_or_no_text_or_that_is_unknown(tree, env, tmp_path, more):
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for given, complaint in {
        "django-token=/no/such": "--secret django-token: there is no file /no/such",
        f"django-token={tmp_path}/empty": f"--secret django-token: {tmp_path}/empty is empty",
        f"django-token={tmp_path}/bytes": f"--secret django-token: {tmp_path}/bytes cannot be read as text",
        f"jango-token={tmp_path}/empty": "--secret jango-token: no such secret is used; there are django-token, operator-token",
    }.items():
        assert told(tree, env, *ARGUMENTS, "--secret", given, *more).startswith(f"deploy.sh: {complaint}")


def test_a_file_is_looked_for_where_deploy_sh_was_called(tree, env, tmp_path, token_file):
    command = [str(tree / "deploy.sh"), *ARGUMENTS, "--secret", "django-token=django-token", "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "a-secret-of-django" not in done.stdout


def settings(**more: object) -> Settings:
    return Settings(PROJECT, "europe-west1", "europe-west1", Path("/nowhere"), {"DJANGO_URL": URL}, {}, **more)  # type: ignore[arg-type]


def holding(**lists: object) -> Project:
    """Return a project in which `gcloud A B list` tells what the argument A_B says."""

    def ask(command: Command) -> object:
        words = [str(word) for word in command.words]
        return lists.get("_".join(words[1 : words.index("list")]), [])

    return Project(settings(), ask)


@pytest.mark.parametrize("text", ["peers: [", "a: &b\n- *c", "\t"])
def test_a_sync_yaml_that_is_no_yaml(tmp_path, text):
    (tmp_path / "sync.yaml").write_text(text)
    with pytest.raises(DeployError, match=r"sync\.yaml cannot be read at line \d: mend it"):
        _ = Settings(PROJECT, "r", "r", tmp_path, {}, {}).sync


def test_pages_that_would_ask_in_another_region(tmp_path):
    (tmp_path / "hosting").mkdir()
    (tmp_path / "firebase.json").write_text('{"hosting": {"rewrites": [{"function": {"region": "us-central1"}}]}}')
    with pytest.raises(DeployError, match=r"would ask for functions in us-central1.*: sed -i s/us-central1/europe-west1/ fire"):
        list(hosting(settings(), holding(), tmp_path))


def test_interrupted_at_its_question_it_says_so_in_one_line(tree, env, token_file):
    assert deploy(tree, *ARGUMENTS, "--secret", f"django-token={token_file}", "--only", "scheduler", env=env).returncode == 0
    command = [str(tree / "deploy.sh"), "--project", PROJECT, "--destroy"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    own = {"start_new_session": True, "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    with subprocess.Popen(command, env=env, text=True, **own, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout is not None
        assert process.stderr is not None
        said = ""
        while "Type its id" not in said:
            said += process.stdout.read(1)
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        line = process.stderr.read()
    assert (process.returncode, line) == (130, "deploy.sh: interrupted before any of its steps; running this again is safe\n")


def test_an_unsupported_region():
    with pytest.raises(DeployError, match="there are no functions in europe-west1: --region takes asia-east1, us-central1"):
        checks.place(settings(), holding(functions_regions=[{"locationId": "us-central1"}, {"locationId": "asia-east1"}]))


@pytest.mark.parametrize(
    ("database", "complaint"),
    [
        ({"type": "DATASTORE_MODE", "locationId": "europe-west1"}, "is in Datastore mode, which has no triggers"),
        ({"type": "FIRESTORE_NATIVE", "locationId": "eur3"}, "the database lies in eur3: --firestore eur3"),
    ],
)
def test_a_database_of_another_kind_or_elsewhere(database, complaint):
    with pytest.raises(DeployError, match=complaint):
        checks.place(settings(), holding(firestore_databases=[{"name": "projects/p/databases/(default)"} | database]))


def test_a_name_that_another_function_has():
    taken = holding(functions=[{"name": "projects/p/locations/r/functions/reconcile", "labels": {"app": "shop"}}])
    with pytest.raises(
        DeployError, match="the name reconcile is taken by a function that is not Bothways': gcloud functions delete reconcile"
    ):
        refuse_taken("reconcile", taken)
    refuse_taken("sync_health", taken)
