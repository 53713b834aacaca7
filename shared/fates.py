"""What became of queue entries, told from what became of the changes that they were collapsed into. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.model import Acknowledgement, Change, Outcome, Page, Problem, Result, Stamp
from shared.report import Tally


@dataclass(frozen=True, slots=True)
class Fate:
    """How one queue entry ended. `by` is the stamp that overtook it; `disputed`: its value lies in an open conflict."""

    outcome: Outcome
    by: Stamp | None = None
    problem: Problem | None = None
    disputed: bool = False


def fates_of(change: Change, result: Result) -> dict[str, Fate]:
    """Return how each edit in a change ended: of a collapsed change, those of which nothing was taken are superseded."""
    if result.outcome in (Outcome.APPLIED, Outcome.UNCHANGED) or result.disputed:
        return {edit.id: _fate_of_edit(edit, change, result) for edit in change.edits}
    by = max([*result.stamps.values(), result.deleted or Stamp("")], default=None)
    return {edit.id: Fate(result.outcome, by or None, result.problem) for edit in change.edits}


def _fate_of_edit(edit: Change, change: Change, result: Result) -> Fate:
    if any(_carries(edit, name, change) for name in result.disputed) or (result.disputed and edit.deleted):
        return Fate(Outcome.HELD, disputed=True)
    if edit.deleted is not None and edit.deleted == change.deleted and change.deletes:
        return Fate(result.outcome)
    names = tuple(change.fields) if result.outcome is Outcome.UNCHANGED else result.applied
    if any(_carries(edit, name, change) for name in names):
        return Fate(Outcome.UNCHANGED if result.outcome is Outcome.UNCHANGED else Outcome.APPLIED)
    by = max((result.stamps[name] for name in edit.fields if name in result.stamps), default=change.latest)
    return Fate(Outcome.STALE, by=by)


def _carries(edit: Change, name: str, change: Change) -> bool:
    """Whether the collapsed change has its value of a field from this edit."""
    return name in edit.fields and name in change.fields and edit.fields[name].stamp == change.fields[name].stamp


def worth_splitting(change: Change, result: Result) -> bool:
    """Return whether a collapsed change was refused as a whole, so that the edits it was made of should each have a try."""
    splits = result.outcome is Outcome.INVALID or is_waiting_for(result, "reference") or is_waiting_for(result, "incomplete")
    return splits and len(change.edits) > 1


def is_waiting_for(result: Result, code: str) -> bool:
    """Return whether the change must wait, for the reason `code`."""
    return result.outcome is Outcome.RETRY and result.problem is not None and result.problem.code == code


def with_problem(page: Page, fates: Mapping[str, Fate], outcome: Outcome) -> Iterator[tuple[Change, Problem]]:
    """Yield the page's edits that ended so, each with the reason."""
    unknown = Problem("busy", "the other side named no reason")
    for edit in page.changes:
        fate = fates.get(edit.id)
        if fate is not None and fate.outcome is outcome:
            yield edit, fate.problem or unknown


def acknowledgement(page: Page, fates: Mapping[str, Fate]) -> Acknowledgement:
    """Return the labels that the page's entries get in their queue; what must wait gets none."""
    untouched = {edit.id: Fate(Outcome.UNCHANGED) for edit in page.changes if edit.id not in fates}
    ended = {**untouched, **fates}
    taken = tuple(id for id, fate in ended.items() if fate.outcome in (Outcome.APPLIED, Outcome.UNCHANGED))
    superseded = {id: fate.by or Stamp("") for id, fate in ended.items() if fate.outcome is Outcome.STALE}
    failed = {id: _reason(fate.problem) for id, fate in ended.items() if fate.outcome is Outcome.INVALID}
    held = tuple(id for id, fate in ended.items() if fate.disputed)
    return Acknowledgement(taken, superseded, failed, held)


def _reason(problem: Problem | None) -> str:
    if problem is None:
        return "refused"
    fields = "".join(f"; {name}: {rule}" for name, rule in problem.fields.items())
    return f"{problem.code}: {problem.message}{fields}"


def tally_of(page: Page, fates: Mapping[str, Fate], conflicts: int) -> Tally:
    """Return the page's entries by how they ended."""
    outcomes = [fates[edit.id].outcome if edit.id in fates else Outcome.UNCHANGED for edit in page.changes]
    return Tally.of([*outcomes, *(Outcome.INVALID for _ in page.malformed)], conflicts)
