"""What a person may ask for: after an erasure nothing is left anywhere and nothing comes back; an export tells all."""

from __future__ import annotations

import itertools
import json
import re
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from real import Real
from test_cli import Terminal
from world import ENTITY, World

from local.bundle import ROOT
from local.process import wait_until
from shared.errors import BadRequest, NotFound, NotOpen, Transient
from shared.explain import tell
from shared.export import export
from shared.facts import gather
from shared.model import Change, Outcome, Problem, Result
from shared.peers.memory import MemoryPeer
from shared.policy import Mode
from shared.privacy import Erasure, Subject, erase
from shared.retention import RULES
from shared.tracker import Poke, track

KEY = "0101302989"
MARK = "Anna"
"""Stands in every value that is planted, and nowhere else."""


class Backend(MemoryPeer):
    """A backend that refuses some values, holds on to its records if `holding`, and lets something happen around an apply."""

    refused: Any = ()
    holding = False
    before: Callable[[], object] | None = None
    after: Callable[[], object] | None = None

    def apply(self, changes: Any, run_id: str, mode: Mode = Mode.LWW) -> list[Result]:
        before, self.before = self.before, None
        after, self.after = self.after, None
        if before:
            before()
        results = super().apply(changes, run_id, mode)
        if after:
            after()
        return results

    def _apply(self, change: Change, mode: Mode) -> Result:
        if self.holding and change.deletes:
            return Result(change.id, Outcome.RETRY, problem=Problem("reference", "other records refer to it"))
        if any(value.value in self.refused for value in change.fields.values()):
            return Result(change.id, Outcome.INVALID, problem=Problem("unique", "another record has it"))
        return super()._apply(change, mode)


def world(**options: Any) -> World:
    w = World(**options)
    w.django = Backend("django", w.django.names, w.clock)
    w.pair = replace(w.pair, left=w.django)
    return w


def busy() -> World:
    """The record has left something in every place there is: a conflict, a dead letter, waiting edits on both sides, a replay's
    note, a checkpoint; another record lies beside it."""
    w = world()
    w.d_save("other", a="Jón")
    w.d_save(KEY, a=f"{MARK} 1", b=f"{MARK} 2", c=f"{MARK} 3")
    w.settle()
    w.d_save(KEY, a=f"{MARK} 4")
    w.clock.tick(60)
    w.f_update(KEY, a=f"{MARK} 5")
    w.deliver_all()
    w.settle()
    w.django.refused = (f"{MARK} 6",)  # type: ignore[attr-defined]
    w.f_update(KEY, b=f"{MARK} 6")
    w.deliver_all()
    w.sync()
    w.f_update(KEY, c=f"{MARK} 7")
    w.deliver_all()
    w.d_save(KEY, b=f"{MARK} 8")
    w.f_update(KEY, a=f"{MARK} 9")
    w.store.keep_checkpoint("things:thing", {"entity": "thing", "tenant": None, "after": KEY})
    return w


def asked(w: World, key: str = KEY, **more: Any) -> dict[str, Any]:
    """Erase a record."""
    w.clock.tick(0.01)
    id = f"erasure-{next(w.runs)}"
    return erase({"things": w.pair}, w.store, w.clock, w.log, Erasure(entity="thing", key=key, **more), id)


def kept_in_firestore(w: World) -> str:
    return repr(sorted((path, dict(each.fields)) for path, each in w.database.documents.items()))


def kept_in_django(w: World) -> str:
    django = w.django
    return repr([django.rows, django.index, django.tombstones, django.queue, django.conflicts, django.unsettled])


def nothing_is_left(w: World) -> None:
    assert MARK not in kept_in_firestore(w)
    assert KEY not in kept_in_firestore(w)
    assert MARK not in kept_in_django(w)
    assert MARK not in repr(w.log.lines)  # type: ignore[attr-defined]
    assert KEY not in repr(w.log.lines)  # type: ignore[attr-defined]


