"""What is asked about OJS journals, by HTTP and on the command line, beside their sync: how they are, and one submission."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Request
from pydantic import BaseModel, ConfigDict, Field

from shared import service, signatures, wiring
from shared.bodies import parse
from shared.callers import Caller, Role
from shared.errors import BadRequest, Refused, SyncError, unforeseen
from shared.peers.ojs import Ojs
from shared.peers.polled import PolledPeer
from shared.run import Order, Pair
from shared.single import sync_records

AT_ONCE = 8
"""Journals that are asked how they are: a slow one lets no other wait."""
LACKS = {
    "3.3": ("discussions", "review texts", "reviewers", "recommendations", "writing contributors", "new drafts"),
    "3.4": ("discussions", "review texts", "reviewers", "recommendations"),
    "3.5": ("discussions", "review texts"),
}
"""What a version's API does not offer, and so is never synced."""
NOBODY_ELSE = Caller("a journal's event", "ojs_event", Role.OPERATOR)


class EventRequest(BaseModel):
    """What a journal tells of."""

    model_config = ConfigDict(extra="forbid", strict=True)

    journal: str = Field(min_length=1)
    """The journal's name in sync.yaml."""
    submission: int = Field(ge=1)
    """The submission's id in that journal's OJS."""


class HealthRequest(BaseModel):
    """How one journal is, or all are."""

    model_config = ConfigDict(extra="forbid", strict=True)

    journal: str | None = None
    """Only this one."""


def signed(request: Request) -> Caller:
    """Return the caller of ojs_event: whoever signs with the event key of the journal that the body names."""
    if "X-Sync-Signature" not in request.headers:
        raise Refused(401, "the call is not signed; the REST contract says how, with the journal's event key")
    spec = _specs().get(parse(request, EventRequest).journal)
    if spec is None or spec.event_key is None:
        raise Refused(401, "there is no such journal, or it has no event_key; sync.yaml names both")
    key = wiring.secret(spec.event_key)()
    path = request.full_path.removesuffix("?")
    targets = {path, f"{request.script_root}{path}", f"/ojs_event{path.removeprefix('/')}"}
    signatures.check(request.headers, request.method, targets, request.get_data(), key, wiring.now())
    return NOBODY_ELSE


def event(request: Request, call: service.Call) -> service.Answer:
    """Sync it, and answer in `submission` with what became of it in every pair that has it."""
    asked = parse(request, EventRequest)
    ends: dict[str, Any] = {}
    errors: list[dict[str, Any]] = []
    for pair, peer in _peers():
        if "submission" not in pair.scope.entities or asked.journal not in pair.tenants.get("submission", ()):
            continue
        ids = peer.take(asked.journal, "submission", [str(asked.submission)])
        report, ended = sync_records(pair, ids, _order(call), wiring.store(), wiring.now, wiring.log()) if ids else (None, {})
        ends[pair.name] = next(iter(ended.values()), "unknown")
        if report and report.failure:
            errors.append({"pair": pair.name, "message": report.failure.message, "retry": report.failure.retry})
    return call.answer(not errors, {"submission": ends}, errors), 500 if errors else 200


def health(request: Request, call: service.Call) -> service.Answer:
    """Answer in `journals` how each is: version found, and what is wrong. 503: something is."""
    return health_asked(parse(request, HealthRequest), call)


def health_asked(asked: HealthRequest, call: service.Call) -> service.Answer:
    """Ask every journal, or one, and return its version and what that lacks, or what is wrong; 503 where something is."""
    known = {slug: peer.system for _, peer in _peers() for slug in peer.system.tenants}
    if asked.journal is not None and asked.journal not in known:
        raise BadRequest(f"journal: there is no journal {asked.journal!r}; there are: {', '.join(known)}")
    chosen = {slug: ojs for slug, ojs in known.items() if asked.journal in {None, slug}}
    with ThreadPoolExecutor(AT_ONCE, "health") as pool:
        told = dict(zip(chosen, pool.map(_told, chosen.values(), chosen), strict=True))
    problems = [{"journal": slug, "message": each["problem"]} for slug, each in told.items() if each["problem"]]
    for each in problems:
        wiring.log()("journal_trouble", each["message"], "WARNING", tenant=each["journal"], requestId=call.request_id)
    return call.answer(not problems, {"journals": told}, problems), 503 if problems else 200


def _told(ojs: Ojs, slug: str) -> dict[str, Any]:
    try:
        reader = ojs.reader(slug)
        reader.context()
        return {"version": reader.version, "offers_no": list(LACKS.get(reader.version, ())), "problem": None}
    except Exception as error:
        return {"version": None, "offers_no": [], "problem": str(error) if isinstance(error, SyncError) else unforeseen(error)}


def _order(call: service.Call) -> Order:
    return Order(call.run_id, by=call.caller.name)


def _peers() -> Iterator[tuple[Pair, Any]]:
    """Yield the pairs with an OJS, each with that peer."""
    for pair in wiring.pairs().values():
        for peer in (pair.left, pair.right):
            if isinstance(peer, PolledPeer) and isinstance(peer.system, Ojs):
                yield pair, peer


def _specs() -> Mapping[str, Any]:
    from shared.specs.ojs import OjsSpec

    specs = [each for each in wiring.settings().peers.values() if isinstance(each, OjsSpec)]
    return {slug: journal for spec in specs for slug, journal in spec.journals.items()}
