"""When the faults have stopped: everything arrives, at most three runs, and then both sides are compared and the books closed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from syncqueue.adoption import Known

from shared.canonical import canonical
from shared.model import Policy, RecordId
from shared.naming import state_id
from shared.native import loaded
from simulation.entities import GROUPS, MORE, NOTES, THINGS
from simulation.ledger import Found, Key
from simulation.stage import Stage, Violated
from simulation.users import place

RUNS = 3
ROUNDS = 5
"""In which everything has to be decided: a decision may uncover another conflict."""
SIDES = ("local", "incoming")


@dataclass(frozen=True)
class Books:
    """How every write ended, and how many conflicts and dead letters there are."""

    fates: Counter[str]
    conflicts: int
    letters: int


def end(stage: Stage) -> Books:
    """Let everything come to rest; return the closed books, or raise Violated."""
    quiesce(stage)
    _same_on_both_sides(stage, _excused(stage))
    if _undecided(stage):
        _books(stage, _excused(stage))
        everything_decided(stage)
    excused = _excused(stage)
    _same_on_both_sides(stage, excused)
    _no_echo(stage)
    return _books(stage, excused)


def quiesce(stage: Stage) -> None:
    """Let what is under way end, all events come, the clocks agree and enough time pass; then run."""
    say = stage.network.say
    say("the faults stop")
    stage.network.finish()
    stage.ahead = dict.fromkeys(stage.ahead, timedelta())
    if stage.settings.without:
        stage.configure(replace(stage.settings, without=False))
    stage.deliver_all()
    calls_again(stage)
    stage.sleep(26 * 3600)
    stage.backend.scan()
    if stage.unrepaired:
        say(f"a reconcile, since {', '.join(sorted(stage.unrepaired))}")
        _must(stage, "reconcile")
    _runs_to_rest(stage)


def _runs_to_rest(stage: Stage) -> None:
    """Run until a run finds nothing to do, which must be after three at most."""
    for number in range(RUNS + 1):
        stage.deliver_all()
        before = dict(stage.database.documents), dict(stage.backend.labels)
        tallies = _must(stage, "sync").directions.values()
        moved = sum(tally.read - tally.waiting - tally.dead_letters for tally in tallies)  # some have waited long enough by now
        waits = any(tally.read for tally in tallies)
        writes = not waits and before != (stage.database.documents, stage.backend.labels)
        if number and not moved and not writes:
            return stage.deliver_all()
    raise Violated(f"a run after the third moves {moved} change(s)" if moved else "a run that has nothing to do writes something")


def calls_again(stage: Stage) -> None:
    """Make every call of an operator again that had no answer, as they are told to, until it has one."""
    for _ in range(RUNS):
        for asked in list(stage.operator.unfinished):
            stage.network.go_on(stage.operator.repeat(asked), None)
        if not stage.operator.unfinished:
            return
        stage.sleep(26 * 3600)
    rows, excused = stage.rows("sync_conflicts"), _excused(stage)
    waiting = [each for each in stage.operator.unfinished if each["by"] not in stage.operator.stuck]
    if not {_record_of(rows[each["id"]]) for each in waiting} <= excused:  # what refers to nothing waits
        raise Violated("a decision has no answer, however often the same call is made")


def everything_decided(stage: Stage) -> None:
    """Let somebody decide each open conflict, and those that come of it, until both sides agree."""
    for number in range(ROUNDS):
        stage.network.say("somebody decides what is open")
        for id in stage.operator.conflicts("open"):
            stage.network.go_on(stage.operator.decide(id, SIDES[number % 2]), None)
        calls_again(stage)
        _runs_to_rest(stage)
        if not _undecided(stage):
            return
    raise Violated("conflicts stay open however often somebody decides them")


def _undecided(stage: Stage) -> bool:
    """Return whether anything is open that can be decided: a side may hold what the other refuses, and no decision mends that."""
    excused = _excused(stage)
    return any(_record_of(row) not in excused for row in stage.operator.conflicts("open").values())


def _record_of(row: Any) -> RecordId:
    return RecordId(row["entity"], row["key"], row["tenant"])


def _must(stage: Stage, work: str) -> Any:
    report = stage.run(work)
    if report is None or report.failure:
        raise Violated(f"a run without any fault does not come to its end: {report and report.failure}")
    return report


def _no_echo(stage: Stage) -> None:
    """Raise Violated if a queue holds what was not written at its own side."""
    theirs = [row["stamp"] for row in stage.rows("sync_queue").values()]
    mine = [each["stamp"] for each in stage.backend.queue.values()]
    for origin, stamps in (("firestore", theirs), ("django", mine)):
        if any(not stamp.endswith("|" + origin) for stamp in stamps):
            raise Violated(f"an echo: {origin} queued what was written at the other side")
    deleted = Counter(_record_of(row) for row in stage.rows("sync_queue").values() if row["deleted"])
    if not stage.toggled and not deleted <= stage.ledger.deletes:  # a document with nothing synced in it counts as deleted
        raise Violated("an echo: firestore queued a delete that nobody made")


def _excused(stage: Stage) -> set[RecordId]:
    """Return the records that cannot be the same on both sides, since somebody has to look at a dead letter first, or a
    change waits for a reference that is not there."""
    excused = set()
    for path, document in stage.database.documents.items():
        if path.startswith("sync_dead_letters/"):
            row = document.fields
            if row["status"] == "open" or _still_waits(stage, row):
                excused |= _of_letter(stage, row)
    return excused | {record for record in records(stage) if _refers_to_nothing(stage, record)}


def _refers_to_nothing(stage: Stage, record: RecordId) -> bool:
    """Return whether a document refers to what the backend does not have, so that the backend cannot take that field."""
    refers = (stage.clients.values(record) or {}).get("g")
    return isinstance(refers, str) and ("group", "", refers) not in stage.backend.rows


def _of_letter(stage: Stage, letter: Any) -> set[RecordId]:
    """Return the record that a dead letter is about; the tracker's have no change, and are named after it."""
    if letter["change"] is not None:
        return {RecordId(letter["entity"], letter["key"], letter["tenant"])}
    return {each for each in records(stage) if state_id(each.tenant, each.entity, each.key) == letter["change_id"]}


