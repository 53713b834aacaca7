"""Dead letters once more, after their cause was mended: by the ordinary path and with their own stamps.

So a letter that was overtaken meanwhile loses to what overtook it, and nothing later is ever overwritten. A letter's
stamp is never made anew, not even one from the future: its own side holds it already, and can only be met, not lowered.
It stays open until the other side's clock has passed it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from shared.engine import apply_changes, record_conflicts, say_brakes, whole_change
from shared.errors import BadRequest, NotFound
from shared.fates import fates_of
from shared.letters import Body, Letter, finished, refused_again
from shared.log import Log
from shared.model import Acknowledgement, Action, Change, Outcome, Problem, Result, Stamp, Version
from shared.naming import hashed_id
from shared.peers.base import Peer
from shared.policy import decide
from shared.report import Report
from shared.run import Order, Pair, Run, directions
from shared.store import Store

REPLAY = "replay_dead_letters"
NOT_IN_IT = Problem(
    "not-in-the-letter",
    "the letter does not hold the change, and whose it was cannot be told or is not there any more; edit the record again at "
    "its own side, which makes a new change, and close this letter in sync_dead_letters by setting its status to superseded",
)
BRAKED = "its delete is held by the brake; allow_mass_delete={} lets it pass"


class Wanted(Protocol):
    """Which letters to replay: one by `id`, or the open ones of an entity, with a reason, or both; `max` at a time."""

    @property
    def pair(self) -> str | None: ...
    @property
    def id(self) -> str | None: ...
    @property
    def entity(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def max(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a letter: replayed, superseded (`by` which stamp), refused, waits, held. The last three stay open."""

    letter: Letter
    outcome: str
    by: Stamp | None = None
    problem: Problem | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as the function answers it; no value, and no key but in the id that the caller may see anyway."""
        why = {"reason": self.problem.code, "message": self.problem.message} if self.problem else {}
        return {"id": self.letter.id, "outcome": self.outcome, **({"superseded_by": self.by} if self.by else {}), **why}


def pair_asked(wanted: Wanted, pairs: Mapping[str, Pair], store: Store) -> str:
    """Return the name of the pair whose letters are wanted; BadRequest if that cannot be told, NotFound for an unknown id."""
    if wanted.id is None and wanted.entity is None and wanted.reason is None:
        raise BadRequest("name the letters: by id, entity or reason")
    named = wanted.pair
    if wanted.id is not None:
        named = _letter(wanted.id, store).pair
    elif named is None and wanted.entity is not None:
        named = next((name for name, pair in pairs.items() if wanted.entity in pair.scope.entities), None)
    elif named is None and len(pairs) == 1:
        [named] = pairs
    if named is None or named not in pairs:
        raise BadRequest(f"pair: name one of the pairs that there are: {', '.join(pairs)}")
    if wanted.entity is not None and wanted.entity not in pairs[named].scope.entities:
        there = ", ".join(pairs[named].scope.entities)
        raise BadRequest(f"entity: there is no entity {wanted.entity!r} in pair {named!r}; there are: {there}")
    return named


def chosen(pair: Pair, wanted: Wanted, store: Store) -> list[Letter]:
    """Return the letters of a pair that are wanted; NotFound if there is none with the id."""
    if wanted.id is not None:
        return [_letter(wanted.id, store)]
    named = {"entity": wanted.entity, "reason": wanted.reason}
    return store.letters(pair.name, {name: value for name, value in named.items() if value is not None}, wanted.max)


def _letter(id: str, store: Store) -> Letter:
    letter = store.letter(id)
    if letter is None:
        raise NotFound(f"there is no dead letter {id!r}; sync_dead_letters has those that there are")
    return letter


def replay(
    pair: Pair, letters: Sequence[Letter], order: Order, store: Store, now: Callable[[], datetime], log: Log, by: str
) -> list[Ended]:
    """Replay letters of a pair and return what became of each, in their order. Repeating it is harmless.

    Who asked for it is noted in `sync_audit`. Raises as a peer does; what was done until then stays done.
    """
    if not letters:
        return []
    at, about = now(), {"pair": pair.name, "letters": [hashed_id(each.id) for each in letters]}
    store.audit(REPLAY, order.run_id, by, at, **about, outcome="begun")
    report = Report(pair.name, order.run_id, now())
    run = Run(pair, order, store, now, log.bind(runId=order.run_id, pair=pair.name), report, pair.billed.copy(), now())
    ended = {each.id: Ended(each, each.status) for each in letters if each.status not in {"open", "waiting"}}
    for _, source, target in directions(run):
        mine = [each for each in letters if each.source == source.name and each.id not in ended]
        ended |= {each.letter.id: each for each in _replay_from(run, source, target, mine)}
    outcome = dict(Counter(each.outcome for each in ended.values()))
    store.audit(REPLAY, order.run_id, by, at, **about, outcome=outcome)
    return [ended[each.id] for each in letters if each.id in ended]


def _replay_from(run: Run, source: Peer, target: Peer, letters: Sequence[Letter]) -> list[Ended]:
    by_change = {each.change_id: each for each in letters}
    changes = _changes(run, source, letters)
    held = _held(run, source, target, changes)
    results = _judged(target, apply_changes(run, source, target, [change for change in changes if change.id not in held]))
    conflicts = {each.id: each for _, result in results for each in result.conflicts}
    record_conflicts(run, target, list(conflicts.values()))
    ended = [_ended(by_change[change.id], change, result) for change, result in results]
    ended += [Ended(by_change[id], "held", problem=_braked(run)) for id in held]
    lost = by_change.keys() - {change.id for change in changes}
    ended += [Ended(by_change[id], "refused", problem=NOT_IN_IT) for id in lost]
    _close(run, source, ended)
    return ended


def _judged(target: Peer, results: Sequence[tuple[Change, Result]]) -> list[tuple[Change, Result]]:
    """Return the results, with those refused changes as stale of which nothing would be left if they were taken: a backend
    may refuse a value for what it is before it looks at what it holds."""
    refused = [change.record for change, result in results if result.outcome is Outcome.INVALID]
    held = {record.id: record.version for record in target.read(refused)} if refused else {}
    return [
        (
            change,
            _stale(held[change.record], change, result)
            if result.outcome is Outcome.INVALID and change.record in held
            else result,
        )
        for change, result in results
    ]


def _stale(held: Version, change: Change, refused: Result) -> Result:
    decision = decide(held, change)
    stamps = {**refused.stamps, **{name: value.stamp for name, value in held.fields.items() if name in change.fields}}
    hides = held.deleted and any(value.stamp > stamps.get(name, "") for name, value in change.fields.items())
    if decision.outcome is not Outcome.STALE or hides:  # what a tombstone hides comes back when the record does
        return refused
    return Result(change.id, Outcome.STALE, (), stamps, held.deleted, (*refused.conflicts, *decision.conflicts))


def _changes(run: Run, source: Peer, letters: Sequence[Letter]) -> list[Change]:
    """Return what to apply, the oldest first: the letters' changes, or, where one does not hold its change, the record as its
    own side holds it now."""
    found = {each.change_id: change for each in letters if each.change and (change := _still_synced(run, each.change))}
    lacking = {each.change_id: each.record for each in letters if each.record and each.change_id not in found}
    records = {record.id: record for record in source.read(list(lacking.values()))} if lacking else {}
    whole = {id: records[record] for id, record in lacking.items() if record in records}
    found |= {id: whole_change(record, Change(id, record.id, Action.UPDATE)) for id, record in whole.items()}
    alone = (replace(change, id=id) for id, change in found.items())
    return sorted((replace(change, edits=(change,)) for change in alone), key=lambda change: change.latest)


def _still_synced(run: Run, change: Change) -> Change | None:
    """Return a change without the fields that are not synced any more; None if nothing is left of it."""
    names = run.pair.names.get(change.record.entity, tuple(change.fields))
    kept = replace(change, fields={name: value for name, value in change.fields.items() if name in names})
    return kept if kept.fields or kept.deleted else None


def _held(run: Run, source: Peer, target: Peer, changes: Sequence[Change]) -> frozenset[str]:
    held: frozenset[str] = frozenset()
    for entity in sorted({change.record.entity for change in changes if change.deletes}):
        deletes = [change.id for change in changes if change.deletes and change.record.entity == entity]
        held |= run.brakes.held_of(run.way(source, target, replace(run.pair.scope, entities=(entity,))), deletes)
    say_brakes(run)
    return held


def _braked(run: Run) -> Problem:
    return Problem("brake", BRAKED.format(" or ".join(each.plan for each in run.report.brakes)))


_WORDS = {
    Outcome.APPLIED: "replayed",
    Outcome.UNCHANGED: "replayed",
    Outcome.STALE: "superseded",
    Outcome.INVALID: "refused",
    Outcome.RETRY: "waits",
    Outcome.HELD: "held",
}


def _ended(letter: Letter, change: Change, result: Result) -> Ended:
    fate = next(iter(fates_of(change, result).values()))
    by = fate.by if fate.outcome is Outcome.STALE else None
    return Ended(letter, _WORDS[fate.outcome], by, fate.problem)


def _close(run: Run, source: Peer, ended: Iterable[Ended]) -> None:
    """Label the queue's entries, where the queue still has them, and then the letters; a crash in between is a repeat."""
    now, run_id = run.now(), run.order.run_id
    done = [each for each in ended if each.outcome in {"replayed", "superseded"}]
    source.acknowledge(
        run_id,
        Acknowledgement(
            tuple(each.letter.change_id for each in done if each.outcome == "replayed"),
            {each.letter.change_id: each.by or Stamp("") for each in done if each.outcome == "superseded"},
        ),
    )
    bodies: dict[str, Body] = {each.letter.id: finished(each.outcome, run_id, now, each.by) for each in done}
    open_ = [each for each in ended if each.outcome in {"refused", "waits"} and each.problem]
    bodies |= {each.letter.id: refused_again(each.letter, each.problem, now) for each in open_ if each.problem}
    run.store.update_letters(bodies)
