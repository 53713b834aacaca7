"""What one integer of a schedule makes happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from simulation.ambushes import ambush, crossing
from simulation.choices import Word
from simulation.entities import MORE, OPTIONAL, THINGS
from simulation.faults import STOPS, Fault
from simulation.people import clients, office
from simulation.stage import Stage

AT_ONCE = 4
"""Actors under way at the same time."""
CALLS = 14
"""A fault comes, or an actor stops, within so many calls."""
CALLED = ("POST apply", "POST mark", "firestore write", "firestore commit")
"""Calls at which a fault often comes, or an actor is held."""
WAYS = ("to the end", "stops", "fault", "is held")
WITHIN_BOUNDS = 7
"""Skews of clocks that make no side refuse a stamp: with more, something goes wrong."""
LONGEST_HELD = 10
"""Steps for which an actor may be held where it is, while all others go on."""


def go_on(stage: Stage, word: Word) -> None:
    """Let an actor that is under way go on; if nobody is, a run begins."""
    actors = [each for each in stage.network.actors if each.held_until <= stage.network.steps]
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
            (stage.mood.faulty, "quick reconcile"),
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
        actor.held_until = stage.network.steps + word.take(LONGEST_HELD)
    else:
        at = word.pick(("", stage.mood.favourite, *CALLED))
        fault = Fault(word.pick(stage.mood.kinds), word.take(210), word.pick((1, 1, 5)), at)
        stage.network.go_on(actor, word.take(CALLS if at else 2 * CALLS), fault)


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


def time(stage: Stage, word: Word) -> None:
    """Time passes, or a clock is set."""
    kind = word.weighed([(12, "passes"), (1 + 3 * stage.mood.skewed, "functions"), (1 + 5 * stage.mood.skewed, "backend")])
    if kind == "passes":
        seconds = word.pick((0.001, 1.0, 0.3, 35.0, 150.0, 700.0, 3600.0, 12 * 3600.0 if stage.mood.faulty else 60.0))
        stage.sleep(seconds)
        return stage.network.say(f"  {seconds} s pass")
    most = 12 * 3600 if kind == "functions" else 24 * 3600
    skews = (0, 1, -1, 4, -4, 90, -90, 400, -400, most, -most, most // 5, -most // 3)
    ahead = word.pick(skews[: 5 if not stage.mood.skewed else 13 if stage.mood.faulty else WITHIN_BOUNDS])
    stage.network.injected["clock set back" if timedelta(seconds=ahead) < stage.ahead[kind] else "clock set ahead"] += 1
    stage.ahead[kind] = timedelta(seconds=ahead)
    stage.network.say(f"  the clock of the {kind} is set to {ahead} s ahead")


def operator(stage: Stage, word: Word) -> None:
    """Somebody decides a conflict, brings back what lost one, calls again, or replays dead letters."""
    if len(stage.network.actors) >= _at_once(stage):
        return go_on(stage, word)
    kind = word.weighed([(5, "decides"), (2, "brings back"), (3, "calls again"), (2, "replays")])
    statuses = {"decides": ("open",), "brings back": ("settled", "resolved")}.get(kind, ())
    if kind == "replays":
        return _go(stage, word, stage.operator.replay(word.pick(stage.settings.entities)))
    if kind == "calls again":
        unfinished = stage.operator.unfinished
        return _go(stage, word, stage.operator.repeat(word.pick(unfinished))) if unfinished else go_on(stage, word)
    ids = list(stage.operator.conflicts(*statuses))
    if not ids:
        return go_on(stage, word)
    id = ids[word.take(len(ids))]
    _go(stage, word, stage.operator.decide(id, word.pick(("incoming", "local", "value")), word.take(8) == 7))


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
    (4, operator),
    (6, ambush),
    (2, crossing),
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
