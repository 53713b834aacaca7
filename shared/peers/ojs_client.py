"""The REST API of one OJS journal over HTTP: addresses, tokens, errors, paging. Knows no fields, and no version by name."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import requests

from shared.errors import TerminalBatch, TerminalRecord, Transient
from shared.retry import Backoff, call, retry_after

COUNT = 50
"""Records a page; large journals answer large pages slowly (pkp-lib 12293, 11682)."""
EMPTY_HANDED = 3
"""So many pages in a row that show nothing new are of a list that does not honour `offset`."""
STRIPPED = "if the token is right, the web server may strip the Authorization header (Apache: CGIPassAuth On; pkp-lib 9320)"


class Denied(TerminalRecord):
    """OJS denies one record: it is of another journal, gone, or not for this account to see. Which, OJS does not tell."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(code, message)
        self.status = status


@dataclass(frozen=True)
class Journal:
    """Where a journal is and how to get in. `url` is all that comes before `/api/v1`, `context` its id in OJS, `zone` that
    of the server's clock. The token is that of an account that is journal manager of this journal, and of no other."""

    slug: str
    url: str
    token: Callable[[], str]
    context: int
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    timeout: float = 60.0

    @property
    def at(self) -> str:
        """How messages name it."""
        return f"journal {self.slug!r} at {self.url}"


@dataclass
class Client:
    """Asks one journal. `sleep` waits between attempts, `chance` spreads them."""

    journal: Journal
    session: requests.Session = field(default_factory=requests.Session)
    backoff: Backoff = field(default_factory=Backoff)
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return what is at `path`; Denied for one record that this account may not see, or that is not there."""
        return call(lambda: self._once("GET", path, query), self.backoff, self.sleep, self.chance)

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change what is at `path` and return it. Repeating it does no harm."""
        return call(lambda: self._once("PUT", path, None, body), self.backoff, self.sleep, self.chance)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Make something and return it. Tried once: whether a lost answer means that it was made, the caller finds out."""
        return self._once("POST", path, None, body)

    def delete(self, path: str) -> Any:
        """Delete what is at `path`. Tried once, as `post` is."""
        return self._once("DELETE", path, None)

    def answered(self, path: str) -> int:
        """Return the status of what lies at `path`: 200, or that of the denial."""
        try:
            self.get(path)
        except Denied as denied:
            return denied.status
        return 200

    def total(self, path: str) -> int:
        """Return how many records OJS says that a list has; versions there are that count wrong."""
        body = self.get(path, {"count": 1})
        return int(body.get("itemsMax") or 0) if isinstance(body, dict) else 0

    def listed(self, path: str, query: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of a list, each record once, until there is nothing more.

        Each page begins with the last record of the one before: where it shows none that was seen, rows have moved up
        meanwhile, and what lies between is looked at again. The total that OJS gives is not relied on.
        """
        seen: set[Any] = set()
        offset, nothing_new = 0, 0
        while nothing_new < EMPTY_HANDED:
            page = self._page(path, {**query, "count": COUNT, "offset": offset})
            new = list({each["id"]: each for each in page if each["id"] not in seen}.values())
            moved_up = offset > 0 and len(new) == len(page)
            nothing_new = 0 if new else nothing_new + 1
            seen.update(each["id"] for each in new)
            if new:
                yield new
            if len(page) <= 1 and not moved_up:
                return
            offset = max(0, offset - COUNT) if moved_up else offset + len(page) - 1
        raise TerminalBatch(f"{self.journal.at}: {path} shows the same records on every page; does a proxy drop the query?")

    def _page(self, path: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        body = self.get(path, query)
        items = body.get("items") if isinstance(body, dict) else body
        if not isinstance(items, list) or not all(isinstance(each, dict) and "id" in each for each in items):
            raise TerminalBatch(f"{self.journal.at}: {path} answered no list of records; is this the address of an OJS journal?")
        return items

    def _once(self, method: str, path: str, query: Mapping[str, Any] | None, body: Mapping[str, Any] | None = None) -> Any:
        url = f"{self.journal.url.rstrip('/')}/api/v1/{quote(path)}"
        headers = {"Authorization": f"Bearer {self.journal.token()}", "Accept": "application/json"}
        try:
            response = self.session.request(
                method,
                url,
                params=query,
                json=body,
                headers=headers,
                auth=lambda request: request,  # no ~/.netrc puts another Authorization in the token's place
                timeout=self.journal.timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise Transient(f"{self.journal.at}: no answer ({type(error).__name__}); is OJS up and the address right?") from None
        return self._answer(response, path)

    def _answer(self, response: requests.Response, path: str) -> Any:
        """Return the JSON of an answer, or raise what it means. OJS words its errors in any language: only codes are read."""
        at, status = f"{self.journal.at}: {_kind(path)}", response.status_code
        if status in {429, 503}:
            raise Transient(
                f"{at} answered {status}; OJS is busy or in maintenance",
                after=retry_after(response.headers.get("Retry-After", ""), datetime.now(UTC)),
            )
        if status >= 500:
            raise Transient(f"{at} answered {status}; see its error log, and whether api_key_secret is set in config.inc.php")
        if 300 <= status < 400:
            raise TerminalBatch(f"{at} answered {status}, a redirect; write the address that it leads to, https and all")
        body = _json(response)
        if body is None:
            kind = response.headers.get("Content-Type", "no type").partition(";")[0]
            raise TerminalBatch(f"{at} answered {kind} and no JSON: a login or maintenance page, or not the address of a journal")
        if status == 200:
            return body
        raise self._refusal(at, status, body, path)

    def _refusal(self, at: str, status: int, body: Any, path: str) -> Exception:
        single = "/" in path
        if status in {401, 403} and single:
            return Denied("denied", f"{at} answered {status} for this record", status)
        if status in {401, 403}:
            return TerminalBatch(
                f"{at} answered {status}; the token is wrong or its account is not manager of this journal; {STRIPPED}"
            )
        if status == 400 and isinstance(body, dict) and isinstance(body.get("error"), str):
            return TerminalBatch(f"{at} answered 400; the token cannot be read by this OJS; make a new one there")
        if status in {400, 422} and isinstance(body, dict):
            fields = ", ".join(sorted(str(name)[:40] for name in body))
            return TerminalRecord("refused", f"{at} refused this record for what is in: {fields}")
        if status == 404 and not single:
            return TerminalBatch(f"{at} answered 404; there is no such journal, or its API is off: check the journal's address")
        if status == 404:
            return Denied("missing", f"{at} answered 404 for this record", status)
        return TerminalRecord("refused", f"{at} answered {status}")


def _kind(path: str) -> str:
    """Return a path without the ids in it."""
    return "/".join(part for part in path.split("/") if not part.isdigit())


def _json(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
