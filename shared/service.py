"""Requests in, answers out: what the HTTP functions have in common. Authenticate, parse, call, answer."""

from __future__ import annotations

import hashlib
import hmac
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from flask import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.exceptions import BadRequest as NoJson

from shared import engine, wiring
from shared import reconcile as whole
from shared.config import Health
from shared.decision import Decision
from shared.errors import AlreadyRunning, BadRequest, ConfigError, NotOpen, Refused, SyncError, UnknownId, unforeseen
from shared.model import Status, instant
from shared.report import Failure, Report
from shared.resolve import resolve as decide
from shared.run import Order, Pair

Answer = tuple[dict[str, Any], int]
Body = TypeVar("Body", bound=BaseModel)
Work = Callable[[Pair, Order], Report]
ANSWERED: Mapping[type[SyncError], int] = {BadRequest: 400, UnknownId: 404, NotOpen: 409}


class SyncRequest(BaseModel):
    """What a caller may ask of a run; all of it optional."""

    model_config = ConfigDict(extra="forbid", strict=True)

    pair: str | None = None
    entities: list[str] | None = Field(None, min_length=1)
    tenant: str | None = Field(None, min_length=1)
    direction: str | None = None
    dry_run: bool = False
    max_changes: int | None = Field(None, ge=1)
    allow_mass_delete: str | None = None


@dataclass(frozen=True)
class Call:
    """One authenticated call: its id, and the run id that repeated attempts of it share."""

    request_id: str
    run_id: str
    repeatable: bool
    started_at: datetime

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
    request: Request, work: Callable[[Call], Answer], method: str = "POST"
) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Return what `work` answers, or why it could not be asked: 400, 401, 403, 404, 405, 409 or 500."""
    call = _call(request)
    try:
        authenticate(request)
        body, status = work(call) if request.method == method else _wrong_method(call, request.method, method)
    except Refused as error:
        body, status = call.answer(False, {}, [_error(error)]), error.status
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
    return body, status, {"Cache-Control": "no-store"}


def _wrong_method(call: Call, method: str, right: str) -> Answer:
    said = {"kind": "BadRequest", "message": f"this function is called with {right}, not with {method}"}
    return call.answer(False, {}, [said]), 405


def _call(request: Request) -> Call:
    started = wiring.now()
    scheduled = request.headers.get("X-CloudScheduler-ScheduleTime")
    unique = hashlib.sha256(scheduled.encode()).hexdigest()[:12] if scheduled else uuid.uuid4().hex[:12]
    run_id = f"scheduled-{unique}" if scheduled else f"{started:%Y%m%dT%H%M%SZ}-{unique}"
    trace = request.headers.get("X-Cloud-Trace-Context", "").partition("/")[0]
    return Call(trace or uuid.uuid4().hex, run_id, bool(scheduled), started)


def authenticate(request: Request) -> None:
    """Pass a caller with the operator token. Where SYNC_TRUST_IAM is set, Cloud Run has refused all others already."""
    if os.environ.get("SYNC_TRUST_IAM") == "1":
        return
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise Refused(401, "no operator token; send it as `Authorization: Bearer TOKEN`")
    if not hmac.compare_digest(token.encode(), wiring.secrets().get("operator-token").encode()):
        raise Refused(401, "the operator token is wrong; see the secret operator-token")


def parse(request: Request, kind: type[Body]) -> Body:
    """Return the JSON body of a request; an empty one is all defaults. BadRequest names every wrong field."""
    try:
        return kind.model_validate(request.get_json(force=True) if request.get_data(cache=True) else {})
    except NoJson:
        raise BadRequest("the body is no JSON") from None
    except ValidationError as error:
        places = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors(include_input=False)]
        raise BadRequest(f"{'; '.join(places)}; valid: {', '.join(kind.model_fields)}") from None


def run_pairs(request: Request, call: Call, work: Work) -> Answer:
    """Run `work` on each pair that the request asks for and answer with all reports. One pair's failure stops no other."""
    asked = parse(request, SyncRequest)
    chosen = _chosen(asked, wiring.pairs())
    order = Order(call.run_id, asked.direction, asked.dry_run, asked.max_changes, asked.allow_mass_delete)
    reports: dict[str, dict[str, Any]] = {}
    errors: list[dict[str, Any]] = []
    status = 200
    for name, pair in chosen.items():
        try:
            report = _repeated(call, name) or work(pair, order)
            reports[name] = report if isinstance(report, dict) else report.as_json()
            if isinstance(report, Report) and report.failure:
                errors.append(_failure(name, report.failure))
                status = 500
        except AlreadyRunning as error:
            errors.append(_error(error) | {"pair": name, "runId": error.run_id})
            status = max(status, 409)
    return call.answer(status == 200, {"pairs": reports}, errors), status


def _repeated(call: Call, pair: str) -> dict[str, Any] | None:
    """Return the result of an earlier attempt of the same scheduled call, if it went through."""
    record = wiring.store().run(pair, call.run_id) if call.repeatable else {}
    return dict(record["result"]) if record.get("status") == "done" else None


