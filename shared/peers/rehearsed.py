"""A system as a dry run sees it: it shows what is there, and what was written to it is kept here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from shared.errors import TerminalRecord
from shared.model import Json
from shared.peers.system import Poll, Remover, Seen, System

Place = tuple[str | None, str, str]


class Rehearsed:
    """A system to which nothing is written. What it would refuse, or not keep, is not foreseen."""

    def __init__(self, system: System) -> None:
        self.system, self.name, self.writable = system, system.name, system.writable
        self.written: dict[Place, Seen | None] = {}

    def now(self) -> datetime:
        """Return the system's time."""
        return self.system.now()

    def poll(self, tenant: str | None, entity: str, since: str | None) -> Iterator[Poll]:
        """Yield what the system shows."""
        return self.system.poll(tenant, entity, since)

    def fetch(self, tenant: str | None, entity: str, externals: Sequence[str]) -> list[Seen]:
        """Return the records as they would be by now."""
        shown = {each.external: each for each in self.system.fetch(tenant, entity, externals)}
        played = {external: self.written.get((tenant, entity, external), shown.get(external)) for external in externals}
        return [each for each in played.values() if each is not None]

    def write(self, tenant: str | None, entity: str, external: str | None, fields: Mapping[str, Json], key: str) -> Seen:
        """Keep what would be written here, and return what would be there."""
        before = self.fetch(tenant, entity, [external]) if external is not None else []
        seen = (
            replace(before[0], fields={**before[0].fields, **fields}) if before else Seen(external or f"new:{key}", dict(fields))
        )
        self.written[tenant, entity, seen.external] = seen
        return seen

    def remove(self, tenant: str | None, entity: str, external: str) -> None:
        """Take note that the record would be gone."""
        if not isinstance(self.system, Remover):
            raise TerminalRecord("no-delete", f"{self.name}: a record cannot be deleted there by the sync; do it by hand")
        self.written[tenant, entity, external] = None
