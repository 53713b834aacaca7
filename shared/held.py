"""Changes under a policy: applied only as fast-forwards, and what is held back is settled by a newer write to both sides.

Entities that know no other policy than the last write pass through as they are. A resolution is written at the source
first, then at the target, and only then is the queue entry done with: whatever cuts that off, a repeat ends the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from shared.mapping import Entity
from shared.model import Action, Change, Json, Outcome, Policy, Problem, Record, RecordId, Result, Stamp, Version
from shared.peers.base import Peer
from shared.policy import Mode
from shared.resolution import Plan, Rules, Sides, is_beaten, plan
from shared.run import Run

MOVED = Problem("busy", "the record was written while its conflict was settled; the next run looks again")
DELETED_SINCE = Problem("busy", "the record was deleted at its own side since; the change goes with the delete that follows it")
IN_DECISION = Problem("busy", "somebody began to decide a conflict of the record; the call that was cut off is to be made again")


@dataclass(frozen=True, slots=True)
class _Way:
    """The run, and the peers that it carries between."""

    run: Run
    source: Peer
    target: Peer

    def apply(self, peer: Peer, changes: Iterable[Change | None], mode: Mode = Mode.IF_UNCHANGED) -> dict[str, Result]:
        there = [change for change in changes if change]
        results = peer.apply(there, self.run.order.run_id, mode) if there else []
        return {result.id: result for result in results}


def apply_by_policy(run: Run, source: Peer, target: Peer, changes: Sequence[Change]) -> list[Result]:
    """Apply changes as their fields' policies say; return a result for each, in their order."""
    way = _Way(run, source, target)
    guarded = [change for change in changes if _is_guarded(run.pair.entities.get(change.record.entity), change)]
    ids = {change.id for change in guarded}
    results = way.apply(target, [change for change in changes if change.id not in ids], Mode.LWW)
    beaten = _beaten(source, guarded)
    results |= way.apply(target, [change for change in guarded if change.id not in beaten])
    held = [change for change in guarded if change.id in beaten or results[change.id].outcome is Outcome.HELD]
    settled = {each.id: _waiting(each, IN_DECISION) for each in held if _is_in_decision(run, each)}
    held = [change for change in held if change.id not in settled]
    settled |= _settle(way, held) if held else {}
    way.apply(source, _later_deletes(run, guarded, results))
    told = {each.id for result in results.values() for each in result.conflicts if each.open}
    told -= {each.id for result in settled.values() for each in result.conflicts}  # these are settled once they are kept
    if told:
        target.settle(run.order.run_id, sorted(told))
    return [settled.get(change.id) or _without_open_conflicts(results[change.id]) for change in changes]


def _is_in_decision(run: Run, change: Change) -> bool:
    """Return whether a decision about the record was begun, and may have been written to one side alone: a change made on top of
    that meets at the other what is no conflict."""
    if Policy.MANUAL not in run.pair.entities[change.record.entity].policies:
        return False
    return any(each.intent for each in run.store.open_conflicts(run.pair.name, change.record))


def _is_guarded(entity: Entity | None, change: Change) -> bool:
    if entity is None or entity.policies == {Policy.LAST_WRITE_WINS}:
        return False
    policies = {entity.policy_of(name) for name in change.fields} | {entity.policy}  # any change may meet a deleted record
    return policies != {Policy.LAST_WRITE_WINS}


def _later_deletes(run: Run, guarded: Iterable[Change], results: Mapping[str, Result]) -> Iterator[Change]:
    """Yield the later deletes that the target holds already, for the source: their own entries may have been held and be done."""
    for change in guarded:
        deleted = results[change.id].deleted if change.id in results and change.deletes else None
        if run.pair.entities[change.record.entity].policy is Policy.MANUAL and deleted and deleted > (change.deleted or ""):
            yield Change(change.id, change.record, Action.DELETE, {}, {}, deleted)


def _beaten(source: Peer, guarded: Iterable[Change]) -> set[str]:
    """Return the ids of deletes that are beaten at their own side. What beat one may be in a conflict by now, so that the delete
    must not go through alone, as if the record were gone at its own side."""
    deletes = [change for change in guarded if change.deletes]
    own = _versions(source.read(list(dict.fromkeys(change.record for change in deletes)))) if deletes else {}
    return {change.id for change in deletes if is_beaten(change, own.get(change.record, Version()))}


def _without_open_conflicts(result: Result) -> Result:
    """Return the result without what a peer says of held changes; those are told by what is held on both sides."""
    return replace(result, conflicts=tuple(each for each in result.conflicts if not each.open))


def _settle(way: _Way, held: Sequence[Change]) -> dict[str, Result]:
    """Return what became of held changes, by id, once their conflicts are kept and what settles them is written."""
    run, records = way.run, list(dict.fromkeys(change.record for change in held))
    mine, theirs = (_versions(peer.read(records)) for peer in (way.source, way.target))
    results = {each.id: _waiting(each, DELETED_SINCE) for each in held if _is_deleted_since(each, mine, theirs)}
    held = [change for change in held if change.id not in results]
    plans = {each.id: _plan(way, _past_own_edits(_past_refusals(way, each), theirs), mine, theirs) for each in held}
    run.store.keep_conflicts(
        run.pair.name, [each for made in plans.values() for each in made.conflicts], run.order.run_id, run.now()
    )
    at_source = way.apply(way.source, (made.at_source for made in plans.values()))
    going = {id: made for id, made in plans.items() if id not in at_source or _done(at_source[id])}
    at_target = way.apply(way.target, (made.at_target for made in going.values()))
    by_last_write = way.apply(way.target, (made.by_last_write for made in going.values()), Mode.LWW)
    for change in held:
        parts = [part[change.id] for part in (at_source, at_target, by_last_write) if change.id in part]
        results[change.id] = _result(change, plans[change.id], parts, theirs.get(change.record, Version()))
        lives = is_beaten(change, mine.get(change.record, Version()))
        gone = change.deletes and not lives and any(part.deleted for part in parts)
        _supersede(run, change, plans[change.id], gone, moved=any(part.outcome is Outcome.HELD for part in parts))
    return results


