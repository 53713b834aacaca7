"""Child processes: they answer before they are used, and nothing of them is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.errors import StackError
from local.process import Child, wait_until

ROOT = Path(__file__).resolve().parents[2]

# Starts a grandchild, writes both process ids, and ignores SIGTERM if asked to.
FAMILY = """
import os, signal, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), child.pid, flush=True)
time.sleep(600)
"""

# A parent that starts a child the way the stack does, and is then killed outright.
PARENT = """
import sys, time
from pathlib import Path
from local.process import Child
with Child("sleeper", [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"],
           log=Path(sys.argv[1])):
    time.sleep(600)
"""


def alive(pid: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def pids(log: Path) -> list[int]:
    wait_until(lambda: log.exists() and log.read_text().endswith("\n"), "the process ids in the log")
    return [int(word) for word in log.read_text().split()]


def test_killing_ends_the_whole_group_at_once_and_it_can_be_started_again(tmp_path):
    log = tmp_path / "log"
    with Child("family", [sys.executable, "-c", FAMILY, "stubborn"], log=log) as child:
        first = pids(log)
        child.kill()
        assert child.pid is None
        wait_until(lambda: not any(alive(pid) for pid in first), "the end of both")
        child.start()
        wait_until(lambda: len(pids(log)) == 4, "another family")
        assert alive(child.pid)


@pytest.mark.parametrize("manner", ["willing", "stubborn"])
def test_stopping_ends_the_whole_group(tmp_path, manner):
    log = tmp_path / "family.log"
    child = Child("family", [sys.executable, "-c", FAMILY, manner], log=log)
    child.start()
    family = pids(log)
    assert [alive(pid) for pid in family] == [True, True]
    child.stop(seconds=0.5)
    assert child.pid is None
    wait_until(lambda: not any(alive(pid) for pid in family), "the end of the group")


def test_an_error_inside_with_stops_the_child(tmp_path):
    log = tmp_path / "family.log"
    family: list[int] = []

    def fail() -> bool:
        family.extend(pids(log))
        raise RuntimeError

    with pytest.raises(RuntimeError), Child("family", [sys.executable, "-c", FAMILY], log=log) as child:
        child.wait_ready(fail)
    wait_until(lambda: not any(alive(pid) for pid in family), "the end of the group")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_killed_parent_leaves_no_child(tmp_path):
    log = tmp_path / "child.log"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(log)], cwd=ROOT, env=os.environ | {"PYTHONPATH": "."})
    (pid,) = pids(log)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not alive(pid), "the end of the child")


def test_a_child_that_ends_early_is_quoted(tmp_path):
    child = Child("the server", [sys.executable, "-c", "raise SystemExit('port is taken')"], log=tmp_path / "log")
    with child, pytest.raises(StackError, match=r"the server stopped while starting.* says: port is taken"):
        child.wait_ready(lambda: False)


def test_waiting_has_an_end():
    start = time.monotonic()
    with pytest.raises(StackError, match="rain did not happen within 0 s"):
        wait_until(lambda: False, "rain", seconds=0.2)
    assert time.monotonic() - start < 5
