"""How a pair is doing, and what about it needs somebody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.config import Health
from shared.errors import SyncError
from shared.log import Log
from shared.model import Status, instant
from shared.native import plain
from shared.rollups import last_day
from shared.run import Pair
from shared.store import Store


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that needs somebody: `code` is the section of docs/operations.md about it, `cure` what to do."""

    code: str
    message: str
    cure: str


@dataclass(frozen=True)
class Found:
    """What was asked and answered: each peer's figures, and what lies in Firestore about the pair."""

    peers: Mapping[str, Status]
    silent: Mapping[str, str]
    """Why a peer gave none, by its name."""
    last: Mapping[str, Any]
    dead_letters: int
    open_conflicts: int
    now: datetime

    @property
    def pending(self) -> int:
        """Changes that wait on both sides."""
        return sum(each.pending for each in self.peers.values())

    @property
    def oldest(self) -> datetime | None:
        """When the oldest of them was made."""
        return min((each.oldest_pending_at for each in self.peers.values() if each.oldest_pending_at), default=None)

    @property
    def breakers(self) -> Mapping[str, Mapping[str, Any]]:
        """The breakers that the last run left open."""
        kept = (self.last.get("breakers") or {}).items()
        return {name: each for name, each in kept if each["state"] != "closed"}

    @property
    def quota_errors(self) -> Mapping[str, int]:
        """How often each peer told the last run that a quota is used up."""
        return self.last.get("quota_errors") or {}


def pair_health(pair: Pair, limits: Health, store: Store, now: datetime) -> dict[str, Any]:
    """Return a pair's figures by peer, its last run, its dead letters and open conflicts, the figures of its last day that is
    over, `tenants` for whom something waits, `problems` (see `Trouble`), and `figures`: what alerts are made of.

    Where all is well it is billed eight reads.
    """
    found = _ask(pair, store, now)
    day, figures = last_day(store, pair.name, now)
    troubles = [asdict(each) for each in _troubles(found, limits)]
    return {
        "peers": {name: _status(each) for name, each in found.peers.items()},
        "last_run": plain(dict(found.last)) or None,
        "dead_letters": found.dead_letters,
        "open_conflicts": found.open_conflicts,
        "tenants": _tenants(pair, found, store),
        "last_day": {"day": day, **figures.as_json()},
        "problems": troubles,
        "figures": _figures(found, limits) | {"problems": len(troubles)},
    }


def say(log: Log, pairs: Mapping[str, Mapping[str, Any]]) -> None:
    """Log each pair's figures in one line: alerts are made of these."""
    for name, each in pairs.items():
        codes = sorted({problem["code"] for problem in each["problems"]})
        message = f"pair {name} needs somebody: {', '.join(codes)}" if codes else f"pair {name}: all is well"
        log("sync_health", message, "WARNING" if codes else "INFO", pair=name, stats=each["figures"], problems=codes)


def _ask(pair: Pair, store: Store, now: datetime) -> Found:
    peers: dict[str, Status] = {}
    silent: dict[str, str] = {}
    for peer in (pair.left, pair.right):
        try:
            status = peer.status(pair.scope)
            carried = any(source is peer for _, source, _ in pair.ways)
            peers[peer.name] = status if carried else replace(status, pending=0, oldest_pending_at=None)
        except SyncError as error:
            silent[peer.name] = str(error)
    last, dead = store.lease(pair.name).last, store.open_dead_letters(pair.name)
    return Found(peers, silent, last, dead, store.count_open_conflicts(pair.name), now)


def _status(status: Status) -> dict[str, Any]:
    oldest = instant(status.oldest_pending_at) if status.oldest_pending_at else None
    return {"pending": status.pending, "failed": status.failed, "oldest_pending_at": oldest, "clock": instant(status.now)}


def _tenants(pair: Pair, found: Found, store: Store) -> dict[str, dict[str, int]]:
    """Return for which tenants something waits; nobody is asked about them while nothing does."""
    if not (found.dead_letters or found.open_conflicts or found.pending):
        return {}
    names = sorted({name for tenants in pair.tenants.values() for name in tenants})
    counted = {name: store.count_troubles(pair.name, name) for name in names}
    return {name: figures for name, figures in counted.items() if any(figures.values())}


def _figures(found: Found, limits: Health) -> dict[str, float | None]:
    success = found.last.get("succeeded_at")
    interval = timedelta(hours=limits.last_success_hours)
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
        "intervals_since_success": round((found.now - success) / interval, 2) if success else None,
    }


def _apart(status: Status, now: datetime) -> float:
    return abs((status.now - now).total_seconds())


def _troubles(found: Found, limits: Health) -> Iterator[Trouble]:
    yield from _of_peers(found, limits)
    yield from _of_runs(found, limits)
    if found.dead_letters:
        cure = "`./bothways dead-letters` says why each was refused; mend that, then `./bothways replay --id ID`"
        yield Trouble("dead-letters", f"{found.dead_letters} dead letter(s) wait for somebody", cure)
    if found.open_conflicts:
        cure = "`./bothways conflicts --open` shows them; decide each by `./bothways resolve ID --keep local|incoming|value`"
        yield Trouble("conflicts", f"{found.open_conflicts} conflict(s) wait for somebody's decision", cure)


def _of_peers(found: Found, limits: Health) -> Iterator[Trouble]:
    for name, why in found.silent.items():
        yield Trouble("peer", f"{name} gave no figures: {why}", f"start or mend {name}; what was changed waits in the queues")
    for name, status in found.peers.items():
        if status.oldest_pending_at and found.now - status.oldest_pending_at > timedelta(hours=limits.oldest_pending_hours):
            cure = "`./bothways sync` carries them over, and says what holds up those that it does not"
            yield Trouble("queue", f"{name}: changes have been waiting since {instant(status.oldest_pending_at)}", cure)
        if (apart := _apart(status, found.now)) > limits.clock_seconds:
            message = f"{name}: its clock is {apart:.0f} s off the functions'"
            yield Trouble("clock", message, "mend the time service (NTP) of its server; until then its edits may wait")
    for name, each in found.breakers.items():
        message = f"{name}: {each['failures']} calls in a row failed, so runs leave it alone until {instant(each['until'])}"
        yield Trouble("breaker", message, f"start or mend {name}; the first run after that time tries it again")
    for name, number in found.quota_errors.items():
        cure = f"see the quotas of {name}; run more often, or with fewer changes at a time (limits in sync.yaml)"
        yield Trouble("quota", f"{name}: it said {number} time(s) to the last run that a quota is used up", cure)


def _of_runs(found: Found, limits: Health) -> Iterator[Trouble]:
    last, success = found.last, found.last.get("succeeded_at")
    if last.get("brakes"):
        cure = "`./bothways sync --dry-run` shows them; if they are meant, `./bothways sync --allow-mass-delete PLAN`"
        yield Trouble("brake", f"the last run, {last['run_id']}, held a mass delete", cure)
    if last and not last["success"]:
        cure = "its record in sync_runs says why, under `failure`; once that is mended, `./bothways sync`"
        yield Trouble("failed", f"the last run, {last['run_id']}, failed", cure)
    if success and found.now - success > timedelta(hours=limits.last_success_hours):
        message = f"no run has gone through since {instant(success)}"
        yield Trouble("overdue", message, "is the scheduler's job there and enabled? `./bothways sync` runs it now")
