"""Runs a plan, or prints it. The only place that changes a project."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from scheduler.deployment.checks import troubles
from scheduler.deployment.commands import Command, Output, Word
from scheduler.deployment.errors import DeployError

TRANSIENT = re.compile(
    r"Service account \S+ does not exist|concurrent policy changes|Eventarc Service Agent|Cannot find metric"
    r"|UNAVAILABLE|INTERNAL|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|ABORTED"
)
"""What Google says while something that was just made is not known everywhere yet, or it is busy."""
WAITS = (10.0, 30.0, 60.0, 120.0)
"""Seconds before each further try."""


def show(plan: Sequence[Command]) -> None:
    """Print every command, ready to be pasted into a shell."""
    sys.stdout.writelines(f"{command}\n" for command in plan)


def run(plan: Sequence[Command], wait: Callable[[float], Any] = time.sleep) -> None:
    """Run every command in turn. DeployError says how far it came, and that to run it again is safe."""
    told: dict[Output, str] = {}
    for number, command in enumerate(plan):
        sys.stdout.write(f"[{number + 1}/{len(plan)}] {command}\n")
        sys.stdout.flush()
        try:
            _run(command, told, wait)
        except (DeployError, KeyboardInterrupt) as error:
            why = str(error) or "it was interrupted"
            done = f"{number} of {len(plan)} steps are done and stay so"
            raise DeployError(f"step {number + 1} failed: {why}. {done}; running this again is safe and goes on") from None


def _run(command: Command, told: dict[Output, str], wait: Callable[[float], Any]) -> None:
    given = command.stdin() if command.stdin else ""
    for pause in (*WAITS, None):
        words = [_word(word, told) for word in command.words]
        code, said = _said(words, given)
        if code == 0:
            return
        if pause is None or not TRANSIENT.search(said):
            raise DeployError(_hint(said))
        sys.stdout.write(f"    not yet; again in {pause:.0f} s\n")
        wait(pause)


def _said(words: list[str], given: str) -> tuple[int, str]:
    """Run a program, let its errors through as they come, and return its exit code and what it said."""
    try:
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except OSError as error:
        raise DeployError(f"{words[0]} cannot be started ({error.strerror})") from None
    with process:
        _feed(process, given)
        lines = list(_through(process))
    return process.returncode, "".join(lines)


def _feed(process: "subprocess.Popen[str]", given: str) -> None:
    if process.stdin is not None:
        try:
            process.stdin.write(given)
            process.stdin.close()
        except BrokenPipeError:
            return  # it ended without reading, and its exit code tells why


def _through(process: "subprocess.Popen[str]") -> Iterator[str]:
    for line in process.stderr or ():
        sys.stderr.write(line)
        yield line


def _word(word: Word, told: dict[Output, str]) -> str:
    """Return a word as it is, or what the command that it stands for prints; that is asked once in a plan."""
    if isinstance(word, Output):
        if word not in told:
            told[word] = _printed([_word(each, told) for each in word.words])
        return f"{word.before}{told[word]}{word.after}"
    return word


def _printed(words: list[str]) -> str:
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise DeployError(f"`{' '.join(words)}` told nothing: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


def _hint(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["the program said nothing"]
    told = next((line for line in lines if line.startswith("ERROR")), lines[-1]).removeprefix("ERROR: ")
    return next((f"{told} ({mend})" for pattern, mend in troubles() if re.search(pattern, said)), told)
