"""Checks of what is deployed against sync.yaml. Pure: what Google told goes in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.doctor.finding import Finding, failed, ok, warning


@dataclass(frozen=True)
class Deployed:
    """What a project holds. `trackers` maps functions to the document pattern that each listens to, None for one of HTTP;
    `indexes` are the commands that would make those that are missing."""

    trackers: Mapping[str, str | None]
    inactive: Sequence[str]
    indexes: Sequence[str]
    rules: str | None


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


def local_triggers(served: Mapping[str, str], wanted: Sequence[str]) -> Finding:
    """Return whether the functions that run on this machine have every tracker; `served` are their kinds by name."""
    lacking = [name for name in wanted if served.get(name) != "cloudevent"]
    if lacking:
        return failed("triggers", f"the functions here have no {', '.join(lacking)}", "add them to functions/main.py, `make up`")
    return ok("triggers", f"the functions here have all {len(wanted)} trackers")