def test_after_an_erasure_nothing_of_the_record_is_left_anywhere() -> None:
    w = busy()
    for where in ("sync_queue/", "sync_conflicts/", "sync_dead_letters/", "sync_checkpoints/", "things/"):
        assert any(path.startswith(where) and KEY in repr(each) for path, each in w.database.documents.items()), where
    receipt = asked(w)
    nothing_is_left(w)
    assert receipt["complete"]
    assert receipt["removed"] == {
        "django": {"records": 1, "hidden values": 3, "queue entries": 3, "conflicts": 1},
        "firestore": {"records": 1, "hidden values": 3, "queue entries": 4},
        "sync": {"conflicts": 1, "dead letters": 1, "checkpoints": 1},
    }
    w.settle()
    nothing_is_left(w)
    assert w.d_values(KEY) is w.f_values(KEY) is None
    assert w.d_values("other") == w.f_values("other") == {"a": "Jón"}


def test_what_stays_is_a_stamp_under_a_hash_and_entries_without_values() -> None:
    w = busy()
    receipt = asked(w, by="Gunnar", reason="asked for it on the phone")
    [grave] = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_tombstones/")]
    assert set(grave) == {"entity", "deleted", "erased", "fields", "stamps", "removed", "expire_at"}
    assert (grave["fields"], grave["stamps"], grave["erased"]) == ({}, {}, grave["deleted"])
    entries = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_queue/erased:")]
    assert len(entries) == 4
    assert {entry["sync_status"] for entry in entries} == {"synced", "superseded"}
    assert all("fields" not in entry and entry["expire_at"] for entry in entries)
    [note] = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_audit/")]
    told = {"what": "erase_record", "by": "Gunnar", "reason": "asked for it on the phone", "outcome": "erased"}
    assert {name: note[name] for name in told} == told
    assert note["record"] == receipt["record"] == w.log.record(w.id(KEY))["record"]
    assert {row["where"] for row in receipt["remains"]} == {"django", "sync_tombstones", "sync_queue", "sync_audit"}


def test_an_erasure_is_safe_to_repeat() -> None:
    w = busy()
    asked(w)
    again = asked(w)
    assert again["complete"]
    assert sum(number for counts in again["removed"].values() for number in counts.values()) == 0
    w.settle()
    nothing_is_left(w)


def test_an_erasure_cut_off_anywhere_is_finished_by_the_same_call() -> None:
    for cut in itertools.count(1):
        w = busy()
        calls = itertools.count(1)

        def fault(_: str, calls: Any = calls, cut: int = cut) -> None:
            if next(calls) == cut:
                raise KeyboardInterrupt

        w.database.fault = fault
        try:
            asked(w)
        except KeyboardInterrupt:
            w.database.fault = lambda _: None
            w.clock.tick(60)
            asked(w)
            w.settle()
            nothing_is_left(w)
            assert w.d_values(KEY) is w.f_values(KEY) is None
        else:
            assert cut > 20
            return


def test_no_event_brings_anything_back_however_late_or_often_it_comes() -> None:
    """Edits and a delete that no trigger has told of yet when the record is erased; and the events of all that went before."""
    for deleted in (False, True):
        w = busy()
        told = [each for each in w.events() if each.path.startswith("things/")]
        w.f_update(KEY, b=f"{MARK} unseen")
        if deleted:
            w.f_delete(KEY)
        told += w.events()
        asked(w)
        told += w.events()
        w.clock.tick(3600)
        for event in (*told, *reversed(told)):
            record = ENTITY.record(event.path)
            if record:
                track(w.firestore, Poke(record, event.before, event.after, event.time))
        w.deliver_all()
        w.settle()
        nothing_is_left(w)
        assert w.d_values(KEY) is w.f_values(KEY) is None


def test_a_delete_told_of_only_after_the_erasure_and_a_new_record_adds_nothing_to_that() -> None:
    w = busy()
    w.deliver_all()
    w.f_update(KEY, a=f"{MARK} unseen")
    w.f_delete(KEY)
    [late] = [event for event in w.events() if event.after is None]
    w.late.clear()
    asked(w)
    w.clock.tick(60)
    w.d_save(KEY, a="Björn")
    w.settle()
    w.late.append(late)
    w.deliver_all()
    w.settle()
    assert w.d_values(KEY) == w.f_values(KEY) == {"a": "Björn"}
    assert MARK not in kept_in_firestore(w) + kept_in_django(w)


