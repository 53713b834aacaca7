"""Stops a run from carrying over a flood of deletes until somebody has looked at it and allowed just that one."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from shared.model import Page, Scope
from shared.peers.base import Peer
from shared.report import Brake

FEW = 50
SHARE = 0.10
"""Deletes that nobody is asked about: so many, or this part of the entity's records at the target, whichever is more."""


@dataclass(frozen=True, slots=True)
class Way:
    """One entity's way from one peer to the other. `tenants` are those whose records are counted; (None,) where it has none."""

    source: Peer
    target: Peer
    scope: Scope
    tenants: tuple[str | None, ...]

    @property
    def names(self) -> tuple[str, str]:
        """The direction and the entity."""
        return f"{self.source.name}_to_{self.target.name}", self.scope.entities[0]

    def records(self) -> int:
        """Return how many records the target holds."""
        return sum(self.target.count(replace(self.scope, tenant=tenant)) for tenant in self.tenants)


@dataclass
class Brakes:
    """What one run has decided about deletes, by direction and entity. `allowed` is the plan that somebody looked at.

    The whole queue counts, not a page of it, so that many small runs let no more pass than one large one; and what
    arrives while the run is on counts too.
    """

    allowed: str | None = None
    found: dict[tuple[str, str], Brake] = field(default_factory=dict)
    _passed: Counter[tuple[str, str]] = field(default_factory=Counter)
    _limits: dict[tuple[str, str], int] = field(default_factory=dict)
    _plans: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)

    def held(self, way: Way, page: Page) -> frozenset[str]:
        """Return the ids of those deletes in a page of the way's queue that may not pass."""
        deletes = frozenset(change.id for change in page.changes if change.deletes)
        decided = way.names in self.found or way.names in self._plans
        if deletes and not decided and self._passed[way.names] + len(deletes) > self._limits.get(way.names, -1):
            self._look(way, way.source.pending_deletes(way.scope), lambda: _waiting(way))
        return self._sorted_out(way.names, deletes)

    def look(self, way: Way) -> None:
        """Decide about all the deletes that wait on a way before any of them is met. A queue with no more changes than deletes
        may pass need not be looked through for them."""
        waiting = way.source.pending(way.scope)
        if waiting > FEW and waiting > _limit(way):
            self._look(way, way.source.pending_deletes(way.scope), lambda: _waiting(way))

    def held_of(self, way: Way, deletes: Collection[str]) -> frozenset[str]:
        """Return those of these deletes, all that there are, that may not pass. They are in no queue."""
        if way.names not in self.found:
            self._look(way, len(deletes), lambda: deletes)
        return self._sorted_out(way.names, frozenset(deletes))

    def _look(self, way: Way, waiting: int, ids: Callable[[], Iterable[str]]) -> None:
        deletes = self._passed[way.names] + waiting
        limit = FEW if deletes <= FEW else _limit(way)
        self._limits[way.names] = limit
        if deletes <= limit:
            return
        listed = frozenset(ids())
        plan = _plan(listed)
        if plan == self.allowed:
            self._plans[way.names] = listed | self._plans.get(way.names, frozenset())
        else:
            self.found[way.names] = Brake(*way.names, waiting, limit, plan)

    def _sorted_out(self, names: tuple[str, str], deletes: frozenset[str]) -> frozenset[str]:
        if names in self.found:
            return deletes
        if names in self._plans:
            return deletes - self._plans[names]
        self._passed[names] += len(deletes)
        return frozenset()


def _limit(way: Way) -> int:
    return max(FEW, int(SHARE * way.records()))


def _waiting(way: Way) -> Iterable[str]:
    return (change.id for page in way.source.changes(way.scope) for change in page.changes if change.deletes)


def _plan(deletes: Iterable[str]) -> str:
    """Return a hash of the deletes that wait; one more or one less makes another."""
    return hashlib.sha256("\n".join(sorted(deletes)).encode()).hexdigest()[:16]