def _chosen(asked: SyncRequest, pairs: Mapping[str, Pair]) -> dict[str, Pair]:
    if asked.pair is not None and asked.pair not in pairs:
        raise BadRequest(f"pair: there is no pair {asked.pair!r}; there are: {', '.join(pairs)}")
    chosen = {name: pair for name, pair in pairs.items() if asked.pair in {None, name}}
    known = [entity for pair in chosen.values() for entity in pair.scope.entities]
    for entity in asked.entities or ():
        if entity not in known:
            raise BadRequest(f"entities: there is no entity {entity!r} there; there are: {', '.join(known)}")
    ways = [f"{a.name}_to_{b.name}" for pair in chosen.values() for a, b in ((pair.left, pair.right), (pair.right, pair.left))]
    if asked.direction is not None and asked.direction not in ways:
        raise BadRequest(f"direction: there is no direction {asked.direction!r}; there are: {', '.join(ways)}")
    return {name: _narrowed(pair, asked) for name, pair in chosen.items()}


def _narrowed(pair: Pair, asked: SyncRequest) -> Pair:
    entities = tuple(entity for entity in pair.scope.entities if asked.entities is None or entity in asked.entities)
    return replace(pair, scope=replace(pair.scope, entities=entities, tenant=asked.tenant))


def sync(call: Call) -> Work:
    """Return the delta sync as `run_pairs` calls it."""
    return lambda pair, order: engine.sync(pair, order, wiring.store(), wiring.now, wiring.log().bind(requestId=call.request_id))


def reconcile(call: Call) -> Work:
    """Return the full reconcile as `run_pairs` calls it."""
    return lambda pair, order: whole.reconcile(
        pair, order, wiring.store(), wiring.now, wiring.log().bind(requestId=call.request_id)
    )


def resolve(request: Request, call: Call) -> Answer:
    """Decide a conflict as the request says."""
    log = wiring.log().bind(requestId=call.request_id)
    done = decide(wiring.pairs(), wiring.store(), wiring.now, log, parse(request, Decision))
    return call.answer(True, {"conflict": done}, []), 200


def health(call: Call) -> Answer:
    """Return backlogs, last run, dead letters and open conflicts of every pair; 503 where something needs somebody."""
    pairs = {name: _pair_health(pair, wiring.settings().pairs[name].health) for name, pair in wiring.pairs().items()}
    problems = [{"pair": name, "message": text} for name, each in pairs.items() for text in each["problems"]]
    return call.answer(not problems, {"pairs": pairs}, problems), 503 if problems else 200


def _pair_health(pair: Pair, limits: Health) -> dict[str, Any]:
    now, problems, peers = wiring.now(), [], {}
    for peer in (pair.left, pair.right):
        try:
            status = peer.status(pair.scope)
            peers[peer.name] = _status(status)
            problems += _backlog_problems(peer.name, status, limits, now)
        except SyncError as error:
            problems.append(str(error))
    last, dead = wiring.store().lease(pair.name).last, wiring.store().open_dead_letters(pair.name)
    if dead:
        problems.append(f"{dead} dead letter(s) wait for somebody; see sync_dead_letters")
    if conflicts := wiring.store().count_open_conflicts(pair.name):
        problems.append(f"{conflicts} conflict(s) wait for somebody's decision; see the open ones in sync_conflicts")
    if last and last.get("brakes"):
        problems.append(f"the last run, {last['run_id']}, held a mass delete; see its brakes in sync_runs")
    if last and not last["success"]:
        problems.append(f"the last run, {last['run_id']}, failed; see sync_runs")
    if last and now - last["completed_at"] > timedelta(hours=limits.last_success_hours):
        problems.append(f"the last run ended {instant(last['completed_at'])}; is the scheduler's job enabled?")
    shown = {**last, "completed_at": instant(last["completed_at"])} if last else None
    return {"peers": peers, "last_run": shown, "dead_letters": dead, "open_conflicts": conflicts, "problems": problems}


def _status(status: Status) -> dict[str, Any]:
    oldest = instant(status.oldest_pending_at) if status.oldest_pending_at else None
    return {"pending": status.pending, "failed": status.failed, "oldest_pending_at": oldest, "clock": instant(status.now)}


def _backlog_problems(name: str, status: Status, limits: Health, now: datetime) -> list[str]:
    problems = []
    if status.oldest_pending_at and now - status.oldest_pending_at > timedelta(hours=limits.oldest_pending_hours):
        problems.append(f"{name}: changes have been waiting since {instant(status.oldest_pending_at)}")
    apart = abs((status.now - now).total_seconds())
    if apart > limits.clock_seconds:
        problems.append(f"{name}: its clock is {apart:.0f} s off the functions'; mend its time service")
    return problems


def _error(error: SyncError) -> dict[str, Any]:
    return {"kind": type(error).__name__, "message": str(error)}


def _failure(pair: str, failure: Failure) -> dict[str, Any]:
    return {
        "pair": pair,
        "kind": "Transient" if failure.retry else "TerminalBatch",
        "message": failure.message,
        "retry": failure.retry,
    }
