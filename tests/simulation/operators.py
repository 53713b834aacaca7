"""People who run the sync: they decide conflicts, bring back what lost, replay dead letters, and call again after a failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from shared.decision import Decision
from shared.errors import BadRequest, NotFound, NotOpen, SyncError
from shared.model import RecordId
from shared.native import loaded
from shared.replay import chosen, replay
from shared.resolve import resolve
from shared.run import Order
from simulation.actors import Actor
from simulation.entities import MARK
from simulation.ledger import Write

if TYPE_CHECKING:
    from simulation.stage import Stage

ANSWERS = (BadRequest, NotFound, NotOpen)
"""What ends a call for good; after any other failure the same call is to be made again."""


@dataclass(frozen=True)
class Letters:
    """Which dead letters are asked for."""

    entity: str | None
    pair: str | None = None
    id: str | None = None
    reason: str | None = None
    max: int = 5


class Operator:
    """Calls `resolve_conflict` and `replay_dead_letters`. `unfinished` are the calls that decide and have had no answer yet,
    `notes` what the ledger is to hear of one once it has been made, by whichever call."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.people = count(1)
        self.stuck: set[str] = set()
        """Who was told that what they bring back refers to what is not there."""
        self.unfinished: list[dict[str, Any]] = []
        self.notes: dict[str, list[Callable[[], None]]] = {}
        self.resolved: Counter[str] = Counter()
        self.decided: dict[str, Write] = {}
        """The values of their own that operators have decided for, by conflict."""

    def conflicts(self, *statuses: str) -> dict[str, Mapping[str, Any]]:
        """Return the conflicts that are kept with one of these statuses, by id, of what is synced now."""
        rows = self.stage.rows("sync_conflicts")
        entities = self.stage.pair.entities
        return {
            id: row
            for id, row in sorted(rows.items())
            if row["status"] in statuses and row["field"] in entities[row["entity"]].by_name
        }

    def decide(self, id: str, keep: str, again: bool = False) -> Actor:
        """Let a call begin that decides a conflict: for a side of it, or for a value of the operator's own."""
        asked = {"id": id, "keep": keep, "again": again, "by": f"person {next(self.people)}"}
        return self._call(asked | ({"value": self.stage.ledger.value()} if keep == "value" else {}))

    def repeat(self, asked: dict[str, Any]) -> Actor:
        """Let the same call begin again."""
        return self._call(asked)

    def _call(self, asked: dict[str, Any]) -> Actor:
        id, stage = asked["id"], self.stage
        if asked not in self.unfinished:
            self.unfinished.append(asked)
        found = stage.rows("sync_conflicts").get(id)
        earlier = self.notes.get(asked["by"], [])
        note = _note(stage, found, asked, bool(earlier)) if found else (lambda: None)
        self.notes[asked["by"]] = [*earlier, note]
        made = stage.ledger.of(_record(found), found["field"], asked["value"]) if found and asked["keep"] == "value" else None
        before = self.resolved[id]
        deletes = stage.backend.deletes[f"resolve:{id}"]

        def work() -> None:
            try:
                resolve({"things": stage.pair}, stage.store, stage.functions_clock, stage.log, Decision(**asked))
                stage.network.say(f"  {id} is resolved: {asked}")
                self._answered(asked)
                self._count(id, before, asked)
                self._replaced(id, made)
                self._noted(asked, [note])
            except SyncError as error:
                self._failed(asked, error, earlier, made)
            finally:
                if stage.backend.deletes[f"resolve:{id}"] > deletes:
                    self._noted(asked, [note])  # it was done, though nobody was told

        return stage.act(Actor(f"decision of {id[:6]}", work))

    def _answered(self, asked: dict[str, Any]) -> None:
        if asked in self.unfinished:
            self.unfinished.remove(asked)

    def _count(self, id: str, before: int, asked: Mapping[str, Any]) -> None:
        self.resolved[id] += 1
        if before and not asked["again"]:
            raise AssertionError("a conflict was resolved twice, and nobody was told")

    def _replaced(self, id: str, made: Write | None) -> None:
        """Note that who decided anew had before them what was decided until then."""
        before = self.decided.pop(id, None)
        if before is not None and before is not made:
            before.over.append(made)
        if made is not None:
            self.decided[id] = made

    def _failed(self, asked: dict[str, Any], error: SyncError, earlier: Sequence[Callable[[], None]], made: Write | None) -> None:
        id = asked["id"]
        self.stage.network.say(f"  {id} is not resolved: {error}")
        if MARK in str(error):
            raise AssertionError("an answer holds a value or a key")
        asked_for = "(reference: " in str(error)
        (self.stuck.add if asked_for else self.stuck.discard)(asked["by"])
        if isinstance(error, ANSWERS):
            self._answered(asked)
            done = self.stage.rows("sync_conflicts").get(id, {}).get("resolved_by") == asked["by"]
            if done:  # an earlier call did it, and was cut off
                self._replaced(id, made)
            self._noted(asked, earlier if done else [])
        elif asked not in self.unfinished:  # the same call, made twice, was answered once
            self.unfinished.append(asked)

    def _noted(self, asked: Mapping[str, Any], done: Sequence[Callable[[], None]]) -> None:
        self.notes.pop(asked["by"], None)
        for note in done:
            note()

    def replay(self, entity: str) -> Actor:
        """Let a call begin that replays an entity's dead letters."""
        stage = self.stage
        name, pair = f"replay-{next(stage.runs)}", stage.pair

        def work() -> None:
            try:
                letters = chosen(pair, Letters(entity), stage.store)
                ended = replay(pair, letters, Order(name), stage.store, stage.functions_clock, stage.log, "somebody")
                stage.network.say(f"  {name}: {[each.outcome for each in ended]}")
            except SyncError as error:
                stage.network.say(f"  {name} fails: {error}")

        return stage.act(Actor(name, work))


def _record(row: Mapping[str, Any]) -> RecordId:
    return RecordId(row["entity"], row["key"], row["tenant"])


def _note(stage: Stage, row: Mapping[str, Any], asked: Mapping[str, Any], repeated: bool) -> Callable[[], None]:
    """Return what notes in the ledger that a decision was made. What its author has before them is what is held now; with `again`
    a repeated call decides once more for what it decided before."""
    record, name, ledger = _record(row), row["field"], stage.ledger
    held = [stage.office.values(record), stage.clients.values(record)]
    if None in held:
        ledger.decisions.add(record)
    if repeated and asked["again"] and asked["keep"] == "value":
        ledger.brought_back(record, name, asked["value"])
    if asked["keep"] == "value":
        made = ledger.proposed(record, name, asked["value"])
        return lambda: setattr(made, "exempt", False)
    side = row[asked["keep"]]
    if "value" in side:
        ledger.brought_back(record, name, loaded(name, side["value"]))

    def deleted() -> None:
        if "value" not in side:
            for values in held:
                ledger.deleted(record, values, ())

    return deleted
