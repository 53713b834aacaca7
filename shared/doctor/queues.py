"""Checks of what waits: from a pair's health."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.doctor.finding import Finding, ok, warning

ELSEWHERE = frozenset({"peer", "clock"})
"""Troubles that other checks tell of."""


def waiting(pair: str, health: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield how much waits on each side, and each trouble that health knows of a pair."""
    peers = ", ".join(f"{name} {status['pending']}" for name, status in health["peers"].items())
    counts = f"{health['dead_letters']} dead letters, {health['open_conflicts']} open conflicts"
    yield ok("queues", f"{pair}: waiting: {peers or 'unknown'}; {counts}")
    for each in health["problems"]:
        if each["code"] not in ELSEWHERE:
            yield warning("queues", f"{pair}: {each['message']}", each["cure"])