def _still_waits(stage: Stage, letter: Any) -> bool:
    if letter["reason"] not in {"reference", "incomplete"}:
        return False
    if letter["from"] == "django":
        return stage.backend.labels.get(letter["change_id"]) == "pending"
    entry = stage.database.snapshot(f"sync_queue/{letter['change_id']}")
    return entry.fields.get("sync_status") == "pending"


def records(stage: Stage) -> list[RecordId]:
    """Return every record that there may be."""
    return [each for each in (*GROUPS, *THINGS, *MORE, *NOTES) if each.entity in stage.settings.entities]


def _same_on_both_sides(stage: Stage, excused: set[RecordId]) -> None:
    disputes = _disputes(stage)
    for record in records(stage):
        if record in excused:
            continue
        disputed = disputes.get(record, frozenset())
        mine, theirs = (_without(disputed, side.values(record)) for side in (stage.office, stage.clients))
        if disputed and (mine is None) is not (theirs is None):
            continue  # whether it lives is what the conflict is about
        if _text(mine) != _text(theirs):
            raise Violated(f"{record.key}: the sides differ: django {mine}, firestore {theirs}")
        known = stage.backend.known.get(place(record), Known())
        held = stage.firestore.layouts[record.entity].held(record, *_documents(stage, record))
        if mine is not None:
            stamps = {name: entry.stamp for name, entry in held.index.items()}
            if _without(disputed, known.stamps) != _without(disputed, stamps):
                raise Violated(f"{record.key}: the stamps differ: django {known.stamps}, firestore {stamps}")
        elif (known.deleted or None) != held.tombstone.deleted and known.deleted and held.tombstone.deleted:
            raise Violated(f"{record.key}: the tombstones differ: django {known.deleted}, firestore {held.tombstone.deleted}")


def _disputes(stage: Stage) -> dict[RecordId, frozenset[str]]:
    """Return, by record, the fields that lie in an open conflict: there alone the sides may differ."""
    found: dict[RecordId, frozenset[str]] = {}
    for row in stage.operator.conflicts("open").values():
        record = _record_of(row)
        found[record] = found.get(record, frozenset()) | {row["field"]}
    return found


def _without(names: frozenset[str], values: Any) -> Any:
    return None if values is None else {name: value for name, value in values.items() if name not in names}


def _documents(stage: Stage, record: RecordId) -> list[Any]:
    layout = stage.firestore.layouts[record.entity]
    return [stage.database.snapshot(path) for path in (layout.path(record), layout.tombstone_path(record))]


def _text(values: Any) -> str | None:
    return None if values is None else canonical(values)


