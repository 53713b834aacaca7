"""One schedule from its beginning to the closed books."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from simulation.choices import BITS, Word
from simulation.ending import Books, end
from simulation.entities import GROUPS, MORE, NOTES, POLICIES, THINGS
from simulation.ledger import COMMON
from simulation.moods import drawn
from simulation.stage import Settings, Stage
from simulation.steps import STEPS, step

UNDER_POLICIES = os.environ.get("POLICIES") == "1"
"""Whether some worlds are under other policies than the last write: see docs/simulation.md for what fails yet."""
ENTITIES = (("group", "thing"), ("thing",), ("thing",), ("group", "thing", "note"))


@dataclass
class Ended:
    """How a schedule ended. `failure` says what did not hold, None where all did."""

    books: Books | None = None
    failure: str | None = None
    injected: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    runs: int = 0


def play(schedule: Sequence[int], trace: list[str] | None = None) -> Ended:
    """Play a schedule; whatever goes wrong in it is told in the result. `trace` is filled with what happens, line by line."""
    stage = opened(schedule[0] if schedule else 0, trace)
    ended = Ended(injected=stage.network.injected)
    try:
        for number in schedule[1:]:
            step(stage, number)
        ended.books = end(stage)
    except Exception as error:
        ended.failure = f"{type(error).__name__}: {error}"
        stage.network.say(ended.failure)
    finally:
        stage.network.drop()
    if trace is not None:
        stage.network.say(f"both systems in the end: {state(stage)}")
    ended.calls, ended.runs = stage.network.calls, len(stage.reports)
    return ended


def state(stage: Stage) -> str:
    """Return a hash of all that both systems hold."""
    held = (sorted(stage.database.documents.items()), stage.backend.rows, stage.backend.known, stage.backend.queue)
    return hashlib.sha256(repr(held).encode()).hexdigest()[:16]


def opened(number: int, trace: list[str] | None = None) -> Stage:
    """Return the world that a schedule's first integer settles."""
    word = Word(number)
    faulty = word.take(8) < 7
    winner = word.pick((*[None] * 6, "django", "firestore")) if faulty else None
    policy = word.weighed([(18, ""), *((1, each) for each in POLICIES if each and faulty)])
    policy = policy if UNDER_POLICIES else ""
    settings = Settings(word.pick(ENTITIES), word.pick((3, 2, 1)), winner, patience=word.pick((4, 10, 2)), policy=policy)
    beginning = word.weighed([(6, "synced"), (1, "empty"), (int(faulty), "never synced")])
    stage = Stage(settings, trace)
    stage.mood = replace(drawn(word, faulty, len(STEPS)), fleeting=faulty and number >> BITS - 3 == 7)  # read from its other end
    stage.copy_from(beginning_of(beginning, settings.entities, stage.mood.roaming))
    stage.network.say(f"{beginning}, {settings}, {stage.mood}")
    return stage


@cache
def beginning_of(name: str, entities: tuple[str, ...], more: bool = False) -> Stage:
    """Return a world to begin with: records on both sides, in step or never synced, or none."""
    stage = Stage(Settings(entities))
    values = {"group": {"name": COMMON}, "thing": {"a": COMMON, "b": COMMON, "c": COMMON}, "note": {"t": COMMON}}
    for record in [
        each for each in (GROUPS[0], *THINGS, *(MORE if more else ()), *NOTES) if each.entity in entities and name != "empty"
    ]:
        stage.office.save(record, values[record.entity])
    if name == "synced":
        stage.run()
        stage.deliver_all()
    if name == "never synced":
        _unsynced(stage)
    return stage


def _unsynced(stage: Stage) -> None:
    """Leave both sides with records of which no queue and no event tells."""
    for record in [each for each in (*THINGS, *NOTES) if each.entity in stage.settings.entities]:
        stage.clients.set(record, {"a": COMMON, "b": COMMON + "2"} if record.entity == "thing" else {"t": COMMON + "2"})
    stage.backend.known.clear()
    stage.backend.queue.clear()
    stage.backend.labels.clear()
    stage.database.events.clear()
    stage.unrepaired.add("the sides were never synced")
