"""The commands that look and change nothing: status and plan."""

from __future__ import annotations

from typing import Any

import typer

from shared import service, shown, wiring
from shared.bar import bar
from shared.cli import (
    EXIT_CODES,
    Direction,
    Entities,
    Json,
    MaxBilled,
    MaxChanges,
    PairName,
    Tenant,
    app,
    new_call,
    pairs_named,
    run_pairs,
    waiting,
)
from shared.terminal import NEEDS_SOMEBODY, show, working

__all__ = ["app"]


@app.command(epilog=EXIT_CODES)
def status(pair: PairName = None, as_json: Json = False) -> None:
    """Show all pairs in one table.

    What waits on both sides and since when, the last success, conflicts and dead letters.
    """
    with working(as_json):
        wanted = pairs_named(pair)
        body, _ = service.health(new_call())
        told = {name: each | {"sides": _sides(name)} for name, each in body["result"]["pairs"].items() if name in wanted}
        errors = [each for each in body["errors"] if each["pair"] in wanted]
        body |= {"success": not errors, "result": {"pairs": told}, "errors": errors}
    show(body, as_json, shown.status)
    raise typer.Exit(NEEDS_SOMEBODY if errors else 0)


def _sides(pair: str) -> list[str]:
    spec = wiring.settings().pairs[pair]
    return [spec.left, spec.right]


@app.command(epilog=EXIT_CODES)
def plan(
    pair: PairName = None,
    entity: Entities = None,
    tenant: Tenant = None,
    direction: Direction = None,
    max_changes: MaxChanges = None,
    max_billed: MaxBilled = None,
    as_json: Json = False,
) -> None:
    """Say what a sync would do, field by field, and what it would cost.

    It is `sync --dry-run`: nothing is written, and a sync right after it does just that. Values are shown.
    """
    asked: dict[str, Any] = {"pair": pair, "entities": entity, "tenant": tenant, "direction": direction, "dry_run": True}
    asked |= {"max_changes": max_changes, "max_billed": max_billed}
    run_pairs(service.sync_asked, service.SyncRequest, asked, as_json, bar("plan", lambda: waiting(pair)))