def test_what_a_function_whose_clock_is_behind_erases_is_erased_all_the_same() -> None:
    """The stamp is of Firestore's time, as those of its clients' edits are: else these would count as made after it."""
    w = busy()
    w.deliver_all()
    w.settle()
    w.f_update(KEY, a=f"{MARK} unseen")
    w.f_delete(KEY)
    behind = w.clock.apart(-3600)
    erase({"things": w.pair}, w.store, behind, w.log, Erasure(entity="thing", key=KEY), "erasure-0")
    w.deliver_all()
    w.settle()
    nothing_is_left(w)


def test_a_record_made_anew_between_two_steps_of_an_erasure_keeps_its_queue_entry() -> None:
    w = busy()
    w.deliver_all()
    w.django.refused = ()  # type: ignore[attr-defined]
    w.settle()
    w.d_delete(KEY)
    w.settle()

    def somebody_joins(moment: str) -> None:
        if moment == "committed":
            w.database.fault = lambda _: None
            w.clock.tick(1)
            w.f_update(KEY, a="Björn")
            w.deliver_all()

    w.database.fault = somebody_joins
    w.firestore.erase(w.id(KEY))
    w.settle()
    assert w.d_values(KEY) == w.f_values(KEY) == {"a": "Björn"}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_that_is_under_way_brings_nothing_back_once_the_call_is_repeated(moment: str) -> None:
    """It has read an edit before the erasure and applies it after, or has applied it and then writes down what it found."""
    w = busy()
    receipts: list[dict[str, Any]] = []
    setattr(w.django, moment, lambda: receipts.append(asked(w)))
    report = w.sync()
    assert report.failure is None
    [receipt] = receipts
    assert (receipt["complete"], receipt["waits_for"]) == (False, [report.run_id])
    assert asked(w)["complete"]
    w.settle()
    nothing_is_left(w)
    assert w.d_values(KEY) is w.f_values(KEY) is None


@pytest.mark.parametrize("seed", range(60))
def test_whenever_it_is_erased_and_whatever_goes_on_nothing_comes_back(seed: int) -> None:
    """Users, late events and runs in any order; the erasure falls anywhere within a run, or within its own repeat."""
    chance = Random(seed)
    w = busy()
    values = itertools.count(100)

    def anything() -> None:
        chance.choice(
            [
                lambda: w.f_update(KEY, **{chance.choice("abc"): f"{MARK} {next(values)}"}) if w.f_values(KEY) else None,
                lambda: w.d_save(KEY, **{chance.choice("abc"): f"{MARK} {next(values)}"}),
                lambda: w.d_raw(KEY, b=f"{MARK} {next(values)}") if w.d_values(KEY) else None,
                lambda: w.f_delete(KEY),
                lambda: w.deliver(chance.randrange(9), keep=chance.random() < 0.3),
                w.sync,
            ]
        )()
        w.clock.tick(chance.choice([0.01, 1, 100]))

    for _ in range(chance.randrange(8)):
        anything()
    moment = chance.randrange(1, 40)
    calls = itertools.count(1)
    receipts = []

    def fault(_: str) -> None:
        if next(calls) == moment:
            w.database.fault = lambda _: None
            receipts.append(asked(w))

    w.database.fault = fault
    chance.choice([w.sync, w.reconcile])()
    w.database.fault = lambda _: None
    for _ in range(chance.randrange(4)):
        w.deliver(chance.randrange(9), keep=True)
    if not receipts or not receipts[0]["complete"]:
        assert asked(w)["complete"]
    w.settle()
    nothing_is_left(w)
    assert w.d_values(KEY) is w.f_values(KEY) is None


