"""Applying changes to documents.

A whole record is offered as a new document first, in commits that require that neither it nor its tombstone is there, and
read nothing. A document that exists is read and written in bulk, with its `update_time` as the precondition; what lost a
race is read again. Whatever else makes, deletes or revives a document is done in a transaction over it and its tombstone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from shared.errors import TerminalRecord
from shared.index import Held
from shared.model import Action, Change, Outcome, Problem, RecordId, Result
from shared.native import size_of
from shared.peers.ahead import put_off
from shared.peers.documents import INVALID, LOST_RACE, MAX_BYTES, OK, Contended, Snapshot, Write
from shared.peers.firestore_records import ROUNDS, FirestoreRecords
from shared.peers.layout import CLOCK, NOTHING
from shared.policy import Decision, Mode, decide

IN_ONE_TRANSACTION = 100
CREATED_AT_ONCE = 100
RECORDS_OF_A_PART = 250


@dataclass(frozen=True, slots=True)
class Step:
    """A change, what it was decided to do, and the writes that do it."""

    change: Change
    decision: Decision
    writes: list[Write]


class FirestoreApply(FirestoreRecords):
    """Records to which changes can be applied."""

    def apply(self, changes: Sequence[Change], run_id: str, mode: Mode = Mode.LWW) -> list[Result]:
        """Apply the changes, each record's in the order given, some records beside others; see `Peer.apply`."""
        begun = [self.beside.submit(self._apply, part, run_id, mode) for part in _parts(changes)]
        wait(begun)
        results = {id: result for each in begun for id, result in each.result().items()}
        return [results[change.id] for change in changes]

    def _apply(self, changes: Sequence[Change], run_id: str, mode: Mode) -> dict[str, Result]:
        """Apply the changes of some records; return what became of each, by its id."""
        results = self._create(self._next_of_each_record(changes, {}), mode)
        stalled = 0
        while stalled < ROUNDS and len(results) < len(changes):
            before = len(results)
            results |= self._round(self._next_of_each_record(changes, results), run_id, mode)
            stalled = 0 if len(results) > before else stalled + 1
        busy = Problem("busy", "the record was edited faster than it could be read; the next run tries again")
        return {change.id: results.get(change.id) or Result(change.id, Outcome.RETRY, problem=busy) for change in changes}

    @property
    def takes_turns(self) -> bool:
        """No: Firestore knows no rule over more than one document."""
        return False

    @property
    def foresees(self) -> bool:
        """Yes: the writes can be made and not sent."""
        return True

    def refuses(self, change: Change) -> Problem | None:
        """Return why the document could not be written so: a type, a size."""
        layout, results = self._layout(change.record), dict[str, Result]()
        path, grave = layout.path(change.record), layout.tombstone_path(change.record)
        found, _ = self.documents.get([path, grave])
        held = layout.held(change.record, found[path], found[grave])
        self._plan(change, found[path], found[grave], held, Mode.LWW, [], results)
        return results[change.id].problem if change.id in results else None

    def _next_of_each_record(self, changes: Sequence[Change], results: Mapping[str, Result]) -> list[Change]:
        waiting: dict[RecordId, Change] = {}
        for change in changes:
            if change.id not in results:
                waiting.setdefault(change.record, change)
        return list(waiting.values())

    def _round(self, changes: Sequence[Change], run_id: str, mode: Mode) -> dict[str, Result]:
        """Return the results that could be had; what was adopted or lost a race is missing and comes again."""
        results: dict[str, Result] = {}
        placed = self._placed(changes, results)
        snapshots, read_at = self.documents.get([path for path, change in placed.items() if not change.deletes] or [CLOCK])
        steps: list[Step] = []
        existence: list[Change] = []
        for path, change in self._not_from_the_future(placed, read_at, results).items():
            document = snapshots.get(path)
            held = self._layout(change.record).held(change.record, document) if document else Held()
            if document and held.unseen():
                self._adopt_or_say(change, document, results)
            elif document and held.values is not None:
                self._plan(change, document, None, held, mode, steps, results)
            else:
                existence.append(change)
        results |= self._write(steps, run_id)
        for start in range(0, len(existence), IN_ONE_TRANSACTION):
            results |= self._transact(existence[start : start + IN_ONE_TRANSACTION], run_id, mode)
        return results

    def _create(self, changes: Sequence[Change], mode: Mode) -> dict[str, Result]:
        """Make the documents of whole records where neither they nor their tombstones are, which takes no read; return the
        results of those that were made. At the first that stands in the way the rest is left to be read."""
        results: dict[str, Result] = {}
        placed = self._placed([each for each in changes if self._is_offered(each)], {})
        if placed:
            _, read_at = self.documents.get([CLOCK])
            placed = self._not_from_the_future(placed, read_at, results)
        for some in _in_commits(self._creations(placed.values(), mode)):
            try:
                self.documents.commit([write for step in some for write in step.writes])
            except (Contended, TerminalRecord):
                break
            results |= {step.change.id: _result(step) for step in some}
        return results

    def _is_offered(self, change: Change) -> bool:
        names = self._layout(change.record).entity.names
        return change.action is Action.CREATE and change.deleted is None and change.fields.keys() >= set(names)

    def _creations(self, changes: Iterable[Change], mode: Mode) -> Iterator[Step]:
        for change in changes:
            decision = decide(NOTHING, change, mode)
            with suppress(TerminalRecord):  # said where it is read
                if decision.outcome is Outcome.APPLIED:
                    yield Step(change, decision, self._layout(change.record).created(change.record, decision.version))

    def _placed(self, changes: Sequence[Change], results: dict[str, Result]) -> dict[str, Change]:
        placed = {}
        for change in changes:
            try:
                placed[self._layout(change.record).path(change.record)] = change
            except TerminalRecord as error:
                results[change.id] = _refused(change, error)
        return placed

    def _not_from_the_future(self, placed: dict[str, Change], read_at: datetime, results: dict[str, Result]) -> dict[str, Change]:
        """Leave out what is stamped ahead of Firestore's clock."""
        early = put_off(list(placed.values()), "Firestore's", read_at, self.sleep)
        results |= early
        return {path: change for path, change in placed.items() if change.id not in early}

    def _adopt_or_say(self, change: Change, document: Snapshot, results: dict[str, Result]) -> None:
        try:
            self.adopt(change.record, document)
        except TerminalRecord as error:
            results[change.id] = _refused(change, error)

    def _plan(
        self,
        change: Change,
        document: Snapshot,
        tombstone: Snapshot | None,
        held: Held,
        mode: Mode,
        steps: list[Step],
        results: dict[str, Result],
    ) -> None:
        """Decide, and add the step that does it; or the result, where there is nothing to do yet or nothing that can be done."""
        layout = self._layout(change.record)
        try:
            before = held.version()
            decision = decide(before, change, mode)
            made = held.values is None and decision.version.deleted is None  # or revived; else the document is there
            if made and not _whole(change, decision, layout.entity.names):
                message = "the record is not known here, and the change does not hold all its fields"
                results[change.id] = Result(change.id, Outcome.RETRY, problem=Problem("incomplete", message))
                return
            written = (change.record, document, tombstone, held, decision.version, self.now())
            writes = [] if decision.version is before else layout.writes(*written)
            steps.append(Step(change, decision, writes))
        except TerminalRecord as error:
            results[change.id] = _refused(change, error)

    def _write(self, steps: Sequence[Step], run_id: str) -> dict[str, Result]:
        """Write each step for itself, conflicts first."""
        self._keep_conflicts(steps, run_id)
        results = {step.change.id: _result(step) for step in steps if not step.writes}
        writing = [step for step in steps if step.writes]
        statuses = self.documents.write([step.writes[0] for step in writing]) if writing else []
        for step, status in zip(writing, statuses, strict=True):
            if status == OK:
                results[step.change.id] = _result(step)
            elif status == INVALID:
                results[step.change.id] = _refused(
                    step.change, TerminalRecord("too-large", "Firestore refuses the document: over 1 MiB")
                )
            elif status not in LOST_RACE:
                busy = Problem("busy", f"Firestore answered status {status} for the write; the next run tries again")
                results[step.change.id] = Result(step.change.id, Outcome.RETRY, problem=busy)
        return results

    def _transact(self, changes: Sequence[Change], run_id: str, mode: Mode) -> dict[str, Result]:
        """Apply the changes in one transaction; where one of them stands in the way, in ever smaller ones."""
        try:
            return self._in_one_transaction(changes, run_id, mode)
        except (Contended, TerminalRecord) as error:
            if len(changes) == 1:
                return {changes[0].id: _refused(changes[0], error)} if isinstance(error, TerminalRecord) else {}
            half = len(changes) // 2
            return self._transact(changes[:half], run_id, mode) | self._transact(changes[half:], run_id, mode)

    def _in_one_transaction(self, changes: Sequence[Change], run_id: str, mode: Mode) -> dict[str, Result]:
        places = [
            (self._layout(each.record).path(each.record), self._layout(each.record).tombstone_path(each.record))
            for each in changes
        ]
        results: dict[str, Result] = {}
        steps: list[Step] = []
        unseen: list[tuple[Change, Snapshot]] = []
        transaction = self.documents.begin()
        try:
            snapshots, _ = self.documents.get([path for place in places for path in place], transaction)
            for change, (path, grave) in zip(changes, places, strict=True):
                held = self._layout(change.record).held(change.record, snapshots[path], snapshots[grave])
                if held.unseen():
                    unseen.append((change, snapshots[path]))
                else:
                    self._plan(change, snapshots[path], snapshots[grave], held, mode, steps, results)
            self._keep_conflicts(steps, run_id)
            self.documents.commit([write for step in steps for write in step.writes], transaction)
        except BaseException:
            self.documents.rollback(transaction)
            raise
        for change, document in unseen:
            self._adopt_or_say(change, document, results)
        return results | {step.change.id: _result(step) for step in steps}

    def _keep_conflicts(self, steps: Sequence[Step], run_id: str) -> None:
        """Keep what is about to be overwritten. An open conflict overwrites nothing; whoever asked for that mode settles it."""
        conflicts = [conflict for step in steps for conflict in step.decision.conflicts]
        self.keep_conflicts([conflict for conflict in conflicts if not conflict.open], run_id)


