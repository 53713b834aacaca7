"""One installation in memory: what is in it, and which write moves which clock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]
VERSIONS = ("3.3", "3.4", "3.5", "3.6")
MANAGER, SITE_ADMIN, SUB_EDITOR, AUTHOR, REVIEWER, ASSISTANT, READER = 16, 1, 17, 65536, 4096, 4097, 1048576


@dataclass
class Trouble:
    """What is wrong with a journal, or with its server, for as long as it is set."""

    down: bool = False
    seconds: float = 0.0
    page: str | None = None
    """An HTML page that is shown instead of any answer."""
    strips_authorization: bool = False
    ignores_order: bool = False
    """Submissions come by `dateSubmitted` whatever is asked, as for an order that is not known."""
    loses_answers: int = 0
    """So many writes are done, and the connection closed without an answer."""
    retry_after: int | None = None


@dataclass
class Journal:
    """A journal (OJS: context) with its settings; `roles` maps users to their role ids."""

    id: int
    path: str
    settings: Row
    roles: dict[int, set[int]] = field(default_factory=dict)
    trouble: Trouble = field(default_factory=Trouble)
    calls: list[str] = field(default_factory=list)
    """Method and path, with the query, of all that was asked."""


class Site:
    """An installation. Ids are unique in it; times are those of its own zone, to the second, and name none."""

    def __init__(self, version: str, zone: str = "Atlantic/Reykjavik", clock: Callable[[], datetime] | None = None) -> None:
        self.version, self.zone = version, ZoneInfo(zone)
        self.journals: dict[str, Journal] = {}
        self.users: dict[int, Row] = {}
        self.tokens: dict[str, int] = {}
        self.submissions: dict[int, Row] = {}
        self.publications: dict[int, Row] = {}
        self.issues: dict[int, Row] = {}
        self.clock = clock or (lambda: datetime.now(self.zone))
        self.lock = threading.RLock()
        self._ids = {kind: count(1) for kind in ("journal", "user", "submission", "publication", "author", "issue", "other")}

    @property
    def old(self) -> bool:
        """Whether it answers as 3.3 and 3.4 do."""
        return self.version in {"3.3", "3.4"}

    @property
    def locale(self) -> str:
        """The code of English."""
        return "en_US" if self.version == "3.3" else "en"

    @property
    def second(self) -> str:
        """The code of Icelandic."""
        return "is_IS" if self.version == "3.3" else "is"

    def now(self) -> str:
        """Return the time as OJS writes it."""
        return self.clock().astimezone(self.zone).strftime("%Y-%m-%d %H:%M:%S")

    def id(self, kind: str) -> int:
        """Return the next id of a kind."""
        return next(self._ids[kind])

    def journal(self, path: str, name: str) -> Journal:
        """Add a journal."""
        settings = {
            "name": {self.locale: name},
            "acronym": {self.locale: path.upper()},
            "contactEmail": f"desk@{path}.example",
            "primaryLocale": self.locale,
            "supportedLocales": [self.locale, self.second],
            "supportedSubmissionLocales": [self.locale, self.second],
            "licenseUrl": "https://creativecommons.org/licenses/by/4.0",
            "enabled": True,
            "orcidClientSecret": "secret-of-the-journal",
            "recommendations": [(1, "Publish it", 1), (2, "Change a few things", 3), (3, "No", 2), (4, "See what I wrote", 4)],
        }
        made = Journal(self.id("journal"), path, settings)
        self.journals[path] = made
        return made

    def user(self, name: str, email: str, roles: Mapping[str, set[int]], token: str | None = None) -> int:
        """Add a person with roles in journals; `token` is their API key."""
        number = self.id("user")
        given, _, family = name.partition(" ")
        self.users[number] = {"id": number, "userName": email.partition("@")[0], "email": email, "given": given}
        self.users[number] |= {"family": family, "affiliation": "", "orcid": None, "disabled": False, "interests": []}
        for path, some in roles.items():
            self.journals[path].roles[number] = set(some)
        if token:
            self.tokens[token] = number
        return number

    def submission(self, journal: Journal, title: str, *, progress: str = "", by: int | None = None, **more: Any) -> Row:
        """Add a submission with its first publication and one author; a draft while `progress` says where it stands."""
        number, now = self.id("submission"), self.now()
        publication = self._publication(number, title, more)
        row = {
            "id": number,
            "contextId": journal.id,
            "currentPublicationId": publication["id"],
            "dateSubmitted": None if progress else now,
            "dateLastActivity": now,
            "lastModified": now,
            "locale": more.get("locale", self.locale),
            "stageId": 1,
            "status": 1,
            "submissionProgress": progress,
            "commentsForTheEditors": more.get("comment"),
            "publications": [publication["id"]],
            "by": by,
            "reviewRounds": [],
            "reviews": [],
            "tasks": [],
        }
        self.submissions[number] = row
        return row

    def _publication(self, submission: int, title: str, more: Mapping[str, Any]) -> Row:
        number = self.id("publication")
        locale = more.get("locale", self.locale)
        self.publications[number] = {
            "id": number,
            "submissionId": submission,
            "status": 1,
            "version": 1,
            "sectionId": more.get("section", 1),
            "issueId": None,
            "datePublished": None,
            "title": {locale: title} if title else {},
            "subtitle": {},
            "prefix": {},
            "abstract": {locale: f"<p>About {title}.</p>"} if title else {},
            "keywords": {},
            "subjects": {},
            "disciplines": {},
            "licenseUrl": None,
            "pages": None,
            "urlPath": None,
            "authors": [],
            "lastModified": self.now(),
        }
        return self.publications[number]

    def author(self, publication: Row, name: str, email: str, **more: Any) -> Row:
        """Add a contributor. No clock moves."""
        given, _, family = name.partition(" ")
        row = {"id": self.id("author"), "publicationId": publication["id"], "seq": len(publication["authors"]), "email": email}
        row |= {"givenName": {self.locale: given}, "familyName": {self.locale: family}, "country": "IS", "orcid": None}
        row |= {"affiliation": {self.locale: "University"}, "group": 14, **more}
        publication["authors"].append(row)
        return row

    def active(self, submission: Row) -> None:
        """Move the submission's activity, as an entry in its event log does."""
        submission["dateLastActivity"] = self.now()

    def edit_publication(self, publication: Row, changes: Mapping[str, Any]) -> None:
        """Change metadata: activity moves and the publication's clock, not `lastModified` of the submission."""
        publication.update(changes)
        publication["lastModified"] = self.now()
        self.active(self.submissions[publication["submissionId"]])

    def publish(self, submission: Row, issue: Row | None = None) -> None:
        """Publish the current publication, in an issue if there is one."""
        publication = self.current(submission)
        at = {"status": 3, "datePublished": self.now()[:10], "issueId": issue["id"] if issue else None}
        self.edit_publication(publication, at)
        submission |= {"status": 3, "stageId": 5, "lastModified": self.now()}

    def new_version(self, submission: Row) -> Row:
        """Make a new version; its authors are copies with ids of their own."""
        old = self.current(submission)
        row = {**old, "id": self.id("publication"), "version": old["version"] + 1, "status": 1, "lastModified": self.now()}
        row["authors"] = [{**each, "id": self.id("author"), "publicationId": row["id"]} for each in old["authors"]]
        self.publications[row["id"]] = row
        submission["publications"].append(row["id"])
        submission |= {"currentPublicationId": row["id"], "lastModified": self.now()}
        self.active(submission)
        return row

    def current(self, submission: Row) -> Row:
        """Return the current publication."""
        return self.publications[submission["currentPublicationId"]]

    def review(self, submission: Row, reviewer: int, **more: Any) -> Row:
        """Assign a reviewer in the last round, or in a first one. Activity moves."""
        if not submission["reviewRounds"]:
            submission["reviewRounds"].append({"id": self.id("other"), "round": 1, "stageId": 3, "statusId": 7})
        last = submission["reviewRounds"][-1]
        row = {"id": self.id("other"), "reviewerId": reviewer, "statusId": 0, "reviewMethod": 2, "due": "2099-01-31"}
        row |= {"round": last["round"], "roundId": last["id"], "assigned": self.now()[:10], "completed": None}
        row |= {"recommendation": None, "comments": None, "commentsPrivate": None, **more}
        submission["reviews"].append(row)
        self.active(submission)
        return row

    def complete(self, submission: Row, review: Row, recommendation: int, comments: str, private: str) -> None:
        """Have the reviewer hand in a review. Activity moves."""
        review |= {"statusId": 7, "completed": self.now()[:10], "recommendation": recommendation}
        review |= {"comments": comments, "commentsPrivate": private}
        self.active(submission)

    def discussion(self, submission: Row, title: str, contents: str, by: int, stage: int = 1) -> Row:
        """Open a discussion with its first note; in 3.6 no clock moves."""
        row = {"id": self.id("other"), "title": title, "stageId": stage, "type": 1, "status": 2, "by": by, "notes": []}
        submission["tasks"].append(row)
        self.note(row, contents, by)
        if self.version != "3.6":
            self.active(submission)
        return row

    def note(self, discussion: Row, contents: str, by: int) -> Row:
        """Add a note; no clock of the submission moves."""
        row = {"id": self.id("other"), "userId": by, "contents": contents, "dateCreated": self.now(), "dateModified": self.now()}
        discussion["notes"].append(row)
        return row

    def issue(self, journal: Journal, volume: int, number: str, year: int, *, published: bool = True) -> Row:
        """Add an issue."""
        row = {"id": self.id("issue"), "journalId": journal.id, "volume": volume, "number": number, "year": year}
        row |= {"title": {self.locale: f"Issue {number}"}, "description": {}, "published": published}
        row |= {"datePublished": self.now()[:10] if published else None, "lastModified": self.now(), "urlPath": None}
        self.issues[row["id"]] = row
        return row
