"""What a check found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from shared.errors import SyncError


class State(StrEnum):
    """How it looks. What could not be looked at counts as neither good nor bad."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "not checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's: what was checked, how it looks, what is so, and what to do about it."""

    check: str
    state: State
    message: str
    cure: str = ""


def ok(check: str, message: str) -> Finding:
    """Return that all is well."""
    return Finding(check, State.OK, message)


def warning(check: str, message: str, cure: str) -> Finding:
    """Return that it works, but not as it should."""
    return Finding(check, State.WARNING, message, cure)


def failed(check: str, message: str, cure: str) -> Finding:
    """Return that it cannot work so."""
    return Finding(check, State.FAILED, message, cure)


def skipped(check: str, why: str) -> Finding:
    """Return that it could not be looked at."""
    return Finding(check, State.SKIPPED, why)


def tried(check: str, look: Callable[[], Iterator[Finding]], cure: str) -> Iterator[Finding]:
    """Yield what `look` finds; whatever it meets on the way is a failure of the check."""
    try:
        yield from look()
    except SyncError as error:
        yield failed(check, str(error), cure)
