"""What a person may ask for: that their record is erased everywhere, and to be told all that is held of it.

An erasure is a delete by the one rule, on both sides, after which each side drops what it keeps of deleted records. The
tombstone stays, without values or key, so that no late event, stale change or repeated run brings anything back. All of it
may be repeated: what was cut off is finished by the same call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from shared import traces
from shared.errors import BadRequest, NotFound, NotOpen, SyncError, TerminalRecord, Transient
from shared.log import Log
from shared.model import Action, Change, Outcome, RecordId, Result, Stamp, Version, instant, stamp_after
from shared.peers.base import Eraser, Peer
from shared.peers.firestore import FirestorePeer
from shared.retention import RETENTION, RUN_RETENTION, TOMBSTONE_RETENTION
from shared.run import LEASE, Pair
from shared.store import Store

ERASE = "erase_record"
ROUNDS = 6
"""How often a record that keeps being edited is deleted again before the caller is told to come back."""
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Subject(BaseModel):
    """Whose record is meant, and who asks."""

    model_config = ConfigDict(extra="forbid", strict=True)

    entity: str
    """The kind of record."""
    key: str = Field(min_length=1)
    """Its key."""
    tenant: str | None = Field(None, min_length=1)
    """Its tenant, where the entity has any."""
    by: Name = "operator"
    """Who asks, for `sync_audit`; whoever has a token of their own is named by that instead."""

    def found_in(self, pairs: Mapping[str, Pair]) -> tuple[Pair, RecordId]:
        """Return the pair and the record; BadRequest, without the key, if there can be none such."""
        pair = next((pair for pair in pairs.values() if self.entity in pair.scope.entities), None)
        if pair is None:
            there = ", ".join(entity for each in pairs.values() for entity in each.scope.entities)
            raise BadRequest(f"entity: there is no entity {self.entity!r}; there are: {there}")
        tenants, record = pair.tenants.get(self.entity, ()), RecordId(self.entity, self.key, self.tenant)
        if (self.tenant is None) != (not tenants) or (tenants and self.tenant not in tenants):
            raise BadRequest(f"tenant: a record of {self.entity!r} has one of these: {', '.join(tenants) or 'none'}")
        try:
            pair.entities[self.entity].path(record)
        except TerminalRecord as error:
            raise BadRequest(f"key: {error}") from None
        return pair, record


class Erasure(Subject):
    """What is to be erased."""

    reason: str | None = Field(None, min_length=1, max_length=200)
    """Why; kept in `sync_audit`, so it must not name the person."""

    def check(self) -> None:
        """Raise BadRequest if the reason says whose record it was."""
        if self.reason is not None and self.key in self.reason:
            raise BadRequest("reason: leave the record's key out of it; it is kept when all else is erased")


def erase(
    pairs: Mapping[str, Pair], store: Store, now: Callable[[], datetime], log: Log, asked: Erasure, id: str
) -> dict[str, Any]:
    """Erase a record and return the receipt, which `sync_audit` keeps too: what was dropped where, what remains until when.

    NotFound: nothing is known of it. NotOpen: a side holds on to it, nothing was erased. Transient: the same call again
    goes on. `complete` is false while a run is under way that began before: it may still hold values in memory, and write
    a conflict or a dead letter; the same call again, after it, drops that too.
    """
    asked.check()
    pair, record = asked.found_in(pairs)
    at, about = now(), log.record(record)
    note = partial(store.audit, ERASE, id, asked.by, at, **about, reason=asked.reason)
    note(outcome="begun")
    try:
        done = _Erasing(pair, record, store, now, id).carry_out()
    except SyncError as error:
        note(outcome=type(error).__name__)
        raise
    receipt = {"id": id, **about, "pair": pair.name, "by": asked.by, "reason": asked.reason, "at": instant(at), **done}
    note(outcome="erased" if done["complete"] else "to be repeated", removed=done["removed"], remains=done["remains"])
    log("erased", "a record was erased", pair=pair.name, complete=done["complete"], **about)
    return receipt


@dataclass(frozen=True, slots=True)
class _Erasing:
    pair: Pair
    record: RecordId
    store: Store
    now: Callable[[], datetime]
    id: str
    removed: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def sides(self) -> list[Peer]:
        """Both peers, first the one of which only writing tells whether it takes a delete."""
        return sorted((self.pair.left, self.pair.right), key=lambda peer: peer.foresees)

    def carry_out(self) -> dict[str, Any]:
        """Delete, drop what is kept, and return what the receipt says of it."""
        if not any(version.known for version in self._held().values()) and not any(self.store.about(self.record).values()):
            raise NotFound(f"nothing is known of this {self.record.entity}: neither side holds it, and nothing is kept of it")
        erased = self._delete()
        by_hand = [peer for peer in self.sides if not self._drop_at(peer)]
        # whoever begins from here on finds no value any more, and whoever has ended has written what it had to write
        running = self.store.under_way(self.pair.name, self.now(), self.pair.run_time + LEASE)
        self.removed["sync"] = traces.drop(self.store, self.record, erased)
        remains = [row for peer in self.sides for row in _remains(peer, peer in by_hand, self.now())]
        return {"removed": self.removed, "remains": remains, "complete": not running, "waits_for": running}

    def _drop_at(self, peer: Peer) -> bool:
        """Have a side drop what it keeps; return whether it can."""
        dropped = peer.erase(self.record) if isinstance(peer, Eraser) else None
        self.removed.setdefault(peer.name, {}).update(dropped or {})
        return dropped is not None

    def _delete(self) -> Stamp:
        """Delete the record on both sides, whatever is written there meanwhile; return the stamp of it."""
        for _ in range(ROUNDS):
            held = self._held()
            seen = [stamp for version in held.values() for stamp in _stamps(version)]
            deleted = stamp_after(self._clock(), self.pair.left.name, seen)
            for peer in self.sides:
                self._delete_at(peer, held[peer.name], deleted)
            if all(version.deleted == deleted for version in self._held().values()):
                return deleted
        raise Transient("the record is edited faster than it can be deleted; the same call again goes on")

    def _held(self) -> dict[str, Version]:
        found = {peer.name: peer.read([self.record]) for peer in self.sides}
        return {name: records[0].version if records else Version() for name, records in found.items()}

    def _clock(self) -> datetime:
        """Return the time by Firestore's clock, which takes no stamp from the future, and stamps what its clients write."""
        peers = [peer for peer in self.sides if isinstance(peer, FirestorePeer)]
        return peers[0].status(self.pair.scope).now if peers else self.now()

    def _delete_at(self, peer: Peer, held: Version, deleted: Stamp) -> None:
        stamps = {name: value.stamp for name, value in held.fields.items()}
        change = Change(f"{self.id}:{peer.name}", self.record, Action.DELETE, deleted=deleted, deleted_base=stamps)
        [result] = peer.apply([change], ERASE)
        if result.outcome in {Outcome.INVALID, Outcome.RETRY}:
            raise _not_deleted(peer, result)
        if held.known and held.deleted is None and result.deleted == deleted:
            self.removed[peer.name] = {"records": 1}


