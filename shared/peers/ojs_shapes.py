"""OJS records of any version as the fields of a pair, and back. Pure. Takes by name and leaves the rest: OJS shows secrets."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from shared.model import Json, instant

Row = Mapping[str, Any]
TEXTS = ("title", "subtitle", "prefix", "abstract")
"""Of a publication, by language; a PUT leaves languages alone that it does not name."""
WORDS = ("keywords", "subjects", "disciplines")
"""Of a publication, by language; a PUT replaces them whole."""
WRITABLE = (*TEXTS, *WORDS, "contributors", "pages", "license_url")
"""What may be pushed of a submission; the rest is OJS's own."""
PLAIN = {"pages": "pages", "license_url": "licenseUrl"}
COMPUTED = {4: 0, 6: 5}
"""A review's states that OJS works out from the date, and those that they stand for: they change with nobody writing."""
VERDICTS = {1: "accept", 2: "pending_revisions", 3: "resubmit_here", 4: "resubmit_elsewhere", 5: "decline", 6: "see_comments"}
"""A review's recommendation, 3.3 to 3.5."""
VERDICT_TYPES = {1: "approved", 2: "not_approved", 3: "revisions_requested", 4: "with_comments"}
"""The same in 3.6, where a journal words its own."""
MARK = "Made by Bothways for the record "
CONTRIBUTOR = ("email", "country", "orcid")


def person(email: object, installation: str, id: int) -> str:
    """Return the key of a person, the same in every journal that knows the e-mail address; no address can be read from it."""
    known = str(email or "").strip().lower() or f"{installation}#{id}"
    return "p-" + hashlib.sha256(known.encode()).hexdigest()[:24]


def mark(key: str, token: str) -> str:
    """Return the note by which a draft is known again: it lies where its editors see it, since no field of its own is offered.
    Nobody without the token can write one."""
    return f"{MARK}{key} ({hmac.new(token.encode(), key.encode(), 'sha256').hexdigest()[:16]})"


def marked(text: object, token: str) -> str | None:
    """Return the key in such a note; None if it is none."""
    key = str(text or "").removeprefix(MARK).rpartition(" (")[0]
    return key if key and hmac.compare_digest(str(text).encode(), mark(key, token).encode()) else None


def journal(row: Row, version: str) -> dict[str, Json]:
    """Return the settings of a journal (OJS: context, whole)."""
    return {
        "ojs_id": row["id"],
        "version": version,
        "path": _text(row.get("urlPath")),
        "name": _by_language(row.get("name")),
        "acronym": _by_language(row.get("acronym")),
        "contact_email": _text(row.get("contactEmail")),
        "primary_locale": _text(row.get("primaryLocale")),
        "locales": sorted(row.get("supportedLocales") or []),
        "license_url": _text(row.get("licenseUrl")),
        "enabled": bool(row.get("enabled")),
    }


def user(row: Row) -> dict[str, Json]:
    """Return a user as one journal's list shows them; roles are those in this journal."""
    return {
        "ojs_id": row["id"],
        "user_name": _text(row.get("userName")),
        "email": _text(row.get("email")),
        "full_name": _text(row.get("fullName")),
        "given_name": _by_language(row.get("givenName")),
        "family_name": _by_language(row.get("familyName")),
        "affiliation": _by_language(row.get("affiliation")),
        "orcid": _text(row.get("orcid")),
        "roles": sorted({group["roleId"] for group in row.get("groups") or [] if group.get("roleId")}),
        "interests": sorted(str(each.get("interest")) for each in row.get("interests") or [] if each.get("interest")),
        "disabled": bool(row.get("disabled")),
    }


def issue(row: Row) -> dict[str, Json]:
    """Return an issue (whole) with the ids of the submissions in it."""
    return {
        "ojs_id": row["id"],
        "volume": row.get("volume"),
        "number": None if row.get("number") is None else str(row["number"]),
        "year": row.get("year"),
        "title": _by_language(row.get("title")),
        "description": _by_language(row.get("description")),
        "identification": _text(row.get("identification")),
        "published": bool(row.get("published")),
        "published_on": _day(row.get("datePublished")),
        "doi": _doi(row),
        "articles": sorted(each["id"] for each in row.get("articles") or []),
    }


