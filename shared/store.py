"""The sync's own state in Firestore: runs, leases, dead letters, and the conflicts. No policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.conflicts import Conflicts
from shared.errors import AlreadyRunning
from shared.letters import DEAD_LETTERS, Letter, letter_body, letter_of, letter_path
from shared.model import Billed, Change, Problem, RecordId, Stamp, instant
from shared.naming import is_document_id, state_id
from shared.native import stored
from shared.peers.documents import Contended, Documents, Snapshot, Write
from shared.peers.layout import CONFLICTS, QUEUE
from shared.report import Report
from shared.retention import RUN_RETENTION
from shared.retry import Patience

RUNS, LEASES, AUDIT, CHECKPOINTS = "sync_runs", "sync_leases", "sync_audit", "sync_checkpoints"
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

    def left_by(self, now: datetime) -> str | None:
        """Return the id of the run that held the lease until it ran out, and never gave it back."""
        until = self.snapshot.fields.get("until")
        return str(self.snapshot.fields["run_id"]) if until is not None and until <= now else None

    @property
    def last(self) -> Mapping[str, Any]:
        """The last finished run: `run_id`, `completed_at`, `success`, `brakes`, `quota_errors`, the `breakers` as it left them,
        and when a whole one last went through: `succeeded_at`, and of `tenants` that had one of their own since then, when. Empty
        before the first."""
        return self.snapshot.fields.get("last") or {}

    def breaker(self, peer: str) -> Mapping[str, Any]:
        """Return what the last run kept of a peer's breaker."""
        return (self.last.get("breakers") or {}).get(peer) or {}


