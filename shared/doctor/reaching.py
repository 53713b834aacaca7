"""Checks of both sides: are they there, do they let us in, do their clocks agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from shared.doctor.finding import Finding, failed, ok, skipped, tried, warning
from shared.errors import SyncError, TerminalBatch, Transient
from shared.model import Scope
from shared.peers.base import Peer
from shared.peers.rest_queue import RestQueue
from shared.peers.system import Greeter
from shared.retry import Backoff


def secrets(names: Sequence[str], get: Callable[[str], str]) -> Iterator[Finding]:
    """Yield, for each secret, whether it can be read and holds something. One that does not answer is not asked again."""
    silent = False
    for name in names:
        if silent:
            yield skipped("secrets", f"{name}: see above")
            continue
        cure = f"gcloud secrets create {name} --data-file=FILE, and grant roles/secretmanager.secretAccessor on it"
        try:
            yield ok("secrets", f"{name} is there") if get(name) else failed("secrets", f"{name} is empty", cure)
        except Transient as error:
            silent = True
            yield failed("secrets", str(error), "is this machine online, and SECRET_MANAGER_HOST right if it is set?")
        except SyncError as error:
            yield failed("secrets", str(error), cure)


def answering(peer: Peer, scope: Scope, now: Callable[[], datetime], apart: float) -> Iterator[Finding]:
    """Yield that a side answers, and whether its clock is within `apart` seconds of ours. Raises as the peer does."""
    status = peer.status(scope)
    off = (status.now - now()).total_seconds()
    yield ok(peer.name, "it answers, and knows us")
    if abs(off) > apart:
        cure = "turn on its time service, or ours: timedatectl set-ntp true"
        yield warning("clocks", f"{peer.name} is {off:+.0f} s off ours; {apart:.0f} s are let pass", cure)
    else:
        yield ok("clocks", f"{peer.name} and this machine agree within {max(1, round(abs(off)))} s")


def tenants(peer: str, system: Greeter, named: Iterable[str]) -> Iterator[Finding]:
    """Yield of each tenant of a polled side whether it is the right one and lets us in; what is wrong says what to do."""
    for tenant in named:
        cure = "that says what to mend; every other tenant is synced meanwhile"
        yield from tried("tenants", partial(_greeted, peer, system, tenant), cure)


def _greeted(peer: str, system: Greeter, tenant: str) -> Iterator[Finding]:
    yield ok("tenants", f"{peer}: {tenant}: {system.greet(tenant)}")


def may_sync(backend: RestQueue, scope: Scope) -> Iterator[Finding]:
    """Yield whether the token may do more than look, by a look at the queue's first entry. Raises as the peer does."""
    for _ in backend.changes(replace(scope, entities=(), page_size=1)):
        break
    yield ok("token", f"{backend.name} lets the token read the queue")


def signed(backend: RestQueue, scope: Scope) -> Iterator[Finding]:
    """Yield whether requests are signed, and whether the backend insists on it."""
    if backend.signing_key is None:
        yield ok("signing", f"requests to {backend.name} are not signed; a `signing_key` in sync.yaml changes that")
        return
    try:
        replace(backend, signing_key=None).status(scope)
    except TerminalBatch:
        yield ok("signing", f"{backend.name} takes signed requests only")
    else:
        cure = "set SYNC_QUEUE_SIGNING_KEYS there to the key that sync.yaml names"
        yield warning("signing", f"{backend.name} takes requests that are not signed too", cure)


def once(backend: RestQueue) -> RestQueue:
    """Return the backend as the doctor asks it: once, whatever a breaker thinks."""
    return replace(backend, backoff=Backoff(1), breaker=None)
