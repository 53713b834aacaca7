"""Records of a graph in one transaction: locked and read, freed of unseen edits, changed by the one rule, and written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.canonical import fingerprint
from shared.errors import TerminalRecord
from shared.index import Held, adopt
from shared.model import Action, Change, Conflict, Outcome, Problem, RecordId, Result, Stamp, Version, stamp_after
from shared.naming import state_id
from shared.peers import graph_notes as notes
from shared.peers.bolt import Contended, Transaction
from shared.peers.graph_notes import Grave, grave_of, place_of
from shared.peers.graph_shape import Lying, Shape
from shared.policy import Decision, Mode, decide

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Kept:
    """A record as it was found, and as it is to be held: nothing is to be written of one that is not `touched`."""

    record: RecordId
    place: str
    lying: Lying | None
    held: Held
    grave: Grave
    version: Version = field(default_factory=Version)
    properties: Mapping[str, Any] | None = None
    touched: bool = False
    live: bool = False
    reported: dict[str, Conflict] = field(default_factory=dict)
    asked_over: Mapping[str, Stamp] = field(default_factory=dict)
    """The stamps over which a delete was asked for by hand, where it has to wait."""


class Opened:
    """The records of `ids`, until the end of the transaction. `queueing`: what is adopted is queued, and stamped as made now;
    else it counts as made just after what it replaced, since nobody will carry it."""

    def __init__(self, ask: Transaction, shapes: Mapping[str, Shape], origin: str, pair: str, queueing: bool) -> None:
        self.ask, self.shapes, self.origin, self.pair, self.queueing = ask, shapes, origin, pair, queueing
        self.now = LONG_AGO
        self.kept: dict[RecordId, Kept] = {}
        self.queued: list[Change] = []
        self.found: dict[str, Conflict] = {}
        self.tied: set[RecordId] = set()
        self.no_ends: set[tuple[str, str | None, str]] = set()

    def open(self, ids: Iterable[RecordId], writing: bool = True) -> None:
        """Read the records; locked, if they are to be written."""
        wanted = list(dict.fromkeys(ids))
        if writing:
            [turn] = self.ask(notes.TAKE_TURN, id=self.pair)
            self.now = datetime.fromtimestamp(turn["now"] / 1000, UTC)
        lying, places = self._lying(wanted, writing), {place_of(id): id for id in wanted}
        [there] = self.ask(notes.IS_ANYTHING_NOTED)
        rows = self.ask(notes.FIND_TOMBSTONES, places=list(places)) if there["tombstones"] else ()
        graves = {row["properties"]["id"]: grave_of(row["properties"]) for row in rows}
        for place, id in places.items():
            grave = graves.get(place, Grave())
            held = self.shapes[id.entity].held(lying.get(id), grave.version)
            self.kept[id] = Kept(id, place, lying.get(id), held, grave, live=held.values is not None)
        if there["conflicts"]:
            self._read_conflicts(places)

    def _lying(self, ids: Sequence[RecordId], locked: bool) -> dict[RecordId, Lying]:
        found: dict[RecordId, Lying] = {}
        for entity, shape in self.shapes.items():
            keys = [id.key for id in ids if id.entity == entity]
            rows = self.ask(shape.reading(locked), keys=keys) if keys else ()
            found |= {id: each for each in (Lying(**row) for row in rows) if (id := shape.record(each))}
        return found

    def _read_conflicts(self, records: Mapping[str, RecordId]) -> None:
        for row in self.ask(notes.FIND_CONFLICTS, places=list(records)):
            record = records[row["place"]]
            conflict = notes.conflict_of(record, row["body"])
            self.kept[record].reported[conflict.id] = conflict

    # What stands in the way

    def look_around(self, changes: Sequence[Change], ends: bool = False) -> None:
        """Learn which nodes that may go are tied to others; and which ends of relationships are missing, if some are."""
        for entity, shape in self.shapes.items():
            if shape.ends and ends:
                self._look_for_ends(shape, [each for each in changes if each.record.entity == entity])
            if not shape.ends:
                going = {each.record.key for each in changes if each.deleted and each.record.entity == entity}
                going |= {id.key for id, each in self.kept.items() if id.entity == entity and each.lying and each.lying.marked}
                rows = self.ask(shape.tied, keys=list(going)) if going else ()
                self.tied |= {RecordId(entity, row["key"], row["tenant"] if shape.entity.has_tenant else None) for row in rows}

    def _look_for_ends(self, shape: Shape, changes: Sequence[Change]) -> None:
        for number, name in enumerate(shape.ends):
            named = {(each.fields[name].value, each.record.tenant) for each in changes if name in each.fields}
            named |= {
                (each.held.tombstone.fields[name].value, id.tenant)
                for id, each in self.kept.items()
                if id.entity == shape.entity.name and name in each.held.tombstone.fields
            }
            rows = [{"key": key, "tenant": tenant} for key, tenant in named if isinstance(key, str)]
            found = self.ask(shape.missing_end(number), rows=rows) if rows else ()
            self.no_ends |= {(shape.end_labels[number], row["tenant"], row["key"]) for row in found}

    # Adopting

    def adopt(self) -> None:
        """Adopt what is unseen in the records, deletes that were asked for among it."""
        for each in self.kept.values():
            if self._is_unseen(each):
                change, each.version = adopt(each.record, each.held, self._when(each), self.origin, self._names(each), "")
                self._enqueue(change)
                self._settle(each)
            else:
                each.version = each.held.version()
                if each.live and each.lying and not self.shapes[each.record.entity].fits(each.record, each.lying, each.version):
                    self._settle(each)
            if each.live and each.lying and each.lying.marked:
                self._wait(each) if each.record in self.tied else self._delete(each)

    def _is_unseen(self, each: Kept) -> bool:
        return each.live and (not each.held.index or bool(each.held.unseen()))

    def _when(self, each: Kept) -> datetime:
        return self.now if self.queueing else long_ago(each.held)

    def _names(self, each: Kept) -> tuple[str, ...]:
        return self.shapes[each.record.entity].entity.names

    def _wait(self, each: Kept) -> None:
        """Note what was held when a delete was asked for that has to wait: what comes in meanwhile was not seen by who asked."""
        if each.lying and not each.lying.asked_over:
            each.asked_over = _stamps(each.version)
            self._settle(each)

    def _delete(self, each: Kept) -> None:
        stamps = _stamps(each.version)
        stamp = stamp_after(self._when(each), self.origin, list(stamps.values()))
        seen = (each.lying.asked_over if each.lying else {}) or stamps
        self._enqueue(Change("", each.record, Action.DELETE, deleted=stamp, deleted_base=seen))
        each.version = Version(each.version.fields, stamp)
        self._settle(each)

    def _enqueue(self, change: Change) -> None:
        if self.queueing:
            self.queued.append(replace(change, id=state_id(place_of(change.record), at=change.latest)))

    def _settle(self, each: Kept) -> None:
        """Note a version to be held; TerminalRecord if the graph cannot hold it."""
        shape = self.shapes[each.record.entity]
        live = each.version.deleted is None
        properties = shape.properties(each.record, each.version, each.held) | _asked(each) if live else None
        each.properties, each.live, each.touched = properties, live, True

    # Applying

    def apply(self, change: Change, mode: Mode) -> Result:
        """Apply a change to what is held by now."""
        each = self.kept[change.record]
        before, decision = each.version, decide(each.version, change, mode)
        in_the_way = self._in_the_way(each, change, decision.version)
        if in_the_way:
            return Result(change.id, Outcome.RETRY, problem=in_the_way)
        if decision.version is not before:
            try:
                each.version = decision.version
                self._settle(each)
            except TerminalRecord as error:
                each.version = before
                fields = {error.field: error.code} if error.field else {}
                return Result(change.id, Outcome.INVALID, problem=Problem(error.code, str(error), fields))
        self._report(each, decision)
        version = decision.version
        stamps = {name: version.fields[name].stamp for name in change.fields if name in version.fields}
        told = each.reported | {conflict.id: conflict for conflict in decision.conflicts}
        return Result(change.id, decision.outcome, decision.applied, stamps, version.deleted, tuple(told.values()))

    def _report(self, each: Kept, decision: Decision) -> None:
        """Keep what is about to be overwritten. An open conflict overwrites nothing."""
        over = {conflict.id: conflict for conflict in decision.conflicts if not conflict.open}
        each.reported |= over
        self.found |= over

    def _in_the_way(self, each: Kept, change: Change, version: Version) -> Problem | None:
        shape = self.shapes[each.record.entity]
        if version.deleted is not None:
            tied = each.live and each.record in self.tied
            return Problem("reference", "the node still has relationships; it goes when those are gone") if tied else None
        whole = change.action is Action.CREATE or all(name in version.fields for name in shape.entity.names)
        if not each.live and not whole:
            return Problem("incomplete", "the record is not known here, and the change does not hold all its fields")
        ends = [(name, label, version.fields.get(name)) for name, label in zip(shape.ends, shape.end_labels, strict=True)]
        lost = {name: "reference" for name, label, end in ends if end and (label, each.record.tenant, end.value) in self.no_ends}
        return Problem("reference", "a node that the relationship runs to is not there", lost) if lost else None

    # Writing

    def write(self) -> None:
        """Write what was adopted and applied. Contended if something came in between, and all of it has to be done again."""
        touched = [each for each in self.kept.values() if each.touched]
        for entity, shape in self.shapes.items():
            self._write_records(shape, [each for each in touched if each.record.entity == entity])
        self._write_graves(touched)
        for statement, rows in (
            (notes.KEEP_CONFLICTS, [notes.conflict_row(each) for each in self.found.values()]),
            (notes.ENQUEUE, [notes.entry_of(each, self.pair, self.now) for each in self.queued]),
        ):
            if rows:
                self.ask(statement, rows=rows)

    def _write_records(self, shape: Shape, touched: Sequence[Kept]) -> None:
        gone = [each for each in touched if each.held.values is not None and (not each.live or _moved(shape, each))]
        made = [each for each in touched if each.live and (not each.lying or _moved(shape, each))]
        changed = [each for each in touched if each.live and each.lying and not _moved(shape, each)]
        if gone:
            self.ask(shape.removed, rows=[_row(each, each.lying) for each in gone])
        if changed:
            self.ask(shape.changed, rows=[_row(each, each.lying) for each in changed])
        if made:
            self._make(shape, made)

    def _make(self, shape: Shape, made: Sequence[Kept]) -> None:
        """Make what is not there, in rows that say no name twice: half of a first load is the packing of what is sent."""
        new = [(each, _new(shape, each), _all(each)) for each in made]
        names = list(dict.fromkeys(name for *_, properties in new for name in properties))
        rows = [[each.record.key, place.start, place.end, *map(properties.get, names)] for each, place, properties in new]
        if self.ask(shape.made(names), rows=rows) != [{"made": len(rows)}]:
            raise Contended

    def _write_graves(self, touched: Sequence[Kept]) -> None:
        before = {each.place: each.grave.row(each.place) for each in touched}
        after = {each.place: each.grave.over(each.version).row(each.place) for each in touched}
        rows = [row for place, row in after.items() if row and row != before[place]]
        places = [place for place, row in after.items() if row is None and before[place]]
        if rows:
            self.ask(notes.KEEP_TOMBSTONES, rows=rows)
        if places:
            self.ask(notes.DROP_TOMBSTONES, places=places)


def long_ago(held: Held) -> datetime:
    """Return when something counts as made by hand that nobody carries: before all else, and each for itself, since a conflict is
    named after its stamps."""
    return LONG_AGO + timedelta(microseconds=int(fingerprint(dict(held.values or {}))[:10], 16))


def _stamps(version: Version) -> dict[str, Stamp]:
    return {name: value.stamp for name, value in version.fields.items()}


def _asked(each: Kept) -> dict[str, str | None]:
    """Return what is to be noted of a delete that waits; nothing more once nobody asks for it any more."""
    if each.asked_over:
        return {"_asked": json.dumps(dict(each.asked_over))}
    return {"_asked": None} if each.lying and each.lying.asked_over and not each.lying.marked else {}


def _moved(shape: Shape, each: Kept) -> bool:
    """Whether a relationship is to run between other nodes than now: that is another relationship to the graph."""
    new = _new(shape, each) if shape.ends and each.live else None
    return new is not None and each.lying is not None and (new.start, new.end) != (each.lying.start, each.lying.end)


def _new(shape: Shape, each: Kept) -> Lying:
    return Lying({}, *(each.version.fields[name].value for name in shape.ends))


def _all(each: Kept) -> dict[str, Any]:
    """Return the properties of what is made anew: also those that nobody syncs move with a relationship."""
    return {**(each.lying.properties if each.lying else {}), **(each.properties or {})}


def _row(each: Kept, place: Lying | None) -> dict[str, Any]:
    ends = {"start": place.start, "end": place.end} if place else {}
    tenant = {"tenant": each.record.tenant} if each.record.tenant else {}
    return {"key": each.record.key, "properties": dict(each.properties or {}), **tenant, **ends}
