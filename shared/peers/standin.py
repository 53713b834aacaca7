"""Plays another peer in a rehearsal: shows what that one holds, answers as it would, and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

from shared.model import (
    Acknowledgement,
    Action,
    Change,
    Outcome,
    Page,
    Problem,
    Record,
    RecordId,
    Result,
    Scope,
    Status,
    Version,
    stamp_time,
)
from shared.peers.base import Peer
from shared.policy import Mode, decide

Place: TypeAlias = tuple[str, str]
"""Where a record stands among its like: key and tenant."""
TOLERANCE = timedelta(minutes=5)
"""How far ahead of its clock a backend lets a stamp be (REST contract)."""


class StandIn:
    """Stands in for `played`. `names` lists the synced fields of each entity.

    What only that peer can judge (a unique value, a rule of its own) is not foreseen; and it may adopt its unseen edits
    when it is asked for records. Keeps every record that it was asked for in memory.
    """

    def __init__(self, played: Peer, names: Mapping[str, tuple[str, ...]], now: Callable[[], datetime]) -> None:
        self.played, self.names, self.now = played, names, now
        self.name = played.name
        self._held: dict[RecordId, Version] = {}
        self._changed: set[RecordId] = set()
        self._acknowledged: set[str] = set()
        self._ahead: timedelta | None = None

    @property
    def takes_turns(self) -> bool:
        """As the peer does."""
        return self.played.takes_turns

    @property
    def foresees(self) -> bool:
        """As the peer does."""
        return self.played.foresees

    def refuses(self, change: Change) -> Problem | None:
        """Return why the peer would refuse a change, as far as it can tell beforehand."""
        return self.played.refuses(change)

    def changes(self, scope: Scope) -> Iterator[Page]:
        """Yield what waits and was not acknowledged here."""
        for page in self.played.changes(scope):
            malformed = {id: problem for id, problem in page.malformed.items() if id not in self._acknowledged}
            yield Page([change for change in page.changes if change.id not in self._acknowledged], malformed)

    def apply(self, changes: Sequence[Change], run_id: str, mode: Mode = Mode.LWW) -> list[Result]:
        """Return what the peer would answer, and hold what it would hold."""
        self._look_up([change.record for change in changes])
        latest = self._clock(changes) + TOLERANCE
        return [self._apply(change, mode, latest) for change in changes]

    def _apply(self, change: Change, mode: Mode, latest: datetime) -> Result:
        if stamp_time(change.latest) > latest:
            return Result(change.id, Outcome.RETRY, problem=Problem("future", "stamped more than 5 minutes ahead of its clock"))
        before = self._held[change.record]
        decision = decide(before, change, mode)
        if not self._is_whole(change, before, decision.version):
            return Result(change.id, Outcome.RETRY, problem=Problem("incomplete", "the record is not known there"))
        if decision.version is not before:
            self._held[change.record] = decision.version
            self._changed.add(change.record)
        stamps = {name: decision.version.fields[name].stamp for name in change.fields if name in decision.version.fields}
        return Result(change.id, decision.outcome, decision.applied, stamps, decision.version.deleted, decision.conflicts)

    def _is_whole(self, change: Change, before: Version, after: Version) -> bool:
        """Whether nothing would be missing. A tombstone that shows no values is taken to have them."""
        hidden = before.deleted is not None and not before.fields
        there = before.known and before.deleted is None
        named = all(name in after.fields for name in self.names.get(change.record.entity, ()))
        return after.deleted is not None or change.action is Action.CREATE or hidden or there or named

    def _clock(self, changes: Sequence[Change]) -> datetime:
        if self._ahead is None and changes:
            entities = tuple({change.record.entity for change in changes})
            self._ahead = self.played.status(Scope("", entities)).now - self.now()
        return self.now() + (self._ahead or timedelta())

    def pending(self, scope: Scope) -> int:
        """Return how many changes wait and were not acknowledged here."""
        return sum(len(page) for page in self.changes(scope))

    def pending_deletes(self, scope: Scope) -> int:
        """Return how many deletes wait."""
        return sum(change.deletes for page in self.changes(scope) for change in page.changes)

    def count(self, scope: Scope) -> int:
        """Return how many live records the peer holds."""
        return self.played.count(scope)

    def acknowledge(self, run_id: str, done: Acknowledgement) -> None:
        """Show these no more."""
        self._acknowledged.update(done.synced, done.superseded, done.failed)

    def settle(self, run_id: str, conflicts: Sequence[str]) -> None:
        """Do nothing."""

    def read(self, ids: Sequence[RecordId], adopting: bool = True) -> list[Record]:
        """Return the records as they would be."""
        self._look_up(ids)
        return [Record(id, self._held[id]) for id in dict.fromkeys(ids) if self._held[id].known]

    def _look_up(self, ids: Sequence[RecordId]) -> None:
        unknown = [id for id in dict.fromkeys(ids) if id not in self._held]
        found = {record.id: record.version for record in self.played.read(unknown)} if unknown else {}
        self._held |= {id: found.get(id, Version()) for id in unknown}

    def records(self, scope: Scope, entity: str, after: str | None = None) -> Iterator[list[Record]]:
        """Yield the live records as they would be, in the order of their keys and in pages as full as the peer's would be."""
        pages = self.played.records(scope, entity, after)
        seen: list[Record] = []
        shown_to: Place = ("", "")
        while True:
            page: list[Record] | None = seen
            while page is not None and len(seen) < scope.page_size:
                page = next(pages, None)
                seen += page or []
            last = None if page is None else _place(seen[-1].id)
            shown = self._as_they_would_be(seen, self._changed_between(shown_to, last, scope, entity))[: scope.page_size]
            if shown:
                yield shown
            elif last is None:
                return
            shown_to = _place(shown[-1].id) if shown else last or shown_to
            seen = [record for record in seen if _place(record.id) > shown_to]

    def _changed_between(self, after: Place, last: Place | None, scope: Scope, entity: str) -> list[RecordId]:
        within = (id for id in self._changed if id.entity == entity and scope.tenant in {None, id.tenant})
        return [id for id in within if after < _place(id) and (last is None or _place(id) <= last)]

    def _as_they_would_be(self, seen: Sequence[Record], changed: Sequence[RecordId]) -> list[Record]:
        records = {record.id: record for record in seen} | {id: Record(id, self._held[id]) for id in changed}
        live = (record for record in records.values() if record.version.deleted is None)
        return sorted(live, key=lambda record: _place(record.id))

    def status(self, scope: Scope) -> Status:
        """Return the peer's own figures."""
        return self.played.status(scope)


def _place(id: RecordId) -> Place:
    return id.key, id.tenant or ""
