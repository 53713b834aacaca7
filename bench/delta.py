"""Both directions of a delta sync against the ceiling and against what is written by hand, on the same backlog.

Each repetition measures all of them in turn, each on edits of its own, so that whatever else the machine does hits all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from bench import by_hand, ceiling
from bench.figures import Figure, Target, ratio
from bench.raw import update
from bench.refill import EDITED, Refill
from bench.stand import Afar, Stand
from shared.config import Limits

PAGE_SIZE = Limits().page_size
TO_FIRESTORE, TO_DJANGO = "django_to_firestore", "firestore_to_django"
BILLED = {
    (TO_FIRESTORE, "reads"): Target(at_most=1.1),
    (TO_FIRESTORE, "writes"): Target(at_most=1.1),
    (TO_DJANGO, "reads"): Target(at_most=1.1),
    (TO_DJANGO, "writes"): Target(at_most=3.1),
}
"""What the design aims at, and a tenth for the run's own record."""
CEILING, BY_HAND = Target(at_least=0.6), Target(at_least=12)


class WrongOutcome(Exception):
    """What was measured did not do what it was to do."""


@dataclass
class Delta:
    """Measures on one stand with so many `records`, `repetitions` times."""

    stand: Stand
    records: int
    repetitions: int
    by_hand: int
    profile: Path | None = None
    afar: Afar | None = None
    """The long way to both peers, where they are far; ours and the ceiling go that way, all else the short one."""
    in_flight: int = 1
    """At the ceiling. Where the peers are far: as many as ours had."""
    _rounds: Iterator[int] = field(default_factory=lambda: count(1))
    _refill: Refill = field(init=False)
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    billed: dict[str, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._refill = Refill(self.stand)

    def creations(self) -> None:
        """Carry new members to an empty collection, again and again."""
        for _ in range(self.repetitions):
            self._fresh()
            self._ours("creations", TO_FIRESTORE)
            documents = self._fresh()
            chains = self._chains({key: update(each) for key, each in documents.items()})
            self._note("creations", "ceiling", ceiling.climb(chains, self.in_flight))
            self.check()

    def _fresh(self) -> dict[str, Any]:
        """Have every creation wait again, and no document be there; return those that were, by key."""
        documents = self._documents()
        self.stand.firestore.delete([each.name for each in documents.values()])
        self.stand.side("pend")
        return documents

    def updates_to_firestore(self) -> None:
        """Carry edits of three fields of every member from Django."""
        self._hand_over_copies()
        for _ in range(self.repetitions):
            if self.by_hand:
                self._edit(self.by_hand)
                self._by_hand(TO_FIRESTORE, by_hand.to_firestore)
                self.stand.side("pend")
                self.stand.ours("sync", "--direction", TO_FIRESTORE)
            before = self._documents()
            self._edit(self.records)
            self._ours(TO_FIRESTORE, TO_FIRESTORE)
            after = self._documents()
            self.stand.firestore.write([update(each, _mask(each)) for each in before.values()])
            self.stand.side("pend")
            chains = self._chains({key: update(each, _mask(each)) for key, each in after.items()})
            self._note(TO_FIRESTORE, "ceiling", ceiling.climb(chains, self.in_flight))
            self.check()

    def updates_to_django(self) -> None:
        """Carry edits of three fields of every member from Firestore."""
        for _ in range(self.repetitions):
            self._edit_documents(self.records)
            self._ours(TO_DJANGO, TO_DJANGO)
            self._edit_documents(self.records)
            far = self.afar or self.stand
            chains = ceiling.to_django(self.stand.firestore, far.backend, far.firestore, PAGE_SIZE)
            self._note(TO_DJANGO, "ceiling", ceiling.climb(chains, self.in_flight))
            if self.by_hand:
                self._edit_documents(self.by_hand)
                self._by_hand(TO_DJANGO, by_hand.to_django)
            self.check()

    def _chains(self, made: dict[str, Any]) -> list[Any]:
        near, far = self.stand.backend, self.afar or self.stand
        return ceiling.to_firestore(near, far.backend, far.firestore, made, PAGE_SIZE)

    def _edit(self, number: int) -> None:
        """Edit so many members in Django."""
        self.stand.side("edit", number=next(self._rounds), limit=number)

    def _edit_documents(self, number: int) -> None:
        """Edit so many documents as a client does, and have them adopted; nothing else is in the queue then."""
        self._refill(next(self._rounds), number)

    def _documents(self, fields: Sequence[str] = ()) -> dict[str, Any]:
        return {each.name.rpartition("/")[2]: each for each in self.stand.firestore.documents("members", fields)}

    def _hand_over_copies(self) -> None:
        """Give the hand-written loop documents of its own: it leaves out `_sync`, which would look like edits."""
        copies = list(self._documents().values())[: self.by_hand]
        for each in copies:
            each.name = each.name.replace("/members/", f"/{by_hand.COLLECTION}/")
            del each.fields["_sync"]
        self.stand.firestore.write([update(each) for each in copies])

    def _ours(self, kind: str, direction: str) -> None:
        options = ["--profile", f"{self.profile}-{kind}.txt"] if self.profile else []
        if self.afar:
            self.afar.told()
        done = self.stand.ours("sync", "--direction", direction, *options, **(self.afar.env if self.afar else {}))
        if self.afar:
            self.in_flight, _ = self.afar.told()
        tally = done["report"]["directions"][direction]
        if tally["applied"] < self.records or tally["conflicts"]:
            raise WrongOutcome(
                f"{kind}: of {self.records} changes {tally['applied']} were applied, {tally['conflicts']} conflicts"
            )
        self.billed[kind] = done["report"]["billed"]
        self._note(kind, "ours", done["seconds"])
        self.check()

    def through_the_function(self) -> Iterator[Figure]:
        """Carry edits once more in each direction, asking the HTTP function; the time is the caller's."""
        for direction, edit in ((TO_FIRESTORE, self._edit), (TO_DJANGO, self._edit_documents)):
            edit(self.records)
            result, seconds = self.stand.call(direction)
            if result["directions"][direction]["applied"] != self.records:
                raise WrongOutcome(f"{direction}, through the function: not all of {self.records} changes were applied")
            self.check()
            note = f"the HTTP call, once, against {self.repetitions} runs in a process"
            name = f"{direction}: through the function / ours"
            yield Figure(self.part, name, [seconds / each for each in self.seconds[direction, "ours"]], "", None, note)

    def _by_hand(self, kind: str, work: Callable[..., tuple[int, float]]) -> None:
        client = self.stand.stack.firestore()
        number, seconds = work(self.stand.url, self.stand.stack.backend_token, client)
        client.close()  # type: ignore[no-untyped-call]
        if number != self.by_hand:
            raise WrongOutcome(f"{kind} by hand: {number} of {self.by_hand} changes went through")
        self._note(kind, "by hand", seconds)

    def _note(self, kind: str, who: str, seconds: float) -> None:
        self.seconds.setdefault((kind, who), []).append(seconds)

    def check(self) -> None:
        """WrongOutcome if something still waits, or the two sides do not hold the same."""
        waiting = self.stand.side("pending")
        if waiting:
            raise WrongOutcome(f"{waiting} entries still wait in Django")
        there = {key: [_held(each, name) for name in EDITED] for key, each in self._documents(EDITED).items()}
        here = self.stand.side("values")
        if there != here:
            different = sum(there.get(key) != here.get(key) for key in there.keys() | here.keys())
            raise WrongOutcome(f"{different} of {len(here)} members differ between Django and Firestore")

    @property
    def part(self) -> str:
        """Under which name the figures stand."""
        return f"{'afar' if self.afar else 'delta'}, {self.stand.database}"

    def bills(self) -> Iterator[Figure]:
        """Yield what a change costs, of what was measured last in each direction; its share of the run's record is in it."""
        for kind, billed in self.billed.items():
            for name, number in billed.items():
                target, tracker = BILLED.get((kind, name)), 2 * (name == "writes" and kind == TO_DJANGO)
                note = "of them 2 the tracker's" if tracker else ""
                yield Figure(
                    f"billed, {self.stand.database}",
                    f"{kind}: {name} per change",
                    [number / self.records + tracker],
                    "",
                    target,
                    note,
                )

    def figures(self, kinds: Sequence[str]) -> list[Figure]:
        """Return the figures of what was measured."""
        found, part = list[Figure](), self.part
        for kind in kinds:
            ours = self.seconds[kind, "ours"]
            note = f"{self.records:,} records, page {PAGE_SIZE}, {self.in_flight} in flight at the ceiling"
            best = self.seconds[kind, "ceiling"]
            found.append(ratio(part, f"{kind}: ceiling's time / ours", best, ours, ("ceiling", "ours"), CEILING, note))
            if (kind, "by hand") in self.seconds:
                hand, scale = self.seconds[kind, "by hand"], self.records / self.by_hand
                note = f"by hand on {self.by_hand:,} records, scaled"
                found.append(ratio(part, f"{kind}: by hand / ours", hand, ours, ("by hand", "ours"), BY_HAND, note, scale))
        return found


def _held(document: Any, name: str) -> Any:
    return ceiling.plain(document.fields[name]) if name in document.fields else None


def _mask(document: Any) -> list[str]:
    """Return what a run writes of a document in which the edited fields have changed."""
    return [name for name in (*EDITED, "_sync") if name in document.fields]
