"""What all else stands on: services, the service accounts and their roles, secrets, the database."""

import secrets
import sys
from collections.abc import Callable, Iterator
from getpass import getpass

from scheduler.deployment.commands import Command
from scheduler.deployment.errors import DeployError
from scheduler.deployment.project import Project
from scheduler.deployment.settings import OWN_SECRETS, Settings

SERVICES = (
    "artifactregistry",  # where the built functions lie
    "cloudbuild",  # builds them
    "cloudfunctions",
    "cloudresourcemanager",  # roles on the project
    "cloudscheduler",
    "cloudtasks",
    "eventarc",  # Firestore's events
    "firebaserules",
    "firestore",
    "iam",
    "logging",
    "monitoring",
    "pubsub",  # carries the events
    "run",  # runs the functions
    "secretmanager",
)

RUNNER_ROLES = (
    "roles/datastore.user",  # reads and writes documents; cannot touch indexes or rules
    "roles/cloudtasks.enqueuer",  # hands out shards, and asks for runs in real time
)
CALLER_ROLES = ("roles/eventarc.eventReceiver",)  # Eventarc asks it of a trigger's account
BUILDER_ROLES = ("roles/cloudbuild.builds.builder",)  # else Google's default account builds, which may edit all, or nothing
"""Beside these, the runner may read just the secrets named here and act as the caller in its tasks; the caller may invoke just
these functions."""


def enable(settings: Settings) -> Command:
    """Return the command that enables all services."""
    return settings.gcloud("services", "enable", *(f"{name}.googleapis.com" for name in SERVICES))


def plan(settings: Settings, project: Project) -> Iterator[Command]:
    """Yield what makes accounts, roles, secrets and the database that are not there."""
    yield from _accounts(settings, project)
    yield from _secrets(settings, project)
    if project.database() is None:
        yield settings.gcloud(
            "firestore", "databases", "create", "--location", settings.location, "--type=firestore-native", "--delete-protection"
        )
    if "firebase.googleapis.com" not in project.names("services", "list", "--enabled"):
        yield Command(("firebase", "projects:addfirebase", settings.project, "--non-interactive"))


def accounts(settings: Settings) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Return the service accounts: address, title, and roles on the project."""
    return (
        (settings.runner, "Bothways: functions", RUNNER_ROLES),
        (settings.caller, "Bothways: callers of the functions", CALLER_ROLES),
        (settings.builder, "Bothways: builds the functions", BUILDER_ROLES),
    )


def _accounts(settings: Settings, project: Project) -> Iterator[Command]:
    there = project.names("iam", "service-accounts", "list", key="email")
    for email, title, _ in accounts(settings):
        if email not in there:
            name = email.partition("@")[0]
            yield settings.gcloud("iam", "service-accounts", "create", name, "--display-name", title)
    for email, _, roles in accounts(settings):
        for role in roles:
            yield bind(settings, "add", email, role)
    act_as = ("iam", "service-accounts", "add-iam-policy-binding", settings.caller)
    yield settings.gcloud(*act_as, *_member(settings.runner), "--role=roles/iam.serviceAccountUser", "--format=none")


def bind(settings: Settings, verb: str, email: str, role: str) -> Command:
    """Return what adds a role on the project to an account, or removes it."""
    words = ("gcloud", "projects", f"{verb}-iam-policy-binding", settings.project, *_member(email))
    return Command((*words, f"--role={role}", "--condition=None", "--format=none", "--quiet"))


def _member(email: str) -> tuple[str]:
    return (f"--member=serviceAccount:{email}",)


def _secrets(settings: Settings, project: Project) -> Iterator[Command]:
    there = project.names("secrets", "list")
    for name in settings.secrets:
        if name not in there:
            create = settings.gcloud("secrets", "create", name, "--replication-policy=automatic", "--data-file=-")
            yield Command(create.words, value(settings, name))
        elif name in settings.given:
            add = settings.gcloud("secrets", "versions", "add", name, "--data-file=-")
            yield Command(add.words, value(settings, name))
        reads = ("--role=roles/secretmanager.secretAccessor", "--format=none")
        yield settings.gcloud("secrets", "add-iam-policy-binding", name, *_member(settings.runner), *reads)


def value(settings: Settings, name: str) -> Callable[[], str]:
    """Return what fetches a secret: from the file given, by a question, or, for Bothways' own, from chance."""

    def fetch() -> str:
        if name in settings.given:
            found = settings.given[name].read_text(encoding="utf-8").strip()
        elif name in OWN_SECRETS:
            found = secrets.token_urlsafe(36)
        elif sys.stdin.isatty():
            found = getpass(f"The secret {name} (it is not shown): ").strip()
        else:
            raise DeployError(f"the secret {name} is not there, and nobody to ask: --secret {name}=FILE")
        if not found:
            raise DeployError(f"the secret {name} is empty: --secret {name}=FILE")
        return found

    return fetch


def unknown(settings: Settings, project: Project) -> Iterator[str]:
    """Yield the secrets that would have to be asked for."""
    there = project.names("secrets", "list")
    yield from (name for name in settings.secrets if name not in {*there, *settings.given, *OWN_SECRETS})
