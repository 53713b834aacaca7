"""The functions: one plain function per trigger. Authenticate, parse, call, answer."""

from __future__ import annotations

import functions_framework
from cloudevents.http import CloudEvent
from flask import Request
from flask.typing import ResponseReturnValue

from shared import events, service


@functions_framework.http
def bidirectional_sync(request: Request) -> ResponseReturnValue:
    """Carry over what waits in the queues, of all pairs or of the one asked for."""
    return service.answering(request, lambda call: service.sync(request, call))


@functions_framework.http
def reconcile(request: Request) -> ResponseReturnValue:
    """Compare whole peers and repair what differs; the first load is nothing else."""
    return service.answering(request, lambda call: service.reconcile(request, call))


@functions_framework.http
def replay_dead_letters(request: Request) -> ResponseReturnValue:
    """Try dead letters once more, by id, entity or reason, after their cause was mended."""
    return service.answering(request, lambda call: service.replay(request, call))


@functions_framework.http
def resolve_conflict(request: Request) -> ResponseReturnValue:
    """Keep one side of a conflict, or a value given, on both sides."""
    return service.answering(request, lambda call: service.resolve(request, call))


@functions_framework.http
def erase_record(request: Request) -> ResponseReturnValue:
    """Erase a record everywhere, and answer with the receipt."""
    return service.answering(request, lambda call: service.erasing(request, call))


@functions_framework.http
def export_record(request: Request) -> ResponseReturnValue:
    """Return all that is held of a record, on both sides."""
    return service.answering(request, lambda call: service.exporting(request, call))


@functions_framework.http
def sync_health(request: Request) -> ResponseReturnValue:
    """Say whether all is well: 200, or 503 with what needs somebody."""
    return service.answering(request, service.health, method="GET")


@functions_framework.cloud_event
def track_member_changes(event: CloudEvent) -> None:
    """Queue what was written to a member's document."""
    events.receive(event, "member")


@functions_framework.cloud_event
def track_branch_changes(event: CloudEvent) -> None:
    """Queue what was written to a branch's document."""
    events.receive(event, "branch")


@functions_framework.cloud_event
def track_interest_changes(event: CloudEvent) -> None:
    """Queue what was written to an interest's document."""
    events.receive(event, "interest")


@functions_framework.cloud_event
def track_event_changes(event: CloudEvent) -> None:
    """Queue what was written to an event's document."""
    events.receive(event, "event")
