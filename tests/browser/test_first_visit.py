"""A first visit: an edit in Django's admin, a run from the dashboard, and the edit on the open profile page; and how large the
pages are that are sent for it."""

from __future__ import annotations

import gzip
import time
from typing import Any

import pytest
from browser.chromium import Opened, expect
from browser.scenes import ANNA, members
from real import Real

from local.pages import built

pytestmark = pytest.mark.stack
LARGEST = 250_000
"""Bytes, gzipped, of everything that a page loads; the Firebase SDK, which is most of it, is among them."""


def in_admin(page: Any, site: str, password: str) -> None:
    """Log in to Django's admin and rename a member there, as somebody in the office does."""
    page.goto(f"{site}/admin/members/member/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Anna Jónsdóttir").click()
    page.get_by_label("Name:").fill("Anna Björk Jónsdóttir")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()


def test_an_edit_in_djangos_admin_is_carried_from_the_dashboard_and_appears_on_the_open_page(
    opened: Opened, world: Real, record_property: Any
) -> None:
    members(world)
    backend = world.stack.backend
    assert backend is not None
    backend.set_admin("only-for-this-test")
    profile = opened(f"/profile#{ANNA}")
    expect(profile.get_by_label("Name", exact=True)).to_have_value("Anna Jónsdóttir")
    profile.evaluate("window.neverReloaded = true")
    began = time.monotonic()
    in_admin(opened("/", role=None, expected=404), backend.site, "only-for-this-test")  # 404: the admin has no icon
    board = opened("/#runs")
    board.get_by_role("button", name="Dry run").click()
    expect(board.locator("table.plan tbody tr").first).to_contain_text("Anna Björk Jónsdóttir")
    board.get_by_role("button", name="Run it now").click()
    expect(profile.get_by_label("Name", exact=True)).to_have_value("Anna Björk Jónsdóttir")
    expect(profile.get_by_role("heading", name="Anna Björk Jónsdóttir")).to_be_visible()
    assert profile.evaluate("window.neverReloaded")
    record_property("figures", f"from logging in to the admin to the profile page: {time.monotonic() - began:.1f} s")


def test_what_is_sent_for_a_page_is_small_and_comes_from_nowhere_else(opened: Opened, world: Real, record_property: Any) -> None:
    members(world)
    page = opened("/", role=None)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("radio", name="viewer").check()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("All is well")).to_be_visible()
    own, emulator = page.url.rpartition("/")[0], f"http://{world.stack.emulator_host}"
    assert [each for each in asked if not each.startswith((own, emulator, "data:"))] == []
    names = {each.removeprefix(f"{own}/").partition("?")[0] or "index.html" for each in asked if each.startswith(f"{own}/")}
    sizes = {name: len(gzip.compress((built() / name).read_bytes())) for name in names if (built() / name).is_file()}
    assert {"index.html", "dashboard.js", "style.css"} <= set(sizes)
    assert sum(sizes.values()) < LARGEST, sizes
    took = page.evaluate("Math.round(performance.getEntriesByType('paint').at(-1).startTime)")
    record_property("figures", f"first page: {sum(sizes.values()):,} bytes gzipped, drawn {took} ms after it was asked for")
