"""What people do at both sides, as the digits of a step say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.model import RecordId
from simulation.choices import Word
from simulation.entities import GROUPS, MORE, NOTES, THINGS
from simulation.ledger import COMMON
from simulation.stage import Stage

STAY = 7
"""Steps for which people in a roaming world stay at one record."""


def _deletes(stage: Stage, side: int) -> int:
    """Return how often people delete at a side (0: the backend, 1: the app), beside 14 times that they write."""
    return (1 + stage.mood.narrow) * stage.mood.deletes[side] * stage.mood.faulty


def record_of(stage: Stage, word: Word) -> RecordId:
    if stage.mood.roaming:
        return (*THINGS, *MORE)[min(stage.network.steps // STAY, 4)]
    records = THINGS[:1] if stage.mood.narrow else (*THINGS[:1], *THINGS[:1], *THINGS, *THINGS, *GROUPS, *NOTES)
    return word.pick([each for each in records if each.entity in stage.settings.entities])


def fields_of(stage: Stage, word: Word, record: RecordId, clients: bool) -> dict[str, Any]:
    """Return what somebody writes: values of their own, common ones, nulls, and now and then what the other side refuses."""
    if record.entity == "group":
        return {"name": _value(stage, word)}
    if record.entity == "note":
        return {"t": _value(stage, word)}
    alone = (("a",), ("b",), ("a", "b"), ("c",), ("a", "b", "c"))
    depending = (("u",), ("g",), ("b", "u")) if stage.mood.faulty else ()
    named = word.pick((*alone, *depending))
    return {name: _thing_value(stage, word, name, clients) for name in named}


def _value(stage: Stage, word: Word) -> Any:
    kind = word.weighed([(10, "own"), (1, "common"), (1, "null")])
    return {"own": stage.ledger.value, "common": lambda: COMMON, "null": lambda: None}[kind]()


def _thing_value(stage: Stage, word: Word, name: str, clients: bool) -> Any:
    if name == "g":
        return word.pick([None, *(group.key for group in GROUPS)])
    if name == "u":
        return word.pick((COMMON, COMMON + "1", None))
    value = _value(stage, word)
    odd = stage.mood.faulty and word.take(10) == 9
    if odd and name == "b" and clients:
        return stage.ledger.number()  # no text: the backend refuses it
    if odd and name == "c" and not clients and value is not None:
        return [[value]]  # which Firestore cannot hold
    return COMMON if value is None and name == "a" else value


def office(stage: Stage, word: Word) -> None:
    """Somebody at the backend saves, deletes, or writes past the queue."""
    record = record_of(stage, word)
    kind = word.weighed(
        [
            (14, "saves"),
            (_deletes(stage, 0), "deletes"),
            (4, "writes raw"),
            (stage.mood.lossy, "vanishes"),
            (stage.mood.lossy, "restamps"),
        ]
    )
    done = _OFFICE[kind](stage, word, record)
    stage.network.say(f"  django {kind} {record.key}: {done}")


def saves(stage: Stage, word: Word, record: RecordId) -> Any:
    fields = fields_of(stage, word, record, clients=False)
    if record.entity == "thing" and stage.office.values(record) is None:
        fields = {"a": stage.ledger.value(), **fields}
    return fields if stage.office.save(record, fields) else "refused"


def _writes_raw(stage: Stage, word: Word, record: RecordId) -> Any:
    fields = {name: value for name, value in fields_of(stage, word, record, clients=False).items() if name not in {"u", "g"}}
    if not fields or (stage.office.values(record) is None and "a" not in fields and record.entity == "thing"):
        return "nothing"
    stage.office.write_raw(record, fields)
    return fields


def _vanishes(stage: Stage, word: Word, record: RecordId) -> Any:
    if record.entity == "group" or stage.toggled or stage.settings.policy.startswith("manual") or stage.operator.unfinished:
        return "nothing"  # an edit that was not synced, was held, or was decided for alone, is on its way to nobody
    stage.unrepaired.add("a row vanished")
    return stage.office.vanish(record)


def _restamps(stage: Stage, word: Word, record: RecordId) -> Any:
    name = {"thing": "b", "group": "name", "note": "t"}[record.entity]
    done = stage.office.restamp(record, name)
    if done:
        stage.unrepaired.add("two values had one stamp")
    return done


_OFFICE: dict[str, Callable[[Stage, Word, RecordId], Any]] = {
    "saves": saves,
    "deletes": lambda stage, word, record: stage.office.delete(record),
    "writes raw": _writes_raw,
    "vanishes": _vanishes,
    "restamps": _restamps,
}


def clients(stage: Stage, word: Word) -> None:
    """Somebody with the app changes a document, writes it blindly, deletes it, or makes it."""
    record = record_of(stage, word)
    there = stage.clients.exists(record)
    kind = word.weighed([(14, "updates"), (3 * stage.mood.faulty, "sets"), (_deletes(stage, 1), "deletes")]) if there else "makes"
    if kind == "deletes":
        stage.clients.delete(record)
        return stage.network.say(f"  a client deletes {record.key}")
    fields = fields_of(stage, word, record, clients=True)
    if kind != "updates" and record.entity == "thing" and word.take(8) < 7:
        fields = {"a": stage.ledger.value(), **fields}
    (stage.clients.update if kind == "updates" else stage.clients.set)(record, fields)
    stage.network.say(f"  a client {kind} {record.key}: {fields}")
