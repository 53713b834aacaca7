"""Planted bugs in what operators call: deciding conflicts and replaying dead letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from shared import replay, resolve
from shared.model import Change, Outcome


def a_decision_reaches_one_side_alone(patch: pytest.MonkeyPatch) -> None:
    write = resolve._Writing.write

    def one_side(self: Any, changes: Mapping[str, Change]) -> Any:
        return write(self, dict(list(changes.items())[:1]))

    patch.setattr(resolve._Writing, "write", one_side)


def a_conflict_is_resolved_twice_and_nobody_is_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(resolve, "_refuse_if_decided", lambda kept, asked: None)


def a_decision_counts_before_it_is_written(patch: pytest.MonkeyPatch) -> None:
    """So a call that was cut off cannot be repeated."""
    write = resolve._Writing.write

    def early(self: Any, changes: Mapping[str, Change]) -> Any:
        done = {"status": "resolved", "resolved_by": "somebody", "resolved_at": self.at}
        self.store.note_conflict(self.store.conflict(self.case.conflict.id), done)
        return write(self, changes)

    patch.setattr(resolve._Writing, "write", early)


def a_letter_is_closed_whatever_became_of_it(patch: pytest.MonkeyPatch) -> None:
    words = {Outcome.INVALID: "replayed", Outcome.RETRY: "replayed"}
    patch.setattr(replay, "_WORDS", replay._WORDS | words)


def a_decision_keeps_nothing_of_what_it_replaces(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(resolve, "displaced", lambda case, changes: [])