def test_a_receipt_is_complete_only_where_no_run_can_write_down_what_it_has_read() -> None:
    """A run whose change is refused, with the erasure at each of its steps in turn: it may keep the change as a dead letter."""
    came_back = 0
    for moment in itertools.count(1):
        w = busy()
        w.deliver_all()
        w.settle()
        w.django.refused = (f"{MARK} refused",)  # type: ignore[attr-defined]
        w.f_update(KEY, a=f"{MARK} refused")
        w.deliver_all()
        calls, receipts = itertools.count(1), list[dict[str, Any]]()

        def fault(_: str, w: World = w, calls: Any = calls, receipts: Any = receipts, moment: int = moment) -> None:
            if next(calls) == moment:
                w.database.fault = lambda _: None
                receipts.append(asked(w))

        w.database.fault = fault
        w.sync()
        if not receipts:
            assert came_back, "the test has met what it is about"
            return
        if not receipts[0]["complete"]:
            came_back += MARK in kept_in_firestore(w)
            assert asked(w)["complete"]
        nothing_is_left(w)


def test_a_run_that_died_holds_no_erasure_up_for_longer_than_a_run_can_last() -> None:
    w = busy()
    w.django.before = lambda: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        w.sync()
    assert not asked(w)["complete"]
    assert all("expire_at" in each.fields for path, each in w.database.documents.items() if path.startswith("sync_runs/"))
    w.clock.tick(11 * 60)
    assert asked(w)["complete"]


@pytest.mark.parametrize("lease, waits", {"things": True, "things:3-8": True, "things2": False, "other": False}.items())
def test_a_lease_of_the_pair_or_of_a_part_of_it_is_a_run_under_way(lease: str, waits: bool) -> None:
    w = busy()
    held = {"run_id": "run-of-parts", "until": w.clock() + timedelta(minutes=1)}
    w.database.client_set(f"sync_leases/{lease}", held)
    assert asked(w)["waits_for"] == (["run-of-parts"] if waits else [])
    w.clock.tick(90)
    assert asked(w)["complete"]


def test_a_reconcile_beside_an_erasure_brings_nothing_back() -> None:
    w = busy()
    w.django.before = lambda: asked(w)  # type: ignore[attr-defined]
    w.reconcile()
    asked(w)
    w.reconcile()
    w.settle()
    nothing_is_left(w)


def test_an_edit_made_while_the_record_is_erased_is_erased_too() -> None:
    w = busy()
    w.django.after = lambda: (w.clock.tick(1), w.f_update(KEY, a=f"{MARK} meanwhile"))  # type: ignore[attr-defined]
    assert asked(w)["complete"]
    w.settle()
    nothing_is_left(w)


def test_a_stale_change_never_refills_an_erased_tombstone_and_is_billed_no_write() -> None:
    w = busy()
    held = w.firestore.read([w.id(KEY)])[0].version
    asked(w)
    stale = Change("late", w.id(KEY), "update", dict(held.fields))  # type: ignore[arg-type]
    before = w.database.billed.copy()
    assert [each.outcome for each in w.firestore.apply([stale], "run")] == [Outcome.STALE]
    assert w.database.billed.since(before).writes == 0
    w.django.apply([stale], "run")
    nothing_is_left(w)


def test_a_record_made_anew_under_the_same_key_lives_and_inherits_nothing() -> None:
    for side in ("d_save", "f_update"):
        w = busy()
        asked(w)
        w.deliver_all()
        w.clock.tick(60)
        getattr(w, side)(KEY, a="Björn")
        w.settle()
        assert w.d_values(KEY) == w.f_values(KEY) == {"a": "Björn"}
        assert MARK not in kept_in_firestore(w) + kept_in_django(w)
        w.f_delete(KEY)
        w.deliver_all()
        w.settle()
        [grave] = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_tombstones/")]
        assert (grave["key"], grave["fields"]["a"]) == (KEY, "Björn")


def test_a_record_that_a_user_has_deleted_is_erased_too() -> None:
    w = busy()
    w.d_delete(KEY)
    w.settle()
    asked(w)
    nothing_is_left(w)


