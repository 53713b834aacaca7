"""A dry run: the very run that would be made, played where nothing is written, and what it would do, row by row.

Firestore is played by a stage over the real documents, any other peer by a stand-in. So whatever the engine decides,
and whatever it costs, a dry run decides and costs the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

from shared.canonical import canonical
from shared.digests import Digest, Hashed
from shared.errors import SyncError, TerminalRecord
from shared.log import Log, Muted
from shared.model import Acknowledgement, Change, Outcome, Page, Problem, Record, RecordId, Result, Scope, Status, Value, Version
from shared.overlap import Inline
from shared.peers.base import Asked, Peer, Polled, Teller
from shared.peers.firestore import FirestorePeer
from shared.peers.polled import PolledPeer
from shared.peers.standin import StandIn
from shared.policy import Mode
from shared.report import Brake, Report
from shared.run import Order, Pair
from shared.stage import Stage
from shared.store import Store

Motion: TypeAlias = Callable[[Pair, Order, Store, Callable[[], datetime], Log], Report]
"""`engine.sync` or `reconcile.reconcile`."""
Aside: TypeAlias = Callable[[], AbstractContextManager[None]]
Row: TypeAlias = dict[str, Any]
MOST_CHANGES = 10_000
"""What is played is kept in memory, so a dry run looks at so many changes at most."""
MOST_ROWS = 1000
LONGEST_VALUE = 2000
"""Characters of a value in JSON; a longer one is not shown."""


def rehearse(motion: Motion, pair: Pair, order: Order, store: Store, now: Callable[[], datetime]) -> Report:
    """Return the report that the motion would make, with `plan` and `forecast`; `billed` is what the looking cost.

    Writes nothing in Firestore. A backend adopts its unseen edits when it shows records, as it always does; they then
    wait in its queue, so that a second dry run shows them. Raises as the motion does.
    """
    stage, plan = Stage(store.documents, now), Plan()
    sides = ((pair.left, pair.right), (pair.right, pair.left))
    left, right = (
        _watched(_played(me, pair, stage, now), f"{other.name}_to_{me.name}", plan, stage.aside) for me, other in sides
    )
    before = pair.billed.copy()
    played = replace(pair, left=left, right=right, billed=stage.billed, beside=Inline)
    bounded = replace(order, max_changes=min(order.max_changes or MOST_CHANGES, MOST_CHANGES))
    report = motion(played, bounded, store.on(stage), now, Muted())
    plan.settle({})
    for each in report.brakes:
        plan.hold(each, _held(each, left if each.direction == right.direction else right, played.scope))
    report.forecast, report.billed = report.billed, pair.billed.since(before)
    report.plan, report.plan_more = plan.rows, plan.more
    return report


def _played(peer: Peer, pair: Pair, stage: Stage, now: Callable[[], datetime]) -> Peer:
    return peer.on(stage) if isinstance(peer, FirestorePeer | PolledPeer) else StandIn(peer, pair.names, now)


def _watched(peer: Peer, direction: str, plan: Plan, aside: Aside) -> Watched:
    """Return the peer, watched, with what it can tell of digests. What is only played does not show in those: it is read
    as a difference, and found equal."""
    lying = peer.played if isinstance(peer, StandIn) else peer
    if isinstance(lying, Polled):
        return WatchedPolled(peer, direction, plan, aside, lying)
    if isinstance(lying, Teller):
        return WatchedTeller(peer, direction, plan, aside, lying)
    return (
        WatchedAsked(peer, direction, plan, aside, lying) if isinstance(lying, Asked) else Watched(peer, direction, plan, aside)
    )


def _held(found: Brake, source: Peer, scope: Scope) -> Iterator[Change]:
    pages = source.changes(replace(scope, entities=(found.entity,)))
    return (change for page in pages for change in page.changes if change.deletes)


@dataclass
class Plan:
    """What a run would do. Rows of changes whose fate is not settled yet are kept apart, since a change may be tried again
    in another form."""

    rows: list[Row] = field(default_factory=list)
    more: int = 0
    _open: dict[tuple[str | None, str], list[Row]] = field(default_factory=dict)
    """By direction and change."""

    def note(self, direction: str, change: Change, before: Version, result: Result) -> None:
        """Note what would become of a change at a peer that holds `before`."""
        self._open[direction, change.id] = [_row(direction, change.record) | each for each in _steps(change, before, result)]

    def settle(self, failed: Mapping[str, str]) -> None:
        """Note that nothing more becomes of the changes noted so far. `failed` maps dead letters to their reasons."""
        noted = {place[1]: place for place in self._open}
        for id, reason in failed.items():
            place = noted.get(id, (None, id))
            unread = [_row(None, None) | {"action": "none", "id": id}]
            self._open[place] = [row | {"why": f"dead letter: {reason}"} for row in self._open.get(place, unread)]
        for rows in self._open.values():
            self._add(rows)
        self._open = {}

    def hold(self, found: Brake, changes: Iterator[Change]) -> None:
        """Note the deletes that a brake holds."""
        why = f"held by the brake; allow_mass_delete={found.plan} lets it pass"
        number = 0
        for change in changes:
            number += 1
            self._add([_row(found.direction, change.record) | {"action": "none", "to": {"stamp": change.deleted}, "why": why}])
            if self.more:
                break
        self.more += max(0, found.deletes - number)

    def _add(self, rows: Sequence[Row]) -> None:
        room = MOST_ROWS - len(self.rows)
        self.rows += rows[:room]
        self.more += max(0, len(rows) - room)


def _row(direction: str | None, record: RecordId | None) -> Row:
    known = {"entity": record.entity, "tenant": record.tenant, "key": record.key} if record else {}
    blank = dict.fromkeys(("entity", "tenant", "key", "action", "field", "from", "to", "why"))
    return {"direction": direction, **blank} | known


def _steps(change: Change, before: Version, result: Result) -> Iterator[Row]:
    """Yield what would happen to each field of a change, and to the record if the change deletes it or brings it back."""
    applied = result.outcome is Outcome.APPLIED
    if change.deletes:
        yield {"action": "delete" if applied else "none", "to": {"stamp": change.deleted}, "why": _why(None, result)}
    live = before.known and before.deleted is None
    shown = before.fields if live else {}
    for name, value in change.fields.items():
        action = ("update" if live else "create") if name in result.applied else "none"
        seen = {"field": name, "from": _shown(shown.get(name)), "to": _shown(value)}
        yield {"action": action, "why": _why(name, result), **seen}
    if before.deleted is not None and applied and result.deleted is None:
        for name in before.fields.keys() - set(result.applied):
            yield {"action": "create", "field": name, "to": _shown(before.fields[name]), "why": "comes back with the record"}


def _why(name: str | None, result: Result) -> str:
    conflict = next((each for each in result.conflicts if each.field == name), None)
    if result.outcome is Outcome.INVALID or result.outcome is Outcome.RETRY:
        kind = "dead letter" if result.outcome is Outcome.INVALID else "waits"
        return f"{kind}: {result.problem.code}: {result.problem.message}" if result.problem else kind
    if conflict is not None:
        return f"conflict: {conflict.winner} wins"
    if name is None or name in result.applied:
        return str(result.outcome)
    newer = result.outcome is not Outcome.UNCHANGED
    return "what is there is newer" if newer else "unchanged"


def _shown(value: Value | None) -> Row | None:
    if value is None:
        return None
    try:
        length = len(canonical(value.value))
    except TerminalRecord:  # half a surrogate pair: no answer could say it
        return {"stamp": value.stamp, "unsayable": True}
    return (
        {"value": value.value, "stamp": value.stamp} if length <= LONGEST_VALUE else {"stamp": value.stamp, "characters": length}
    )


def _read(peer: Peer, ids: Sequence[RecordId]) -> list[Record]:
    """Return the records as they would be once adopted; none for a key that the peer can hold no record of."""
    try:
        return peer.read(ids, adopting=False)
    except TerminalRecord:
        return [record for id in ids for record in _read(peer, [id])] if len(ids) > 1 else []


@dataclass
class Watched:
    """A peer that is played; what is applied to it goes into the plan. `aside` is where what it takes to tell is not counted."""

    peer: Peer
    direction: str
    plan: Plan
    aside: Aside

    @property
    def name(self) -> str:
        """The peer's own."""
        return self.peer.name

    @property
    def foresees(self) -> bool:
        return self.peer.foresees

    def refuses(self, change: Change) -> Problem | None:
        return self.peer.refuses(change)

    def apply(self, changes: Sequence[Change], run_id: str, mode: Mode = Mode.LWW) -> list[Result]:
        """Apply, and note what became of what was held before."""
        with self.aside():
            held = {record.id: record.version for record in _read(self.peer, [change.record for change in changes])}
        results = self.peer.apply(changes, run_id, mode)
        for change, result in zip(changes, results, strict=True):
            self.plan.note(self.direction, change, held.get(change.record, Version()), result)
        return results

    def acknowledge(self, run_id: str, done: Acknowledgement) -> None:
        """Acknowledge; the changes noted so far are settled by that."""
        self.plan.settle(done.failed)
        self.peer.acknowledge(run_id, done)

    def changes(self, scope: Scope) -> Iterator[Page]:
        """As the peer does, like all that follows."""
        return self.peer.changes(scope)

    def pending(self, scope: Scope) -> int:
        return self.peer.pending(scope)

    def pending_deletes(self, scope: Scope) -> int:
        return self.peer.pending_deletes(scope)

    def count(self, scope: Scope) -> int:
        return self.peer.count(scope)

    def settle(self, run_id: str, conflicts: Sequence[str]) -> None:
        self.peer.settle(run_id, conflicts)

    def read(self, ids: Sequence[RecordId], adopting: bool = True) -> list[Record]:
        return self.peer.read(ids, adopting)

    def records(self, scope: Scope, entity: str, after: str | None = None) -> Iterator[list[Record]]:
        return self.peer.records(scope, entity, after)

    def status(self, scope: Scope) -> Status:
        return self.peer.status(scope)


@dataclass
class WatchedPolled(Watched):
    """The same of a peer that is polled."""

    polled: Polled

    @property
    def writable(self) -> bool:
        return self.polled.writable

    def poll(self, scope: Scope, tenants_of: Callable[[str], Sequence[str | None]]) -> Mapping[str | None, SyncError]:
        return self.polled.poll(scope, tenants_of)


@dataclass
class WatchedTeller(Watched):
    """The same of a peer that tells digests: those of what lies there."""

    teller: Teller

    def digests(self, scope: Scope, entity: str) -> list[Digest] | None:
        return self.teller.digests(scope, entity)

    def hashes(self, scope: Scope, entity: str, buckets: Mapping[int, Digest]) -> Iterator[tuple[set[int], list[Hashed]]]:
        return self.teller.hashes(scope, entity, buckets)


@dataclass
class WatchedAsked(Watched):
    """The same of a peer that is asked for digests."""

    asked: Asked

    def digest(self, scope: Scope, entity: str, buckets: range, hashes: range) -> Digest:
        return self.asked.digest(scope, entity, buckets, hashes)

    def hashed(self, scope: Scope, entity: str, buckets: range, hashes: range) -> list[Hashed]:
        return self.asked.hashed(scope, entity, buckets, hashes)
