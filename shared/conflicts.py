"""The conflicts that are kept in Firestore, and who decided them. No policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared import wire
from shared.errors import Transient
from shared.model import Conflict, Json, Policy, RecordId, Side, Stamp, instant, parse_stamp, side_stamp, stamp_time
from shared.naming import state_id
from shared.native import loaded
from shared.peers.documents import ALREADY_EXISTS, LOST_RACE, OK, Documents, Snapshot, Write
from shared.peers.layout import CONFLICTS, QUEUE, conflict_label, conflict_writes
from shared.retention import RETENTION

PAGE = 500
ROUNDS = 5
"""How often something is noted of a conflict again, where somebody else noted something at the same moment."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A conflict as it is kept: `status` is open, settled (by a rule), resolved (by somebody) or superseded (by a newer edit)."""

    conflict: Conflict
    pair: str
    status: str
    notes: Mapping[str, Any]
    """All that is kept beside the two writes: who resolved it and when, with which stamp, what is under way."""
    seen: Snapshot
    """The document that it was read from."""
    left_out: frozenset[str] = frozenset()
    """The sides (`local`, `incoming`) whose value was too large to be kept here; the record itself held it."""

    @property
    def intent(self) -> Mapping[str, Any]:
        """What somebody has begun to decide; empty if nothing is under way."""
        return self.notes.get("resolving") or {}


class Conflicts:
    """The conflicts of all pairs, kept through `documents`."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents

    def keep_conflicts(self, pair: str, conflicts: Iterable[Conflict], run_id: str, now: datetime) -> None:
        """Keep conflicts under their ids. Of those kept already, what a policy decides is noted; the rest stays as it is."""
        unique = list({each.id: each for each in conflicts}.values())
        statuses = self._write(conflict_writes(unique, pair, run_id, now))
        known = [each for each, status in zip(unique, statuses, strict=True) if status == ALREADY_EXISTS]
        self._note({each.id: conflict_label(each, now) for each in known if each.rule != Policy.LAST_WRITE_WINS})

    def overrule(self, conflicts: Mapping[str, str], rule: str) -> None:
        """Note that these conflicts (id: winner) were decided by `rule`."""
        self._note({id: {"winner": winner, "rule": rule} for id, winner in conflicts.items()})

    def supersede_conflicts(self, ids: Iterable[str], now: datetime) -> None:
        """Close open conflicts whose field was written anew since."""
        self._note({id: {"status": "superseded", "expire_at": now + RETENTION} for id in ids})

    def note_conflict(self, kept: Kept, notes: Mapping[str, Any]) -> bool:
        """Note something of a conflict; None takes a note back. Returns False, and notes nothing, if somebody else has noted
        something of it since it was read."""
        said = {name: note for name, note in notes.items() if note is not None}
        [status] = self.documents.write([Write(kept.seen.path, said, tuple(notes), kept.seen)])
        if status not in {OK, *LOST_RACE}:
            raise Transient("Firestore did not take a note of a conflict; the same call goes on with it")
        return status == OK

    def conflict(self, id: str) -> Kept | None:
        """Return a conflict by its id, None if there is none."""
        path = f"{CONFLICTS}/{id}"
        found = self.documents.get([path])[0][path]
        return _kept(found) if found.exists else None

    def open_conflicts(self, pair: str, record: RecordId | None = None) -> Iterator[Kept]:
        """Yield the conflicts of a pair, or of one of its records, that wait for somebody's decision."""
        equal = {"pair": pair, "status": "open"} | (_named(record) if record else {})
        yield from map(_kept, self._rows(CONFLICTS, equal))

    def count_open_conflicts(self, pair: str) -> int:
        """Return how many conflicts of a pair wait for somebody's decision."""
        return self.documents.count(CONFLICTS, {"pair": pair, "status": "open"})

    def value_replaced(self, pair: str, record: RecordId, field: str, base: Stamp) -> tuple[Json] | None:
        """Return the value that a field held since `base`, as the record's queue entries tell it; None if they do not."""
        for row in self._rows(QUEUE, {"pair": pair} | _named(record)):
            replaced = row.fields.get("replaced") or {}
            if field in replaced and (row.fields.get("base") or {}).get(field) == base:
                return (loaded(field, replaced[field]),)
        return None

    def over_first_writes(self, conflicts: Sequence[Conflict], run_id: str) -> list[Conflict]:
        """Return those of the conflicts whose local side was queued here as a write whose author had seen nothing of the field,
        and waited until this run."""
        paths = {each.id: _entry_path(each.record, side_stamp(each.local)) for each in conflicts}
        found, _ = self.documents.get(list(dict.fromkeys(paths.values()))) if paths else ({}, None)
        return [each for each in conflicts if _is_first(found[paths[each.id]], each.field, run_id)]

    def _rows(self, collection: str, equal: Mapping[str, Any]) -> Iterator[Snapshot]:
        after = None
        while True:
            rows = self.documents.query(collection, equal, after, PAGE)
            yield from rows
            if len(rows) < PAGE:
                return
            after = rows[-1].path.rpartition("/")[2]

    def _note(self, notes: Mapping[str, Mapping[str, Any]]) -> None:
        """Note something of conflicts that nobody has resolved meanwhile: what somebody decided stays."""
        left = {f"{CONFLICTS}/{id}": dict(body) for id, body in notes.items()}
        for _ in range(ROUNDS):
            if not left:
                return
            found, _ = self.documents.get(list(left))
            left = {path: body for path, body in left.items() if found[path].fields.get("status") not in {None, "resolved"}}
            statuses = self.documents.write([Write(path, body, tuple(body), found[path]) for path, body in left.items()])
            if any(status not in {OK, *LOST_RACE} for status in statuses):
                break
            left = {path: body for (path, body), status in zip(left.items(), statuses, strict=True) if status != OK}
        if left:
            raise Transient("Firestore did not take all that was to be noted of conflicts; the next run repeats it")

    def _write(self, writes: Sequence[Write]) -> list[int]:
        """Write the sync's own records; those that are there already are no failure."""
        statuses = self.documents.write(writes) if writes else []
        if any(status not in {OK, ALREADY_EXISTS} for status in statuses):
            raise Transient("Firestore did not take all of the sync's own records; the next run repeats them")
        return statuses


