"""A polled system against the backend or Firestore: the real peer over a system in memory with traps, people at both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from shared.canonical import fingerprint
from shared.model import RecordId, Scope
from shared.peers.firestore import FirestorePeer
from shared.peers.polled import PolledPeer
from shared.peers.polled_records import Habits
from shared.peers.refs import Ref
from shared.run import Pair
from simulation import steps
from simulation.asked_system import AskedSystem, Nature, RemovingSystem
from simulation.beside import DAY, begin, go_on, mood_of
from simulation.choices import Word
from simulation.entities import MARK, THING
from simulation.ledger import COMMON, Ledger, Write
from simulation.stage import Settings, Stage

PAPER = replace(THING, fields=THING.fields[:3])
NAMES = PAPER.names
CARETAKER = MARK + "caretaker"
"""A record that nobody deletes or hides: without it an empty list would be no proof of any delete."""
CALLED = (
    "system list",
    "system POST write",
    "system write that",
    "firestore commit sync_refs",
    "firestore write sync_refs",
    "POST apply",
    "POST mark",
    "firestore commit",
)
FEW = 4
"""Records at a side, from which on nobody makes another."""
ANY = RecordId("thing", "any")


class ByValue(Ledger):
    """Asks not in which record a value lies: a record made at the system may get its key later, or two."""

    def of(self, record: RecordId, name: str, value: Any) -> Write | None:
        return super().of(ANY, name, value)

    def wrote(self, record: RecordId, before: Any, fields: Mapping[str, Any], unseen: Iterable[str], blind: bool = False) -> None:
        super().wrote(ANY, before, fields, unseen, blind)


@dataclass(frozen=True)
class Kind:
    """What kind of a pair it is. `inactive`: what is gone at the system is not deleted but gets another `c`."""

    nature: Nature
    other: str = "django"
    inactive: bool = False


class PolledStage(Stage):
    """The world of one schedule. `there` is what people do at the system."""

    def __init__(self, kind: Kind, settings: Settings, trace: list[str] | None = None) -> None:
        self.kind = kind
        self.system: AskedSystem | None = None
        super().__init__(settings, trace)
        self.ledger = ByValue()
        self.ahead["system"] = timedelta()
        self.there = There(self)
        self.there.put(CARETAKER, {"a": COMMON})

    def system_clock(self) -> Any:
        return self.time + self.ahead["system"]

    def configure(self, settings: Settings) -> None:
        super().configure(settings)
        if self.system is None:
            made = RemovingSystem if self.kind.nature.removes else AskedSystem
            self.system = made(self.kind.nature, self.system_clock, self.network.gate)
            self.system.reader = lambda: self.network.running.name if self.network.running else ""
        habits = Habits(timedelta(hours=24), 2, "c" if self.kind.inactive else None)
        self.polled = PolledPeer(self.system, self.database, "things", [PAPER], self.functions_clock, habits)
        self.firestore = FirestorePeer("firestore", self.database, "things", [PAPER], self.functions_clock, self.sleep)
        self.django = replace(self.django, entities={"thing": PAPER})
        self.other: Any = self.django if self.kind.other == "django" else self.firestore
        self.pair = Pair(
            "things",
            self.polled,
            self.other,
            Scope("things", ("thing",), page_size=settings.page_size),
            self.database.billed,
            self.pair.patience,
            entities={"thing": PAPER},
            read_only=frozenset() if self.kind.nature.writable else frozenset({"polled"}),
        )

    @property
    def here(self) -> Any:
        """Who works at the other side."""
        return self.office if self.kind.other == "django" else self.clients

    def keys_here(self) -> list[str]:
        """Return the keys of the records that the other side has."""
        if self.kind.other == "django":
            return [key for _, _, key in self.backend.rows]
        documents = [path.removeprefix("things/") for path in self.database.documents if path.startswith("things/")]
        return [key for key in documents if self.clients.values(RecordId("thing", key)) is not None]


class There:
    """People at the polled system."""

    def __init__(self, stage: PolledStage) -> None:
        self.stage = stage
        self.wrote: set[str] = set()
        """All values that were ever written there, by people: nothing else may be queued from there."""

    @property
    def system(self) -> AskedSystem:
        assert self.stage.system is not None
        return self.stage.system

    def ref(self, external: str) -> Ref:
        """Return what the sync remembers of a record there."""
        [ref] = self.stage.polled.refs([RecordId("thing", self._named(external))]).values()
        return ref

    def _named(self, external: str) -> str:
        row = self.system.rows.get(external)
        return row.key if row and row.key and self.system.nature.knows_keys else external

    def values(self, external: str) -> dict[str, Any] | None:
        row = self.system.rows.get(external)
        return None if row is None else {name: value for name, value in row.fields.items() if value is not None}

    def _unseen(self, external: str) -> Sequence[str]:
        """Return the fields whose edits nobody has adopted: what overwrites them leaves no trace of them."""
        ref, values = self.ref(external), self.values(external) or {}
        known = {name: entry.fingerprint for name, entry in ref.index.items()} if ref.external == external else {}
        return [name for name in NAMES if known.get(name) != fingerprint(values.get(name))]

    def put(self, external: str, fields: Mapping[str, Any], quietly: bool = False) -> None:
        self.stage.ledger.wrote(ANY, self.values(external), fields, self._unseen(external))
        self.wrote |= {str(value) for value in fields.values()}
        row = self.system.rows.get(external)
        if row and row.key and not self.system.nature.knows_keys and self.ref(external).external != external:
            self.system.made_twice.add(row.key)
        self.system.put(external, fields, quietly=quietly)

    def delete(self, external: str) -> None:
        self.stage.ledger.deleted(ANY, self.values(external), self._unseen(external))
        del self.system.rows[external]


# What happens


def fields_of(stage: PolledStage, word: Word, odd: bool = False) -> dict[str, Any]:
    """Return what somebody writes; `odd`: now and then what the system refuses."""
    named = word.pick((("a",), ("b",), ("a", "b"), ("c",), ("a", "b", "c")))
    fields: dict[str, Any] = {name: stage.ledger.value() for name in named}
    if odd and "b" in fields and word.take(12) == 11:
        fields["b"] = stage.ledger.number()
    if word.take(9) == 8:
        fields[named[-1]] = COMMON if named[-1] == "a" else None
    return fields


def here(stage: PolledStage, word: Word) -> None:
    """Somebody at the other side makes, edits or deletes a record."""
    if not stage.kind.nature.writable:
        return there(stage, word)
    keys = [each for each in stage.keys_here() if each != CARETAKER or stage.mood.faulty]
    kind = word.weighed([(10, "edits"), (3, "makes"), (2, "deletes")]) if keys else "makes"
    key = keys[word.take(len(keys))] if kind != "makes" else f"{MARK}k{stage.ledger.numbers}"
    record, fields = RecordId("thing", key), fields_of(stage, word, odd=stage.mood.faulty and stage.kind.other == "django")
    stage.network.say(f"  here somebody {kind} {key}: {fields}")
    if kind == "deletes" and key != CARETAKER:
        stage.here.delete(record)
    elif kind == "makes" and len(keys) < FEW:
        fields = {"a": stage.ledger.value(), **fields}
        (stage.office.save if stage.kind.other == "django" else stage.clients.set)(record, fields)
    elif keys:
        record = record if kind == "edits" else RecordId("thing", keys[0])
        (stage.office.save if stage.kind.other == "django" else stage.clients.update)(record, fields)


def there(stage: PolledStage, word: Word) -> None:
    """Somebody at the system makes, edits or deletes a record."""
    rows = list(stage.there.system.rows)
    kind = word.weighed([(10, "edits"), (2 * stage.mood.faulty, "edits quietly"), (3, "makes"), (2, "deletes")])
    external = rows[word.take(len(rows))]
    fields = fields_of(stage, word)
    if kind == "makes" and len(rows) < FEW:
        external, fields = f"{MARK}x{stage.ledger.numbers}", {"a": stage.ledger.value(), **fields}
    stage.network.say(f"  there somebody {kind} {external}: {fields}")
    if kind == "deletes" and external != CARETAKER:
        stage.there.delete(external)
    else:
        stage.there.put(external, fields, quietly=kind == "edits quietly")


def trouble(stage: PolledStage, word: Word) -> None:
    """Something is wrong with the system from now on, or all is well again."""
    found, system = stage.there.system.trouble, stage.there.system
    kind = word.pick(("mended", "maintenance", "half", "empty", "unlisted", "denied")) if stage.mood.faulty else "mended"
    mortal = [each for each in system.rows if each != CARETAKER]
    if kind in {"maintenance", "half", "empty"}:
        setattr(found, kind, True)
    elif kind == "mended" or not mortal:
        mended(stage)
    else:
        external = mortal[word.take(len(mortal))]
        found.unlisted.add(external)
        if kind == "denied":
            found.denied.add(external)
    stage.network.injected[f"system {kind}"] += kind != "mended"
    stage.network.say(f"  the system: {found}")


def mended(stage: PolledStage) -> None:
    """Let all be well with the system again."""
    stage.there.system.trouble = type(stage.there.system.trouble)()


def time(stage: PolledStage, word: Word) -> None:
    """Time passes, or a clock is set. What is denied comes back before two full polls can have missed it: two are all the proof
    that there is of a delete."""
    kind = word.weighed([(12, "passes"), *((2 * stage.mood.skewed, name) for name in ("functions", "backend", "system"))])
    if kind == "passes":
        seconds = word.pick((0.3, 60.0, 150.0, DAY, 3600.0, DAY))
        if seconds == DAY and stage.there.system.trouble.denied:
            stage.there.system.trouble.denied.clear()
        stage.sleep(seconds)
        return stage.network.say(f"  {seconds} s pass")
    ahead = word.pick((0, 1, -1, 90, -90, 4000, -4000))
    stage.network.injected["clock set back" if timedelta(seconds=ahead) < stage.ahead[kind] else "clock set ahead"] += 1
    stage.ahead[kind] = timedelta(seconds=ahead)
    stage.network.say(f"  the clock of the {kind} is set to {ahead} s ahead")


def goes_on(stage: PolledStage, word: Word) -> None:
    """Let an actor that is under way go on; if nobody is, a run begins."""
    if not go_on(stage, word, CALLED):
        begin(stage, word, CALLED)


def begins(stage: PolledStage, word: Word) -> None:
    """Let a run begin, of any kind."""
    begin(stage, word, CALLED)


def deliver(stage: PolledStage, word: Word) -> None:
    """Let an event come, where there are any."""
    (steps.deliver if stage.events() else there)(stage, word)


STEPS: list[tuple[int, Callable[[PolledStage, Word], None]]] = [
    (14, goes_on),
    (10, begins),
    (14, here),
    (16, there),
    (8, deliver),
    (8, time),
    (6, trouble),
]


def opened(number: int, trace: list[str] | None = None) -> PolledStage:
    """Return the world that a schedule's first integer settles."""
    word = Word(number)
    faulty = word.take(8) < 7
    nature = Nature(word.take(2) == 1, word.take(2) == 1, faulty and word.take(4) == 3, word.take(4) < 3, word.take(6) < 5)
    kind = Kind(nature, word.pick(("django", "django", "firestore")), not nature.writable and word.take(2) == 1)
    stage = PolledStage(kind, Settings(("thing",), word.pick((3, 2, 1)), patience=word.pick((4, 10, 2))), trace)
    stage.mood = mood_of(word, faulty, CALLED)
    stage.network.say(f"{kind}, {stage.settings}, {stage.mood}")
    return stage
