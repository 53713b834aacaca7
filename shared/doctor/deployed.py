"""Checks of what is deployed against sync.yaml. Pure: what Google told goes in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.doctor.finding import Finding, failed, ok, warning


@dataclass(frozen=True)
class Deployed:
    """What a project holds. `trackers` maps functions to the document pattern that each listens to, None for one of HTTP;
    `indexes` are the commands that would make those that are missing, `jobs` what is amiss with one of Cloud Scheduler by its
    name, `queue` the state of Cloud Tasks' queue, None if there is none."""

    trackers: Mapping[str, str | None]
    inactive: Sequence[str]
    indexes: Sequence[str]
    rules: str | None
    jobs: Mapping[str, str]
    queue: str | None


def triggers(held: Deployed, wanted: Mapping[str, str]) -> Iterator[Finding]:
    """Yield which functions are not there, listen to something else, or do not run; `wanted` are the trackers' patterns."""
    good = True
    for name, pattern in wanted.items():
        there = held.trackers.get(name)
        if there != pattern:
            good = False
            message = f"{name} is not deployed" if there is None else f"{name} listens to {there}, not to {pattern}"
            yield failed("triggers", message, "./deploy.sh --only trackers")
    for name in held.inactive:
        good = False
        yield failed("triggers", f"{name} is deployed, but not active", f"gcloud functions describe {name} says why")
    if good:
        yield ok("triggers", f"{len(wanted)} trackers are deployed and active")


def indexes(held: Deployed) -> Finding:
    """Return whether all indexes and expiry policies are there, those of the synced collections too."""
    if held.indexes:
        return warning("indexes", f"{len(held.indexes)} indexes or expiry policies are missing", "./deploy.sh --only indexes")
    return ok("indexes", "all indexes and expiry policies are there")


def jobs(held: Deployed) -> Iterator[Finding]:
    """Yield which jobs of Cloud Scheduler are not there, are paused, or call at other times."""
    for name, trouble in held.jobs.items():
        cure = "./deploy.sh --resume" if trouble == "is paused" else "./deploy.sh --only scheduler"
        yield warning("jobs", f"{name} {trouble}", cure)
    if not held.jobs:
        yield ok("jobs", "all of scheduler/jobs.yaml are there, and enabled")


def task_queue(held: Deployed) -> Finding:
    """Return whether the queue is there and running that real time and large backlogs need."""
    if held.queue == "RUNNING":
        return ok("task queue", "it is there, and running")
    if held.queue is None:
        missed = "so edits wait for the next planned run, and no backlog is shared out"
        return warning("task queue", f"Cloud Tasks has no queue of ours, {missed}", "./deploy.sh --only scheduler")
    return warning("task queue", f"it is {held.queue.lower()}: what is put there waits", "./deploy.sh --resume")


def local_triggers(served: Mapping[str, str], wanted: Sequence[str]) -> Finding:
    """Return whether the functions that run on this machine have every tracker; `served` are their kinds by name."""
    lacking = [name for name in wanted if served.get(name) != "cloudevent"]
    if lacking:
        return failed("triggers", f"the functions here have no {', '.join(lacking)}", "add them to functions/main.py, `make up`")
    return ok("triggers", f"the functions here have all {len(wanted)} trackers")
