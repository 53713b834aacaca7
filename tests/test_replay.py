"""Dead letters once more, after their cause was mended: what can pass passes, and nothing later is overwritten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from world import World

from shared.errors import BadRequest, NotFound
from shared.model import Change, Outcome, Problem, Result, stamp_time
from shared.naming import hashed_id
from shared.peers.memory import MemoryPeer
from shared.policy import Mode
from shared.replay import Ended, chosen, pair_asked, replay
from shared.run import Order
from shared.service import ReplayRequest

BEYOND = [[1]]


class Strict(MemoryPeer):
    """A backend with a rule of its own: it takes no record whose `a` is among `refused`, until somebody mends that."""

    refused: Any = ()

    def _apply(self, change: Change, mode: Mode) -> Result:
        a = change.fields.get("a")
        if a is not None and a.value in self.refused:
            return Result(change.id, Outcome.INVALID, problem=Problem("unique", "another record has it", {"a": "not unique"}))
        return super()._apply(change, mode)


def world(ahead: float = 0.0) -> World:
    """Both sides hold x and y with a, b and c = 0; Django is strict."""
    w = World(ahead)
    w.django = Strict("django", w.django.names, w.clock.apart(ahead))
    w.pair = replace(w.pair, left=w.django)
    for key in "xy":
        w.d_save(key, a=0, b=0, c=0)
    w.settle()
    return w


def refused(w: World, key: str = "x", value: Any = 7) -> Strict:
    """An edit in Firestore becomes a dead letter, since Django refuses it."""
    django = w.django
    assert isinstance(django, Strict)
    django.refused = {value}
    w.f_update(key, a=value)
    w.deliver_all()
    assert w.sync().directions["firestore_to_django"].dead_letters == 1
    return django


def letters(w: World) -> dict[str, Mapping[str, Any]]:
    """Return the dead letters by the key of their record."""
    rows = {path: each.fields for path, each in w.database.documents.items() if path.startswith("sync_dead_letters/")}
    return {row["key"]: {**row, "id": path.partition("/")[2]} for path, row in rows.items()}


def again(w: World, plan: str | None = None, **wanted: Any) -> list[Ended]:
    w.clock.tick(0.01)
    order = Order(f"run-{next(w.runs)}", allow_mass_delete=plan)
    found = chosen(w.pair, ReplayRequest(**wanted), w.store)
    ended = replay(w.pair, found, order, w.store, w.clock, w.log, "Gunnar")
    w.clock.tick(0.01)
    return ended


def outcomes(ended: list[Ended]) -> list[str]:
    return [each.outcome for each in ended]


def label(w: World, key: str) -> list[str]:
    rows = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_queue/")]
    return [row["sync_status"] for row in rows if row["key"] == key]


def test_a_letter_tells_when_how_often_and_why_it_was_refused() -> None:
    w = world()
    began = w.clock()
    refused(w)
    row = letters(w)["x"]
    assert (row["status"], row["reason"], row["fields"], row["attempts"]) == ("open", "unique", {"a": "not unique"}, 1)
    assert began < row["first_at"] == row["last_at"] <= w.clock()
    assert row["run_id"] == "run-5"
    again(w, entity="thing")
    row = letters(w)["x"]
    assert (row["attempts"], row["first_at"] < row["last_at"]) == (2, True)


@pytest.mark.parametrize(
    "wanted", [{"entity": "thing"}, {"reason": "unique"}, {"entity": "thing", "reason": "unique"}, {"id": ""}]
)
def test_once_the_cause_is_mended_the_edit_goes_through_and_its_letter_and_entry_are_closed(wanted: dict[str, str]) -> None:
    w = world()
    refused(w).refused = ()
    if "id" in wanted:
        wanted = {"id": letters(w)["x"]["id"]}
    assert outcomes(again(w, **wanted)) == ["replayed"]
    assert w.d_values("x") == w.f_values("x") == {"a": 7, "b": 0, "c": 0}
    row = letters(w)["x"]
    assert (row["status"], row["expire_at"] - row["closed_at"]) == ("replayed", timedelta(days=30))
    assert label(w, "x") == ["synced"]
    assert w.store.open_dead_letters("things") == 0
    assert outcomes(again(w, id=row["id"])) == ["replayed"], "a second time changes nothing"
    assert outcomes(again(w, entity="thing")) == []
    w.settle()
    w.check("xy")


def test_what_is_not_asked_for_stays() -> None:
    w = world()
    refused(w).refused = ()
    assert again(w, reason="type") == []
    assert letters(w)["x"]["status"] == "open"


@pytest.mark.parametrize("later_at", ["django", "firestore"])
def test_what_was_superseded_since_is_closed_and_nothing_later_is_overwritten(later_at: str) -> None:
    w = world()
    refused(w).refused = ()
    if later_at == "django":
        w.d_save("x", a=8)
    else:
        w.f_update("x", a=8)
    w.settle()
    newest = w.django.version(w.id("x")).fields["a"].stamp
    [ended] = again(w, entity="thing")
    assert (ended.outcome, ended.by) == ("superseded", newest)
    assert w.d_values("x") == w.f_values("x") == {"a": 8, "b": 0, "c": 0}
    assert (letters(w)["x"]["status"], letters(w)["x"]["superseded_by"]) == ("superseded", newest)
    assert "superseded" in label(w, "x")
    w.settle()
    w.check("xy")


def test_what_was_superseded_and_would_still_be_refused_is_closed_too_and_its_value_kept() -> None:
    w = world()
    refused(w)
    w.d_save("x", a=8)  # by somebody who never saw the 7
    w.settle()
    assert outcomes(again(w, entity="thing")) == ["superseded"]
    assert ("x", "a") in {(key, field) for key, field, _ in w.conflicts()}
    w.settle()
    w.check("xy")


def test_a_letter_of_a_record_that_is_deleted_stays_open_for_what_the_tombstone_hides_may_come_back() -> None:
    w = world()
    django = w.django
    assert isinstance(django, Strict)
    django.refused = {7}
    w.f_update("x", a=7, b="with it")
    w.deliver_all()
    w.sync()
    w.d_delete("x")
    assert outcomes(again(w, entity="thing")) == ["refused"]
    assert letters(w)["x"]["status"] == "open"
    w.f_update("x", c="back")
    w.settle()
    django.refused = ()
    assert outcomes(again(w, entity="thing")) == ["replayed"]
    w.settle()
    w.check("xy")


def test_a_letter_that_is_refused_again_stays_open_with_its_new_reason() -> None:
    w = world()
    refused(w)
    [ended] = again(w, reason="unique")
    assert (ended.outcome, ended.problem and ended.problem.code) == ("refused", "unique")
    assert label(w, "x") == ["failed"]
    assert letters(w)["x"]["status"] == "open"


def test_letters_of_one_record_are_replayed_in_the_order_of_their_stamps() -> None:
    w = world()
    django = refused(w, value=7)
    django.refused = {7, 8}
    w.f_update("x", a=8)
    w.deliver_all()
    w.sync()
    django.refused = ()
    assert outcomes(again(w, entity="thing")) == ["replayed", "replayed"]
    assert w.d_values("x") == {"a": 8, "b": 0, "c": 0}
    assert w.conflicts() == [], "each was made on top of the one before"


def test_a_letter_that_does_not_hold_its_change_sends_the_record_as_it_is() -> None:
    w = world()
    w.f_update("x", a=1)
    w.deliver_all()
    [path] = [path for path, each in w.database.documents.items() if path.startswith("sync_queue/") and each.fields["key"] == "x"]
    w.database.client_update(path, {"stamp": "no stamp"})
    assert w.sync().directions["firestore_to_django"].dead_letters == 1
    assert (letters(w)["x"]["reason"], letters(w)["x"]["change"]) == ("malformed", None)
    assert outcomes(again(w, reason="malformed")) == ["replayed"]
    assert w.d_values("x") == {"a": 1, "b": 0, "c": 0}
    w.settle()
    w.check("xy")


def test_a_letter_of_nobody_knows_what_stays_open_and_says_what_to_do() -> None:
    w = world()
    w.database.client_set("sync_queue/junk", {"pair": "things", "sync_status": "pending", "entity": "thing", "key": 7})
    w.sync()
    [ended] = again(w, reason="malformed")
    assert (ended.outcome, "edit the record again" in ended.as_json()["message"]) == ("refused", True)
    assert w.store.open_dead_letters("things") == 1


def test_a_field_that_is_not_synced_any_more_is_left_out() -> None:
    w = world()
    refused(w).refused = ()
    letter = letters(w)["x"]
    w.database.client_update(f"sync_dead_letters/{letter['id']}", {"change": letter["change"] | {"fields": {"a": 7, "gone": 1}}})
    assert outcomes(again(w, entity="thing")) == ["replayed"]
    assert w.d_values("x") == {"a": 7, "b": 0, "c": 0}


def future(w: World) -> None:
    """An edit at Django, whose clock is a day and more ahead, is given up after ten attempts and a day."""
    w.d_save("x", a=1)
    for _ in range(9):
        w.sync()
    w.clock.tick(25 * 3600)
    w.sync()
    assert letters(w)["x"]["reason"] == "future"


@pytest.mark.parametrize("met_by", ["nobody", "an edit in Firestore", "an edit in Django", "a delete in Firestore"])
def test_a_stamp_from_the_future_is_met_when_the_clock_has_passed_it_and_both_sides_end_alike(met_by: str) -> None:
    w = world()
    w.django.now = w.clock.apart(30 * 3600)
    future(w)
    [ended] = again(w, reason="future")
    assert (ended.outcome, ended.problem and ended.problem.code) == ("waits", "future")
    assert "stamped" in ended.as_json()["message"]
    assert (letters(w)["x"]["status"], w.f_values("x")) == ("open", {"a": 0, "b": 0, "c": 0})
    w.django.now = w.clock  # somebody mends the clock
    w.clock.tick(60)
    if met_by == "an edit in Firestore":
        w.f_update("x", a=2)
    elif met_by == "an edit in Django":
        w.d_save("x", a=2)
    elif met_by == "a delete in Firestore":
        w.f_delete("x")
    w.deliver_all()
    w.sync()
    passed = stamp_time(max(value.stamp for value in w.django.version(w.id("x")).fields.values()))
    w.clock.tick((passed - w.clock()).total_seconds() + 1)
    assert outcomes(again(w, reason="future")) in (["replayed"], ["superseded"])
    w.settle()
    w.check("xy")


def test_deletes_of_dead_letters_are_under_the_brake_too() -> None:
    w = World()
    keys = [f"k{number:02}" for number in range(60)]
    for key in keys:
        w.d_save(key, a=1)
    w.settle()
    for key in keys:
        w.d_delete(key)
    refuse = {each.id: (each, Problem("reference", "others refer to it")) for each in w.django.queue.values() if each.deletes}
    w.store.refuse("things", "django", refuse, "run-0", w.clock())
    ended = again(w, entity="thing")
    assert outcomes(ended) == ["held"] * 60
    assert sum(path.startswith("things/") for path in w.database.documents) == 60
    [plan] = {each.problem.message.split("allow_mass_delete=")[1].split()[0] for each in ended if each.problem}
    assert outcomes(again(w, plan, entity="thing")) == ["replayed"] * 60
    assert sum(path.startswith("things/") for path in w.database.documents) == 0


def test_who_replayed_what_is_noted_and_no_value_of_it() -> None:
    w = world()
    refused(w, value=7).refused = ()
    id = letters(w)["x"]["id"]
    again(w, id=id)
    [note] = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_audit/")]
    assert (note["what"], note["by"], note["letters"], note["outcome"]) == (
        "replay_dead_letters",
        "Gunnar",
        [hashed_id(id)],
        {"replayed": 1},
    )
    assert "thing:x" not in repr(note)
    assert "7" not in repr({name: value for name, value in note.items() if name in {"by", "outcome", "pair"}})


def test_a_crash_between_the_apply_and_the_letter_is_a_repeat() -> None:
    w = world()
    refused(w).refused = ()

    def crash(run_id: str, done: object) -> None:
        raise KeyboardInterrupt

    w.firestore.acknowledge = crash  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        again(w, entity="thing")
    del w.firestore.acknowledge
    assert letters(w)["x"]["status"] == "open"
    assert outcomes(again(w, entity="thing")) == ["replayed"]
    assert w.d_values("x") == {"a": 7, "b": 0, "c": 0}


def test_an_unknown_id_and_a_request_that_names_nothing_are_refused() -> None:
    w = world()
    pairs = {"things": w.pair}
    with pytest.raises(NotFound, match="'never-heard-of'"):
        pair_asked(ReplayRequest(id="never-heard-of"), pairs, w.store)
    with pytest.raises(NotFound, match="'a/b'"):
        pair_asked(ReplayRequest(id="a/b"), pairs, w.store)
    with pytest.raises(BadRequest, match="by id, entity or reason"):
        pair_asked(ReplayRequest(max=5), pairs, w.store)
    with pytest.raises(BadRequest, match="there are: thing"):
        pair_asked(ReplayRequest(pair="things", entity="thong"), pairs, w.store)
    with pytest.raises(BadRequest, match="name one of the pairs"):
        pair_asked(ReplayRequest(pair="thongs", entity="thing"), pairs, w.store)
    with pytest.raises(BadRequest, match="things, others"):
        pair_asked(ReplayRequest(reason="unique"), pairs | {"others": w.pair}, w.store)
    assert pair_asked(ReplayRequest(reason="unique"), pairs, w.store) == "things"


def test_no_value_and_no_key_of_a_letter_gets_into_a_log_line() -> None:
    w = world()
    w.d_save("0101302989", a=0, b=0, c=0)
    w.settle()
    django = refused(w, "0101302989", value="whispered")
    again(w, entity="thing")
    django.refused = ()
    w.d_save("0101302989", a="shouted")
    assert outcomes(again(w, entity="thing")) == ["superseded"]
    assert {line["event"] for line in w.log.lines} >= {"conflict", "dead_letter"}
    said = repr(w.log.lines)
    assert [word for word in ("0101302989", "whispered", "shouted") if word in said] == []