def _waiting(change: Change, why: Problem) -> Result:
    return Result(change.id, Outcome.RETRY, problem=why)


def _is_deleted_since(change: Change, mine: Mapping[RecordId, Version], theirs: Mapping[RecordId, Version]) -> bool:
    """Return whether the record lives at the target alone, by a delete that comes later in the queue: what the tombstone hides at
    one side has to be hidden at the other, in case the record comes back."""
    deleted, held = (there.get(change.record, Version()) for there in (mine, theirs))
    return bool(change.fields) and not change.deletes and deleted.deleted is not None and held.known and not held.deleted


def _past_refusals(way: _Way, change: Change) -> Change:
    """Return the change based on what the target has seen of the record: an edit that it refused, and that was mended since,
    never reached it, and stands between nobody and what it holds."""
    refused = way.run.store.refused_bases(way.run.pair.name, way.source.name, change.record)
    base = {name: _reached(refused.get(name, {}), each) for name, each in change.base.items()}
    seen = {name: _reached(refused.get(name, {}), each) for name, each in change.deleted_base.items()}
    return replace(change, base=base, deleted_base={name: each for name, each in seen.items() if each})


def _past_own_edits(change: Change, theirs: Mapping[RecordId, Version]) -> Change:
    """Return the change based on what the target holds where one of the edits that it is made of was made on top of that, or is
    that: it was carried alone before, and the acknowledgement was lost. Who edited after that had seen it."""
    held = theirs.get(change.record, Version())
    state = {name: held.deleted or held.fields[name].stamp for name in change.fields if held.deleted or name in held.fields}
    seen = {name: stamp for name, stamp in state.items() if any(stamp in _stamps_in(edit, name) for edit in change.edits)}
    return replace(change, base={**change.base, **seen})


def _stamps_in(edit: Change, name: str) -> set[Stamp | None]:
    """Return what an edit's author had seen of a field and what they made of it."""
    made = {edit.fields[name].stamp, edit.base.get(name)} if name in edit.fields else set()
    return {*made, edit.deleted} if edit.deleted else made


def _reached(refused: Mapping[Stamp, Stamp | None], base: Stamp | None) -> Stamp | None:
    while base is not None and base in refused:
        base = refused[base]
    return base


def _plan(way: _Way, change: Change, mine: Mapping[RecordId, Version], theirs: Mapping[RecordId, Version]) -> Plan:
    pair = way.run.pair

    def base(name: str, stamp: Stamp | None) -> tuple[Json] | None:
        return way.run.store.value_replaced(pair.name, change.record, name, stamp) if stamp else None

    rules = Rules(pair.entities[change.record.entity], Sides(way.source.name, way.target.name, pair.left.name), base)
    return plan(change, _own(change, mine), theirs.get(change.record, Version()), rules)


def _own(change: Change, mine: Mapping[RecordId, Version]) -> Version:
    """Return what the source holds of the change's record by now."""
    return mine.get(change.record, Version(change.fields, change.deleted if change.deletes else None))


def _versions(records: Iterable[Record]) -> dict[RecordId, Version]:
    return {each.id: each.version for each in records}


def _done(result: Result) -> bool:
    return result.outcome in {Outcome.APPLIED, Outcome.UNCHANGED, Outcome.STALE}


def _result(change: Change, made: Plan, parts: Sequence[Result], theirs: Version) -> Result:
    """Return what became of a change that was held, from what became of the parts of its plan."""
    conflicts = (*made.conflicts, *(each for part in parts for each in part.conflicts if not each.open))
    stamps = {name: theirs.fields[name].stamp for name in change.fields if name in theirs.fields}
    for part in parts:
        stamps |= part.stamps
    deleted = next((part.deleted for part in reversed(parts) if part.deleted), None)
    answer = partial(Result, change.id, stamps=stamps, deleted=deleted, conflicts=conflicts)
    failing = [part for part in parts if not _done(part)]
    if failing:
        worst = min(failing, key=lambda part: part.outcome is not Outcome.INVALID)
        outcome = Outcome.INVALID if worst.outcome is Outcome.INVALID else Outcome.RETRY
        return answer(outcome=outcome, problem=worst.problem or MOVED)
    last = parts[-1] if made.by_last_write else None
    applied = (*made.taken, *(last.applied if last else ()))
    if made.disputed:
        return answer(outcome=Outcome.HELD, applied=applied, disputed=made.disputed)
    if applied or made.wins:
        return answer(outcome=Outcome.APPLIED, applied=applied)
    only_last = last and not made.at_target and not made.conflicts
    return answer(outcome=last.outcome if last and only_last else Outcome.STALE)


def _supersede(run: Run, change: Change, made: Plan, gone: bool, moved: bool) -> None:
    """Close the conflicts of a record that have been overtaken by what was written since, in any field where the record is `gone`
    on both sides; `moved`: this change's too."""
    if moved:
        run.store.supersede_conflicts([each.id for each in made.conflicts], run.now())
    if moved or Policy.MANUAL not in run.pair.entities[change.record.entity].policies:
        return
    still = {each.id for each in made.conflicts if each.open}
    old = [each.conflict for each in run.store.open_conflicts(run.pair.name, change.record)]
    anew = {*change.fields, *(each.field for each in made.conflicts)}
    run.store.supersede_conflicts([each.id for each in old if each.id not in still and (gone or each.field in anew)], run.now())
