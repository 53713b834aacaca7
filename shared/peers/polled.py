"""A system without a queue as a peer: it is polled, and what is remembered of it lies in `sync_refs`.

Writing there and noting it here is no one act. So what is being written is noted first; whoever then finds those values
there, after a crash or a lost answer, takes them for that write and neither for an edit nor for a new record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Self

from shared.canonical import fingerprint, same
from shared.erasure import without_erased
from shared.errors import SyncError, TerminalRecord, Transient
from shared.index import Entry, index_of
from shared.model import TICK, Action, Change, Json, Outcome, Problem, RecordId, Result, Version, instant, stamp_at, stamp_time
from shared.peers.documents import ALREADY_EXISTS, OK, Documents, Write
from shared.peers.firestore_erasure import empty_entries
from shared.peers.layout import conflict_writes
from shared.peers.polled_records import ROUNDS, PolledRecords
from shared.peers.refs import Ref
from shared.peers.rehearsed import Rehearsed
from shared.peers.system import Remover, Seen
from shared.policy import Decision, Mode, decide

TOLERANCE = timedelta(minutes=5)
NOTHING = fingerprint(None)
Results = dict[str, Result]


@dataclass(slots=True)
class Step:
    """A change, what it was decided to do, and what is remembered of the record: before, and while it is being written.

    `values` are to be written at the system (None: nothing is), or the record is removed there.
    """

    change: Change
    decision: Decision
    ref: Ref
    version: Version
    values: Mapping[str, Json] | None = None
    removes: bool = False
    dropped: tuple[str, ...] = ()
    """The fields that the system did not keep."""
    place: str | None = None
    """The key, or the external id, under which polls will show the record."""
    noted: Ref = field(init=False)

    def __post_init__(self) -> None:
        self.noted = self.ref

    @property
    def asks(self) -> bool:
        """Whether the system has to do something."""
        return self.removes or self.values is not None


class PolledPeer(PolledRecords):
    """The records, and the queue of what was changed in them. Behaves as `Peer` says."""

    def on(self, documents: Documents) -> Self:
        """Return the same peer over other documents, writing nothing at the system."""
        entities = [layout.entity for layout in self.layouts.values()]
        return type(self)(Rehearsed(self.system), documents, self.pair, entities, self.now, self.habits)

    def apply(self, changes: Sequence[Change], run_id: str, mode: Mode = Mode.LWW) -> list[Result]:
        """Apply the changes, tenant by tenant: one that gives no answer stops no other; see `Peer.apply`."""
        if not self.writable:
            return [Result(change.id, Outcome.INVALID, problem=self._read_only()) for change in changes]
        parts: dict[tuple[str | None, str], list[Change]] = {}
        for change in changes:
            parts.setdefault((change.record.tenant, change.record.entity), []).append(change)
        results: Results = {}
        for (tenant, entity), part in parts.items():
            results |= self._apply(part, run_id, mode, self.checkpoint(tenant, entity))
        return [results[change.id] for change in changes]

    def _apply(self, changes: Sequence[Change], run_id: str, mode: Mode, polled: Mapping[str, Any]) -> Results:
        """Apply the changes of one tenant's entity, each record's in the order given."""
        results, stalled = dict(self._from_the_future(changes)), 0
        while stalled < ROUNDS and len(results) < len(changes):
            before, waiting = len(results), dict[RecordId, Change]()
            for change in changes:
                if change.id not in results:
                    waiting.setdefault(change.record, change)
            results |= self._round(waiting, run_id, mode, polled)
            stalled = 0 if len(results) > before else stalled + 1
        return {
            each.id: results.get(each.id) or _waits(each, "busy", "it was edited faster than it could be read")
            for each in changes
        }

    def _from_the_future(self, changes: Sequence[Change]) -> Iterator[tuple[str, Result]]:
        now = self.now()
        for each in changes:
            if stamp_time(each.latest) - now > TOLERANCE:
                yield each.id, _waits(each, "future", f"stamped {instant(stamp_time(each.latest))}, and it is {instant(now)}")

    def _round(self, waiting: Mapping[RecordId, Change], run_id: str, mode: Mode, polled: Mapping[str, Any]) -> Results:
        """Return the results that could be had; what was adopted or lost a race is missing and comes again."""
        results: Results = {}
        refs = self.refs(list(waiting))
        try:
            shown = self.shown(refs.values())
        except SyncError as error:
            return self._unanswered(list(waiting.values()), error)
        steps: list[Step] = []
        adoptions = list[tuple[RecordId, Sequence[Write]]]()
        for id, change in waiting.items():
            try:
                adoptions += self._plan(change, refs[id], shown.get(id), mode, polled, steps, results)
            except TerminalRecord as error:
                results[change.id] = _refused(change, error)
        self._commit_all(adoptions)
        self._keep_conflicts(steps, run_id)
        return results | self._carry_out(steps)

    def _plan(
        self,
        change: Change,
        ref: Ref,
        seen: Seen | None,
        mode: Mode,
        polled: Mapping[str, Any],
        steps: list[Step],
        results: Results,
    ) -> list[tuple[RecordId, Sequence[Write]]]:
        """Decide, and add the step that does it; or the result, where nothing can be done; or return what is adopted first."""
        if (said := _in_the_way(change, ref, seen, polled)) is not None:
            results[change.id] = said
            return []
        before = Version(ref.hidden, ref.deleted)
        if ref.live and seen is None:  # the sync itself was removing it
            return [(change.record, self._deletion(ref))]
        if ref.live and seen is not None:
            adopted = self.adoption(ref, seen)
            if adopted.writes:
                return [(change.record, adopted.writes)]
            before = adopted.version
        decision = decide(before, change, mode)
        version = without_erased(decision.version, ref.erased)
        if not ref.live and version.deleted is None and not self._is_whole(change, version):
            results[change.id] = _waits(change, "incomplete", "the record is not known there, and the change holds not all of it")
        elif decision.version is before:
            results[change.id] = _result(change, decision)
        else:
            steps.append(self._step(Step(change, decision, ref, version), before))
        return []

    def _is_whole(self, change: Change, version: Version) -> bool:
        return change.action is Action.CREATE or set(self._layout(change.record).entity.names) <= set(version.fields)

    def _step(self, step: Step, before: Version) -> Step:
        """Return the step with what the system has to do. TerminalRecord if it cannot do that."""
        if step.version.deleted is not None:
            step.removes = step.ref.live
            if step.removes and not isinstance(self.system, Remover):
                raise TerminalRecord("no-delete", f"{self.name}: a record cannot be deleted there by the sync; do it by hand")
            return step
        entity, old = self._layout(step.change.record).entity, before.fields if step.ref.live else {}
        new = {
            name: each.value
            for name, each in step.version.fields.items()
            if name not in old or not same(each.value, old[name].value)
        }
        if new or not step.ref.live:
            step.values = {name: entity.at_backend(name, value) for name, value in new.items()}
        return step

    # Writing

    def _carry_out(self, steps: Sequence[Step]) -> Results:
        """Note what is being written, write it, note that it was; return what became of each step that was not overtaken."""
        results, failure = Results(), None
        ended: list[tuple[Step, Ref | None]] = [(step, self._after(step, None)) for step in steps if not step.asks]
        asking = self._note_intents([step for step in steps if step.asks])
        for step in asking:
            try:
                ended.append((step, self._after(step, self._ask(step))))
            except TerminalRecord as error:
                results[step.change.id] = _refused(step.change, error)
                ended.append((step, step.ref if step.ref.known else None))
            except SyncError as error:
                failure = error
                break
        lost = self._end(ended)
        results = {step.change.id: self._ended(step) for step, _ in ended if step.change.record not in lost} | results
        if failure:
            begun = {step.change.id for step, _ in ended}
            results |= self._unanswered([step.change for step in asking if step.change.id not in begun], failure)
        return results

    def _note_intents(self, steps: Sequence[Step]) -> list[Step]:
        """Note what is about to be written; return the steps whose record is still as it was read."""
        now = self.now()
        for step in steps:
            fields = {name: step.version.fields[name] for name in step.values or {}}
            deleted = step.version.deleted if step.removes else None
            step.noted = replace(step.ref, writing=index_of(fields), removing=deleted, writing_at=now if fields else None)
        statuses = self.documents.write([self.shelf.write(step.noted, now) for step in steps]) if steps else []
        return [step for step, status in zip(steps, statuses, strict=True) if status == OK]

    def _ask(self, step: Step) -> Seen | None:
        """Do at the system what the step says; return what is there then."""
        record, external, values = step.change.record, step.ref.external if step.ref.live else None, step.values
        if step.removes and external is not None and isinstance(remover := self.system, Remover):
            self.asked(lambda: remover.remove(record.tenant, record.entity, external))
        if values is None:
            return None
        return self.asked(lambda: self.system.write(record.tenant, record.entity, external, values, record.key))

    def _after(self, step: Step, back: Seen | None) -> Ref:
        """Return what is to be remembered once the step is done. What the system did not keep of it stays older than the
        change, so that it is neither an edit nor settled."""
        if step.version.deleted is not None:
            return step.ref.gone(step.version)
        index = index_of(step.version.fields)
        if back is None:
            return replace(step.ref.settled(), index=index)
        values = self._values(step.change.record.entity, back)
        for name in step.values or {}:
            if index[name].fingerprint == NOTHING and not step.ref.live:
                continue  # what a system gives a new record of its own accord is its edit, which the next poll adopts
            if fingerprint(values.get(name)) != index[name].fingerprint:
                step.dropped += (name,)
                index[name] = self._older(step.ref.index.get(name), index[name], values.get(name))
        step.place = back.key or back.external
        return replace(step.ref.settled(), external=back.external, index=index, deleted=None, hidden={}, at=back.at)

    def _older(self, known: Entry | None, refused: Entry, value: Json) -> Entry:
        stamp = known.stamp if known else stamp_at(stamp_time(refused.stamp) - TICK, self.name)
        return Entry(stamp, fingerprint(value))

    def _end(self, ended: Sequence[tuple[Step, Ref | None]]) -> set[RecordId]:
        """Keep what is to be remembered; return the records that somebody adopted meanwhile."""
        lost, writes, now = set[RecordId](), list[tuple[RecordId, Sequence[Write]]](), self.now()
        documents = self._get([step.ref.document.path for step, _ in ended if step.asks])
        for step, ref in ended:
            document = documents.get(step.ref.document.path, step.ref.document)
            if step.asks and replace(self.shelf.ref(step.noted.record, document), document=step.noted.document) != step.noted:
                lost.add(step.change.record)
            elif ref is None:
                writes.append((step.change.record, [Write(document.path, None, seen=document)]))
            else:
                sign = self.shelf.sign(ref.record, step.place) if step.place and ref.external != step.ref.external else []
                writes.append((ref.record, [self.shelf.write(replace(ref, document=document), now), *sign]))
        return lost | set(self._commit_all(writes))

    def _ended(self, step: Step) -> Result:
        done = replace(_result(step.change, step.decision), deleted=step.version.deleted)
        if not step.dropped:
            return done
        fields = dict.fromkeys(step.dropped, "not-kept")
        problem = Problem("not-kept", f"{self.name} took the write and did not keep all of it; make the change there", fields)
        return replace(done, outcome=Outcome.INVALID, problem=problem)

    def _unanswered(self, changes: Sequence[Change], error: SyncError) -> Results:
        """Let the changes of a tenant that gives no answer wait; where there are no tenants, it is the peer that gives none."""
        if any(each.record.tenant is None for each in changes):
            raise error
        return {each.id: _waits(each, "unreachable", str(error)) for each in changes}

    def _keep_conflicts(self, steps: Sequence[Step], run_id: str) -> None:
        conflicts = [each for step in steps for each in step.decision.conflicts if not each.open]
        writes = conflict_writes(conflicts, self.pair, run_id, self.now())
        if writes and any(status not in {OK, ALREADY_EXISTS} for status in self.documents.write(writes)):
            raise Transient(
                "Firestore did not take a conflict; nothing is overwritten before it is kept, the next run tries again"
            )

    # The rest of the peer

    @property
    def takes_turns(self) -> bool:
        """Yes: a system that is asked has no queue of its own to put things in order."""
        return True

    @property
    def foresees(self) -> bool:
        """Whether `refuses` tells for certain: only a system that takes nothing is sure."""
        return not self.writable

    def refuses(self, change: Change) -> Problem | None:
        """Return why no change can be taken; None where only writing it tells."""
        return None if self.writable else self._read_only()

    def _read_only(self) -> Problem:
        return Problem("read-only", f"{self.name} takes no changes; make this one there")

    def settle(self, run_id: str, conflicts: Sequence[str]) -> None:
        """Do nothing: conflicts found here already lie where they are kept."""

    def erase(self, record: RecordId) -> dict[str, int]:
        """Drop what is kept of a deleted record; see `Eraser`."""
        for _ in range(ROUNDS):
            ref = self.refs([record])[record]
            if ref.deleted is None:
                break
            done = replace(ref, hidden={}, erased=ref.deleted)
            if self._commit([self.shelf.write(done, self.now())]):
                entries = empty_entries(self.documents, record, ref.deleted, self.now())
                return {"hidden values": len(ref.hidden), "queue entries": entries}
        raise Transient(f"{self.name}: the record is not deleted; what was written anew is not erased")


def _in_the_way(change: Change, ref: Ref, seen: Seen | None, polled: Mapping[str, Any]) -> Result | None:
    """Return why a change must wait, or cannot be taken, whatever is in it; None if it can be looked at."""
    if ref.record != change.record:
        problem = Problem("key-taken", "this key is the id of another record there; the record needs another one")
        return Result(change.id, Outcome.INVALID, problem=problem)
    if ref.live and seen is None and not ref.removing:
        return _waits(change, "not-shown", "the system does not show the record now; complete lists will tell whether it is gone")
    at = polled.get("polled_at")
    if not ref.live and (at is None or (ref.creating and ref.writing_at and ref.writing_at >= at)):
        return _waits(change, "not-polled", "it may be there already; the next poll tells")
    return None


def _waits(change: Change, code: str, message: str) -> Result:
    return Result(change.id, Outcome.RETRY, problem=Problem(code, message))


def _result(change: Change, decision: Decision) -> Result:
    version = decision.version
    stamps = {name: version.fields[name].stamp for name in change.fields if name in version.fields}
    return Result(change.id, decision.outcome, decision.applied, stamps, version.deleted, decision.conflicts)


def _refused(change: Change, error: TerminalRecord) -> Result:
    fields = {error.field: error.code} if error.field else {}
    return Result(change.id, Outcome.INVALID, problem=Problem(error.code, str(error), fields))
