"""Who asks, what they may, and how each version says no."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from flask import Response, jsonify, request
from werkzeug.exceptions import HTTPException

from ojs.site import MANAGER, SITE_ADMIN, SUB_EDITOR, Journal, Row, Site

LARGEST = 100


class Said(HTTPException):
    """An answer that ends the request at once."""


def say(status: int, body: Any) -> NoReturn:
    """Answer with this status and body."""
    answer = jsonify(body)
    answer.status_code = status
    raise Said(response=answer)


def ordinary(site: Site, status: int, key: str, text: str) -> NoReturn:
    """Answer with an error as this version words it."""
    say(status, {"error": key, "errorMessage": text} if site.old else {"error": text})


def deny(site: Site, key: str = "api.403.unauthorized", text: str = "You may not do that.") -> NoReturn:
    """Deny by policy: 403 up to 3.4, 401 from 3.5 on."""
    say(403 if site.old else 401, {"error": key, "errorMessage": text})


def missing(site: Site) -> NoReturn:
    """Say that there is no such thing."""
    ordinary(site, 404, "api.404.resourceNotFound", "Not found")


def invalid(problems: Row) -> NoReturn:
    """Answer with a map of what is wrong with the fields."""
    say(400, problems)


def caller(site: Site, journal: Journal) -> int:
    """Return the user whose token was sent in a header; one in the query counts only where no header came."""
    header = "" if journal.trouble.strips_authorization else request.headers.get("Authorization", "")
    found = re.search(r"(?:^|,\s*)Bearer\s+([^,\s]+)", header)
    token = found[1] if found else ("" if header else request.args.get("apiToken", ""))
    if token.startswith("forged"):
        ordinary(site, 403 if site.old else 400, "api.400.invalidApiToken", "The token could not be read")
    if token not in site.tokens:
        say(403, {"error": "api.403.unauthorized", "errorMessage": "x"}) if site.old else say(401, {"error": "Unauthorized"})
    return site.tokens[token]


def roles(journal: Journal, user: int) -> set[int]:
    """Return the roles of a user in a journal."""
    return journal.roles.get(user, set())


def require(site: Site, journal: Journal, user: int, wanted: Iterable[int] = (MANAGER, SITE_ADMIN, SUB_EDITOR)) -> None:
    """Deny whoever has none of these roles in the journal."""
    if not roles(journal, user) & set(wanted):
        deny(site, text="The current role does not have access to this operation.")


def listed(name: str) -> set[str]:
    """Return an array parameter, given as `name=1,3` or `name[]=1&name[]=3`."""
    parts = [*request.args.getlist(name), *request.args.getlist(f"{name}[]")]
    return {part for given in parts for part in given.split(",") if part}


def page(rows: Sequence[Row], show: Callable[[Row], Row], default: int, total: str = "itemsMax") -> Response:
    """Answer with a page of a list; a count that is no number, or too large, is put right without a word."""
    asked = request.args.get("count", "")
    size = min(int(asked) if asked.isdigit() else default, LARGEST)
    start = int(request.args.get("offset", "0") or 0)
    return jsonify({"items": [show(each) for each in rows[start : start + size]], total: len(rows)})
