"""Faults on the real stack: function processes, trackers, backend and database die while people write, the network between
them fails in every way, events come doubled, late, out of order or never. Nothing may be lost.

The lease of a killed run would run out after two minutes; here it is taken away, to save the time. A transaction that died
with its process locks its documents in the emulator for a minute.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest
from real import Real
from storm.kills import BACKEND_KILLS, BETWEEN, FORGETTABLE, IN_THE_MIDDLE, KILLS, TRACKER_KILLS, Storm
from storm.stand import Stand, standing
from storm.weather import KINDS

from local.postgres import programs
from local.process import wait_until

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL's initdb and pg_ctl are not installed"),
]
REPLAYED, EDITS = 300, 150


@pytest.mark.timeout(1800)
def test_nothing_is_lost_whatever_breaks(tmp_path: Path, record_property: Any) -> None:
    seed = int(os.environ.get("BOTHWAYS_SEED") or SystemRandom().randrange(10**6))
    record_property("figures", f"repeat with BOTHWAYS_SEED={seed}")
    dice = Random(seed)
    with standing(tmp_path, dice, FORGETTABLE) as stand, Storm(stand, dice) as storm:
        storm.town.register()
        Real(stand.stack, storm.town.users, stand.firestore).sync()
        storm.rage()
        real = Real(stand.stack, storm.town.users, stand.firestore)
        try:
            arrive(stand, storm, real)
            settle(stand, storm, real)
            assert storm.town.lost() == set(), "and what Django refuses lies in the dead letters"
            storm.town.mend()
            settle(stand, storm, real)
            ends = storm.town.in_django()
            stand.eventarc.replay(REPLAYED)
            stand.eventarc.wait_until_delivered(stand.firestore)
            wait_until(lambda: real.moved(real.sync()) == 0, "a run with nothing left to do", 60)
        finally:
            record_property("figures", figures(seed, stand, storm, real))
        assert storm.town.differing() == set()
        assert ends == storm.town.in_django(), "old events, told again, change nothing"
        assert storm.town.lost() == set()
    assert storm.kills >= KILLS
    assert storm.run_phases[BETWEEN] >= IN_THE_MIDDLE
    assert storm.counts["kill -9 of the trackers"] >= TRACKER_KILLS
    assert storm.counts["kill -9 of the backend"] >= BACKEND_KILLS
    assert storm.counts["PostgreSQL restarted"] == 1
    assert set(stand.weather.counts) == set(KINDS), "every fault on the way was met"
    for side in ("Django", "Firestore"):
        assert sum(number for kind, number in storm.town.edits.items() if kind.startswith(side)) >= EDITS


def arrive(stand: Stand, storm: Storm, real: Real) -> None:
    """Carry over all that is in the queues, with no reconcile: that mends so much that it would hide what was dropped here.

    Only records of which an event or a change was dropped may differ after it. Raw SQL is found by the job that is for it.
    """
    stand.eventarc.wait_until_delivered(stand.firestore)
    real.stack.backend.manage("sync_scan")  # type: ignore[union-attr]

    def arrived() -> bool:
        real.sync()
        excused = stand.eventarc.forgotten() | {key for key, _, _ in storm.town.in_dead_letters()}
        return storm.town.differing() <= excused

    wait_until(arrived, "the same on both sides wherever no event was dropped", 150)


def settle(stand: Stand, storm: Storm, real: Real) -> None:
    """Let everything arrive, and have a full reconcile mend what was dropped; save for what Django refuses."""
    stand.eventarc.wait_until_delivered(stand.firestore)

    def settled() -> bool:
        real.sync("reconcile")
        stand.eventarc.wait_until_delivered(stand.firestore)
        return real.moved(real.sync()) == 0 and storm.town.differing() <= storm.town.misfits()

    wait_until(settled, "both sides hold the same", 240)


def figures(seed: int, stand: Stand, storm: Storm, real: Real) -> str:
    """Return what happened, in lines."""
    parts: dict[str, Counter[str]] = {
        "edits": storm.town.edits,
        "ended by force": storm.counts,
        "the function was killed": storm.run_phases,
        "the trackers were killed": storm.event_phases,
        "between function and backend": stand.weather.counts,
        "events": stand.eventarc.counts,
        "kept": Counter({each: len(real.rows(f"sync_{each.replace(' ', '_')}")) for each in ("conflicts", "dead letters")}),
    }
    lines = [f"faults on the real stack, BOTHWAYS_SEED={seed}: kills={storm.kills} lost={len(storm.town.lost())}"]
    lines.append(f"  runs: {', '.join(f'{number} {kind}' for kind, number in storm.runs.items())}; the others were killed")
    for title, counts in parts.items():
        said = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
        lines.append(f"  {title} ({sum(counts.values())}): {said}")
    return "\n".join(lines)
