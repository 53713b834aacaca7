"""The command line. Works in this process, with the environment variables that the functions are configured by."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from shared import service, shown, wiring
from shared.bar import Told, bar
from shared.callers import Caller, Role
from shared.errors import SyncError
from shared.explain import known, tell
from shared.facts import gather
from shared.model import RecordId
from shared.rollups import by_day
from shared.statistics import told_of_days
from shared.terminal import FAILED, NEEDS_SOMEBODY, RUNNING, USAGE, VERBOSE, fail, known_name, show, variables, working

EXIT_CODES = (
    "Exit codes: 0 all is well; 1 something failed, or is not there; 2 wrong usage or configuration; 3 done, but somebody must "
    "look (dead letters, held deletes, health problems, warnings); 4 the pair is being synced by another run."
)
app = typer.Typer(
    help="Keeps a Django-style backend and Firestore in step. " + EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Asked = TypeVar("Asked", bound=service.RunRequest)


def _pairs_there() -> list[str]:
    """Return what may stand where a pair is named, for the shell; nothing where sync.yaml cannot be read."""
    with suppress(SyncError):
        return list(wiring.settings().pairs)
    return []


def _entities_there() -> list[str]:
    with suppress(SyncError):
        return [entity for pair in wiring.settings().pairs.values() for entity in pair.entities]
    return []


EntityName = Annotated[
    str, typer.Argument(metavar="ENTITY", help="The kind of record, as sync.yaml names it.", autocompletion=_entities_there)
]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The record's key.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
PairName = Annotated[str | None, typer.Option("--pair", help="One pair instead of all.", autocompletion=_pairs_there)]
Tenant = Annotated[str | None, typer.Option("--tenant", help="The record's tenant, where the entity has any.")]
Entity = Annotated[str | None, typer.Option("--entity", help="Only those of this entity.", autocompletion=_entities_there)]
Entities = Annotated[
    list[str] | None,
    typer.Option("--entity", help="Only this entity; may be given more than once.", autocompletion=_entities_there),
]
Direction = Annotated[str | None, typer.Option("--direction", help="One way only, such as django_to_firestore.")]
Keys = Annotated[list[str] | None, typer.Option("--key", help="Only this record of the one --entity; may be repeated.")]
Quick = Annotated[bool, typer.Option("--quick", help="By digests: a billed read for a thousand records; misses lost triggers.")]
Batch = Annotated[int | None, typer.Option("--batch-size", min=1, max=1000, help="So many records at a time.")]
Restart = Annotated[bool, typer.Option("--restart", help="From the first record, even if an earlier one was cut off.")]
Report = Annotated[bool, typer.Option("--report", help="Only count what differs; mend nothing.")]
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
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log's lines, on stderr.")] = False,
) -> None:
    VERBOSE.set(verbose)
    if env is not None:
        with working():
            os.environ.update(variables(env))


def entity_known(name: str | None) -> None:
    """End the program if sync.yaml names no such entity."""
    if name is not None:
        known_name("entity", name, (entity for pair in wiring.settings().pairs.values() for entity in pair.entities))


def pairs_named(named: str | None) -> list[str]:
    """Return the name of the pair asked for, or all; ends the program where there is no such pair."""
    there = wiring.settings().pairs
    return [known_name("pair", named, there)] if named else list(there)


@app.command(epilog=EXIT_CODES)
def explain(entity: EntityName, key: Key, tenant: Tenant = None, as_json: Json = False) -> None:
    """Tell the story of one record.

    Who wrote what and when, what became of it and why, and how the record is now on both sides.
    """
    with working(as_json):
        entity_known(entity)
        settings = wiring.settings()
        pair = settings.pair_of(entity)
        tenants = settings.pairs[pair].entities[entity].tenants
        if tenants and tenant is None:
            fail(f"a record of {entity!r} has a tenant; name it with --tenant: {', '.join(tenants)}", USAGE)
        record = RecordId(entity, key, known_name("tenant", tenant, tenants) if tenant else None)
        facts = gather(wiring.pairs()[pair], record, wiring.store())
        if not known(facts):
            fail(f"nothing is known of this {entity}: neither side holds it, and nothing that was kept is about it")
        told = tell(facts, wiring.now()).as_json()
    show(told, as_json, shown.story)


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
    run_pairs(service.sync_asked, service.SyncRequest, asked, as_json, bar("sync", lambda: waiting(pair)))


@app.command(epilog=EXIT_CODES)
def reconcile(
    pair: PairName = None,
    entity: Entities = None,
    tenant: Tenant = None,
    key: Keys = None,
    quick: Quick = False,
    batch_size: Batch = None,
    restart: Restart = False,
    report: Report = False,
    dry_run: DryRun = False,
    max_changes: MaxChanges = None,
    max_billed: MaxBilled = None,
    allow_mass_delete: Plan = None,
    as_json: Json = False,
) -> None:
    """Compare both sides whole and mend what differs.

    The first load is nothing else.
    """
    asked: dict[str, Any] = {"pair": pair, "entities": entity, "tenant": tenant, "dry_run": dry_run, "keys": key or None}
    asked |= {"mode": "quick" if quick else "full", "restart": restart, "repair": not report}
    asked["batch_size"] = batch_size
    asked |= {"max_changes": max_changes, "max_billed": max_billed, "allow_mass_delete": allow_mass_delete}
    run_pairs(service.reconcile_asked, service.ReconcileRequest, asked, as_json, bar("reconcile", lambda: None))


def waiting(named: str | None) -> int | None:
    """Return how many changes wait; None where that cannot be asked, which the run itself will say."""
    with suppress(SyncError, KeyError):
        pairs = [pair for name, pair in wiring.pairs().items() if named in {None, name}]
        return sum(peer.pending(pair.scope) for pair in pairs for peer in (pair.left, pair.right))
    return None


def run_pairs(
    work: Callable[[Asked, service.Call], service.Answer],
    kind: type[Asked],
    asked: dict[str, Any],
    as_json: bool,
    progress: AbstractContextManager[Told] | None = None,
) -> None:
    """Make a run of the pairs asked for, show what it did or would do, and end the program with the code for that."""
    with working(as_json):
        for entity in asked["entities"] or ():
            entity_known(entity)
        pairs_named(asked["pair"])
        order = kind.model_validate(asked | {"entities": asked["entities"] or None})
        with progress or bar("running", lambda: None) as told:
            body, status = work(order, replace(new_call(), told=told))
    show(body, as_json, shown.runs)
    raise typer.Exit(_code(body, status))


def new_call() -> service.Call:
    """Return a call of the command line."""
    now = wiring.now()
    user = os.environ.get("USER", "command line")  # who may reach Firestore with this command is IAM's to say
    run_id = f"{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:12]}"
    return service.Call(uuid.uuid4().hex, run_id, False, now, Caller(user, user, Role.ADMIN, shared=True))


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
    with working(as_json):
        body, status = service.health(new_call())
    show(body, as_json, shown.health)
    raise typer.Exit(0 if status == 200 else NEEDS_SOMEBODY)


@app.command(epilog=EXIT_CODES)
def statistics(
    pair: PairName = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="The last so many days, by day.")] = 30,
    year: Annotated[bool, typer.Option("--year", help="The last 366 days, by month.")] = False,
    as_json: Json = False,
) -> None:
    """Say what the runs came to: how many, how long, at what cost.

    Days are those of UTC. Runs that found nothing to do are recorded once an hour.
    """
    with working(as_json):
        now, store, number = wiring.now(), wiring.store(), 366 if year else days
        told = {name: told_of_days(by_day(store, name, number, now), by_months=year) for name in pairs_named(pair)}
    show(told, as_json, shown.statistics)
