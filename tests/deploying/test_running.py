"""Running a plan: what Google needs time for is tried again, and nothing else is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scheduler.deployment.commands import Command, Output
from scheduler.deployment.errors import DeployError
from scheduler.deployment.running import WAITS, run

SCRIPT = """
import pathlib, sys
notes, says = pathlib.Path(sys.argv[1]), sys.argv[2:]
before = len(notes.read_text().splitlines()) if notes.exists() else 0
with notes.open("a") as more:
    more.write(f"{sys.stdin.read()}\\n")
if before < len(says):
    sys.exit(f"ERROR: {says[before]}")
print("told")
"""


def program(tmp_path: Path, *says: str) -> tuple[str, ...]:
    """Return a program that fails once with each of these, and then is well; it notes what it is given."""
    (tmp_path / "script.py").write_text(SCRIPT)
    return (sys.executable, str(tmp_path / "script.py"), str(tmp_path / "notes"), *says)


def tries(tmp_path: Path) -> list[str]:
    return (tmp_path / "notes").read_text().splitlines()


def test_what_is_not_known_everywhere_yet_is_tried_again_with_the_same_input(tmp_path: Path) -> None:
    waited: list[float] = []
    says = ("Service account x@y does not exist.", "There were concurrent policy changes.")
    run([Command(program(tmp_path, *says), lambda: "the secret")], waited.append)
    assert waited == list(WAITS[:2])
    assert tries(tmp_path) == ["the secret"] * 3


def test_it_is_not_tried_for_ever(tmp_path: Path) -> None:
    waited: list[float] = []
    with pytest.raises(DeployError, match="step 1 failed: UNAVAILABLE"):
        run([Command(program(tmp_path, *["UNAVAILABLE"] * 9))], waited.append)
    assert waited == list(WAITS)


def test_what_is_refused_is_refused_once_and_what_comes_after_is_not_run(tmp_path: Path) -> None:
    waited: list[float] = []
    plan = [Command(program(tmp_path)), Command(program(tmp_path, "", "PERMISSION_DENIED: no")), Command(program(tmp_path))]
    with pytest.raises(DeployError, match=r"step 2 failed: PERMISSION_DENIED: no \(.*\)\. 1 of 3 steps are done"):
        run(plan, waited.append)
    assert (waited, len(tries(tmp_path))) == ([], 2)


def test_what_a_word_stands_for_is_asked_once(tmp_path: Path) -> None:
    told = Output(program(tmp_path), before="is ", after="!")
    seen = (sys.executable, "-c", "import sys; sys.exit(sys.argv[1] != 'is told!')", told)
    run([Command(seen), Command(seen)])
    assert len(tries(tmp_path)) == 1
