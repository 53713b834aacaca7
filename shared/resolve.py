"""Somebody decides a conflict: what they choose is a newer write, sent to both sides, and what it replaces is kept.

The decision's stamp is noted with the conflict before anything is written, so that a call that was cut off can be repeated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared.conflicts import Kept
from shared.decision import Case, Decision, case_of, changes_of, differing, displaced, is_overtaken
from shared.errors import BadRequest, NotFound, NotOpen, SyncError, Transient
from shared.log import Log
from shared.model import Change, Conflict, Outcome, Problem, RecordId, Result, Value, Version, instant
from shared.peers.base import Peer
from shared.policy import Mode
from shared.retention import RETENTION
from shared.run import Pair
from shared.store import Store

RUN_ID = "resolve_conflict"
_ID = re.compile("[0-9a-f]{32}")


def resolve(pairs: Mapping[str, Pair], store: Store, now: Callable[[], datetime], log: Log, asked: Decision) -> dict[str, Any]:
    """Write what was decided to both sides, mark the conflict resolved, and return what is said of it (no value).

    NotFound, NotOpen (resolved before, or overtaken by a newer edit) and BadRequest (a value that one side refuses; nothing
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
        raise NotFound(f"there is no conflict {asked.id!r}; sync_conflicts lists them, for 30 days after they are settled")
    if kept.conflict.field not in pairs[kept.pair].entities[kept.conflict.record.entity].by_name:
        raise NotFound(f"conflict {asked.id} is about the field {kept.conflict.field!r}, which is not synced any more")
    _refuse_if_decided(kept, asked)
    pair, record = pairs[kept.pair], kept.conflict.record
    held = {peer.name: _version(peer, record) for peer in (pair.left, pair.right)}
    about = held, pair.entities[record.entity].names, at, pair.left.name, asked
    case = case_of(kept, *about)
    if kept.status == "open" and is_overtaken(case):
        raise _overtaken(case, pair, store, at)
    by = kept.intent.get("by", asked.by)
    if by != asked.by and not asked.again:
        raise NotOpen(f"conflict {asked.id}: {by} began to decide it, and goes on by the same call; `again: true` overrules that")
    if case.is_gone and not asked.again:
        written = "what was begun to decide it was written over since; look again, and decide anew with `again: true`"
        raise NotOpen(f"conflict {asked.id}: {written}")
    if case.is_gone:
        case = case_of(replace(kept, notes={**kept.notes, "resolving": None}), *about)
    changes = changes_of(case)
    intent = case.intent | {"by": asked.by}
    if not store.note_conflict(kept, {"resolving": intent}):
        _still_ours(store, asked.id, intent)
    anew_at = _Writing(case, pair, store, at, intent).write(changes)
    _mark(case, pair, store, at, asked, intent)
    log("conflict_resolved", f"{asked.keep} was kept", pair=pair.name, field=case.conflict.field, **log.record(record))
    said = {"id": asked.id, "pair": kept.pair, "entity": record.entity, "field": case.conflict.field, "status": "resolved"}
    said |= {"keep": asked.keep, "stamp": case.stamp, "resolved_by": asked.by, "resolved_at": instant(at)}
    return said | ({"written_anew_at": anew_at} if anew_at else {})


def _overtaken(case: Case, pair: Pair, store: Store, at: datetime) -> NotOpen:
    """Close a conflict whose field was written anew since; where the sides differ, for one about what they hold by now."""
    conflict = case.conflict
    now = differing(case, pair.left.name)
    if now is not None:
        store.keep_conflicts(pair.name, [now], RUN_ID, at)
    store.supersede_conflicts([conflict.id], at)
    then = f"conflict {now.id} is about what the two sides hold now" if now else "the two sides hold the same by now"
    return NotOpen(f"conflict {conflict.id} is overtaken: the field was written anew since; {then}")


def _refuse_if_decided(kept: Kept, asked: Decision) -> None:
    notes, id = kept.notes, asked.id
    if kept.status == "resolved" and not asked.again:
        who, when = notes.get("resolved_by"), instant(notes["resolved_at"])
        raise NotOpen(f"conflict {id} was resolved by {who} at {when}; `again: true` decides anew")
    if kept.status == "settled" and asked.keep == kept.conflict.winner and not asked.again:
        raise NotOpen(f"conflict {id} was settled so by {kept.conflict.rule} at {instant(notes['created_at'])}; keep the other")


def _still_ours(store: Store, id: str, intent: Mapping[str, Any]) -> Kept:
    """Return the conflict as it is kept now; NotOpen if somebody else is deciding it."""
    kept = store.conflict(id)
    if kept is None or kept.intent != intent:
        raise NotOpen(f"conflict {id}: somebody else is deciding it, or has decided it just now; look again")
    return kept


def _version(peer: Peer, record: RecordId) -> Version:
    found = peer.read([record])
    return found[0].version if found else Version()


@dataclass(frozen=True, slots=True)
class _Writing:
    """Carries a decision to both sides."""

    case: Case
    pair: Pair
    store: Store
    at: datetime
    intent: Mapping[str, Any]

    def write(self, changes: Mapping[str, Change]) -> str | None:
        """Write to both sides, first where only writing tells whether it is taken, and only over what was read of them. Returns
        the peer whose users wrote anew in between, so that their edit is in conflict with what was decided."""
        peers = sorted((self.pair.left, self.pair.right), key=lambda peer: peer.foresees)
        waiting = [(peer, changes[peer.name]) for peer in peers if peer.name in changes]
        begun = self.case.begun
        for peer, change in waiting:
            problem = peer.refuses(change)
            if problem:
                raise self._refused(peer, problem, begun)
        self._keep(displaced(self.case, changes))
        for peer, change in waiting:
            result = self._apply(peer, change)
            if result.outcome is Outcome.HELD and begun and self._is_open_again(result):
                return peer.name
            if result.outcome is Outcome.INVALID:
                raise self._refused(peer, result.problem, begun)
            if result.outcome in {Outcome.HELD, Outcome.RETRY}:
                raise self._put_off(peer, result.problem, begun)
            begun = True
        return None

    def _apply(self, peer: Peer, change: Change) -> Result:
        [result] = peer.apply([change], RUN_ID, Mode.IF_UNCHANGED)
        if result.conflicts:
            self._keep([each for each in result.conflicts if not each.open])
            peer.settle(RUN_ID, [each.id for each in result.conflicts])
        return result

    def _keep(self, conflicts: Sequence[Conflict]) -> None:
        self.store.keep_conflicts(self.pair.name, conflicts, RUN_ID, self.at)

    def _is_open_again(self, held: Result) -> bool:
        """Whether the next run finds a conflict between what a side held and what was decided: of the field, under `manual`."""
        state = held.deleted or held.stamps.get(self.case.conflict.field)
        return self.case.kept.status == "open" and state not in self.case.known

    def _refused(self, peer: Peer, problem: Problem | None, begun: bool) -> SyncError:
        """Return why a side will not take it. Where the other side holds it already, another decision is to replace that."""
        if problem is None:
            written = f"conflict {self.case.conflict.id}: the record was written anew at {peer.name} just now; look again"
            return self._nothing_written(NotOpen(written))
        broken = problem.fields or {self.case.conflict.field: problem.code}
        rules = "; ".join(f"{name}: {rule}" for name, rule in broken.items()) + f" ({problem.message})"
        if begun:
            return BadRequest(f"{peer.name} refuses what the other side holds by now; decide otherwise: {rules}")
        return self._nothing_written(BadRequest(f"{peer.name} refuses it, nothing was written: {rules}"))

    def _put_off(self, peer: Peer, problem: Problem | None, begun: bool) -> SyncError:
        """Return why a side did not take it now. What is begun, or only has to wait, is to be gone on with."""
        if not begun and (problem is None or problem.code not in {"busy", "future"}):
            return self._refused(peer, problem, begun)
        why = f"{problem.code}: {problem.message}" if problem else "it was written anew just now"
        return Transient(
            f"conflict {self.case.conflict.id}: {peer.name} could not take it yet ({why}); the same call goes on with it"
        )

    def _nothing_written(self, why: SyncError) -> SyncError:
        """Leave the conflict as it was."""
        kept = self.store.conflict(self.case.conflict.id)
        if kept is not None and kept.intent == self.intent:
            self.store.note_conflict(kept, {"resolving": self.case.kept.notes.get("resolving")})
        return why


def _mark(case: Case, pair: Pair, store: Store, at: datetime, asked: Decision, intent: Mapping[str, Any]) -> None:
    """Note who decided what; the record's other open conflicts that this decides too are closed."""
    notes: dict[str, Any] = {"status": "resolved", "winner": "none" if asked.keep == "value" else asked.keep, "rule": "resolved"}
    notes |= {"resolution": case.stamp, "resolved_by": asked.by, "chosen": asked.keep}
    notes |= {"resolved_at": at, "note": asked.note, "resolving": None, "expire_at": at + RETENTION}
    if not store.note_conflict(_still_ours(store, asked.id, intent), notes):
        there = store.conflict(asked.id)
        if there is None or there.conflict.resolution != case.stamp:
            raise Transient(f"conflict {asked.id}: it was noted anew just now; the same call goes on with it")
    whole = case.whole or not isinstance(case.chosen, Value)
    others = [each.conflict for each in store.open_conflicts(pair.name, case.conflict.record)]
    closed = [each.id for each in others if each.id != asked.id and (whole or each.field == case.conflict.field)]
    store.supersede_conflicts(closed, at)
