"""The account of every write that a user ever made, kept outside of the engine.

Every value says which write it is from. The ledger knows what each author had before them, so it can tell a value that
was overwritten from one that was lost, and one that came back though somebody had replaced it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.canonical import canonical
from shared.model import RecordId
from simulation.entities import MARK

COMMON = MARK + "0"
"""How values begin that many write; nobody can tell whose one is, so no account is kept of it."""


Key = tuple[RecordId, str, str]
"""A record, a field and a value in canonical JSON."""


@dataclass(slots=True, eq=False)
class Write:
    """One value that one user wrote. `over` are the writes by authors who had it before them, `deleted`: a deleter had,
    `slight`: it was not adopted yet when it was last overwritten or deleted at its own side, so it may leave no trace,
    `blind`: it came in a document written whole, or was left out of one, so the sync cannot tell what that author had seen."""

    record: RecordId
    field: str
    text: str
    over: list[Write | None] = field(default_factory=list)
    deleted: bool = False
    slight: bool = False
    blind: bool = False
    exempt: bool = False

    @property
    def key(self) -> Key:
        return self.record, self.field, self.text

    @property
    def may_be_gone(self) -> bool:
        """Whether it may have left no trace at all, so that what it replaced may be there again."""
        return self.exempt or self.slight


@dataclass(frozen=True)
class Found:
    """The values that are to be found in the end: at both sides, at one of a record with a dead letter, in conflicts, in
    dead letters; `declared` are those that a declared side of a first load has put over later ones, `beaten` those that lost
    a conflict under a policy, `overruled` the fields with such a one, `revived` the records with one of a value and a
    delete."""

    both: set[Key]
    one: set[Key]
    conflicts: set[Key]
    letters: set[Key]
    declared: set[Key]
    beaten: set[Key]
    overruled: set[tuple[RecordId, str]]
    revived: set[RecordId]


class Ledger:
    """All writes, by record, field and value."""

    def __init__(self) -> None:
        self.writes: dict[Key, Write] = {}
        self.deletes: Counter[RecordId] = Counter()
        """How often people deleted a record in the app."""
        self.numbers = 0
        self.chosen: set[Key] = set()
        """The values that somebody chose when they decided a conflict: these may be back though they were replaced."""
        self.decisions: set[RecordId] = set()
        """Records that a side had deleted when somebody decided a conflict. They may be brought back as the other side has
        them: what was written at the first before it was deleted there is in a conflict at most."""

    def value(self) -> str:
        """Return a value that nobody has written yet."""
        self.numbers += 1
        return f"{MARK}{self.numbers}"

    def number(self) -> int:
        """Return a number that nobody has written yet."""
        self.numbers += 1
        return 7_000_000 + self.numbers

    def of(self, record: RecordId, name: str, value: Any) -> Write | None:
        """Return the write that a value is from; None where there is no account of it."""
        return None if value is None else self.writes.get((record, name, canonical(value)))

    def wrote(
        self,
        record: RecordId,
        before: Mapping[str, Any] | None,
        fields: Mapping[str, Any],
        unseen: Iterable[str],
        blind: bool = False,
    ) -> None:
        """Note that somebody wrote `fields` with `before` in front of them, in which `unseen` were not adopted yet; `blind`: they
        wrote the whole document anew."""
        for name, value in fields.items():
            made = None
            if isinstance(value, int | list) or (isinstance(value, str) and _tells(value)):
                made = Write(record, name, canonical(value), blind=blind)
                self.writes[record, name, made.text] = made
            old = self.of(record, name, (before or {}).get(name))
            if old is not None and old is not made:
                old.over.append(made)
                old.slight = old.slight or name in unseen
                old.blind = old.blind or (blind and made is None)

    def deleted(self, record: RecordId, before: Mapping[str, Any] | None, unseen: Iterable[str]) -> None:
        """Note that somebody deleted the record with `before` in front of them."""
        for name, value in (before or {}).items():
            old = self.of(record, name, value)
            if old is not None:
                old.deleted = True
                old.slight = old.slight or name in unseen

    def brought_back(self, record: RecordId, name: str, value: Any) -> None:
        """Note that somebody decided a conflict for a value that was written before."""
        self.chosen.add((record, name, canonical(value)))

    def proposed(self, record: RecordId, name: str, value: Any) -> Write:
        """Return the write of a value that somebody decides on. It may be nowhere until they are told that it is done."""
        made = Write(record, name, canonical(value), exempt=True)
        return self.writes.setdefault(made.key, made)

    def follows(self, one: Write, other: Write) -> bool:
        """Return whether the author of one of the two had seen the other, or what was made of it."""
        return other in _on_top(one) or one in _on_top(other)

    def exempt(self, record: RecordId, name: str) -> None:
        """Keep no account of a field of a record any more: something was done to it that no rule covers."""
        for write in self.writes.values():
            if write.record == record and write.field == name:
                write.exempt = True

    def fates(self, found: Found) -> Counter[str]:
        """Return how many writes ended how; `lost` are those of which nothing is to be found."""
        return Counter(self._fate(write, found) for write in self.writes.values())

    def _fate(self, write: Write, found: Found) -> str:
        key = write.key
        if key in found.both:
            return "held by both sides"
        if write.over or write.deleted:
            return "overwritten by one who had seen it" if write.over else "deleted by one who had seen it"
        if key in found.conflicts:
            return "in a conflict"
        if key in found.letters:
            return "in a dead letter"
        if key in found.one:
            return "held by one side, with a dead letter"
        return "outside of the account" if write.exempt else "lost"

    def lost(self, found: Found) -> list[Write]:
        return [each for each in self.writes.values() if self._fate(each, found) == "lost"]

    def risen(self, found: Found) -> list[Write]:
        """Return the writes that both sides hold though somebody who had seen them replaced them for good."""
        writes = (self.writes.get(key) for key in sorted(found.both - found.declared - self.chosen))
        may_rise = [each for each in writes if each and not each.exempt]
        return [each for each in may_rise if self._replaced(each, found)]

    def _replaced(self, write: Write, found: Found) -> bool:
        """Return whether somebody replaced the value for good."""
        decided = write.record in self.decisions
        later = (each for each in write.over if each is not None and not (decided and _is_deleted(each)))
        return any(_stands(each, found) for each in later)


def _tells(value: str) -> bool:
    """Return whether a value says which write it is from; common ones and references do not."""
    return value.removeprefix(MARK).isdecimal() and not value.startswith(COMMON)


def _is_deleted(write: Write) -> bool:
    """Return whether somebody deleted a value, or what was made of it."""
    return any(each.deleted for each in (write, *_on_top(write)))


def _stands(write: Write, found: Found) -> bool:
    """Return whether a write has replaced what was there for good: it, or one on top of it, cannot have been lost, the other side
    has not refused it, and no policy has overruled it."""
    if write.key in found.letters or _is_overruled(write, found):
        return False
    return not write.may_be_gone or any(_stands(each, found) for each in write.over if each is not None)


def _is_overruled(write: Write, found: Found) -> bool:
    """Return whether a policy may have put a write aside with what came after it: one that lost a conflict, which may be a false
    one after a fault, a document written whole, of which the sync cannot know what its author had seen, or a delete, where
    the record lives on as the other side had it."""
    chain = (write, *_on_top(write))
    if any(each.key in found.beaten for each in chain):
        return True
    blind = (write.record, write.field) in found.overruled and any(each.blind for each in chain)
    return blind or (write.record in found.revived and any(each.deleted for each in chain))


def _on_top(write: Write) -> list[Write]:
    """Return every write on top of one, of which we know."""
    found: list[Write] = []
    waiting = [write]
    while waiting:
        for each in waiting.pop().over:
            if each is not None and each not in found:
                found.append(each)
                waiting.append(each)
    return found
