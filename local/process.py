"""Child processes that answer before they are used, and never outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Self

from local.errors import StackError

GUARD = Path(__file__).with_name("guard.py")
POLL_SECONDS = 0.05


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Return once the condition holds; raise StackError after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise StackError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)


def exit_on_sigterm() -> None:
    """Turn SIGTERM, and SIGHUP of a closed terminal, into SystemExit, so that every `finally` gets its turn.

    SIGINT is KeyboardInterrupt again, also where a shell that put us into the background had it ignored.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


class Child:
    """A process in its own process group, with its output in a file.

    `stop` ends the whole group. If the parent is killed outright, Linux kills the child (see guard.py).
    The thread that starts it must live as long as the child: to the kernel, a thread is the parent.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        """Describe the process; `env` is added to the environment of this one."""
        self.name, self.log = name, log
        self._command, self._env, self._cwd = list(command), dict(env or {}), cwd
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process id, which is the group's id too, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start it. Terminal signals do not reach it, so the parent decides the order of stopping."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), *self._command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | self._env,
                cwd=self._cwd,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End the whole group at once, as the kernel does to a process that is out of memory. `start` starts it anew."""
        process, self._process = self._process, None
        if process is not None:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()

    def wait_ready(self, ready: Callable[[], bool], seconds: float = 60.0) -> None:
        """Return once `ready()` is true; raise StackError if the process ends first, or time runs out."""

        def answered() -> bool:
            if self.pid is None:
                raise StackError(f"{self.name} stopped while starting; the end of {self.log} says: {self.last_words()}")
            return ready()

        wait_until(answered, f"an answer of {self.name} (log: {self.log})", seconds)

    def last_words(self, lines: int = 5) -> str:
        """Return the last lines of its log, on one line."""
        return " / ".join(self.log.read_text(errors="replace").strip().splitlines()[-lines:]) or "(nothing)"

    def stop(self, seconds: float = 10.0) -> None:
        """End the group: SIGTERM, and SIGKILL for what is left once the leader is gone or has had its time."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            _signal_group(process.pid, signal.SIGTERM)
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass  # the kill below is for this
        finally:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # gone; macOS says "not permitted" of a group of zombies
        return
