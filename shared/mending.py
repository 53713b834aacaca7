"""Mends records that may differ: read on both sides, drain the queues of what that adopted, send what still differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from shared.comparing import Batch, alike, differing_fields
from shared.disputes import Disputes, disputed
from shared.engine import record_conflicts, say_brakes, whole_change
from shared.errors import TerminalRecord
from shared.held import apply_by_policy
from shared.merge import merge
from shared.model import Action, Change, Outcome, Problem, Record, RecordId, Scope, Stamp, Version
from shared.naming import state_id
from shared.peers.base import Peer
from shared.report import Comparison, Tally
from shared.run import Run

NO_REASON = Problem("malformed", "the other side named no reason")
ROUNDS = 3
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

    adopting: bool = True
    broken: set[RecordId] = field(default_factory=set)
    answers: dict[RecordId, set[Outcome]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delete:
    """A delete that the peer `side` holds and the other, where the record lives on, knows nothing of."""

    side: str
    id: RecordId
    stamp: Stamp


@dataclass
class Mender:
    """Mends the records of one entity, of one tenant, and counts what becomes of them in `found`.

    `drain` empties both queues and says whether anything was in them; without it nothing is mended. Deletes are only noted at
    first: the brake must see all that there are before one of them passes.
    """

    run: Run
    scope: Scope
    found: Comparison
    disputes: Disputes
    drain: Callable[[Run], bool] | None
    deletes: list[Delete] = field(default_factory=list)

    def mend(self, batch: Batch) -> bool:
        """Compare the records that may differ anew and make alike those that do. Returns whether the run lasted so long."""
        run, ends = self.run, Ends(self.drain is not None)
        if self.drain is not None and not all(batch.sure.values()):
            self.drain(run)  # what one side lacks may lie in a queue by now, and makes a document there without a read
        before = _read_both(run, batch.differing, ends)
        batch = self._concerned(batch, before)
        different = self._compared(batch, before, ends)
        if not different or self.drain is None:
            return True
        for _ in range(
            ROUNDS
        ):  # until what was read has been carried: sent whole, an edit does not tell what it was made on top of
            if not self.drain(run):
                break
            before = _read_both(run, different, ends)
        if run.report.left_over:
            self.found.waiting += len(different)
            return False
        still = [id for id in different if id not in ends.broken | run.waiting and not before.alike(id)]
        noted = [each for id in still for each in _deletes(run, id, *before.versions(id))]
        apart = {each.id for each in noted}
        self.deletes += noted
        sent = [id for id in still if id not in apart]
        after = _exchange(run, sent, before, ends)
        for id in different:
            if id not in apart:
                self._note_end(id, after if id in sent else before, ends)
                self.found.put_back += id in sent and before.only_one(id) and after.alike(id)
        return True

    def _concerned(self, batch: Batch, both: Both) -> Batch:
        """Return the batch without the records that only the other side of a system that takes no changes has: they are
        that side's own affair."""
        there = [
            side
            for peer, side in ((self.run.pair.left, both.left), (self.run.pair.right, both.right))
            if peer.name in self.run.pair.read_only
        ]
        own = {id for id in batch.differing for side in there if id not in side and both.only_one(id)}
        self.found.compared -= len(own)
        left = [id for id in batch.differing if id not in own]
        return replace(batch, differing=left, sure={id: names for id, names in batch.sure.items() if id not in own})

    def _compared(self, batch: Batch, both: Both, ends: Ends) -> list[RecordId]:
        """Count what differs, and return what of it may be mended: not what waits for somebody's decision."""
        different = [id for id in batch.differing if id in ends.broken or not both.alike(id)]
        left_alone = {id for id in different if disputed(*both.versions(id), self.disputes.get(id, frozenset()))}
        _count(self.found, batch, both, different, ends)
        self.found.in_conflict += len(left_alone)
        return [id for id in different if id not in left_alone]

    def carry_deletes(self) -> bool:
        """Carry over deletes that no queue held, all that were noted, unless the brake holds them. Returns whether the run lasted
        so long."""
        run, held = self.run, self._held()
        self.found.held += len(held)
        passing = [each.id for each in self.deletes if each.id not in held]
        for start in range(0, len(passing), self.scope.page_size):
            if not run.goes_on():
                self.found.waiting += len(passing) - start
                return False
            some, ends = passing[start : start + self.scope.page_size], Ends()
            after = _exchange(run, some, _read_both(run, some, ends), ends)
            for id in some:
                self._note_end(id, after, ends)
        return True

    def _held(self) -> set[RecordId]:
        run, held = self.run, set[RecordId]()
        for source, target in ((run.pair.left, run.pair.right), (run.pair.right, run.pair.left)):
            mine = {f"{_name(each.id)}:{each.stamp}": each.id for each in self.deletes if each.side == source.name}
            held |= {mine[name] for name in (run.brakes.held_of(run.way(source, target, self.scope), mine) if mine else ())}
        say_brakes(run)
        return held

    def _note_end(self, id: RecordId, both: Both, ends: Ends) -> None:
        end = _end(self.run, id, both, ends)
        setattr(self.found, end, getattr(self.found, end) + 1)


