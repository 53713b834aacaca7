"""A system without a queue, in memory: gives its own ids, shows its records when asked, and has users of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.errors import TerminalRecord
from shared.model import Json, Problem
from shared.peers.system import Poll, Seen

Table = tuple[str | None, str]


@dataclass
class Row:
    fields: dict[str, Json]
    key: str | None
    at: datetime
    number: int


@dataclass
class MemorySystem:
    """`fault` is called before and after every call. `knows_keys`: it keeps the key that a record was created under.
    `numbered`: it gives ids of its own, else its users do. `keeps` is what becomes of a field's value that is written."""

    now: Callable[[], datetime]
    name: str = "polled"
    writable: bool = True
    page_size: int = 500
    knows_keys: bool = False
    tells_time: bool = False
    fault: Callable[[str], None] = lambda _: None
    keeps: Callable[[str, Json], Json] = lambda name, value: value
    malformed: Mapping[str, Problem] = field(default_factory=dict)
    tables: dict[Table, dict[str, Row]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def _table(self, tenant: str | None, entity: str) -> dict[str, Row]:
        return self.tables.setdefault((tenant, entity), {})

    def _call(self, name: str) -> None:
        self.calls.append(name)
        self.fault(name)

    def _seen(self, external: str, row: Row) -> Seen:
        key = row.key if self.knows_keys else None
        return Seen(external, dict(row.fields), key, row.at if self.tells_time else None)

    def poll(self, tenant: str | None, entity: str, since: str | None) -> Iterator[Poll]:
        self._call("poll")
        rows = [each for each in self._table(tenant, entity).items() if since is None or each[1].number > int(since)]
        last = max([row.number for _, row in rows], default=int(since or 0))
        for start in range(0, max(len(rows), 1), self.page_size):
            some = [self._seen(*each) for each in rows[start : start + self.page_size]]
            done = start + self.page_size >= len(rows)
            yield Poll(some, str(last) if done else None, done and since is None, self.malformed)
            self._call("polled")

    def fetch(self, tenant: str | None, entity: str, externals: Sequence[str]) -> list[Seen]:
        self._call("fetch")
        table = self._table(tenant, entity)
        found = [self._seen(external, table[external]) for external in externals if external in table]
        self._call("fetched")
        return found

    def write(self, tenant: str | None, entity: str, external: str | None, fields: Mapping[str, Json], key: str) -> Seen:
        self._call("write")
        for name, value in fields.items():
            if isinstance(value, int):
                raise TerminalRecord("type", f"field {name!r} is no text", name)
        external = external or self._made_under(tenant, entity, key) or f"e{next(self.numbers)}"
        self.user_writes(tenant, entity, external, {name: self.keeps(name, value) for name, value in fields.items()}, key)
        self._call("written")
        return self._seen(external, self._table(tenant, entity)[external])

    def remove(self, tenant: str | None, entity: str, external: str) -> None:
        self._call("remove")
        self._table(tenant, entity).pop(external, None)
        self._call("removed")

    def _made_under(self, tenant: str | None, entity: str, key: str) -> str | None:
        rows = self._table(tenant, entity).items()
        return next((external for external, row in rows if self.knows_keys and row.key == key), None)

    # Its own users

    def user_writes(
        self, tenant: str | None, entity: str, external: str, fields: Mapping[str, Json], key: str | None = None
    ) -> None:
        table = self._table(tenant, entity)
        old = table.get(external)
        kept = {**(old.fields if old else {}), **fields}
        table[external] = Row(kept, old.key if old else key, self.now(), next(self.numbers))
