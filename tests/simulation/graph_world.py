"""The backend's content in a graph: the real peer and the real Bolt over a graph in memory, one way and both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.canonical import fingerprint
from shared.mapping import Entity, Field, Type
from shared.model import RecordId, Scope, Version
from shared.peers.bolt import Bolt
from shared.peers.neo4j import Neo4jPeer
from shared.run import Pair
from simulation.backend import Backend
from simulation.beside import DAY, begin, go_on, mood_of
from simulation.choices import Word
from simulation.entities import MARK
from simulation.graph_store import MemoryGraph, Place, Thing
from simulation.stage import Settings, Stage

CONCEPT = Entity("concept", "Concept", (Field("title", Type.TEXT, "title"), Field("note", Type.TEXT, "note")))
NEEDS = Entity(
    "needs",
    "NEEDS",
    (
        Field("concept", Type.REFERENCE, "concept", to="Concept"),
        Field("other", Type.REFERENCE, "other", to="Concept"),
        Field("weight", Type.TEXT, "weight"),
    ),
    ends=("concept", "other"),
)
ENTITIES = {"concept": CONCEPT, "needs": NEEDS}
NAMES = {name: entity.names for name, entity in ENTITIES.items()}
CONCEPTS = tuple(RecordId("concept", MARK + name) for name in "abc")
TIES = tuple(RecordId("needs", MARK + name) for name in ("ab", "bc"))
RECORDS = (*CONCEPTS, *TIES)
CALLED = ("graph commit", "graph merge", "graph set", "POST mark", "firestore write", "firestore commit")


class GraphStage(Stage):
    """The world of one schedule. `back`: what is changed in the graph by hand is carried too."""

    def __init__(self, back: bool, settings: Settings, trace: list[str] | None = None) -> None:
        self.back = back
        self.graph: MemoryGraph | None = None
        super().__init__(settings, trace)
        self.ahead["graph"] = timedelta()
        self.hand = Hand(self)

    def graph_clock(self) -> Any:
        return self.time + self.ahead["graph"]

    def configure(self, settings: Settings) -> None:
        entities = list(ENTITIES.values())
        if self.graph is None:
            self.graph = MemoryGraph(entities, self.graph_clock, self.network.gate)
            self.backend = Backend(self.backend_clock, names=NAMES, texts=frozenset(), required=())
        super().configure(replace(settings, entities=()))
        self.settings = settings
        graph: Any = self.graph
        self.peer = Neo4jPeer(
            "graph",
            Bolt("graph", "bolt://graph.test", "neo4j", lambda: graph),
            "things",
            entities,
            self.functions_clock,
            self.sleep,
            self.back,
        )
        self.django = replace(self.django, entities=ENTITIES)
        self.pair = Pair(
            "things",
            self.django,
            self.peer,
            Scope("things", tuple(ENTITIES), page_size=settings.page_size),
            self.database.billed,
            self.pair.patience,
            entities=ENTITIES,
            read_only=frozenset() if self.back else frozenset({"django"}),
        )


class Hand:
    """People who work in the graph by hand. They wait, and do nothing for now, where the sync holds a lock."""

    def __init__(self, stage: GraphStage) -> None:
        self.stage = stage

    @property
    def graph(self) -> MemoryGraph:
        assert self.stage.graph is not None
        return self.stage.graph

    def place(self, record: RecordId) -> Place:
        return self.graph.shapes[record.entity].name, record.key

    def thing(self, record: RecordId) -> Thing | None:
        return self.graph.things.get(self.place(record))

    def values(self, record: RecordId) -> dict[str, Any] | None:
        """Return what the graph holds of a record, by the pair's names; None where there is none."""
        thing, entity = self.thing(record), ENTITIES[record.entity]
        if thing is None:
            return None
        ends = dict(zip(entity.ends or (), (thing.start, thing.end), strict=False))
        held = {each.name: ends.get(each.name, thing.properties.get(each.at)) for each in entity.fields}
        return {name: value for name, value in held.items() if value is not None}

    def unseen(self, record: RecordId) -> Sequence[str]:
        """Return the fields that were changed by hand and not adopted yet."""
        thing, values = self.thing(record), self.values(record) or {}
        index = self.graph.shapes[record.entity].held(thing, Version()).index
        known = {name: entry.fingerprint for name, entry in index.items()}
        return [name for name in NAMES[record.entity] if known.get(name) != fingerprint(values.get(name))]

    def write(self, record: RecordId, fields: Mapping[str, Any]) -> bool:
        """Set properties of a node or relationship; or make a node."""
        place, thing = self.place(record), self.thing(record)
        if place in self.graph.locks or (thing is None and record.entity != "concept"):
            return False
        self.stage.ledger.wrote(record, self.values(record), fields, self.unseen(record))
        made = (thing or Thing({"key": record.key})).set({**fields, "_delete": None})  # what is marked is left alone, or unmarked
        self.graph.things = {**self.graph.things, place: made}
        for name, value in fields.items() if not self.stage.back else ():  # which nobody carries, so it may end without a trace
            if write := self.stage.ledger.of(record, name, value):
                write.slight = True
        return True

    def mark(self, record: RecordId) -> bool:
        """Ask for a record to be deleted on both sides."""
        thing = self.thing(record)
        if self.place(record) in self.graph.locks or thing is None:
            return False
        self.stage.ledger.deleted(record, self.values(record), self.unseen(record))
        self.graph.things = {**self.graph.things, self.place(record): thing.set({"_delete": True})}
        return True

    def remove(self, record: RecordId) -> bool:
        """Delete a node with all that is tied to it, or a relationship. That says nothing, and a reconcile puts it back."""
        gone = [record, *(each for each in TIES if self._runs_to(each, record))]
        if self.thing(record) is None or any(self.place(each) in self.graph.locks for each in gone):
            return False
        for each in gone:
            self.stage.ledger.deleted(each, self.values(each), NAMES[each.entity])
        places = {self.place(each) for each in gone}
        self.graph.things = {place: thing for place, thing in self.graph.things.items() if place not in places}
        self.stage.unrepaired.add("something was deleted by hand")
        return True

    def _runs_to(self, tie: RecordId, record: RecordId) -> bool:
        thing = self.thing(tie)
        return record.entity == "concept" and thing is not None and record.key in {thing.start, thing.end}


