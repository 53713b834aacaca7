"""How a pair is doing, and what about it needs somebody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from shared import tenants
from shared.config import Health, Schedule
from shared.found import Found, ask
from shared.log import Log
from shared.model import Status, instant
from shared.native import plain
from shared.rollups import last_day
from shared.run import Pair
from shared.store import Store

DAILY = Schedule()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that needs somebody: `code` is the section of docs/operations.md about it, `cure` what to do."""

    code: str
    message: str
    cure: str


def pair_health(pair: Pair, limits: Health, store: Store, now: datetime, schedule: Schedule = DAILY) -> dict[str, Any]:
    """Return a pair's figures by peer, its last run, its dead letters and open conflicts, the figures of its last day that is
    over, its `tenants`, `problems` (see `Trouble`), and `figures`: what alerts are made of.

    Where all is well it is billed eight reads.
    """
    found = ask(pair, limits, schedule, store, now)
    day, figures = last_day(store, pair.name, now)
    troubles = [asdict(each) for each in _troubles(found)]
    return {
        "peers": {name: _status(each) for name, each in found.peers.items()},
        "last_run": plain(dict(found.last)) or None,
        "dead_letters": found.dead_letters,
        "open_conflicts": found.open_conflicts,
        "tenants": tenants.tenants_health(pair.name, found, store),
        "last_day": {"day": day, **figures.as_json()},
        "problems": troubles,
        "figures": _figures(found) | {"problems": len(troubles)},
    }


def say(log: Log, pairs: Mapping[str, Mapping[str, Any]]) -> None:
    """Log each pair's figures in one line, and those of its tenants that need somebody: alerts are made of these."""
    for name, each in pairs.items():
        codes = sorted({problem["code"] for problem in each["problems"]})
        message = f"pair {name} needs somebody: {', '.join(codes)}" if codes else f"pair {name}: all is well"
        log("sync_health", message, "WARNING" if codes else "INFO", pair=name, stats=each["figures"], problems=codes)
        tenants.say(log, name, each["tenants"])


def _status(status: Status) -> dict[str, Any]:
    oldest = instant(status.oldest_pending_at) if status.oldest_pending_at else None
    return {"pending": status.pending, "failed": status.failed, "oldest_pending_at": oldest, "clock": instant(status.now)}


def _figures(found: Found) -> dict[str, float | None]:
    return {
        "pending": found.pending,
        "oldest_pending_seconds": round((found.now - found.oldest).total_seconds()) if found.oldest else 0,
        "dead_letters": found.dead_letters,
        "open_conflicts": found.open_conflicts,
        "brakes": found.last.get("brakes", 0),
        "breakers_open": len(found.breakers),
        "quota_errors": sum(found.quota_errors.values()),
        "peers_silent": len(found.silent),
        "clock_seconds": round(max((_apart(each, found.now) for each in found.peers.values()), default=0.0), 1),
        "intervals_since_success": found.intervals_since(found.success),
    }


def _apart(status: Status, now: datetime) -> float:
    return abs((status.now - now).total_seconds())


def _troubles(found: Found) -> Iterator[Trouble]:
    yield from _of_peers(found)
    yield from _of_runs(found)
    if found.dead_letters:
        cure = "`./bothways dead-letters` says why each was refused; mend that, then `./bothways replay --id ID`"
        yield Trouble("dead-letters", f"{_waiting(found.dead_letters, 'dead letter')} for somebody", cure)
    if found.open_conflicts:
        cure = "`./bothways conflicts --open` shows them; decide each by `./bothways resolve ID --keep local|incoming|value`"
        yield Trouble("conflicts", f"{_waiting(found.open_conflicts, 'conflict')} for somebody's decision", cure)


def _waiting(number: int, what: str) -> str:
    return f"{number} {what} waits" if number == 1 else f"{number} {what}s wait"


def _of_peers(found: Found) -> Iterator[Trouble]:
    for name, why in found.silent.items():
        yield Trouble("peer", f"{name} gave no figures: {why}", f"start or mend {name}; what was changed waits in the queues")
    for name, status in found.peers.items():
        if status.oldest_pending_at and found.waits_too_long(status.oldest_pending_at):
            cure = "`./bothways sync` carries them over, and says what holds up those that it does not"
            yield Trouble("queue", f"{name}: changes have been waiting since {instant(status.oldest_pending_at)}", cure)
        if (apart := _apart(status, found.now)) > found.limits.clock_seconds:
            message = f"{name}: its clock is {apart:.0f} s off the functions'"
            yield Trouble("clock", message, "mend the time service (NTP) of its server; until then its edits may wait")
    for name, each in found.breakers.items():
        message = f"{name}: {each['failures']} calls in a row failed, so runs leave it alone until {instant(each['until'])}"
        yield Trouble("breaker", message, f"start or mend {name}; the first run after that time tries it again")
    for name, number in found.quota_errors.items():
        cure = f"see the quotas of {name}; run more often, or with fewer changes at a time (limits in sync.yaml)"
        yield Trouble("quota", f"{name}: it said {number} time(s) to the last run that a quota is used up", cure)


def _of_runs(found: Found) -> Iterator[Trouble]:
    last, success = found.last, found.success
    if last.get("brakes"):
        cure = "`./bothways sync --dry-run` shows them; if they are meant, `./bothways sync --allow-mass-delete PLAN`"
        yield Trouble("brake", f"the last run, {last['run_id']}, held a mass delete", cure)
    if last and not last["success"]:
        cure = "its record in sync_runs says why, under `failure`; once that is mended, `./bothways sync`"
        yield Trouble("failed", f"the last run, {last['run_id']}, failed", cure)
    if success and found.is_overdue(success):
        message = f"no run has gone through since {instant(success)}{_for_whom(found)}"
        yield Trouble("overdue", message, "is the scheduler's job there and enabled? `./bothways sync` runs it now")


def _for_whom(found: Found) -> str:
    """Return for which tenants, where not for all."""
    overdue = [tenant for tenant in found.tenants if found.is_overdue(found.success_of(tenant))]
    if len(overdue) == len(found.tenants):
        return ""
    return f" for {', '.join(tenant or 'what has no tenant' for tenant in overdue)}"
