"""The graph peer's apply against the plain driver's own UNWIND … MERGE of the same nodes and relationships."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, LiteralString

from neo4j import Driver

from bench.delta import WrongOutcome
from bench.figures import Figure, Target, ratio
from local.arcade import DATABASE, Arcade
from shared.mapping import Entity, Field, Type
from shared.model import Action, Change, Outcome, RecordId, Value, stamp_at
from shared.peers.bolt import Bolt
from shared.peers.neo4j import Neo4jPeer

PAGE = 1000
MEMORY_MB = 2048
CONCEPT = Entity("concept", "Concept", tuple(Field(name, Type.TEXT, name) for name in ("title", "summary", "author")))
REQUIRES = Entity(
    "requires",
    "REQUIRES",
    (
        Field("concept", Type.REFERENCE, "concept", to="Concept"),
        Field("needs", Type.REFERENCE, "needs", to="Concept"),
        Field("weight", Type.INTEGER, "weight"),
    ),
    ends=("concept", "needs"),
)
NODES: LiteralString = "UNWIND $rows AS row MERGE (x:Concept {key: row.key}) SET x += row.properties"
RELATIONSHIPS: LiteralString = (
    "UNWIND $rows AS row MATCH (a:Concept {key: row.start}) MATCH (b:Concept {key: row.end}) "
    "MERGE (a)-[x:REQUIRES {key: row.key}]->(b) SET x += row.properties"
)
Row = dict[str, Any]


def nodes(number: int) -> list[Row]:
    """Return so many concepts."""
    texts = ({"title": f"Concept {n}", "summary": f"What number {n} is about, in a line.", "author": "a"} for n in range(number))
    return [{"key": f"concept-{n:07d}", "properties": each} for n, each in enumerate(texts)]


def relationships(number: int, among: int) -> list[Row]:
    """Return so many relationships between the concepts, none of them twice."""
    ends = ((n % among, (n % among + 1 + n // among * 7) % among) for n in range(number))
    keys = ((f"concept-{start:07d}", f"concept-{end:07d}") for start, end in ends)
    return [{"key": f"r-{n:07d}", "start": a, "end": b, "properties": {"weight": n % 5}} for n, (a, b) in enumerate(keys)]


def changes(entity: Entity, rows: Sequence[Row]) -> list[Change]:
    """Return what carries these rows, as a first load does."""
    stamp = stamp_at(datetime.now(UTC), "django")
    return [_create(entity, row["key"], _fields(row), stamp) for row in rows]


def _fields(row: Row) -> Row:
    ends = {"concept": row["start"], "needs": row["end"]} if "start" in row else {}
    return {**row["properties"], **ends}


def _create(entity: Entity, key: str, fields: Row, stamp: Any) -> Change:
    values = {name: Value(value, stamp) for name, value in fields.items()}
    return Change(f"c:{entity.name}:{key}", RecordId(entity.name, key), Action.CREATE, values, dict.fromkeys(fields))


def raw(driver: Driver, statement: LiteralString, rows: Sequence[Row]) -> None:
    """Write rows as the driver's manual does."""
    with driver.session(database=DATABASE) as session:
        for start in range(0, len(rows), PAGE):
            some = list(rows[start : start + PAGE])
            session.execute_write(lambda tx, some=some: tx.run(statement, rows=some).consume())  # type: ignore[misc]


def ours(peer: Neo4jPeer, made: Sequence[Change]) -> None:
    """Apply changes page by page; WrongOutcome if one was not taken."""
    for start in range(0, len(made), PAGE):
        results = peer.apply(made[start : start + PAGE], "bench")
        if any(result.outcome is not Outcome.APPLIED for result in results):
            raise WrongOutcome("a change was not applied")


def timed(work: Callable[[], None]) -> float:
    """Return the seconds that something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def graph(number: int, repetitions: int) -> Iterator[Figure]:
    """Measure `number` nodes and twice as many relationships, in a new database each time, ours and the plain driver in turn."""
    made, tied = nodes(number), relationships(2 * number, number)
    seconds: dict[str, list[float]] = {name: [] for name in ("raw nodes", "our nodes", "raw relationships", "our relationships")}
    for _ in range(repetitions):
        _raw_once(made, tied, seconds)
        _ours_once(made, tied, seconds)
    target, note = Target(at_least=0.6), f"{number} nodes, {2 * number} relationships; ArcadeDB"
    for what in ("nodes", "relationships"):
        times = (seconds[f"raw {what}"], seconds[f"our {what}"])
        yield ratio("graph", f"first load of {what}: our speed to the driver's", *times, ("raw", "ours"), None, note)
    both = [
        [a + b for a, b in zip(seconds[f"{who} nodes"], seconds[f"{who} relationships"], strict=True)] for who in ("raw", "our")
    ]
    yield ratio("graph", "first load: our speed to the driver's", both[0], both[1], ("raw", "ours"), target, note)


def _raw_once(made: Sequence[Row], tied: Sequence[Row], seconds: dict[str, list[float]]) -> None:
    with Arcade(memory=MEMORY_MB) as arcade, arcade.driver() as driver:
        Neo4jPeer("graph", _bolt(arcade), "bench", [CONCEPT, REQUIRES], _now, time.sleep).define()
        seconds["raw nodes"].append(timed(partial(raw, driver, NODES, made)))
        seconds["raw relationships"].append(timed(partial(raw, driver, RELATIONSHIPS, tied)))


def _ours_once(made: Sequence[Row], tied: Sequence[Row], seconds: dict[str, list[float]]) -> None:
    with Arcade(memory=MEMORY_MB) as arcade:
        peer = Neo4jPeer("graph", _bolt(arcade), "bench", [CONCEPT, REQUIRES], _now, time.sleep)
        peer.define()
        seconds["our nodes"].append(timed(partial(ours, peer, changes(CONCEPT, made))))
        seconds["our relationships"].append(timed(partial(ours, peer, changes(REQUIRES, tied))))
        rows = peer.bolt.read(lambda ask: ask("MATCH (:Concept)-[x:REQUIRES]->(:Concept) RETURN count(x) AS count"))
        peer.bolt.close()
        if rows[0]["count"] != len(tied):
            raise WrongOutcome("the graph lacks relationships")


def _bolt(arcade: Arcade) -> Bolt:
    return Bolt("graph", arcade.uri, DATABASE, arcade.driver)


def _now() -> datetime:
    return datetime.now(UTC)
