"""`make demo-ojs` and `make demo-agents`: each checks its own outcome, and ends with 0 only where all of it holds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STORIES = {"demo_ojs": 14, "demo_agents": 13}
"""How much each checks."""


@pytest.mark.stack
@pytest.mark.parametrize("name, checks", STORIES.items())
def test_a_story_ends_well(tmp_path, name, checks):
    command = [sys.executable, "-m", "local", name, "--folder", str(tmp_path / "up")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["all_checked"]
    assert done.stdout.count("  checked: ") >= checks
