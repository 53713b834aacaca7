"""All parts of a deployment in their order, by the names that --only takes."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from local.bundle import ROOT
from scheduler.deployment import functions, groundwork, indexes, monitoring, scheduling
from scheduler.deployment.commands import Command
from scheduler.deployment.project import Project
from scheduler.deployment.settings import Settings

Part: TypeAlias = Callable[[Settings, Project], Iterable[Command]]


def rules(settings: Settings, _: Project) -> Iterator[Command]:
    """Yield what publishes the security rules."""
    yield _firebase(settings, "firestore:rules")


def hosting(settings: Settings, _: Project, root: Path = ROOT) -> Iterator[Command]:
    """Yield what publishes hosting/, if there is such a folder."""
    if (root / "hosting").is_dir():
        yield _firebase(settings, "hosting")


def _firebase(settings: Settings, what: str) -> Command:
    return Command(("firebase", "deploy", "--only", what, "--project", settings.project, "--non-interactive"))


def backend(settings: Settings, _: Project) -> Iterator[Command]:
    """Yield what brings backend/ onto a Linux server that is reached by ssh, if one is named."""
    if settings.host:
        yield Command(
            ("rsync", "-az", "--delete", "--exclude=*.sqlite3*", f"{ROOT}/backend/", f"{settings.host}:bothways-backend/")
        )
        yield Command(("ssh", settings.host, "sudo bash bothways-backend/deploy/server.sh install"))


PARTS: dict[str, Part] = {
    "backend": backend,
    "rules": rules,
    "indexes": indexes.plan,
    "functions": functions.plan_http,
    "trackers": functions.plan_trackers,
    "scheduler": scheduling.plan,
    "hosting": hosting,
    "monitoring": monitoring.plan,
}
"""Rules and indexes first: a tracker needs both. Jobs after the functions that they call, alerts after what they watch."""


def planned(settings: Settings, project: Project, only: str | None) -> list[Command]:
    """Return all commands of one part, or of everything."""
    if only:
        return list(PARTS[only](settings, project))
    return [*groundwork.plan(settings, project), *(command for part in PARTS.values() for command in part(settings, project))]
