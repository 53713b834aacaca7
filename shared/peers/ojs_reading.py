"""Reads one OJS journal: its version, which records changed, and each of them whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from shared.errors import TerminalBatch, TerminalRecord
from shared.model import Json, Problem, parse_instant
from shared.peers import ojs_shapes as shapes
from shared.peers.ojs_client import Client, Denied
from shared.peers.system import Poll, Seen

OVERLAP = timedelta(hours=2)
"""How far before its checkpoint a poll begins: activity is told to the second, and an hour comes twice a year."""
MOMENT = "%Y-%m-%d %H:%M:%S"
ACTIVITY = {"3.3": "dateLastActivity"}
"""How the order by activity is called; `lastActivity` from 3.4 on. A wrong name is ignored without a word."""
DONE = frozenset({7, 8, 9})
"""States of a review assignment in which its review has been handed in."""
GIVE_AN_ACCOUNT = "give the connector an account of its own, that is manager of the journal and nothing else"
Row = Mapping[str, Any]


@dataclass
class Shown:
    """What is shown of some records, and what of them can be no record."""

    seen: list[Seen] = field(default_factory=list)
    malformed: dict[str, Problem] = field(default_factory=dict)

    def add(
        self, external: object, fields: Callable[[], Mapping[str, Json]], key: str | None = None, at: datetime | None = None
    ) -> None:
        """Add a record. What goes wrong with it stands in the way of no other."""
        try:
            self.seen.append(Seen(str(external), fields(), key, at))
        except TerminalRecord as error:
            self.malformed[str(external)] = Problem(error.code, str(error))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            said = f"OJS shows it in a form that is not its own ({type(error).__name__}); look at it there"
            self.malformed[str(external)] = Problem("malformed", said)

    def poll(self) -> Poll:
        """Return it as a page of a poll."""
        return Poll(self.seen, malformed=self.malformed)


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
            self.client.get("submissions", {"count": 1})  # if it is the token, this says so
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

    def show_submission(self, id: int | str, shown: Shown) -> None:
        """Show a submission with its current publication. A draft that the sync made has the key that it was made for."""
        row = self.submission(id)
        publication, zone = self.publication(row), self.client.journal.zone
        at = shapes.moment(publication.get("lastModified"), zone)
        key = shapes.marked(row.get("commentsForTheEditors"), self.client.journal.token())
        shown.add(row["id"], lambda: shapes.submission(row, publication, zone), key, self._by_now(at))

    def show_reviews(self, id: int | str, shown: Shown) -> None:
        """Show a submission's review assignments."""
        row = self.submission(id)
        for each in row.get("reviewAssignments") or []:
            shown.add(f"{row['id']}-{each['id']}", partial(self._review, row, each))

    def _review(self, row: Row, review: Row) -> Mapping[str, Json]:
        text: Row = {}
        if review.get("reviewerId", review) is None:
            raise TerminalRecord("hidden", f"OJS hides who reviews it from an account that is its author; {GIVE_AN_ACCOUNT}")
        if self.version == "3.6" and review.get("statusId") in DONE:
            text = self.client.get(f"submissions/{row['id']}/reviewAssignments/{review['id']}/review")
        return shapes.review(review, row, text)

    def show_comments(self, row: Row, shown: Shown) -> None:
        """Show the notes in a submission's discussions; only 3.6 shows any."""
        zone = self.client.journal.zone
        for stage in [each["id"] for each in row.get("stages") or self.submission(row["id"]).get("stages") or []]:
            for task in self.client.get(f"submissions/{row['id']}/stages/{stage}/tasks").get("items") or []:
                for note in task.get("notes") or []:
                    at = self._by_now(shapes.moment(note.get("dateModified"), zone))
                    named = f"{row['id']}-{task['id']}-{note['id']}"
                    shown.add(named, partial(shapes.comment, note, task, row, zone), at=at)

    def show_issue(self, id: int | str, shown: Shown) -> None:
        """Show an issue with its articles."""
        row = self.own(self.client.get(f"issues/{id}"), "journalId")
        at = self._by_now(shapes.moment(row.get("lastModified"), self.client.journal.zone))
        shown.add(row["id"], partial(shapes.issue, row), at=at)

    def show_user(self, row: Row, shown: Shown) -> None:
        """Show a user of the journal's list. Whoever has the same e-mail address elsewhere is the same person."""
        key = shapes.person(row.get("email"), self.client.journal.url, row["id"])
        shown.add(row["id"], partial(shapes.user, row), key)

    def show_journal(self, shown: Shown) -> None:
        """Show the journal's settings."""
        row = self.context()
        shown.add(row["id"], lambda: shapes.journal(row, self.version), self.client.journal.slug)

    def _by_now(self, at: str | None) -> datetime | None:
        return min(parse_instant(at), self.now()) if at else None


def _activity(row: Row) -> str:
    return str(row.get("dateLastActivity") or "")[:19]


def _earlier(since: str) -> str:
    return (datetime.strptime(since, MOMENT) - OVERLAP).strftime(MOMENT)  # noqa: DTZ007  # OJS names no zone, and none is needed
