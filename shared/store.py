"""The sync's own state in Firestore: runs, leases, dead letters, and the conflicts. No policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared import wire
from shared.conflicts import Conflicts
from shared.errors import AlreadyRunning
from shared.model import Billed, Change, Problem, RecordId, Stamp, instant
from shared.naming import state_id
from shared.native import loaded, size_of, stored
from shared.peers.documents import Contended, Snapshot, Write
from shared.peers.layout import ROOM_FOR_VALUES
from shared.report import Report
from shared.retry import Patience

RUNS, LEASES, DEAD_LETTERS, AUDIT = "sync_runs", "sync_leases", "sync_dead_letters", "sync_audit"
RUN_RETENTION = timedelta(days=400)
CLOSING = Billed(reads=1, writes=2)
"""What `finish` itself costs; a run's record cannot count the writing of itself."""
IDLE_RECORD_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Lease:
    """Who is syncing a pair, or did last. It saves doubled work and guards nothing."""

    snapshot: Snapshot

    def holder(self, now: datetime) -> str | None:
        """Return the id of the run that is under way, if there is one."""
        until = self.snapshot.fields.get("until")
        return str(self.snapshot.fields["run_id"]) if until is not None and until > now else None

    @property
    def last(self) -> Mapping[str, Any]:
        """The last finished run: `run_id`, `completed_at`, `success`; empty before the first."""
        return self.snapshot.fields.get("last") or {}


class Store(Conflicts):
    """State of all pairs, kept through `documents`."""

    def lease(self, pair: str) -> Lease:
        """Return who syncs the pair (one read)."""
        path = f"{LEASES}/{state_id(pair)}"
        return Lease(self.documents.get([path])[0][path])

    def begin(self, lease: Lease, report: Report, until: datetime) -> None:
        """Take the lease and open the run's record; AlreadyRunning if another run was faster."""
        body = {"run_id": report.run_id, "until": until, "last": dict(lease.last)}
        run = {"pair": report.pair, "run_id": report.run_id, "status": "running", "started_at": report.started_at}
        try:
            self.documents.commit([Write(lease.snapshot.path, body, seen=lease.snapshot), Write(_run_path(report), run)])
        except Contended:
            holder = self.lease(report.pair).holder(report.started_at) or "that has just begun"
            raise AlreadyRunning(report.pair, holder) from None

    def renew(self, pair: str, until: datetime) -> None:
        """Hold the lease for longer. If another run has it by now, that one does: two runs at once do no harm."""
        self._write([Write(f"{LEASES}/{state_id(pair)}", {"until": until}, ("until",), True)])

    def finish(self, report: Report, now: datetime) -> None:
        """Write the run's record and give the lease back, unless another run holds it by now."""
        self.documents.commit([Write(_run_path(report), _run(report, now))])
        lease = self.lease(report.pair)
        if lease.holder(now) in {None, report.run_id}:
            last = {"run_id": report.run_id, "completed_at": now, "success": report.failure is None, "brakes": len(report.brakes)}
            self.documents.write(
                [Write(lease.snapshot.path, {"run_id": report.run_id, "until": None, "last": last}, seen=lease.snapshot)]
            )

    def idle_is_news(self, lease: Lease, now: datetime) -> bool:
        """Return whether a run that found nothing to do is worth a record: one an hour, since idle runs should be cheap."""
        completed = lease.last.get("completed_at")
        return completed is None or not lease.last.get("success") or now - completed >= IDLE_RECORD_EVERY

    def run(self, pair: str, run_id: str) -> Mapping[str, Any]:
        """Return a run's record, empty if there is none."""
        path = f"{RUNS}/{state_id(pair, run_id)}"
        return self.documents.get([path])[0][path].fields

    def audit(self, what: str, id: str, by: str, at: datetime, **more: Any) -> None:
        """Note who did what to what, and when; no values. The same call writes the same entry."""
        body = {"what": what, "id": id, "by": by, "at": at, "expire_at": at + RUN_RETENTION} | more
        self._write([Write(f"{AUDIT}/{state_id(what, id, at=instant(at))}", body)])

    def refuse(
        self, pair: str, source: str, refused: Mapping[str, tuple[Change | None, Problem]], run_id: str, now: datetime
    ) -> None:
        """Keep, by queue id, what the other side will never accept, with the reason; None stands for what is no change."""
        bodies = {_letter_path(pair, source, id): _letter(pair, source, id, *letter) for id, letter in refused.items()}
        self._write([Write(path, body | {"status": "open", "run_id": run_id, "last_at": now}) for path, body in bodies.items()])

    def postpone(
        self, pair: str, source: str, waiting: Sequence[tuple[Change, Problem]], patience: Patience, now: datetime
    ) -> set[str]:
        """Count one more attempt at each of these changes; return the ids of those that have been tried long enough."""
        paths = {_letter_path(pair, source, each.id): (each, problem) for each, problem in waiting}
        known, _ = self.documents.get(list(paths)) if paths else ({}, now)
        spent: set[str] = set()
        writes = []
        for path, (each, problem) in paths.items():
            attempts, since = known[path].fields.get("attempts", 0) + 1, known[path].fields.get("since", now)
            if patience.spent(attempts, since, now):
                spent.add(each.id)
            body = _letter(pair, source, each.id, each, problem) | {
                "attempts": attempts,
                "since": since,
                "last_at": now,
                "status": "waiting",
            }
            writes.append(Write(path, body))
        self._write(writes)
        return spent

    def refused_bases(self, pair: str, source: str, record: RecordId) -> dict[str, dict[Stamp, Stamp | None]]:
        """Return, by field, which edits of a record the other side has refused (their stamps), and what each was made on."""
        bases: dict[str, dict[Stamp, Stamp | None]] = {}
        named = {"pair": pair, "from": source, "status": "open", "entity": record.entity, "key": record.key}
        for row in self.documents.query(DEAD_LETTERS, named):
            change = row.fields["change"] and wire.change_from_json(loaded("change", row.fields["change"]))
            for name, value in change.fields.items() if change and change.record == record else ():
                bases.setdefault(name, {})[value.stamp] = change.base.get(name)
        return bases

    def forget_waiting(self, pair: str, source: str, ids: Sequence[str]) -> None:
        """Drop the attempts counted for changes that went through after all."""
        self._write([Write(_letter_path(pair, source, id), None) for id in ids])

    def open_dead_letters(self, pair: str) -> int:
        """Return how many dead letters of a pair wait for somebody."""
        return self.documents.count(DEAD_LETTERS, {"pair": pair, "status": "open"})

    def waiting(self, pair: str, source: str) -> set[str]:
        """Return the ids of up to 500 changes that are being tried again and again."""
        rows = self.documents.query(DEAD_LETTERS, {"pair": pair, "from": source, "status": "waiting"})
        return {str(row.fields["change_id"]) for row in rows}


