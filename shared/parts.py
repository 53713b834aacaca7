"""The state of a run that is handed out: its record, in which each shard keeps its part, and a lease for each. No policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from shared.errors import AlreadyRunning
from shared.handout import HANDED_OUT, HandOut, hand_out_of, part_field, part_of
from shared.model import Billed, instant
from shared.naming import state_id
from shared.peers.documents import Contended, Documents, Write
from shared.report import Report
from shared.retention import RUN_RETENTION
from shared.store import LEASES, RUNS, Lease, Store, day_of, successes

OPEN_FOR = timedelta(minutes=10)
"""How long a run that is handed out holds its pair's lease, if no shard renews it: none works, nor waits to be tried again."""


class Parts(Store):
    """Hands a run out, and closes it."""

    def open(self, plan: HandOut, now: datetime) -> None:
        """Put the plan into the run's record, and hold the pair's lease for as long as shards work."""
        record = {"pair": plan.pair, "run_id": plan.run_id, "status": HANDED_OUT, "started_at": plan.started_at}
        record["day"] = day_of(plan.started_at)
        until = Write(self.lease_path(plan.pair), {"until": now + OPEN_FOR}, ("until",), True)
        self.documents.commit([Write(_path(plan), record | {HANDED_OUT: plan.body()}), until])

    def plan(self, pair: str, run_id: str) -> HandOut | None:
        """Return what is left to do of a run (one read); None if it is over, or was never handed out."""
        return hand_out_of(self.run(pair, run_id))

    def advance(self, plan: HandOut) -> HandOut | None:
        """Let the next entity be carried, unless another shard did so first; return the plan as it is then."""
        following = replace(plan, wave=plan.wave + 1)
        self._change(plan, {HANDED_OUT: following.body()}, [])
        return self.plan(plan.pair, plan.run_id)

    def close(self, plan: HandOut, now: datetime) -> bool:
        """Write the whole run's figures into its record and give the pair back; False if another shard did so first."""
        result = plan.total() | {"completed_at": instant(now)}
        body = {"status": "done", "completed_at": now, "result": result, "failure": None, "expire_at": now + RUN_RETENTION}
        last = {"run_id": plan.run_id, "completed_at": now, "success": True, "brakes": len(plan.brakes)}
        last |= successes(self.lease(plan.pair).last, plan.whole, plan.tenant, now)
        lease = Write(self.lease_path(plan.pair), {"until": None, "last": last}, ("until", "last"), True)
        return self._change(plan, body, [lease])

    def _change(self, plan: HandOut, body: Mapping[str, Any], more: Sequence[Write]) -> bool:
        """Change the record of a run whose wave is over, when only another that finds so too can be changing it."""
        path = _path(plan)
        found = self.documents.get([path])[0][path]
        latest = hand_out_of(found.fields)
        if latest is None or latest.wave != plan.wave:
            return False
        try:
            self.documents.commit([Write(path, body, tuple(body), found), *more])
            return True
        except Contended:
            return False


class PartOf(Store):
    """State of all pairs as one shard sees it: its lease is its own, and its report is its part of the run's record."""

    closing = Billed(reads=2, writes=1, deletes=1)
    """The plan before and after, the part, the lease."""

    def __init__(self, documents: Documents, plan: HandOut, entity: str, number: int) -> None:
        super().__init__(documents)
        self.plan_, self.entity, self.number = plan, entity, number

    def lease_path(self, pair: str) -> str:
        """Return where this shard's lease lies."""
        return f"{LEASES}/{state_id(pair, f'{self.number}-{self.plan_.shards}')}"

    def begin(self, lease: Lease, report: Report, until: datetime) -> None:
        """Take the shard's lease; AlreadyRunning if the same task, delivered twice, was faster."""
        try:
            self.documents.commit([Write(lease.snapshot.path, {"run_id": report.run_id, "until": until}, seen=lease.snapshot)])
        except Contended:
            raise AlreadyRunning(report.pair, report.run_id) from None

    def renew(self, pair: str, until: datetime, done: Mapping[str, int]) -> None:
        """Hold the shard's lease for longer, and the pair's."""
        super().renew(pair, until, done)
        whole = Write(f"{LEASES}/{state_id(pair)}", {"until": until + OPEN_FOR}, ("until",), True)
        self._write([whole])

    def taken_over(self, lease: Lease) -> Lease:
        """Return the lease: a shard that died is the same run's, and simply tried again."""
        return lease

    def finish(self, report: Report, now: datetime) -> None:
        """Keep what this attempt did with what earlier ones did, and give the lease back."""
        part = self.plan_.part(self.entity, self.number).plus(part_of(report))
        field = part_field(self.entity, self.number)
        kept = Write(_path(self.plan_), {field: asdict(part)}, (field,), True)
        self.documents.commit([kept, Write(self.lease_path(report.pair), None)])

    def idle_is_news(self, lease: Lease, report: Report, now: datetime) -> bool:
        """Return True: the run is over when every shard has said that it is done."""
        return True


def _path(plan: HandOut) -> str:
    return f"{RUNS}/{state_id(plan.pair, plan.run_id)}"
