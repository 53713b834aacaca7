"""A dry run: it says what the run would do, row by row, and what it would cost; and the run that follows does just that."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from world import FIELDS, World

from shared import preview
from shared.engine import sync
from shared.index import Entry
from shared.reconcile import reconcile
from shared.report import Report

KEYS = "wxyz"
MOTIONS = {"sync": sync, "reconcile": reconcile}


def rows(report: Report, *words: str) -> list[tuple[Any, ...]]:
    """Return these columns of the plan's rows."""
    return [tuple(row[word] for word in words) for row in report.plan]


def shown(w: World) -> object:
    return {path: (dict(each.fields), each.update_time) for path, each in w.database.documents.items()}


def everything_but_the_times(report: Report) -> dict[str, Any]:
    said = report.as_json()
    return {name: said.get(name) for name in ("directions", "conflicts", "dead_letters", "left_over", "stopped_by", "reconciled")}


# Random states


def somehow(seed: int) -> World:
    """A world in which all sorts of things have happened and not all of them have been carried over."""
    dice = random.Random(seed)
    w = World(ahead=dice.choice([0, 0, 0, -100, 30, 5000, -5000]))
    acts: list[Callable[[str], object]] = [
        lambda key: w.d_save(key, **some(w, dice)),
        lambda key: w.d_save(key, a=[[1]]) if dice.random() < 0.3 else w.d_save(key, b=None),
        lambda key: w.f_update(key, **some(w, dice)),
        lambda key: w.f_set(key, **some(w, dice)),
        lambda key: w.d_delete(key),
        lambda key: w.f_delete(key),
        lambda key: w.deliver(dice.randrange(5), keep=dice.random() < 0.2),
        lambda key: w.deliver_all(),
        lambda key: lose(w, key, dice.choice(["row", "document", "nothing"])),
        lambda key: w.clock.tick(dice.choice([0.0, 1.0, 600.0])),
        lambda key: w.sync(dice.choice([sync, reconcile]), direction=dice.choice([None, "django_to_firestore"])),
        lambda key: w.database.client_set(f"sync_queue/thing:{key}:junk", JUNK) if dice.random() < 0.2 else None,
    ]
    for _ in range(dice.randrange(40)):
        dice.choice(acts)(dice.choice(KEYS))
    return w


def lose(w: World, key: str, what: str) -> None:
    """A record vanishes from one side, and nobody is told."""
    if what == "row":
        w.django.rows.pop(w.id(key), None)
        w.django.index.pop(w.id(key), None)
    elif what == "document":
        w.database.documents.pop(w.path(key), None)


JUNK = {"pair": "things", "sync_status": "pending", "entity": "thing", "key": 7}


def some(w: World, dice: random.Random) -> dict[str, Any]:
    return {name: dice.choice([0, next(w.values), None]) for name in dice.sample(FIELDS, dice.randint(1, 3))}


def stamps(w: World) -> dict[tuple[str, str, str], tuple[str, str]]:
    """Return stamp and fingerprint of every live field: peer, key, field."""
    found: dict[tuple[str, str, str], Entry] = {}
    for key in KEYS:
        document = w.database.snapshot(w.path(key))
        lines = w.firestore.layouts["thing"].held(w.id(key), document).index
        found |= {("firestore", key, name): entry for name, entry in lines.items()}
        found |= {("django", key, name): entry for name, entry in w.django.index.get(w.id(key), {}).items()}
    return {place: (entry.stamp, entry.fingerprint) for place, entry in found.items()}


@pytest.mark.parametrize("motion", MOTIONS.values(), ids=MOTIONS)
@pytest.mark.parametrize("some_seeds", range(8))
def test_the_run_that_follows_a_dry_run_does_just_that_and_costs_just_that(motion: Any, some_seeds: int) -> None:
    for seed in range(some_seeds * 30, some_seeds * 30 + 30):
        w = somehow(seed)
        dice = random.Random(seed)
        order = dice.choice([{}, {}, {"direction": "firestore_to_django"}, {"max_changes": 2}, {"max_billed": 25}])
        before = shown(w)
        billed = w.database.billed.copy()
        foretold = w.sync(motion, dry_run=True, **order)
        made = w.database.billed.since(billed)
        assert (shown(w), made.writes, made.deletes) == (before, 0, 0), f"seed {seed}: a dry run writes nothing"
        held = stamps(w)
        report = w.sync(motion, **order)
        assert everything_but_the_times(foretold) == everything_but_the_times(report), f"seed {seed}"
        assert foretold.forecast == report.billed, f"seed {seed}"
        told = {
            (row["direction"].split("_to_")[1], row["key"], row["field"]): row["to"]
            for row in foretold.plan
            if row["action"] in {"create", "update"}
        }
        for (peer, key, name), (stamp, _) in stamps(w).items():
            if held.get((peer, key, name), ("",))[0] != stamp and not stamp.endswith(peer):
                value = ((w.d_values(key) if peer == "django" else w.f_values(key)) or {}).get(name)
                assert told[peer, key, name] == {"value": value, "stamp": stamp}, f"seed {seed}"


# What the rows say


def synced() -> World:
    w = World()
    for key in "xy":
        w.d_save(key, a=0, b=0, c=0)
    w.settle()
    return w


