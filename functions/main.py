"""The functions: one plain function per trigger. Authenticate, parse, call, answer.

Each loads what it needs when it is first called, so that a tracker's instance never loads the engine.
"""

from __future__ import annotations

import functions_framework
from cloudevents.http import CloudEvent
from flask import Request
from flask.typing import ResponseReturnValue

from shared import unreadable

unreadable.answer()


@functions_framework.http
def bidirectional_sync(request: Request) -> ResponseReturnValue:
    """Carry over what waits in the queues, of all pairs or of the one asked for."""
    from shared import service

    return service.answering(request, lambda call: service.sync(request, call), role="operator")


@functions_framework.http
def reconcile(request: Request) -> ResponseReturnValue:
    """Compare whole peers and repair what differs; the first load is nothing else."""
    from shared import service

    return service.answering(request, lambda call: service.reconcile(request, call), role="operator")


@functions_framework.http
def replay_dead_letters(request: Request) -> ResponseReturnValue:
    """Try dead letters once more, by id, entity or reason, after their cause was mended."""
    from shared import service

    return service.answering(request, lambda call: service.replay(request, call), role="operator")


@functions_framework.http
def resolve_conflict(request: Request) -> ResponseReturnValue:
    """Keep one side of a conflict, or a value given, on both sides."""
    from shared import service

    return service.answering(request, lambda call: service.resolve(request, call), role="operator")


@functions_framework.http
def sync_shard(request: Request) -> ResponseReturnValue:
    """Carry one shard of a run that was handed out; Cloud Tasks calls this."""
    from shared import service

    return service.answering(request, lambda call: service.shard(request, call), role="operator")


@functions_framework.http
def erase_record(request: Request) -> ResponseReturnValue:
    """Erase a record everywhere, and answer with the receipt."""
    from shared import service

    return service.answering(request, lambda call: service.erasing(request, call), role="admin")


@functions_framework.http
def export_record(request: Request) -> ResponseReturnValue:
    """Return all that is held of a record, on both sides."""
    from shared import service

    return service.answering(request, lambda call: service.exporting(request, call), role="operator")


@functions_framework.http
def explain_record(request: Request) -> ResponseReturnValue:
    """Tell the story of one record: who wrote what, what became of it, and why."""
    from shared import service

    return service.answering(request, lambda call: service.explaining(request, call), role="operator")


@functions_framework.http
def sync_health(request: Request) -> ResponseReturnValue:
    """Say whether all is well: 200, or 503 with what needs somebody."""
    from shared import service

    return service.answering(request, service.health, method="GET", role="viewer")


@functions_framework.http
def ojs_event(request: Request) -> ResponseReturnValue:
    """Sync the one submission that a journal's own plugin tells of, in a signed call."""
    from shared import journals, service

    return service.answering(request, lambda call: journals.event(request, call), role="operator", by=journals.signed)


@functions_framework.http
def ojs_health(request: Request) -> ResponseReturnValue:
    """Say how each OJS journal is: 200, or 503 with what is wrong."""
    from shared import journals, service

    return service.answering(request, lambda call: journals.health(request, call), role="viewer")


@functions_framework.http
def dashboard(request: Request) -> ResponseReturnValue:
    """Lead people who sign in with Firebase to what the pages in hosting/ ask for, such as `/api/sync_health`."""
    from shared import door

    behind = (bidirectional_sync, reconcile, replay_dead_letters, resolve_conflict, explain_record, sync_health)
    return door.opened(request, {each.__name__: each for each in behind})


@functions_framework.cloud_event
def track_member_changes(event: CloudEvent) -> None:
    """Queue what was written to a member's document."""
    from shared import events

    events.receive(event, "member")


@functions_framework.cloud_event
def track_branch_changes(event: CloudEvent) -> None:
    """Queue what was written to a branch's document."""
    from shared import events

    events.receive(event, "branch")


@functions_framework.cloud_event
def track_interest_changes(event: CloudEvent) -> None:
    """Queue what was written to an interest's document."""
    from shared import events

    events.receive(event, "interest")


@functions_framework.cloud_event
def track_event_changes(event: CloudEvent) -> None:
    """Queue what was written to an event's document."""
    from shared import events

    events.receive(event, "event")
