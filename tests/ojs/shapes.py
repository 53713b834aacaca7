"""What each version shows of what is in an installation: names, kinds and forms that differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ojs.site import Journal, Row, Site

CONTROLLED = ("keywords", "subjects", "disciplines")
SECRETS = {"orcidAccessToken": "secret-access", "orcidRefreshToken": "secret-refresh", "orcidEmailToken": "secret-mail"}


def multilingual(site: Site, journal: Journal, values: Mapping[str, Any], empty: Any = "") -> Row:
    """Return values by locale; what a locale of the journal lacks is filled in as empty."""
    return dict.fromkeys(journal.settings["supportedSubmissionLocales"], empty) | dict(values)


def submission(site: Site, journal: Journal, row: Row, *, full: bool, caller: int) -> Row:
    """Return a submission; only the full form has reviews."""
    names = ["id", "contextId", "currentPublicationId", "dateSubmitted", "dateLastActivity", "lastModified", "stageId", "status"]
    shown = {name: row[name] for name in names}
    if site.version == "3.3":
        shown["submissionProgress"] = 1 if row["submissionProgress"] else 0
    else:
        shown |= {"submissionProgress": row["submissionProgress"], "locale": row["locale"]}
    shown["publications"] = [publication(site, journal, site.publications[id], full=False) for id in row["publications"]]
    shown |= {"statusLabel": "Queued", "urlWorkflow": f"https://ojs.example/{journal.path}/workflow/{row['id']}"}
    if full:
        if not site.old:
            shown["commentsForTheEditors"] = row["commentsForTheEditors"]
        else:
            shown |= {"commentsForTheEditors": row["commentsForTheEditors"]} if site.version == "3.4" else {}
        shown["reviewRounds"] = [dict(each) for each in row["reviewRounds"]]
        shown["reviewAssignments"] = [review(site, each, row["by"] == caller) for each in visible_reviews(site, row)]
        shown["stages"] = [{"id": stage, "label": "stage"} for stage in (1, 3, 4, 5)]
    return shown


def visible_reviews(site: Site, row: Row) -> list[Row]:
    """Return the assignments that are shown: before 3.5, declined and cancelled ones are not."""
    return [each for each in row["reviews"] if not site.old or each["statusId"] not in {1, 10}]


def review(site: Site, row: Row, anonymous: bool) -> Row:
    """Return an assignment as it lies in a submission; its reviewer is hidden from an author of that submission."""
    shown = {"id": row["id"], "isCurrentUserAssigned": False, "statusId": row["statusId"], "status": "a text"}
    shown |= {"round": row["round"], "roundId": row["roundId"]}
    if site.old:
        due = "January 31, 2099" if site.version == "3.3" else row["due"]
        return shown | {"due": due, "responseDue": due}
    name = site.users[row["reviewerId"]]
    shown |= {"reviewerId": None if anonymous else row["reviewerId"], "reviewMethod": row["reviewMethod"]}
    shown |= {"reviewerFullName": "" if anonymous else f"{name['given']} {name['family']}", "competingInterests": None}
    shown |= {"dateDue": row["due"], "dateResponseDue": row["due"], "dateAssigned": row["assigned"], "dateConfirmed": None}
    shown |= {"dateCompleted": row["completed"], "dateConsidered": None, "dateCancelled": None}
    if site.version == "3.5":
        return shown | {"recommendation": row["recommendation"]}
    types = {1: 1, 2: 3, 3: 2, 4: 4}
    kind = types.get(row["recommendation"] or 0)
    return shown | {"reviewerRecommendationId": row["recommendation"], "reviewerRecommendationType": kind}


def publication(site: Site, journal: Journal, row: Row, *, full: bool) -> Row:
    """Return a publication; the summary has no abstract, keywords, authors nor clock."""
    shown = {name: row[name] for name in ("id", "submissionId", "status", "sectionId", "datePublished", "pages")}
    if site.version == "3.6":
        shown |= {"versionStage": "VoR", "versionMajor": row["version"], "versionMinor": 0}
    else:
        shown["version"] = row["version"]
    shown |= {name: multilingual(site, journal, row[name]) for name in ("title", "subtitle", "prefix")}
    shown |= {
        "fullTitle": multilingual(site, journal, row["title"]),
        "authorsString": "",
        "urlPublished": None,
        "doiObject": None,
    }
    if full:
        shown |= {"abstract": multilingual(site, journal, row["abstract"]), "authors": authors(site, journal, row)}
        shown |= {name: row[name] for name in ("issueId", "licenseUrl", "lastModified", "urlPath")}
        shown |= {name: multilingual(site, journal, controlled(site, row[name]), []) for name in CONTROLLED}
    return shown


def controlled(site: Site, values: Mapping[str, list[str]]) -> Row:
    """Return controlled words: texts up to 3.4, objects from 3.5 on."""
    if site.old:
        return {locale: list(words) for locale, words in values.items()}
    named = lambda words: [{"name": word, "identifier": None, "source": None} for word in words]  # noqa: E731
    return {locale: named(words) for locale, words in values.items()}


def authors(site: Site, journal: Journal, row: Row) -> list[Row]:
    """Return the contributors of a publication, with the tokens that 3.5 and later put there."""
    return [author(site, each) for each in sorted(row["authors"], key=lambda each: each["seq"])]


def author(site: Site, row: Row) -> Row:
    """Return a contributor."""
    given, family = next(iter(row["givenName"].values())), next(iter(row["familyName"].values()), "")
    shown = {name: row[name] for name in ["id", "publicationId", "seq", "email", "givenName", "familyName", "country", "orcid"]}
    shown |= {"fullName": f"{given} {family}", "includeInBrowse": True}
    if site.old:
        shown["affiliation"] = row["affiliation"]
    else:
        shown |= {"affiliations": [{"id": 1, "name": row["affiliation"], "ror": None}], **SECRETS}
    if site.version == "3.6":
        return shown | {"contributorType": "PERSON", "contributorRoles": [{"id": 1, "name": {"en": "Author"}}]}
    return shown | {"userGroupId": row["group"]}


def user(site: Site, journal: Journal, row: Row, *, full: bool) -> Row:
    """Return a user; from 3.5 on with tokens, and alone with the API key too."""
    shown = {name: row[name] for name in ["id", "userName", "email", "orcid", "disabled", "interests"]}
    shown |= {"fullName": f"{row['given']} {row['family']}", "givenName": {site.locale: row["given"]}}
    shown |= {"familyName": {site.locale: row["family"]}, "affiliation": {site.locale: row["affiliation"]}}
    roles = sorted(journal.roles.get(row["id"], ()))
    shown["groups"] = [{"id": role % 100, "roleId": role, "name": {site.locale: f"group {role}"}} for role in roles]
    shown |= {} if site.old else SECRETS
    return shown | {"apiKey": "secret-key", "authStr": "secret-auth"} if full else shown


def issue(site: Site, journal: Journal, row: Row, *, full: bool) -> Row:
    """Return an issue; the summary has no clock."""
    shown = {name: row[name] for name in ["id", "journalId", "volume", "number", "year", "published", "datePublished", "urlPath"]}
    shown |= {name: multilingual(site, journal, row[name]) for name in ("title", "description")}
    shown |= {"identification": f"Vol. {row['volume']} No. {row['number']} ({row['year']})", "doiObject": None}
    if full:
        inside = [each for each in site.submissions.values() if site.current(each)["issueId"] == row["id"]]
        articles = [submission(site, journal, each, full=False, caller=0) for each in inside]
        shown |= {"articles": articles, "sections": [], "lastModified": row["lastModified"], "accessStatus": 1}
    return shown


def context(site: Site, journal: Journal, *, full: bool) -> Row:
    """Return a journal's settings, the secret ones too."""
    shown = {
        "id": journal.id,
        "urlPath": journal.path,
        **{name: journal.settings[name] for name in ("name", "acronym", "enabled")},
    }
    rest = {name: value for name, value in journal.settings.items() if name != "recommendations"}
    return shown | rest if full else shown


def task(site: Site, row: Row, submission: Row) -> Row:
    """Return a discussion with its notes; it has no date of its own."""
    by = site.users[row["by"]]
    shown = {name: row[name] for name in ("id", "type", "stageId", "status", "title")}
    shown |= {"assocType": 1048585, "assocId": submission["id"], "createdBy": row["by"], "createdByName": by["given"]}
    shown |= {"dateDue": None, "dateStarted": None, "dateClosed": None, "participants": [], "latestActivities": []}
    return shown | {"notes": [note(site, each) for each in row["notes"]]}


def note(site: Site, row: Row) -> Row:
    """Return a note of a discussion."""
    by = site.users[row["userId"]]
    shown = {name: row[name] for name in ("id", "userId", "contents", "dateCreated", "dateModified")}
    return shown | {"createdByName": f"{by['given']} {by['family']}", "createdByEmail": by["email"], "submissionFiles": []}
