"""The queue of Cloud Tasks and the jobs of scheduler/jobs.yaml."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from local.bundle import ROOT
from scheduler.deployment.commands import Command
from scheduler.deployment.errors import DeployError
from scheduler.deployment.functions import flags
from scheduler.deployment.project import Project
from scheduler.deployment.settings import Settings

JOBS = ROOT / "scheduler" / "jobs.yaml"
FIELDS = ("name", "schedule", "time_zone", "function", "method", "attempt_deadline", "max_retry_attempts")
PREFIX = "bothways-"
RATES = ("max_dispatches_per_second", "max_concurrent_dispatches", "max_attempts", "min_backoff", "max_backoff")


@dataclass(frozen=True)
class Job:
    """A call at fixed times. `body` is JSON, or nothing."""

    name: str
    schedule: str
    time_zone: str
    function: str
    method: str
    attempt_deadline: str
    max_retry_attempts: int
    body: str | None


def jobs(
    content: Any, functions: Mapping[str, str], pairs: Mapping[str, Any], kinds: Mapping[str, str] | None = None
) -> Iterator[Job]:
    """Yield each job of jobs.yaml, or of each pair; a pair's own schedule, where it has one, goes before the job's. A job for a
    kind of peers is one only if a peer is of that kind, and of those pairs alone that have one; `kinds` are the peers' own.

    Raises DeployError if a job is incomplete, calls what is no function, or has a name that deploy.sh would not know again.
    """
    for job in content["jobs"]:
        missing = [name for name in FIELDS if name not in job]
        if missing:
            raise DeployError(f"scheduler/jobs.yaml: the job {job.get('name', '?')} lacks {', '.join(missing)}")
        wanted = {peer for peer, kind in (kinds or {}).items() if kind == job.get("for_kind")}
        if "for_kind" in job and not wanted:
            continue
        if job["function"] not in functions:
            raise DeployError(f"scheduler/jobs.yaml: {job['name']} calls {job['function']}, which is no function")
        if not str(job["name"]).startswith(PREFIX):
            raise DeployError(f"scheduler/jobs.yaml: {job['name']} must begin with {PREFIX}")
        chosen = [each for each in pairs.items() if "for_kind" not in job or wanted & {each[1]["left"], each[1]["right"]}]
        for pair, spec in chosen if job.get("per_pair") else [("", {})]:
            yield _job(job, pair, (spec.get("schedule") or {}) if job.get("own_schedule") else {})


def _job(job: Mapping[str, Any], pair: str, own: Mapping[str, str]) -> Job:
    body = ({"pair": pair} if pair else {}) | job.get("body", {})
    return Job(
        f"{job['name']}-{pair}" if pair else job["name"],
        own.get("cron", job["schedule"]),
        own.get("time_zone", job["time_zone"]),
        job["function"],
        job["method"],
        job["attempt_deadline"],
        job["max_retry_attempts"],
        json.dumps(body) if job["method"] == "POST" else None,
    )


def wanted(sync: Any, functions: Mapping[str, str] | None = None) -> list[Job]:
    """Return the jobs that are to be there by what sync.yaml says. DeployError if one calls none of `functions`, where given."""
    content = yaml.safe_load(JOBS.read_text(encoding="utf-8"))
    kinds = {name: peer.get("kind") for name, peer in sync.get("peers", {}).items()}
    called = {job["function"]: "" for job in content["jobs"]}
    return list(jobs(content, called if functions is None else functions, sync["pairs"], kinds))


def amiss(jobs: Iterable[Job], there: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield each job that does not call as it should, and why; `there` are those that the project has, by name."""
    for job in jobs:
        found = there.get(job.name)
        if found is None:
            yield job.name, "is missing"
        elif found.get("state") != "ENABLED":
            yield job.name, "is paused"
        elif (planned := (found.get("schedule"), found.get("timeZone"))) != (job.schedule, job.time_zone):
            yield job.name, f"runs at {' '.join(map(str, planned))}, not at {job.schedule} {job.time_zone}"


def listed(settings: Settings, project: Project) -> list[str]:
    """Return the names of our jobs that are there."""
    found = project.names("scheduler", "jobs", "list", "--location", settings.region)
    return [name for name in found if name.startswith(PREFIX)]


def plan(settings: Settings, project: Project) -> Iterator[Command]:
    """Yield what makes or changes the queue and the jobs, and deletes jobs of ours that nothing names any more."""
    yield _queue(settings, project)
    there, jobs = listed(settings, project), wanted(settings.sync, settings.kinds)
    yield from (_call(settings, job, job.name in there) for job in jobs)
    for name in there:
        if name not in {job.name for job in jobs}:
            yield settings.gcloud("scheduler", "jobs", "delete", name, "--location", settings.region)


def _queue(settings: Settings, project: Project) -> Command:
    queue = settings.sizes["queue"]
    there = project.names("tasks", "queues", "list", "--location", settings.region)
    verb = "update" if queue["name"] in there else "create"
    return settings.gcloud("tasks", "queues", verb, queue["name"], "--location", settings.region, *flags(queue, RATES))


def _call(settings: Settings, job: Job, there: bool) -> Command:
    url = settings.url(job.function)
    header = "--update-headers" if there else "--headers"
    body = (header, "Content-Type=application/json", "--message-body", job.body) if job.body else ()
    return settings.gcloud(
        *("scheduler", "jobs", "update" if there else "create", "http", job.name, "--location", settings.region),
        *("--schedule", job.schedule, "--time-zone", job.time_zone, "--uri", url, "--http-method", job.method, *body),
        *("--oidc-service-account-email", settings.caller, "--oidc-token-audience", url),
        *("--attempt-deadline", job.attempt_deadline, "--max-retry-attempts", str(job.max_retry_attempts)),
    )
