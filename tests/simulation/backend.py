"""A backend in memory, written from the REST contract: a stand-in for `backend/`, whose own tests run the real one.

It decides with the real backend's pure modules (merge, conflicts, adoption, stamps, canonical), so that the two
implementations of the one rule work against each other. What a database does there (constraints, references, locks,
transactions) is done here in the simplest way that gives the contract's outcomes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from syncqueue.adoption import Adoption, Known, adopt_delete, adopt_row
from syncqueue.canonical import conflict_id, fingerprint
from syncqueue.merge import decide
from syncqueue.stamps import instant, is_stamp
from syncqueue.versions import Change, Decision, Held, Refused

from simulation.entities import ENTITIES

Place = tuple[str, str, str]
"""Entity, tenant ("" for none) and key."""
ORIGIN = "django"
AHEAD = timedelta(minutes=5)
NAMES = {name: entity.names for name, entity in ENTITIES.items()}
UNIQUE, REFERENCE = ("thing", "u"), ("thing", "g")
REQUIRED = (("thing", "a"),)
TEXTS = frozenset({("thing", "a"), ("thing", "b"), ("thing", "u"), ("thing", "g"), ("group", "name"), ("note", "t")})


@dataclass
class Backend:
    """Rows, index, queue and conflicts. Values put in are never changed afterwards, so a copy may share them."""

    now: Callable[[], datetime]
    rows: dict[Place, dict[str, Any]] = field(default_factory=dict)
    known: dict[Place, Known] = field(default_factory=dict)
    queue: dict[str, dict[str, Any]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    conflicts: dict[str, dict[str, Any]] = field(default_factory=dict)
    unsettled: dict[Place, dict[str, None]] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: NAMES)
    texts: frozenset[tuple[str, str]] = TEXTS
    required: tuple[tuple[str, str], ...] = REQUIRED
    deletes: Counter[str] = field(default_factory=Counter)
    """How often a change, by its id, has deleted a record."""

    def copy(self, now: Callable[[], datetime]) -> Backend:
        """Return a backend that goes on from here by itself."""
        unsettled = {place: dict(ids) for place, ids in self.unsettled.items()}
        parts = (self.rows, self.known, self.queue, self.labels, self.conflicts)
        return Backend(now, *map(dict, parts), unsettled, self.names, self.texts, self.required)

    # What its own users do

    def save(self, place: Place, fields: Mapping[str, Any]) -> bool:
        """Create the record or edit it, and queue the edit; False, and nothing done, where the database refuses."""
        self.adopt(place)
        created = place not in self.rows
        values = {**dict.fromkeys(self.names[place[0]]), **self.rows.get(place, {}), **fields}
        if self._refusal(place, values) or self._lacking(place[0], values):
            return False
        self.rows[place] = values
        self.adopt(place, created)
        return True

    def delete(self, place: Place) -> bool:
        """Delete the record and queue the delete; False where there is none, or something refers to it."""
        self.adopt(place)
        if place not in self.rows or self._referred_to(place):
            return False
        adoption = adopt_delete(self.known[place], self.rows.pop(place), self.now(), ORIGIN)
        self._adopted(place, adoption)
        return True

    def write_raw(self, place: Place, fields: Mapping[str, Any]) -> None:
        """Write past the queue, as raw SQL does."""
        self.rows[place] = {**dict.fromkeys(self.names[place[0]]), **self.rows.get(place, {}), **fields}

    def vanish(self, place: Place) -> None:
        """Delete past the queue."""
        self.rows.pop(place, None)

    def restamp(self, place: Place, name: str, value: Any) -> bool:
        """Write a field as another node of the database would that has the same coarse clock and lost its index to this
        one: with the stamp that the field has already. False where the field was not last written here."""
        self.adopt(place)
        known = self.known.get(place, Known())
        stamp = known.stamps.get(name, "")
        if place not in self.rows or not stamp.endswith("|" + ORIGIN):
            return False
        self.rows[place] = self.rows[place] | {name: value}
        base = next((each["base"].get(name) for each in self.queue.values() if _writes(each, place, name, stamp)), None)
        after = Known(known.stamps, dict(known.prints) | {name: fingerprint(value)})
        self._adopted(place, Adoption(after, "update", stamp, {name: value}, {name: base}))
        return True

    def adopt(self, place: Place, created: bool = False) -> None:
        """Adopt what the index does not account for, as every write and every look at a record does first."""
        row = self.rows.get(place)
        adoption = adopt_row(self.known.get(place, Known()), row, created, self.now(), ORIGIN) if row is not None else None
        if adoption is not None:
            self._adopted(place, adoption)

    def _adopted(self, place: Place, adoption: Adoption) -> None:
        self.known[place] = adoption.known
        entity, tenant, key = place
        id = f"{len(self.queue) + 1:032x}"
        deletes = adoption.action == "delete"
        self.queue[id] = {
            "id": id,
            "entity": entity,
            "tenant": tenant or None,
            "key": key,
            "action": adoption.action,
            "fields": dict(adoption.fields),
            "stamp": adoption.stamp,
            "stamps": {},
            "base": dict(adoption.base),
            "deleted": adoption.stamp if deletes else None,
            "deleted_base": dict(adoption.deleted_base),
        }
        self.labels[id] = "pending"

    # What the sync does

    def held(self, place: Place) -> Held:
        """Return what is held of a record, adopted."""
        self.adopt(place)
        known = self.known.get(place, Known())
        if known.deleted:
            return Held(known.stamps, known.values, known.deleted)
        if place in self.rows:
            return Held(known.stamps, self.rows[place])
        return Held(known.stamps, None) if known.stamps else Held()

    def apply(self, items: list[dict[str, Any]], mode: str) -> list[dict[str, Any]]:
        """Apply the changes; what uniqueness or a reference stands against is tried again after all others."""
        outcomes: dict[int, Decision | Refused] = {}
        changes = {position: change_of(raw) for position, raw in enumerate(items)}
        waiting = list(changes)
        while waiting:
            outcomes |= {position: self._apply(changes[position], mode) for position in waiting}
            refused = [position for position in waiting if _depends(outcomes[position])]
            if len(refused) == len(waiting):
                break
            waiting = refused
        return [self._result(changes[position], outcomes[position]) for position in changes]

    def _apply(self, change: Change, mode: str) -> Decision | Refused:
        try:
            self._judge(change)
            decision = decide(self.held(place_of(change)), change, mode, self.names[change.entity])
            self._hold(change, decision)
        except Refused as refused:
            return refused
        for each in decision.conflicts:
            self._keep_conflict(change, each)
        return decision

    def _judge(self, change: Change) -> None:
        """Raise Refused where the change cannot be taken whatever is held here."""
        for name, value in change.fields.items():
            if name not in self.names[change.entity]:
                raise Refused("malformed", "no such synced field", {"fields": "unknown"})
            if value is None and (change.entity, name) in self.required:
                raise Refused("required", "never null", {name: "never null"})
            if value is not None and (change.entity, name) in self.texts and not isinstance(value, str):
                raise Refused("type", "expected text", {name: "expected text"})
        if instant(change.latest) > self.now() + AHEAD:
            raise Refused("future", "stamped over 5 minutes ahead")

    def _hold(self, change: Change, decision: Decision) -> None:
        place, held = place_of(change), decision.held
        if decision.outcome == "held":
            return
        if held.deleted is None and held.live:
            self._check_live(change, held)
            values = {**dict.fromkeys(self.names[place[0]]), **(held.values or {})}
            refusal = self._refusal(place, values)
            if refusal:
                raise refusal
            self.rows[place] = values
        elif held.deleted is not None:
            if place in self.rows and self._referred_to(place):
                raise Refused("reference", "other records still refer to this one")
            self.deletes[change.id] += decision.outcome == "applied"
            self.rows.pop(place, None)
        known = self.known.get(place, Known())
        prints = known.prints if held.values is None else {name: fingerprint(held.values.get(name)) for name in held.stamps}
        self.known[place] = Known(dict(held.stamps), prints, held.values if held.deleted else None, held.deleted or "")

    def _check_live(self, change: Change, held: Held) -> None:
        """Raise Refused where a record would come to be without a field that it cannot be without."""
        lacking = self._lacking(change.entity, held.values or {})
        if lacking:
            known = self.known.get(place_of(change), Known())
            code = "required" if change.action == "create" and not known.stamps else "incomplete"
            raise Refused(code, "not known here, and lacks a field", dict.fromkeys(lacking, "never null"))

    def _lacking(self, entity: str, values: Mapping[str, Any]) -> list[str]:
        return [name for owner, name in self.required if owner == entity and values.get(name) is None]

    def _refusal(self, place: Place, values: Mapping[str, Any]) -> Refused | None:
        """Return why the database would refuse a row: a value that another has, or a reference to nothing."""
        if place[0] != UNIQUE[0]:
            return None
        unique, refers = values[UNIQUE[1]], values[REFERENCE[1]]
        others = (row for other, row in self.rows.items() if other[0] == UNIQUE[0] and other != place)
        if unique is not None and any(row[UNIQUE[1]] == unique for row in others):
            return Refused("unique", "another record has this value", {UNIQUE[1]: "not unique"})
        if refers is not None and ("group", "", refers) not in self.rows:
            return Refused("reference", "refers to a record that is not here", {REFERENCE[1]: "not here"})
        return None

    def _referred_to(self, place: Place) -> bool:
        entity, name = REFERENCE
        return place[0] == "group" and any(row[name] == place[2] for other, row in self.rows.items() if other[0] == entity)

    def _keep_conflict(self, change: Change, found: Any) -> None:
        place = place_of(change)
        id = conflict_id(*place, found.field, (found.local.stamp, found.incoming.stamp))
        wire = {"id": id, "field": found.field, "winner": found.winner}
        self.conflicts[id] = wire | {"local": found.local.wire(), "incoming": found.incoming.wire()}
        self.unsettled.setdefault(place, {})[id] = None

    def _result(self, change: Change, outcome: Decision | Refused) -> dict[str, Any]:
        place = place_of(change)
        result: dict[str, Any] = {"id": change.id, "outcome": outcome.outcome}
        if isinstance(outcome, Refused):
            result["error"] = {"code": outcome.code, "message": outcome.message, "fields": outcome.fields}
        else:
            result["applied"] = list(outcome.applied)
        held = self.held(place)
        result["stamps"] = {name: held.stamps[name] for name in change.fields if name in held.stamps}
        result["deleted"] = held.deleted
        repeated = [self.conflicts[id] for id in self.unsettled.get(place, ())]
        return result | ({"conflicts": repeated} if repeated and result.get("error", {}).get("code") != "malformed" else {})

    def records(self, places: Iterable[Place]) -> list[dict[str, Any]]:
        """Return whole records, adopted; a tombstone has no fields, and what vanished is absent."""
        shown = []
        for place in places:
            held = self.held(place)
            live = place in self.rows and held.deleted is None
            if held.deleted is not None or (live and held.stamps):
                fields = {name: self.rows[place][name] for name in held.stamps} if live else {}
                head = {"entity": place[0], "tenant": place[1] or None, "key": place[2]}
                shown.append(head | {"fields": fields, "stamps": dict(held.stamps) if live else {}, "deleted": held.deleted})
        return shown

    def scan(self) -> None:
        """Adopt every raw edit, as the scan of the backend does."""
        for place in list(self.rows):
            self.adopt(place)


def change_of(raw: Mapping[str, Any]) -> Change:
    """Return a change of a request; ValueError if the engine has sent what is none."""
    stamps = [raw["stamp"], *raw["stamps"].values(), *filter(None, (raw["deleted"], *raw["base"].values()))]
    if (
        not all(map(is_stamp, stamps))
        or (raw["action"] == "delete" and not raw["deleted"])
        or not (raw["fields"] or raw["deleted"])
    ):
        raise ValueError("the engine sent what is no change")
    names = ("id", "entity", "key", "action", "fields", "stamp", "stamps", "deleted", "base", "deleted_base")
    return Change(tenant=raw["tenant"] or "", **{name: raw[name] for name in names})


def place_of(change: Change) -> Place:
    return change.entity, change.tenant, change.key


@cache
def spread(entity: str, tenant: str | None, key: str) -> int:
    """Return where a record's entries come in the queue: anywhere, but all of them together."""
    return int.from_bytes(hashlib.sha256(f"{entity}\0{tenant or ''}\0{key}".encode()).digest()[:8], "big") >> 1


def _writes(entry: Mapping[str, Any], place: Place, name: str, stamp: str) -> bool:
    where = (entry["entity"], entry["tenant"] or "", entry["key"])
    return where == place and name in entry["fields"] and entry["stamp"] == stamp


def _depends(outcome: Decision | Refused) -> bool:
    """Return whether what else is in the request may yet let the change pass."""
    return isinstance(outcome, Refused) and outcome.code in {"unique", "reference"}
