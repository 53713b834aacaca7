"""Serves an installation over HTTP: addresses, troubles, and the endpoints that read."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.serving import make_server

from ojs import shapes, writing
from ojs.answers import Said, caller, deny, listed, missing, ordinary, page, require, roles
from ojs.site import ASSISTANT, AUTHOR, MANAGER, REVIEWER, SITE_ADMIN, SUB_EDITOR, Journal, Row, Site

ACTIVITY = {"3.3": "dateLastActivity"}
"""How the order by activity is called; `lastActivity` from 3.4 on. A name that is not known is left unsaid."""


def application(site: Site) -> Flask:
    """Return the web application of an installation."""
    app = Flask(f"ojs-{site.version}")
    app.url_map.strict_slashes = False

    def serve(path: str, rest: str, **_: Any) -> Response:
        if path in {"index", "_"}:
            ordinary(site, 500, "api.500", "Call to a member function getId() on null")
        journal = site.journals.get(path)
        if journal is None:
            missing(site)
        return _troubled(site, journal, rest)

    for prefix in ("/index.php", ""):
        rule = f"{prefix}/<path>/api/v1/<path:rest>"
        app.add_url_rule(rule, f"api{prefix}", serve, methods=["GET", "POST", "PUT", "DELETE"])
    app.register_error_handler(Said, lambda said: said.get_response())
    return app


def _troubled(site: Site, journal: Journal, rest: str) -> Response:
    """Answer, unless the journal is in trouble."""
    trouble = journal.trouble
    journal.calls.append(f"{request.method} {request.full_path.rstrip('?')}")
    if trouble.down:
        _hang_up()
        return Response()
    if trouble.seconds:
        time.sleep(trouble.seconds)
    if trouble.retry_after is not None:
        return Response("busy", 429, {"Retry-After": str(trouble.retry_after)})
    if trouble.page is not None:
        return Response(trouble.page, 200, content_type="text/html")
    with site.lock:
        answer = _answer(site, journal, rest)
    if request.method in {"POST", "PUT"} and trouble.loses_answers:
        trouble.loses_answers -= 1
        _hang_up()
    return answer


def _hang_up() -> None:
    """Close the connection; what is answered afterwards reaches nobody."""
    request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)


def _answer(site: Site, journal: Journal, rest: str) -> Response:
    user = caller(site, journal)
    parts = rest.strip("/").split("/")
    if request.method != "GET":
        return writing.answer(site, journal, user, parts)
    read = _LISTS.get(parts[0])
    if read is None:
        missing(site)
    return read(site, journal, user, parts[1:])


def own_submission(site: Site, journal: Journal, user: int, number: str) -> Row:
    """Return a submission of this journal; one of another, or none at all, is denied, not missing."""
    row = site.submissions.get(int(number)) if number.isdigit() else None
    if row is None or row["contextId"] != journal.id:
        deny(site)
    if not roles(journal, user) & {MANAGER, SUB_EDITOR} and row["by"] != user:
        deny(site)
    return row


def _submissions(site: Site, journal: Journal, user: int, rest: list[str]) -> Response:
    require(site, journal, user, (MANAGER, SUB_EDITOR, ASSISTANT, REVIEWER, AUTHOR))
    if not rest:
        return _submission_list(site, journal, user)
    row = own_submission(site, journal, user, rest[0])
    match rest[1:]:
        case []:
            return jsonify(shapes.submission(site, journal, row, full=True, caller=user))
        case ["publications", number]:
            return jsonify(shapes.publication(site, journal, own_publication(site, row, number), full=True))
        case ["publications", number, "contributors"] if site.version != "3.3":
            found = shapes.authors(site, journal, own_publication(site, row, number))
            return jsonify({"items": found, "itemsMax": len(found)})
        case ["stages", stage, "tasks"] if site.version == "3.6":
            found = [shapes.task(site, each, row) for each in row["tasks"] if str(each["stageId"]) == stage]
            return jsonify({"items": found, "itemMax": len(found)})
        case ["reviewAssignments", number, "review"] if site.version == "3.6":
            return _review_text(site, row, number)
    missing(site)


def own_publication(site: Site, row: Row, number: str) -> Row:
    """Return a publication of this submission."""
    if not number.isdigit() or int(number) not in row["publications"]:
        missing(site)
    return site.publications[int(number)]


def _review_text(site: Site, row: Row, number: str) -> Response:
    found = [each for each in row["reviews"] if str(each["id"]) == number]
    if not found:
        missing(site)
    review = found[0]
    return jsonify(
        {
            "reviewAssignmentId": review["id"],
            "reviewFormId": None,
            "reviewerRecommendationId": review["recommendation"],
            "comments": review["comments"],
            "commentsPrivate": review["commentsPrivate"],
        }
    )


def _submission_list(site: Site, journal: Journal, user: int) -> Response:
    """Answer with the journal's submissions, by an order without a tie-breaker; orders that are not known are not said."""
    rows = [each for each in site.submissions.values() if each["contextId"] == journal.id]
    if not roles(journal, user) & {MANAGER, SUB_EDITOR}:
        rows = [each for each in rows if each["by"] == user]
    if wanted := listed("status"):
        rows = [each for each in rows if str(each["status"]) in wanted]
    if "isIncomplete" in request.args:
        rows = [each for each in rows if each["submissionProgress"]]
    by = {ACTIVITY.get(site.version, "lastActivity"): "dateLastActivity", "lastModified": "lastModified"}
    order = by.get(request.args.get("orderBy", ""), "dateSubmitted")
    if journal.trouble.ignores_order:
        order = "dateSubmitted"
    random.shuffle(rows)
    rows.sort(key=lambda each: each[order] or "", reverse=request.args.get("orderDirection", "DESC") != "ASC")
    show = lambda each: shapes.submission(site, journal, each, full=False, caller=user)  # noqa: E731
    return page(rows, show, 20 if site.version == "3.3" else 30)


