"""The command line. Works in this process, with the environment variables that the functions are configured by."""

from __future__ import annotations

import difflib
import io
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console, RenderableType

from shared import service, shown, wiring
from shared.errors import BadRequest, ConfigError, SyncError, unforeseen
from shared.explain import known, story
from shared.facts import gather
from shared.model import RecordId

FAILED, USAGE, NEEDS_SOMEBODY, RUNNING = 1, 2, 3, 4
EXIT_CODES = (
    "Exit codes: 0 all is well; 1 something failed, or is not there; 2 wrong usage; 3 done, but somebody must look (dead "
    "letters, held deletes, health problems); 4 the pair is being synced by another run."
)
app = typer.Typer(
    help="Keeps a Django-style backend and Firestore in step. " + EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
PairName = Annotated[str | None, typer.Option("--pair", help="One pair instead of all.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="The record's tenant, where the entity has any.")]
Entity = Annotated[str | None, typer.Option("--entity", help="Only those of this entity.")]
Entities = Annotated[list[str] | None, typer.Option("--entity", help="Only this entity; may be given more than once.")]
Direction = Annotated[str | None, typer.Option("--direction", help="One way only, such as django_to_firestore.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and what it would cost. Writes nothing.")]
MaxChanges = Annotated[int | None, typer.Option("--max-changes", min=1, help="Stop after about so many changes.")]
MaxBilled = Annotated[int | None, typer.Option("--max-billed", min=1, help="Stop before so many billed operations are passed.")]
Plan = Annotated[str | None, typer.Option("--allow-mass-delete", metavar="PLAN", help="Let the deletes of this plan pass.")]
Most = Annotated[int, typer.Option("--max", min=1, max=1000, help="At most so many.")]


@app.callback()
def _settings(
    env: Annotated[
        Path | None, typer.Option("--env", metavar="FILE", help="Read environment variables from lines of NAME=VALUE first.")
    ] = None,
) -> None:
    if env is not None:
        os.environ.update(_variables(env))


def _variables(file: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        _fail(f"{file} cannot be read ({type(error).__name__}); `make up` writes .local/up/env", USAGE)
    for number, line in enumerate(lines, 1):
        name, equals, value = line.partition("=")
        if not equals:
            _fail(f"{file}: setting {number} is not of the form NAME=VALUE", USAGE)
        yield name.strip(), value


def _fail(message: str, code: int = FAILED) -> NoReturn:
    typer.echo(f"bothways: {message}", err=True)
    raise typer.Exit(code)


@contextmanager
def _working() -> Iterator[None]:
    """Within, log lines are dropped, and whatever goes wrong is one sentence and an exit code."""
    try:
        with redirect_stdout(io.StringIO()):
            yield
    except typer.Exit:
        raise
    except ConfigError as error:
        _fail(f"{error}\nFor a stack that `make up` has started: bothways --env .local/up/env ...")
    except BadRequest as error:
        _fail(str(error), USAGE)
    except SyncError as error:
        _fail(str(error))
    except ValidationError as error:
        _fail("; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors(include_input=False)), USAGE)
    except Exception as error:
        _fail(unforeseen(error))


def _print(body: Any, as_json: bool, show: Callable[[Any], Iterable[RenderableType]]) -> None:
    if as_json:
        typer.echo(json.dumps(body, ensure_ascii=False, indent=2, default=str))
        return
    console = Console(highlight=False, markup=False)
    for each in show(body):
        console.print(each)


def _known(kind: str, name: str, there: Iterable[str]) -> str:
    """Return a name that is there; anything else ends the program, with a guess at what was meant."""
    names = list(there)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, 1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    _fail(f"there is no {kind} {name!r}; {guess}there are: {', '.join(names)}", USAGE)


def _entity_known(name: str | None) -> None:
    if name is not None:
        _known("entity", name, (entity for pair in wiring.settings().pairs.values() for entity in pair.entities))


@app.command(epilog=EXIT_CODES)
def explain(entity: str, key: str, tenant: Tenant = None, as_json: Json = False) -> None:
    """Tell the story of one record.

    Who wrote what and when, what became of it and why, and how the record is now on both sides.
    """
    with _working():
        _entity_known(entity)
        settings = wiring.settings()
        pair = settings.pair_of(entity)
        tenants = settings.pairs[pair].entities[entity].tenants
        if tenants and tenant is None:
            _fail(f"a record of {entity!r} has a tenant; name it with --tenant: {', '.join(tenants)}", USAGE)
        record = RecordId(entity, key, _known("tenant", tenant, tenants) if tenant else None)
        facts = gather(wiring.pairs()[pair], record, wiring.store())
        if not known(facts):
            _fail(f"nothing is known of this {entity}: neither side holds it, and nothing that was kept is about it")
        told = story(facts, wiring.now()).as_json()
    _print(told, as_json, shown.story)


@app.command(epilog=EXIT_CODES)
def sync(
    pair: PairName = None,
    entity: Entities = None,
    tenant: Tenant = None,
    direction: Direction = None,
    dry_run: DryRun = False,
    max_changes: MaxChanges = None,
    max_billed: MaxBilled = None,
    allow_mass_delete: Plan = None,
    as_json: Json = False,
) -> None:
    """Carry over what waits in the queues."""
    asked: dict[str, Any] = {"pair": pair, "entities": entity, "tenant": tenant, "direction": direction, "dry_run": dry_run}
    asked |= {"max_changes": max_changes, "max_billed": max_billed, "allow_mass_delete": allow_mass_delete}
    _run(service.sync, asked, as_json)


@app.command(epilog=EXIT_CODES)
def reconcile(
    pair: PairName = None,
    entity: Entities = None,
    tenant: Tenant = None,
    dry_run: DryRun = False,
    max_changes: MaxChanges = None,
    max_billed: MaxBilled = None,
    allow_mass_delete: Plan = None,
    as_json: Json = False,
) -> None:
    """Compare both sides whole and mend what differs.

    The first load is nothing else.
    """
    asked: dict[str, Any] = {"pair": pair, "entities": entity, "tenant": tenant, "dry_run": dry_run}
    asked |= {"max_changes": max_changes, "max_billed": max_billed, "allow_mass_delete": allow_mass_delete}
    _run(service.reconcile, asked, as_json)


def _run(motion: Callable[[service.Call], service.Work], asked: dict[str, Any], as_json: bool) -> None:
    with _working():
        for entity in asked["entities"] or ():
            _entity_known(entity)
        if asked["pair"] is not None:
            _known("pair", asked["pair"], wiring.settings().pairs)
        call = _call()
        request = service.SyncRequest.model_validate(asked | {"entities": asked["entities"] or None})
        body, status = service.run_asked(request, call, motion(call))
    _print(body, as_json, shown.runs)
    raise typer.Exit(_code(body, status))


def _call() -> service.Call:
    now = wiring.now()
    return service.Call(uuid.uuid4().hex, f"{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:12]}", False, now)


def _code(body: Mapping[str, Any], status: int) -> int:
    if status == 409:
        return RUNNING
    if not body["success"]:
        return FAILED
    pairs = body["result"]["pairs"].values()
    return NEEDS_SOMEBODY if any(each["brakes"] or each["dead_letters"] for each in pairs) else 0


@app.command(epilog=EXIT_CODES)
def health(as_json: Json = False) -> None:
    """Say how all is, and what needs somebody."""
    with _working():
        body, status = service.health(_call())
    _print(body, as_json, shown.health)
    raise typer.Exit(0 if status == 200 else NEEDS_SOMEBODY)


@app.command(epilog=EXIT_CODES)
def dead_letters(pair: PairName = None, entity: Entity = None, most: Most = 100, as_json: Json = False) -> None:
    """List refused changes, and why they were."""
    with _working():
        _entity_known(entity)
        pairs = [_known("pair", pair, wiring.settings().pairs)] if pair else list(wiring.settings().pairs)
        wanted = {"entity": entity} if entity else {}
        found = [shown.letter(each) for name in pairs for each in wiring.store().letters(name, wanted, most)]
    _print(found, as_json, shown.letters)


@app.command(epilog=EXIT_CODES)
def conflicts(pair: PairName = None, entity: Entity = None, most: Most = 100, as_json: Json = False) -> None:
    """List conflicts that nobody has settled.

    With both values, and which of them stands.
    """
    with _working():
        _entity_known(entity)
        pairs = [_known("pair", pair, wiring.settings().pairs)] if pair else list(wiring.settings().pairs)
        wanted = {"entity": entity} if entity else {}
        found = [shown.conflict(each) for name in pairs for each in wiring.store().conflicts(name, wanted, most)]
    _print(found, as_json, shown.conflicts)


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
    with _working():
        _entity_known(entity)
        body, _ = service.replay_asked(service.ReplayRequest.model_validate(asked), _call())
    _print(body, as_json, shown.replayed)
    done = all(each["outcome"] in {"replayed", "superseded"} for each in body["result"]["letters"])
    raise typer.Exit(0 if done else NEEDS_SOMEBODY)
