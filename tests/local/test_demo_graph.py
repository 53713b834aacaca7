"""`make demo-graph`: it ends well, and its last line counts what both sides hold at the end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.stack
def test_the_demo_of_a_graph_ends_well_and_its_last_line_counts_what_was_compared(tmp_path):
    command = [sys.executable, "-m", "local", "demo_graph", "--folder", str(tmp_path / "demo")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    # six concepts less one deleted and one made by hand, a path, a learner; four requirements, five steps, one progress
    assert (figures["nodes_compared"], figures["relationships_compared"]) == (8, 10)
    assert "correlation demo-visit-1" in done.stdout
