"""Real time: after a commit that queued a change, has the pair synced a few seconds later, through Cloud Tasks.

Off unless settings.NUDGE is set: {"queue": full name, "functions_url": URL, "pair": NAME, "seconds": 5, and "account" (a service
account, for an OIDC token) or "token" (a bearer token)}; needs google-cloud-tasks. Never fails or slows a user's save: the
call is made by a thread of its own, once per time slot, and what goes wrong is logged. The nightly run is the net.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.conf import settings
from django.db import transaction

logger = logging.getLogger(__name__)
MARGIN = 1.0
"""Seconds before a task's time: by so much may two clocks be apart, and no nudge be taken for one that has run."""
CALL_SECONDS = 10.0
_lock = threading.Lock()
_last: dict[str, datetime] = {}


def nudge_after_commit(using: str) -> None:
    """Have the pair synced soon after the transaction that is going on, if it is committed."""
    if getattr(settings, "NUDGE", None):
        transaction.on_commit(_nudge, using=using, robust=True)


def slot_end(now: datetime, seconds: float) -> datetime:
    """Return when the time slot ends that a change made now falls into; all processes cut time into the same slots."""
    return datetime.fromtimestamp(((now.timestamp() + MARGIN) // seconds + 1) * seconds, UTC)


def _nudge() -> None:
    wanted: Mapping[str, Any] = settings.NUDGE or {}
    end = slot_end(datetime.now(UTC), float(wanted.get("seconds", 5)))
    with _lock:
        if _last.get(wanted["pair"]) == end:
            return
        _last[wanted["pair"]] = end
    threading.Thread(target=_send, args=(wanted, end), name="nudge").start()


def _send(wanted: Mapping[str, Any], end: datetime) -> None:
    """Create the task; that one of its name exists means that somebody else was nudged first."""
    try:
        from google.api_core.exceptions import AlreadyExists

        try:
            enqueue(wanted, f"nudge-{wanted['pair']}-{end:%Y%m%dT%H%M%S%f}", "bidirectional_sync", {"pair": wanted["pair"]}, end)
        except AlreadyExists:
            return
    except Exception as error:
        with _lock:
            _last.pop(wanted["pair"], None)
        logger.warning("a nudge did not reach Cloud Tasks (%s); the next save nudges again", type(error).__name__)


def enqueue(wanted: Mapping[str, Any], name: str, function: str, body: Mapping[str, Any], at: datetime) -> None:
    """Have a function called at a time, by a task of this name; `wanted` is as in settings.NUDGE. AlreadyExists (of
    google-api-core) if there is, or was of late, a task of the name."""
    url = f"{wanted['functions_url'].rstrip('/')}/{function}"
    headers = {"Content-Type": "application/json"}
    request: dict[str, Any] = {"url": url, "http_method": "POST", "headers": headers, "body": json.dumps(body).encode()}
    if wanted.get("account"):
        request["oidc_token"] = {"service_account_email": wanted["account"], "audience": url}
    else:
        headers["Authorization"] = f"Bearer {wanted.get('token', '')}"
    id = f"{hashlib.sha256(name.encode()).hexdigest()[:12]}-{name}"  # Cloud Tasks gets slow with ids that begin alike
    task = {"name": f"{wanted['queue']}/tasks/{id}", "http_request": request, "schedule_time": at}
    task |= {"dispatch_deadline": {"seconds": 1800}}
    _client().create_task(parent=wanted["queue"], task=task, retry=None, timeout=CALL_SECONDS)


@cache
def _client() -> Any:
    """Return the client of Cloud Tasks, or of a local server that CLOUD_TASKS_HOST names."""
    import grpc  # type: ignore[import-untyped]
    from google.cloud.tasks_v2 import CloudTasksClient
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

    host = os.environ.get("CLOUD_TASKS_HOST")
    return CloudTasksClient(transport=CloudTasksGrpcTransport(channel=grpc.insecure_channel(host)) if host else None)
