"""The commands about what waits for somebody: conflicts and dead letters."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from shared import service, shown, wiring
from shared.bar import busy
from shared.cli import EXIT_CODES, Entity, Json, Most, PairName, Plan, app, entity_known, new_call, pairs_named
from shared.decision import Decision
from shared.resolve import resolve as decide
from shared.terminal import NEEDS_SOMEBODY, USAGE, fail, show, working

__all__ = ["app"]


@app.command(epilog=EXIT_CODES)
def dead_letters(pair: PairName = None, entity: Entity = None, most: Most = 100, as_json: Json = False) -> None:
    """List refused changes, and why they were."""
    with working(as_json):
        entity_known(entity)
        pairs = pairs_named(pair)
        wanted = {"entity": entity} if entity else {}
        found = [shown.letter(each) for name in pairs for each in wiring.store().letters(name, wanted, most)]
    show(found, as_json, shown.letters)


@app.command(epilog=EXIT_CODES)
def conflicts(
    pair: PairName = None,
    entity: Entity = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that wait for somebody's decision.")] = False,
    most: Most = 100,
    as_json: Json = False,
) -> None:
    """List conflicts of the last 30 days.

    With both values, which of them stands, and by which rule.
    """
    with working(as_json):
        entity_known(entity)
        pairs = pairs_named(pair)
        wanted = ({"entity": entity} if entity else {}) | ({"status": "open"} if open_only else {})
        found = [shown.conflict(each) for name in pairs for each in wiring.store().conflicts(name, wanted, most)]
    show(found, as_json, shown.conflicts)


@app.command(epilog=EXIT_CODES)
def resolve(
    id: Annotated[str, typer.Argument(metavar="CONFLICT-ID", help="As `conflicts` and `explain` name it.")],
    keep: Annotated[str, typer.Option("--keep", metavar="local|incoming|value", help="A side, or a value of your own.")],
    value: Annotated[str | None, typer.Option("--value", metavar="JSON", help="The value, with --keep value.")] = None,
    note: Annotated[str | None, typer.Option("--note", help="Why, for whoever asks later.")] = None,
    by: Annotated[str, typer.Option("--by", envvar="USER", help="Who decides it.")] = "operator",
    again: Annotated[bool, typer.Option("--again", help="Decide anew what somebody has decided.")] = False,
    as_json: Json = False,
) -> None:
    """Decide a conflict, by a newer write to both sides.

    What was settled by a rule can be brought back by keeping the other side.
    """
    asked: dict[str, Any] = {"id": id, "keep": keep, "note": note, "by": by, "again": again}
    with working(as_json):
        given = {} if value is None else {"value": _json(value)}
        done = decide(wiring.pairs(), wiring.store(), wiring.now, wiring.log(), Decision.model_validate(asked | given))
    show(done, as_json, shown.resolved)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        fail(f"--value is no JSON; a text stands in quotes: --value '{json.dumps('Anna')}'", USAGE)


@app.command(epilog=EXIT_CODES)
def replay(
    id: Annotated[str | None, typer.Option("--id", help="The letter with this id, as `dead-letters` lists it.")] = None,
    entity: Entity = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Only those that were refused for this reason.")] = None,
    pair: PairName = None,
    most: Most = 100,
    by: Annotated[str, typer.Option("--by", envvar="USER", help="Who asks for it, for sync_audit.")] = "operator",
    allow_mass_delete: Plan = None,
    as_json: Json = False,
) -> None:
    """Try refused changes once more.

    After their cause was mended. Name them by id, entity or reason. What was superseded since overwrites nothing.
    """
    asked = {
        "id": id,
        "entity": entity,
        "reason": reason,
        "pair": pair,
        "max": most,
        "by": by,
        "allow_mass_delete": allow_mass_delete,
    }
    with working(as_json), busy("replaying"):
        entity_known(entity)
        body, _ = service.replay_asked(service.ReplayRequest.model_validate(asked), new_call())
    show(body, as_json, shown.replayed)
    done = all(each["outcome"] in {"replayed", "superseded"} for each in body["result"]["letters"])
    raise typer.Exit(0 if done else NEEDS_SOMEBODY)
