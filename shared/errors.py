"""What can go wrong, told apart by one question: does trying again help?"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path


class SyncError(Exception):
    """Something in the way of a sync. The message says what, where and what to do, and never holds a field's value."""


class Transient(SyncError):
    """It may pass: the change stays in its queue. `after` is the least number of seconds to wait, if the peer named one."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


class TerminalBatch(SyncError):
    """Nothing can be done with this peer until somebody mends it (a refused token, a wrong address). No record is to blame."""


class TerminalRecord(SyncError):
    """This record cannot be taken as it is, ever. `code` is an error code of the REST contract, `field` the culprit."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class AlreadyRunning(SyncError):
    """The pair is being synced by another run."""

    def __init__(self, pair: str, run_id: str) -> None:
        super().__init__(f"pair {pair!r} is being synced by run {run_id}; wait for it, or for its lease to run out")
        self.run_id = run_id


class BadRequest(SyncError):
    """The caller asked for something that does not exist or makes no sense."""


class BodyTooLarge(SyncError):
    """The caller sent more than is taken at a time."""


class NotFound(SyncError):
    """The caller named something that is not there."""


class NotOpen(SyncError):
    """What the caller wants to decide was decided, or overtaken, before."""


class Refused(SyncError):
    """The caller is not who may call this. `status` is 401 or 403."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ConfigError(SyncError):
    """The configuration is wrong. `problems` lists every one, each with its place and what is valid there."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        super().__init__(f"{source}: {len(problems)} problem(s); nothing was started{lines}")
        self.problems = tuple(problems)


def unforeseen(error: BaseException) -> str:
    """Return what may be said of an error that nobody planned for: its kind and place. Its message may hold a value."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
    return f"unforeseen {type(error).__name__} at {place}; this is a bug in the sync, please report it with this line"
