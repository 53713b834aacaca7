"""Planted bugs in what is done under another policy than the last write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from shared import held, resolution
from shared.model import Acknowledgement, Change
from shared.resolution import Plan
from simulation import schedule


def a_resolution_reaches_one_side_alone(patch: pytest.MonkeyPatch) -> None:
    _under_policies(patch)
    _planned(patch, lambda made: replace(made, at_target=None) if made.at_source else made)


def a_policy_keeps_nothing_of_what_it_overrules(patch: pytest.MonkeyPatch) -> None:
    _under_policies(patch)
    _planned(patch, lambda made: replace(made, conflicts=tuple(each for each in made.conflicts if each.open)))


def a_held_change_is_acknowledged_before_its_conflict_is_kept(patch: pytest.MonkeyPatch) -> None:
    _under_policies(patch)
    settle = held._settle

    def early(way: Any, changes: Sequence[Change]) -> Any:
        ids = [edit.id for change in changes for edit in change.edits]
        way.source.acknowledge(way.run.order.run_id, Acknowledgement(held=tuple(ids)))
        return settle(way, changes)

    patch.setattr(held, "_settle", early)


def a_delete_that_was_beaten_goes_through_alone(patch: pytest.MonkeyPatch) -> None:
    _under_policies(patch)
    for module in (held, resolution):
        patch.setattr(module, "is_beaten", lambda change, mine: False)


def _under_policies(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schedule, "UNDER_POLICIES", True)


def _planned(patch: pytest.MonkeyPatch, spoiled: Any) -> None:
    plan = held.plan

    def planned(*given: Any) -> Plan:
        made: Plan = spoiled(plan(*given))
        return made

    patch.setattr(held, "plan", planned)
