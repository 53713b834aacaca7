"""The member's own page: what it says of each field, live, and what it does with bad input."""

from __future__ import annotations

from typing import Any

import pytest
from browser.chromium import Opened, expect
from browser.scenes import ANNA, SIGGA, held_up, in_django, members, open_conflict
from proxy import Proxy
from real import Real

from local.process import wait_until

pytestmark = pytest.mark.stack


def opened_by(opened: Opened, key: str = ANNA, **more: Any) -> Any:
    """Return the profile page of a member, opened by the member."""
    page = opened("/profile", role="none", member=key, **more)
    expect(page.locator("#state-name")).to_have_text("✓ in step")
    return page


def save(page: Any, label: str, value: str) -> None:
    page.get_by_label(label, exact=True).fill(value)
    page.get_by_role("form", name=label).get_by_role("button", name="Save").click()


def test_an_edit_is_saved_here_then_waits_for_the_backend_and_then_is_in_step(opened: Opened, world: Real) -> None:
    members(world)
    page = opened_by(opened)
    page.get_by_label("Name", exact=True).fill("Anna María Jónsdóttir")
    expect(page.locator("#state-name")).to_contain_text("not saved yet")
    page.get_by_role("form", name="Name").get_by_role("button", name="Save").click()
    expect(page.locator("#state-name")).to_contain_text("waiting for the backend")
    world.sync()
    expect(page.locator("#state-name")).to_contain_text("in step")
    assert world.users.call("look", entity="member", key=ANNA)["name"] == "Anna María Jónsdóttir"


def test_an_edit_that_no_trigger_has_seen_yet_is_said_to_be_saved_here_and_no_more(
    opened: Opened, world: Real, door: Proxy
) -> None:
    members(world)
    page = opened_by(opened)
    with held_up(door, "track_member_changes"):
        save(page, "Notes", "rings in the evening")
        expect(page.locator("#state-notes")).to_contain_text("saved here")
        page.reload()
        expect(page.get_by_label("Notes", exact=True)).to_have_value("rings in the evening")
        expect(page.locator("#state-notes")).to_contain_text("saved here")
        expect(page.locator("#state-name")).to_contain_text("in step")
    expect(page.locator("#state-notes")).to_contain_text("waiting for the backend")


def test_an_edit_in_djangos_admin_appears_on_the_open_page_after_a_run(opened: Opened, world: Real) -> None:
    members(world)
    page = opened_by(opened)
    in_django(world, ANNA, name="Anna Lilja Jónsdóttir")
    world.sync()
    expect(page.get_by_role("heading", name="Anna Lilja Jónsdóttir")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Anna Lilja Jónsdóttir")


def test_choices_are_written_as_the_sync_has_them(opened: Opened, world: Real) -> None:
    members(world)
    page = opened_by(opened)
    page.get_by_label("Choir", exact=True).check()
    page.get_by_role("form", name="Interests").get_by_role("button", name="Save").click()
    page.get_by_role("combobox", name="Branch").select_option("none")
    page.get_by_role("form", name="Branch").get_by_role("button", name="Save").click()
    expect(page.locator("#state-branch")).to_contain_text("waiting for the backend")
    expect(page.locator("#state-interests")).to_contain_text("waiting for the backend")
    world.sync()
    held = world.users.call("look", entity="member", key=ANNA)
    assert (held.get("branch"), held["interests"]) == (None, ["choir"])
    page.get_by_role("combobox", name="Branch").select_option("Reykjavík")
    page.get_by_role("form", name="Branch").get_by_role("button", name="Save").click()
    expect(page.locator("#state-branch")).to_contain_text("waiting for the backend")
    world.sync()
    assert world.users.call("look", entity="member", key=ANNA)["branch"] == "RVK"


def test_a_field_in_conflict_is_said_to_be_so_to_its_member_and_to_nobody_else(opened: Opened, world: Real) -> None:
    members(world)
    open_conflict(world)
    page = opened_by(opened)
    expect(page.locator("#state-phone")).to_contain_text("in conflict: somebody decides")
    other = opened(f"/profile#{ANNA}", role="none", member=SIGGA)
    expect(other.get_by_text("told to the member alone, and to operators")).to_be_visible()
    expect(other.locator("#state-phone")).to_contain_text("saved")


@pytest.mark.parametrize(
    "label, value, said",
    [
        ("Name", "", "Name may not be empty."),
        ("Name", "n" * 201, "at most 200 characters; this has 201"),
        ("Email", "anna", "This is no email address"),
        ("Phone", "5" * 41, "at most 40 characters; this has 41"),
    ],
)
def test_what_django_would_refuse_is_said_before_it_is_saved(
    opened: Opened, world: Real, label: str, value: str, said: str
) -> None:
    members(world)
    page = opened_by(opened)
    page.get_by_label(label, exact=True).fill(value)
    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.get_by_role("form", name=label).get_by_role("button", name="Save")).to_be_disabled()
    expect(page.get_by_label(label, exact=True)).to_have_attribute("aria-invalid", "true")


def test_what_only_the_backend_can_refuse_is_said_at_its_field_and_the_value_stays(opened: Opened, world: Real) -> None:
    members(world)
    page = opened_by(opened)
    save(page, "Email", "m1@example.is")  # somebody else's
    expect(page.locator("#state-email")).to_contain_text("waiting for the backend")
    world.sync()
    expect(page.locator("#state-email")).to_contain_text("the backend refuses it")
    expect(page.get_by_role("alert")).to_contain_text("Your value is kept here")
    expect(page.get_by_label("Email", exact=True)).to_have_value("m1@example.is")


def test_two_people_who_edit_at_once_see_each_others_saves_and_keep_what_they_typed(opened: Opened, world: Real) -> None:
    members(world)
    one, two = opened_by(opened), opened_by(opened)
    two.get_by_label("Notes", exact=True).fill("mine")
    save(one, "Notes", "theirs")
    expect(two.get_by_text("Somebody else saved “theirs” meanwhile.")).to_be_visible()
    expect(two.get_by_label("Notes", exact=True)).to_have_value("mine")
    two.get_by_role("form", name="Notes").get_by_role("button", name="Undo").click()
    expect(two.get_by_label("Notes", exact=True)).to_have_value("theirs")
    save(one, "Name", "Anna Ósk Jónsdóttir")
    expect(two.get_by_label("Name", exact=True)).to_have_value("Anna Ósk Jónsdóttir")


def test_without_a_network_an_edit_is_kept_on_the_device_and_sent_later(opened: Opened, world: Real) -> None:
    members(world)
    page = opened_by(opened, expected=409)
    page.context.set_offline(True)
    expect(page.get_by_text("No connection since")).to_be_visible()
    save(page, "Notes", "written on the ferry")
    expect(page.locator("#state-notes")).to_contain_text("saved on this device")
    page.context.set_offline(False)
    wait_until(lambda: (world.document(f"members/{ANNA}") or {}).get("notes") == "written on the ferry", "the edit", 60)
    expect(page.locator("#state-notes")).to_contain_text("waiting for the backend")


def test_a_key_that_nobody_has_is_said_to_be_so(opened: Opened, world: Real) -> None:
    page = opened("/profile#never")
    expect(page.get_by_text("There is no member with this key here.")).to_be_visible()
