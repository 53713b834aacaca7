"""A stand-in that serves, and the library's system for the journals in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from ojs.sample import NAMES, installation, journal_of, token_of
from ojs.server import serving
from ojs.site import Journal, Row, Site
from shared.model import Problem
from shared.peers.ojs import Ojs
from shared.peers.ojs_client import Journal as Address
from shared.peers.system import Poll, Seen
from shared.retry import Backoff


@dataclass
class Polled:
    """All that a poll showed."""

    seen: list[Seen]
    last: Poll
    malformed: Mapping[str, Problem]

    @property
    def ids(self) -> list[str]:
        """The external ids."""
        return [each.external for each in self.seen]

    def fields(self, external: str) -> Mapping[str, object]:
        """Return what was last shown of a record."""
        return {each.external: each.fields for each in self.seen}[external]


@dataclass
class Desk:
    """One journal of a stand-in, and how the library sees it."""

    site: Site
    journal: Journal
    url: str
    system: Ojs
    waits: list[float] = field(default_factory=list)

    def poll(self, entity: str, since: str | None = None) -> Polled:
        """Poll the journal to the end."""
        pages = list(self.system.poll(self.journal.path, entity, since))
        malformed = {external: each for page in pages for external, each in page.malformed.items()}
        return Polled([seen for page in pages for seen in page.seen], pages[-1], malformed)

    def write(self, external: str | None, key: str = "portal-1", **fields: object) -> Seen:
        """Write a submission."""
        return self.system.write(self.journal.path, "submission", external, fields, key)

    def submissions(self) -> list[Row]:
        """Return the journal's submissions as they are in OJS."""
        return [each for each in self.site.submissions.values() if each["contextId"] == self.journal.id]


def address(site: Site, journal: Journal, server: str, token: str | None = None, **other: object) -> Address:
    """Return where a journal is and how to get in."""
    settings: dict[str, object] = {"url": f"{server}/index.php/{journal.path}", "context": journal.id, "zone": site.zone}
    key = token or token_of(journal.path)
    return Address(journal.path, token=lambda: key, **(settings | other))  # type: ignore[arg-type]


def system(
    addresses: Mapping[str, Address], waits: list[float] | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Ojs:
    """Return the library's system over these journals; it does not wait, but notes for how long it would have."""
    noted = [] if waits is None else waits
    made = Ojs("ojs", addresses, now)
    for slug in addresses:
        client = made.reader(slug).client
        client.sleep, client.chance, client.backoff = noted.append, lambda: 1.0, Backoff(3)
    return made


@contextmanager
def desk(version: str, zone: str = "UTC") -> Iterator[Desk]:
    """Serve the sample installation of a version meanwhile."""
    site = installation(version, *NAMES[version])
    site.zone = ZoneInfo(zone)
    journal = journal_of(site)
    with serving(site) as url:
        waits: list[float] = []
        yield Desk(site, journal, url, system({journal.path: address(site, journal, url)}, waits), waits)


@contextmanager
def desks(*versions: str) -> Iterator[list[Desk]]:
    """Serve several."""
    with ExitStack() as exits:
        yield [exits.enter_context(desk(version)) for version in versions]
