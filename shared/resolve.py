"""Somebody decides a conflict: what they choose is a newer write, sent to both sides, and what it replaces is kept.

The decision's stamp is noted with the conflict before anything is written, so that a call that was cut off can be repeated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.canonical import fingerprint
from shared.conflicts import Kept
from shared.disputes import state_of
from shared.errors import BadRequest, NotOpen, SyncError, Transient, UnknownId
from shared.log import Log
from shared.merge import merge
from shared.model import (
    Action,
    Change,
    Conflict,
    Outcome,
    Problem,
    Result,
    Side,
    Stamp,
    Value,
    Version,
    instant,
    parse_stamp,
    side_stamp,
    stamp_after,
)
from shared.peers.base import Peer
from shared.peers.layout import RETENTION
from shared.policy import Mode
from shared.resolution import onto
from shared.run import Pair
from shared.store import Store

RUN_ID = "resolve_conflict"
OPERATOR = "operator"
_ID = re.compile("[0-9a-f]{32}")


class Decision(BaseModel):
    """What somebody decides of a conflict: `keep` one of its sides, or a `value` of their own. `again` decides anew what
    somebody has decided before."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(min_length=1, max_length=200)
    keep: Literal["local", "incoming", "value"]
    value: Any = None
    note: str | None = Field(None, max_length=2000)
    by: str = Field(OPERATOR, min_length=1, max_length=200)
    again: bool = False

    @model_validator(mode="after")
    def _names_its_value(self) -> Decision:
        if (self.keep == "value") != ("value" in self.model_fields_set):
            raise ValueError("`value` goes with keep: value, and only with that")
        return self


@dataclass(frozen=True, slots=True)
class _Case:
    """A conflict, what its two peers hold by now, and what is to be written."""

    kept: Kept
    pair: Pair
    held: Mapping[str, Version]
    chosen: Side
    stamp: Stamp

    @property
    def conflict(self) -> Conflict:
        return self.kept.conflict


def resolve(pairs: Mapping[str, Pair], store: Store, now: Callable[[], datetime], log: Log, asked: Decision) -> dict[str, Any]:
    """Write what was decided to both sides, mark the conflict resolved, and return what is said of it (no value).

    UnknownId, NotOpen (resolved before, or overtaken by a newer edit) and BadRequest (a value that one side refuses; nothing
    was written) are answers; after a Transient the same call finishes what this one began.
    """
    at = now()
    about: dict[str, Any] = {"keep": asked.keep, "again": asked.again}
    store.audit(RUN_ID, asked.id, asked.by, at, **about, outcome="begun")
    try:
        answer = _resolve(pairs, store, at, log, asked)
    except SyncError as error:
        store.audit(RUN_ID, asked.id, asked.by, at, **about, outcome=type(error).__name__)
        raise
    store.audit(RUN_ID, asked.id, asked.by, at, **about, outcome="resolved")
    return answer


def _resolve(pairs: Mapping[str, Pair], store: Store, at: datetime, log: Log, asked: Decision) -> dict[str, Any]:
    kept = store.conflict(asked.id) if _ID.fullmatch(asked.id) else None
    if kept is None or kept.pair not in pairs or kept.conflict.record.entity not in pairs[kept.pair].entities:
        raise UnknownId(f"there is no conflict {asked.id!r}; sync_conflicts lists them, for 30 days after they are settled")
    _refuse_if_decided(kept, asked)
    case = _case(kept, pairs[kept.pair], at, asked)
    if kept.status == "open" and _is_overtaken(case):
        store.supersede_conflicts([asked.id], at)
        raise NotOpen(f"conflict {asked.id} is overtaken: the field was written anew since; the next run tells what of it")
    changes = _changes(case)
    store.note_conflict(asked.id, {"resolving": {"stamp": case.stamp, "chosen": _fingerprint(case.chosen), "by": asked.by}})
    held_at = _write(case, changes, store, at)
    _mark(case, store, at, asked)
    log("conflict_resolved", f"{asked.keep} was kept", field=case.conflict.field, **log.record(case.conflict.record))
    said = {"id": asked.id, "pair": kept.pair, "entity": case.conflict.record.entity, "field": case.conflict.field}
    said |= {"status": "resolved", "keep": asked.keep, "stamp": case.stamp, "resolved_by": asked.by, "resolved_at": instant(at)}
    return said | ({"written_anew_at": held_at} if held_at else {})


