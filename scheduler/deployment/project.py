"""What a Google project holds: asked of gcloud when a plan wants to know it, once."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from scheduler.deployment.commands import Command
from scheduler.deployment.errors import DeployError
from scheduler.deployment.settings import Settings

Ask: TypeAlias = Callable[[Command], Any]
"""Runs a command that prints JSON and returns what it printed."""


@dataclass
class Project:
    """A project as it is now. Each list is asked for when it is first wanted."""

    settings: Settings
    ask: Ask
    _known: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def listed(self, *words: str) -> list[dict[str, Any]]:
        """Return what `gcloud WORDS list` tells."""
        if words not in self._known:
            self._known[words] = self.ask(self.settings.gcloud(*words, "--format=json"))
        found: list[dict[str, Any]] = self._known[words]
        return found

    def names(self, *words: str, key: str = "name") -> dict[str, dict[str, Any]]:
        """Return what is listed by the last part of its name, or by another key."""
        return {str(each.get(key, "")).rpartition("/")[2]: each for each in self.listed(*words)}

    def database(self) -> dict[str, Any] | None:
        """Return the default database of Firestore, if there is one."""
        return self.names("firestore", "databases", "list").get("(default)")


def asked(command: Command) -> Any:
    """Return the JSON that a command prints. DeployError with what it said if it fails."""
    words = [str(word) for word in command.words]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeployError(f"cannot look at the project: `{command}` said {' '.join(done.stderr.split())}")
    return json.loads(done.stdout or "[]")


def asked_if_it_tells(command: Command) -> Any:
    """Return the same, or nothing where the project tells nothing, as one does whose services are not enabled yet."""
    try:
        return asked(command)
    except DeployError:
        return []


def nothing(_: Command) -> Any:
    """Return what an empty project answers: a dry run of somebody who is not logged in sees this one."""
    return []
