"""Two peers, their users, a late and forgetful event delivery, and a ledger of every write that a user ever made.

Django is the memory peer; Firestore is the real peer and tracker over documents in memory. The ledger stands outside the
engine: it knows what each user saw when they wrote, so it can tell an overwritten value from a lost one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from memory_firestore import Clock, Event, MemoryFirestore

from shared.canonical import canonical
from shared.engine import sync
from shared.log import Log
from shared.mapping import Entity, Field, Type
from shared.model import RecordId, Scope
from shared.peers.firestore import FirestorePeer
from shared.peers.memory import MemoryPeer
from shared.preview import rehearse
from shared.reconcile import Task, reconcile
from shared.report import Report
from shared.run import Order, Pair
from shared.store import Store
from shared.tracker import Poke, track

FIELDS = ("a", "b", "c")
ENTITY = Entity("thing", "things", tuple(Field(name, Type.JSON, name) for name in FIELDS))


class Quiet(Log):
    """A log that keeps its lines instead of printing them."""

    def __init__(self, lines: list[dict[str, Any]] | None = None, context: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(lambda: "a key for tests", context)
        object.__setattr__(self, "lines", [] if lines is None else lines)

    def bind(self, **context: str) -> Quiet:
        return Quiet(self.lines, (*self.context, *context.items()))

    def __call__(self, event: str, message: str, severity: str = "INFO", **fields: Any) -> None:
        self.lines.append({"severity": severity, "event": event, "message": message, **dict(self.context), **fields})


@dataclass
class Ledger:
    """Every value that a user wrote, by record and field, and those that a later writer or deleter had seen."""

    written: set[tuple[str, str, str]] = field(default_factory=set)
    seen: set[tuple[str, str, str]] = field(default_factory=set)

    def wrote(self, key: str, name: str, value: Any) -> None:
        if value is not None:
            self.written.add((key, name, canonical(value)))

    def saw(self, key: str, values: dict[str, Any] | None, names: Any) -> None:
        self.seen |= {(key, name, canonical(values[name])) for name in names if values and values.get(name) is not None}


class World:
    def __init__(self, ahead: float = 0.0, database: Any = None, entity: Entity = ENTITY, **options: Any) -> None:
        """`ahead`: seconds by which Django's clock runs ahead of Firestore's (behind, if negative). `database`: another
        Firestore than that in memory, with a `now` of its own. `entity`: other types or policies of a, b and c."""
        self.database = database or MemoryFirestore(Clock())
        self.clock = self.database.now
        self.firestore = FirestorePeer("firestore", self.database, "things", [entity], self.clock, self.clock.tick)
        self.django = MemoryPeer("django", {"thing": FIELDS}, self.clock.apart(ahead))
        self.pair = Pair(
            "things",
            self.django,
            self.firestore,
            Scope("things", ("thing",), page_size=3),
            self.database.billed,
            entities={"thing": entity},
            **options,
        )
        self.store = Store(self.database)
        self.log = Quiet()
        self.ledger = Ledger()
        self.late: list[Event] = []
        self.runs = itertools.count(1)
        self.values = itertools.count(1)

    def id(self, key: str) -> RecordId:
        return RecordId("thing", key)

    def path(self, key: str) -> str:
        return ENTITY.path(self.id(key))

    # Users at Django

    def d_save(self, key: str, **fields: Any) -> None:
        self._note(key, self.d_values(key), fields)
        self.django.save(self.id(key), fields)
        self.clock.tick(0.001)

    def d_raw(self, key: str, **fields: Any) -> None:
        self._note(key, self.d_values(key), fields)
        self.django.write_raw(self.id(key), fields)

    def d_delete(self, key: str) -> None:
        self.ledger.saw(key, self.d_values(key), FIELDS)
        self.django.delete(self.id(key))
        self.clock.tick(0.001)

    def d_values(self, key: str) -> dict[str, Any] | None:
        values = self.django.values(self.id(key))
        return None if values is None else dict(values)

    # Users at Firestore: plain clients that know nothing of stamps

    def f_update(self, key: str, **fields: Any) -> None:
        self._note(key, self.f_values(key), fields)
        self.database.client_update(self.path(key), fields)
        self.clock.tick(0.001)

    def f_set(self, key: str, **fields: Any) -> None:
        """A blind set: whatever else the document held is gone, `_sync` too."""
        self._note(key, self.f_values(key), dict.fromkeys(FIELDS) | fields)
        self.database.client_set(self.path(key), fields)
        self.clock.tick(0.001)

    def f_delete(self, key: str) -> None:
        self.ledger.saw(key, self.f_values(key), FIELDS)
        if self.database.snapshot(self.path(key)).exists:
            self.database.client_delete(self.path(key))
        self.clock.tick(0.001)

    def f_values(self, key: str) -> dict[str, Any] | None:
        document = self.database.snapshot(self.path(key))
        held = self.firestore.layouts["thing"].held(self.id(key), document)
        return None if held.values is None else dict(held.values)

    def _note(self, key: str, before: dict[str, Any] | None, fields: dict[str, Any]) -> None:
        self.ledger.saw(key, before, fields)
        for name, value in fields.items():
            self.ledger.wrote(key, name, value)

    # The machinery

    def events(self) -> list[Event]:
        """Move what happened into the delivery's hands and return it."""
        self.late += [event for event in self.database.events if event.path.startswith("things/")]
        self.database.events.clear()
        return self.late

    def deliver(self, index: int = 0, keep: bool = False, bare: bool = False) -> str | None:
        """Deliver one late event; `keep` delivers it again some day, `bare` without its data."""
        if not self.events():
            return None
        event = self.late[index % len(self.late)]
        if not keep:
            self.late.remove(event)
        record = ENTITY.record(event.path)
        bare = bool(bare and event.after and any(event.after.fields.get(name) is not None for name in FIELDS))
        before, after = (None, None) if bare else (event.before, event.after)
        return track(self.firestore, Poke(record, before, after, event.time.replace(microsecond=0))) if record else None

    def deliver_all(self) -> None:
        while self.events():
            self.deliver()

    def sync(self, work: Callable[..., Report] = sync, dry_run: bool = False, **options: Any) -> Report:
        self.clock.tick(0.01)
        order = Order(f"run-{next(self.runs)}", **options)
        if dry_run:
            return rehearse(work, self.pair, order, self.store, self.clock)
        report = work(self.pair, order, self.store, self.clock, self.log)
        self.clock.tick(0.01)
        assert all(tally.even for tally in report.directions.values()), "every change that was read is accounted for"
        return report

    def settle(self) -> None:
        """Let everything arrive: events, then at most three runs; the last of them finds nothing to do."""
        self.clock.tick(3600)
        for _ in range(3):
            self.deliver_all()
            self.sync()
        self.deliver_all()
        assert self.sync().moved == 0, "a run after the last one moves nothing"

    def reconcile(self, task: Task | None = None, **order: Any) -> Report:
        return self.sync(partial(reconcile, task=task), **order)

    # What must hold

    def check(self, keys: str, stamps: bool = True) -> None:
        """Both sides hold the same values (and stamps), and the ledger accounts for every write."""
        for key in keys:
            assert _text(self.d_values(key)) == _text(self.f_values(key)), f"{key}: Django and Firestore differ"
            if stamps and self.d_values(key) is not None:
                mine = {name: value.stamp for name, value in self.django.version(self.id(key)).fields.items()}
                held = self.firestore.layouts["thing"].held(self.id(key), self.database.snapshot(self.path(key)))
                assert mine == {name: entry.stamp for name, entry in held.index.items()}, f"{key}: the stamps differ"
        lost = self.ledger.written - self.ledger.seen - self._kept() - self._current(keys)
        assert not lost, f"written, never seen by a later writer, and nowhere to be found: {sorted(lost)}"

    def _current(self, keys: str) -> set[tuple[str, str, str]]:
        held = {key: self.d_values(key) or {} for key in keys}
        return {(key, name, canonical(value)) for key, values in held.items() for name, value in values.items()}

    def _kept(self) -> set[tuple[str, str, str]]:
        kept = set()
        for path, document in self.database.documents.items():
            if path.startswith("sync_conflicts/"):
                sides = (document.fields["local"], document.fields["incoming"])
                kept |= {
                    (document.fields["key"], document.fields["field"], canonical(side["value"]))
                    for side in sides
                    if "value" in side
                }
        return kept

    def conflicts(self) -> list[tuple[str, str, str]]:
        """Return the conflicts kept: key, field, winner."""
        rows = [each.fields for path, each in sorted(self.database.documents.items()) if path.startswith("sync_conflicts/")]
        return [(row["key"], row["field"], row["winner"]) for row in rows]


def _text(values: dict[str, Any] | None) -> str | None:
    return None if values is None else canonical(values)
