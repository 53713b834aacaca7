"""Real time: who has just queued a change has its pair synced a few seconds later, once for a whole burst of changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from shared.errors import SyncError
from shared.log import Log
from shared.tasks import Task, Tasks

MARGIN = timedelta(seconds=1)
"""Before a task's time: by so much may the clocks of two instances be apart, and no nudge be taken for one that has run."""


def slot_end(now: datetime, seconds: float) -> datetime:
    """Return when the time slot ends that a change made now falls into: at least the margin ahead, so that the run begins after
    whatever is nudged for it. All instances cut time into the same slots."""
    late = (now + MARGIN).timestamp()
    return datetime.fromtimestamp((late // seconds + 1) * seconds, UTC)


@dataclass
class Nudges:
    """Nudges for one pair. Calls the queue once a slot, whatever the number of changes."""

    pair: str
    seconds: float
    tasks: Tasks
    now: Callable[[], datetime]
    log: Log
    _last: datetime | None = field(default=None, init=False)

    def nudge(self) -> None:
        """Have the pair synced when this slot ends. A run that is under way by then answers 409 and the task is tried again, so a
        change that comes too late for that run is carried after it.

        Raises nothing: the change is queued, and the nightly run is the net.
        """
        end = slot_end(self.now(), self.seconds)
        if end == self._last:
            return
        try:
            name = f"nudge-{self.pair}-{end:%Y%m%dT%H%M%S%f}"
            self.tasks.add(Task(name, "bidirectional_sync", {"pair": self.pair}, end))
            self._last = end
        except SyncError as error:
            self.log("nudge_failed", str(error), "WARNING", pair=self.pair)
