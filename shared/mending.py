"""Mends records that may differ: read on both sides, drain the queues of what that adopted, send what still differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from shared.comparing import Batch, alike, differing_fields
from shared.engine import record_conflicts, whole_change
from shared.errors import TerminalRecord
from shared.model import Action, Change, Outcome, Problem, Record, RecordId, Version
from shared.naming import state_id
from shared.peers.base import Peer
from shared.report import Comparison, Tally
from shared.run import Run

NO_REASON = Problem("malformed", "the other side named no reason")
Records = dict[RecordId, Record]


@dataclass
class Both:
    """What both sides hold of some records."""

    left: Records
    right: Records

    def versions(self, id: RecordId) -> tuple[Version, Version]:
        """Return the two versions; that of a side which knows nothing of the record is empty."""
        left, right = (side[id].version if id in side else Version() for side in (self.left, self.right))
        return left, right

    def alike(self, id: RecordId) -> bool:
        """Return whether both sides hold the same of it."""
        return alike(*self.versions(id))

    def only_one(self, id: RecordId) -> bool:
        """Return whether one side knows nothing of it."""
        return (id in self.left) != (id in self.right)


@dataclass
class Ends:
    """What became of the records on the way: `broken` can be read by no run, `answers` are of what was sent."""

    broken: set[RecordId] = field(default_factory=set)
    answers: dict[RecordId, set[Outcome]] = field(default_factory=dict)


def mend(run: Run, batch: Batch, found: Comparison, drain: Callable[[Run], bool]) -> bool:
    """Compare the records that may differ anew, make alike those that do, and count what became of them, read again.

    `drain` empties both queues and says whether anything was in them. Returns whether the run lasted so long.
    """
    ends = Ends()
    before = _read_both(run, batch.differing, ends)
    different = [id for id in batch.differing if id in ends.broken or not before.alike(id)]
    mended = set() if run.order.dry_run else batch.sure.keys() - set(different)
    _count(found, batch, before, different, mended, ends)
    if run.order.dry_run or not different:
        return True
    if drain(run):
        before = _read_both(run, different, ends)
    if run.report.left_over:
        found.waiting += len(different)
        return False
    still = [id for id in different if id not in ends.broken | run.waiting and not before.alike(id)]
    _send(run, (before.left[id] for id in still if id in before.left), run.pair.left, run.pair.right, ends)
    _send(run, (before.right[id] for id in still if id in before.right), run.pair.right, run.pair.left, ends)
    after = _read_both(run, still, ends) if still else before
    for id in different:
        end = _end(run, id, before if id not in still else after, ends)
        setattr(found, end, getattr(found, end) + 1)
        found.put_back += end == "repaired" and id in still and before.only_one(id)
    return True


def _count(found: Comparison, batch: Batch, both: Both, different: Sequence[RecordId], mended: set[RecordId], ends: Ends) -> None:
    """Count what was compared. `mended` was seen to differ and is alike by now: it was carried while others were mended."""
    unknown = set(batch.differing) - both.left.keys() - both.right.keys() - ends.broken
    mended = mended - unknown
    found.compared -= len(unknown)
    found.equal += len(batch.differing) - len(unknown) - len(different) - len(mended)
    found.different += len(different) + len(mended)
    found.repaired += len(mended)
    for id in (*different, *mended):
        of_both = differing_fields(*both.versions(id)) if not both.only_one(id) else []
        for name in batch.sure.get(id, of_both):
            found.fields[name] = found.fields.get(name, 0) + 1


def _end(run: Run, id: RecordId, both: Both, ends: Ends) -> str:
    """Return the name of the figure that a record which differed is counted under."""
    answers = ends.answers.get(id, set())
    if id in ends.broken:
        return "dead_letters"
    if both.alike(id):
        return "repaired"
    if id in run.waiting or Outcome.RETRY in answers:
        return "waiting"
    if Outcome.INVALID in answers:
        return "dead_letters"
    return "in_conflict" if Outcome.HELD in answers else "edited"


def _read_both(run: Run, ids: Sequence[RecordId], ends: Ends) -> Both:
    readable = [id for id in ids if id not in ends.broken]
    return Both(_read(run, run.pair.left, readable, ends), _read(run, run.pair.right, readable, ends))


def _read(run: Run, peer: Peer, ids: Sequence[RecordId], ends: Ends) -> Records:
    """Return the records as a peer holds them, adopted. One that it can neither read nor adopt stands in the way of no other."""
    try:
        return {each.id: each for each in peer.read(ids, not run.order.dry_run)} if ids else {}
    except TerminalRecord as error:
        if len(ids) > 1:
            half = len(ids) // 2
            return _read(run, peer, ids[:half], ends) | _read(run, peer, ids[half:], ends)
        ends.broken.add(ids[0])
        _give_up(run, peer, ids[0], error)
        return {}


def _give_up(run: Run, peer: Peer, id: RecordId, error: TerminalRecord) -> None:
    if run.order.dry_run:
        return
    letter = {state_id(id.tenant, id.entity, id.key): (None, Problem(error.code, str(error)))}
    run.store.refuse(run.pair.name, peer.name, letter, run.order.run_id, run.now())
    run.log("dead_letter", str(error), "ERROR", reason=error.code, **run.log.record(id))


def _send(run: Run, records: Iterable[Record], source: Peer, target: Peer, ends: Ends) -> None:
    """Apply whole records at `target`. Their bases are their own stamps: what the target wrote beside them is a conflict."""
    changes = [_whole(record) for record in records]
    if not changes:
        return
    tally = run.report.directions.setdefault(f"{source.name}_to_{target.name}", Tally())
    results = target.apply(changes, run.order.run_id)
    conflicts = [each for result in results for each in result.conflicts]
    record_conflicts(run, target, conflicts)
    ended = list(zip(changes, results, strict=True))
    refused = {each.id: (each, result.problem or NO_REASON) for each, result in ended if result.outcome is Outcome.INVALID}
    run.store.refuse(run.pair.name, source.name, refused, run.order.run_id, run.now())
    tally.add(Tally.of([result.outcome for result in results], len(conflicts)))
    for change, result in ended:
        ends.answers.setdefault(change.record, set()).add(result.outcome)


def _whole(record: Record) -> Change:
    id = f"reconcile:{record.id.entity}:{record.id.tenant or ''}:{record.id.key}"
    return whole_change(record, Change(id, record.id, Action.UPDATE))
