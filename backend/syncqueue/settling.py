"""Judges the changes that the set-based write could not take: uniqueness and references, after all were tried.

Rounds: unique values that are about to change are vacated, then each change is written in the order of the request;
what the database refuses is left out of the next round, and a refused change refuses nothing else of its record.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import DataError, IntegrityError, models, transaction
from django.db.models import ProtectedError, RestrictedError

from .canonical import same
from .edits import unwatched
from .folding import Outcome, decide_on, fold
from .rows import plain_rows
from .states import State
from .storing import Unresolved, remove, store, violated
from .versions import Change, Refused
from .wire import Column

_REFUSALS = (IntegrityError, DataError, ProtectedError, RestrictedError)


@dataclass
class Task:
    """One change on its way: its place in the request and the record that it is for."""

    position: int
    change: Change
    state: State
    lacking: Sequence[str] = ()


class _Again(Exception):
    """The round is rolled back; these changes are refused in the next."""

    def __init__(self, refused: dict[int, Refused]) -> None:
        super().__init__("another round")
        self.refused = refused


def settle(tasks: Sequence[Task], mode: str, using: str) -> dict[int, Outcome]:
    """Write what can be written of these changes; return every outcome by position."""
    refused: dict[int, Outcome] = {}
    while tasks:
        try:
            with transaction.atomic(using=using):
                outcomes, states = _round([task for task in tasks if task.position not in refused], mode, using)
        except _Again as again:
            refused |= again.refused
            continue
        for task in tasks:
            final = states.get(task.change.record)
            if final is not None:
                task.state.row, task.state.held = final.row, final.held
        return refused | outcomes
    return refused


def _round(tasks: Sequence[Task], mode: str, using: str) -> tuple[dict[int, Outcome], dict[Any, State]]:
    states = {task.change.record: replace(task.state) for task in tasks}
    _vacate(tasks, states, mode, using)
    outcomes: dict[int, Outcome] = {}
    failing: dict[int, Refused] = {}
    waiting = list(tasks)
    for loose in (False, True, False):
        before = None
        while waiting and len(waiting) != before:
            before = len(waiting)
            waiting = [task for task in waiting if _still_waits(task, states, mode, using, loose, outcomes, failing)]
        if loose:
            waiting += _loosely_written(tasks, outcomes, states)
    failing |= {task.position: _no_reference(task.lacking) for task in waiting}
    if failing:
        raise _Again(failing)
    return outcomes, states


def _still_waits(
    task: Task,
    states: dict[Any, State],
    mode: str,
    using: str,
    loose: bool,
    outcomes: dict[int, Outcome],
    failing: dict[int, Refused],
) -> bool:
    """Write one change, noting its outcome or failure; return whether it waits for a record that is not here yet."""
    state = states[task.change.record]
    try:
        after, decision = _next(state, task, mode, outcomes)
        with transaction.atomic(using=using):
            _store_one(after, using, loose)
    except Refused as refused:
        outcomes[task.position] = refused
    except Unresolved as unresolved:
        task.lacking = unresolved.names
        return True
    except _REFUSALS as error:
        failing[task.position] = _why(after, error, using)
    else:
        states[task.change.record] = after
        outcomes[task.position] = decision
    return False


def _next(state: State, task: Task, mode: str, outcomes: dict[int, Outcome]) -> tuple[State, Outcome]:
    """Return the state with the change on top; one written loosely before is only written again."""
    if task.position in outcomes:
        return replace(state), outcomes[task.position]
    decision = decide_on(state, task.change, mode)
    return replace(state, held=decision.held), decision


def _store_one(state: State, using: str, loose: bool) -> None:
    if state.leaving:
        remove(state.entity, using, [state])
    else:
        store(state.entity, using, [state], loose)


def _loosely_written(tasks: Sequence[Task], outcomes: dict[int, Outcome], states: dict[Any, State]) -> list[Task]:
    """Return the changes whose references a loose write left out; of hidden ones, every change of the record."""
    found: list[Task] = []
    for record, state in states.items():
        lacking = _left_out(state)
        mine = [task for task in tasks if task.change.record == record and task.position in outcomes] if lacking else []
        found += [task for task in mine if lacking & set(task.change.fields)] or mine
    return found


def _left_out(state: State) -> set[str]:
    if state.row is None or not state.held.live:
        return set()
    values = state.held.values or {}
    return {
        name for name, field in state.entity.fields.items() if field.refers_to and name in values and name not in state.row.values
    }


def _vacate(tasks: Sequence[Task], states: dict[Any, State], mode: str, using: str) -> None:
    """Give up the unique values that are about to change, so that two records may swap them."""
    for record, state in states.items():
        if state.row is None:
            continue
        mine = [(task.position, task.change) for task in tasks if task.change.record == record]
        after, _ = fold(state, mine, mode)
        fillers = _fillers(state, after)
        if fillers:
            with unwatched(using):
                plain_rows(state.entity.model, using).filter(pk=state.row.pk).update(**fillers)
            kept = {name: value for name, value in state.row.values.items() if name not in fillers}
            state.row = replace(state.row, values=kept)


def _fillers(state: State, after: State) -> dict[str, Any]:
    old, new = state.held.values or {}, after.held.values or {}
    fillers: dict[str, Any] = {}
    for names in state.entity.uniques:
        changing = [name for name in names if name in old and name in new and not same(old[name], new[name])]
        for name in changing[:1]:
            filler = _filler(state.entity.fields[name].column)
            if filler is not None:
                fillers[name] = None if state.entity.fields[name].column.null else filler
    return fillers


def _filler(column: Column) -> Any:
    """Return a value that nobody else has, or None where the column has no room for one."""
    if column.null:
        return True  # null stands for it
    if isinstance(column, models.CharField | models.TextField):
        return uuid.uuid4().hex[: column.max_length]
    if isinstance(column, models.IntegerField):
        return uuid.uuid4().int % 32000
    return None


def remove_one(task: Task, of_record: Sequence[Task], mode: str, using: str) -> dict[int, Outcome]:
    """Try a delete that the database refused before the other changes were written."""
    after, outcomes = fold(task.state, [(one.position, one.change) for one in of_record], mode)
    try:
        with transaction.atomic(using=using):
            _store_one(after, using, loose=False)
    except (*_REFUSALS, Unresolved):
        return {one.position: held_on_to() for one in of_record}
    task.state.held, task.state.row = after.held, after.row
    return outcomes


def _why(state: State, error: Exception, using: str) -> Refused:
    """Return why the database refused, by fields; its own text holds values and is never passed on."""
    if isinstance(error, ProtectedError | RestrictedError):
        return held_on_to()
    names = violated(state, using)
    if names or _is_unique(error):
        return Refused("unique", f"another record has this value: {', '.join(names)}", dict.fromkeys(names, "not unique"))
    return Refused("not-representable", "a constraint of the table refuses these values")


def _is_unique(error: Exception) -> bool:
    cause = error.__cause__
    return getattr(cause, "sqlstate", "") == "23505" or "UNIQUE" in getattr(cause, "sqlite_errorname", "")


def held_on_to() -> Refused:
    """Return the refusal of a delete that other records stand against."""
    return Refused("reference", "other records still refer to this one, and may not lose it")


def _no_reference(names: Sequence[str]) -> Refused:
    return Refused("reference", "refers to a record that is not here", dict.fromkeys(names, "not here"))
