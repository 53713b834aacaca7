"""A graph in memory under the real Bolt: the statements that the peer asks, transactions with locks, and the driver's retries.

A transaction sees what others have committed (read committed); what it writes is locked until its end, and whoever else wants
to write there is told to try again. A commit can be done though its answer is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from neo4j.exceptions import ConstraintError, IncompleteCommit, Neo4jError, ServiceUnavailable, TransientError

from shared.mapping import Entity
from shared.peers import graph_notes as notes
from shared.peers.graph_queue import WAITING
from shared.peers.graph_shape import Lying, Shape
from simulation.faults import Fault

TRIES = 2
"""How often the driver does a transaction again that the server said would help."""
Place = tuple[str, str]
"""The label or type, and the key or id."""
Rows = list[dict[str, Any]]


class Thing(Lying):
    """A node, or a relationship with the keys of its ends."""

    def set(self, properties: Mapping[str, Any]) -> Thing:
        """Return it with these properties set; null takes one away."""
        new = {name: value for name, value in {**self.properties, **properties}.items() if value is not None}
        return replace(self, properties=new)

    @property
    def shown(self) -> dict[str, Any]:
        return {"properties": dict(self.properties), "start": self.start, "end": self.end}


class MemoryGraph:
    """What was committed. `shapes` are those of the entities, none with tenants; `gate` says what befalls a call."""

    def __init__(
        self,
        entities: Sequence[Entity],
        now: Callable[[], datetime],
        gate: Callable[[str, Callable[[Fault | None], Any]], Any] = lambda _, act: act(None),
    ) -> None:
        self.shapes = {entity.name: Shape(entity) for entity in entities}
        self.now, self.gate = now, gate
        self.things: dict[Place, Thing] = {}
        self.locks: dict[Place, Work] = {}
        self.statements = dict(_notes()) | {each: act for shape in self.shapes.values() for each, act in _of(shape)}

    def tied(self, shape: Shape, key: str, things: Mapping[Place, Thing]) -> bool:
        """Return whether a node has relationships."""
        return any(
            (label == shape.name and end == key)
            for place, thing in things.items()
            for label, end in zip(self.ends_of(place[0]), (thing.start, thing.end), strict=False)
        )

    def ends_of(self, name: str) -> tuple[str, ...]:
        """Return the labels of the two nodes that relationships of this type run between; none of a node's label."""
        return next((shape.end_labels for shape in self.shapes.values() if shape.name == name), ())

    # The driver, as far as `Bolt` knows it

    def session(self, database: str) -> MemoryGraph:
        return self

    def __enter__(self) -> MemoryGraph:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass

    def execute_query(self, statement: str, database_: str) -> None:
        self._call("define", lambda: None)

    def execute_read(self, work: Callable[[Work], Any]) -> Any:
        return self._again(work)

    def execute_write(self, work: Callable[[Work], Any]) -> Any:
        return self._again(work)

    def _again(self, work: Callable[[Work], Any]) -> Any:
        for left in reversed(range(TRIES)):
            transaction = Work(self)
            try:
                done = work(transaction)
                transaction.commit()
                return done
            except (TransientError, ServiceUnavailable) as error:
                if not left or isinstance(error, IncompleteCommit):
                    raise
            finally:
                transaction.end()

    def _call(self, name: str, act: Callable[[], Any]) -> Any:
        return self.gate(f"graph {name}", lambda fault: _under(fault, name, act))


