"""A Django-style backend as a peer: any server of the REST change queue (backend/ is one), over `requests`."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode

import requests

from shared import wire
from shared.breaker import Breaker
from shared.canonical import BUCKETS, bucket_of
from shared.digests import Digest, Hashed
from shared.errors import TerminalBatch, TerminalRecord, Transient
from shared.mapping import Entity, Type
from shared.model import Acknowledgement, Change, Page, Problem, Record, RecordId, Result, Scope, Status, Waiting, parse_instant
from shared.policy import Mode
from shared.quota import Quota
from shared.retry import Backoff, call, retry_after

T = TypeVar("T")
MAX_ITEMS = 1000
MAX_BYTES = 9_000_000
FEW_BUCKETS, HELD_AT_ONCE = 64, 50_000
GZIP_FROM = 2_000


class NotOffered(TerminalBatch):
    """The backend does without a call that the REST contract leaves to its choice."""


class TooLarge(TerminalBatch):
    """The backend refuses a request for its size, or that of its answer."""


@dataclass(frozen=True)
class RestQueue:
    """The backend at `url`. What it sends besides the fields of `entities` is left out.

    `token` and `signing_key` are asked for on every call, so that they can be rotated.
    """

    name: str
    url: str
    entities: Mapping[str, Entity]
    token: Callable[[], str]
    signing_key: Callable[[], str] | None = None
    timeout: float = 30.0
    backoff: Backoff = field(default_factory=Backoff)
    sleep: Callable[[float], None] = time.sleep
    session: requests.Session = field(default_factory=requests.Session)
    chance: Callable[[], float] = random.random
    breaker: Breaker | None = None
    quota: Quota = field(default_factory=Quota)

    def changes(self, scope: Scope) -> Iterator[Page]:
        """Yield the pending changes, page by page."""
        query = (
            [("entity", entity) for entity in scope.entities]
            + _tenant(scope)
            + ([("shard", "{}/{}".format(*scope.shard))] if scope.shard else [])
            + [("limit", str(min(scope.page_size, MAX_ITEMS)))]
        )
        for body in self._pages("changes/", query):
            yield self._expect(body, "changes/", lambda body: self._page(_list(body["results"])))

    def _page(self, rows: Sequence[Any]) -> Page:
        changes: list[Change] = []
        malformed: dict[str, Problem] = {}
        for number, row in enumerate(rows):
            try:
                entity = self.entities[row["entity"]]
                changes.append(wire.change_from_json(row, entity.names, entity.from_backend))
            except TerminalRecord as error:
                malformed[_id(row, number)] = Problem(error.code, str(error), record=wire.record_named_in(row))
            except (KeyError, TypeError):
                malformed[_id(row, number)] = Problem("malformed", "a change names no entity that was asked for")
        return Page(changes, malformed)

    def apply(self, changes: Sequence[Change], run_id: str, mode: Mode = Mode.LWW) -> list[Result]:
        """Post the changes, in as many requests as the limits of count and bytes ask for."""
        results: list[Result] = []
        for some, bodies in _requests(changes, self._body):
            head = json.dumps({"run_id": run_id, "mode": str(mode)})[:-1]
            answer = self._call("POST", "apply/", body=f'{head}, "changes": [{",".join(bodies)}]}}')
            results += self._expect(answer, "apply/", partial(self._results, changes=some))
        return results

    def _body(self, change: Change) -> str:
        return json.dumps(wire.change_to_json(change, self.entities[change.record.entity].at_backend))

    def _results(self, body: Any, changes: Sequence[Change]) -> list[Result]:
        rows = _list(body["results"])
        if [row.get("id") for row in rows] != [change.id for change in changes]:
            raise TerminalBatch(
                f"{self._at('apply/')}: the results are not those of the changes sent, in their order; is this a REST queue?"
            )
        return [self._result(*each) for each in zip(rows, changes, strict=True)]

    def _result(self, row: Mapping[str, Any], change: Change) -> Result:
        return wire.result_from_json(row, change, self.entities[change.record.entity].from_backend)

    @property
    def takes_turns(self) -> bool:
        """Yes: a backend may have unique values and references."""
        return True

    @property
    def foresees(self) -> bool:
        """No: only applying a change tells."""
        return False

    def refuses(self, change: Change) -> Problem | None:
        """Return None."""
        return None

    def pending(self, scope: Scope) -> int:
        """Return how many changes of all entities wait in the queue."""
        return self.status(scope).pending

    def pending_deletes(self, scope: Scope) -> int:
        """Return how many deletes wait, by looking through the queue."""
        return sum(change.deletes for page in self.changes(scope) for change in page.changes)

    def count(self, scope: Scope) -> int:
        """Return how many records the backend's digest counts; 0 if it offers none."""
        query = [("entity", scope.entities[0]), *_tenant(scope), ("buckets", "1")]
        try:
            body = self._call("GET", "digest/", query)
        except NotOffered:
            return 0
        return self._expect(body, "digest/", lambda body: sum(int(each["count"]) for each in body["results"]))

    def acknowledge(self, run_id: str, done: Acknowledgement) -> None:
        """Mark queue entries as carried over, overtaken or failed. The contract has no word for what lies in a conflict: to
        the backend that is carried over."""
        failed = [{"id": id, "error": error} for id, error in done.failed.items()]
        self._mark(run_id, ids=[*done.synced, *done.held], superseded=list(done.superseded), failed=failed)

    def settle(self, run_id: str, conflicts: Sequence[str]) -> None:
        """Tell the backend that these conflicts are kept, so that it stops repeating them."""
        self._mark(run_id, conflicts=list(conflicts))

    def _mark(self, run_id: str, **lists: Sequence[Any]) -> None:
        longest = max((len(each) for each in lists.values()), default=0)
        for start in range(0, longest, MAX_ITEMS):
            some = {name: each[start : start + MAX_ITEMS] for name, each in lists.items()}
            self._call("POST", "mark-synced/", body=json.dumps({"run_id": run_id} | some))

    def erase(self, record: RecordId) -> dict[str, int] | None:
        """Have the backend drop what it keeps of a deleted record; None if it offers no such call: it is beyond the contract."""
        told = self._beyond("erase/", record)
        if told is not None and not told["tombstones"]:
            raise Transient(f"{self._at('erase/')}: the record was written anew meanwhile; the same call again erases that too")
        return None if told is None else {name.replace("_", " "): int(number) for name, number in told.items()}

    def about(self, record: RecordId) -> Any:
        """Return all that the backend keeps of a record, as JSON; None if it offers no such call: it is beyond the contract."""
        return self._beyond("about/", record)

    def models(self) -> Any:
        """Return which entities and fields the backend syncs, as JSON; None if it does not tell: it is beyond the contract."""
        try:
            return self._expect(self._call("GET", "models/"), "models/", _models)
        except NotOffered:
            return None

    def _beyond(self, path: str, record: RecordId) -> Any:
        body = json.dumps({"entity": record.entity, "tenant": record.tenant, "keys": [record.key]})
        try:
            return self._expect(self._call("POST", path, body=body), path, lambda body: body["results"])
        except NotOffered:
            return None

    def read(self, ids: Sequence[RecordId], adopting: bool = True) -> list[Record]:
        """Return records by key, none if the backend shows none. It adopts what is unseen in them whenever it shows them."""
        found: list[Record] = []
        ordered = sorted(set(ids), key=lambda id: (id.entity, id.tenant or "", id.key))
        for (entity, tenant), group in groupby(ordered, key=lambda id: (id.entity, id.tenant)):
            keys = [id.key for id in group]
            for start in range(0, len(keys), MAX_ITEMS):
                found += self._read(entity, tenant, keys[start : start + MAX_ITEMS])
        return found

    def _read(self, entity: str, tenant: str | None, keys: Sequence[str]) -> list[Record]:
        """Return records by key, asking for fewer at a time where the answer would be too large."""
        try:
            return self._records(
                entity, self._call("POST", "records/", body=json.dumps({"entity": entity, "tenant": tenant, "keys": keys}))
            )
        except NotOffered:
            return []
        except TooLarge:
            if len(keys) == 1:
                raise
            half = len(keys) // 2
            return self._read(entity, tenant, keys[:half]) + self._read(entity, tenant, keys[half:])

    def records(self, scope: Scope, entity: str, after: str | None = None) -> Iterator[list[Record]]:
        """Yield the live records of an entity in the order of their keys, from the first: the contract knows no other start."""
        yield from self._live(scope, entity, [])

    def _live(self, scope: Scope, entity: str, more: list[tuple[str, str]]) -> Iterator[list[Record]]:
        query = [("entity", entity), *_tenant(scope), *more, ("limit", str(min(scope.page_size, MAX_ITEMS)))]
        for body in self._pages("records/", query):
            page = [record for record in self._records(entity, body) if record.version.deleted is None]
            if page:
                yield page

    def digests(self, scope: Scope, entity: str) -> list[Digest] | None:
        """Return the backend's digests of all buckets; None if it offers none."""
        query = [("entity", entity), *_tenant(scope), ("buckets", str(BUCKETS))]
        try:
            body = self._call("GET", "digest/", query)
        except NotOffered:
            return None
        return self._expect(body, "digest/", _digests)

    def hashes(self, scope: Scope, entity: str, buckets: Mapping[int, Digest]) -> Iterator[tuple[set[int], list[Hashed]]]:
        """Yield the records of these buckets: of few one by one, of many in as many sweeps as keeps the memory bounded."""
        held = sum(each.count for each in buckets.values())
        sweeps = BUCKETS if len(buckets) <= FEW_BUCKETS else 2 ** (held // HELD_AT_ONCE).bit_length()
        for sweep in sorted({bucket % sweeps for bucket in buckets}):
            wanted = {bucket for bucket in buckets if bucket % sweeps == sweep}
            pages = self._live(scope, entity, [("bucket", str(sweep)), ("buckets", str(sweeps))])
            hash_of = self.entities[entity].hash_of
            yield wanted, [Hashed(each.id, hash_of(each)) for page in pages for each in page if bucket_of(each.id) in wanted]

    def _records(self, entity: str, body: Any) -> list[Record]:
        names, decode = self.entities[entity].names, self.entities[entity].from_backend
        return self._expect(body, "records/", lambda body: [wire.record_from_json(row, names, decode) for row in body["results"]])

    def status(self, scope: Scope) -> Status:
        """Return the queue's figures, over all entities of the backend. Asks whatever the breaker says: somebody wants it."""
        return self._expect(self._attempts("GET", "status/"), "status/", _status)

    def _pages(self, path: str, query: list[tuple[str, str]]) -> Iterator[Any]:
        cursor: str | None = None
        while True:
            body = self._call("GET", path, query + ([("cursor", cursor)] if cursor else []))
            following = self._expect(body, path, lambda body: (body["results"], body["next"])[1])
            yield body
            if following is None:
                return
            cursor = str(following)

    def _expect(self, body: Any, path: str, take: Callable[[Any], T]) -> T:
        try:
            return take(body)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TerminalBatch(
                f"{self._at(path)}: the answer is not as the REST contract has it ({type(error).__name__})"
            ) from None

    def _at(self, path: str) -> str:
        return f"peer {self.name!r} at {self.url.rstrip('/')}/{path}"

    def _call(self, method: str, path: str, query: Sequence[tuple[str, str]] = (), body: str | None = None) -> Any:
        attempts = partial(self._attempts, method, path, query, body)
        return self.breaker.call(attempts) if self.breaker else attempts()

    def _attempts(self, method: str, path: str, query: Sequence[tuple[str, str]] = (), body: str | None = None) -> Any:
        return call(lambda: self._attempt(method, path, query, body), self.backoff, self.sleep, self.chance)

    def _attempt(self, method: str, path: str, query: Sequence[tuple[str, str]], body: str | None) -> Any:
        url = f"{self.url.rstrip('/')}/{path}" + (f"?{urlencode(query)}" if query else "")
        sent, headers = _packed(body)
        headers |= {"Authorization": f"Token {self.token()}"}
        try:
            # With an `auth` of ours, no ~/.netrc puts another Authorization in the token's place.
            request = self.session.prepare_request(
                requests.Request(method, url, headers, data=sent, auth=lambda request: request)
            )
            request.headers.update(self._signature(method, request.path_url, sent))
            settings = self.session.merge_environment_settings(request.url, {}, None, None, None)
            response = self.session.send(request, timeout=self.timeout, allow_redirects=False, **settings)
            return self._answer(response, path)
        except requests.RequestException as error:
            raise Transient(
                f"{self._at(path)}: no answer ({type(error).__name__}); is the backend running and reachable?"
            ) from None

    def _answer(self, response: requests.Response, path: str) -> Any:
        at, status = self._at(path), response.status_code
        if status == 429:
            self.quota.met(self.name)
        if status in {429, 503} or status >= 500:
            raise Transient(
                f"{at}: answered {status}; see the backend's log",
                after=retry_after(response.headers.get("Retry-After", ""), datetime.now(UTC)),
            )
        if status in {401, 403}:
            raise TerminalBatch(
                f"{at}: answered {status}; the token (or its signing key) is wrong or may not do this; mend it on either side"
            )
        if status == 404 and path in {"records/", "digest/", "erase/", "about/", "models/"}:
            raise NotOffered(f"{at}: answered 404, so it does not offer this; without whole records there is no reconcile")
        if status == 413:
            raise TooLarge(f"{at}: answered 413, the request or its answer is too large; lower limits.page_size")
        if status != 200:
            raise TerminalBatch(f"{at}: answered {status}, where the REST contract has 200; is the address right?")
        try:
            return JSON.decode(response.content.decode())
        except ValueError:
            kind = response.headers.get("Content-Type", "no type")
            raise Transient(f"{at}: answered {kind} that is no JSON, or only a part of it") from None

    def _signature(self, method: str, target: str, sent: bytes) -> dict[str, str]:
        if self.signing_key is None:
            return {}
        moment, nonce = str(int(time.time())), secrets.token_hex(16)
        signed = "\n".join((moment, nonce, method, target, "")).encode() + sent
        digest = hmac.new(self.signing_key().encode(), signed, hashlib.sha256).hexdigest()
        return {"X-Sync-Timestamp": moment, "X-Sync-Nonce": nonce, "X-Sync-Signature": f"v1={digest}"}


def _tenant(scope: Scope) -> list[tuple[str, str]]:
    return [("tenant", scope.tenant)] if scope.tenant else []


def _digests(body: Any) -> list[Digest]:
    told = {int(each["bucket"]): Digest(int(each["count"]), int(each["sum"])) for each in _list(body["results"])}
    if body["buckets"] != BUCKETS or not all(bucket in range(BUCKETS) for bucket in told):
        raise ValueError
    nothing = Digest()
    return [told.get(bucket, nothing) for bucket in range(BUCKETS)]


def _models(body: Any) -> Any:
    """Return what was told if it is of the form that backend/ tells it in."""
    for each in body["results"]:
        named = [each["entity"], each["key"], body["contract"], *(field["name"] for field in each["fields"])]
        kinds = [Type(field["type"]) for field in each["fields"]]
        if not kinds or not all(isinstance(name, str) for name in named) or not isinstance(each["has_tenants"], bool):
            raise ValueError
    return body


def _status(body: Any) -> Status:
    oldest: datetime | None = parse_instant(body["oldest_pending_at"]) if body["oldest_pending_at"] else None
    told = body.get("by_tenant", {}).items()
    tenants = {name: Waiting(int(each["pending"]), parse_instant(each["oldest_pending_at"])) for name, each in told}
    return Status(int(body["pending"]), oldest, parse_instant(body["server_time"]), int(body["failed"]), tenants)


def _packed(body: str | None) -> tuple[bytes, dict[str, str]]:
    sent = b"" if body is None else body.encode()
    headers = {"Content-Type": "application/json"} if sent else {}
    if len(sent) < GZIP_FROM:
        return sent, headers
    return gzip.compress(sent, compresslevel=1), headers | {"Content-Encoding": "gzip"}


def _requests(changes: Sequence[Change], write: Callable[[Change], str]) -> Iterator[tuple[list[Change], list[str]]]:
    """Yield the changes with their JSON, cut so that no request passes the limits of the contract."""
    some: list[Change] = []
    bodies: list[str] = []
    size = 0
    for change in changes:
        body = write(change)
        if some and (len(some) == MAX_ITEMS or size + len(body) > MAX_BYTES):
            yield some, bodies
            some, bodies, size = [], [], 0
        some.append(change)
        bodies.append(body)
        size += len(body)
    if some:
        yield some, bodies


def _list(rows: Any) -> list[Any]:
    if not isinstance(rows, list):
        raise TypeError
    return rows


def _id(row: Any, number: int) -> str:
    """Return the id of a row that is no change; one without any gets a name that no queue knows."""
    id = row.get("id") if isinstance(row, dict) else None
    return id if isinstance(id, str) and id else f"row-{number}"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


JSON = json.JSONDecoder(parse_constant=_no_constant)
"""Made once: `json.loads` makes one for every call that has options."""
