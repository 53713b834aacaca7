"""The end of a schedule with a polled system: all is mended, some days pass, both sides are compared and the books closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.canonical import canonical
from shared.model import RecordId
from shared.native import loaded
from simulation.beside import DAY, letters, must, played
from simulation.ending import SIDES, Books, _lies_in
from simulation.ledger import Found, Key
from simulation.polled_world import ANY, NAMES, STEPS, PolledStage, mended, opened
from simulation.schedule import Ended
from simulation.stage import Violated

DAYS = 7
"""A delete at the system is believed after two whole lists, a day apart; a create whose answer was lost waits for a poll."""


def play(schedule: Sequence[int], trace: list[str] | None = None) -> Ended:
    """Play a schedule; whatever goes wrong in it is told in the result."""
    return played(opened(schedule[0] if schedule else 0, trace), schedule, STEPS, end, trace)


def end(stage: PolledStage) -> Books:
    """Let everything come to rest; return the closed books, or raise Violated."""
    _settle(stage)
    excused = letters(stage)
    _once_each(stage)
    _same_on_both_sides(stage, excused)
    _no_echo(stage)
    return _books(stage, excused)


def _settle(stage: PolledStage) -> None:
    stage.network.say("the faults stop")
    stage.network.finish()
    stage.ahead = dict.fromkeys(stage.ahead, type(stage.ahead["system"])())
    mended(stage)
    stage.deliver_all()
    stage.sleep(DAY)
    if stage.unrepaired:
        must(stage, "reconcile")
    for _ in range(DAYS):
        stage.deliver_all()
        stage.sleep(DAY)
        must(stage, "sync")
    stage.deliver_all()
    moved = [tally for tally in must(stage, "sync").directions.values() if tally.read]
    if moved:
        raise Violated(f"a run after {DAYS} days moves {len(moved)} way(s): {moved}")


def placed(stage: PolledStage) -> dict[str, str]:
    """Return the external id of each record at the system, by its key."""
    found: dict[str, str] = {}
    for external in stage.there.system.rows:
        key = stage.there.ref(external).record.key
        if key in found:
            raise Violated(f"{key} is there twice")
        found[key] = external
    return found


def _once_each(stage: PolledStage) -> None:
    """Raise Violated if something was made twice at the system, unless nobody could have told."""
    keys = [row.key for row in stage.there.system.rows.values() if row.key]
    if not stage.there.system.made_twice and len(keys) != len(set(keys)):
        raise Violated("a record was made twice at the system")


def _same_on_both_sides(stage: PolledStage, excused: set[str]) -> None:
    there, here = placed(stage), stage.keys_here()
    for key in sorted({*there, *here} - excused):
        mine = _here(stage, key)
        theirs = stage.there.values(there[key]) if key in there else None
        if theirs is None and stage.kind.inactive:
            if mine is not None and mine.get("c") is not False:
                raise Violated(f"{key}: it is gone at the system, and nobody says so")
            continue
        if mine != theirs:
            raise Violated(f"{key}: the sides differ: {stage.kind.other} {mine}, polled {theirs}")
        if mine is not None:
            _same_stamps(stage, key, there[key])


def _same_stamps(stage: PolledStage, key: str, external: str) -> None:
    held = stage.there.ref(external).stamps
    [record] = stage.other.read([RecordId("thing", key)])
    mine = {name: value.stamp for name, value in record.version.fields.items()}
    both = {name for name in NAMES if name in held and name in mine}
    if any(held[name] != mine[name] for name in both):
        raise Violated(f"{key}: the stamps differ: {stage.kind.other} {mine}, polled {held}")


def _here(stage: PolledStage, key: str) -> dict[str, Any] | None:
    values = stage.here.values(RecordId("thing", key))
    return None if values is None else {name: value for name, value in values.items() if name in NAMES}


def _no_echo(stage: PolledStage) -> None:
    """Raise Violated if what was not written at the system was queued as its edit.

    Where things go wrong, a record that the sync made may be taken for the system's own: the answer of the create is lost,
    and then it is not listed, or edited, before the next poll.
    """
    rows = [row for row in stage.rows("sync_queue").values() if row["stamp"].endswith("|polled")]
    values = {str(value) for row in rows for value in row["fields"].values() if value is not None}
    system = stage.there.system
    echoes = values - stage.there.wrote - {str(False)} - (system.first_values if stage.mood.faulty else set())
    if echoes and not (stage.kind.nature.drops or system.made_twice or system.unread):
        raise Violated(f"an echo: {sorted(echoes)} was queued as if it had been written at the system")
    if any(not each["stamp"].endswith("|django") for each in stage.backend.queue.values()):
        raise Violated("an echo: the backend queued what was written at the system")


def _books(stage: PolledStage, excused: set[str]) -> Books:
    for name, value in stage.there.system.unread:
        if write := stage.ledger.of(ANY, name, value):
            write.exempt = True
    found = _found(stage, excused)
    nobody_could_tell = stage.there.system.made_twice or stage.there.system.unread or stage.kind.inactive
    risen = [] if nobody_could_tell else stage.ledger.risen(found)
    for what, writes in (
        ("lost, and seen by nobody who wrote after", stage.ledger.lost(found)),
        ("back, though replaced by one who had seen it", risen),
    ):
        if writes:
            raise Violated(f"{what}: {[(each.field, each.text) for each in writes]}")
    return Books(stage.ledger.fates(found), len(stage.rows("sync_conflicts")), len(excused))


def _found(stage: PolledStage, excused: set[str]) -> Found:
    there = placed(stage)
    both: set[Key] = set()
    one: set[Key] = set()
    for key in {*there, *stage.keys_here()}:
        mine, theirs = _keys(_here(stage, key)), _keys(stage.there.values(there[key]) if key in there else None)
        both |= mine & theirs
        alone = key in excused or (stage.kind.inactive and key not in there)
        one |= mine | theirs if alone else set()
    conflicts = {
        (ANY, name, text)
        for row in stage.rows("sync_conflicts").values()
        for side in SIDES
        for _, name, text in _lies_in(row, side)
    }
    return Found(both, one, conflicts, _in_letters(stage), set(), set(), set(), set())


def _keys(values: dict[str, Any] | None) -> set[Key]:
    return {(ANY, name, canonical(value)) for name, value in (values or {}).items()}


def _in_letters(stage: PolledStage) -> set[Key]:
    """Return every value in a dead letter."""
    changes = [loaded("change", row["change"]) for row in stage.rows("sync_dead_letters").values() if row["change"] is not None]
    return {key for change in changes for key in _keys(change["fields"])}
