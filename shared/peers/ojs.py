"""OJS journals: systems without a queue, one tenant each. What they show, and how a submission is written there. No policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from shared.errors import TerminalRecord, Transient
from shared.model import Json
from shared.peers.ojs_client import Client, Denied, Journal
from shared.peers.ojs_reading import Reader, Row, Shown, Walk
from shared.peers.ojs_writing import Writer
from shared.peers.system import Poll, Seen

T = TypeVar("T")
OPEN = frozenset({1, 5})
"""States of a submission (queued, scheduled) in which people discuss it."""
USERS = {"orderBy": "id", "orderDirection": "ASC", "status": "all"}
HIDES_REVIEWS = frozenset({"3.3", "3.4"})
"""Versions that leave out assignments that were declined or cancelled, so that what is missing is not gone."""


class Ojs:
    """All journals of a peer. The clients are made once; each journal is asked with its own address and token."""

    writable = True

    def __init__(self, name: str, journals: Mapping[str, Journal], now: Callable[[], datetime]) -> None:
        self.name, self.now = name, now
        self._readers = {slug: Reader(Client(journal), now) for slug, journal in journals.items()}

    @property
    def tenants(self) -> tuple[str, ...]:
        """The journals that can be asked."""
        return tuple(self._readers)

    def reader(self, tenant: str | None) -> Reader:
        """Return what reads a tenant's journal."""
        if tenant not in self._readers:
            raise Transient(f"journal {tenant!r} is not to be asked now: sync.yaml switches it off, or does not name it")
        return self._readers[tenant]

    def greet(self, tenant: str) -> str:
        """Return the version of a journal that is the right one and lets us in."""
        reader = self.reader(tenant)
        reader.context()
        return f"OJS {reader.version}"

    def poll(self, tenant: str | None, entity: str, since: str | None) -> Iterator[Poll]:
        """Yield what a journal shows of an entity: of what has a clock, what moved since the checkpoint; else everything."""
        return _POLLS[entity](self.reader(tenant), since)

    def fetch(self, tenant: str | None, entity: str, externals: Sequence[str]) -> list[Seen]:
        """Return these records as they are now; those that are gone, or can be no record, are left out.

        OJS denies a record that is gone just as one that an account may not see; so a list is asked for too, which fails
        if the account has lost its role.
        """
        reader, shown = self.reader(tenant), Shown()
        for part in _PARTS.get(entity, list)(externals):
            try:
                _SHOW[entity](reader, part, shown)
            except Denied:
                reader.client.get("submissions", {"count": 1})
        return [each for each in shown.seen if each.external in externals]

    def write(self, tenant: str | None, entity: str, external: str | None, fields: Mapping[str, Json], key: str) -> Seen:
        """Write a submission's metadata, or make a draft of it, and return what is there afterwards."""
        if entity != "submission":
            raise TerminalRecord("read-only", f"OJS has no way to write a record of {entity!r}; change it in OJS itself")
        reader = self.reader(tenant)
        found = self.fetch(tenant, entity, [Writer(reader).write(external, fields, key)])
        if not found:
            raise Transient("OJS took the write and does not show the record; the next poll tells what became of it")
        return found[0]


def _journals(reader: Reader, since: str | None) -> Iterator[Poll]:
    shown = Shown()
    reader.show_journal(shown)
    yield replace(shown.poll(), complete=True)


def _profiles(reader: Reader, since: str | None) -> Iterator[Poll]:
    """Users have no date and no order by one: all of them, each time."""
    number = 0
    for page in reader.client.listed("users", USERS):
        number += len(page)
        yield _shown(page, reader.show_user)
    yield Poll(complete=number >= reader.client.total("users"))


def _issues(reader: Reader, since: str | None) -> Iterator[Poll]:
    """An issue's clock is not in the list, and does not move when an article is put into it: all of them, each time."""
    number = 0
    for page in reader.client.listed("issues", {"orderBy": "lastModified"}):
        number += len(page)
        yield _shown(_ids(page), reader.show_issue)
    yield Poll(complete=number >= reader.client.total("issues"))


def _submissions(reader: Reader, since: str | None) -> Iterator[Poll]:
    walk = Walk()
    for page in reader.changed(since, walk):
        yield _shown(_ids(page), reader.show_submission)
    yield Poll((), walk.latest or None, walk.whole)


def _reviews(reader: Reader, since: str | None) -> Iterator[Poll]:
    walk = Walk()
    for page in reader.changed(since, walk):
        yield _shown(_ids(page), reader.show_reviews)
    yield Poll((), walk.latest or None, walk.whole and reader.version not in HIDES_REVIEWS)


def _comments(reader: Reader, since: str | None) -> Iterator[Poll]:
    """Notes move no clock: of open submissions, each time; of all, whenever there is no checkpoint. Only 3.6 shows any."""
    if reader.version != "3.6":
        yield Poll((), since)
        return
    walk = Walk()
    for page in reader.changed(None, walk):
        yield _shown([row for row in page if since is None or row.get("status") in OPEN], reader.show_comments)
    yield Poll((), walk.latest or None, walk.whole and since is None)


def _shown(parts: Sequence[T], show: Callable[[T, Shown], None]) -> Poll:
    """Return what is shown of some records of a list; nothing of those that have gone since."""
    shown = Shown()
    for part in parts:
        try:
            show(part, shown)
        except Denied:
            continue
    return shown.poll()


def _ids(page: Sequence[Row]) -> list[int]:
    return [row["id"] for row in page]


def _comment(reader: Reader, submission: str, shown: Shown) -> None:
    reader.show_comments(reader.submission(submission), shown)


def _profile(reader: Reader, whole: str, shown: Shown) -> None:
    """Read the journal's own list: a single user is shown from the whole installation, and with their API key."""
    for page in reader.client.listed("users", USERS):
        for each in page:
            reader.show_user(each, shown)


def _of_submissions(externals: Sequence[str]) -> list[str]:
    """Return the submissions that hold these reviews or notes."""
    return sorted({external.partition("-")[0] for external in externals})


_POLLS: Mapping[str, Callable[[Reader, str | None], Iterator[Poll]]] = {
    "journal": _journals,
    "profile": _profiles,
    "issue": _issues,
    "submission": _submissions,
    "review": _reviews,
    "comment": _comments,
}
_SHOW: Mapping[str, Callable[[Reader, str, Shown], None]] = {
    "journal": lambda reader, _, shown: reader.show_journal(shown),
    "profile": _profile,
    "issue": Reader.show_issue,
    "submission": Reader.show_submission,
    "review": Reader.show_reviews,
    "comment": _comment,
}
_PARTS: Mapping[str, Callable[[Sequence[str]], list[str]]] = {
    "profile": lambda externals: [""] if externals else [],
    "review": _of_submissions,
    "comment": _of_submissions,
}
"""What is asked for one by one, where that is not each record."""
ENTITIES = tuple(_POLLS)