class Work:
    """One transaction."""

    def __init__(self, graph: MemoryGraph) -> None:
        self.graph = graph
        self.written: dict[Place, Thing | None] = {}

    def run(self, statement: str, parameters: Mapping[str, Any]) -> Work:
        self.rows: Rows = self.graph._call(_name(statement), lambda: self._asked(statement, parameters))
        return self

    def data(self) -> Rows:
        return self.rows

    def _asked(self, statement: str, told: Mapping[str, Any]) -> Rows:
        found = self.graph.statements.get(statement)
        return found(self, told) if found else _composed(self, statement, told)

    def commit(self) -> None:
        self.graph._call("commit", self._commit)

    def _commit(self) -> None:
        after = {**self.graph.things, **{place: thing for place, thing in self.written.items() if thing}}
        for place in [place for place, thing in self.written.items() if thing is None]:
            after.pop(place, None)
        for shape in self.graph.shapes.values():
            gone = [place for place, thing in self.written.items() if thing is None and place[0] == shape.name]
            if any(self.graph.tied(shape, key, after) for _, key in gone):
                raise refused(ConstraintError, "Neo.ClientError.Schema.ConstraintValidationFailed")
        self.graph.things = after
        self.end()

    def end(self) -> None:
        """Give back what is locked."""
        for place in [place for place, owner in self.graph.locks.items() if owner is self]:
            del self.graph.locks[place]

    def get(self, place: Place) -> Thing | None:
        return self.written[place] if place in self.written else self.graph.things.get(place)

    def all(self, name: str) -> dict[str, Thing]:
        """Return all of a label or type, by key or id, in its order."""
        places = sorted({each for each in (*self.graph.things, *self.written) if each[0] == name})
        return {place[1]: thing for place in places if (thing := self.get(place))}

    def lock(self, place: Place) -> None:
        owner = self.graph.locks.setdefault(place, self)
        if owner is not self:
            raise refused(TransientError, "Neo.TransientError.Transaction.LockAcquisitionTimeout")

    def put(self, place: Place, thing: Thing | None) -> None:
        self.lock(place)
        self.written[place] = thing


def refused(kind: type[Neo4jError], code: str) -> Neo4jError:
    """Return an error as the driver makes one of what the server says."""
    error = Neo4jError._hydrate_neo4j(code=code, message="")
    if not isinstance(error, kind):
        raise TypeError(type(error))
    return error


def _under(fault: Fault | None, name: str, act: Callable[[], Any]) -> Any:
    """Do something under a fault. What is not committed when the connection breaks is rolled back by the server."""
    if fault is None:
        return act()
    if fault.kind == "lost answer":
        act()
        raise IncompleteCommit("cut off") if name == "commit" else ServiceUnavailable("cut off")
    if fault.detail % 3 == 2:
        raise ServiceUnavailable("no connection")
    raise refused(TransientError, "Neo.TransientError.Transaction.DeadlockDetected")


def _name(statement: str) -> str:
    """Return how a statement is called in a trace: by what it does, and to what."""
    does = [word for word in ("MERGE", "DELETE", "SET", "RETURN") if word in statement.split()]
    what = statement.partition(":")[2].split(" ")[0].strip("`){")
    return f"{does[0].lower() if does else 'ask'} {what.partition(')')[0]}"


# What is asked