def _users(site: Site, journal: Journal, user: int, rest: list[str]) -> Response:
    require(site, journal, user)
    if rest:
        row = site.users.get(int(rest[0])) if rest[0].isdigit() else None  # any user of the site, of whatever journal
        return jsonify(shapes.user(site, journal, row, full=True)) if row else missing(site)
    wanted = set(map(int, listed("roleIds")))
    rows = [site.users[number] for number in sorted(journal.roles) if not wanted or roles(journal, number) & wanted]
    return page(rows, lambda each: shapes.user(site, journal, each, full=False), 20)


def _issues(site: Site, journal: Journal, user: int, rest: list[str]) -> Response:
    of_journal = [each for each in site.issues.values() if each["journalId"] == journal.id]
    rows = of_journal if roles(journal, user) & {MANAGER, SITE_ADMIN} else [each for each in of_journal if each["published"]]
    if rest:
        found = [each for each in rows if str(each["id"]) == rest[0]]
        return jsonify(shapes.issue(site, journal, found[0], full=True)) if found else missing(site)
    rows.sort(key=lambda each: each["lastModified"], reverse=True)
    return page(rows, lambda each: shapes.issue(site, journal, each, full=False), 20)


def _contexts(site: Site, journal: Journal, user: int, rest: list[str]) -> Response:
    require(site, journal, user, (MANAGER, SITE_ADMIN))
    if not rest:
        if "isEnabled" not in request.args and SITE_ADMIN not in roles(journal, user):
            ordinary(site, 403, "api.contexts.403.requiresEnabled", "isEnabled is required")
        return page(list(map(vars, site.journals.values())), lambda each: _summary(site, each["path"]), 20)
    if rest[0] != str(journal.id):
        ordinary(site, 403, "api.contexts.403.contextsDidNotMatch", "The contexts did not match")
    return jsonify(shapes.context(site, journal, full=True))


def _summary(site: Site, path: str) -> Row:
    return shapes.context(site, site.journals[path], full=False)


def _reviewers(site: Site, journal: Journal, user: int, rest: list[str]) -> Response:
    if rest != ["recommendations"] or site.version != "3.6":
        missing(site)
    require(site, journal, user)
    names = journal.settings["recommendations"]
    found = [{"id": id, "contextId": journal.id, "status": 1, "title": {"en": title}, "type": kind} for id, title, kind in names]
    return jsonify({"items": found, "itemMax": len(found)})


def _sections(site: Site, journal: Journal, user: int, rest: list[str]) -> Response:
    require(site, journal, user, (MANAGER, SUB_EDITOR, ASSISTANT, AUTHOR))
    return missing(site) if rest else page([{"id": 1, "title": {site.locale: "Articles"}}], dict, 30)


def _contributor_roles(site: Site, journal: Journal, user: int, rest: list[str]) -> Response:
    if site.version != "3.6":
        missing(site)
    require(site, journal, user, (MANAGER, SITE_ADMIN))
    return jsonify([{"id": 1, "name": {"en": "Author"}}, {"id": 2, "name": {"en": "Translator"}}])


_LISTS = {
    "submissions": _submissions,
    "users": _users,
    "issues": _issues,
    "contexts": _contexts,
    "reviewers": _reviewers,
    "sections": _sections,
    "contributorRoles": _contributor_roles,
}


@contextmanager
def serving(site: Site, port: int = 0) -> Iterator[str]:
    """Serve an installation on 127.0.0.1 meanwhile; yield its address."""
    server = make_server("127.0.0.1", port, application(site), threaded=True)
    server.log_startup = lambda: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name=f"ojs-{site.version}")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
