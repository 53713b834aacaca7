"""All parts of a deployment in their order, by the names that --only takes."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from local.bundle import ROOT
from scheduler.deployment import functions, groundwork, indexes, monitoring, scheduling
from scheduler.deployment.commands import Command
from scheduler.deployment.errors import DeployError
from scheduler.deployment.project import Project
from scheduler.deployment.settings import Settings

Part: TypeAlias = Callable[[Settings, Project], Iterable[Command]]


def rules(settings: Settings, _: Project) -> Iterator[Command]:
    """Yield what publishes the security rules."""
    yield _firebase(settings, "deploy", "--only", "firestore:rules")


def hosting(settings: Settings, _: Project, root: Path = ROOT) -> Iterator[Command]:
    """Yield what publishes hosting/, if there is such a folder. DeployError if its pages would ask in another region."""
    if (root / "hosting").is_dir():
        places = set(re.findall(r'"region": "([^"]+)"', (root / "firebase.json").read_text(encoding="utf-8")))
        for place in places - {settings.region}:
            mend = f"sed -i s/{place}/{settings.region}/ firebase.json"
            raise DeployError(f"the pages would ask for functions in {place}, where firebase.json looks for them: {mend}")
        yield _firebase(settings, "deploy", "--only", "hosting")


def no_hosting(settings: Settings, root: Path = ROOT) -> Iterator[Command]:
    """Yield what takes the pages off the net."""
    if (root / "hosting").is_dir():
        yield _firebase(settings, "hosting:disable", "--force")


def _firebase(settings: Settings, *words: str) -> Command:
    return Command(("firebase", *words, "--project", settings.project, "--non-interactive"))


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