class Store(Conflicts):
    """State of all pairs, kept through `documents`."""

    closing = CLOSING

    def on(self, documents: Documents) -> Store:
        """Return the same state, kept through other documents."""
        return type(self)(documents)

    def lease(self, pair: str) -> Lease:
        """Return who syncs the pair (one read)."""
        path = self.lease_path(pair)
        return Lease(self.documents.get([path])[0][path])

    def lease_path(self, pair: str) -> str:
        """Return where the lease lies."""
        return f"{LEASES}/{state_id(pair)}"

    def taken_over(self, lease: Lease) -> Lease:
        """Close the record of the run that left a lease, so that none of its shards does more; return the lease as it is then."""
        pair, run_id = lease.snapshot.path.rpartition("/")[2], str(lease.snapshot.fields["run_id"])
        ended = Write(f"{RUNS}/{pair}:{state_id(run_id)}", {"status": "abandoned"}, ("status",), True)
        self.documents.write([ended, Write(lease.snapshot.path, {"until": None}, ("until",), lease.snapshot)])
        return Lease(self.documents.get([lease.snapshot.path])[0][lease.snapshot.path])

    def begin(self, lease: Lease, report: Report, until: datetime) -> None:
        """Take the lease and open the run's record; AlreadyRunning if another run was faster."""
        body = {"run_id": report.run_id, "until": until, "last": dict(lease.last)}
        run = {"pair": report.pair, "run_id": report.run_id, "status": "running", "started_at": report.started_at}
        run |= {"by": report.by, "day": day_of(report.started_at), "expire_at": report.started_at + RUN_RETENTION}
        try:
            self.documents.commit([Write(lease.snapshot.path, body, seen=lease.snapshot), Write(_run_path(report), run)])
        except Contended:
            holder = self.lease(report.pair).holder(report.started_at) or "that has just begun"
            raise AlreadyRunning(report.pair, holder) from None

    def renew(self, pair: str, until: datetime, done: Mapping[str, int]) -> None:
        """Hold the lease for longer, and say what was `done` so far. If another run has it by now, that one does: two runs at
        once do no harm."""
        self._write([Write(self.lease_path(pair), {"until": until, "done": dict(done)}, ("until", "done"), True)])

    def finish(self, report: Report, now: datetime) -> None:
        """Write the run's record and give the lease back, unless another run holds it by now."""
        ended, lease = Write(_run_path(report), _run(report, now)), self.lease(report.pair)
        last = _last(report, now) | successes(lease.last, report.failure is None and report.whole, report.tenant, now)
        given_back = Write(lease.snapshot.path, {"run_id": report.run_id, "until": None, "last": last}, seen=lease.snapshot)
        try:
            self.documents.commit([ended, given_back] if lease.holder(now) in {None, report.run_id} else [ended])
        except Contended:
            self.documents.commit([ended])

    def note(self, report: Report, now: datetime) -> None:
        """Write the record of a run that took no lease."""
        self.documents.write([Write(_run_path(report), _run(report, now))])

    def idle_is_news(self, lease: Lease, report: Report, now: datetime) -> bool:
        """Return whether a run that found nothing to do is worth a record: one an hour, since idle runs should be cheap, and the
        first after one that met trouble."""
        before = success_of(lease.last, report.tenant) if report.whole else lease.last.get("completed_at")
        troubled = not lease.last.get("success") or lease.last.get("quota_errors")
        return before is None or bool(troubled) or now - before >= IDLE_RECORD_EVERY

    def run(self, pair: str, run_id: str) -> Mapping[str, Any]:
        """Return a run's record, empty if there is none."""
        path = f"{RUNS}/{state_id(pair, run_id)}"
        return self.documents.get([path])[0][path].fields

    def runs_of(self, pair: str, day: str) -> Iterator[Snapshot]:
        """Yield the records of a pair's runs that began on a day, such as 2026-11-24, in UTC."""
        yield from self._rows(RUNS, {"pair": pair, "day": day})

    def count_troubles(self, pair: str, tenant: str) -> dict[str, int]:
        """Return how many dead letters and conflicts of a tenant wait for somebody, and changes to be carried (three reads)."""
        named = {"pair": pair, "tenant": stored("tenant", tenant)}
        return {
            "dead_letters": self.documents.count(DEAD_LETTERS, named | {"status": "open"}),
            "open_conflicts": self.documents.count(CONFLICTS, named | {"status": "open"}),
            "pending_in_firestore": self.documents.count(QUEUE, named | {"sync_status": "pending"}),
        }

    def under_way(self, pair: str, now: datetime, longest: timedelta) -> list[str]:
        """Return the ids of the runs of a pair that have not ended: those that hold a lease, of the pair or of a part of it, and
        those that began so lately that they may have lost theirs and still be at work."""
        rows = self.documents.query(RUNS, {"pair": pair, "status": "running"})
        begun = {str(row.fields["run_id"]) for row in rows if now - row.fields["started_at"] <= longest}
        leases = [row for row in self.documents.query(LEASES, {}) if _part_of(row, pair)]
        return sorted(begun | {holder for row in leases if (holder := Lease(row).holder(now))})

    def checkpoint(self, name: str) -> Mapping[str, Any]:
        """Return how far a run came that was to be gone on with, empty if there is none."""
        path = f"{CHECKPOINTS}/{name}"
        return self.documents.get([path])[0][path].fields

    def keep_checkpoint(self, name: str, body: Mapping[str, Any] | None) -> None:
        """Keep how far a run came; None forgets it."""
        self._write([Write(f"{CHECKPOINTS}/{name}", body)])

    def audit(self, what: str, id: str, by: str, at: datetime, **more: Any) -> None:
        """Note who did what to what, and when; no values. The same call writes the same entry."""
        body = {"what": what, "id": id, "by": by, "at": at, "expire_at": at + RUN_RETENTION} | more
        self._write([Write(f"{AUDIT}/{state_id(what, id, at=instant(at))}", body)])

    def refuse(
        self, pair: str, source: str, refused: Mapping[str, tuple[Change | None, Problem]], run_id: str, now: datetime
    ) -> None:
        """Keep, by queue id, what the other side will never accept, with the reason; None stands for what is no change."""
        places = {letter_path(pair, source, id): (id, *letter) for id, letter in refused.items()}
        known, _ = self.documents.get(list(places)) if places else ({}, now)
        bodies = {path: letter_body(pair, source, *each, known[path].fields, now) for path, each in places.items()}
        self._write([Write(path, body | {"status": "open", "run_id": run_id}) for path, body in bodies.items()])

    def postpone(
        self, pair: str, source: str, waiting: Sequence[tuple[Change, Problem]], patience: Patience, now: datetime
    ) -> set[str]:
        """Count one more attempt at each of these changes; return the ids of those that have been tried long enough, whose
        attempt is not counted yet: they are to be refused."""
        places = {letter_path(pair, source, each.id): (each.id, each, problem) for each, problem in waiting}
        known, _ = self.documents.get(list(places)) if places else ({}, now)
        bodies = {path: letter_body(pair, source, *each, known[path].fields, now) for path, each in places.items()}
        spent = {path for path, body in bodies.items() if patience.spent(body["attempts"], body["first_at"], now)}
        self._write([Write(path, body | {"status": "waiting"}) for path, body in bodies.items() if path not in spent])
        return {places[path][0] for path in spent}

    def refused_bases(self, pair: str, source: str, record: RecordId) -> dict[str, dict[Stamp, Stamp | None]]:
        """Return, by field, which edits of a record the other side has refused (their stamps), and what each was made on."""
        bases: dict[str, dict[Stamp, Stamp | None]] = {}
        named = {"pair": pair, "from": source, "status": "open", "entity": record.entity, "key": stored("key", record.key)}
        for row in self.documents.query(DEAD_LETTERS, named):
            change = letter_of(row).change
            if change is None or change.record != record:
                continue
            for name, value in change.fields.items():
                if change.base.get(name) != value.stamp:  # the base of a whole record is itself, which tells nothing
                    bases.setdefault(name, {})[value.stamp] = change.base.get(name)
        return bases

    def forget_waiting(self, pair: str, source: str, ids: Sequence[str]) -> None:
        """Drop the attempts counted for changes that went through after all."""
        self._write([Write(letter_path(pair, source, id), None) for id in ids])

    def open_dead_letters(self, pair: str) -> int:
        """Return how many dead letters of a pair wait for somebody."""
        return self.documents.count(DEAD_LETTERS, {"pair": pair, "status": "open"})

    def waiting(self, pair: str, source: str) -> set[str]:
        """Return the ids of up to 500 changes that are being tried again and again."""
        rows = self.documents.query(DEAD_LETTERS, {"pair": pair, "from": source, "status": "waiting"})
        return {str(row.fields["change_id"]) for row in rows}

    def letter(self, id: str) -> Letter | None:
        """Return a dead letter by the id of its document; None if there is none."""
        path = f"{DEAD_LETTERS}/{id}"
        found = self.documents.get([path])[0][path] if is_document_id(id) else None
        return letter_of(found) if found and found.exists else None

    def letters(self, pair: str, equal: Mapping[str, str], limit: int) -> list[Letter]:
        """Return up to `limit` open dead letters of a pair whose documents have these values, in the order of ids."""
        rows = self.documents.query(DEAD_LETTERS, {"pair": pair, "status": "open", **equal}, None, limit)
        return [letter_of(row) for row in rows]

    def update_letters(self, bodies: Mapping[str, Mapping[str, Any]]) -> None:
        """Write these fields of dead letters, by id."""
        self._write([Write(f"{DEAD_LETTERS}/{id}", body, tuple(body), True) for id, body in bodies.items()])

    def conflicts(self, pair: str, equal: Mapping[str, str], limit: int) -> list[Snapshot]:
        """Return up to `limit` conflicts of a pair whose documents have these values."""
        return self.documents.query(CONFLICTS, {"pair": pair, **equal}, None, limit)

    def forget(self, paths: Sequence[str]) -> None:
        """Drop some of the sync's own records."""
        self._write([Write(path, None) for path in paths])

    def about(self, record: RecordId) -> dict[str, list[Snapshot]]:
        """Return what lies in the queue, among the conflicts and the dead letters about a record, by collection."""
        named = {"entity": record.entity, "key": stored("key", record.key)}
        found = {name: self._all(name, named) for name in (QUEUE, CONFLICTS, DEAD_LETTERS)}
        return {name: [row for row in rows if row.fields.get("tenant") == record.tenant] for name, rows in found.items()}

    def _all(self, collection: str, equal: Mapping[str, str]) -> list[Snapshot]:
        rows = self.documents.query(collection, equal)
        while len(page := self.documents.query(collection, equal, rows[-1].path.rpartition("/")[2]) if rows else []):
            rows += page
        return rows