def _notes() -> Iterator[tuple[str, Callable[[Work, Mapping[str, Any]], Rows]]]:
    """Yield the statements about the sync's own nodes."""

    def take_turn(work: Work, told: Mapping[str, Any]) -> Rows:
        place = ("SyncLock", told["id"])
        work.put(place, Thing({"id": told["id"]}))
        return [{"now": int(work.graph.now().timestamp() * 1000)}]

    def merge(name: str, again: bool) -> Callable[[Work, Mapping[str, Any]], Rows]:
        def act(work: Work, told: Mapping[str, Any]) -> Rows:
            for row in told["rows"]:
                held = work.get((name, row["id"]))
                if again or held is None:
                    work.put((name, row["id"]), (held or Thing({})).set(row))
            return []

        return act

    def drop(name: str, ids: str) -> Callable[[Work, Mapping[str, Any]], Rows]:
        return lambda work, told: [work.put((name, id), None) or {} for id in told[ids] if work.get((name, id))][:0]

    def label(work: Work, told: Mapping[str, Any]) -> Rows:
        for row in told["rows"]:
            if held := work.get(("SyncChange", row["id"])):
                work.put(("SyncChange", row["id"]), held.set(row))
        return []

    def erase(name: str) -> Callable[[Work, Mapping[str, Any]], Rows]:
        def act(work: Work, told: Mapping[str, Any]) -> Rows:
            rows = {id: each.properties for id, each in work.all(name).items() if each.properties["place"] == told["place"]}
            gone = [id for id, each in rows.items() if "erased" not in told or each["stamp"] <= told["erased"]]
            for id in gone:
                work.put((name, id), None)
            return [{"count": len(gone)}]

        return act

    def clean(work: Work, told: Mapping[str, Any]) -> Rows:
        for id, each in work.all("SyncChange").items():
            if each.properties.get("expire_at", "9") < told["now"]:
                work.put(("SyncChange", id), None)
        return []

    def conflicts(work: Work, told: Mapping[str, Any]) -> Rows:
        rows = [each.properties for each in work.all("SyncConflict").values()]
        return [{"place": row["place"], "body": row["body"]} for row in rows if row["place"] in told["places"]]

    def tombstones(work: Work, told: Mapping[str, Any]) -> Rows:
        found = [work.get(("SyncTombstone", place)) for place in told["places"]]
        return [{"properties": dict(each.properties)} for each in found if each]

    yield notes.TAKE_TURN, take_turn
    yield (
        notes.IS_ANYTHING_NOTED,
        lambda work, _: [{"tombstones": bool(work.all("SyncTombstone")), "conflicts": bool(work.all("SyncConflict"))}],
    )
    yield notes.FIND_TOMBSTONES, tombstones
    yield notes.KEEP_TOMBSTONES, merge("SyncTombstone", again=True)
    yield notes.DROP_TOMBSTONES, drop("SyncTombstone", "places")
    yield notes.FIND_CONFLICTS, conflicts
    yield notes.KEEP_CONFLICTS, merge("SyncConflict", again=False)
    yield notes.DROP_CONFLICTS, drop("SyncConflict", "ids")
    yield notes.ENQUEUE, merge("SyncChange", again=False)
    yield notes.LABEL, label
    yield notes.CLEAN_UP, clean
    yield notes.ERASE_CHANGES, erase("SyncChange")
    yield notes.ERASE_CONFLICTS, erase("SyncConflict")
    yield "RETURN timestamp() AS now", lambda work, _: [{"now": int(work.graph.now().timestamp() * 1000)}]


def _of(shape: Shape) -> Iterator[tuple[str, Callable[[Work, Mapping[str, Any]], Rows]]]:
    """Yield the statements about an entity's records that are always the same."""
    name = shape.name

    def reading(locked: bool) -> Callable[[Work, Mapping[str, Any]], Rows]:
        def act(work: Work, told: Mapping[str, Any]) -> Rows:
            found = {key: thing for key, thing in work.all(name).items() if key in told["keys"]}
            for key in found if locked else ():
                work.lock((name, key))
            return [work.all(name)[key].shown for key in found]

        return act

    def changed(work: Work, told: Mapping[str, Any]) -> Rows:
        for row in told["rows"]:
            held = work.get((name, row["key"]))
            if held and (held.start, held.end) == (row.get("start"), row.get("end")):
                work.put((name, row["key"]), held.set(row["properties"]))
        return []

    def removed(work: Work, told: Mapping[str, Any]) -> Rows:
        for row in told["rows"]:
            held = work.get((name, row["key"]))
            if held and (held.start, held.end) == (row.get("start"), row.get("end")):
                work.put((name, row["key"]), None)
        return []

    def page(work: Work, told: Mapping[str, Any]) -> Rows:
        return [thing.shown for key, thing in work.all(name).items() if key > told["after"]][: told["limit"]]

    def tied(work: Work, told: Mapping[str, Any]) -> Rows:
        now = {**work.graph.things, **work.written}
        there = {place: thing for place, thing in now.items() if thing}
        keys = [key for key in told["keys"] if work.get((name, key)) and work.graph.tied(shape, key, there)]
        return [{"key": key, "tenant": None} for key in keys]

    def missing(number: int) -> Callable[[Work, Mapping[str, Any]], Rows]:
        label = shape.end_labels[number]
        return lambda work, told: [row for row in told["rows"] if work.get((label, row["key"])) is None]

    yield shape.reading(True), reading(True)
    yield shape.reading(False), reading(False)
    yield shape.changed, changed
    yield shape.removed, removed
    yield shape.page(None), page
    if shape.ends:
        yield from ((shape.missing_end(number), missing(number)) for number in (0, 1))
    else:
        yield shape.tied, tied


