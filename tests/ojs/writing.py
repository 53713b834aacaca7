"""The endpoints that write: what is refused, what is dropped without a word, and what a write leads to."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request

from ojs import shapes
from ojs.answers import deny, invalid, missing, ordinary, require, roles
from ojs.site import AUTHOR, MANAGER, SUB_EDITOR, Journal, Row, Site

NOT_BY_API = ("contextId", "currentPublicationId", "dateLastActivity", "dateSubmitted", "lastModified", "stageId", "status")
TEXTS = ("title", "subtitle", "prefix", "abstract")
PLAIN = ("licenseUrl", "pages", "urlPath", "issueId", "sectionId", "datePublished")


def answer(site: Site, journal: Journal, user: int, parts: list[str]) -> Response:
    """Do what a POST, PUT or DELETE asks for. A token needs no CSRF header."""
    body = request.get_json(silent=True) or {}
    match (request.method, *parts):
        case ("POST", "submissions"):
            return _create(site, journal, user, body)
        case ("PUT", "submissions", number, "publications", publication):
            row = _own(site, journal, user, number)
            return _edit(site, journal, row, _publication(site, row, publication), body)
        case ("POST" | "PUT" | "DELETE", "submissions", number, "publications", publication, "contributors", *rest):
            row = _own(site, journal, user, number)
            return _contributors(site, _publication(site, row, publication), body, rest)
    missing(site)


def _own(site: Site, journal: Journal, user: int, number: str) -> Row:
    require(site, journal, user, (MANAGER, SUB_EDITOR, AUTHOR))
    row = site.submissions.get(int(number)) if number.isdigit() else None
    if row is None or row["contextId"] != journal.id or (not roles(journal, user) & {MANAGER} and row["by"] != user):
        deny(site)
    return row


def _publication(site: Site, row: Row, number: str) -> Row:
    if not number.isdigit() or int(number) not in row["publications"]:
        missing(site)
    return site.publications[int(number)]


def _create(site: Site, journal: Journal, user: int, body: Row) -> Response:
    """Make a draft: 200, each time a new one. Without a manager's group the caller becomes its author."""
    problems = {name: ["This cannot be changed by the API."] for name in (*NOT_BY_API, "submissionProgress") if name in body}
    if problems and site.version != "3.3":
        invalid(problems)
    if "sectionId" not in body and site.version != "3.3":
        invalid({"sectionId": ["This field is required."]})
    by = user if body.get("userGroupId") != MANAGER % 100 else None
    comment = body.get("commentsForTheEditors") if site.version != "3.3" else None
    progress = "1" if site.version == "3.3" else "start"
    more = {"section": body.get("sectionId", 1), "locale": body.get("locale", site.locale), "comment": comment}
    row = site.submission(journal, "", progress=progress, by=by, **more)
    return jsonify(shapes.submission(site, journal, row, full=True, caller=user))


def _edit(site: Site, journal: Journal, submission: Row, row: Row, body: Row) -> Response:
    """Change metadata: texts by locale, word lists whole; what may not be written is dropped without a word."""
    if "status" in body and site.version != "3.6":
        ordinary(site, 403, "api.publication.403.cantEditStatus", "The status cannot be changed here")
    if row["status"] == 3 and site.old:
        ordinary(site, 403, "api.publication.403.cantEditPublished", "Published ones cannot be changed")
    if problems := _problems(journal, submission, row, body):
        invalid(problems)
    changes: Row = {name: body[name] or None for name in PLAIN if name in body}
    for name in TEXTS:
        if name in body:
            merged = row[name] | (body[name] or {})
            changes[name] = {locale: text for locale, text in merged.items() if text}
    changes |= {name: _words(site, body[name]) for name in shapes.CONTROLLED if name in body}
    site.edit_publication(row, changes)
    return jsonify(shapes.publication(site, journal, row, full=True))


def _problems(journal: Journal, submission: Row, row: Row, body: Row) -> Row:
    """Return what is wrong, by field and locale."""
    allowed = set(journal.settings["supportedSubmissionLocales"])
    problems: Row = {}
    for name in (*TEXTS, *shapes.CONTROLLED):
        strange = sorted(set(body.get(name) or {}) - allowed)
        if strange:
            problems[name] = {locale: ["This language is not accepted."] for locale in strange}
    title = row["title"] | (body.get("title") or {})
    if "title" in body and not submission["submissionProgress"] and not title.get(submission["locale"]):
        problems["title"] = {submission["locale"]: ["This field is required."]}
    return problems


def _words(site: Site, values: Any) -> Row:
    """Return controlled words as they are kept. An entry with an identifier and no source is dropped."""
    if site.old:
        return {locale: list(words) for locale, words in (values or {}).items()}
    kept = lambda words: [  # noqa: E731
        each["name"] for each in words if isinstance(each, dict) and not (each.get("identifier") and not each.get("source"))
    ]
    return {locale: kept(words) for locale, words in (values or {}).items()}


def _contributors(site: Site, publication: Row, body: Row, rest: list[str]) -> Response:
    """Add, change and delete authors, from 3.4 on. No clock moves."""
    if site.version == "3.3":
        missing(site)
    if publication["status"] == 3 and site.old:
        ordinary(site, 403, "api.publication.403.cantEditPublished", "Published ones cannot be changed")
    if rest == ["saveOrder"]:
        order = {number: seq for seq, number in enumerate(body["sortedAuthors"])}
        for each in publication["authors"]:
            each["seq"] = order.get(each["id"], each["seq"])
        return jsonify({})
    if problems := _author_problems(site, body):
        invalid(problems)
    if not rest:
        row = site.author(publication, "", body.get("email", ""))
        return jsonify(shapes.author(site, _written(row, body)))
    found = [each for each in publication["authors"] if str(each["id"]) == rest[0]]
    if not found:
        missing(site)
    if request.method == "DELETE":
        publication["authors"].remove(found[0])
        return jsonify(shapes.author(site, found[0]))
    return jsonify(shapes.author(site, _written(found[0], body)))


def _author_problems(site: Site, body: Row) -> Row:
    if request.method == "DELETE":
        return {}
    if body.get("orcid") and not site.old:
        return {"orcid": ["cannotUpdateAuthorOrcid"]}
    needed = ["contributorType", "contributorRoles"] if site.version == "3.6" else ["email", "givenName", "userGroupId"]
    lacking = {name: ["This field is required."] for name in needed if request.method == "POST" and not body.get(name)}
    if site.version == "3.5" and not lacking and request.method == "POST":
        for name in ("orcid", "affiliations"):
            if name not in body:
                ordinary(site, 500, "api.500", f'Undefined array key "{name}"')
    return lacking


def _written(row: Row, body: Row) -> Row:
    for name in ("email", "givenName", "familyName", "country", "affiliation"):
        if name in body:
            row[name] = body[name]
    if body.get("affiliations"):
        row["affiliation"] = body["affiliations"][0]["name"]
    return row
