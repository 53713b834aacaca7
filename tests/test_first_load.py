"""Where both sides hold records that were never synced: the declared side's values win, whoever wrote later."""

from __future__ import annotations

import pytest
from world import World

EXPECTED = {"django": {"a": "D", "b": "same"}, "firestore": {"a": "F", "b": "same"}}


def both_hold_x(winner: str, later: str) -> World:
    """Both sides got x by a way of their own; the edit of the side `later` gets the later stamp."""
    w = World(initial_winner=winner)
    w.d_raw("x", a="D", b="same")
    if later == "firestore":
        w.django.read([w.id("x")])
        w.clock.tick(10)
    w.f_set("x", a="F", b="same")
    w.deliver_all()
    w.clock.tick(10)
    return w


@pytest.mark.parametrize("later", EXPECTED)
@pytest.mark.parametrize("winner", EXPECTED)
def test_the_declared_side_wins_and_the_other_value_is_kept_as_a_conflict(winner: str, later: str) -> None:
    w = both_hold_x(winner, later)
    w.reconcile()
    assert (w.d_values("x"), w.f_values("x")) == (EXPECTED[winner], EXPECTED[winner])
    assert {(key, field) for key, field, _ in w.conflicts()} == {("x", "a")}
    kept = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_conflicts/")]
    assert {side["value"] for row in kept for side in (row["local"], row["incoming"])} == {"D", "F"}
    w.settle()
    w.check("x")
    assert w.d_values("x") == EXPECTED[winner]


@pytest.mark.parametrize("later", EXPECTED)
def test_a_delta_run_knows_no_declared_side(later: str) -> None:
    w = both_hold_x("django" if later == "firestore" else "firestore", later)
    w.django.read([w.id("x")])
    w.settle()
    w.check("x")
    assert w.d_values("x") == EXPECTED[later]


def test_edits_made_after_the_first_load_fall_to_the_later_one() -> None:
    w = both_hold_x("django", "django")
    w.reconcile()
    w.d_save("x", a="office")
    w.f_update("x", a="app")
    w.deliver_all()
    w.reconcile()
    assert w.d_values("x") == w.f_values("x") == {"a": "app", "b": "same"}
