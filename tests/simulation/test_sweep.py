"""Every fault at every call of the scenarios, one at a time and in pairs."""

from __future__ import annotations

import pytest

from simulation.scenarios import SCENARIOS
from simulation.sweep import KINDS, play, sweeps

PAIRS = 100
"""Of one scenario, so that a build takes a minute; `make simulate-sweep` tries more."""


@pytest.mark.stack
@pytest.mark.timeout(1200)
def test_every_scenario_ends_well_whatever_happens_at_any_one_call_or_two() -> None:
    swept = list(sweeps(PAIRS))
    calls = sum(each.calls for each in swept)
    print(f"{len(swept)} scenarios, {calls} calls, {sum(each.singles for each in swept)} single faults")  # noqa: T201
    assert {each.name: each.failures for each in swept if each.failures} == {}
    assert all(each.singles == each.calls * len(KINDS) for each in swept), "no call is left out"
    assert len(swept) == len(SCENARIOS) >= 8


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_ends_well_by_itself(name: str) -> None:
    calls, failure = play(SCENARIOS[name], {})
    assert failure is None
    assert calls > 15, "there is something to sweep"