def _part_of(lease: Snapshot, pair: str) -> bool:
    return lease.path.partition("/")[2].partition(":")[0] == state_id(pair)


def _run_path(report: Report) -> str:
    return f"{RUNS}/{state_id(report.pair, report.run_id)}"


def day_of(moment: datetime) -> str:
    """Return the day, in UTC, that a run is counted under."""
    return moment.astimezone(UTC).date().isoformat()


def success_of(last: Mapping[str, Any], tenant: str | None) -> datetime | None:
    """Return when a run last went through for a tenant, given a pair's `last`: one of all tenants, or its own."""
    return max(filter(None, (last.get("succeeded_at"), (last.get("tenants") or {}).get(tenant))), default=None)


def successes(earlier: Mapping[str, Any], went_through: bool, tenant: str | None, now: datetime) -> dict[str, Any]:
    """Return when whole runs last went through, given what was known before this one: of all tenants, of single ones since."""
    if went_through and tenant is None:
        return {"succeeded_at": now, "tenants": {}}
    own = {tenant: now} if went_through else {}
    return {"succeeded_at": earlier.get("succeeded_at"), "tenants": {**(earlier.get("tenants") or {}), **own}}


def _last(report: Report, now: datetime) -> dict[str, Any]:
    return {
        "run_id": report.run_id,
        "completed_at": now,
        "success": report.failure is None,
        "brakes": len(report.brakes),
        "quota_errors": dict(report.quota_errors),
        "breakers": dict(report.breakers),
    }


def _run(report: Report, now: datetime) -> dict[str, Any]:
    failure = None if report.failure is None else {"where": report.failure.where, "message": report.failure.message}
    return {
        "pair": report.pair,
        "run_id": report.run_id,
        "by": report.by,
        "status": "failed" if failure else "done",
        "started_at": report.started_at,
        "day": day_of(report.started_at),
        "completed_at": now,
        "result": report.as_json(),
        "failure": failure,
        "expire_at": now + RUN_RETENTION,
    }