def test_a_side_that_holds_on_to_the_record_is_named_and_nothing_is_erased() -> None:
    w = busy()
    w.django.holding = True  # type: ignore[attr-defined]
    before = w.f_values(KEY)
    with pytest.raises(NotOpen, match=r"django does not let go of the record \(reference"):
        asked(w)
    assert w.f_values(KEY) == before
    outcomes = [each.fields["outcome"] for path, each in w.database.documents.items() if path.startswith("sync_audit/")]
    assert outcomes == ["NotOpen"]


class NoCall(MemoryPeer):
    """A backend whose server has no call to erase with."""

    def erase(self, record: Any) -> Any:
        return None


def test_where_a_backend_cannot_be_asked_the_receipt_says_what_is_to_be_done_there() -> None:
    w = World()
    w.django = NoCall("django", w.django.names, w.clock)
    w.pair = replace(w.pair, left=w.django)
    w.d_save(KEY, a=f"{MARK} 1")
    w.settle()
    [row] = [row for row in asked(w)["remains"] if row["where"] == "django"]
    assert "sync_erase" in row["until"]
    assert MARK not in kept_in_firestore(w)


@pytest.mark.parametrize(
    "wrong, says",
    {
        "an entity that there is not": ({"entity": "thng"}, "there is no entity 'thng'; there are: thing"),
        "a tenant where there is none": ({"tenant": "AK"}, "has one of these: none"),
        "a key that no document can have": ({"key": "k" * 2000}, "1 to 1500 bytes"),
        "a reason that names the record": ({"reason": f"{KEY} asked"}, "leave the record's key out of it"),
    }.values(),
)
def test_a_call_that_makes_no_sense_is_refused_without_the_key(wrong: dict[str, Any], says: str) -> None:
    w = busy()
    with pytest.raises(BadRequest, match=says) as caught:
        erase({"things": w.pair}, w.store, w.clock, w.log, Erasure(**({"entity": "thing", "key": KEY} | wrong)), "id")
    assert KEY not in str(caught.value)
    assert w.f_values(KEY)


@pytest.mark.parametrize("tenant", [None, "EGS"])
def test_a_record_of_a_tenant_is_named_with_one_that_there_is(tenant: str | None) -> None:
    w = busy()
    pair = replace(w.pair, tenants={"thing": ("AK", "RVK")})
    with pytest.raises(BadRequest, match="has one of these: AK, RVK"):
        Subject(entity="thing", key=KEY, tenant=tenant).found_in({"things": pair})


def test_a_record_that_nobody_knows_is_not_found_and_leaves_no_tombstone() -> None:
    w = busy()
    with pytest.raises(NotFound):
        asked(w, "never")
    assert not any(path.startswith("sync_tombstones/") for path in w.database.documents)


def test_what_was_written_anew_meanwhile_is_not_half_erased() -> None:
    w = busy()
    with pytest.raises(Transient, match="written anew"):
        w.firestore.erase(w.id(KEY))
    with pytest.raises(Transient, match="not deleted"):
        w.django.erase(w.id(KEY))
    assert w.f_values(KEY)
    assert any(path.startswith("sync_queue/thing:") for path in w.database.documents)


def test_an_export_tells_all_that_is_held_and_is_noted() -> None:
    w = busy()
    told = export({"things": w.pair}, w.store, w.clock, w.log, Subject(entity="thing", key=KEY, by="Gunnar"), "export-1")
    assert json.loads(json.dumps(told)) == told
    text = json.dumps(told)
    assert [number for number in range(1, 10) if f"{MARK} {number}" not in text] == [1, 2], "what was written over is gone"
    assert told["sides"]["django"]["fields"]["b"]["value"] == f"{MARK} 8"
    assert {len(told[name]) for name in ("sync_conflicts", "sync_dead_letters")} == {1}
    [note] = told["sync_audit"]
    assert (note["what"], note["by"]) == ("export_record", "Gunnar")
    asked(w)
    after = json.dumps(export({"things": w.pair}, w.store, w.clock, w.log, Subject(entity="thing", key=KEY), "export-2"))
    assert MARK not in after
    assert "erase_record" in after
    story = tell(gather(w.pair, w.id(KEY), w.store), w.clock())
    assert (story.state, [each.what for each in story.events]) == ("deleted on both sides", ["deleted"])