def _stamps(version: Version) -> list[Stamp]:
    own = [value.stamp for value in version.fields.values()]
    return own if version.deleted is None else [*own, version.deleted]


def _not_deleted(peer: Peer, result: Result) -> SyncError:
    problem = result.problem
    why = f"{problem.code}: {problem.message}" if problem else str(result.outcome)
    if problem and problem.code in {"busy", "future"}:
        return Transient(f"{peer.name} could not take the delete yet ({why}); the same call goes on with it")
    return NotOpen(f"{peer.name} does not let go of the record ({why}); mend that there, then call again")


def _remains(peer: Peer, by_hand: bool, now: datetime) -> list[dict[str, str]]:
    """Return what is still there of an erased record on a side, and until when."""
    if by_hand:
        return [{"where": peer.name, "what": "hidden and queued values", "until": "they are erased there (sync_erase)"}]
    rows = [(peer.name, "the key, in its tombstone and its deletes", RETENTION)]
    if isinstance(peer, FirestorePeer):
        rows = [
            ("sync_tombstones", "the delete's stamp, under a hash of the key", TOMBSTONE_RETENTION),
            ("sync_queue", "entries without values or key", RETENTION),
            ("sync_audit", "this receipt, under a keyed hash of the key", RUN_RETENTION),
        ]
    return [{"where": where, "what": what, "until": instant(now + kept)} for where, what, kept in rows]
