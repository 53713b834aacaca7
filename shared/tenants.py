"""How each tenant of a pair is doing. A brake, a breaker and a quota are the whole pair's: one run carries all tenants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from shared.found import Found
from shared.log import Log
from shared.model import instant
from shared.store import Store

NOTHING = {"dead_letters": 0, "open_conflicts": 0, "pending_in_firestore": 0}
ALERTED = ("oldest_pending_seconds", "intervals_since_success", "dead_letters", "open_conflicts")


def tenants_health(pair: str, found: Found, store: Store) -> dict[str, dict[str, Any]]:
    """Return each tenant's last success, backlog and its age, dead letters and open conflicts, and the codes of its problems.

    Nobody is asked about tenants while nothing waits; else it is three reads for each. A backend that tells no tenants' figures
    counts as one where nothing waits.
    """
    waits = found.dead_letters or found.open_conflicts or found.pending
    names = sorted(tenant for tenant in found.tenants if tenant is not None)
    return {name: _tenant(found, name, store.count_troubles(pair, name) if waits else NOTHING) for name in names}


def _tenant(found: Found, name: str, counts: Mapping[str, int]) -> dict[str, Any]:
    waiting = {peer: status.tenants[name] for peer, status in found.peers.items() if name in status.tenants}
    oldest, success = min((each.oldest_pending_at for each in waiting.values()), default=None), found.success_of(name)
    return {
        "last_success_at": instant(success) if success else None,
        "intervals_since_success": found.intervals_since(success),
        "oldest_pending_at": instant(oldest) if oldest else None,
        "oldest_pending_seconds": round((found.now - oldest).total_seconds()) if oldest else 0,
        **{f"pending_in_{peer}": waiting[peer].pending if peer in waiting else 0 for peer in found.peers},
        **counts,
        "problems": sorted(_codes(found, success, oldest, counts)),
    }


def _codes(found: Found, success: datetime | None, oldest: datetime | None, counts: Mapping[str, int]) -> Iterator[str]:
    if found.is_overdue(success):
        yield "overdue"
    if found.waits_too_long(oldest):
        yield "queue"
    if counts["dead_letters"]:
        yield "dead-letters"
    if counts["open_conflicts"]:
        yield "conflicts"


def say(log: Log, pair: str, tenants: Mapping[str, Mapping[str, Any]]) -> None:
    """Log the figures of each tenant that needs somebody: an alert on the pair's own line does not say which it is."""
    for name, each in tenants.items():
        if each["problems"]:
            message = f"tenant {name} of pair {pair} needs somebody: {', '.join(each['problems'])}"
            stats = {figure: each[figure] for figure in ALERTED}
            log("sync_health", message, "WARNING", pair=pair, tenant=name, stats=stats, problems=each["problems"])
