"""The Makefile: from any folder, with any Python that will do, and without pip once set up."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = (
    "help",
    "demo",
    "demo-bakalari",
    "demo-ojs",
    "demo-agents",
    "demo-graph",
    "up",
    "hosting",
    "check",
    "test",
    "simulate",
    "simulate-selftest",
    "simulate-sweep",
    "bench",
    "docs",
    "pictures",
    "lint",
    "lock",
    "audit",
    "clean",
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A work tree with a space in its name, and nothing to install."""
    root = tmp_path / "work tree"
    (root / "local").mkdir(parents=True)
    for name in ("Makefile", "local/venv.sh", "local/venv.py"):
        shutil.copy(ROOT / name, root / name)
    (root / "requirements-dev.txt").write_text("")
    return root


def make(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--no-print-directory", "-C", str(folder), *arguments]
    return subprocess.run(command, cwd="/", env=clean | env, capture_output=True, text=True, check=False)


def test_help_names_every_target_from_another_folder():
    done = make(ROOT, "help")
    assert done.returncode == 0
    assert [line.split()[1] for line in done.stdout.splitlines()] == [*TARGETS]


@pytest.mark.stack
def test_two_makes_at_once_set_up_one_venv_and_the_next_does_nothing(copy):
    command = ["make", "--no-print-directory", "-C", str(copy), "venv", f"PYTHON={sys.executable}"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("setting up .venv" in text for text in said) == 1

    again = make(copy, "venv", PYTHON="/nothing")  # would fail if it looked for a Python
    assert (again.returncode, again.stdout + again.stderr) == (0, "")


@pytest.mark.stack
def test_a_changed_requirement_is_noticed(copy):
    assert make(copy, "venv", PYTHON=sys.executable).returncode == 0
    (copy / "requirements-dev.txt").write_text("# changed\n")
    assert "setting up .venv" in make(copy, "venv", PYTHON=sys.executable).stderr


@pytest.mark.stack
def test_a_failed_set_up_is_said_and_tried_again(copy):
    (copy / "requirements-dev.txt").write_text("./no-such-package\n")
    for _ in range(2):
        done = make(copy, "venv", PYTHON=sys.executable)
        assert done.returncode != 0
        assert "pip could not install requirements-dev.txt" in done.stderr


@pytest.mark.stack
def test_a_requirement_without_its_hash_is_not_installed(copy):
    (copy / "requirements-dev.txt").write_text("six==1.17.0\n")
    done = make(copy, "venv", PYTHON=sys.executable)
    assert done.returncode != 0
    assert "In --require-hashes mode" in done.stderr or "Hashes are required" in done.stderr


def test_no_python_that_will_do_is_one_sentence(copy, tmp_path):
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make(copy, "venv", PYTHON=str(old))
    assert done.returncode != 0
    assert done.stderr.splitlines()[0].startswith("no Python 3.11 or newer with venv was found under PYTHON=")
