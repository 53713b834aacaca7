"""How a pair is doing, and what about it needs somebody."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.config import Health
from shared.errors import SyncError
from shared.model import Status, instant
from shared.run import Pair
from shared.store import Store


def pair_health(pair: Pair, limits: Health, store: Store, now: datetime) -> dict[str, Any]:
    """Return a pair's figures by peer, its last run, its dead letters and open conflicts, `problems`: what needs
    somebody, in sentences, and `figures`: what alerts are made of."""
    problems: list[str] = []
    peers: dict[str, Any] = {}
    oldest: list[datetime] = []
    for peer in (pair.left, pair.right):
        try:
            status = peer.status(pair.scope)
            peers[peer.name] = _status(status)
            oldest += [status.oldest_pending_at] if status.oldest_pending_at else []
            problems += _backlog_problems(peer.name, status, limits, now)
        except SyncError as error:
            problems.append(str(error))
    last, dead = store.lease(pair.name).last, store.open_dead_letters(pair.name)
    if dead:
        problems.append(f"{dead} dead letter(s) wait for somebody; see sync_dead_letters")
    if conflicts := store.count_open_conflicts(pair.name):
        problems.append(f"{conflicts} conflict(s) wait for somebody's decision; see the open ones in sync_conflicts")
    if last and last.get("brakes"):
        problems.append(f"the last run, {last['run_id']}, held a mass delete; see its brakes in sync_runs")
    if last and not last["success"]:
        problems.append(f"the last run, {last['run_id']}, failed; see sync_runs")
    if last and now - last["completed_at"] > timedelta(hours=limits.last_success_hours):
        problems.append(f"the last run ended {instant(last['completed_at'])}; is the scheduler's job enabled?")
    shown = {name: instant(each) if isinstance(each, datetime) else each for name, each in last.items()} if last else None
    found = {"peers": peers, "last_run": shown, "dead_letters": dead, "open_conflicts": conflicts, "problems": problems}
    since = last.get("succeeded_at") if last else None
    return found | {"figures": _figures(found, since, min(oldest, default=None), limits, now)}


def _figures(
    found: Mapping[str, Any], success: datetime | None, oldest: datetime | None, limits: Health, now: datetime
) -> dict[str, float | None]:
    """Return what alerts are made of. An interval is the longest that may lie between two runs that went through."""
    interval = timedelta(hours=limits.last_success_hours)
    return {
        "pending": sum(each["pending"] for each in found["peers"].values()),
        "oldest_pending_seconds": round((now - oldest).total_seconds()) if oldest else 0,
        "dead_letters": found["dead_letters"],
        "open_conflicts": found["open_conflicts"],
        "intervals_since_success": round((now - success) / interval, 2) if success else None,
    }


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
