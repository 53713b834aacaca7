"""What the world of one schedule is like: which things happen in it, how often, and where they go wrong (swarm testing)."""

from __future__ import annotations

from dataclasses import dataclass

from simulation.choices import Word
from simulation.faults import KINDS

FAVOURITES = (
    "",
    "firestore commit things",
    "firestore commit sync_queue",
    "POST apply",
    "POST mark",
    "firestore get",
    "firestore write things",
    "firestore write sync_conflicts",
    "firestore write sync_dead_letters",
)
"""Calls, by what is in their names."""
USUAL = 2
FACTORS = (USUAL, USUAL, USUAL, 6, 1, 0)
"""How often a kind of step is done, beside the usual."""
FAULTS = (KINDS, KINDS, KINDS, ("crash before", "crash after"), ("lost answer", "doubled"), ("refused", "partial"))


HOW = ((4, 2, 9, 3), (4, 2, 9, 3), (1, 0, 0, 0), (3, 0, 3, 1))
"""How an actor goes on: to its end, until it stops anywhere, to a fault, to a call at which it is held."""
DELETES = ((4, 4), (4, 4), (0, 9), (9, 0))
"""How often people delete at the backend and in the app, beside 14 times that they write; in a narrow world twice as often."""


@dataclass(frozen=True)
class Mood:
    """Without `faulty` nobody deletes either: then no conflict may be reported that is none. In a `narrow` world people are all
    at one record, and delete it often; in a `roaming` one they also turn to another record every few steps and never come back,
    so that no later edit mends what went wrong. In a `lossy` one, events and rows are lost, which takes a reconcile in the end;
    in a `backwards` one the newest event comes first; in a `fleeting` one records come and go while somebody is held at a call.
    `favourite`: the calls at which most goes wrong and actors are held."""

    faulty: bool = False
    skewed: bool = False
    narrow: bool = False
    lossy: bool = False
    backwards: bool = False
    roaming: bool = False
    fleeting: bool = False
    favourite: str = ""
    kinds: tuple[str, ...] = KINDS
    how: tuple[int, int, int, int] = HOW[0]
    deletes: tuple[int, int] = DELETES[0]
    factors: tuple[int, ...] = ()
    """By kind of step, in their order; those that are not named are as usual."""


def drawn(word: Word, faulty: bool, kinds_of_steps: int) -> Mood:
    """Return the mood that a schedule's first integer settles. In every other world all kinds of steps are as usual."""
    skewed, width, lossy = word.take(8) > 4, word.pick(("wide", "narrow", "roaming")), faulty and word.take(3) == 2
    narrow, roaming = width != "wide", width == "roaming" and faulty
    if not faulty or not word.take(2):
        return Mood(faulty, skewed, narrow, lossy, roaming=roaming)
    return Mood(
        faulty,
        skewed,
        narrow,
        lossy,
        roaming=roaming,
        backwards=word.take(2) == 1,
        favourite=word.pick(FAVOURITES),
        kinds=word.pick(FAULTS),
        how=word.pick(HOW),
        deletes=word.pick(DELETES),
        factors=tuple(word.pick(FACTORS) for _ in range(kinds_of_steps)),
    )