def test_a_row_names_the_record_the_field_what_is_there_what_comes_and_why() -> None:
    w = synced()
    old = w.django.version(w.id("x")).fields["a"].stamp
    w.d_save("x", a=1)
    [row] = w.sync(dry_run=True).plan
    assert row == {
        "direction": "django_to_firestore",
        "entity": "thing",
        "tenant": None,
        "key": "x",
        "action": "update",
        "field": "a",
        "from": {"value": 0, "stamp": old},
        "to": {"value": 1, "stamp": w.django.version(w.id("x")).fields["a"].stamp},
        "why": "applied",
    }


def test_creates_deletes_and_conflicts_are_told_apart() -> None:
    w = synced()
    w.d_save("new", a=1)
    w.d_delete("y")
    w.d_save("x", a=1)
    w.f_update("x", a=2)
    w.deliver_all()
    told = rows(w.sync(dry_run=True), "direction", "key", "action", "field", "why")
    assert ("django_to_firestore", "new", "create", "a", "applied") in told
    assert ("django_to_firestore", "y", "delete", None, "applied") in told
    assert ("django_to_firestore", "x", "none", "a", "conflict: local wins") in told
    assert ("firestore_to_django", "x", "update", "a", "conflict: incoming wins") in told


def test_an_edit_that_no_trigger_has_seen_is_foretold_too() -> None:
    w = synced()
    w.f_update("x", a=9)
    w.d_save("x", b=1)
    report = w.sync(dry_run=True)
    assert ("firestore_to_django", "x", "a") in rows(report, "direction", "key", "field"), "the run adopts and carries it"
    assert w.database.snapshot(w.path("x")).fields["_sync"] == w.database.snapshot(w.path("x")).fields["_sync"]


def test_what_must_wait_and_what_is_refused_is_said_with_its_reason() -> None:
    w = World(ahead=5000)
    w.d_save("x", a=1)
    [row] = [row for row in w.sync(dry_run=True).plan if row["field"] == "a"]
    assert row["why"].startswith("waits: future: stamped")
    w = synced()
    w.d_save("x", a=[[1]])
    w.database.client_set("sync_queue/junk", JUNK)
    whys = rows(w.sync(dry_run=True), "action", "why")
    assert any(action == "none" and why.startswith("dead letter: not-representable: field 'a'") for action, why in whys)
    assert any(action == "none" and why.startswith("dead letter: malformed") for action, why in whys)


def test_an_update_of_a_record_that_is_not_there_becomes_the_whole_record() -> None:
    w = synced()
    del w.database.documents[w.path("x")]
    w.d_save("x", a=1)
    assert sorted(rows(w.sync(dry_run=True), "key", "action", "field")) == [("x", "create", name) for name in FIELDS]


def test_deletes_that_the_brake_holds_stand_in_the_plan() -> None:
    w = World()
    for number in range(60):
        w.d_save(f"k{number:02}", a=1)
    w.settle()
    for number in range(55):
        w.d_delete(f"k{number:02}")
    report = w.sync(dry_run=True)
    [found] = report.brakes
    assert rows(report, "action", "why") == [("none", f"held by the brake; allow_mass_delete={found.plan} lets it pass")] * 55


def test_a_long_plan_is_cut_and_says_by_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "MOST_ROWS", 10)
    w = World()
    for number in range(20):
        w.d_save(f"k{number:02}", a=1)
    report = w.sync(dry_run=True)
    assert (len(report.plan), report.plan_more) == (10, 50)
    for number in range(20):
        w.d_save(f"k{number:02}", a="long" * 1000)
    assert report.as_json()["plan_more"] == 50


def test_a_long_value_is_not_shown_but_its_length_is() -> None:
    w = World()
    w.d_save("x", a="x" * 5000)
    [row] = [row for row in w.sync(dry_run=True).plan if row["field"] == "a"]
    assert set(row["to"]) == {"stamp", "characters"}
    assert row["to"]["characters"] == 5002


def test_a_dry_run_of_more_than_it_can_keep_in_memory_stops_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "MOST_CHANGES", 4)
    w = World()
    for number in range(20):
        w.d_save(f"k{number:02}", a=1)
    report = w.sync(dry_run=True)
    assert (report.moved, report.stopped_by) == (6, "changes")


def test_nothing_that_a_dry_run_sees_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    w = synced()
    w.log.lines.clear()
    w.d_save("x", a=[[1]])
    w.f_update("x", b=1)
    w.sync(dry_run=True)
    assert (w.log.lines, capsys.readouterr().out) == ([], "")


def test_a_dry_run_waits_for_no_clock() -> None:
    w = World(ahead=4)
    w.firestore.sleep = lambda seconds: pytest.fail("it slept")
    w.d_save("x", a=1)
    assert w.sync(dry_run=True).directions["django_to_firestore"].applied == 1


def test_a_dry_run_stops_at_its_time_too() -> None:
    w = World(run_time=timedelta(seconds=0))
    w.d_save("x", a=1)
    assert w.sync(dry_run=True).stopped_by == "time"
    w.pair = replace(w.pair, run_time=timedelta(minutes=8))
    assert copy.copy(w.sync(dry_run=True)).stopped_by is None
