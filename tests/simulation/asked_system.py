"""A system without a queue, in memory, with the traps that such systems have; behind the simulation's network.

Its lists are in no order of activity, and paged by offset while others come and go; they may be cut short, empty, or lack what
can be fetched all the same. Some edits move no clock. It may drop what it is sent, or put it in another form, without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zlib import crc32

from shared.errors import TerminalBatch, TerminalRecord, Transient
from shared.model import Json
from shared.peers.system import Poll, Seen
from simulation.faults import Fault

PAGE = 2


@dataclass(frozen=True)
class Nature:
    """What such a system is like. `knows_keys`: it keeps the key that a record was created under and shows it. `tells_time`: it
    says when a record was changed. `drops`: now and then it keeps a new `c` not at all, and lower-cases a new `b`."""

    knows_keys: bool = False
    tells_time: bool = False
    drops: bool = False
    removes: bool = True
    writable: bool = True


@dataclass(frozen=True)
class Row:
    """A record. `key` is the one that it was created under, `number` its place in the order of activity."""

    fields: dict[str, Json]
    key: str | None
    at: datetime
    number: int


@dataclass
class Trouble:
    """What is wrong with it, until it is mended. `unlisted` cannot be listed, `denied` cannot be fetched either."""

    maintenance: bool = False
    half: bool = False
    empty: bool = False
    unlisted: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)


class AskedSystem:
    """Behaves as `System` says. `gate` lets the scheduler say what befalls a call, and when it is made."""

    def __init__(self, nature: Nature, now: Callable[[], datetime], gate: Callable[[str, Callable[[Fault | None], Any]], Any]):
        self.nature, self.now, self.gate = nature, now, gate
        self.name, self.writable = "polled", nature.writable
        self.rows: dict[str, Row] = {}
        self.trouble = Trouble()
        self.numbers = 0
        self.made_twice: set[str] = set()
        """Keys of records that the sync made and does not know of: the answer of the create was lost to it, and what it made was
        edited before a poll came, so that it is taken for somebody else's, and made again."""
        self.first_values: set[str] = set()
        """Values with which the sync made records here."""
        self.reader: Callable[[], str] = str
        """Who is asking."""
        self.read: dict[tuple[str, str], Mapping[str, Json]] = {}
        """What each record held when it was last fetched, by who asked."""
        self.unread: list[tuple[str, Json]] = []
        """Fields and values that a write of the sync went over and that came after it had looked: such a system knows no
        precondition, so nothing can be done about that."""

    def next(self) -> int:
        """Return the next number of anything."""
        self.numbers += 1
        return self.numbers

    def _call(self, name: str, act: Callable[[], Any]) -> Any:
        return self.gate(f"system {name}", lambda fault: self._under(fault, act))

    def _under(self, fault: Fault | None, act: Callable[[], Any]) -> Any:
        if self.trouble.maintenance:
            raise Transient("polled: it shows a web page where data should be")
        if fault is None:
            return act()
        if fault.kind == "doubled":
            act()
            return act()
        if fault.kind == "lost answer":
            act()
            raise Transient("polled: no answer in time")
        if fault.detail % 5 == 4:
            raise TerminalBatch("polled: it refuses its own token")
        raise Transient("polled: no answer")

    def poll(self, tenant: str | None, entity: str, since: str | None) -> Iterator[Poll]:
        total: int = self._call("count", lambda: len(self._listed()))
        shown: dict[str, Row] = {}
        start, last = 0, int(since or 0)
        while True:
            page, cut = self._call(f"list from {start}", lambda start=start: self._page(start))
            new = {external: row for external, row in page.items() if external not in shown}
            shown |= new
            last = max([last, *(row.number for row in new.values())])
            yield Poll([self._seen(*each) for each in new.items() if since is None or each[1].number > int(since)])
            if cut:
                raise Transient("polled: the list was cut off")
            if len(page) < PAGE:
                break
            start += PAGE
        yield Poll((), str(last), since is None and len(shown) >= total)

    def _listed(self) -> dict[str, Row]:
        if self.trouble.empty:
            return {}
        listed = {external: row for external, row in self.rows.items() if external not in self.trouble.unlisted}
        return dict(sorted(listed.items(), key=lambda each: crc32(each[0].encode())))

    def _page(self, start: int) -> tuple[dict[str, Row], bool]:
        page = list(self._listed().items())[start : start + PAGE]
        return dict(page), self.trouble.half and start > 0

    def fetch(self, tenant: str | None, entity: str, externals: Sequence[str]) -> list[Seen]:
        shown = [each for each in externals if each not in self.trouble.denied]
        return list(self._call("fetch", lambda: self._fetched(shown)))

    def _fetched(self, externals: Sequence[str]) -> list[Seen]:
        found = [each for each in dict.fromkeys(externals) if each in self.rows]
        self.read |= {(self.reader(), each): self.rows[each].fields for each in found}
        return [self._seen(each, self.rows[each]) for each in found]

    def _seen(self, external: str, row: Row) -> Seen:
        nature = self.nature
        return Seen(external, row.fields, row.key if nature.knows_keys else None, row.at if nature.tells_time else None)

    def write(self, tenant: str | None, entity: str, external: str | None, fields: Mapping[str, Json], key: str) -> Seen:
        name = "POST write" if self.nature.knows_keys or external else "write that must not come twice"
        seen: Seen = self._call(name, lambda: self._write(external, fields, key))
        return seen

    def _write(self, external: str | None, fields: Mapping[str, Json], key: str) -> Seen:
        odd = next((name for name, value in fields.items() if isinstance(value, int)), None)
        if odd:
            raise TerminalRecord("type", f"field {odd!r} is no text", odd)
        if external is None:
            self.first_values |= {str(value) for value in fields.values()}
            made = next((each for each, row in self.rows.items() if row.key == key), None)
            external = made if self.nature.knows_keys and made else f"e{self.next()}"
            if made not in {None, external}:
                self.made_twice.add(key)
        self._go_over(external, fields)
        kept = {name: value for name, value in fields.items() if not (self._drops() and name == "c")}
        if self._drops() and isinstance(kept.get("b"), str):
            kept["b"] = str(kept["b"]).lower()
        self.put(external, kept, key)
        return self._seen(external, self.rows[external])

    def _go_over(self, external: str, names: Iterable[str]) -> None:
        row, read = self.rows.get(external), self.read.get((self.reader(), external), {})
        held = {name: row.fields.get(name) for name in names} if row else {}
        self.unread += [(name, value) for name, value in held.items() if value is not None and value != read.get(name)]

    def _drops(self) -> bool:
        return self.nature.drops and self.numbers % 4 == 3

    def put(self, external: str, fields: Mapping[str, Json], key: str | None = None, quietly: bool = False) -> None:
        """Make a record or change fields of it; `quietly`: no clock moves."""
        old = self.rows.get(external)
        at, number = (old.at, old.number) if old and quietly else (self.now(), self.next())
        self.rows[external] = Row({**(old.fields if old else {}), **fields}, old.key if old else key, at, number)


class RemovingSystem(AskedSystem):
    """One in which records can be deleted."""

    def remove(self, tenant: str | None, entity: str, external: str) -> None:
        self._call("POST remove", lambda: self._remove(external))

    def _remove(self, external: str) -> None:
        self._go_over(external, self.rows[external].fields if external in self.rows else ())
        self.rows.pop(external, None)
