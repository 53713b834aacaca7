"""What is to be deployed, and where to: options, sync.yaml and scheduler/*.yaml -> frozen settings."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from local.bundle import ROOT
from local.functions import EVENT, discover
from local.triggers import triggers
from scheduler.deployment.commands import Command, Output
from scheduler.deployment.errors import DeployError

SEPARATOR = "|"
OWN_SECRETS = ("operator-token", "log-key")
"""The secrets that no peer names. Where they are missing and no file is given, random ones are made."""


@dataclass(frozen=True)
class Settings:
    """Where to deploy, and the staged bundle. `environment` is where `${NAME}` of sync.yaml comes from, `given` holds files
    with secrets by name."""

    project: str
    region: str
    location: str
    bundle: Path
    environment: Mapping[str, str]
    given: Mapping[str, Path]
    alerts_to: str | None = None
    host: str | None = None

    @property
    def runner(self) -> str:
        """The account that the functions run as."""
        return f"bothways-functions@{self.project}.iam.gserviceaccount.com"

    @property
    def builder(self) -> str:
        """The account that Cloud Build builds the functions as."""
        return f"bothways-builder@{self.project}.iam.gserviceaccount.com"

    @property
    def caller(self) -> str:
        """The account that Cloud Scheduler, Cloud Tasks and Eventarc call the functions as."""
        return f"bothways-caller@{self.project}.iam.gserviceaccount.com"

    def url(self, function: str) -> str:
        """Return the address of a function, which is the audience of its callers' tokens too."""
        return f"https://{self.region}-{self.project}.cloudfunctions.net/{function}"

    def gcloud(self, *words: str | Output) -> Command:
        """Return a command of gcloud on this project, which asks nothing."""
        return Command(("gcloud", *words, "--project", self.project, "--quiet"))

    def output(self, *words: str | Output, before: str = "", after: str = "") -> Output:
        """Return what a command of gcloud on this project prints."""
        return Output(self.gcloud(*words).words, before, after)

    @cached_property
    def sync(self) -> Any:
        """What sync.yaml says, with `${NAME}` and `secret:NAME` as they stand there. DeployError if it is no YAML."""
        try:
            return yaml.safe_load((self.bundle / "sync.yaml").read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            raise DeployError(f"sync.yaml cannot be read{f' at line {mark.line + 1}' if mark else ''}: mend it") from None

    @cached_property
    def sizes(self) -> Any:
        """What scheduler/functions.yaml says."""
        return yaml.safe_load((ROOT / "scheduler" / "functions.yaml").read_text(encoding="utf-8"))

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """The functions of main.py: `http` or `cloudevent` by name. DeployError where trackers and collections differ."""
        kinds = discover(self.bundle / "main.py")
        trackers = {name for name, kind in kinds.items() if kind == EVENT}
        if trackers != set(self.patterns):
            places = f"functions/main.py has {sorted(trackers)}, sync.yaml asks for {sorted(self.patterns)}"
            raise DeployError(f"each synced collection needs its tracker: {places}; mend one of them")
        return kinds

    @cached_property
    def patterns(self) -> Mapping[str, str]:
        """The document pattern that each tracker listens to."""
        return triggers(self.bundle / "sync.yaml")

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """The names of all secrets that the functions read."""
        return (*dict.fromkeys(_named(r"^secret:(.+)$", self.sync)), *OWN_SECRETS)

    def variables(self, function: str, addresses: Iterable[str]) -> str:
        """Return the environment variables of a function as gcloud takes them; `addresses` are all that it is called under.

        Raises DeployError if one that sync.yaml names has no value.
        """
        filled = {"role": "events" if self.kinds[function] == EVENT else "operator", "addresses": ",".join(addresses)}
        known = {name: value.format(**self._places(), **filled) for name, value in self.sizes["environment"].items()}
        if self.is_public(function):
            del known["SYNC_TRUST_IAM"]
        for name in dict.fromkeys(_named(r"\$\{(\w+)\}", self.sync)):
            known.setdefault(name, self.environment.get(name, ""))
            if not known[name]:
                raise DeployError(f"sync.yaml needs {name}: name it with --set {name}=VALUE")
        return told(known)

    def is_public(self, function: str) -> bool:
        """Return whether IAM lets everybody call a function."""
        return function in self.sizes["public"]

    def _places(self) -> dict[str, str]:
        queue = f"projects/{self.project}/locations/{self.region}/queues/{self.sizes['queue']['name']}"
        return {"project": self.project, "caller": self.caller, "base": self.url("").rstrip("/"), "queue": queue}


def told(variables: Mapping[str, str]) -> str:
    """Return variables as one word, parted by what is in no value. DeployError if it is in one after all."""
    for name, value in variables.items():
        if SEPARATOR in value:
            raise DeployError(f"{name} holds a {SEPARATOR}: name another value with --set {name}=VALUE")
    return f"^{SEPARATOR}^" + SEPARATOR.join(f"{name}={value}" for name, value in variables.items())


def _named(pattern: str, value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [name for each in value.values() for name in _named(pattern, each)]
    if isinstance(value, list):
        return [name for each in value for name in _named(pattern, each)]
    return re.findall(pattern, value) if isinstance(value, str) else []
