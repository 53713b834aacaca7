"""Reads one OJS journal: its version, which records changed, and each of them whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.errors import TerminalBatch
from shared.model import parse_instant
from shared.peers import ojs_shapes as shapes
from shared.peers.ojs_client import Client, Denied
from shared.peers.polled import Seen

OVERLAP = timedelta(hours=2)
"""How far before its checkpoint a poll begins: activity is told to the second, and an hour comes twice a year."""
MOMENT = "%Y-%m-%d %H:%M:%S"
ACTIVITY = {"3.3": "dateLastActivity"}
"""How the order by activity is called; `lastActivity` from 3.4 on. A wrong name is ignored without a word."""
DONE = frozenset({7, 8, 9})
"""States of a review assignment in which its review has been handed in."""
Row = Mapping[str, Any]


@dataclass
class Walk:
    """A walk over a journal's submissions: what it noted on the way."""

    latest: str = ""
    """The largest activity that was seen, as OJS writes it."""
    whole: bool = False
    """Whether every submission was listed, as far as can be told."""
    seen: set[int] = field(default_factory=set)


@dataclass
class Reader:
    """Reads a journal. `now` caps what a server's clock says that runs ahead."""

    client: Client
    now: Callable[[], datetime]
    _version: str | None = None

    @property
    def version(self) -> str:
        """`3.3`, `3.4`, `3.5` or `3.6`, told by how the journal answers, since no endpoint says so; asked once an instance."""
        if self._version is None:
            rows = self._first_page()
            found = self._asked(rows)
            if not rows:
                return found
            self._version = found
        return self._version

    def _first_page(self) -> list[dict[str, Any]]:
        return next(iter(self.client.listed("submissions", {})), [])

    def _asked(self, rows: list[dict[str, Any]]) -> str:
        if self.client.answered("submissions/0") == 401:  # 403 up to 3.4
            return "3.6" if self.client.answered("reviewers/recommendations") == 200 else "3.5"
        if rows:
            return "3.4" if "locale" in rows[0] else "3.3"
        locales = self.context().get("supportedLocales") or []
        return "3.3" if all(re.fullmatch(r"[a-z]{2}_[A-Z]{2}", locale) for locale in locales) else "3.4"

    def context(self) -> Row:
        """Return the journal's settings, whole and as they come; TerminalBatch if it is not the journal that was meant."""
        meant = self.client.journal
        try:
            row: Row = self.client.get(f"contexts/{meant.context}")
        except Denied:
            raise TerminalBatch(
                f"{meant.at}: its OJS id is not {meant.context}, or the token's account may not see its settings; "
                f"write the id that {meant.url}/api/v1/contexts?isEnabled=1 lists for it"
            ) from None
        if row.get("urlPath") not in meant.url.rstrip("/").split("/"):
            raise TerminalBatch(f"{meant.at}: OJS id {meant.context} is the journal at another path; mend the address or the id")
        return row

    def changed(self, since: str | None, walk: Walk) -> Iterator[list[dict[str, Any]]]:
        """Yield the submissions with activity since a checkpoint, newest first, or all; as the list has them.

        What OJS lists must be in order: where it is not, the walk goes on to the end. A full walk goes by another order
        too, if it met fewer than OJS counts: there is no tie-breaker, and pages of equal rows may overlap.
        """
        walk.latest = since or ""
        if since:
            yield from self._recent(since, walk)
            return
        expected = self.client.total("submissions")
        yield from self._pages({"orderBy": "dateSubmitted", "orderDirection": "ASC"}, walk)
        if len(walk.seen) < expected:
            yield from self._pages({"orderBy": "lastModified", "orderDirection": "DESC"}, walk)
        walk.whole = len(walk.seen) >= expected

    def _recent(self, since: str, walk: Walk) -> Iterator[list[dict[str, Any]]]:
        until = _earlier(since)
        in_order, last = True, "9"
        for page in self._pages({"orderBy": ACTIVITY.get(self.version, "lastActivity"), "orderDirection": "DESC"}, walk):
            for row in page:
                in_order, last = in_order and _activity(row) <= last, _activity(row)
            if in_order and last < until:
                yield [row for row in page if _activity(row) >= until]
                return
            yield page
        walk.whole = True

    def _pages(self, query: Mapping[str, str], walk: Walk) -> Iterator[list[dict[str, Any]]]:
        for page in self.client.listed("submissions", query):
            new = [self.own(row, "contextId") for row in page if row["id"] not in walk.seen]
            walk.seen.update(row["id"] for row in new)
            walk.latest = max([walk.latest, *map(_activity, new)])
            if new:
                yield new

    def own(self, row: Any, name: str) -> dict[str, Any]:
        """Return a record of this journal; TerminalBatch for one of another: addresses or ids are mixed up."""
        meant = self.client.journal
        if not isinstance(row, dict) or row.get(name) != meant.context:
            raise TerminalBatch(
                f"{meant.at}: shows a record of OJS id {row.get(name) if isinstance(row, dict) else None}, and this journal's is "
                f"{meant.context}; nothing of it was taken. Mend the address or the id"
            )
        return row

    def submission(self, id: int | str) -> dict[str, Any]:
        """Return a submission whole."""
        return self.own(self.client.get(f"submissions/{id}"), "contextId")

    def publication(self, row: Row, id: int | None = None) -> dict[str, Any]:
        """Return a submission's current publication, or another, whole."""
        found: dict[str, Any] = self.client.get(f"submissions/{row['id']}/publications/{id or row['currentPublicationId']}")
        return found

    def submission_seen(self, id: int | str) -> Seen:
        """Return a submission with its current publication."""
        row = self.submission(id)
        publication, zone = self.publication(row), self.client.journal.zone
        at = shapes.moment(publication.get("lastModified"), zone)
        return Seen(str(row["id"]), shapes.submission(row, publication, zone), at=self._by_now(at))

    def reviews_seen(self, id: int | str) -> list[Seen]:
        """Return a submission's review assignments."""
        row = self.submission(id)
        shown = row.get("reviewAssignments") or []
        return [Seen(f"{row['id']}-{each['id']}", shapes.review(each, row, self._text(row, each))) for each in shown]

    def _text(self, row: Row, review: Row) -> Row | None:
        """Return a review's text; None where this version or this review shows none, and it is not known."""
        if self.version != "3.6" or review.get("statusId") not in DONE:
            return None
        try:
            found: Row = self.client.get(f"submissions/{row['id']}/reviewAssignments/{review['id']}/review")
        except Denied:
            return None
        return found

    def comments_seen(self, row: Row) -> list[Seen]:
        """Return the notes in a submission's discussions; only 3.6 shows any."""
        found: list[Seen] = []
        stages = [each["id"] for each in row.get("stages") or self.submission(row["id"]).get("stages") or []]
        for stage in stages:
            for task in self.client.get(f"submissions/{row['id']}/stages/{stage}/tasks").get("items") or []:
                found += self._notes(row, task)
        return found

    def _notes(self, row: Row, task: Row) -> list[Seen]:
        zone = self.client.journal.zone
        shown = [(each, shapes.comment(each, task, row, zone)) for each in task.get("notes") or []]
        return [
            Seen(f"{row['id']}-{task['id']}-{each['id']}", fields, at=self._by_now(fields["edited_at"])) for each, fields in shown
        ]

    def issue_seen(self, id: int | str) -> Seen:
        """Return an issue with its articles."""
        row = self.own(self.client.get(f"issues/{id}"), "journalId")
        zone = self.client.journal.zone
        return Seen(str(row["id"]), shapes.issue(row), at=self._by_now(shapes.moment(row.get("lastModified"), zone)))

    def user_seen(self, row: Row) -> Seen:
        """Return a user of the journal's list. Whoever has the same e-mail address elsewhere is the same person."""
        key = shapes.person(row.get("email"), self.client.journal.url, row["id"])
        return Seen(str(row["id"]), shapes.user(row), key=key)

    def journal_seen(self) -> Seen:
        """Return the journal's settings."""
        row = self.context()
        return Seen(str(row["id"]), shapes.journal(row, self.version), key=self.client.journal.slug)

    def _by_now(self, at: str | None) -> datetime | None:
        return min(parse_instant(at), self.now()) if at else None


def _activity(row: Row) -> str:
    return str(row.get("dateLastActivity") or "")[:19]


def _earlier(since: str) -> str:
    return (datetime.strptime(since, MOMENT) - OVERLAP).strftime(MOMENT)  # noqa: DTZ007  # OJS names no zone, and none is needed