def _composed(work: Work, statement: str, told: Mapping[str, Any]) -> Rows:
    """Answer a statement that is put together anew each time."""
    if statement.startswith(WAITING):
        return _waiting(work, statement, told)
    for shape in work.graph.shapes.values():
        if statement.startswith("UNWIND $rows AS row") and f"[x:{shape.name} {{" in statement.replace("(x:", "[x:"):
            return _made(work, shape, statement, told)
        if statement.startswith(shape.all):
            return _counted(work, shape, statement, told)
    raise NotImplementedError(statement)


def _made(work: Work, shape: Shape, statement: str, told: Mapping[str, Any]) -> Rows:
    """Make those that are not there; say how many bear their marks now."""
    names = [
        each.partition(" = ")[0][2:].strip("`")
        for each in statement.partition("ON CREATE SET ")[2].partition(" WITH ")[0].split(", ")
    ]
    made = 0
    for key, start, end, *values in told["rows"]:
        ends = zip(shape.end_labels, (start, end), strict=True) if shape.ends else ()
        if any(work.get((label, node)) is None for label, node in ends):
            continue
        place, properties = (shape.name, key), dict(zip(names, values, strict=True))
        work.lock(place)
        held = work.get(place)
        if held is not None and (held.start, held.end) != (start, end):
            raise refused(ConstraintError, "Neo.ClientError.Schema.ConstraintValidationFailed")
        if held is None:
            held = Thing({}, start, end).set(properties | {"key": key})
            work.put(place, held)
        made += held.properties.get("_sync") == properties["_sync"]
    return [{"made": made}]


def _counted(work: Work, shape: Shape, statement: str, told: Mapping[str, Any]) -> Rows:
    """Count, sum up or show the records that have an index, or whose hashes lie within bounds."""
    rows = [each for each in work.all(shape.name).values() if "_sync" in each.properties]
    if "low" in told:
        low, high, least, most = (told[name] for name in ("low", "high", "least", "most"))
        at = [(each, each.properties["_bucket"], each.properties["_hash"]) for each in rows]
        rows = [each for each, bucket, hash in at if low <= bucket < high and least <= hash < most]
    if "count(x)" not in statement:
        return [each.shown for each in rows]
    return [{"count": len(rows), "sum": sum(each.properties["_hash"] for each in rows)}]


def _waiting(work: Work, statement: str, told: Mapping[str, Any]) -> Rows:
    """Answer about the queue."""
    rows = [each.properties for each in work.all("SyncChange").values() if each.properties["status"] == told["status"]]
    rows = [each for each in rows if each["entity"] in told["entities"] and each["pair"] == told["pair"]]
    rows = [each for each in rows if each["slot"] % told["count"] == told["number"]] if "x.slot" in statement else rows
    if "x.action = 'delete'" in statement:
        rows = [each for each in rows if each["action"] == "delete"]
    if "x.body AS body" in statement:
        later = [each for each in rows if each["id"] > told["after"]][: told["limit"]]
        return [{"id": each["id"], "body": each["body"]} for each in later]
    return [{"count": len(rows), "oldest": min((each["created_at"] for each in rows), default=None)}]
