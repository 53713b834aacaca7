"""`python -m scheduler.deployment OPTIONS`: what ./deploy.sh runs."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from local.bundle import stage
from local.errors import StackError
from scheduler.deployment import checks, groundwork, undoing
from scheduler.deployment.commands import Command
from scheduler.deployment.errors import DeployError, UsageError
from scheduler.deployment.parts import PARTS, planned
from scheduler.deployment.project import Project, asked, asked_if_it_tells, nothing
from scheduler.deployment.running import run, show
from scheduler.deployment.settings import Settings
from scheduler.deployment.summary import summary

REGION = "europe-west1"


class Parser(argparse.ArgumentParser):
    """Says in one sentence what is wrong with a call."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}; --help tells more")


def parser() -> Parser:
    """Return what understands the options."""
    found = Parser(prog="./deploy.sh", description="Deploys Bothways to a Google Cloud project. Safe to run again.")
    found.add_argument("--project", metavar="ID", default=os.environ.get("PROJECT"), help="or the variable PROJECT")
    found.add_argument("--region", default=os.environ.get("REGION", REGION), help=f"of functions and jobs ({REGION})")
    found.add_argument(
        "--firestore", metavar="LOCATION", default=os.environ.get("FIRESTORE_LOCATION"), help="of the database (the region)"
    )
    found.add_argument("--django-url", metavar="URL", help="where the REST queue is mounted: --set DJANGO_URL=URL")
    found.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="what sync.yaml calls ${NAME}")
    found.add_argument(
        "--secret", metavar="NAME=FILE", action="append", default=[], help="a file with a secret; else you are asked"
    )
    found.add_argument("--alerts-to", metavar="EMAIL", help="who is told when something needs somebody")
    found.add_argument("--host", metavar="USER@HOST", help="the backend's Linux server, if this is to deploy that too")
    found.add_argument("--only", choices=PARTS, help="deploy just this part")
    found.add_argument("--dry-run", action="store_true", help="print every command, change nothing")
    deeds = found.add_mutually_exclusive_group()
    for name, says in (
        ("rollback", "send all calls to the functions' revision before"),
        ("pause", "no scheduled runs until --resume; edits wait in their queues"),
        ("resume", "scheduled runs again"),
        ("destroy", "list what there is, ask, and remove all but data"),
    ):
        deeds.add_argument(f"--{name}", dest="deed", action="store_const", const=name, help=says)
    deeds.add_argument("--stage", metavar="DIR", type=path_of, help="only put what would be deployed into DIR")
    return found


def path_of(text: str) -> Path:
    """Return a file or folder that was named where deploy.sh was called."""
    return Path(os.environ.get("CALLED_FROM", "")) / Path(text).expanduser()


def pairs(given: Iterable[str], option: str) -> dict[str, str]:
    """Return NAME=VALUE options by name."""
    parted = [each.partition("=") for each in given]
    for name, sign, value in parted:
        if not (name and sign and value):
            raise UsageError(f"{option} takes NAME=VALUE; --help tells more")
    return {name: value for name, _, value in parted}


def settings_of(options: argparse.Namespace, bundle: Path) -> Settings:
    """Return the settings that the options ask for."""
    if not options.project:
        raise UsageError("name the project: --project ID")
    given = pairs(options.set, "--set") | ({"DJANGO_URL": options.django_url} if options.django_url else {})
    files = {name: path_of(path) for name, path in pairs(options.secret, "--secret").items()}
    location = options.firestore or options.region
    return Settings(
        options.project, options.region, location, bundle, {**os.environ, **given}, files, options.alerts_to, options.host
    )


def work(options: argparse.Namespace, bundle: Path) -> None:
    """Do what the options ask for."""
    if options.only and options.deed:
        raise UsageError(f"--only {options.only} does not go with --{options.deed}, which is about all parts")
    settings = settings_of(options, bundle)
    checks.given(settings)
    if options.only == "backend" and not options.host:
        raise UsageError("--only backend: name the server: --host USER@HOST")
    access = checks.token()
    if options.dry_run:
        show(_plan(options, settings, _seen(settings, access)))
        return
    checks.programs({"gcloud"})
    checks.project(settings, access)
    if options.deed:
        _take_back(options, settings, Project(settings, asked))
    else:
        _deploy(options, settings)


def _seen(settings: Settings, access: str | None) -> Project:
    if access is None:
        sys.stderr.write("# nobody is logged in: these are the commands for an empty project\n")
    return Project(settings, asked_if_it_tells if access else nothing)


def _plan(options: argparse.Namespace, settings: Settings, project: Project) -> list[Command]:
    if options.deed:
        return list(_DEEDS[options.deed](settings, project))
    first = [] if options.only else [groundwork.enable(settings)]
    return [*first, *planned(settings, project, options.only)]


_DEEDS = {
    "rollback": undoing.rollback,
    "pause": lambda settings, project: undoing.halt("pause", settings, project),
    "resume": lambda settings, project: undoing.halt("resume", settings, project),
    "destroy": undoing.destroy,
}


def _deploy(options: argparse.Namespace, settings: Settings) -> None:
    """Look, and then deploy. A disabled service cannot be looked at, so they are enabled first, which changes nothing else."""
    if options.only in {None, "rules", "hosting"}:
        checks.firebase()
    planned(settings, Project(settings, nothing), options.only)  # a mistake in our own files is said before anything is done
    if not options.only:
        run([groundwork.enable(settings)])
    project = Project(settings, asked)
    if options.only in {None, "functions", "trackers", "indexes"}:
        checks.place(settings, project)
    if not options.only:
        checks.secrets(settings, project, sys.stdin.isatty())
    plan = planned(settings, project, options.only)
    checks.programs({str(command.words[0]) for command in plan})
    run(plan)
    sys.stdout.write(summary(settings))


def _take_back(options: argparse.Namespace, settings: Settings, project: Project) -> None:
    plan = _plan(options, settings, project)
    checks.programs({str(command.words[0]) for command in plan})
    if options.deed == "destroy" and plan:
        show(plan)
        sys.stdout.write(
            f"These {len(plan)} commands remove Bothways from {settings.project}; data stays. Type its id to go on: "
        )
        sys.stdout.flush()
        if sys.stdin.readline().strip() != settings.project:
            raise DeployError("nothing was removed")
    run(plan)
    sys.stdout.write("done\n" if plan else "there is nothing to do\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0, 1 with a sentence of what is wrong, or 2 if the call is."""
    try:
        options = parser().parse_args(arguments)
        if options.stage:
            sys.stdout.write(f"{stage(options.stage)}\n")
            return 0
        with tempfile.TemporaryDirectory(prefix="bothways-") as folder:
            work(options, stage(Path(folder) / "bundle"))
    except (DeployError, StackError) as error:
        sys.stderr.write(f"deploy.sh: {error}\n")
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        sys.stderr.write("deploy.sh: interrupted before any of its steps; running this again is safe\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
