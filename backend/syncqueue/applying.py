"""Applies one request: intake, set-based writes, deletes, then what was set aside. One transaction.

Set-based first: all records of an entity in a few statements. Where the database refuses, halves are tried, down to
the single records that fail; only those go to settling.py, which judges uniqueness and references once everything
else has been tried.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import DataError, IntegrityError, OperationalError, connections, transaction
from django.db.models import ProtectedError, RestrictedError

from .folding import Outcome, fold
from .index import clock
from .intake import change_of, judge
from .registry import Entity, registry
from .reporting import refusal, report
from .settling import Task, remove_one, settle
from .states import State, load
from .storing import Unresolved, remove, store
from .versions import Change, Refused

ATTEMPTS = 3
_LOCKED = frozenset({"55P03", "40P01", "40001"})  # PostgreSQL: lock not available, deadlock, serialization failure
Record = tuple[str, str, str]


@dataclass
class Request:
    """What was asked: the changes as they came, the mode, the run, and which tenants the token may touch."""

    changes: Sequence[dict[str, Any]]
    mode: str
    run_id: str
    may_touch: Callable[[str], bool]
    using: str = "default"


@dataclass
class Page:
    """The request while it is worked on: by position, the change and its outcome."""

    changes: dict[int, Change] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    states: dict[Record, State] = field(default_factory=dict)

    def tasks(self, records: Sequence[Record]) -> list[Task]:
        """Return the open changes of these records in the order of the request."""
        chosen = set(records)
        return [
            Task(position, change, self.states[change.record])
            for position, change in self.changes.items()
            if change.record in chosen and position not in self.outcomes
        ]


def apply_request(request: Request) -> list[dict[str, Any]]:
    """Return one Result per change, in the order given. What cannot get its locks is `retry`, `busy`."""
    for _ in range(ATTEMPTS):
        try:
            with transaction.atomic(using=request.using):
                return _apply(request)
        except (OperationalError, IntegrityError) as error:
            # a deadlock, a lock not had in time, or a row referred to that was deleted meanwhile: nothing was done
            if connections[request.using].in_atomic_block or not _passes(error):
                raise
    return [refusal(raw["id"], _busy()) for raw in request.changes]


def _passes(error: Exception) -> bool:
    """Return whether the same request may well go through in a moment."""
    name = getattr(error.__cause__, "sqlite_errorname", "")
    locked = getattr(error.__cause__, "sqlstate", "") in _LOCKED or name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
    return locked or isinstance(error, IntegrityError)


def _apply(request: Request) -> list[dict[str, Any]]:
    page = Page()
    now = clock(request.using)
    for position, raw in enumerate(request.changes):
        try:
            change = change_of(raw, registry().entities)
            page.changes[position] = change
            judge(change, registry().entities[change.entity], request.may_touch, now)
        except Refused as refused:
            page.outcomes[position] = refused
    _load(page, request.using)
    _write(page, request)
    ids = [raw["id"] for raw in request.changes]
    return report(ids, page.changes, page.outcomes, page.states, request.run_id, request.using)


def _load(page: Page, using: str) -> None:
    for entity in registry().entities.values():
        places = {
            (change.tenant, change.key)
            for position, change in page.changes.items()
            if change.entity == entity.name and position not in page.outcomes
        }
        states = load(entity, using, places) if places else {}
        page.states |= {(entity.name, *place): state for place, state in states.items()}
    for position, change in page.changes.items():
        if position not in page.outcomes and change.record not in page.states:
            page.outcomes[position] = _busy()


def _write(page: Page, request: Request) -> None:
    aside: list[Record] = []
    folded: dict[Record, tuple[State, dict[int, Outcome]]] = {}
    by_record: dict[Record, list[Task]] = {}
    for task in page.tasks(list(page.states)):
        by_record.setdefault(task.change.record, []).append(task)
    for record, tasks in by_record.items():
        folded[record] = fold(page.states[record], [(task.position, task.change) for task in tasks], request.mode)
    for entity in registry().entities.values():
        states = {record: state for record, (state, _) in folded.items() if record[0] == entity.name and not state.leaving}
        failed = _claimed_twice(entity, states)
        failed += _in_halves(entity, request.using, {record: state for record, state in states.items() if record not in failed})
        _settle_outcomes(page, folded, [record for record in states if record not in failed])
        aside += failed
    deletes = _delete(page, folded, request.using, aside)
    page.outcomes |= settle(page.tasks(aside), request.mode, request.using)
    for task in page.tasks(deletes):
        page.outcomes |= remove_one(task, page.tasks([task.change.record]), request.mode, request.using)


def _settle_outcomes(page: Page, folded: dict[Record, tuple[State, dict[int, Outcome]]], records: Sequence[Record]) -> None:
    for record in records:
        state, outcomes = folded[record]
        page.states[record] = state
        page.outcomes |= outcomes


def _in_halves(entity: Entity, using: str, states: dict[Record, State]) -> list[Record]:
    """Write these records; return those that the database refuses even alone."""
    if not states:
        return []
    try:
        with transaction.atomic(using=using):
            store(entity, using, list(states.values()))
            return []
    except Unresolved as unresolved:
        aside = [record for record, state in states.items() if any(state is other for other in unresolved.states)]
        return aside + _in_halves(entity, using, {record: state for record, state in states.items() if record not in aside})
    except (IntegrityError, DataError):
        if len(states) == 1:
            return list(states)
    records = list(states)
    middle = len(records) // 2
    return [
        failed
        for half in (records[:middle], records[middle:])
        for failed in _in_halves(entity, using, {record: states[record] for record in half})
    ]


def _claimed_twice(entity: Entity, states: dict[Record, State]) -> list[Record]:
    """Return the records that claim a unique value which another of this request claims: the order decides those."""
    claims: dict[tuple[Any, ...], list[Record]] = {}
    for record, state in states.items():
        held = state.held.values or {}
        for names in entity.claims if state.held.live else ():
            values = tuple([held.get(name, state.place) for name in names])
            if None not in values:
                claims.setdefault((names, str(values)), []).append(record)
    return sorted({record for records in claims.values() if len(records) > 1 for record in records})


def _delete(page: Page, folded: dict[Record, tuple[State, dict[int, Outcome]]], using: str, aside: list[Record]) -> list[Record]:
    """Delete what is to go, those that refer to others first; return the records that the database holds on to."""
    stuck: list[Record] = []
    for entity in reversed(list(registry().entities.values())):
        leaving = [record for record, (state, _) in folded.items() if record[0] == entity.name and state.leaving]
        if not leaving:
            continue
        try:
            with transaction.atomic(using=using):
                touched = remove(entity, using, [folded[record][0] for record in leaving])
        except (ProtectedError, RestrictedError, IntegrityError):
            stuck += leaving
            continue
        _settle_outcomes(page, folded, leaving)
        _overtaken(page, {(name, *place) for name, place in touched}, aside)
    return stuck


def _overtaken(page: Page, touched: set[Record], aside: list[Record]) -> None:
    """Let changes wait whose record was changed by the cascade of a delete after it was read."""
    for task in page.tasks([record for record in aside if record in touched]):
        page.outcomes[task.position] = _busy()


def _busy() -> Refused:
    return Refused("busy", "the record is locked; send the change again")
