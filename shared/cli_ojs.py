"""The command for OJS journals: sync them now, or ask how they are."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from shared import journals, service, wiring
from shared.cli import EXIT_CODES, DryRun, Json, app, new_call, run_pairs
from shared.peers.ojs import Ojs
from shared.peers.polled import PolledPeer
from shared.run import Pair
from shared.tasks import Task
from shared.terminal import NEEDS_SOMEBODY, USAGE, fail, known_name, show, working

__all__ = ["app"]
TYPES = {"submissions": "submission", "users": "profile", "issues": "issue", "reviews": "review", "comments": "comment"}


@app.command(epilog=EXIT_CODES)
def ojs(
    journal: Annotated[str | None, typer.Option("--journal", metavar="SLUG", help="One, whatever its interval.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help=f"Only {', '.join(TYPES)}.")] = None,
    later: Annotated[bool, typer.Option("--async", help="By a task, without waiting for the answer.")] = False,
    health: Annotated[bool, typer.Option("--health-check", help="Only say how the journals are.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Sync OJS journals now, or ask how they are.

    Without --journal, those whose interval is over.
    """
    if health:
        _health(journal, as_json)
    with working(as_json):
        asked = _asked(journal, kind, dry_run)
        if later:
            _ask_for(asked)
    if later:
        show({"asked": True}, as_json, lambda _: ["asked for; the answer will lie in sync_runs"])
        return
    run_pairs(service.sync_asked, service.SyncRequest, asked, as_json)


def _asked(journal: str | None, kind: str | None, dry_run: bool) -> dict[str, Any]:
    pair = next(_pairs(), None)
    if pair is None:
        fail("sync.yaml has no pair with an OJS; examples/ojs.yaml is one", USAGE)
    entities = [TYPES[known_name("type", kind, TYPES)]] if kind else None
    tenant = known_name("journal", journal, pair.tenants.get("submission", ())) if journal else None
    return {"pair": pair.name, "tenant": tenant, "entities": entities, "dry_run": dry_run}


def _pairs() -> Iterator[Pair]:
    for pair in wiring.pairs().values():
        if any(isinstance(peer, PolledPeer) and isinstance(peer.system, Ojs) for peer in (pair.left, pair.right)):
            yield pair


def _ask_for(asked: dict[str, Any]) -> None:
    tasks = wiring.tasks()
    if tasks is None:
        fail("there is no task queue; set TASK_QUEUE, or leave --async out", USAGE)
    body = {name: value for name, value in asked.items() if value}
    tasks.add(Task(f"ojs-{uuid.uuid4().hex}", "bidirectional_sync", body))


def _health(journal: str | None, as_json: bool) -> None:
    with working(as_json):
        body, status = journals.health_asked(journals.HealthRequest(journal=journal), new_call())
    show(body, as_json, _told)
    raise typer.Exit(0 if status == 200 else NEEDS_SOMEBODY)


def _told(body: dict[str, Any]) -> Iterator[str]:
    for slug, each in body["result"]["journals"].items():
        lacks = f", which offers no {', '.join(each['offers_no'])}" if each["offers_no"] else ""
        yield f"{slug}: {each['problem'] or 'OJS ' + each['version']}{lacks}"