def _parts(changes: Sequence[Change]) -> list[list[Change]]:
    """Return the changes in parts of a bounded number of records; all of a record's lie in one."""
    numbers: dict[RecordId, int] = {}
    parts: list[list[Change]] = []
    for change in changes:
        number = numbers.setdefault(change.record, len(numbers))
        if number // RECORDS_OF_A_PART == len(parts):
            parts.append([])
        parts[number // RECORDS_OF_A_PART].append(change)
    return parts


def _in_commits(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Yield the steps in groups that fit into one commit."""
    some: list[Step] = []
    room = MAX_BYTES // 2  # as Firestore reckons; a message has its tags besides
    for step in steps:
        size = sum(size_of(dict(write.fields or {})) for write in step.writes)
        if some and (len(some) == CREATED_AT_ONCE or size > room):
            yield some
            some, room = [], MAX_BYTES // 2
        some.append(step)
        room -= size
    if some:
        yield some


def _whole(change: Change, decision: Decision, names: Sequence[str]) -> bool:
    return change.action is Action.CREATE or all(name in decision.version.fields for name in names)


def _result(step: Step) -> Result:
    version = step.decision.version
    stamps = {name: version.fields[name].stamp for name in step.change.fields if name in version.fields}
    return Result(step.change.id, step.decision.outcome, step.decision.applied, stamps, version.deleted, step.decision.conflicts)


def _refused(change: Change, error: TerminalRecord) -> Result:
    fields = {error.field: error.code} if error.field else {}
    return Result(change.id, Outcome.INVALID, problem=Problem(error.code, str(error), fields))
