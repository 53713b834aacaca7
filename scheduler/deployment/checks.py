"""What can be known before anything is changed: each trouble is one line, with the command that mends it."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import requests

from scheduler.deployment.errors import DeployError
from scheduler.deployment.groundwork import unknown
from scheduler.deployment.project import Project
from scheduler.deployment.settings import Settings

NEEDED = {
    "serviceusage.services.enable": "roles/serviceusage.serviceUsageAdmin",
    "resourcemanager.projects.setIamPolicy": "roles/resourcemanager.projectIamAdmin",
    "iam.serviceAccounts.create": "roles/iam.serviceAccountAdmin",
    "iam.serviceAccounts.actAs": "roles/iam.serviceAccountUser",
    "secretmanager.secrets.create": "roles/secretmanager.admin",
    "datastore.databases.create": "roles/datastore.owner",
    "cloudfunctions.functions.create": "roles/cloudfunctions.developer",
    "run.services.setIamPolicy": "roles/run.admin",
    "pubsub.topics.create": "roles/pubsub.admin",
    "cloudscheduler.jobs.create": "roles/cloudscheduler.admin",
    "cloudtasks.queues.create": "roles/cloudtasks.queueAdmin",
    "firebaserules.releases.update": "roles/firebaserules.admin",
    "logging.logMetrics.create": "roles/logging.configWriter",
    "monitoring.alertPolicies.create": "roles/monitoring.editor",
    "firebase.projects.update": "roles/firebase.admin",
    "firebasehosting.sites.update": "roles/firebasehosting.admin",
}
"""What whoever deploys must be allowed, and the smallest role that allows it. An owner is allowed all."""

MANAGER = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER"


def programs(names: set[str]) -> None:
    """Raise DeployError if a program that the plan runs is missing."""
    how = {
        "gcloud": "install the Google Cloud CLI",
        "firebase": "npm install -g firebase-tools, then firebase login",
        "rsync": "apt-get install rsync",
        "ssh": "apt-get install openssh-client",
    }
    for name in sorted(names):
        if shutil.which(name) is None:
            raise DeployError(f"{name} is missing: {how[name]}")


def firebase() -> None:
    """Raise DeployError if the program is missing, or nobody is logged in there: it has a login of its own."""
    programs({"firebase"})
    done = subprocess.run(
        ["firebase", "projects:list", "--non-interactive"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode and re.search("authenticat|log ?in", done.stdout + done.stderr, re.IGNORECASE):
        raise DeployError("nobody is logged in to firebase: firebase login")


def token() -> str | None:
    """Return an access token of whoever is logged in; None if nobody is, or gcloud is missing."""
    if shutil.which("gcloud") is None:
        return None
    asked = ["gcloud", "auth", "print-access-token", "--quiet"]
    done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None if done.returncode == 0 else None


def project(settings: Settings, access: str | None) -> None:
    """Raise DeployError unless somebody is logged in who may deploy to the project, and the project can be billed."""
    if access is None:
        raise DeployError("nobody is logged in: gcloud auth login")
    missing = _missing(settings.project, access)
    if missing:
        more = f" (and {len(missing) - 1} permissions more: roles/owner has them all)" if missing[1:] else ""
        grant = f"gcloud projects add-iam-policy-binding {settings.project} --member=user:YOU --role={NEEDED[missing[0]]}"
        raise DeployError(f"you lack {missing[0]} on {settings.project}{more}: let its owner run {grant}")
    if not _billed(settings):
        link = f"gcloud billing projects link {settings.project} --billing-account=ACCOUNT"
        raise DeployError(f"billing is disabled for {settings.project}, and functions need it: {link}")


def _missing(project: str, access: str) -> list[str]:
    base = os.environ.get(MANAGER, "https://cloudresourcemanager.googleapis.com/").rstrip("/")
    url = f"{base}/v1/projects/{project}:testIamPermissions"
    try:
        answer = requests.post(url, json={"permissions": list(NEEDED)}, headers={"Authorization": f"Bearer {access}"}, timeout=30)
    except requests.RequestException as error:
        raise DeployError(f"Google does not answer ({type(error).__name__}): mend the network, and run this again") from None
    if answer.status_code == 401:
        raise DeployError("your login has expired: gcloud auth login")
    if answer.status_code != 200:
        raise DeployError(f"there is no project {project}, or you may not see it: gcloud projects create {project}")
    granted = set(answer.json().get("permissions", ()))
    return [each for each in NEEDED if each not in granted]


def _billed(settings: Settings) -> bool:
    asked = ["gcloud", "billing", "projects", "describe", settings.project, "--format=value(billingEnabled)", "--quiet"]
    done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode != 0 or done.stdout.strip() == "True"  # who may not see it may still deploy


def place(settings: Settings, project: Project) -> None:
    """Raise DeployError if there are no functions in the region, or the database is elsewhere or of another kind."""
    regions = {str(each.get("locationId")) for each in project.listed("functions", "regions", "list", "--gen2")}
    if regions and settings.region not in regions:
        raise DeployError(f"there are no functions in {settings.region}: --region takes {', '.join(sorted(regions))}")
    database = project.database()
    if database is None:
        return
    if database.get("type") not in {None, "FIRESTORE_NATIVE"}:
        raise DeployError("the project's database is in Datastore mode, which has no triggers: name another --project")
    if database.get("locationId") != settings.location:
        raise DeployError(f"the database lies in {database.get('locationId')}: --firestore {database.get('locationId')}")


def given(settings: Settings) -> None:
    """Raise DeployError if a secret was given that is not used, or whose file is missing, empty or cannot be read."""
    for name, path in settings.given.items():
        if name not in settings.secrets:
            raise DeployError(f"--secret {name}: no such secret is used; there are {', '.join(settings.secrets)}")
        if not path.is_file():
            raise DeployError(f"--secret {name}: there is no file {path}")
        try:
            empty = not path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise DeployError(f"--secret {name}: {path} cannot be read as text: chmod u+r {path}, or name another") from None
        if empty:
            raise DeployError(f"--secret {name}: {path} is empty")


def secrets(settings: Settings, project: Project, asks: bool) -> None:
    """Raise DeployError if a secret is missing and there is nobody to ask for it."""
    if not asks:
        for name in unknown(settings, project):
            raise DeployError(f"the secret {name} is not there, and nobody to ask: --secret {name}=FILE")


def troubles() -> Iterator[tuple[str, str]]:
    """Yield what gcloud says in trouble that is known only once it tries, as a pattern, and what to do."""
    yield (
        "BILLING_DISABLED|billing.*(disabled|not enabled)",
        "enable billing: gcloud billing projects link PROJECT --billing-account=ID",
    )
    yield "PERMISSION_DENIED|does not have permission", "let the project's owner grant you the role named above"
    yield "already exists|ALREADY_EXISTS", "the name is taken, or was deleted a short while ago: delete what has it, or wait"
    yield (
        "(?i)(invalid|unsupported|unknown|not a valid|not available in) (location|region)",
        "name another place: --region, --firestore",
    )
