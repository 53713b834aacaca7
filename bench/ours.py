"""The sync itself, measured in a fresh process: `python -m bench.ours ACTION`; the environment names the systems.

The last line printed is JSON. Only what is public is called: wiring, engine, peers.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from bench.processes import peak_mib
from shared import engine, wiring
from shared import reconcile as whole
from shared.model import RecordId
from shared.overlap import Inline
from shared.peers.firestore import FirestorePeer
from shared.report import Report
from shared.run import Order, Pair

PAIR = "members"
TOGETHER = 500
LINES = 45


def sync(direction: str | None, profile: Path | None, cold: bool) -> dict[str, Any]:
    """Carry over what waits; return seconds, seconds of this process's processor time, its peak memory in MiB, and figures."""
    pair, store, log = wiring.pairs()[PAIR] if cold else warmed(), wiring.store(), wiring.log()
    pair = in_one_thread(pair) if profile else pair
    began = time.process_time()
    report, seconds = timed(lambda: engine.sync(pair, Order(uuid.uuid4().hex[:12], direction), store, wiring.now, log), profile)
    used = time.process_time() - began
    return {"seconds": seconds, "processor": used, "peak_mib": peak_mib(), **told(report)}


def reconcile(mode: Literal["quick", "full"], profile: Path | None) -> dict[str, Any]:
    """Compare all members and mend what differs; return what `sync` does."""
    pair, store, log = warmed(), wiring.store(), wiring.log()
    narrow = replace(pair, scope=replace(pair.scope, entities=("member",)))
    work = partial(whole.reconcile, narrow, Order(uuid.uuid4().hex[:12]), store, wiring.now, log, whole.Task(mode, restart=True))
    report, seconds = timed(work, profile)
    return {"seconds": seconds, **told(report)}


def told(report: Report) -> dict[str, Any]:
    """Return a report's figures and, if it failed, why."""
    return {"report": report.as_json(), "failure": report.failure and report.failure.message}


def warmed() -> Pair:
    """Return the pair once both peers and the secrets have been talked to, so that no connection is made while we measure."""
    pair = wiring.pairs()[PAIR]
    pair.left.status(pair.scope)
    pair.right.status(pair.scope)
    wiring.log().record(RecordId("member", "nobody"))
    return pair


def in_one_thread(pair: Pair) -> Pair:
    """Return the pair with all its work in the caller's thread, the only one that a profile sees."""
    for peer in (pair.left, pair.right):
        if isinstance(peer, FirestorePeer):
            peer.beside = Inline()
    return replace(pair, beside=Inline)


def timed(work: Callable[[], Report], profile: Path | None) -> tuple[Report, float]:
    """Return what the work returns and how many seconds it took; with a file for the profile, under the profiler."""
    profiler = cProfile.Profile() if profile else None
    with redirect_stdout(sys.stderr):  # the log
        began = time.perf_counter()
        report = profiler.runcall(work) if profiler else work()
        seconds = time.perf_counter() - began
    if profiler and profile:
        with profile.open("w", encoding="utf-8") as file:
            pstats.Stats(profiler, stream=file).sort_stats("tottime").print_stats(LINES).sort_stats("cumtime").print_stats(LINES)
    return report, seconds


def adopt(keys: list[str]) -> dict[str, Any]:
    """Adopt what is unseen in the documents of these members."""
    peer = wiring.pairs()[PAIR].right
    ids = [RecordId("member", key) for key in keys]
    return {"read": sum(len(peer.read(ids[start : start + TOGETHER])) for start in range(0, len(ids), TOGETHER))}


def main() -> None:
    """Do what the command line says; keys come on standard input."""
    parser = argparse.ArgumentParser(prog="python -m bench.ours")
    parser.add_argument("action", choices=["sync", "reconcile", "adopt"])
    parser.add_argument("--direction")
    parser.add_argument("--cold", action="store_true", help="talk to nobody before the run")
    parser.add_argument("--mode", choices=["quick", "full"], default="full")
    parser.add_argument("--profile", type=Path)
    asked = parser.parse_args()
    works: dict[str, Callable[[], dict[str, Any]]] = {
        "sync": lambda: sync(asked.direction, asked.profile, asked.cold),
        "reconcile": lambda: reconcile(asked.mode, asked.profile),
        "adopt": lambda: adopt(json.load(sys.stdin)),
    }
    done = works[asked.action]()
    sys.stdout.write(json.dumps(done) + "\n")


if __name__ == "__main__":
    main()