def _run_path(report: Report) -> str:
    return f"{RUNS}/{state_id(report.pair, report.run_id)}"


def _run(report: Report, now: datetime) -> dict[str, Any]:
    failure = None if report.failure is None else {"where": report.failure.where, "message": report.failure.message}
    return {
        "pair": report.pair,
        "run_id": report.run_id,
        "status": "failed" if failure else "done",
        "started_at": report.started_at,
        "completed_at": now,
        "result": report.as_json(),
        "failure": failure,
        "expire_at": now + RUN_RETENTION,
    }


def _letter_path(pair: str, source: str, id: str) -> str:
    return f"{DEAD_LETTERS}/{state_id(pair, source, id)}"


def _letter(pair: str, source: str, id: str, change: Change | None, problem: Problem) -> dict[str, Any]:
    return {
        "pair": pair,
        "from": source,
        "entity": change.record.entity if change else None,
        "tenant": stored("tenant", change.record.tenant) if change else None,
        "key": stored("key", change.record.key) if change else None,
        "change_id": id,
        "change": _shown(change) if change else None,
        "reason": problem.code,
        "message": problem.message,
        "fields": dict(problem.fields),
    }


def _shown(change: Change) -> Any:
    """Return a change as its dead letter shows it; the values of one too large for a document stay in its queue alone."""
    body = stored("change", wire.change_to_json(change))
    if size_of(body) <= ROOM_FOR_VALUES:
        return body
    return stored("change", wire.change_to_json(change, lambda name, value: None)) | {"values": "too large to be shown here"}