def _refuse_if_decided(kept: Kept, asked: Decision) -> None:
    notes, id = kept.notes, asked.id
    if kept.status == "resolved" and not asked.again:
        who, when = notes.get("resolved_by"), instant(notes["resolved_at"])
        raise NotOpen(f"conflict {id} was resolved by {who} at {when}; `again: true` decides anew")
    if kept.status == "settled" and asked.keep == kept.conflict.winner and not asked.again:
        raise NotOpen(f"conflict {id} was settled so by {kept.conflict.rule} at {instant(notes['created_at'])}; keep the other")


def _case(kept: Kept, pair: Pair, at: datetime, asked: Decision) -> _Case:
    record = kept.conflict.record
    held = {peer.name: _version(peer, kept) for peer in (pair.left, pair.right)}
    chosen = _chosen(kept, asked, list(held.values()))
    intent = kept.notes.get("resolving") or {}
    if intent.get("chosen") == _fingerprint(chosen):
        return _Case(kept, pair, held, chosen, parse_stamp(intent["stamp"]))
    seen = [stamp for version in held.values() for stamp in Change("", record, Action.UPDATE, version.fields).stamps]
    seen += [version.deleted for version in held.values() if version.deleted]
    seen += [*_met(kept), *([parse_stamp(intent["stamp"])] if intent else [])]
    return _Case(kept, pair, held, chosen, stamp_after(at, pair.left.name, seen))


def _version(peer: Peer, kept: Kept) -> Version:
    found = peer.read([kept.conflict.record])
    return found[0].version if found else Version()


def _chosen(kept: Kept, asked: Decision, held: Sequence[Version]) -> Side:
    """Return the side, or the value, that was chosen; a value that was too large to be kept is taken from the record."""
    if asked.keep == "value":
        return Value(asked.value, Stamp(""))
    side = kept.conflict.local if asked.keep == "local" else kept.conflict.incoming
    if asked.keep not in kept.left_out:
        return side
    there = [version.fields[kept.conflict.field] for version in held if kept.conflict.field in version.fields]
    still = [value for value in there if value.stamp == side_stamp(side)]
    if not still:
        raise BadRequest(f"conflict {asked.id}: its {asked.keep} value was too large to be kept, and the record has it no more")
    return still[0]


def _fingerprint(side: Side) -> str:
    try:
        return fingerprint(side.value) if isinstance(side, Value) else "deleted"
    except SyncError as error:
        raise BadRequest(f"value: {error}") from None


def _met(kept: Kept) -> list[Stamp]:
    """Return the stamps of all that the conflict has led to so far."""
    found = [side_stamp(kept.conflict.local), side_stamp(kept.conflict.incoming)]
    return found if kept.conflict.resolution is None else [*found, kept.conflict.resolution]


def _is_overtaken(case: _Case) -> bool:
    known = {*_met(case.kept), case.stamp, (case.kept.notes.get("resolving") or {}).get("stamp")}
    return any(state_of(version, case.conflict.field) not in known for version in case.held.values())


def _changes(case: _Case) -> dict[str, Change]:
    """Return by peer what is to be written there, based on what it holds, or held by what the conflict knows of it."""
    stub = Change(f"resolve:{case.conflict.id}", case.conflict.record, Action.UPDATE)
    wanted, name = _wanted(case), case.conflict.field
    made = {peer: onto(stub, wanted, version) for peer, version in case.held.items()}
    known = {*_met(case.kept), case.stamp}
    return {
        peer: change if state_of(case.held[peer], name) in known else _unseen(change, case)
        for peer, change in made.items()
        if change is not None
    }


def _unseen(change: Change, case: _Case) -> Change:
    """Return the change based on the conflict alone, so that what was written since is kept as a conflict again."""
    last, name = max(_met(case.kept)), case.conflict.field
    return replace(
        change,
        base={each: last if each == name else base for each, base in change.base.items()},
        deleted_base={each: stamp for each, stamp in change.deleted_base.items() if each != name},
    )


