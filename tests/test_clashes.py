"""What a backend's own rules refuse: a value that somebody else has, a reference to what is not there (yet)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from test_policies import under
from world import FIELDS, World

from shared.model import Outcome, Policy, Problem, Result
from shared.peers.memory import MemoryPeer


class Strict(MemoryPeer):
    """A backend whose field `a` is unique, and whose field `b` refers to another record."""

    def _apply(self, change: Any, mode: Any) -> Result:
        mine = change.record
        claimed, wanted = (change.fields[name].value if name in change.fields else None for name in ("a", "b"))
        if claimed is not None and any(row.get("a") == claimed for id, row in self.rows.items() if id != mine):
            return Result(change.id, Outcome.INVALID, problem=Problem("unique", "another record has it", {"a": "not unique"}))
        if wanted is not None and not any(id.key == wanted for id in self.rows):
            return Result(change.id, Outcome.RETRY, problem=Problem("reference", "not here", {"b": "not here"}))
        return super()._apply(change, mode)


@pytest.fixture(params=Policy)
def w(request: pytest.FixtureRequest) -> World:
    made = World(entity=under(request.param))
    made.django = Strict("django", {"thing": FIELDS}, made.django.now)
    made.pair.__dict__["left"] = made.django
    return made


def letters(w: World) -> dict[str, Mapping[str, Any]]:
    rows = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_dead_letters/")]
    return {row["key"]: row for row in rows}


def test_one_value_claimed_on_both_sides_leaves_both_as_they_are_until_it_is_mended(w: World) -> None:
    w.d_save("x", a="x@example.is")
    w.d_save("y", a="y@example.is")
    w.settle()
    w.d_save("x", a="one@example.is")
    w.f_update("y", a="one@example.is")
    w.deliver_all()
    w.sync()
    assert (letters(w)["y"]["reason"], letters(w)["y"]["fields"]) == ("unique", {"a": "not unique"})
    assert w.d_values("y") == {"a": "y@example.is"}
    assert w.f_values("y") == {"a": "one@example.is"}
    w.f_update("y", a="two@example.is")
    w.settle()
    w.check("xy")
    assert w.d_values("y") == {"a": "two@example.is"}


def test_a_record_whose_edit_was_refused_can_be_deleted(w: World) -> None:
    w.d_save("x", a="x@example.is")
    w.d_save("y", a="y@example.is")
    w.settle()
    w.f_update("y", a="x@example.is")
    w.settle()
    w.f_delete("y")
    w.settle()
    assert (w.d_values("y"), w.f_values("y")) == (None, None)


def test_a_reference_waits_for_what_it_refers_to(w: World) -> None:
    w.f_set("x", a=1, b="late")
    w.deliver_all()
    assert w.sync().directions["firestore_to_django"].waiting == 1
    assert (letters(w)["x"]["status"], letters(w)["x"]["reason"]) == ("waiting", "reference")
    w.d_save("late", a=2)
    w.settle()
    w.check(["x", "late"])
    assert letters(w) == {}


def test_a_reference_to_what_never_comes_is_given_up_at_last(w: World) -> None:
    w.f_set("x", a=1, b="never")
    w.deliver_all()
    w.sync()
    for _ in range(9):
        w.clock.tick(3600 * 3)
        w.sync()
    assert (letters(w)["x"]["status"], letters(w)["x"]["fields"]) == ("open", {"b": "not here"})
    assert w.sync().moved == 0
