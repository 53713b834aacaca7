"""Requests in, answers out: what the HTTP functions have in common. Authenticate, parse, call, answer."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, Self

from flask import Request, current_app, g
from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared import engine, shards, wiring
from shared import reconcile as whole
from shared import replay as replays
from shared.bodies import parse
from shared.callers import NOBODY, Caller, Role
from shared.decision import Decision
from shared.errors import AlreadyRunning, BadRequest, BodyTooLarge, ConfigError, NotFound, NotOpen, Refused, SyncError, unforeseen
from shared.explain import known, tell
from shared.export import export
from shared.facts import gather
from shared.health import pair_health, say
from shared.model import instant
from shared.preview import Motion, rehearse
from shared.privacy import Erasure, Subject, erase
from shared.report import Failure, Report
from shared.resolve import resolve as decide
from shared.run import Order, Pair
from shared.schedule import first_after

Answer = tuple[dict[str, Any], int]
Text = Annotated[str, Field(min_length=1)]
ANSWERED: Mapping[type[SyncError], int] = {BadRequest: 400, NotFound: 404, NotOpen: 409, AlreadyRunning: 409, BodyTooLarge: 413}
_TRACE = re.compile(r"[0-9a-f]{1,64}")


class RunRequest(BaseModel):
    """What a caller may ask of any run; all of it optional."""

    model_config = ConfigDict(extra="forbid", strict=True)

    pair: str | None = None
    """Only this pair; otherwise all, one after the other."""
    entities: list[str] | None = Field(None, min_length=1, max_length=1000)
    """Only these entities."""
    tenant: Text | None = None
    """Only this tenant's records."""
    dry_run: bool = False
    """Say what would be done, record by record, and what it would be billed; do nothing."""
    max_changes: int | None = Field(None, ge=1)
    """Stop after so many changes; `left_over` says whether there are more."""
    max_billed: int | None = Field(None, ge=1)
    """Stop at so many billed operations of Firestore."""
    allow_mass_delete: str | None = None
    """The plan of a brake (`brakes` of an earlier answer) whose deletes may pass. Needs the role admin."""

    def order(self, run_id: str) -> Order:
        """Return what the run is to do."""
        return Order(run_id, None, self.max_changes, self.max_billed, self.allow_mass_delete)

    def narrowed(self, pair: Pair) -> Pair:
        """Return the pair with only what was asked for in its scope."""
        entities = tuple(entity for entity in pair.scope.entities if self.entities is None or entity in self.entities)
        return replace(pair, scope=replace(pair.scope, entities=entities, tenant=self.tenant))


class ReplayRequest(BaseModel):
    """Which dead letters are to be replayed: the one with an id, or the open ones of an entity, or with a reason, or both."""

    model_config = ConfigDict(extra="forbid", strict=True)

    pair: str | None = None
    """Whose; not needed with an id, nor where there is one pair."""
    id: str | None = Field(None, min_length=1)
    """The id of its document in `sync_dead_letters`."""
    entity: str | None = None
    """Those of this entity."""
    reason: str | None = Field(None, pattern=r"^[a-z0-9-]{1,64}$")
    """Those with this reason, such as `too-large`."""
    max: int = Field(100, ge=1, le=1000)
    """So many at the most; `left_over` says whether there may be more."""
    by: str = Field("operator", min_length=1, max_length=200)
    """Who asks, for `sync_audit`; whoever has a token of their own is named by that instead."""
    allow_mass_delete: str | None = None
    """The plan of a brake whose deletes may pass. Needs the role admin."""


class SyncRequest(RunRequest):
    """What a caller may ask of a delta sync."""

    direction: str | None = None
    """Only this way, such as `django_to_firestore`."""

    def order(self, run_id: str) -> Order:
        """Return what the run is to do."""
        return replace(super().order(run_id), direction=self.direction)


class ReconcileRequest(RunRequest):
    """What a caller may ask of a reconcile. It works both ways."""

    keys: list[Text] | None = Field(None, min_length=1, max_length=10_000)
    """Only the records with these keys, of one entity."""
    mode: Literal["quick", "full"] = "full"
    """By digests, for a billed read per thousand records; or by reading every record, which also finds edits whose trigger was
    lost."""
    batch_size: int | None = Field(None, ge=1, le=1000)
    """So many records at a time; the pair's `page_size`, if not given."""
    restart: bool = False
    """Begin at the beginning, also where an earlier full reconcile was cut off."""
    repair: bool = True
    """Mend what differs; false only counts it."""

    @model_validator(mode="after")
    def _keys_are_of_one_entity(self) -> Self:
        if self.keys and len(self.entities or ()) != 1:
            raise ValueError("keys needs exactly one entity in entities")
        if self.keys and self.mode == "quick":
            raise ValueError("keys are compared by reading them, so mode can only be full")
        return self

    def narrowed(self, pair: Pair) -> Pair:
        """Return the pair with only what was asked for in its scope."""
        pair = super().narrowed(pair)
        return replace(pair, scope=replace(pair.scope, page_size=self.batch_size or pair.scope.page_size))

    def task(self) -> whole.Task:
        """Return how to compare."""
        return whole.Task(self.mode, tuple(self.keys or ()), self.restart, self.repair)


