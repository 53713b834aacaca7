"""`make up`, in a made-up work tree: what it prints, and that Ctrl-C leaves no process."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local.__main__ import COMMANDS
from local.process import wait_until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def runnable(tree: Path) -> Path:
    shutil.copytree(ROOT / "local", tree / "local", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "firestore.rules", tree)
    (tree / ".local").mkdir()
    (ROOT / ".local" / "cache").mkdir(parents=True, exist_ok=True)
    (tree / ".local" / "cache").symlink_to(ROOT / ".local" / "cache")  # the jar, where it had to be downloaded
    return tree


def processes_of(folder: Path) -> list[str]:
    listed = subprocess.run(["ps", "-eww", "-o", "stat=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line and not line.startswith("Z")]


@pytest.mark.stack
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_it_prints_a_command_that_works_and_stops_without_a_trace(runnable, tmp_path, number, code):
    printed = tmp_path / "printed"
    with printed.open("w") as output:
        up = subprocess.Popen([sys.executable, "-m", "local", "up"], cwd=runnable, stdout=output, stderr=output)
    try:
        wait_until(lambda: "Ctrl-C stops everything" in printed.read_text() or up.poll() is not None, "the welcome")
        curl = next(line for line in printed.read_text().splitlines() if line.startswith("  curl "))
        answer = subprocess.run([*shlex.split(curl), "-s", "--noproxy", "*"], capture_output=True, text=True, check=True)
        assert '"path":"/"' in answer.stdout

        up.send_signal(number)
        assert up.wait(60) == code
    finally:
        up.kill()  # after a failure, nothing may run on
    assert processes_of(tmp_path) == []
    assert "Traceback" not in printed.read_text()


def local(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True, check=False)


def test_a_wrong_command_is_told_the_right_ones():
    done = local("down")
    assert (done.returncode, done.stderr) == (2, f"usage: python -m local {{{'|'.join(COMMANDS)}}} [OPTIONS]\n")


def test_what_cannot_start_is_one_sentence(tmp_path):
    done = local("up", "--folder", str(tmp_path), BOTHWAYS_BACKEND_PORT="none")
    assert done.returncode == 1
    assert done.stderr == "BOTHWAYS_BACKEND_PORT must be a port between 1 and 65535, not 'none'\n"


def test_a_django_of_ones_own_takes_its_address_and_its_token_and_what_is_missing_is_said(tmp_path):
    for given in (["--django-url", "http://127.0.0.1:9/api/sync"], ["--token-file", str(tmp_path / "token")]):
        done = local("up", "--folder", str(tmp_path / "up"), *given)
        assert (done.returncode, "takes both: --django-url URL and --token-file FILE" in done.stderr) == (1, True)
    done = local("up", "--folder", str(tmp_path / "up"), "--django-url", "http://x", "--token-file", str(tmp_path / "token"))
    assert (done.returncode, "cannot be read (FileNotFoundError): name another file" in done.stderr) == (1, True)