def submission(row: Row, publication: Row, zone: ZoneInfo) -> dict[str, Json]:
    """Return a submission (whole) with its current publication (whole). Its activity is no field: the sync itself moves it."""
    return {
        "ojs_id": row["id"],
        "publication_id": publication["id"],
        "locale": _text(row.get("locale")),
        "section_id": publication.get("sectionId"),
        "issue_id": publication.get("issueId"),
        "status": row.get("status"),
        "stage": row.get("stageId"),
        "submitted": row.get("submissionProgress") in {"", 0, None},
        "submitted_at": moment(row.get("dateSubmitted"), zone),
        "published_on": _day(publication.get("datePublished")),
        "version": version_of(publication),
        "versions": [{"id": each["id"], "version": version_of(each), "status": each.get("status")} for each in publications(row)],
        "doi": _doi(publication),
        **{name: _by_language(publication.get(name)) for name in TEXTS},
        **{name: _words(publication.get(name)) for name in WORDS},
        **{name: _text(publication.get(theirs)) for name, theirs in PLAIN.items()},
        "contributors": [contributor(each) for each in authors(publication)],
    }


def publications(row: Row) -> list[Row]:
    """Return a submission's publications, oldest first."""
    return sorted(row.get("publications") or [], key=lambda each: each["id"])


def version_of(publication: Row) -> str | None:
    """Return a publication's version as text: `2` up to 3.5, `VoR 1.0` in 3.6."""
    if "versionMajor" in publication:
        stage, major, minor = (publication.get(name) for name in ("versionStage", "versionMajor", "versionMinor"))
        return None if major is None else f"{stage or ''} {major}.{minor or 0}".strip()
    return None if publication.get("version") is None else str(publication["version"])


def authors(publication: Row) -> list[Row]:
    """Return the contributors of a publication in their order."""
    return sorted(publication.get("authors") or [], key=lambda each: (each.get("seq") or 0, each["id"]))


def contributor(row: Row) -> dict[str, Json]:
    """Return a contributor without ids: those belong to one version of a publication, and a new version has new ones."""
    shown = {
        **{name: _text(row.get(name)) for name in CONTRIBUTOR},
        "given_name": _by_language(row.get("givenName")),
        "family_name": _by_language(row.get("familyName")),
        "affiliations": _affiliations(row),
    }
    return {name: value for name, value in shown.items() if value}


def _affiliations(row: Row) -> list[Json]:
    """Return names by language; one up to 3.4, any number from 3.5 on."""
    many = row.get("affiliations")
    named = [each.get("name") for each in many or []] if many is not None else [row.get("affiliation")]
    return [name for name in map(_by_language, named) if name]


def review(row: Row, submission: Row, text: Row) -> dict[str, Json]:
    """Return a review assignment as it lies in its submission, with the texts where this version gives them."""
    return {
        "ojs_id": row["id"],
        "submission_id": submission["id"],
        "round": row.get("round"),
        "round_id": row.get("roundId"),
        "status": COMPUTED.get(row.get("statusId", 0), row.get("statusId")),
        "method": row.get("reviewMethod"),
        "due": _text(row.get("dateDue", row.get("due"))),
        "response_due": _text(row.get("dateResponseDue", row.get("responseDue"))),
        "assigned_on": _day(row.get("dateAssigned")),
        "confirmed_on": _day(row.get("dateConfirmed")),
        "completed_on": _day(row.get("dateCompleted")),
        "recommendation": row.get("reviewerRecommendationId", row.get("recommendation")),
        "verdict": VERDICT_TYPES.get(row.get("reviewerRecommendationType", 0), VERDICTS.get(row.get("recommendation", 0))),
        "competing_interests": _text(row.get("competingInterests")),
        "comments": _text(text.get("comments")),
        "confidential_comments": _text(text.get("commentsPrivate")),
        "form_answers": text.get("reviewFormResponses"),
        "reviewer_id": row.get("reviewerId"),
        "reviewer_name": _text(row.get("reviewerFullName")),
    }


