"""Stops a run from carrying over a flood of deletes until somebody has looked at it and allowed just that one."""

from __future__ import annotations

import hashlib

from shared.model import Scope
from shared.peers.base import Peer
from shared.report import Brake

FEW = 50
SHARE = 0.10
"""Deletes that nobody is asked about: so many, or this part of the entity's records at the target, whichever is more."""


def brake(direction: str, source: Peer, target: Peer, scope: Scope, allowed_plan: str | None) -> Brake | None:
    """Return why the deletes that wait at `source` are held; None if they may pass. `scope` names one entity."""
    [entity] = scope.entities
    deletes = source.pending_deletes(scope)
    if deletes <= FEW:
        return None
    allowed = max(FEW, int(SHARE * target.count(scope)))
    if deletes <= allowed:
        return None
    plan = _plan(source, scope)
    return None if plan == allowed_plan else Brake(direction, entity, deletes, allowed, plan)


def _plan(source: Peer, scope: Scope) -> str:
    """Return a hash of the deletes that wait; one more or one less makes another."""
    ids = sorted(change.id for page in source.changes(scope) for change in page.changes if change.deletes)
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