@dataclass(frozen=True)
class Call:
    """One call: its id, the run id that repeated attempts of it share, whose it is, once that is known, and what is told how
    far its runs have come."""

    request_id: str
    run_id: str
    repeatable: bool
    started_at: datetime
    caller: Caller = NOBODY
    told: Callable[[Report], None] = lambda report: None

    def answer(self, success: bool, result: Mapping[str, Any], errors: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the body that every HTTP function answers with."""
        done = wiring.now()
        return {
            "success": success,
            "requestId": self.request_id,
            "runId": self.run_id,
            "startedAt": instant(self.started_at),
            "completedAt": instant(done),
            "durationMs": round((done - self.started_at).total_seconds() * 1000),
            "timestamp": instant(done),
            "result": dict(result),
            "errors": [dict(error) for error in errors],
        }


def answering(
    request: Request,
    work: Callable[[Call], Answer],
    method: str = "POST",
    *,
    role: Literal["viewer", "operator", "admin"],
    by: Callable[[Request], Caller] | None = None,
) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Return what `work` answers a caller with this role, or why it could not be asked: 400, 401, 403, 404, 405, 409, 413 or
    500. Every call is one line in the log, with who called and what came of it. `by` knows the caller by something else than a
    token."""
    call = _call(request)
    told: dict[str, str] = {}
    try:
        call = replace(call, caller=by(request) if by else wiring.callers().recognise(request.headers))
        call.caller.require(Role(role))
        body, status = work(call) if request.method == method else _wrong_method(call, request.method, method)
    except Refused as error:
        body, status = call.answer(False, {}, [_error(error)]), error.status
        told = {"reason": str(error)}
    except tuple(ANSWERED) as error:
        body, status = call.answer(False, {}, [_error(error)]), ANSWERED[type(error)]
    except ConfigError as error:
        wiring.log()("sync_fail", str(error), "ERROR", requestId=call.request_id)
        said = {"kind": "ConfigError", "message": "the functions are not configured rightly; their log says where"}
        body, status = call.answer(False, {}, [said]), 500
    except Exception as error:
        message = str(error) if isinstance(error, SyncError) else unforeseen(error)
        wiring.log()("sync_fail", message, "ERROR", requestId=call.request_id)
        body, status = call.answer(False, {}, [{"kind": type(error).__name__, "message": message}]), 500
    _log_call(call, status, told)
    return body, status, {"Cache-Control": "no-store"} | ({"WWW-Authenticate": "Bearer"} if status == 401 else {})


def _log_call(call: Call, status: int, told: Mapping[str, str]) -> None:
    """Note who called and what came of it. Refused calls are noted here alone: in Firestore, a stranger could run up a bill."""
    event, severity = ("refused", "WARNING") if status in {401, 403} else ("call", "INFO")
    who = {"caller": call.caller.id, "role": call.caller.role, "requestId": call.request_id, "runId": call.run_id}
    function = g.get("function", current_app.name)
    wiring.log()(event, f"{function} answered {status}", severity, function=function, status=status, **who, **told)


def _wrong_method(call: Call, method: str, right: str) -> Answer:
    said = {"kind": "BadRequest", "message": f"this function is called with {right}, not with {method}"}
    return call.answer(False, {}, [said]), 405


def _call(request: Request) -> Call:
    started = wiring.now()
    scheduled = request.headers.get("X-CloudScheduler-ScheduleTime")
    unique = hashlib.sha256(scheduled.encode()).hexdigest()[:12] if scheduled else uuid.uuid4().hex[:12]
    run_id = f"scheduled-{unique}" if scheduled else f"{started:%Y%m%dT%H%M%SZ}-{unique}"
    trace = request.headers.get("X-Cloud-Trace-Context", "").partition("/")[0]
    return Call(trace if _TRACE.fullmatch(trace) else uuid.uuid4().hex, run_id, bool(scheduled), started)


def run_asked(asked: RunRequest, call: Call, motion: Motion) -> Answer:
    """Make the motion of each pair that is asked for and answer with all reports. One pair's failure stops no other."""
    _refuse_mass_delete(asked.allow_mass_delete, call)
    order = replace(asked.order(call.run_id), by=call.caller.name)
    chosen = _chosen(asked, order.direction, wiring.pairs())
    if asked.allow_mass_delete is not None and not asked.dry_run:
        wiring.store().audit("allow_mass_delete", call.run_id, order.by, call.started_at, plan=asked.allow_mass_delete)
    reports: dict[str, dict[str, Any]] = {}
    errors: list[dict[str, Any]] = []
    status = 200
    for name, pair in chosen.items():
        try:
            report = _repeated(call, name) or _made(motion, pair, order, asked.dry_run, call)
            reports[name] = report if isinstance(report, dict) else report.as_json()
            if isinstance(report, Report):
                errors += [_failure(name, each) | {"tenant": tenant} for tenant, each in report.tenants.items()]
            if isinstance(report, Report) and report.failure:
                errors.append(_failure(name, report.failure))
                status = 500
        except AlreadyRunning as error:
            errors.append(_error(error) | {"pair": name, "runId": error.run_id})
            status = max(status, 409)
    return call.answer(not errors, {"pairs": reports}, errors), status


def _refuse_mass_delete(plan: str | None, call: Call) -> None:
    if plan is not None:
        call.caller.require(Role.ADMIN, "allow_mass_delete")


def _repeated(call: Call, pair: str) -> dict[str, Any] | None:
    """Return the result of an earlier attempt of the same scheduled call, if it went through."""
    record = wiring.store().run(pair, call.run_id) if call.repeatable else {}
    return dict(record["result"]) if record.get("status") == "done" else None


def _chosen(asked: RunRequest, direction: str | None, pairs: Mapping[str, Pair]) -> dict[str, Pair]:
    if asked.pair is not None and asked.pair not in pairs:
        raise BadRequest(f"pair: there is no pair {asked.pair!r}; there are: {', '.join(pairs)}")
    chosen = {name: pair for name, pair in pairs.items() if asked.pair in {None, name}}
    known = [entity for pair in chosen.values() for entity in pair.scope.entities]
    for entity in asked.entities or ():
        if entity not in known:
            raise BadRequest(f"entities: there is no entity {entity!r} there; there are: {', '.join(known)}")
    ways = [name for pair in chosen.values() for name, _, _ in pair.ways]
    if direction is not None and direction not in ways:
        raise BadRequest(f"direction: there is no direction {direction!r}; there are: {', '.join(ways)}")
    return {name: asked.narrowed(pair) for name, pair in chosen.items()}


def _made(motion: Motion, pair: Pair, order: Order, dry_run: bool, call: Call) -> Report:
    pair = replace(pair, told=call.told)
    if dry_run:
        return rehearse(motion, pair, order, wiring.store(), wiring.now)
    return motion(pair, order, wiring.store(), wiring.now, wiring.log().bind(requestId=call.request_id))


def sync(request: Request, call: Call) -> Answer:
    """Carry over what waits in the queues, and answer in `pairs` with each run's report."""
    return sync_asked(parse(request, SyncRequest), call)


def sync_asked(asked: SyncRequest, call: Call) -> Answer:
    """Carry over what waits in the queues that are asked for."""
    return run_asked(asked, call, engine.sync if asked.dry_run else partial(shards.sync, tasks=wiring.tasks()))


def shard(request: Request, call: Call) -> Answer:
    """Carry the shard, and answer in `pairs` with its report, or with a `note` if there is nothing to do."""
    asked, log = parse(request, shards.ShardRequest), wiring.log().bind(requestId=call.request_id)
    if asked.pair not in wiring.pairs():
        raise BadRequest(f"pair: there is no pair {asked.pair!r}; there are: {', '.join(wiring.pairs())}")
    report, note = shards.sync_shard(wiring.pairs()[asked.pair], asked, wiring.store(), wiring.now, log, wiring.tasks())
    if report is None:
        return call.answer(True, {"note": note}, []), 200
    errors = [_failure(asked.pair, report.failure)] if report.failure else []
    if report.stopped_by == "time":
        errors.append({"pair": asked.pair, "kind": "TimeIsOver", "message": "called again, the shard goes on", "retry": True})
    return call.answer(not errors, {"pairs": {asked.pair: report.as_json()}}, errors), 500 if errors else 200


def reconcile(request: Request, call: Call) -> Answer:
    """Compare, mend what differs, and answer in `pairs` with each run's report, in which `reconciled` tells of each entity."""
    return reconcile_asked(parse(request, ReconcileRequest), call)


def reconcile_asked(asked: ReconcileRequest, call: Call) -> Answer:
    """Compare and mend what is asked for."""
    return run_asked(asked, call, partial(whole.reconcile, task=asked.task()))


def resolve(request: Request, call: Call) -> Answer:
    """Decide the conflict, and answer in `conflict` with what was kept, by whom and when, and no value. 400: a side refuses the
    value, and nothing was written. 404: no such conflict. 409: decided before, or overtaken by a newer edit."""
    log = wiring.log().bind(requestId=call.request_id)
    asked = parse(request, Decision)
    asked = asked.model_copy(update={"by": call.caller.signs(asked.by)})
    done = decide(wiring.pairs(), wiring.store(), wiring.now, log, asked)
    return call.answer(True, {"conflict": done}, []), 200


def health(call: Call) -> Answer:
    """Answer in `pairs` with the backlogs, oldest pending, last run and dead letters of each. 503: something needs somebody;
    `errors` names it, each with a cure."""
    limits, store = wiring.settings().pairs, wiring.store()
    pairs = {
        name: pair_health(pair, limits[name].health, store, wiring.now(), limits[name].schedule)
        for name, pair in wiring.pairs().items()
    }
    say(wiring.log().bind(requestId=call.request_id), pairs)
    problems = [{"pair": name, **problem} for name, each in pairs.items() for problem in each["problems"]]
    told = {name: each | _described(name) for name, each in pairs.items()}
    return call.answer(not problems, {"pairs": told}, problems), 503 if problems else 200


def _described(name: str) -> dict[str, Any]:
    """Return what a page must know of a pair: when it is to run next, and its entities with their tenants."""
    pair, spec = wiring.pairs()[name], wiring.settings().pairs[name]
    entities = {each: list(pair.tenants.get(each, ())) for each in pair.entities}
    return {"next_run_at": instant(first_after(wiring.now(), spec.schedule)), "entities": entities}


def replay(request: Request, call: Call) -> Answer:
    """Replay them, and answer in `letters` with what became of each, in `counts` with how many ended so."""
    return replay_asked(parse(request, ReplayRequest), call)


def replay_asked(asked: ReplayRequest, call: Call) -> Answer:
    """Replay the dead letters that are asked for; 200 whatever becomes of them."""
    _refuse_mass_delete(asked.allow_mass_delete, call)
    pairs, store = wiring.pairs(), wiring.store()
    pair = pairs[replays.pair_asked(asked, pairs, store)]
    order = Order(call.run_id, allow_mass_delete=asked.allow_mass_delete)
    letters = replays.chosen(pair, asked, store)
    log = wiring.log().bind(requestId=call.request_id)
    ended = replays.replay(pair, letters, order, store, wiring.now, log, call.caller.signs(asked.by))
    counts = dict(Counter(each.outcome for each in ended))
    more = asked.id is None and len(letters) == asked.max
    return call.answer(True, {"letters": [each.as_json() for each in ended], "counts": counts, "left_over": more}, []), 200


def erasing(request: Request, call: Call) -> Answer:
    """Erase it, and answer in `receipt` with what was dropped where, and what remains until when. 404: nothing is known of it.
    409: a run is under way, call again after it; or a side holds on to the record."""
    return erase_asked(parse(request, Erasure), call)


def erase_asked(asked: Erasure, call: Call) -> Answer:
    """Erase a record and answer with the receipt; 409 where a run is still under way and the call is to be repeated after it."""
    asked = asked.model_copy(update={"by": call.caller.signs(asked.by)})
    receipt = erase(wiring.pairs(), wiring.store(), wiring.now, wiring.log().bind(requestId=call.request_id), asked, call.run_id)
    errors = [_error(AlreadyRunning(receipt["pair"], run)) for run in receipt["waits_for"]]
    return call.answer(receipt["complete"], {"receipt": receipt}, errors), 200 if receipt["complete"] else 409


def exporting(request: Request, call: Call) -> Answer:
    """Answer with the record as each side holds it, and all that is kept about it. 404: nothing is known of it."""
    return export_asked(parse(request, Subject), call)


def export_asked(asked: Subject, call: Call) -> Answer:
    """Return all that is held of a record."""
    asked = asked.model_copy(update={"by": call.caller.signs(asked.by)})
    log = wiring.log().bind(requestId=call.request_id)
    return call.answer(True, export(wiring.pairs(), wiring.store(), wiring.now, log, asked, call.run_id), []), 200


def explaining(request: Request, call: Call) -> Answer:
    """Answer in `story` with what is known of the record. 404: nothing is known of it."""
    pair, record = parse(request, Subject).found_in(wiring.pairs())
    facts = gather(pair, record, wiring.store())
    if not known(facts):
        raise NotFound(f"nothing is known of this {record.entity}: neither side holds it, and nothing that was kept is about it")
    return call.answer(True, {"story": tell(facts, wiring.now()).as_json()}, []), 200


def _error(error: SyncError) -> dict[str, Any]:
    return {"kind": type(error).__name__, "message": str(error)}


def _failure(pair: str, failure: Failure) -> dict[str, Any]:
    return {
        "pair": pair,
        "kind": "Transient" if failure.retry else "TerminalBatch",
        "message": failure.message,
        "retry": failure.retry,
    }
