"""The end of a schedule with a graph: some days pass, and what both sides hold is compared and accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from shared.canonical import canonical
from shared.model import RecordId, Version
from shared.native import loaded
from simulation.beside import DAY, letters, must, played
from simulation.ending import SIDES, Books, _lies_in
from simulation.graph_world import NAMES, RECORDS, STEPS, TIES, GraphStage, opened
from simulation.ledger import Found, Key
from simulation.schedule import Ended
from simulation.stage import Violated

RUNS = 4
"""What waits for a reference is given up in the second, after a day."""


def play(schedule: Sequence[int], trace: list[str] | None = None) -> Ended:
    """Play a schedule; whatever goes wrong in it is told in the result."""
    return played(opened(schedule[0] if schedule else 0, trace), schedule, STEPS, end, trace)


def end(stage: GraphStage) -> Books:
    """Let everything come to rest; return the closed books, or raise Violated."""
    stage.network.say("the faults stop")
    stage.network.finish()
    stage.ahead = dict.fromkeys(stage.ahead, timedelta())
    for number in range(RUNS):
        stage.sleep(DAY)
        must(stage, "sync" if number % 2 else "reconcile")
    moved = [tally for tally in must(stage, "sync").directions.values() if tally.read - tally.waiting]
    if moved:
        raise Violated(f"a run after {RUNS} moves something: {moved}")
    excused = letters(stage) | {each.key for each in TIES if _runs_to_nothing(stage, each)}
    _same_on_both_sides(stage, excused)
    _no_echo(stage)
    return _books(stage, excused)


def _runs_to_nothing(stage: GraphStage, tie: RecordId) -> bool:
    """Return whether one of its ends is not there: such a relationship waits for it, in no queue if a reconcile has sent it."""
    ends = [(stage.office.values(tie) or {}).get(name) for name in ("concept", "other")]
    return any(key is not None and stage.hand.thing(RecordId("concept", str(key))) is None for key in ends)


def _same_on_both_sides(stage: GraphStage, excused: set[str]) -> None:
    for record in RECORDS:
        if record.key in excused:
            continue
        mine, theirs, index = stage.office.values(record), stage.hand.values(record), _index(stage, record)
        by_hand = {name for name, stamp in index.items() if stamp.endswith("|graph")} if not stage.back else set()
        if mine is None and theirs is not None and not by_hand and not set(stage.hand.unseen(record)):
            raise Violated(f"{record.key}: it is in the graph, and neither in the backend nor made by hand: {theirs}")
        if mine is None or (by_hand and theirs is not None and _without(by_hand, mine) == _without(by_hand, theirs)):
            continue
        if mine != theirs:
            raise Violated(f"{record.key}: the sides differ: django {mine}, graph {theirs}")
        stamps = stage.backend.known[record.entity, "", record.key].stamps
        if index != stamps:
            raise Violated(f"{record.key}: the stamps differ: django {stamps}, graph {index}")


def _index(stage: GraphStage, record: RecordId) -> dict[str, str]:
    held = stage.hand.graph.shapes[record.entity].held(stage.hand.thing(record), Version())
    return {name: entry.stamp for name, entry in held.index.items()}


def _without(names: set[str], values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _no_echo(stage: GraphStage) -> None:
    """Raise Violated if a queue holds what was not written at its own side, or a graph that is only written to has one."""
    queued = [thing.properties["stamp"] for (label, _), thing in stage.hand.graph.things.items() if label == "SyncChange"]
    if any(not stamp.endswith("|graph") or not stage.back for stamp in queued):
        raise Violated("an echo: the graph queued what was written at the backend")
    if any(not each["stamp"].endswith("|django") for each in stage.backend.queue.values()):
        raise Violated("an echo: the backend queued what was written in the graph")


def _books(stage: GraphStage, excused: set[str]) -> Books:
    found = _found(stage, excused)
    for what, writes in (
        ("lost, and seen by nobody who wrote after", stage.ledger.lost(found)),
        ("back, though replaced by one who had seen it", stage.ledger.risen(found)),
    ):
        if writes:
            raise Violated(f"{what}: {[(each.record.key, each.field, each.text) for each in writes]}")
    return Books(stage.ledger.fates(found), len(stage.rows("sync_conflicts")), len(excused))


def _found(stage: GraphStage, excused: set[str]) -> Found:
    """Return what is to be found. One way, what is in the graph alone was made there by hand, and stays there."""
    both: set[Key] = set()
    one: set[Key] = set()
    for record in RECORDS:
        mine, theirs = _keys(record, stage.office.values(record)), _keys(record, stage.hand.values(record))
        both |= mine & theirs
        one |= mine | theirs if record.key in excused or not stage.back else set()
    conflicts = {key for row in stage.rows("sync_conflicts").values() for side in SIDES for key in _lies_in(row, side)}
    return Found(both, one, conflicts, _in_letters(stage), set(), set(), set(), set())


def _keys(record: RecordId, values: dict[str, Any] | None) -> set[Key]:
    return {(record, name, canonical(value)) for name, value in (values or {}).items() if name in NAMES[record.entity]}


def _in_letters(stage: GraphStage) -> set[Key]:
    """Return every value in a dead letter."""
    rows = [row for row in stage.rows("sync_dead_letters").values() if row["change"] is not None]
    kept: set[Key] = set()
    for row in rows:
        kept |= _keys(RecordId(row["entity"], row["key"]), loaded("change", row["change"])["fields"])
    return kept