def _name(id: RecordId) -> str:
    return state_id(id.tenant, id.entity, id.key)


def _deletes(run: Run, id: RecordId, left: Version, right: Version) -> Iterator[Delete]:
    for peer, mine, theirs in ((run.pair.left, left, right), (run.pair.right, right, left)):
        if mine.deleted and theirs.fields and theirs.deleted is None and merge(mine, theirs).deleted:
            yield Delete(peer.name, id, mine.deleted)


def _exchange(run: Run, ids: Sequence[RecordId], before: Both, ends: Ends) -> Both:
    """Send each side's records to the other; return what both hold then."""
    for _, source, target in run.pair.ways:
        held = before.left if source is run.pair.left else before.right
        _send(run, (held[id] for id in ids if id in held), source, target, ends)
    return _read_both(run, ids, ends) if ids else before


def _count(found: Comparison, batch: Batch, both: Both, different: Sequence[RecordId], ends: Ends) -> None:
    """Count what was compared. What was seen to differ and is alike by now was carried while others were mended."""
    unknown = set(batch.differing) - both.left.keys() - both.right.keys() - ends.broken
    mended = batch.sure.keys() - set(different) - unknown if ends.adopting else set()
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
        return {each.id: each for each in peer.read(ids, ends.adopting)} if ids else {}
    except TerminalRecord as error:
        if len(ids) > 1:
            half = len(ids) // 2
            return _read(run, peer, ids[:half], ends) | _read(run, peer, ids[half:], ends)
        ends.broken.add(ids[0])
        if ends.adopting:
            _give_up(run, peer, ids[0], error)
        return {}


def _give_up(run: Run, peer: Peer, id: RecordId, error: TerminalRecord) -> None:
    letter = {_name(id): (None, Problem(error.code, str(error)))}
    run.store.refuse(run.pair.name, peer.name, letter, run.order.run_id, run.now())
    run.log("dead_letter", str(error), "ERROR", reason=error.code, **run.log.record(id))


def _send(run: Run, records: Iterable[Record], source: Peer, target: Peer, ends: Ends) -> None:
    """Apply whole records at `target`. Their bases are their own stamps: what the target wrote beside them is a conflict."""
    changes = [_whole(record) for record in records]
    if not changes:
        return
    tally = run.report.directions.setdefault(f"{source.name}_to_{target.name}", Tally())
    results = apply_by_policy(run, source, target, changes)
    conflicts = [each for result in results for each in result.conflicts]
    record_conflicts(run, target, conflicts)
    ended = list(zip(changes, results, strict=True))
    refused = {each.id: (each, result.problem or NO_REASON) for each, result in ended if result.outcome is Outcome.INVALID}
    run.store.refuse(run.pair.name, source.name, refused, run.order.run_id, run.now())
    tally.add(Tally.of([result.outcome for result in results], len(conflicts)))
    for change, result in ended:
        ends.answers.setdefault(change.record, set()).add(result.outcome)


def _whole(record: Record) -> Change:
    id = state_id("reconcile", record.id.entity, record.id.tenant, record.id.key)
    return whole_change(record, Change(id, record.id, Action.UPDATE))