# What happens


def here(stage: GraphStage, word: Word) -> None:
    """Somebody at the backend makes, edits or deletes a concept, or what ties two."""
    record = word.pick(RECORDS)
    there = stage.office.values(record) is not None
    if there and word.take(7) == 6:
        tied = [each for each in TIES if record.key in (stage.office.values(each) or {}).values()]
        for each in tied if word.take(3) else ():
            stage.office.delete(each)
        stage.network.say(f"  django deletes {record.key}: {stage.office.delete(record)}")
        return
    fields = {name: stage.ledger.value() for name in word.pick((("title",), ("note",), ("title", "note")))}
    if record.entity == "needs":
        ends = {"concept": word.pick(CONCEPTS).key, "other": word.pick(CONCEPTS[::-1]).key}
        fields = {"weight": stage.ledger.value()} | (ends if not there or word.take(4) == 3 else {})
    stage.network.say(f"  django saves {record.key} {fields}: {stage.office.save(record, fields)}")


def by_hand(stage: GraphStage, word: Word) -> None:
    """Somebody changes the graph by hand."""
    record = word.pick(RECORDS)
    kinds = [(12, "writes"), (2 * stage.back, "marks"), (stage.mood.faulty, "removes")]
    kind = word.weighed(kinds) if stage.hand.thing(record) else "writes"
    fields = {word.pick(("title", "note")) if record.entity == "concept" else "weight": stage.ledger.value()}
    done = {"writes": lambda: stage.hand.write(record, fields), "marks": lambda: stage.hand.mark(record)}.get(
        kind, lambda: stage.hand.remove(record)
    )()
    stage.network.say(f"  somebody {kind} {record.key} by hand {fields if kind == 'writes' else ''}: {done}")


def goes_on(stage: GraphStage, word: Word) -> None:
    """Let an actor that is under way go on; if nobody is, a run begins."""
    if not go_on(stage, word, CALLED):
        begin(stage, word, CALLED)


def begins(stage: GraphStage, word: Word) -> None:
    """Let a run begin, of any kind."""
    begin(stage, word, CALLED)


def time(stage: GraphStage, word: Word) -> None:
    """Time passes, or a clock is set."""
    kind = word.weighed([(12, "passes"), *((2 * stage.mood.skewed, name) for name in ("functions", "backend", "graph"))])
    if kind == "passes":
        seconds = word.pick((0.3, 60.0, 150.0, 3600.0, DAY))
        stage.sleep(seconds)
        return stage.network.say(f"  {seconds} s pass")
    ahead = word.pick((0, 1, -1, 90, -90, 4000, -4000))
    stage.network.injected["clock set back" if timedelta(seconds=ahead) < stage.ahead[kind] else "clock set ahead"] += 1
    stage.ahead[kind] = timedelta(seconds=ahead)
    stage.network.say(f"  the clock of the {kind} is set to {ahead} s ahead")


STEPS = [(14, goes_on), (10, begins), (18, here), (14, by_hand), (7, time)]


def opened(number: int, trace: list[str] | None = None) -> GraphStage:
    """Return the world that a schedule's first integer settles."""
    word = Word(number)
    faulty, back = word.take(8) < 7, word.take(3) == 2
    stage = GraphStage(back, Settings((), word.pick((3, 2, 1)), patience=word.pick((4, 10, 2))), trace)
    stage.mood = mood_of(word, faulty, CALLED)
    for record in (*CONCEPTS[:2], TIES[0]) if word.take(4) else ():
        fields = {"title": stage.ledger.value()} if record.entity == "concept" else {"weight": stage.ledger.value()}
        ends = {"concept": CONCEPTS[0].key, "other": CONCEPTS[1].key} if record.entity == "needs" else {}
        stage.office.save(record, fields | ends)
    stage.network.say(f"{'both ways' if back else 'one way'}, {stage.settings}, {stage.mood}")
    return stage
