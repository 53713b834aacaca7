"""The overview: each pair and each of its tenants, when the next run is, and the figures over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from browser.chromium import Opened, expect
from browser.scenes import ANNA, in_django, in_firestore, members
from real import Real

from local.process import wait_until
from shared.config import Schedule
from shared.schedule import first_after

pytestmark = pytest.mark.stack


def fact(page: Any, name: str) -> Any:
    return page.locator("dl.facts > div", has=page.get_by_text(name, exact=True)).locator("dd")


def test_a_pairs_state_backlog_and_age_and_its_next_run_are_told(opened: Opened, world: Real) -> None:
    members(world)
    in_django(world, ANNA, notes="one")
    page = opened("/")
    expect(fact(page, "State")).to_contain_text("went through")
    expect(fact(page, "Last success")).to_contain_text("ago")
    expect(fact(page, "Waits in Django")).to_contain_text("1 change")
    expect(fact(page, "Waits in Django")).to_contain_text("the oldest")
    expect(fact(page, "Waits in Firestore")).to_contain_text("nothing is old")
    planned = first_after(datetime.now(UTC), Schedule())
    expect(fact(page, "Next run").locator("time")).to_have_attribute("datetime", f"{planned:%Y-%m-%dT%H:%M:%S}.000Z")


def test_each_tenant_has_its_state_last_success_and_backlog_on_each_side(opened: Opened, world: Real) -> None:
    members(world)
    world.users.call("save", entity="event", key="e1", fields={"tenant": "AK", "title": "Here"})
    world.firestore.document("branches/RVK/events/e1").set({"title": "There"})
    wait_until(lambda: bool(world.rows("sync_queue", sync_status="pending", key="e1")), "the event in the queue", 30)
    page = opened("/")
    tenants = page.get_by_role("region", name="Tenants")
    waiting = {"AK": ["1", "0"], "RVK": ["0", "1"], "EGS": ["0", "0"]}
    for name, (django, firestore) in waiting.items():
        row = tenants.locator("tbody tr", has=page.get_by_role("rowheader", name=name, exact=True))
        expect(row.locator("td").nth(0)).to_contain_text("in order")
        expect(row.locator("td").nth(1)).to_contain_text("ago")
        expect(row.locator("td").nth(2)).to_have_text(django)
        expect(row.locator("td").nth(3)).to_have_text(firestore)


def kept(world: Real, day: datetime, **carried: int) -> None:
    """Keep a day's figures, as the health call does once the day is over."""
    name = day.date().isoformat()
    figures = {"changes": sum(carried.values()), "carried": carried, "conflicts": 0, "dead_letters": 0, "runs": 1}
    more = {"durations": {"48": 1}, "costs": {"USD": 0.5}, "pair": "members", "day": name}
    world.firestore.document(f"sync_statistics/members:{name}").set(figures | more)


def test_changes_are_drawn_by_direction_of_days_or_of_a_years_months(opened: Opened, world: Real) -> None:
    members(world)
    in_firestore(world, ANNA, notes="one")
    world.sync()
    long_ago = datetime.now(UTC) - timedelta(days=200)
    kept(world, long_ago.replace(day=1), django_to_firestore=7)
    kept(world, long_ago.replace(day=2), django_to_firestore=4, firestore_to_django=3)
    page = opened("/")
    figure = page.locator("figure", has_text="Changes carried")
    figure.get_by_text("As a table").click()
    rows = figure.locator("tbody tr")
    expect(figure.locator("thead th")).to_have_text(["When", "Django → Firestore", "Firestore → Django"])
    expect(rows).to_have_count(1)
    ways = [row["result"]["directions"]["firestore_to_django"]["read"] for row in world.rows("sync_runs")]
    expect(rows.last.locator("td").last).to_have_text(str(sum(ways)))
    page.get_by_label("Show the last").select_option("year, by month")
    expect(rows).to_have_count(2)
    expect(rows.first.locator("th, td")).to_have_text([f"{long_ago:%Y-%m}", "11", "3"])
    cost = page.locator("figure", has_text="Cost")
    cost.get_by_text("As a table").click()
    expect(cost.locator("tbody tr").first.locator("td")).to_have_text("1")