def comment(note: Row, task: Row, submission: Row, zone: ZoneInfo) -> dict[str, Json]:
    """Return a note of a discussion, with what is to be known of the discussion."""
    first = min(task["notes"], key=lambda each: (each.get("dateCreated") or "", each["id"]))
    return {
        "ojs_id": note["id"],
        "submission_id": submission["id"],
        "discussion_id": task["id"],
        "discussion": _text(task.get("title")),
        "stage": task.get("stageId"),
        "kind": {1: "discussion", 2: "task"}.get(task.get("type", 0)),
        "status": {1: "pending", 2: "in_progress", 3: "closed"}.get(task.get("status", 0)),
        "due_on": _day(task.get("dateDue")),
        "opens": note["id"] == first["id"],
        "author_id": note.get("userId"),
        "author_name": _text(note.get("createdByName")),
        "contents": _text(note.get("contents")),
        "written_at": moment(note.get("dateCreated"), zone),
        "edited_at": moment(note.get("dateModified"), zone),
    }


def publication_changes(wanted: Row, held: Row, old_words: bool) -> dict[str, Json]:
    """Return the body of a PUT that makes a publication's fields as wanted: only what differs from the fields held.

    `old_words`: keywords are texts, as up to 3.4. A language that is to go is named with nothing in it.
    """
    body: dict[str, Json] = {}
    for name, value in wanted.items():
        if name not in WRITABLE or name == "contributors" or (value or None) == (held.get(name) or None):
            continue
        if name in TEXTS:
            gone = {language: None for language in held.get(name) or {} if language not in (value or {})}
            body[name] = {**gone, **(value or {})}
        elif name in WORDS:
            gone_words: dict[str, Json] = {language: [] for language in held.get(name) or {}}
            body[name] = gone_words | {language: _as_told(words, old_words) for language, words in (value or {}).items()}
        else:
            body[PLAIN[name]] = value
    return body


def _as_told(words: list[str], old: bool) -> list[Json]:
    return list(words) if old else [{"name": word} for word in words]


def contributor_body(wanted: Row, version: str) -> dict[str, Json]:
    """Return a contributor as this version wants it told. An ORCID is the contributor's own to give: OJS takes none."""
    names = {"givenName": wanted.get("given_name") or {}, "familyName": wanted.get("family_name") or {}}
    body: dict[str, Json] = {"email": wanted.get("email"), "country": wanted.get("country"), **names}
    affiliations = wanted.get("affiliations") or []
    if version == "3.4":
        return body | {"affiliation": affiliations[0] if affiliations else {}}
    return body | {"orcid": None, "affiliations": [{"name": name} for name in affiliations]}


def moment(text: object, zone: ZoneInfo) -> str | None:
    """Return a time that OJS gives without a zone, `YYYY-MM-DD HH:MM:SS` by its server's clock, as an instant. Of an hour that
    comes twice, the first is meant."""
    if not text:
        return None
    try:
        return instant(datetime.strptime(str(text)[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone))
    except ValueError:
        return None


def _day(text: object) -> str | None:
    """Return a date that is one; 3.3 writes some as its journal likes them."""
    try:
        return date.fromisoformat(str(text)[:10]).isoformat() if text else None
    except ValueError:
        return None


def _text(value: object) -> str | None:
    return str(value) if value not in (None, "") else None


def _by_language(value: Any) -> dict[str, str] | None:
    """Return texts by language without the empty ones, which OJS fills in for every language of the journal."""
    kept = {language: text for language, text in value.items() if text} if isinstance(value, dict) else {}
    return kept or None


def _words(value: Any) -> dict[str, list[str]] | None:
    """Return controlled words by language: texts up to 3.4, objects from 3.5 on."""
    if not isinstance(value, dict):
        return None
    named = {language: [_name(word) for word in words or []] for language, words in value.items()}
    return {language: words for language, words in named.items() if words} or None


def _name(word: Any) -> str:
    return str(word.get("name") if isinstance(word, dict) else word)


def _doi(row: Row) -> str | None:
    found = row.get("doiObject")
    return _text(found.get("doi")) if isinstance(found, dict) else None
