"""What one integer of a schedule makes happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.model import RecordId
from simulation.choices import Word
from simulation.entities import ENTITIES, GROUPS, MORE, NOTES, OPTIONAL, THINGS
from simulation.faults import STOPS, Fault
from simulation.ledger import COMMON
from simulation.stage import Late, Stage

AT_ONCE = 4
"""Actors under way at the same time."""
CALLS = 14
"""A fault comes, or an actor stops, within so many calls."""
CALLED = ("POST apply", "POST mark", "firestore write", "firestore commit")
"""Calls at which a fault often comes, or an actor is held."""
WAYS = ("to the end", "stops", "fault", "is held")
AMBUSHED = ("firestore commit things", "firestore write things", "POST apply", "POST records", "firestore get", "POST mark")
STAY = 7
"""Steps for which people in a roaming world stay at one record."""
LONGEST_HELD = 10
"""Steps for which an actor may be held where it is, while all others go on."""


def go_on(stage: Stage, word: Word) -> None:
    """Let an actor that is under way go on; if nobody is, a run begins."""
    actors = [each for each in stage.network.actors if each.held_until <= _number(stage)]
    if actors:
        _go(stage, word, actors[word.take(len(actors))])
    elif len(stage.network.actors) >= _at_once(stage):
        _go(stage, word, stage.network.actors[0])
    else:
        begin(stage, word)


def begin(stage: Stage, word: Word) -> None:
    """Let a run begin, of any kind."""
    if len(stage.network.actors) >= _at_once(stage):
        return go_on(stage, word)
    kind = word.weighed(
        [
            (12, "sync"),
            (3 * stage.mood.faulty, "reconcile"),
            (2 * stage.mood.faulty, "quick reconcile"),
            (1, "one way"),
            (1, "other way"),
            (1, "dry"),
            (1, "dry reconcile"),
            (1, "few"),
        ]
    )
    order: dict[str, Any] = {
        "one way": {"direction": "django_to_firestore"},
        "other way": {"direction": "firestore_to_django"},
        "dry": {"dry_run": True},
        "dry reconcile": {"dry_run": True},
        "few": {"max_changes": 1},
    }.get(kind, {})
    work = "quick reconcile" if kind == "quick reconcile" else "reconcile" if "reconcile" in kind else "sync"
    stage.network.say(f"  begins: {kind}")
    _go(stage, word, stage.start(work, **order))


def _at_once(stage: Stage) -> int:
    return AT_ONCE if stage.mood.faulty else 1


def _go(stage: Stage, word: Word, actor: Any) -> None:
    how = word.weighed(list(zip(stage.mood.how if stage.mood.faulty else (5, 3, 0, 0), WAYS, strict=True)))
    if how == "to the end":
        stage.network.go_on(actor, None)
    elif how == "stops":
        stage.network.go_on(actor, word.take(2 * CALLS))
    elif how == "is held":
        stop = Fault(word.pick(STOPS), at=stage.mood.favourite or word.pick(CALLED))
        stage.network.go_on(actor, word.take(CALLS), stop)
        actor.held_until = _number(stage) + word.take(LONGEST_HELD)
    else:
        at = word.pick(("", stage.mood.favourite, *CALLED))
        fault = Fault(word.pick(stage.mood.kinds), word.take(210), word.pick((1, 1, 5)), at)
        stage.network.go_on(actor, word.take(CALLS if at else 2 * CALLS), fault)


def _number(stage: Stage) -> int:
    """Return how many steps there have been."""
    return stage.network.injected["steps"]


def deliver(stage: Stage, word: Word) -> None:
    """Let the delivery of an event begin: any that is on its way, perhaps not for the last time, perhaps without data."""
    waiting = [each for each in stage.events() if not each.busy]
    if not waiting or len(stage.network.actors) >= _at_once(stage):
        return go_on(stage, word)
    place = word.take(len(waiting))
    late = waiting[-1 - place // 2 if stage.mood.backwards else place]
    how = word.weighed([(8, ""), (2 * stage.mood.faulty, "again"), (stage.mood.faulty, "bare"), (stage.mood.lossy, "lost")])
    stage.network.say(f"  an event of {late.event.path}, written {late.event.time:%H:%M:%S.%f} {how}")
    if how:
        stage.network.injected[f"event {how}"] += 1
    if how == "lost":
        return stage.drop(late)
    actor = stage.deliver(late, how == "again", how == "bare")
    if actor is not None:
        _go(stage, word, actor)


def ambush(stage: Stage, word: Word) -> None:
    """Hold somebody at a call; let events come, or people write, just then; and let it go on to its end."""
    if not stage.mood.faulty:
        return go_on(stage, word)
    free = [each for each in stage.network.actors if each.held_until <= _number(stage)]
    actor = free[0] if free and word.take(2) else stage.start(word.pick(("sync", "sync", "reconcile")))
    stop = Fault(word.pick(STOPS), at=stage.mood.favourite or word.pick(AMBUSHED))
    stage.network.go_on(actor, 2 * word.take(4), stop)
    for _ in range(word.pick((1, 2, 3)) if not actor.done else 0):
        word.pick((_meanwhile_an_event, office, clients))(stage, word)
    if not actor.done:
        stage.network.go_on(actor, None)


def crossing(stage: Stage, word: Word) -> None:
    """People act at one record and a run passes, twice, while events are held back; then these come across one another."""
    if not stage.mood.faulty or len(stage.network.actors) >= _at_once(stage):
        return go_on(stage, word)
    record = _record(stage, word)
    for _ in range(2):
        for _ in range(1 + word.take(3)):
            word.pick((_edit_in_the_app, _delete_in_the_app, _saves_here))(stage, word, record)
        stage.sleep(1.5)
        stage.network.go_on(stage.start("sync"), None)
    path = ENTITIES[record.entity].path(record)
    held_back = [each for each in stage.events() if not each.busy and each.event.path == path]
    for late in held_back[:: -1 if word.take(2) else 1]:
        _comes(stage, late)
    word.pick((_saves_here, _edit_in_the_app))(stage, word, record)


def _edit_in_the_app(stage: Stage, word: Word, record: RecordId) -> None:
    """Somebody edits a document that is there; its event comes at once."""
    if stage.clients.exists(record):
        stage.sleep(0.001)
        stage.clients.update(record, _fields(stage, word, record, clients=True))
        _comes(stage, stage.events()[-1])


def _delete_in_the_app(stage: Stage, word: Word, record: RecordId) -> None:
    if stage.clients.exists(record):
        stage.sleep(1.5)
        stage.clients.delete(record)


def _saves_here(stage: Stage, word: Word, record: RecordId) -> None:
    stage.sleep(0.001)
    stage.network.say(f"  django saves {record.key}: {_saves(stage, word, record)}")


def _comes(stage: Stage, late: Late) -> None:
    actor = stage.deliver(late)
    if actor is not None:
        stage.network.go_on(actor, None)


def _meanwhile_an_event(stage: Stage, word: Word) -> None:
    waiting = [each for each in stage.events() if not each.busy]
    if waiting:
        _comes(stage, waiting[word.take(len(waiting))])


def _deletes(stage: Stage, side: int) -> int:
    """Return how often people delete at a side (0: the backend, 1: the app), beside 14 times that they write."""
    return (1 + stage.mood.narrow) * stage.mood.deletes[side] * stage.mood.faulty


def _record(stage: Stage, word: Word) -> RecordId:
    if stage.mood.roaming:
        return (*THINGS, *MORE)[min(_number(stage) // STAY, 4)]
    records = THINGS[:1] if stage.mood.narrow else (*THINGS[:1], *THINGS[:1], *THINGS, *THINGS, *GROUPS, *NOTES)
    return word.pick([each for each in records if each.entity in stage.settings.entities])


def _fields(stage: Stage, word: Word, record: RecordId, clients: bool) -> dict[str, Any]:
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
    record = _record(stage, word)
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


def _saves(stage: Stage, word: Word, record: RecordId) -> Any:
    fields = _fields(stage, word, record, clients=False)
    if record.entity == "thing" and stage.office.values(record) is None:
        fields = {"a": stage.ledger.value(), **fields}
    return fields if stage.office.save(record, fields) else "refused"


def _writes_raw(stage: Stage, word: Word, record: RecordId) -> Any:
    fields = {name: value for name, value in _fields(stage, word, record, clients=False).items() if name not in {"u", "g"}}
    if not fields or (stage.office.values(record) is None and "a" not in fields and record.entity == "thing"):
        return "nothing"
    stage.office.write_raw(record, fields)
    return fields


def _vanishes(stage: Stage, word: Word, record: RecordId) -> Any:
    if record.entity == "group" or stage.toggled:  # an edit that was not synced, and then vanished, is on its way to nobody
        return "nothing"
    stage.unrepaired.add("a row vanished")
    return stage.office.vanish(record)


def _restamps(stage: Stage, word: Word, record: RecordId) -> Any:
    name = {"thing": "b", "group": "name", "note": "t"}[record.entity]
    done = stage.office.restamp(record, name)
    if done:
        stage.unrepaired.add("two values had one stamp")
    return done


_OFFICE: dict[str, Callable[[Stage, Word, RecordId], Any]] = {
    "saves": _saves,
    "deletes": lambda stage, word, record: stage.office.delete(record),
    "writes raw": _writes_raw,
    "vanishes": _vanishes,
    "restamps": _restamps,
}


def clients(stage: Stage, word: Word) -> None:
    """Somebody with the app changes a document, writes it blindly, deletes it, or makes it."""
    record = _record(stage, word)
    there = stage.clients.exists(record)
    kind = word.weighed([(14, "updates"), (3 * stage.mood.faulty, "sets"), (_deletes(stage, 1), "deletes")]) if there else "makes"
    if kind == "deletes":
        stage.clients.delete(record)
        return stage.network.say(f"  a client deletes {record.key}")
    fields = _fields(stage, word, record, clients=True)
    if kind != "updates" and record.entity == "thing" and word.take(8) < 7:
        fields = {"a": stage.ledger.value(), **fields}
    (stage.clients.update if kind == "updates" else stage.clients.set)(record, fields)
    stage.network.say(f"  a client {kind} {record.key}: {fields}")


def time(stage: Stage, word: Word) -> None:
    """Time passes, or a clock is set."""
    kind = word.weighed([(12, "passes"), (1 + 3 * stage.mood.skewed, "functions"), (1 + 5 * stage.mood.skewed, "backend")])
    if kind == "passes":
        seconds = word.pick((0.001, 1.0, 0.3, 35.0, 150.0, 700.0, 3600.0, 12 * 3600.0 if stage.mood.faulty else 60.0))
        stage.sleep(seconds)
        return stage.network.say(f"  {seconds} s pass")
    most = 12 * 3600 if kind == "functions" else 24 * 3600
    ahead = word.pick((0, 1, -1, 4, -4, 90, -90, 400, -400, most, -most, most // 5, -most // 3)[: 13 if stage.mood.skewed else 5])
    stage.network.injected["clock set back" if timedelta(seconds=ahead) < stage.ahead[kind] else "clock set ahead"] += 1
    stage.ahead[kind] = timedelta(seconds=ahead)
    stage.network.say(f"  the clock of the {kind} is set to {ahead} s ahead")


def configuration(stage: Stage, word: Word) -> None:
    """Another configuration is deployed."""
    kind = word.pick(("page size", "field", "initial winner"))
    if kind == "page size":
        stage.configure(replace(stage.settings, page_size=word.pick((3, 1, 2, 500))))
    elif kind == "initial winner" and stage.mood.faulty:
        stage.configure(replace(stage.settings, initial_winner=word.pick((None, "django", "firestore"))))
    elif kind == "field" and stage.mood.lossy and "a row vanished" not in stage.unrepaired:
        stage.configure(replace(stage.settings, without=not stage.settings.without))
        stage.unrepaired.add("a field was not synced")
        for record in (*THINGS, *MORE):
            stage.toggled.add((record, OPTIONAL))
    stage.network.injected[f"configuration: {kind}"] += 1
    stage.network.say(f"  another {kind} is deployed: {stage.settings}")


STEPS: list[tuple[int, Callable[[Stage, Word], None]]] = [
    (16, go_on),
    (8, begin),
    (18, office),
    (18, clients),
    (16, deliver),
    (7, time),
    (1, configuration),
    (6, ambush),
    (3, crossing),
]
PAUSES = (0.0, 0.001, 0.001, 1.5)
"""Seconds after a step: an event tells its own time in whole ones."""
AS_USUAL = (1,) * len(STEPS)


def step(stage: Stage, number: int) -> None:
    """Do what the integer says."""
    word, factors = Word(number), stage.mood.factors or AS_USUAL
    stage.network.injected["steps"] += 1
    act = word.weighed([(weight * factor, act) for (weight, act), factor in zip(STEPS, factors, strict=True)])
    pause = word.pick(PAUSES)
    stage.network.say(act.__name__)
    act(stage, word)
    stage.sleep(pause)
