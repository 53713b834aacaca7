"""The worlds of a polled system and of a graph, as they run in every build."""

from __future__ import annotations

import pytest

from shared.peers import graph_opened
from shared.peers.graph_opened import Opened
from simulation.batch import batch
from simulation.choices import schedule_of
from simulation.worlds import WORLDS, shared_out

ONCE_FAILED = {"polled": (7_001_484, 7_010_608, 7_011_072, 7_011_922), "graph": (25, 133, 282, 428)}


@pytest.mark.parametrize("world", ONCE_FAILED)
def test_1_convergence_and_2_no_lost_update_beside_members(world: str) -> None:
    for seed in (*ONCE_FAILED[world], *range(20)):
        assert WORLDS[world](schedule_of(seed), None).failure is None, f"make simulate WORLD={world} SEED={seed} N=1"


@pytest.mark.stack
@pytest.mark.timeout(600)
@pytest.mark.parametrize("world", ONCE_FAILED)
def test_1_convergence_and_2_no_lost_update_beside_members_on_a_thousand_schedules(world: str) -> None:
    totals = batch(0, 1_000, world=world)
    assert (totals.failures, totals.fates["lost"], totals.schedules) == ({}, 0, 1_000)


def test_a_delete_asked_for_by_hand_that_waits_has_not_seen_what_came_in_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Opened, "_wait", lambda self, each: None)
    assert "lost" in str(WORLDS["graph"](schedule_of(25), None).failure)


def test_what_is_made_by_hand_twice_is_two_conflicts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_opened, "long_ago", lambda held: graph_opened.LONG_AGO)
    assert "lost" in str(WORLDS["graph"](schedule_of(428), None).failure)


def test_a_batch_is_shared_out_among_all_worlds() -> None:
    assert shared_out(10_000) == {"members": 8_000, "polled": 1_000, "graph": 1_000}
    assert shared_out(5) == {"members": 5}
