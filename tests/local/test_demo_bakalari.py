"""`make demo-bakalari`: it ends well, and its last line counts what it showed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.stack
def test_the_demo_of_schools_ends_well_and_its_last_line_counts_what_was_read(tmp_path):
    command = [sys.executable, "-m", "local", "demo_bakalari", "--folder", str(tmp_path / "demo")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    read = {"classesCreated": 11, "subjectsCreated": 8, "usersCreated": 11, "enrolmentsCreated": 24}
    assert (figures["school-firestore"], figures["school-django"]) == (read, read)
