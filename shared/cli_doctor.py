"""The command that checks everything: doctor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import typer
import yaml
from rich.console import RenderableType
from rich.text import Text

from shared import wiring
from shared.bar import busy
from shared.cli import EXIT_CODES, Json, app
from shared.doctor.deployed import Deployed
from shared.doctor.examination import examined
from shared.doctor.finding import State
from shared.errors import TerminalBatch
from shared.shown import columns
from shared.terminal import FAILED, NEEDS_SOMEBODY, show, working

__all__ = ["app"]
STYLES = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "red", State.SKIPPED: "dim"}


@app.command(epilog=EXIT_CODES)
def doctor(as_json: Json = False) -> None:
    """Check everything that a sync needs, and say what to do about what is not right.

    Configuration, secrets, both sides, clocks, models, rules, triggers, indexes, jobs, versions, queues. Changes nothing.
    Exit code 1: something cannot work so; 3: there are warnings.
    """
    with working(as_json), busy("checking"):
        found = [asdict(each) for each in examined(_look)]
    states = {each["state"] for each in found}
    show({"success": State.FAILED not in states, "checks": found}, as_json, _shown)
    raise typer.Exit(FAILED if State.FAILED in states else NEEDS_SOMEBODY if State.WARNING in states else 0)


def _shown(body: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Show a line for each check, with a cure below what needs one."""
    checks: Sequence[Mapping[str, Any]] = body["checks"]
    table = columns("", "check", "found")
    for each in checks:
        cure = f"\n  cure: {each['cure']}" if each["cure"] else ""
        table.add_row(Text(each["state"], style=STYLES[each["state"]]), each["check"], each["message"] + cure)
    yield table
    counts = Counter(str(each["state"]) for each in checks)
    yield ", ".join(f"{number} {state}" for state, number in counts.items())


def _look(project: str) -> Deployed:
    """Return what Google tells of a project; TerminalBatch where it cannot be asked. What deploys knows how to ask."""
    from scheduler.deployment.errors import DeployError
    from scheduler.deployment.state import looked

    try:
        return Deployed(**looked(project, yaml.safe_load(wiring.config_path().read_text(encoding="utf-8"))))
    except DeployError as error:
        raise TerminalBatch(str(error)) from None
