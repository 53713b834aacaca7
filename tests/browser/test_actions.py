"""What somebody does on the pages, in a real browser before the real stack, and what comes of it on both sides."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from browser.chromium import Opened, expect
from browser.scenes import (
    ANNA,
    JON,
    SIGGA,
    dead_letter,
    held_up,
    in_django,
    in_firestore,
    members,
    open_conflict,
    settled_conflict,
)
from proxy import Proxy
from real import Real

from local.process import wait_until

pytestmark = pytest.mark.stack


def django(world: Real, key: str, field: str) -> Any:
    return (world.users.call("look", entity="member", key=key) or {})[field]


def firestore(world: Real, key: str, field: str) -> Any:
    return (world.document(f"members/{key}") or {}).get(field)


def both(world: Real, key: str, field: str) -> tuple[Any, Any]:
    return django(world, key, field), firestore(world, key, field)


# Signing in


def test_whoever_is_signed_out_is_asked_who_they_are_and_signs_out_again(opened: Opened) -> None:
    page = opened("/", role=None)
    page.get_by_role("radio", name="viewer").check()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_text("viewer on this machine")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_somebody_without_a_role_is_told_how_to_get_one(opened: Opened) -> None:
    page = opened("/", role="none")
    expect(page.get_by_role("heading", name="No role yet")).to_be_visible()
    expect(page.get_by_text("./bothways grant EMAIL ROLE")).to_be_visible()


@pytest.mark.parametrize("page_name", ["queue", "conflicts", "letters", "record", "reconcile"])
def test_a_viewer_is_not_shown_peoples_values(opened: Opened, page_name: str) -> None:
    page = opened(f"/#{page_name}", role="viewer")
    expect(page.get_by_text("it needs the role operator; yours is viewer")).to_be_visible()


# Overview


def test_functions_that_do_not_answer_are_said_to_be_so_and_the_live_lists_go_on(opened: Opened, world: Real) -> None:
    members(world)
    page = opened("/#runs", expected=502)
    expect(page.get_by_role("button", name="Dry run")).to_be_enabled()
    page.route("**/api/**", lambda route: route.fulfill(status=502, body="{}", content_type="application/json"))
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_role("alert")).to_contain_text("The functions do not answer. Nothing was lost")
    shown = len(world.rows("sync_runs"))
    expect(page.locator("tbody tr")).to_have_count(shown)
    in_django(world, ANNA, notes="rings in the evening")
    world.sync()
    expect(page.locator("tbody tr")).to_have_count(shown + 1)


def test_a_run_that_takes_longer_than_hosting_waits_is_said_to_go_on_and_is_followed_to_its_end(
    opened: Opened, world: Real
) -> None:
    members(world)
    in_django(world, ANNA, notes="rings in the evening")
    run = {"pair": "members", "run_id": "slow", "status": "running", "by": "somebody"}

    def too_slow(route: Any) -> None:
        if "dry_run" in (route.request.post_data or ""):
            route.continue_()
            return
        world.firestore.document("sync_runs/members:slow").set(run | {"started_at": datetime.now(UTC)})
        route.fulfill(status=504, body="upstream request timeout", content_type="text/plain")

    page = opened("/#runs", expected=504)
    page.route("**/api/bidirectional_sync", too_slow)
    page.get_by_role("button", name="Dry run").click()
    page.get_by_role("button", name="Run it now").click()
    expect(page.get_by_text("No answer within a minute. What was begun goes on by itself")).to_be_visible()
    expect(page.get_by_text("members is running")).to_be_visible()
    world.firestore.document("sync_leases/members").set({"run_id": "slow", "until": None, "done": {"changes": 77, "compared": 0}})
    expect(page.get_by_text("77 changes read so far")).to_be_visible()
    world.firestore.document("sync_runs/members:slow").update({"status": "done", "completed_at": datetime.now(UTC)})
    expect(page.get_by_text("members is running")).to_have_count(0)
    world.firestore.document("sync_leases/members").delete()


def test_a_dry_run_that_takes_longer_than_hosting_waits_is_not_said_to_go_on(opened: Opened, world: Real) -> None:
    page = opened("/#runs", expected=504)
    page.route("**/api/bidirectional_sync", lambda route: route.fulfill(status=504, body="upstream request timeout"))
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_text("there is too much for a dry run here")).to_be_visible()


def test_everything_is_reached_by_keyboard_alone(opened: Opened, world: Real) -> None:
    page = opened("/#runs")
    expect(page.get_by_role("button", name="Dry run")).to_be_enabled()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Dry run")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("There is nothing to carry.")).to_be_visible()


def test_the_overview_says_in_plain_words_what_needs_somebody_and_leads_there(opened: Opened, world: Real) -> None:
    members(world)
    page = opened("/")
    expect(page.get_by_text("All is well")).to_be_visible()
    expect(page.locator("canvas")).to_have_count(4)
    expect(page.get_by_role("region", name="Tenants").get_by_text("in order")).not_to_have_count(0)
    open_conflict(world)
    page.get_by_role("button", name="Ask again").click()
    expect(page.get_by_text("1 thing needs you")).to_be_visible()
    page.get_by_role("link", name="Decide them").click()
    expect(page.get_by_role("heading", name="Conflicts")).to_be_visible()
    expect(page.get_by_text("555 1111")).to_be_visible()


# Runs


def test_a_run_is_seen_before_it_is_made_and_appears_in_the_list_by_itself(opened: Opened, world: Real) -> None:
    members(world)
    in_django(world, ANNA, name="Anna Sigríður Jónsdóttir")
    page = opened("/#runs")
    before = len(world.rows("sync_runs"))
    expect(page.locator("tbody tr")).to_have_count(before)
    page.get_by_role("button", name="Dry run").click()
    row = page.locator("table.plan tbody tr", has_text="name")
    expect(row).to_contain_text("Anna Jónsdóttir")
    expect(row).to_contain_text("Anna Sigríður Jónsdóttir")
    assert firestore(world, ANNA, "name") == "Anna Jónsdóttir", "a dry run writes nothing"
    page.get_by_role("button", name="Run it now").click()
    expect(page.get_by_text("Done: 1 change carried.")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(before + 1)
    assert both(world, ANNA, "name") == ("Anna Sigríður Jónsdóttir",) * 2
    page.locator("tbody tr a").first.click()
    expect(page.get_by_text("Django → Firestore")).to_be_visible()


def test_a_run_under_way_is_shown_as_it_goes_and_ends_without_a_reload(opened: Opened, world: Real) -> None:
    run = {"pair": "members", "run_id": "r1", "status": "running", "by": "somebody"}
    world.firestore.document("sync_runs/members:r1").set(run | {"started_at": datetime.now(UTC)})
    page = opened("/#runs")
    expect(page.get_by_text("members is running")).to_be_visible()
    world.firestore.document("sync_leases/members").set({"run_id": "r1", "until": None, "done": {"changes": 1234, "compared": 0}})
    expect(page.get_by_text("1,234 changes read so far")).to_be_visible()
    world.firestore.document("sync_runs/members:r1").update({"status": "abandoned"})
    expect(page.get_by_text("members is running")).to_have_count(0)
    world.firestore.document("sync_leases/members").delete()


def test_a_run_that_was_handed_out_shows_its_shards_one_after_the_other(opened: Opened, world: Real, door: Proxy) -> None:
    for number in range(100):
        world.users.call("save", entity="interest", key=f"i{number}", fields={"name": str(number)})
    page = opened("/#runs")
    page.get_by_role("button", name="Dry run").click()
    with held_up(door, "sync_shard") as pass_one:
        page.get_by_role("button", name="Run it now").click()
        expect(page.get_by_text("handed out in shards; follow it below")).to_be_visible()
        for done in range(4):
            expect(page.get_by_text(f"Shards: {done} of 4 done")).to_be_visible()
            pass_one()
        expect(page.get_by_text("members is running")).to_have_count(0)
    expect(page.locator("tbody tr").first).to_contain_text("went through")
    assert len(world.rows("interests")) == 100


def held_deletes(world: Real) -> None:
    for number in range(60):
        world.users.call("save", entity="interest", key=f"i{number}", fields={"name": str(number)})
    world.sync()
    for number in range(60):
        world.users.call("delete", entity="interest", key=f"i{number}")


def test_held_deletes_are_let_pass_by_an_admin_after_a_look_and_by_nobody_else(opened: Opened, world: Real) -> None:
    held_deletes(world)
    page = opened("/#runs")
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_text("60 deletes")).to_be_visible()
    expect(page.get_by_text("Only somebody with the role admin can allow it.")).to_be_visible()
    page = opened("/#runs", role="admin")
    page.get_by_role("button", name="Dry run").click()
    page.get_by_role("button", name="Allow just these 60 deletes, and run").click()
    expect(page.get_by_text("Done: 60 changes carried.")).to_be_visible()
    assert world.document("interests/i0") is None


# Queue


def test_the_queue_is_live_and_can_be_searched_by_key_on_both_sides(opened: Opened, world: Real) -> None:
    members(world)
    page = opened("/#queue")
    expect(page.get_by_text("Nothing waits in Firestore.")).to_be_visible()
    in_firestore(world, JON, phone="555 7777")
    expect(page.get_by_text("555 7777")).to_be_visible()
    page.get_by_label("Key").fill(SIGGA)
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("There is no such entry.")).to_be_visible()
    page.get_by_label("Key").fill(JON)
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("555 7777")).to_be_visible()
    in_django(world, ANNA, notes="rings in the evening")
    page.get_by_role("button", name="See what waits in Django").click()
    expect(page.get_by_text("rings in the evening")).to_be_visible()
    page.get_by_label("Key").fill(ANNA)
    page.get_by_label("Entity").select_option("member")
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("link", name=ANNA, exact=True).last.click()
    expect(page.locator("ol.timeline")).to_contain_text("rings in the evening")


def test_what_has_waited_longest_comes_first_and_can_be_narrowed_to_an_entity(opened: Opened, world: Real) -> None:
    members(world)
    in_firestore(world, SIGGA, notes="the first")
    in_firestore(world, ANNA, notes="the second")
    world.firestore.document("interests/chess").update({"name": "Chess and Go"})
    world.wait_for_queue(3)
    page = opened("/#queue")
    rows = page.get_by_role("region", name="Queue entries").locator("tbody tr")
    expect(rows).to_contain_text([SIGGA, ANNA, "Chess and Go"])
    page.get_by_label("Entity").select_option("interest")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(rows).to_contain_text(["Chess and Go"])


# Conflicts


def test_an_open_conflict_is_decided_for_a_side_with_a_note_and_can_be_decided_anew(opened: Opened, world: Real) -> None:
    members(world)
    open_conflict(world)
    page = opened("/#conflicts")
    page.get_by_label("Note").fill("asked her")
    page.locator(".side", has_text="Django").get_by_role("button", name="Keep this").click()
    expect(page.get_by_text("the Django value was kept on both sides.")).to_be_visible()
    assert both(world, ANNA, "phone") == ("555 1111",) * 2
    assert [row["note"] for row in world.rows("sync_conflicts", status="resolved")] == ["asked her"]
    page.get_by_role("button", name="Keep the other instead").click()
    wait_until(lambda: both(world, ANNA, "phone") == ("555 2222",) * 2, "the other decision", 30)


def test_another_value_is_written_on_both_sides(opened: Opened, world: Real) -> None:
    members(world)
    open_conflict(world)
    page = opened("/#conflicts")
    page.get_by_role("button", name="Write another value").click()
    page.get_by_label("Another value").fill("555 9999")
    page.get_by_role("button", name="Write this on both sides").click()
    expect(page.get_by_text("your value is being written on both sides.")).to_be_visible()
    assert both(world, ANNA, "phone") == ("555 9999",) * 2


def test_what_a_rule_has_settled_is_overruled_and_the_overruling_undone(opened: Opened, world: Real) -> None:
    members(world)
    settled_conflict(world)
    won = both(world, JON, "name")
    page = opened("/#conflicts/settled")
    page.get_by_role("button", name="Keep this after all").click()
    expect(page.get_by_text("value was kept on both sides.")).to_be_visible()
    assert both(world, JON, "name") != won
    page.get_by_role("button", name="Undo").click()
    wait_until(lambda: both(world, JON, "name") == won, "what was before", 30)


def test_a_value_that_the_backend_refuses_is_said_and_nothing_typed_is_lost(opened: Opened, world: Real) -> None:
    members(world)
    open_conflict(world)
    page = opened("/#conflicts", expected=400)
    page.get_by_label("Note").fill("a long one")
    page.get_by_role("button", name="Write another value").click()
    page.get_by_label("Another value").fill("5" * 41)
    page.get_by_role("button", name="Write this on both sides").click()
    expect(page.get_by_role("alert")).to_contain_text("at most 40 characters")
    expect(page.get_by_label("Another value")).to_have_value("5" * 41)
    expect(page.get_by_label("Note")).to_have_value("a long one")
    assert both(world, ANNA, "phone") == ("555 1111", "555 2222")


def test_a_conflict_that_somebody_else_settles_meanwhile_leaves_the_page_by_itself(opened: Opened, world: Real) -> None:
    members(world)
    open_conflict(world)
    page = opened("/#conflicts")
    expect(page.get_by_text("555 1111")).to_be_visible()
    [row] = world.rows("sync_conflicts", status="open")
    assert world.call("resolve_conflict", {"id": row["__id__"], "keep": "local"}).status_code == 200
    expect(page.get_by_text("Nobody has to decide anything.")).to_be_visible()


def test_a_decision_that_comes_too_late_is_told_what_was_decided(opened: Opened, world: Real) -> None:
    members(world)
    open_conflict(world)
    [row] = world.rows("sync_conflicts", status="open")

    def faster(route: Any) -> None:
        assert world.call("resolve_conflict", {"id": row["__id__"], "keep": "local", "by": "Gunnar"}).status_code == 200
        route.continue_()

    page = opened("/#conflicts", expected=409)
    page.route("**/api/resolve_conflict", faster)
    page.get_by_label("Note").fill("mine")
    page.locator(".side", has_text="Django").get_by_role("button", name="Keep this").click()
    expect(page.get_by_text(re.compile("was resolved by Gunnar"))).to_be_visible()
    assert both(world, ANNA, "phone") == ("555 2222",) * 2


def test_without_a_network_what_was_typed_stays_and_the_page_catches_up_after_it(opened: Opened, world: Real) -> None:
    members(world)
    open_conflict(world)
    page = opened("/#conflicts", expected=409)
    page.get_by_label("Note").fill("mine")
    page.context.set_offline(True)
    expect(page.get_by_text("No connection since")).to_be_visible()
    page.get_by_role("button", name="Keep this").first.click()
    expect(page.get_by_role("alert").filter(has_text="cannot be reached")).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("mine")
    [row] = world.rows("sync_conflicts", status="open")
    assert world.call("resolve_conflict", {"id": row["__id__"], "keep": "local"}).status_code == 200
    page.context.set_offline(False)
    expect(page.get_by_text("Nobody has to decide anything.")).to_be_visible(timeout=60_000)


# Dead letters


def test_a_dead_letter_is_replayed_once_its_cause_is_mended(opened: Opened, world: Real) -> None:
    members(world)
    dead_letter(world)
    page = opened("/#letters")
    expect(page.get_by_text("at most 40 characters")).to_be_visible()
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.get_by_text(re.compile("1 (dead letter|invalid|refused)"))).to_be_visible()
    in_firestore(world, SIGGA, phone="555 8888")
    world.sync()
    page.get_by_role("button", name="Replay all of this reason").click()
    expect(page.get_by_text("No change was refused.")).to_be_visible()


# Record


def test_a_records_story_is_told_and_its_drift_found_and_mended(opened: Opened, world: Real) -> None:
    members(world)
    world.users.call("raw", entity="member", key=ANNA, fields={"phone": "555 0101"})
    page = opened("/#record")
    page.get_by_label("Entity").select_option("member")
    page.get_by_label("Key").fill(ANNA)
    page.get_by_role("button", name="Tell its story").click()
    expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    page.get_by_role("button", name="Check for drift").click()
    expect(page.locator("table.plan", has_text="555 0101")).to_be_visible()
    page.get_by_role("button", name="Repair this record").click()
    expect(page.get_by_text("Compared, and mended where it differed.")).to_be_visible()
    assert both(world, ANNA, "phone") == ("555 0101",) * 2
    page.get_by_role("button", name="Check for drift").click()
    expect(page.get_by_text("Both sides agree: there is nothing to mend.")).to_be_visible()


def test_a_record_that_nobody_knows_is_said_to_be_so(opened: Opened, world: Real) -> None:
    page = opened("/#record/member/never", expected=404)
    expect(page.get_by_text("nothing is known of this member")).to_be_visible()


# Reconcile


def test_a_reconcile_reports_by_entity_and_field_and_mends(opened: Opened, world: Real) -> None:
    members(world)
    world.users.call("raw", entity="member", key=ANNA, fields={"phone": "555 0101"})
    page = opened("/#reconcile")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("1 record differs")).to_be_visible()
    expect(page.get_by_role("region", name="By field").get_by_role("rowheader", name="phone").first).to_be_visible()
    page.get_by_label("What to do").select_option("Compare and mend")
    page.get_by_role("button", name="Start").click()
    wait_until(lambda: both(world, ANNA, "phone") == ("555 0101",) * 2, "the repair", 30)


def test_a_reconcile_under_way_says_how_far_it_is(opened: Opened, world: Real) -> None:
    members(world)
    page = opened("/#reconcile")

    def long(route: Any) -> None:
        body = {"run_id": "r1", "until": datetime(2100, 1, 1, tzinfo=UTC), "done": {"changes": 0, "compared": 4321}}
        world.firestore.document("sync_leases/members").update(body)
        expect(page.get_by_text("4,321 records compared so far.")).to_be_visible()
        world.firestore.document("sync_leases/members").update({"until": None})
        route.continue_()

    page.route("**/api/reconcile", long)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("both sides agree")).to_be_visible()
