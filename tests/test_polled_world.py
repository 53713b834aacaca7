"""Random edits at a polled system and at a peer with a queue, with crashes and lost answers at every call."""

from __future__ import annotations

from random import Random

import pytest
from polled_world import PolledWorld

SEEDS = range(100)


def play(world: PolledWorld, steps: int = 25) -> None:
    for _ in range(steps):
        if world.dice.random() < 0.35:
            world.run(crashing=True)
        elif world.dice.random() < 0.1:
            world.clock.tick(25 * 3600)
        else:
            world.act()
    world.settle()
    world.check()


@pytest.mark.parametrize("ahead", [0.0, 120.0, -120.0], ids=["clocks agree", "the other is ahead", "the other is behind"])
@pytest.mark.parametrize("knows_keys", [False, True], ids=["its own ids", "keeps keys"])
def test_random_edits_with_crashes_at_every_call_end_the_same_on_both_sides_and_none_is_lost(ahead: float, knows_keys: bool):
    faults = 0
    for seed in SEEDS:
        dice = Random(seed)
        world = PolledWorld(dice, dice.choice([0.0, 0.02, 0.1]), ahead, knows_keys=knows_keys, tells_time=dice.random() < 0.5)
        try:
            play(world)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        faults += world.faults
    assert faults > len(SEEDS), "there were faults in plenty"
