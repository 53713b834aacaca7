"""What was found about a pair when its health was asked for: figures, and how long ago a run went through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.config import Health, Schedule
from shared.errors import SyncError
from shared.model import Status
from shared.run import Pair
from shared.schedule import second_after
from shared.store import IDLE_RECORD_EVERY, Store, success_of

TOO_LONG = 2
"""In intervals between planned runs: how long none may go through."""


@dataclass(frozen=True)
class Found:
    """What was asked and answered: each peer's figures, and what lies in Firestore about the pair."""

    peers: Mapping[str, Status]
    silent: Mapping[str, str]
    """Why a peer gave none, by its name."""
    last: Mapping[str, Any]
    dead_letters: int
    open_conflicts: int
    tenants: tuple[str | None, ...]
    """The pair's; None stands for the entities that have none."""
    limits: Health
    schedule: Schedule
    now: datetime

    @property
    def pending(self) -> int:
        """Changes that wait on both sides."""
        return sum(each.pending for each in self.peers.values())

    @property
    def oldest(self) -> datetime | None:
        """When the oldest of them was made."""
        return min((each.oldest_pending_at for each in self.peers.values() if each.oldest_pending_at), default=None)

    @property
    def breakers(self) -> Mapping[str, Mapping[str, Any]]:
        """The breakers that the last run left open."""
        kept = (self.last.get("breakers") or {}).items()
        return {name: each for name, each in kept if each["state"] != "closed"}

    @property
    def quota_errors(self) -> Mapping[str, int]:
        """How often each peer told the last run that a quota is used up."""
        return self.last.get("quota_errors") or {}

    @property
    def success(self) -> datetime | None:
        """Since when a whole run has gone through for every tenant; None before the first."""
        return min(filter(None, map(self.success_of, self.tenants)), default=None)

    def success_of(self, tenant: str | None) -> datetime | None:
        """Return when a run last went through for a tenant: one of the whole pair, or its own."""
        return success_of(self.last, tenant)

    def intervals_since(self, success: datetime | None) -> float | None:
        """Return how long ago that was, as a share of the time between two planned runs; more than TOO_LONG is too long, and also
        what is longer than `health.last_success_hours`. None before the first."""
        if success is None:
            return None
        return round(TOO_LONG * (self.now - success) / (self._due(success) - success), 2)

    def is_overdue(self, success: datetime | None) -> bool:
        """Return whether that was too long ago."""
        return success is not None and self.now > self._due(success)

    def waits_too_long(self, since: datetime | None) -> bool:
        """Return whether what has been waiting since then should have been carried."""
        return since is not None and self.now - since > timedelta(hours=self.limits.oldest_pending_hours)

    def _due(self, success: datetime) -> datetime:
        if self.limits.last_success_hours is not None:
            return success + timedelta(hours=self.limits.last_success_hours)
        return second_after(success + IDLE_RECORD_EVERY, self.schedule)  # a run with nothing to do is not recorded before


def ask(pair: Pair, limits: Health, schedule: Schedule, store: Store, now: datetime) -> Found:
    """Ask both peers, and what lies in Firestore."""
    peers: dict[str, Status] = {}
    silent: dict[str, str] = {}
    for peer in (pair.left, pair.right):
        try:
            status = peer.status(pair.scope)
            carried = any(source is peer for _, source, _ in pair.ways)
            peers[peer.name] = status if carried else replace(status, pending=0, oldest_pending_at=None, tenants={})
        except SyncError as error:
            silent[peer.name] = str(error)
    last, dead = store.lease(pair.name).last, store.open_dead_letters(pair.name)
    tenants = dict.fromkeys(tenant for entity in pair.scope.entities for tenant in pair.tenants_of(entity))
    return Found(peers, silent, last, dead, store.count_open_conflicts(pair.name), tuple(tenants), limits, schedule, now)
