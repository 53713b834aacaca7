"""OJS journals: systems without a queue, one tenant each. What they show, and how a submission is written there. No policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

from shared.errors import BadRequest, TerminalRecord
from shared.model import Json
from shared.peers.ojs_client import Client, Denied, Journal
from shared.peers.ojs_reading import Reader, Row, Walk
from shared.peers.ojs_writing import Writer
from shared.peers.polled import Poll, Seen

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

    def reader(self, tenant: str | None) -> Reader:
        """Return what reads a tenant's journal."""
        if tenant not in self._readers:
            raise BadRequest(f"tenant: there is no journal {tenant!r}; there are: {', '.join(self._readers)}")
        return self._readers[tenant]

    def poll(self, tenant: str | None, entity: str, since: str | None) -> Iterator[Poll]:
        """Yield what a journal shows of an entity: of what has a clock, what moved since the checkpoint; else everything."""
        return _POLLS[entity](self.reader(tenant), since)

    def fetch(self, tenant: str | None, entity: str, externals: Sequence[str]) -> list[Seen]:
        """Return these records as they are now; those that are gone are left out.

        OJS denies a record that is gone just as one that an account may not see; so a list is asked for too, which fails
        if the account has lost its role.
        """
        reader, found = self.reader(tenant), list[Seen]()
        for part in _PARTS.get(entity, _own)(externals):
            try:
                found += _FETCHES[entity](reader, part)
            except Denied:
                reader.client.get("submissions", {"count": 1})
        return [each for each in found if each.external in externals]

    def write(self, tenant: str | None, entity: str, external: str | None, fields: Mapping[str, Json], key: str) -> Seen:
        """Write a submission's metadata, or make a draft of it, and return what is there afterwards."""
        if entity != "submission":
            raise TerminalRecord("read-only", f"OJS has no way to write a record of {entity!r}; change it in OJS itself")
        reader = self.reader(tenant)
        return reader.submission_seen(Writer(reader).write(external, fields, key))


def _journals(reader: Reader, since: str | None) -> Iterator[Poll]:
    yield Poll([reader.journal_seen()], complete=True)


def _profiles(reader: Reader, since: str | None) -> Iterator[Poll]:
    """Users have no date and no order by one: all of them, each time."""
    number = 0
    for page in reader.client.listed("users", USERS):
        number += len(page)
        yield Poll([reader.user_seen(each) for each in page])
    yield Poll([], complete=number >= reader.client.total("users"))


def _issues(reader: Reader, since: str | None) -> Iterator[Poll]:
    """An issue's clock is not in the list, and does not move when an article is put into it: all of them, each time."""
    number = 0
    for page in reader.client.listed("issues", {"orderBy": "lastModified"}):
        number += len(page)
        yield Poll([seen for each in page for seen in _or_gone(partial(_issue, reader, each["id"]))])
    yield Poll([], complete=number >= reader.client.total("issues"))


def _submissions(reader: Reader, since: str | None) -> Iterator[Poll]:
    walk = Walk()
    for page in reader.changed(since, walk):
        yield Poll([seen for row in page for seen in _or_gone(partial(_submission, reader, row["id"]))])
    yield Poll([], walk.latest or None, walk.whole)


def _reviews(reader: Reader, since: str | None) -> Iterator[Poll]:
    walk = Walk()
    for page in reader.changed(since, walk):
        yield Poll([seen for row in page for seen in _or_gone(partial(reader.reviews_seen, row["id"]))])
    yield Poll([], walk.latest or None, walk.whole and reader.version not in HIDES_REVIEWS)


def _comments(reader: Reader, since: str | None) -> Iterator[Poll]:
    """Notes move no clock: of open submissions, each time; of all, whenever there is no checkpoint. Only 3.6 shows any."""
    if reader.version != "3.6":
        yield Poll([], since)
        return
    walk = Walk()
    for page in reader.changed(None, walk):
        rows = [row for row in page if since is None or row.get("status") in OPEN]
        yield Poll([seen for row in rows for seen in _or_gone(partial(reader.comments_seen, row))])
    yield Poll([], walk.latest or None, walk.whole and since is None)


def _or_gone(read: Callable[[], list[Seen]]) -> list[Seen]:
    """Return what a record of the list shows; nothing where it has gone since."""
    try:
        return read()
    except Denied:
        return []


def _submission(reader: Reader, id: int | str) -> list[Seen]:
    return [reader.submission_seen(id)]


def _issue(reader: Reader, id: int | str) -> list[Seen]:
    return [reader.issue_seen(id)]


def _comment(reader: Reader, submission: str) -> list[Seen]:
    row: Row = reader.submission(submission)
    return reader.comments_seen(row)


def _profile(reader: Reader, whole: str) -> list[Seen]:
    """Read the journal's own list: a single user is shown from the whole installation, and with their API key."""
    pages = reader.client.listed("users", USERS)
    return [reader.user_seen(each) for page in pages for each in page]


def _own(externals: Sequence[str]) -> list[str]:
    return list(externals)


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
_FETCHES: Mapping[str, Callable[[Reader, str], list[Seen]]] = {
    "journal": lambda reader, _: [reader.journal_seen()],
    "profile": _profile,
    "issue": _issue,
    "submission": _submission,
    "review": lambda reader, submission: reader.reviews_seen(submission),
    "comment": _comment,
}
_PARTS: Mapping[str, Callable[[Sequence[str]], list[str]]] = {
    "profile": lambda externals: [""] if externals else [],
    "review": _of_submissions,
    "comment": _of_submissions,
}
"""What is asked for one by one, where that is not each record."""
ENTITIES = tuple(_POLLS)
