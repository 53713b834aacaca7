"""Waiting for one peer while the other works: where steps run that go on beside a run's own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Inline(Executor):
    """Does each step at once, in the caller's thread: the same order of calls as beside a thread, with nothing at the same
    time. For whatever must not meet another thread: a dry run's stage, a deterministic test."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Return the step's outcome; an error is raised when that is asked for."""
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done
