"""The commands that a person's rights ask for: erase and export."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from shared import service
from shared.bar import busy
from shared.cli import EXIT_CODES, EntityName, Json, Key, Tenant, app, new_call
from shared.privacy import Erasure, Subject
from shared.terminal import RUNNING, show, working

__all__ = ["app"]
By = Annotated[str, typer.Option("--by", envvar="USER", help="Who asks for it, for sync_audit.")]
Always = Annotated[bool, typer.Option("--json", help="Always so.")]


@app.command(epilog=EXIT_CODES)
def erase(
    entity: EntityName,
    key: Key,
    tenant: Tenant = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; kept with the receipt, so no name in it.")] = None,
    by: By = "operator",
    as_json: Json = False,
) -> None:
    """Erase a record everywhere.

    It is deleted on both sides, and its values go from queues, conflicts, dead letters and tombstones. Prints a receipt.
    """
    with working(as_json), busy("erasing"):
        asked = Erasure(entity=entity, key=key, tenant=tenant, reason=reason, by=by)
        body, status = service.erase_asked(asked, new_call())
    show(body["result"]["receipt"], as_json, _receipt)
    raise typer.Exit(0 if status == 200 else RUNNING)


@app.command(epilog=EXIT_CODES)
def export(entity: EntityName, key: Key, tenant: Tenant = None, by: By = "operator", as_json: Always = True) -> None:
    """Print all that is held of a record, on both sides, as JSON."""
    with working(as_json):
        body, _ = service.export_asked(Subject(entity=entity, key=key, tenant=tenant, by=by), new_call())
    typer.echo(json.dumps(body["result"], indent=2, ensure_ascii=False))


def _receipt(receipt: dict[str, Any]) -> list[str]:
    lines = [f"receipt {receipt['id']}: {receipt['entity']}, record {receipt['record']}, {receipt['at']}, by {receipt['by']}"]
    for where, counts in receipt["removed"].items():
        lines.append(f"{where}: {', '.join(f'{number} {what}' for what, number in counts.items()) or 'nothing'} removed")
    lines += [f"{each['where']} keeps {each['what']}, until {each['until']}" for each in receipt["remains"]]
    if not receipt["complete"]:
        lines.append(f"not complete: run {', '.join(receipt['waits_for'])} was under way; repeat the command after it has ended")
    return lines
