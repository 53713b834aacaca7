"""Much of everything: each page reads no more than it shows, says how much it read, and is quick."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from browser.chromium import Opened, expect
from real import Real

pytestmark = pytest.mark.stack
ENTRIES, CONFLICTS, RUNS = 10_000, 1_000, 500
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def fill(world: Real, collection: str, number: int, body: Callable[[int], dict[str, Any]]) -> None:
    for first in range(0, number, 500):
        batch = world.firestore.batch()  # one at a time: the emulator makes bulk writers wait for each other's locks
        for each in range(first, min(first + 500, number)):
            batch.create(world.firestore.document(f"{collection}/members:{each:05}"), {"pair": "members"} | body(each))
        batch.commit(timeout=120)


def entry(number: int) -> dict[str, Any]:
    what = {"entity": "member", "tenant": None, "key": f"{number:010}", "action": "update", "fields": {"phone": str(number)}}
    return what | {"sync_status": "pending", "created_at": NOW - timedelta(seconds=number)}


def conflict(number: int) -> dict[str, Any]:
    sides = {
        side: {"value": f"555 {number}", "stamp": f"2026-11-24T10:00:00.00000{n}Z|{peer}"} for n, (side, peer) in SIDES.items()
    }
    what = {"entity": "member", "tenant": None, "key": f"{number:010}", "field": "phone", "status": "open", "rule": "manual"}
    return what | sides | {"winner": "none", "created_at": NOW, "run_id": "r"}


SIDES = {1: ("local", "django"), 2: ("incoming", "firestore")}


def run(number: int) -> dict[str, Any]:
    began = NOW - timedelta(hours=number)
    tally = {"read": number, "applied": number, "unchanged": 0, "superseded": 0, "held": 0, "dead_letters": 0, "waiting": 0}
    result = {"directions": {"django_to_firestore": tally}, "conflicts": 0, "dead_letters": 0, "brakes": []}
    result |= {"billed": {"reads": 1, "writes": 1, "deletes": 0}, "cost": {"amount": 0.0, "currency": "USD"}}
    times = {"started_at": began, "completed_at": began + timedelta(seconds=3), "day": began.date().isoformat()}
    return {"run_id": f"r{number}", "by": "somebody", "status": "done", "result": result} | times


@pytest.mark.timeout(600)
def test_pages_with_very_much_behind_them_read_little(opened: Opened, world: Real, record_property: Any) -> None:
    fill(world, "sync_queue", ENTRIES, entry)
    fill(world, "sync_conflicts", CONFLICTS, conflict)
    fill(world, "sync_runs", RUNS, run)
    for name, shown, most in [
        ("queue", "50 of 10,000 shown", 61 + 1),
        ("conflicts", "20 of 1,000 shown", 22),
        ("runs", "25 of 500 shown", 27 + 1),
    ]:
        page = opened(f"/#{name}")
        expect(page.get_by_text(shown)).to_be_visible(timeout=30_000)
        read = int(page.locator("#reads").inner_text())
        assert read <= most, f"{name} read {read} documents"
        took = page.evaluate("Math.round(performance.now())")
        record_property("figures", f"{name}: {shown}, {read} documents read, shown {took} ms after the page was asked for")
        page.get_by_role("button", name="more").click()
        expect(page.get_by_text(shown)).to_have_count(0)
        assert int(page.locator("#reads").inner_text()) <= 4 * most
        page.context.close()
    world.stack.emulator.clear()
