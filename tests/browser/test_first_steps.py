"""The first steps of somebody new: an edit in the admin, a run from the dashboard, the member's own page; how long they take."""

from __future__ import annotations

import gzip
import time
from typing import Any

import pytest
from browser.chromium import Opened, expect
from browser.scenes import ANNA, members
from real import Real

from local.backend import ADMIN
from local.bundle import ROOT

pytestmark = pytest.mark.stack
PAGES = ROOT / "hosting" / "dist"
LARGEST = 250_000


def edit_in_admin(page: Any, world: Real, name: str, new: str) -> None:
    backend = world.stack.backend
    assert backend
    password = world.stack.secret("admin-password")
    backend.set_admin(password)
    page.goto(f"{backend.site}/admin/members/member/")
    page.get_by_label("Username").fill(ADMIN)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name=name).click()
    page.get_by_label("Name:").fill(new)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()


def test_an_edit_in_the_admin_is_run_from_the_dashboard_and_seen_on_the_members_page(
    opened: Opened, world: Real, record_property: Any
) -> None:
    members(world)
    profile, page = opened("/profile", role="none", member=ANNA), opened("/")
    expect(profile.get_by_role("heading", name="Anna Jónsdóttir")).to_be_visible()
    admin = page.context.new_page()
    began = time.monotonic()
    edit_in_admin(admin, world, "Anna Jónsdóttir", "Anna Björk Jónsdóttir")
    edited = time.monotonic()
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("button", name="Dry run").click()
    expect(page.locator("table.plan tbody tr", has_text="Anna Björk")).to_be_visible()
    page.get_by_role("button", name="Run it now").click()
    expect(page.get_by_text("Done: 1 change carried.")).to_be_visible()
    expect(profile.get_by_role("heading", name="Anna Björk Jónsdóttir")).to_be_visible()
    seen = time.monotonic()
    record_property(
        "figures", f"log in and edit in the admin {edited - began:.1f} s, dry run, run, and seen {seen - edited:.1f} s"
    )


def test_the_pages_are_small_and_how_soon_they_are_seen_is_told(opened: Opened, world: Real, record_property: Any) -> None:
    sizes = {each.name: len(gzip.compress(each.read_bytes(), 9)) for each in PAGES.glob("*") if each.suffix in {".js", ".css"}}
    assert sum(sizes.values()) < LARGEST, "with the Firebase SDK in it"
    record_property(
        "figures", f"scripts and styles of both pages, gzipped: {sum(sizes.values()) / 1000:.0f} kB, Firebase SDK included"
    )
    for address, heading in (("/", "Overview"), ("/profile", "Profile")):
        page = opened(address)
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        shown = page.evaluate("Math.round(performance.getEntriesByName('first-contentful-paint')[0].startTime)")
        took = page.evaluate("Math.round(performance.now())")
        record_property("figures", f"{address}: first painted after {shown} ms, its heading there by {took} ms")
