"""`make demo`: it tells the truth, it notices a lie, and it leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local.demo import differences, plain
from local.process import wait_until

ROOT = Path(__file__).resolve().parents[2]


def demo(folder: Path) -> list[str]:
    return [sys.executable, "-m", "local", "demo", "--folder", str(folder)]


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of running processes that name the folder."""
    found = []
    for each in Path("/proc").iterdir() if Path("/proc").exists() else ():
        if each.name.isdigit() and int(each.name) != os.getpid():
            try:
                line = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(folder) in line:
                found.append(line)
    return found


@pytest.mark.stack
def test_the_demo_ends_well_and_its_last_line_counts_what_it_showed(tmp_path):
    folder = tmp_path / "demo"
    done = subprocess.run(demo(folder), cwd=ROOT, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["members_loaded"] == 1000
    assert figures["conflicts"] == 1
    assert figures["second_run_moved"] == 0
    assert figures["second_run_billed"]["writes"] == 0
    assert figures["members_compared"] == 1000  # two created, two deleted
    assert figures["run"]["firestore_to_django"]["dead_letters"] == 0
    assert "1000 members" in done.stdout
    assert processes_of(folder) == []


@pytest.mark.stack
def test_ctrl_c_leaves_no_process(tmp_path):
    folder = tmp_path / "demo"
    process = subprocess.Popen(demo(folder), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: (folder / "logs" / "functions.log").exists(), "the start of the functions", 60)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert processes_of(folder) == []


@pytest.mark.parametrize(
    "mine, theirs, said",
    [
        ({"name": "x", "birth_date": "2000-01-01"}, {"name": "x", "birthDate": "2000-01-01"}, []),
        ({"name": "x"}, {"name": "y"}, ["member.name differs"]),
        ({"fee": "1.00"}, {"fee": "1.0"}, ["member.fee differs"]),
        ({"fee": "1.00"}, {}, ["member.fee differs"]),
        ({}, {"phone": "1"}, ["member.phone is in Firestore only"]),
    ],
)
def test_every_difference_is_noticed_and_no_value_is_said(mine, theirs, said):
    assert differences("member", mine, theirs) == said


def test_documents_are_compared_as_they_lie_save_for_nulls_and_the_syncs_own_field():
    when = datetime(2026, 1, 1, 12, 0, 0, 5, UTC)
    assert plain({"a": None, "b": [], "_sync": {}, "c": when, "d": 0}) == {"c": "2026-01-01T12:00:00.000005+00:00", "d": 0}
