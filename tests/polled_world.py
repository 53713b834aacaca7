"""A polled system and a peer with a queue, their users, faults at every call, and a ledger of what users wrote.

The ledger stands outside the engine: it knows what each user saw when they wrote, so it can tell an overwritten value from
a lost one.
"""

from __future__ import annotations

import itertools
from datetime import timedelta
from random import Random
from typing import Any

from memory_firestore import Clock, MemoryFirestore
from memory_system import MemorySystem
from world import ENTITY, FIELDS, Ledger, Quiet

from shared.canonical import canonical
from shared.engine import sync
from shared.errors import AlreadyRunning, Transient
from shared.model import RecordId, Scope
from shared.peers.memory import MemoryPeer
from shared.peers.polled import PolledPeer
from shared.peers.polled_records import Habits
from shared.report import Report
from shared.run import Order, Pair
from shared.store import Store

DAY = 25 * 3600.0
PERMANENT = "caretaker"
"""A record that nobody deletes: an empty list would be no proof of any delete."""


class Crash(BaseException):
    """The instance is gone, in the middle of whatever it did."""


class PolledWorld:
    """`chance` is that of a fault at each call, before it or after it; `ahead`: the other peer's clock, in seconds."""

    def __init__(self, dice: Random, chance: float = 0.0, ahead: float = 0.0, **system: Any) -> None:
        self.dice, self.chance = dice, chance
        self.clock = Clock()
        self.database = MemoryFirestore(self.clock, fault=self._fault)
        self.system = MemorySystem(self.clock, fault=self._fault, page_size=2, **system)
        self.django = MemoryPeer("django", {"thing": FIELDS}, self.clock.apart(ahead))
        self.ledger, self.log, self.store = Ledger(), Quiet(), Store(self.database)
        self.runs, self.values = itertools.count(1), itertools.count(1)
        self.crashing, self.faults = False, 0
        self.written_there: set[str] = {"here"}
        self.system.user_writes(None, "thing", PERMANENT, {"a": "here"})

    def _fault(self, call: str) -> None:
        if self.crashing and self.dice.random() < self.chance:
            self.faults += 1
            raise self.dice.choice([Crash(call), Transient(f"{call}: no answer")])

    def pair(self) -> Pair:
        """Return the pair as a new instance makes it."""
        habits = Habits(timedelta(hours=24), 2)
        polled = PolledPeer(self.system, self.database, "things", [ENTITY], self.clock, habits)
        sides = (self.django, polled)
        return Pair("things", *sides, Scope("things", ("thing",), page_size=3), self.database.billed, entities={"thing": ENTITY})

    def run(self, crashing: bool = False) -> Report | None:
        """Run once; None if the instance died, or an earlier one's lease still stands."""
        self.crashing = crashing
        self.clock.tick(0.01)
        try:
            report = sync(self.pair(), Order(f"run-{next(self.runs)}"), self.store, self.clock, self.log)
        except (Crash, Transient, AlreadyRunning):
            self.clock.tick(150)  # a lease of one that died runs out
            return None
        finally:
            self.crashing = False
        assert crashing or not report.failure, report.failure
        assert crashing or all(tally.even for tally in report.directions.values())
        return report

    # Users

    def there(self) -> list[str]:
        return list(self.system.tables[None, "thing"])

    def key_of(self, external: str) -> str:
        row = self.system.tables[None, "thing"][external]
        if self.system.knows_keys and row.key:
            return row.key
        [ref] = self.pair().right.refs([RecordId("thing", external)]).values()  # type: ignore[attr-defined]
        return str(ref.record.key)

    def edit_there(self, external: str) -> None:
        row = self.system.tables.get((None, "thing"), {}).get(external)
        fields = self._written(external, row.fields if row else None)
        self.written_there |= set(fields.values())
        self.system.user_writes(None, "thing", external, fields)
        self.clock.tick(0.001)

    def delete_there(self, external: str) -> None:
        row = self.system.tables[None, "thing"].pop(external)
        self.ledger.saw("", row.fields, FIELDS)
        self.clock.tick(0.001)

    def edit_here(self, key: str) -> None:
        values = self.django.values(RecordId("thing", key))
        self.django.save(RecordId("thing", key), self._written(key, dict(values) if values is not None else None))
        self.clock.tick(0.001)

    def delete_here(self, key: str) -> None:
        values = self.django.values(RecordId("thing", key))
        self.ledger.saw("", dict(values) if values is not None else None, FIELDS)
        self.django.delete(RecordId("thing", key))
        self.clock.tick(0.001)

    def _written(self, name: str, before: dict[str, Any] | None) -> dict[str, Any]:
        """Return new values of some fields, each never written before; the ledger notes them, and what their author saw."""
        fields = {each: f"{name}-{next(self.values)}" for each in FIELDS if self.dice.random() < 0.6} or {"a": next(self.values)}
        fields = {each: str(value) for each, value in fields.items()}
        self.ledger.saw("", before, fields)
        for each, value in fields.items():
            self.ledger.wrote("", each, value)
        return fields

    def act(self) -> None:
        """Let somebody do something."""
        here, there = [id.key for id in self.django.rows], self.there()
        mortal = [key for key in here if key != PERMANENT], [external for external in there if external != PERMANENT]
        what = self.dice.choice(["here", "there", "here", "there", "new here", "new there", "gone here", "gone there"])
        if what == "new here" and len(here) < 4:
            self.edit_here(f"k{next(self.values)}")
        elif what == "new there" and len(there) < 4:
            self.edit_there(f"x{next(self.values)}")
        elif what == "gone here" and mortal[0]:
            self.delete_here(self.dice.choice(mortal[0]))
        elif what == "gone there" and mortal[1]:
            self.delete_there(self.dice.choice(mortal[1]))
        elif what.endswith("there"):
            self.edit_there(self.dice.choice(there))
        elif here:
            self.edit_here(self.dice.choice(here))

    # What must hold

    def settle(self) -> None:
        """Let everything arrive; the last run finds nothing to do."""
        for _ in range(7):
            self.clock.tick(DAY)
            self.run()
        report = self.run()
        assert report is not None
        assert report.moved == 0, "a run after the last one moves nothing"

    def check(self) -> None:
        """Both sides hold the same values, each record once, and the ledger accounts for every write."""
        there = {self.key_of(external): self.system.tables[None, "thing"][external].fields for external in self.there()}
        assert len(there) == len(self.there()), "no record is there twice"
        here = {id.key: dict(self.django.values(id) or {}) for id in self.django.rows}
        assert {key: _present(fields) for key, fields in there.items()} == here
        values = [value for fields in here.values() for value in fields.values()]
        assert len(values) == len(set(values)), "what was written to one record is in no other: nothing was created twice"
        assert self.queued() <= self.written_there, "only what its own users wrote there is ever queued from there: no echo"
        assert not list(self.refused()), "nothing was refused"
        current = {("", name, canonical(value)) for fields in here.values() for name, value in fields.items()}
        lost = self.ledger.written - self.ledger.seen - current - self._kept()
        assert not lost, f"written, never seen by a later writer, and nowhere to be found: {sorted(lost)}"

    def queued(self) -> set[str]:
        rows = [each.fields["fields"] for path, each in self.database.documents.items() if path.startswith("sync_queue/")]
        return {value for fields in rows for value in fields.values() if value is not None}

    def refused(self) -> list[dict[str, Any]]:
        rows = self.database.documents.items()
        return [
            dict(each.fields) for path, each in rows if path.startswith("sync_dead_letters/") and each.fields["status"] == "open"
        ]

    def _kept(self) -> set[tuple[str, str, str]]:
        rows = [each.fields for path, each in self.database.documents.items() if path.startswith("sync_conflicts/")]
        rows += [
            {
                "field": each.field,
                "local": {"value": getattr(each.local, "value", None)},
                "incoming": {"value": getattr(each.incoming, "value", None)},
            }
            for each in self.django.conflicts.values()
        ]
        sides = [(row["field"], row[side].get("value")) for row in rows for side in ("local", "incoming")]
        return {("", name, canonical(value)) for name, value in sides}


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
