"""The story of one record: each version, who wrote it, what became of it, who won and by which rule, and how things are."""

from __future__ import annotations

import json

from test_replay import again, refused, world
from world import World

from shared.explain import known, tell
from shared.facts import gather
from shared.story import Event, Story


def told(w: World, key: str = "x") -> Story:
    before = dict(w.database.documents)
    found = tell(gather(w.pair, w.id(key), w.store), w.clock())
    assert w.database.documents == before, "asking changes nothing"
    assert json.loads(json.dumps(found.as_json())) == found.as_json()
    return found


def events(found: Story, what: str) -> list[Event]:
    return [each for each in found.events if each.what == what]


def test_why_did_my_phone_number_come_back() -> None:
    """The office wrote B, the member wrote C and had not seen it: C is what both hold, and B can be found."""
    w = world()
    w.d_save("x", a="B")
    w.clock.tick(300)
    w.f_update("x", a="C")
    w.deliver_all()
    w.settle()
    found = told(w)
    [conflict] = events(found, "conflict")
    assert (conflict.where, conflict.fields) == ("a", {"django": "B", "firestore": "C"})
    assert conflict.fate.startswith("firestore's won over django's of 2026-01-01T")
    assert "(last_write_wins), run run-" in conflict.fate
    assert "both values are kept in sync_conflicts/" in conflict.fate
    [a] = [each for each in found.fields if each.name == "a"]
    assert (a.state, {value.value for value in a.held.values() if value}) == ("equal", {"C"})
    assert [side.value for side in a.overtook] == ["B"]  # type: ignore[union-attr]
    assert found.state == "equal on both sides"
    [written] = [each for each in found.events if each.fields == {"a": "C"} and each.what == "written"]
    assert (written.where, written.fate.startswith("carried over 2026-01-01T")) == ("firestore", True)
    assert [each.at for each in found.events] == sorted(each.at for each in found.events)


def test_what_waits_is_told_with_its_side_and_since_when() -> None:
    w = world()
    w.d_save("x", a=1)
    w.f_update("x", b=2)
    w.deliver_all()
    found = told(w)
    fates = {each.where: each.fate for each in found.events if each.fields in ({"a": 1}, {"b": 2})}
    assert fates["django"] == "waits in django's queue"
    assert fates["firestore"].startswith("waits since 2026-01-01T")
    assert found.state == "differs in a, b"


def test_an_edit_that_no_trigger_has_seen_is_pointed_out() -> None:
    w = world()
    w.f_update("x", b=2)
    found = told(w)
    assert found.state == "differs in b"
    assert [each.state for each in found.fields] == ["equal", "unseen", "equal"]
    assert found.notes == ["firestore: b edited, and not adopted yet"]
    assert any("no trigger has seen" in each.fate for each in found.events)


def test_a_refusal_is_told_with_its_reason_and_the_state_of_its_letter() -> None:
    w = world()
    refused(w)
    [event] = [each for each in told(w).events if each.fate.startswith("refused")]
    assert "unique: another record has it; a: not unique, run run-5" in event.fate
    assert event.fate.endswith("is open")
    again(w, entity="thing")
    assert "is open" in next(each for each in told(w).events if each.fate.startswith("refused")).fate
    w.django.refused = ()  # type: ignore[attr-defined]
    again(w, entity="thing")
    assert not [each for each in told(w).events if each.fate.startswith("refused")]


def test_a_dead_letter_of_the_other_sides_edit_is_told_too() -> None:
    w = world()
    w.d_save("x", a=[[1]])
    w.sync()
    [event] = [each for each in told(w).events if each.fate.startswith("refused")]
    assert (event.where, event.fields) == ("django", {"a": [[1]]})
    assert "not-representable" in event.fate


def test_what_only_ever_waits_is_told_with_its_attempts() -> None:
    w = world()
    w.django.now = w.clock.apart(50_000)
    w.d_save("x", a=1)
    w.sync()
    fates = [each.fate for each in told(w).events]
    assert any(fate.startswith("waits in django's queue; 1 attempt(s), future: stamped") for fate in fates)


def test_deletes_and_revivals_are_told() -> None:
    w = world()
    w.f_delete("x")
    w.deliver_all()
    w.settle()
    found = told(w)
    [deleted] = events(found, "deleted")
    assert (deleted.where, found.state) == ("firestore", "deleted on both sides")
    w.d_save("x", a=5)
    w.settle()
    found = told(w)
    assert found.state == "equal on both sides"
    assert events(found, "deleted") == [deleted]
    assert any(
        each.where == "django" and each.fields.get("a") == 5 and each.fate == "held on both sides" for each in found.events
    )


def test_where_history_has_expired_it_is_said() -> None:
    w = world()
    w.clock.tick(40 * 24 * 3600)
    assert told(w).notes == [
        "what was carried over more than 30 days ago has expired from sync_queue; of that, only what is still held is told"
    ]


def test_a_record_that_only_one_side_holds_is_said_to_be_missing() -> None:
    w = world()
    del w.django.rows[w.id("x")], w.django.index[w.id("x")]
    assert told(w).state == "not in django"


def test_a_record_of_which_nothing_is_known_has_no_story() -> None:
    w = world()
    assert not known(gather(w.pair, w.id("never"), w.store))
    assert known(gather(w.pair, w.id("x"), w.store))


def test_another_records_rows_do_not_get_into_the_story() -> None:
    w = world()
    w.f_update("y", a="mine")
    w.deliver_all()
    w.settle()
    assert "mine" not in json.dumps(told(w).as_json())


def test_an_unreadable_entry_is_told_as_one() -> None:
    w = world()
    w.database.client_set("sync_queue/junk", {"pair": "things", "sync_status": "pending", "entity": "thing", "key": "x"})
    assert [each.id for each in events(told(w), "unreadable entry")] == ["junk"]
