"""What is deployed, as Google tells it. Looks, and changes nothing."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from local.bundle import ROOT
from scheduler.deployment import checks, indexes, scheduling
from scheduler.deployment.errors import DeployError
from scheduler.deployment.project import Project, asked
from scheduler.deployment.settings import Settings

RULES = "CLOUDSDK_API_ENDPOINT_OVERRIDES_FIREBASERULES"


def looked(name: str, sync: Any) -> dict[str, Any]:
    """Return a project's functions (name to document pattern, None for HTTP), those not active, the commands for indexes that
    are missing, the rules in force, what is amiss with the jobs that `sync` (sync.yaml) asks for, and the state of the task
    queue. Raises DeployError, saying what to do, where Google cannot be asked."""
    checks.programs({"gcloud"})
    access = checks.token()
    if access is None:
        raise DeployError("nobody is logged in: gcloud auth login")
    settings = Settings(name, "", "", Path(ROOT), {}, {})
    project = Project(settings, asked)
    functions = project.names("functions", "list", "--v2")
    region = _region(functions)
    return {
        "trackers": {name: _pattern(each) for name, each in functions.items()},
        "inactive": [name for name, each in functions.items() if each.get("state", "ACTIVE") != "ACTIVE"],
        "indexes": [str(each) for each in indexes.plan(settings, project)],
        "rules": _rules(name, access),
        "jobs": dict(scheduling.amiss(scheduling.wanted(sync), _there(project, region, "scheduler", "jobs"))),
        "queue": _there(project, region, "tasks", "queues").get(settings.sizes["queue"]["name"], {}).get("state"),
    }


def _region(functions: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return where the functions are, and so the jobs and the queue; None where nothing is deployed."""
    places = (re.search(r"/locations/([^/]+)/", str(each["name"])) for each in functions.values())
    return next((found[1] for found in places if found), None)


def _there(project: Project, region: str | None, *words: str) -> dict[str, dict[str, Any]]:
    return project.names(*words, "list", "--location", region) if region else {}


def _pattern(function: Mapping[str, Any]) -> str | None:
    filters = function.get("eventTrigger", {}).get("eventFilters", ())
    return next((str(each["value"]) for each in filters if each.get("attribute") == "document"), None)


def _rules(project: str, access: str) -> str | None:
    """Return the text of the rules in force; None where there are none."""
    release = _get(f"projects/{project}/releases/cloud.firestore", access)
    ruleset = _get(release["rulesetName"], access) if release else None
    return "".join(each["content"] for each in ruleset["source"]["files"]) if ruleset else None


def _get(path: str, access: str) -> Any:
    base = os.environ.get(RULES, "https://firebaserules.googleapis.com/").rstrip("/")
    try:
        answer = requests.get(f"{base}/v1/{path}", headers={"Authorization": f"Bearer {access}"}, timeout=30)
    except requests.RequestException as error:
        raise DeployError(f"Google does not answer ({type(error).__name__}): mend the network, and run this again") from None
    if answer.status_code == 404:
        return None
    if answer.status_code != 200:
        raise DeployError(f"the rules in force cannot be read ({answer.status_code}): you need roles/firebaserules.viewer")
    return answer.json()
