"""What the worlds beside that of members have in common: how an actor goes on, and how a schedule is played to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from simulation.actors import Actor
from simulation.choices import Word
from simulation.ending import Books
from simulation.faults import STOPS, Fault
from simulation.moods import FAULTS, Mood
from simulation.schedule import Ended
from simulation.stage import Stage, Violated
from simulation.steps import AT_ONCE, CALLS, LONGEST_HELD, PAUSES

S = TypeVar("S", bound=Stage)
Steps = Sequence[tuple[int, Callable[[S, Word], None]]]
HOW = ((4, 2, 9, 3), (4, 2, 9, 3), (3, 0, 3, 1), (1, 0, 0, 0))
TAME = (5, 3, 0, 0)
DAY = 25 * 3600.0


def mood_of(word: Word, faulty: bool, favourites: Sequence[str]) -> Mood:
    """Return the mood of such a world; `favourites` are the calls, by what is in their names, at which most may go wrong."""
    skewed, favourite = word.take(8) > 4, word.pick(("", *favourites))
    return Mood(faulty, skewed, kinds=word.pick(FAULTS), how=word.pick(HOW) if faulty else TAME, favourite=favourite)


def is_full(stage: Stage) -> bool:
    """Return whether nobody else may begin now."""
    return len(stage.network.actors) >= (AT_ONCE if stage.mood.faulty else 1)


def go(stage: Stage, word: Word, actor: Actor, called: Sequence[str]) -> None:
    """Let an actor go on: to its end, to a stop, to a call of those `called` where it is held, or to a fault."""
    how = word.weighed(list(zip(stage.mood.how, ("to the end", "stops", "fault", "is held"), strict=True)))
    at = stage.mood.favourite or word.pick(("", *called))
    calls = word.take(CALLS if at else 2 * CALLS)
    if how == "to the end":
        stage.network.go_on(actor, None)
    elif how == "stops":
        stage.network.go_on(actor, calls)
    elif how == "is held":
        stage.network.go_on(actor, calls, Fault(word.pick(STOPS), at=at))
        actor.held_until = stage.network.steps + word.take(LONGEST_HELD)
    else:
        stage.network.go_on(actor, calls, Fault(word.pick(stage.mood.kinds), word.take(210), word.pick((1, 1, 5)), at))


def go_on(stage: Stage, word: Word, called: Sequence[str]) -> bool:
    """Let an actor that is under way go on; False if there is none."""
    actors = [each for each in stage.network.actors if each.held_until <= stage.network.steps]
    if not actors and is_full(stage):
        actors = stage.network.actors
    if actors:
        go(stage, word, actors[word.take(len(actors))], called)
    return bool(actors)


def begin(stage: Stage, word: Word, called: Sequence[str]) -> None:
    """Let a run begin, of any kind."""
    if is_full(stage):
        go_on(stage, word, called)
        return
    kind = word.weighed([(12, "sync"), (3 * stage.mood.faulty, "reconcile"), (1, "one way"), (1, "dry"), (1, "few")])
    ways = [name for name, _, _ in stage.pair.ways]
    orders: dict[str, dict[str, Any]] = {
        "one way": {"direction": ways[word.take(len(ways))]},
        "dry": {"dry_run": True},
        "few": {"max_changes": 1},
    }
    stage.network.say(f"  begins: {kind}")
    go(stage, word, stage.start("reconcile" if kind == "reconcile" else "sync", **orders.get(kind, {})), called)


def played(stage: S, schedule: Sequence[int], steps: Steps[S], end: Callable[[S], Books], trace: list[str] | None) -> Ended:
    """Play a schedule's steps and close the books; whatever goes wrong in it is told in the result."""
    ended = Ended(injected=stage.network.injected)
    try:
        for number in schedule[1:]:
            _step(stage, number, steps)
        ended.books = end(stage)
    except Exception as error:
        ended.failure = f"{type(error).__name__}: {error}"
        stage.network.say(ended.failure)
    finally:
        stage.network.drop()
    ended.calls, ended.runs = stage.network.calls, len(stage.reports)
    return ended


def _step(stage: S, number: int, steps: Steps[S]) -> None:
    word = Word(number)
    stage.network.injected["steps"] += 1
    act = word.weighed(list(steps))
    pause = word.pick(PAUSES)
    stage.network.say(act.__name__)
    act(stage, word)
    stage.sleep(pause)


def must(stage: Stage, work: str) -> Any:
    """Return the report of a run without any fault, which must come to its end."""
    report = stage.run(work)
    if report is None or report.failure:
        raise Violated(f"a run without any fault does not come to its end: {report and report.failure}")
    return report


def letters(stage: Stage) -> set[str]:
    """Return the keys of the records that somebody has to look at, since there is a dead letter of them."""
    return {row["key"] for row in stage.rows("sync_dead_letters").values() if row["status"] == "open" and row["key"]}
