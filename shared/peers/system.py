"""What a system without a queue has to offer to be kept in step: to be asked, and where it can, to be written to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from shared.model import Json, Problem


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as such a system shows it."""

    external: str
    """Its id there, unique within tenant and entity."""
    fields: Mapping[str, Json]
    """By the pair's names, in JSON form; what is missing is null."""
    key: str | None = None
    """The key in the pair where it follows from the record itself; None: it is the external id."""
    at: datetime | None = None
    """When the system says that it was changed last; None: when it was seen."""


@dataclass(frozen=True, slots=True)
class Poll:
    """A page of what a system shows.

    On the last page: the checkpoint to go on from, and whether the poll was a complete, successful list, so that what it lacks
    is missing there. `malformed` says, by external id, what was shown and can be no record.
    """

    seen: Sequence[Seen] = ()
    checkpoint: str | None = None
    complete: bool = False
    malformed: Mapping[str, Problem] = field(default_factory=dict)


class System(Protocol):
    """One system, in one file, with no policy. Every method may raise Transient (later, perhaps) and TerminalBatch (somebody
    must mend something first); of one tenant, that stops only this tenant."""

    @property
    def name(self) -> str:
        """The peer's name."""
        ...

    @property
    def writable(self) -> bool:
        """Whether it takes changes at all."""
        ...

    def poll(self, tenant: str | None, entity: str, since: str | None) -> Iterator[Poll]:
        """Yield what was changed since the checkpoint `since`, with some overlap; everything where that is None."""
        ...

    def fetch(self, tenant: str | None, entity: str, externals: Sequence[str]) -> list[Seen]:
        """Return these records as they are now; those that are gone are left out."""
        ...

    def write(self, tenant: str | None, entity: str, external: str | None, fields: Mapping[str, Json], key: str) -> Seen:
        """Create the record (no external id) or update these fields of it; return what is there afterwards.

        TerminalRecord if it is refused. A create looks first for what an earlier one made under this key, where it can.
        """
        ...

    def now(self) -> datetime:
        """Return the system's time."""
        ...


@runtime_checkable
class Remover(Protocol):
    """A system in which records can be deleted."""

    def remove(self, tenant: str | None, entity: str, external: str) -> None:
        """Delete the record; nothing to do if it is gone."""
        ...


@runtime_checkable
class Greeter(Protocol):
    """A system whose tenants can each be asked whether they let us in, without reading any record."""

    def greet(self, tenant: str) -> str:
        """Return what the tenant says of itself, for people. Raises as the other calls do."""
        ...