def test_an_export_of_what_nobody_knows_is_not_found_and_noted_all_the_same() -> None:
    w = busy()
    with pytest.raises(NotFound):
        export({"things": w.pair}, w.store, w.clock, w.log, Subject(entity="thing", key="never"), "export-1")
    [note] = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_audit/")]
    assert (note["what"], "never" in repr(note)) == ("export_record", False)


# On real parts


MEMBER = {"name": f"{MARK} Jónsdóttir", "active": True, "visits": 1, "phone": f"{MARK} 581", "address": {"street": f"{MARK} 5"}}


def everything_in_firestore(real: Real) -> str:
    """Return every document of every collection with its path, as a plain client sees them."""
    return repr({row.reference.path: row.to_dict() for each in real.firestore.collections() for row in each.stream()})


def everything_in_django(real: Real) -> str:
    """Return a dump of the whole database."""
    assert real.stack.backend is not None
    file = real.stack.backend.env["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as database:
        return "\n".join(database.iterdump())


def planted(real: Real) -> None:
    """A member has left something in every place: conflict, dead letter, edits that wait, one that no trigger has told of."""
    real.users.call("save", entity="member", key="2", fields=MEMBER | {"name": "Jón", "email": "jon@example.is"} | CLEAN)
    real.users.call("save", entity="member", key=KEY, fields=MEMBER)
    real.sync()
    real.users.call("save", entity="member", key=KEY, fields={"phone": f"{MARK} office"})
    real.firestore.document(f"members/{KEY}").update({"phone": f"{MARK} app"})
    real.wait_for_queue(1)
    real.sync()
    real.firestore.document(f"members/{KEY}").update({"email": "jon@example.is", "name": f"{MARK} refused"})
    real.wait_for_queue(1)
    real.sync()
    real.firestore.document(f"members/{KEY}").update({"address": {"street": f"{MARK} waits"}})
    real.wait_for_queue(1)
    real.users.call("save", entity="member", key=KEY, fields={"notes": f"{MARK} waits"})
    real.users.call("raw", entity="member", key=KEY, fields={"notes": f"{MARK} raw"})


CLEAN = {"phone": "555", "address": {"street": "x"}}


@pytest.mark.stack
def test_on_real_parts_nothing_of_the_record_is_left_in_either_database(real: Real) -> None:
    planted(real)
    assert {row["key"] for name in ("sync_conflicts", "sync_dead_letters") for row in real.rows(name)} == {KEY}
    assert MARK in everything_in_django(real)
    told = real.call("export_record", {"entity": "member", "key": KEY, "by": "Gunnar"})
    assert told.status_code == 200
    for value in ("581", "office", "app", "refused", "waits", "raw"):
        assert f"{MARK} {value}" in json.dumps(told.json()["result"], ensure_ascii=False), value
    answer = real.call("erase_record", {"entity": "member", "key": KEY, "by": "Gunnar", "reason": "by letter"})
    assert answer.status_code == 200, answer.text
    receipt = answer.json()["result"]["receipt"]
    assert (receipt["removed"]["django"]["records"], receipt["removed"]["firestore"]["records"]) == (1, 1)
    assert MARK not in everything_in_firestore(real)
    assert MARK not in everything_in_django(real)
    real.wait_for_triggers()
    real.sync()
    real.sync("reconcile", mode="full")
    assert MARK not in everything_in_firestore(real)
    assert KEY not in everything_in_firestore(real)
    assert MARK not in everything_in_django(real)
    assert set(real.users.call("dump", entity="member")) == {"2"}
    assert real.call("erase_record", {"entity": "member", "key": "never"}).status_code == 404
    assert real.call("erase_record", {"entity": "member"}).status_code == 400
    logs = "".join(path.read_text(errors="replace") for path in real.stack.logs.rglob("*") if path.is_file())
    assert (MARK in logs, KEY in logs) == (False, False)


@pytest.mark.stack
def test_on_real_parts_runs_and_users_beside_an_erasure_bring_nothing_back(real: Real) -> None:
    planted(real)
    stop, body = Event(), {"entity": "member", "key": KEY}

    def keep_syncing() -> None:
        while not stop.is_set():
            real.call("bidirectional_sync", {"pair": "members"})

    def keep_editing() -> None:
        with suppress(GoogleAPICallError):  # until there is nothing to be edited any more
            for number in range(60):
                real.firestore.document(f"members/{KEY}").update({"phone": f"{MARK} {number}"})

    with ThreadPoolExecutor(2) as beside:
        running = [beside.submit(keep_syncing), beside.submit(keep_editing)]
        wait_until(lambda: real.call("erase_record", body).status_code in {200, 409}, "an erasure", 60)
        running[1].result(60)
        stop.set()
        running[0].result(60)
    real.wait_for_triggers()
    assert real.call("erase_record", body).status_code == 200
    real.sync()
    real.sync("reconcile", mode="full")
    assert MARK not in everything_in_firestore(real)
    assert MARK not in everything_in_django(real)
    assert KEY not in everything_in_firestore(real)


@pytest.mark.stack
def test_on_real_parts_the_command_line_erases_and_exports(real: Real, tmp_path: Path) -> None:
    terminal = Terminal(real, tmp_path)
    planted(real)
    assert f"{MARK} office" in terminal("export", "member", KEY)
    said = terminal("erase", "member", KEY, "--reason", "by letter")
    assert (KEY in said, "django: 1 records" in said, "sync_tombstones keeps the delete's stamp" in said) == (False, True, True)
    assert MARK not in everything_in_firestore(real)
    assert "nothing is known of this member" in terminal("erase", "member", "never", code=1)
    assert "there is no entity 'membr'" in terminal("erase", "membr", KEY, code=2)
    [note] = real.rows("sync_audit", what="erase_record", outcome="erased")
    for tenant in ("AK", "RVK"):
        real.users.call("save", entity="event", key="1", fields={"tenant": tenant, "title": f"{MARK} {tenant}"})
    real.sync()
    assert json.loads(terminal("erase", "event", "1", "--tenant", "AK", "--json"))["complete"]
    assert [row["title"] for row in real.users.call("rows", entity="event")] == [f"{MARK} RVK"]
    assert (f"{MARK} AK" in everything_in_firestore(real), f"{MARK} AK" in everything_in_django(real)) == (False, False)
    assert (note["by"], note["reason"], KEY in repr(note)) == ("gunnar", "by letter", False)


# How long what is kept


def test_the_page_says_of_each_collection_how_long_it_is_kept() -> None:
    page = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(sync_\w+)` \|[^|]+\| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    assert {name: (kept, since) for name, kept, since in rows} == {name: (rule.told, rule.since) for name, rule in RULES.items()}


def test_what_is_kept_for_a_time_is_deleted_by_a_policy_of_firestore() -> None:
    overrides = json.loads((ROOT / "firestore.indexes.json").read_text(encoding="utf-8"))["fieldOverrides"]
    expiring = {each["collectionGroup"] for each in overrides if each["fieldPath"] == "expire_at" and each.get("ttl")}
    assert expiring == {name for name, rule in RULES.items() if rule.kept}


def test_whatever_the_sync_keeps_is_in_the_table_and_expires_no_later_than_it_says() -> None:
    w = busy()
    w.reconcile()
    asked(w)
    w.f_delete("other")
    w.deliver_all()
    w.settle()
    kept = {path: each.fields for path, each in w.database.documents.items() if path.startswith("sync_")}
    assert {path.partition("/")[0] for path in kept} == set(RULES) - {
        "sync_conflicts",
        "sync_dead_letters",
        "sync_checkpoints",
        "sync_claims",
        "sync_refs",
        "sync_statistics",
    }
    for path, fields in kept.items():
        rule = RULES[path.partition("/")[0]]
        assert ("expire_at" in fields) == bool(rule.kept), path
        assert not rule.kept or w.clock() < fields["expire_at"] <= w.clock() + rule.kept, path