def _named(record: RecordId) -> dict[str, Any]:
    return {"entity": record.entity, "key": record.key} | ({"tenant": record.tenant} if record.tenant else {})


def _entry_path(record: RecordId, stamp: Stamp) -> str:
    """Return where the queue entry of a write lies if it was made on top of nothing: then its stamp is the document's time."""
    return f"{QUEUE}/{state_id(record.tenant, record.entity, record.key, at=instant(stamp_time(stamp)))}"


def _is_first(entry: Snapshot, field: str, run_id: str) -> bool:
    base, waited = entry.fields.get("base") or {}, entry.fields.get("sync_status") == "pending"
    return field in base and base[field] is None and (waited or entry.fields.get("run_id") == run_id)


def _kept(row: Snapshot) -> Kept:
    body, id = row.fields, row.path.rpartition("/")[2]
    record, name, base = RecordId(body["entity"], body["key"], body["tenant"]), body["field"], body.get("base")
    local, incoming = (_side(name, body[each]) for each in ("local", "incoming"))
    left_out = frozenset(each for each in ("local", "incoming") if body[each].get("left_out"))
    conflict = Conflict(
        id, record, name, body["winner"], local, incoming, base and parse_stamp(base), body["rule"], body.get("resolution")
    )
    return Kept(conflict, body["pair"], body["status"], body, row, left_out)


def _side(name: str, body: Mapping[str, Any]) -> Side:
    return wire.side_from_json(name, {"value": None, **body} if body.get("left_out") else body, loaded)
