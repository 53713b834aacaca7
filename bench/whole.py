"""Whole peers: the first load, reconciles of what is equal and of what differs a little, an idle run, the tracker."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

from bench.delta import WrongOutcome
from bench.figures import Figure, Target, ratio
from bench.raw import parts, update, value
from bench.refill import EDITED
from bench.stand import Stand

DIFFERENT = 100
EDITS, BLOCK = 120, 30


def first_load(stand: Stand, records: int, repetitions: int) -> Iterator[Figure]:
    """Load all members into an empty Firestore, against a raw BatchWrite of the same documents."""
    stand.side("forget_queue")
    ours, best, billed = list[float](), list[float](), dict[str, int]()
    for _ in range(repetitions):
        _emptied(stand)
        done = stand.ours("reconcile", "--mode", "full")
        _expect("the first load", done, repaired=records, different=records)
        ours.append(done["seconds"])
        billed = done["report"]["billed"]
        requests = [stand.firestore.write_request(some) for some in parts([update(each) for each in _emptied(stand)])]
        began = time.perf_counter()
        for request in requests:
            stand.firestore.unary("BatchWrite", request)
        best.append(time.perf_counter() - began)
    note = f"{records:,} records"
    yield ratio("first load", "raw BatchWrite's time / ours", best, ours, ("raw", "ours"), None, note)
    for name, number in billed.items():
        yield Figure("first load", f"billed {name} per record", [number / records], "", None, note)


def _emptied(stand: Stand) -> list[Any]:
    documents = stand.firestore.documents("members")
    stand.firestore.delete([each.name for each in documents])
    return documents


def reconciles(stand: Stand, records: int, repetitions: int) -> Iterator[Figure]:
    """Reconcile equal members, and then ones of which a few differ, both quick and full."""
    different = min(DIFFERENT, records // 10)
    for mode in ("quick", "full"):
        for number in (0, different):
            yield from _reconciled(stand, mode, records, number, repetitions)


def _reconciled(stand: Stand, mode: str, records: int, different: int, repetitions: int) -> Iterator[Figure]:
    ours, raw, reads = list[float](), list[float](), list[float]()
    for _ in range(repetitions):
        if different:
            stand.side("differ", limit=different)
        done = stand.ours("reconcile", "--mode", mode)
        _expect(f"a {mode} reconcile", done, repaired=different, different=different)
        ours.append(done["seconds"])
        reads.append(done["report"]["billed"]["reads"])
        began = time.perf_counter()
        stand.firestore.documents("members")
        raw.append(time.perf_counter() - began)
    name, note = f"{mode}, {different or 'none'} differ", f"{records:,} records"
    target = Target(at_most=150 + 120 * different) if mode == "quick" else None
    yield ratio("reconcile", f"{name}: ours / reading all documents raw", ours, raw, ("ours", "raw"), None, note)
    yield Figure("reconcile", f"{name}: billed reads", reads, "", target, f"{note}; target for 100,000")


def _expect(what: str, done: dict[str, Any], **figures: int) -> None:
    found = done["report"]["reconciled"]["member"]
    if any(found[name] != number for name, number in figures.items()):
        raise WrongOutcome(f"{what} was to have {figures} and has { ({name: found[name] for name in figures}) }")


def idle(stand: Stand) -> Iterator[Figure]:
    """Run a delta sync with nothing to do, twice: the first may write its record."""
    with stand.afar(0) as counted:
        stand.ours("sync", "--cold", **counted.env)
        counted.told()
        done = stand.ours("sync", "--cold", **counted.env)
        _, calls = counted.told()
    billed = done["report"]["billed"]
    yield Figure("idle", "HTTP calls to the backend", [calls["backend"]], "", Target(at_most=3))
    yield Figure("idle", "calls to Firestore", [calls["firestore"]])
    yield Figure("idle", "billed reads", [billed["reads"]], "", Target(at_most=3))
    yield Figure("idle", "billed writes", [billed["writes"]], "", Target(at_most=0), "the last idle record is recent")


def tracker(stand: Stand) -> Iterator[Figure]:
    """Hand the tracker events of edits, and commit the like of what it wrote."""
    edited = stand.firestore.documents("members")[:EDITS]
    stand.firestore.write([_renamed(update(each)) for each in edited])
    for each in edited:
        each.fields["phone"].CopyFrom(value(f"tracked {each.name[-10:]}"))
    stand.firestore.write([update(each, EDITED[:1]) for each in edited])
    before = len(stand.firestore.documents("sync_queue", ["entity"]))
    done = stand.tracking([each.name for each in edited])
    queued = len(stand.firestore.documents("sync_queue", ["entity"])) - before
    if queued != len(edited):
        raise WrongOutcome(f"the tracker queued {queued} of {len(edited)} edits")
    tracked, committed = (_blocks(done[name]) for name in ("tracked", "committed"))
    note = f"medians of blocks of {BLOCK} events, handed over in the process"
    yield ratio(
        "tracker", "event in, entry written / a raw commit of the same writes", tracked, committed, ("tracker", "raw"), None, note
    )
    yield Figure("tracker", "its own part of that time", [1 - b / a for a, b in zip(tracked, committed, strict=True)])


def _renamed(write: Any) -> Any:
    write.update.name = write.update.name.replace("/documents/", "/documents/raw_")
    return write


def _blocks(seconds: Sequence[float]) -> list[float]:
    return [statistics.median(some) for some in parts(seconds, BLOCK)]