def _books(stage: Stage, excused: set[RecordId]) -> Books:
    for record, name in stage.toggled:
        stage.ledger.exempt(record, name)
    found = _found(stage, excused)
    for what, writes in (
        ("lost, and seen by nobody who wrote after", stage.ledger.lost(found)),
        ("back, though replaced by one who had seen it", stage.ledger.risen(found)),
        ("in a conflict with one who had seen it", [] if stage.mood.faulty else _falsely_met(stage)),
    ):
        if writes:
            raise Violated(f"{what}: {[(each.record.key, each.field, each.text) for each in writes]}")
    return Books(stage.ledger.fates(found), len(stage.rows("sync_conflicts")), len(excused))


def _found(stage: Stage, excused: set[RecordId]) -> Found:
    both: set[Key] = set()
    one: set[Key] = set()
    for record in records(stage):
        mine, theirs = _keys(record, stage.office.values(record)), _keys(record, stage.clients.values(record))
        both |= mine & theirs
        one |= mine | theirs if record in excused else set()
    return Found(
        both, one, _in_conflicts(stage), _in_letters(stage, excused), _declared(stage), _beaten(stage), *_overruled(stage)
    )


def _keys(record: RecordId, values: Any) -> set[Key]:
    return {(record, name, canonical(value)) for name, value in (values or {}).items()}


def _in_conflicts(stage: Stage) -> set[Key]:
    """Return every value that lies in a conflict."""
    return {key for row in stage.rows("sync_conflicts").values() for side in SIDES for key in _lies_in(row, side)}


def _lies_in(row: Any, side: str) -> list[Key]:
    """Return what a conflict holds of a side: a value, or nothing where that was a delete."""
    if "value" not in row[side]:
        return []
    return [(_record_of(row), row["field"], canonical(loaded(row["field"], row[side]["value"])))]


def _declared(stage: Stage) -> set[Key]:
    """Return the values that a declared side of a first load has put over later ones."""
    rows = [row for row in stage.rows("sync_conflicts").values() if row["rule"] == "initial_winner"]
    return {key for row in rows for key in _lies_in(row, row["winner"])}


def _beaten(stage: Stage) -> set[Key]:
    """Return the values that lost a conflict under a policy."""
    rows = [row for row in stage.rows("sync_conflicts").values() if row["rule"] in {Policy.LEFT_WINS, Policy.RIGHT_WINS}]
    other = {"local": "incoming", "incoming": "local"}
    return {key for row in rows if row["winner"] in other for key in _lies_in(row, other[row["winner"]])}


def _overruled(stage: Stage) -> tuple[set[tuple[RecordId, str]], set[RecordId]]:
    """Return the fields with a conflict that did not fall to the last write, and the records with such a one about a delete."""
    rows = [row for row in stage.rows("sync_conflicts").values() if row["rule"] != Policy.LAST_WRITE_WINS]
    of_deletes = {_record_of(row) for row in rows if any("value" not in row[side] for side in SIDES)}
    return {(_record_of(row), row["field"]) for row in rows}, of_deletes


def _falsely_met(stage: Stage) -> list[Any]:
    """Return the writes that are in a conflict with a write on top of them. There are such after faults and deletes, and
    of a field that is in a true conflict too (collapsing keeps the oldest base), but none while all goes well."""
    pairs = [_met(stage, row) for row in stage.rows("sync_conflicts").values()]
    falsely = [pair for pair in pairs if all(pair) and stage.ledger.follows(*pair)]
    truly = {(each.record, each.field) for pair in pairs if pair not in falsely for each in pair if each}
    return [one for one, _ in falsely if (one.record, one.field) not in truly]


def _met(stage: Stage, row: Any) -> list[Any]:
    record = _record_of(row)
    values = [loaded(row["field"], side.get("value")) for side in (row["local"], row["incoming"])]
    return [stage.ledger.of(record, row["field"], value) for value in values]


def _in_letters(stage: Stage, excused: set[RecordId]) -> set[Key]:
    """Return every value in a dead letter, and in a change of its record that waits behind it."""
    kept: set[Key] = set()
    for row in stage.rows("sync_dead_letters").values():
        if row["change"] is None or row["status"] == "replayed":
            continue
        for record in _of_letter(stage, row):
            kept |= _keys(record, loaded("change", row["change"])["fields"])
    for id, label in stage.backend.labels.items():
        entry = stage.backend.queue[id]
        record = RecordId(entry["entity"], entry["key"], entry["tenant"])
        if label == "pending" and record in excused:
            kept |= _keys(record, entry["fields"])
    for row in stage.rows("sync_queue").values():
        record = _record_of(row)
        if row["sync_status"] == "pending" and record in excused:
            kept |= _keys(record, {name: loaded(name, value) for name, value in row["fields"].items()})
    return kept
