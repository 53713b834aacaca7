"""Reconcile: what it finds, mends, counts and costs, and where it goes on after a crash; in memory."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from typing import Any

import pytest
from memory_firestore import MemoryFirestore
from world import World

from shared.errors import TerminalRecord, Transient
from shared.full import full
from shared.peers.documents import Write
from shared.peers.memory import MemoryPeer
from shared.reconcile import Task
from shared.report import Comparison, Report

QUICK = Task("quick")
FULL = Task("full")
KEYS = [f"k{number:02}" for number in range(20)]


def world(keys: list[str] = KEYS, **options: Any) -> World:
    """Records that both sides hold alike, with nothing waiting."""
    w = World(**options)
    for key in keys:
        w.d_save(key, a=key, b=0, c=0)
    w.settle()
    return w


def found(report: Report) -> Comparison:
    assert report.failure is None, report.failure
    [comparison] = report.reconciled.values()
    ended = ("repaired", "waiting", "dead_letters", "in_conflict", "held", "edited")
    assert comparison.compared == comparison.equal + comparison.different
    assert comparison.different == sum(getattr(comparison, each) for each in ended)
    return comparison


def lose_events(w: World) -> None:
    w.events().clear()


def lose_rows(w: World, *keys: str) -> None:
    for key in keys:
        del w.django.rows[w.id(key)]


def lose_documents(w: World, *keys: str) -> None:
    for key in keys:
        del w.database.documents[w.path(key)]


def adopted_and_then_lost(w: World, key: str, **fields: Any) -> None:
    """An edit that was adopted, so that the stored hash shows it, and whose queue entry was lost."""
    w.f_update(key, **fields)
    w.deliver_all()
    entries = [
        path for path, each in w.database.documents.items() if path.startswith("sync_queue/") and each.fields["key"] == key
    ]
    for path in entries:
        del w.database.documents[path]


def same(w: World, keys: list[str] = KEYS) -> None:
    w.check(keys)  # type: ignore[arg-type]  # any iterable of keys


# Finding and mending


@pytest.mark.parametrize("task", [QUICK, FULL], ids=["quick", "full"])
def test_equal_sides_are_all_equal_and_nothing_is_written_to_a_record(task: Task) -> None:
    w = world()
    before = {path: each for path, each in w.database.documents.items() if path.startswith("things/")}
    assert found(w.reconcile(task)) == Comparison(task.mode, compared=20, equal=20)
    assert {path: each for path, each in w.database.documents.items() if path.startswith("things/")} == before


@pytest.mark.parametrize("task", [QUICK, FULL], ids=["quick", "full"])
def test_what_differs_is_found_mended_and_counted_by_field(task: Task) -> None:
    w = world()
    w.d_raw("k01", a=1)
    w.d_raw("k02", a=1, b=1)
    adopted_and_then_lost(w, "k03", b=5)
    lose_rows(w, "k00", "k04")
    lose_documents(w, "k05", "k19")
    lose_events(w)
    figures = found(w.reconcile(task))
    assert figures == Comparison(task.mode, compared=20, equal=13, different=7, repaired=7, put_back=4, fields={"a": 2, "b": 2})
    assert w.d_values("k03") == {"a": "k03", "b": 5, "c": 0}
    same(w)
    assert found(w.reconcile(task)) == Comparison(task.mode, compared=20, equal=20)
    w.settle()
    same(w)


def test_an_edit_whose_trigger_was_lost_is_found_by_full_and_not_by_quick() -> None:
    w = world()
    for key in KEYS[:7]:
        w.f_update(key, b="of a day on which no trigger fired")
    w.f_set("new", a=1)
    lose_events(w)
    assert found(w.reconcile(QUICK)).different == 0
    assert found(w.reconcile(FULL)) == Comparison("full", compared=21, equal=13, different=8, repaired=8, fields={"b": 7})
    same(w, [*KEYS, "new"])
    assert w.d_values("new") == {"a": 1}


def test_a_document_that_lost_its_index_is_whole_again() -> None:
    w = world()
    w.f_set("k01", a="blind")
    lose_events(w)
    assert found(w.reconcile(FULL)).repaired == 1
    assert w.d_values("k01") == w.f_values("k01") == {"a": "blind"}
    same(w)


def test_a_delete_that_one_side_never_heard_of_is_carried_and_not_put_back() -> None:
    w = world()
    w.d_delete("k01")
    w.django.labels = dict.fromkeys(w.django.labels, "synced")
    assert found(w.reconcile(QUICK)).repaired == 1
    assert w.d_values("k01") is w.f_values("k01") is None


def test_only_given_keys_are_looked_at() -> None:
    w = world()
    w.d_raw("k01", a=1)
    w.d_raw("k02", a=1)
    lose_documents(w, "k03", "k04")
    figures = found(w.reconcile(Task(keys=("k01", "k03", "k05", "k05", "nobody"))))
    assert figures == Comparison(
        "full",
        compared=3,
        equal=1,
        different=2,
        repaired=2,
        put_back=1,
        fields={"a": 1},
        note="1 of the keys are known on neither side",
    )
    assert (w.f_values("k02"), w.f_values("k04")) == ({"a": "k02", "b": 0, "c": 0}, None)


@pytest.mark.parametrize("task", [QUICK, FULL, Task(keys=tuple(KEYS))], ids=["quick", "full", "keys"])
def test_a_dry_run_reports_and_writes_nothing(task: Task) -> None:
    w = world()
    w.d_raw("k01", a=1)
    adopted_and_then_lost(w, "k03", b=5)
    lose_documents(w, "k05")
    if task is not QUICK:
        w.f_update("k06", c=1)
    lose_events(w)
    w.django.read([w.id("k01")])  # a backend adopts what it shows
    before, rows, waiting = copy.deepcopy(w.database.documents), copy.deepcopy(w.django.rows), dict(w.django.labels)
    report = w.reconcile(task, dry_run=True)
    different = 2 if task is QUICK else 3  # what waits in a queue would be carried before anything is compared
    fields = {"b": 1} | ({} if task is QUICK else {"c": 1})
    ends = {"compared": 20, "equal": 20 - different, "different": different, "repaired": different, "put_back": 1}
    assert found(report) == Comparison(task.mode, **ends, fields=fields)
    assert (report.billed.writes, report.billed.deletes) == (0, 0)
    assert (w.database.documents, w.django.rows, w.django.labels) == (before, rows, waiting)


@pytest.mark.parametrize("mode", ["quick", "full"])
def test_a_report_counts_what_differs_and_writes_no_record(mode: Any) -> None:
    w = world()
    adopted_and_then_lost(w, "k03", b=5)
    lose_documents(w, "k05")
    w.d_save("k07", c=1)  # waits in the queue
    ours = ("sync_runs/", "sync_leases/")

    def documents() -> dict[str, Any]:
        return {path: each for path, each in w.database.documents.items() if not path.startswith(ours)}

    before, rows, labels = documents(), copy.deepcopy(w.django.rows), dict(w.django.labels)
    report = w.reconcile(Task(mode, repair=False))
    [figures] = report.reconciled.values()
    assert (figures.compared, figures.equal, figures.different, figures.fields) == (20, 17, 3, {"b": 1, "c": 1})
    assert (figures.repaired, report.moved) == (0, 0)
    assert (documents(), w.django.rows, w.django.labels) == (before, rows, labels)


class Undigested(MemoryPeer):
    """A backend without the call `digest`."""

    def digests(self, scope: object, entity: str) -> None:
        return None


def test_quick_reads_everything_where_a_side_offers_no_digests_and_says_so() -> None:
    w = World()
    w.django.__class__ = Undigested
    w.d_save("x", a=1)
    w.settle()
    w.f_update("x", b=1)
    lose_events(w)
    figures = found(w.reconcile(QUICK))
    assert (figures.mode, figures.repaired, "no digests" in str(figures.note)) == ("full", 1, True)


def test_a_hash_that_fits_nothing_any_more_is_read_once_and_mended() -> None:
    """As after a field was added to what is synced: the values are alike, the stored hashes are of other fields."""
    w = world()
    for key in KEYS:
        document = w.database.documents[w.path(key)]
        w.database.commit([Write(document.path, {"_sync": document.fields["_sync"] | {"hash": 7}}, ("_sync",))])
    assert found(w.reconcile(QUICK)) == Comparison("quick", compared=20, equal=20)
    before = w.database.billed.copy()
    assert found(w.reconcile(QUICK)) == Comparison("quick", compared=20, equal=20)
    assert w.database.billed.since(before).reads < 20
    lose_events(w)
    w.settle()


# What is counted is what happened


def test_what_must_wait_is_not_called_repaired() -> None:
    w = world(ahead=3600.0)
    w.d_raw("k01", a="stamped an hour ahead of Firestore's clock")
    figures = found(w.reconcile(FULL))
    assert (figures.different, figures.repaired, figures.waiting) == (1, 0, 1)
    assert w.f_values("k01") == {"a": "k01", "b": 0, "c": 0}


def test_what_the_other_side_refuses_is_counted_as_a_dead_letter() -> None:
    w = world()
    w.d_raw("k01", a=[[1]])
    figures = found(w.reconcile(FULL))
    assert (figures.different, figures.repaired, figures.dead_letters) == (1, 0, 1)


def test_what_is_edited_right_after_it_was_mended_is_on_its_way_and_not_called_repaired() -> None:
    w = world()
    lose_documents(w, "k05")
    edited: list[int] = []

    def fault(call: str) -> None:
        if call == "committed" and not edited and w.f_values("k05"):
            edited.append(1)
            w.f_update("k05", b="meanwhile")

    w.database.fault = fault
    figures = found(w.reconcile(FULL))
    assert (figures.different, figures.repaired, figures.put_back, figures.edited) == (1, 0, 0, 1)
    w.settle()
    same(w)
    assert w.d_values("k05") == {"a": "k05", "b": "meanwhile", "c": 0}


def test_the_report_is_in_the_runs_record_too() -> None:
    w = world()
    lose_documents(w, "k05")
    report = w.reconcile(QUICK)
    kept = w.store.run("things", report.run_id)["result"]["reconciled"]["thing"]
    assert (kept["mode"], kept["compared"], kept["put_back"]) == ("quick", 20, 1)


# Isolation


def test_6_isolation_a_record_that_no_document_can_hold_stops_no_other() -> None:
    w = world()
    w.d_raw("x" * 1501, a=1)
    w.d_raw("k19", a=1)
    figures = found(w.reconcile(FULL))
    assert (figures.repaired, figures.dead_letters) == (1, 1)
    assert w.f_values("k19") == {"a": 1, "b": 0, "c": 0}


def test_6_isolation_a_document_that_cannot_be_adopted_stops_no_other() -> None:
    w = world()
    w.f_update("k01", a="too large for its index")
    w.f_update("k19", a=1)
    lose_events(w)
    commit = w.database.commit

    def refusing(writes: list[Write], transaction: bytes | None = None) -> None:
        if any(each.path == w.path("k01") for each in writes):
            raise TerminalRecord("too-large", "Firestore, commit: it refuses the document")
        commit(writes, transaction)

    w.database.commit = refusing  # type: ignore[method-assign]
    for _ in range(2):
        report = w.reconcile(FULL)
        figures = found(report)
        assert (figures.dead_letters, w.d_values("k19")) == (1, {"a": 1, "b": 0, "c": 0})
    [letter] = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_dead_letters/")]
    assert (letter["reason"], letter["from"], letter["status"]) == ("too-large", "firestore", "open")
    assert w.d_values("k01") == {"a": "k01", "b": 0, "c": 0}


# What it costs


def test_a_full_reconcile_of_equal_records_reads_each_once_whatever_their_keys() -> None:
    keys = [f"{first}{number}" for first in "0Aa" for number in range(300)] + ["__x__", ".", "..", "a/1", "a%2F1", "A/b/c", "/"]
    w = world(keys)
    before = w.database.billed.copy()
    assert found(w.reconcile(FULL)) == Comparison("full", compared=len(keys), equal=len(keys))
    reads = w.database.billed.since(before).reads
    print(f"{len(keys)} records: {reads} reads")  # noqa: T201
    assert reads < len(keys) * 1.05


def test_a_quick_reconcile_of_equal_records_reads_next_to_nothing() -> None:
    w = world([f"{number}" for number in range(1500)])
    before = w.database.billed.copy()
    assert found(w.reconcile(QUICK)).equal == 1500
    assert w.database.billed.since(before).reads <= 2 + 10


# Going on after a crash or a cut


class Crash(BaseException):
    """The process is gone."""


def crash_at(w: World, call: str, number: int) -> None:
    """Crash at so many calls of this kind to Firestore from now on; "any" counts them all."""
    calls: list[str] = []

    def fault(name: str) -> None:
        calls.append(name)
        if (len(calls) if call == "any" else calls.count(call)) == number:
            w.database.fault = lambda _: None
            raise Crash

    w.database.fault = fault


def half_done(w: World, writes: int = 3) -> None:
    """A full reconcile that crashed in the middle of the walk, and whose lease has run out."""
    crash_at(w, "written", writes)
    with pytest.raises(Crash):
        w.reconcile(FULL)
    w.clock.tick(300)
    assert checkpoints(w) == ["sync_checkpoints/things:thing"]


def walked(w: World, task: Task = FULL, **order: Any) -> tuple[Report, int]:
    """Reconcile, and return how many documents were read in the walk."""
    pages: list[int] = []
    query = MemoryFirestore.query

    def counting(database: MemoryFirestore, collection: str, *given: Any) -> Any:
        rows = query(database, collection, *given)
        pages.extend([len(rows)] if collection == "things" else [])
        return rows

    w.database.query = counting.__get__(w.database)  # type: ignore[method-assign]
    report = w.reconcile(task, **order)
    return report, sum(pages)


def checkpoints(w: World) -> list[str]:
    return [path for path in w.database.documents if path.startswith("sync_checkpoints/")]


def test_a_full_reconcile_goes_on_where_a_crashed_one_was() -> None:
    w = world()
    w.d_raw("k01", a=1)
    lose_documents(w, "k19")
    half_done(w, writes=5)
    report, read = walked(w)
    assert report.resumed_from == "run-5"
    assert 0 < read < 15
    figures = found(report)
    assert (figures.compared, figures.different, figures.repaired, figures.put_back) == (20, 2, 2, 1)
    assert checkpoints(w) == []
    same(w)
    assert walked(w)[0].resumed_from is None


def test_a_full_reconcile_goes_on_where_its_time_was_over_until_all_is_done() -> None:
    w = world()
    for key in KEYS:
        w.f_update(key, b=1)
    lose_events(w)
    runs = []
    for _ in range(20):
        runs.append(w.reconcile(FULL, max_changes=3))
        if not runs[-1].left_over:
            break
    assert 5 <= len(runs) < 20
    assert all(report.resumed_from == before.run_id for before, report in itertools.pairwise(runs[1:]))
    assert runs[-1].reconciled["thing"].compared == 20
    same(w)


def test_a_record_that_no_document_can_hold_is_no_place_to_go_on_from() -> None:
    w = world(KEYS[:9])
    for number in range(4):
        w.d_raw("k08" + "x" * 1500 + str(number), a=1)
    batches = list(full(w.django, w.firestore, w.pair.scope, "thing"))
    assert [batch.compared for batch in batches] == [3, 3, 3, 3, 1]
    assert [batch.last for batch in batches] == ["k02", "k05", "k08", None, None]


def test_a_checkpoint_of_another_release_is_gone_on_with() -> None:
    w = world()
    half_done(w)
    kept = w.database.documents["sync_checkpoints/things:thing"].fields["reconciled"]["thing"]
    kept["figure that is no more"] = 1
    del kept["in_conflict"]
    assert found(w.reconcile(FULL)).compared == 20


def test_the_queues_are_emptied_whether_a_run_goes_on_or_begins() -> None:
    w = world()
    half_done(w)
    w.d_save("k00", a="edited since, before the place where the run goes on")
    report = w.reconcile(FULL)
    assert report.resumed_from
    assert w.f_values("k00") == w.d_values("k00")


@pytest.mark.parametrize(
    "task, order, hours",
    [(Task(restart=True), {}, 0), (FULL, {}, 25), (QUICK, {}, 0), (Task(keys=("k00",)), {}, 0)],
    ids=["restart", "a day later", "quick", "keys"],
)
def test_what_begins_anew(task: Task, order: dict[str, Any], hours: int) -> None:
    w = world()
    half_done(w)
    w.clock.tick(hours * 3600)
    report, read = walked(w, task, **order)
    assert report.resumed_from is None
    assert read == (20 if task.mode == "full" and not task.keys else 0)
    done = task.mode == "full" and not task.keys and not order
    assert checkpoints(w) == ([] if done else ["sync_checkpoints/things:thing"])


def test_a_run_over_another_scope_keeps_a_checkpoint_of_its_own() -> None:
    w = world()
    half_done(w)
    w.pair = replace(w.pair, scope=replace(w.pair.scope, tenant="north"), tenants={"thing": ("north",)})
    assert w.reconcile(FULL).resumed_from is None
    assert checkpoints(w) == ["sync_checkpoints/things:thing"]


def test_wherever_a_full_reconcile_crashes_the_next_ends_it() -> None:
    for call in itertools.count(1):
        w = world(KEYS[:8])
        w.d_raw("k01", a=1)
        w.f_update("k02", b=1)
        lose_rows(w, "k03")
        lose_documents(w, "k07")
        lose_events(w)
        crash_at(w, "any", call)
        try:
            w.reconcile(FULL)
            break
        except Crash:
            w.clock.tick(300)
        figures = found(w.reconcile(FULL))
        assert figures.compared == 8
        same(w, KEYS[:8])
        assert found(w.reconcile(Task(restart=True))) == Comparison("full", compared=8, equal=8)
    assert call > 40


def test_a_page_that_does_not_come_ends_the_run_as_failed_with_nothing_deleted() -> None:
    w = world()
    shown = MemoryPeer.records

    class Cut(MemoryPeer):
        def records(self, *given: Any, **more: Any) -> Any:
            for number, page in enumerate(shown(self, *given, **more)):
                if number == 4:
                    raise Transient("answered application/json that is no JSON, or only a part of it")
                yield page

    before = {path for path in w.database.documents if path.startswith("things/")}
    w.django.__class__ = Cut
    report = w.reconcile(FULL)
    assert report.failure is not None
    assert {path for path in w.database.documents if path.startswith(("things/", "sync_tombstones/"))} == before
    assert len(w.django.rows) == 20
    w.django.__class__ = MemoryPeer
    assert found(w.reconcile(FULL)) == Comparison("full", compared=20, equal=20)


def test_a_run_whose_time_is_over_amid_its_drain_sends_nothing_that_may_be_on_its_way() -> None:
    w = world()
    w.f_update("k01", a=1)
    w.f_update("k02", a=1)
    w.deliver_all()
    w.f_delete("k01")
    lose_events(w)
    report = w.reconcile(FULL, max_changes=1)
    assert report.left_over
    assert w.f_values("k01") is None, "its edit waits still, so its document is not put back yet"
    w.reconcile(FULL)
    same(w)
    assert w.f_values("k01") == {"a": 1, "b": 0, "c": 0}


def test_a_record_out_of_turn_is_not_missed_at_the_very_end_either() -> None:
    w = world(["A1", "__x__"])
    lose_documents(w, "__x__")
    [batch] = full(w.django, w.firestore, w.pair.scope, "thing", after="A1")
    assert [id.key for id in batch.differing] == ["__x__"]


def test_what_was_adopted_by_being_shown_and_carried_while_others_were_mended_is_equal_when_its_turn_comes() -> None:
    """Django adopts when it shows its records, a window ahead of what is compared; mending the first page carries all."""
    w = world()
    for key in KEYS:
        w.d_raw(key, a="raw")
    w.d_raw("new", a=1)
    report = w.reconcile(FULL)
    assert found(report) == Comparison("full", compared=21, equal=18, different=3, repaired=3, fields={"a": 3})
    assert report.directions["django_to_firestore"].applied == 21


def test_what_is_gone_from_both_sides_by_the_time_it_is_read_again_was_not_compared() -> None:
    w = world()
    lose_documents(w, "k05")
    read = w.django.read

    def gone(ids: Any, adopting: bool = True) -> Any:
        w.django.rows.pop(w.id("k05"), None)
        return read(ids, adopting)

    shown = w.django.records

    def records(*given: Any) -> Any:
        yield from list(shown(*given))
        w.django.read = gone  # type: ignore[method-assign]

    w.django.records = records  # type: ignore[method-assign]
    assert found(w.reconcile(FULL)) == Comparison("full", compared=19, equal=19)


def test_a_record_far_out_of_turn_that_one_side_lost_is_put_back() -> None:
    """Its key comes after six hundred others, its document would come before them."""
    keys = [f"A{number}" for number in range(600)] + ["__x__"]
    w = world(keys)
    lose_documents(w, "__x__", "A7")
    figures = found(w.reconcile(FULL))
    assert (figures.compared, figures.different, figures.put_back) == (601, 2, 2)
    same(w, keys)


def test_a_drain_that_is_cut_short_amid_mending_puts_nothing_back() -> None:
    """Three edits are adopted, two of them carried before the run is over, as one is edited again; then the third's document
    is deleted unseen."""
    w = world()
    for key in ("k00", "k01", "k02"):
        w.f_update(key, b=1)
    lose_events(w)

    def fault(call: str) -> None:
        entries = [each.fields for path, each in w.database.documents.items() if path.startswith("sync_queue/")]
        pending = [each for each in entries if each["sync_status"] == "pending"]
        if call == "query" and len(pending) == 3 and w.f_values("k02"):
            w.f_update("k00", b=2)
            w.deliver_all()
            w.f_delete("k02")
            lose_events(w)

    w.database.fault = fault
    report = w.reconcile(FULL, max_changes=3)
    assert (report.left_over, report.reconciled["thing"].waiting) == (True, 3)
    assert w.f_values("k02") is None
    w.database.fault = lambda _: None
    assert found(w.reconcile(FULL)).put_back == 1
    same(w)
    assert w.f_values("k02") == {"a": "k02", "b": 1, "c": 0}


def test_6_isolation_a_document_that_is_edited_all_the_time_keeps_no_other_from_being_adopted() -> None:
    w = world()
    w.f_update("k01", b=0.5)
    w.f_update("k02", b=1)
    lose_events(w)
    edits = itertools.count(1)
    w.database.fault = lambda call: w.f_update("k01", b=next(edits)) if call == "commit" else None
    with pytest.raises(Transient):
        w.firestore.read([w.id("k01"), w.id("k02")])
    assert [change.record.key for page in w.firestore.changes(w.pair.scope) for change in page.changes] == ["k02"]