def _wanted(case: _Case) -> Version:
    """Return what both sides are to hold: the field's value, the whole record where it is brought back, or a tombstone."""
    left, right = case.held.values()
    merged = merge(Version(left.fields), Version(right.fields)).fields
    if not isinstance(case.chosen, Value):
        return Version(merged, case.stamp)
    chosen = {case.conflict.field: Value(case.chosen.value, case.stamp)}
    if not (left.deleted or right.deleted):
        return Version(chosen)
    living = next((each.fields for each in (left, right) if each.known and not each.deleted), merged)
    names = case.pair.entities[case.conflict.record.entity].names
    lacking = [name for name in names if name not in living and name not in chosen]
    if lacking:
        raise BadRequest(
            f"conflict {case.conflict.id}: the record is deleted and its other values are gone: {', '.join(lacking)}"
        )
    return Version({name: Value(each.value, case.stamp) for name, each in living.items()} | chosen)


def _write(case: _Case, changes: Mapping[str, Change], store: Store, at: datetime) -> str | None:
    """Write to both sides, first where only writing tells whether it is taken. Returns the peer whose users wrote anew in
    between, so that their edit is in conflict with what was decided."""
    peers = sorted((case.pair.left, case.pair.right), key=lambda peer: peer.foresees)
    mode = Mode.IF_UNCHANGED if case.kept.status == "open" else Mode.LWW
    for peer in peers:
        problem = peer.refuses(changes[peer.name]) if peer.name in changes else None
        if problem:
            raise _refused(case, store, peer, problem)
    for number, peer in enumerate(each for each in peers if each.name in changes):
        [result] = peer.apply([changes[peer.name]], RUN_ID, mode)
        _keep(case, store, peer, result, at)
        if result.outcome is Outcome.HELD and number:
            return peer.name
        if result.outcome in {Outcome.HELD, Outcome.INVALID, Outcome.RETRY}:
            raise _refused(case, store, peer, result.problem) if not number else _unfinished(case, peer, result.problem)
    return None


def _keep(case: _Case, store: Store, peer: Peer, result: Result, at: datetime) -> None:
    found = [each for each in result.conflicts if not each.open]
    if result.conflicts:
        store.keep_conflicts(case.pair.name, found, RUN_ID, at)
        peer.settle(RUN_ID, [each.id for each in result.conflicts])


def _refused(case: _Case, store: Store, peer: Peer, problem: Problem | None) -> SyncError:
    """Return why nothing was written, and leave the conflict as it was."""
    if problem is not None and problem.code in {"busy", "future"}:
        return _unfinished(case, peer, problem)
    store.note_conflict(case.conflict.id, {"resolving": None})
    if problem is None:
        return NotOpen(f"conflict {case.conflict.id}: the record was written anew at {peer.name} just now; look again")
    names = problem.fields or {case.conflict.field: problem.message}
    rules = "; ".join(f"{name}: {problem.code}: {rule}" for name, rule in names.items())
    return BadRequest(f"{peer.name} refuses it, nothing was written: {rules}")


def _unfinished(case: _Case, peer: Peer, problem: Problem | None) -> Transient:
    why = f"{problem.code}: {problem.message}" if problem else "held"
    return Transient(f"conflict {case.conflict.id}: {peer.name} could not take it yet ({why}); the same call goes on with it")


def _mark(case: _Case, store: Store, at: datetime, asked: Decision) -> None:
    notes = {"status": "resolved", "winner": "none" if asked.keep == "value" else asked.keep, "rule": "resolved"}
    notes |= {"resolution": case.stamp, "resolved_by": asked.by, "chosen": asked.keep}
    store.note_conflict(asked.id, notes | {"resolved_at": at, "note": asked.note, "resolving": None, "expire_at": at + RETENTION})
    whole = any(version.deleted for version in case.held.values()) or not isinstance(case.chosen, Value)
    others = [each.conflict for each in store.open_conflicts(case.pair.name, case.conflict.record)]
    closed = [each.id for each in others if each.id != asked.id and (whole or each.field == case.conflict.field)]
    store.supersede_conflicts(closed, at)
