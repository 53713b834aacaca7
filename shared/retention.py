"""How long each of the sync's own collections is kept, in one table. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

RETENTION = timedelta(days=30)
TOMBSTONE_RETENTION = timedelta(days=365)
EVENTS_ARE_LATE_BY = timedelta(days=3)
"""Events are delivered again for up to a day, then dropped."""
RUN_RETENTION = timedelta(days=400)
STATISTICS_RETENTION = timedelta(days=1100)
"""Three years: of runs that are forgotten by then, and nobody is in it."""
CLAIM = timedelta(minutes=5)
"""How long an agent has a record to itself, if it neither gives it back nor asks again."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How long a collection's documents are kept, and from when on. None: no clock deletes them, `since` says what does."""

    kept: timedelta | None
    since: str

    @property
    def told(self) -> str:
        """Return the time kept as docs/privacy.md tells it."""
        days, seconds = (self.kept.days, self.kept.seconds) if self.kept else (0, 0)
        return f"{days} days" if days else f"{seconds // 60} minutes" if seconds else "-"


RULES = {
    "sync_queue": Rule(RETENTION, "it was carried over, overtaken or erased; one that waits or failed: until then"),
    "sync_conflicts": Rule(RETENTION, "it was settled, resolved or overtaken; an open one: until then"),
    "sync_dead_letters": Rule(RETENTION, "it was closed; an open or waiting one: until then"),
    "sync_tombstones": Rule(TOMBSTONE_RETENTION, "the delete or the erasure"),
    "sync_runs": Rule(RUN_RETENTION, "the run's end"),
    "sync_statistics": Rule(STATISTICS_RETENTION, "the end of the day"),
    "sync_audit": Rule(RUN_RETENTION, "the call"),
    "sync_refs": Rule(TOMBSTONE_RETENTION, "the record is gone at its system; while it is there: until then"),
    "sync_checkpoints": Rule(None, "the reconcile that goes on from it deletes it"),
    "sync_claims": Rule(CLAIM, "an agent claimed the record, or gives it back: until then"),
    "sync_leases": Rule(None, "one a pair, written over by each run"),
}
"""By collection. What has a time carries `expire_at`, and firestore.indexes.json has the policy that deletes it."""
