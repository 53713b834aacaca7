"""A polled system's records: finding what is new in them, and adopting it.

Nothing that was read at the system is compared with a reference that was read later: in between the sync itself may have
written. So what a poll shows to differ is fetched once more after its reference was read, and adopted only if that
reference is still the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from shared.canonical import fingerprint
from shared.comparing import turn
from shared.errors import SyncError, TerminalBatch, TerminalRecord, Transient, unforeseen
from shared.index import Held, adopt, index_of
from shared.mapping import Entity
from shared.model import (
    Acknowledgement,
    Action,
    Change,
    Json,
    Page,
    Problem,
    Record,
    RecordId,
    Scope,
    Status,
    Value,
    Version,
    instant,
    stamp_after,
    stamp_time,
)
from shared.naming import state_id
from shared.overlap import Inline
from shared.peers.documents import Contended, Documents, Snapshot, Write
from shared.peers.layout import Layout
from shared.peers.queue import FirestoreQueue
from shared.peers.refs import REFS, Ref, Shelf
from shared.peers.system import Poll, Seen, System

CHECKPOINTS = "sync_checkpoints"
ROUNDS = 6
COMMITTED_AT_ONCE = 100
PAGE = 500
FEW = 5
"""Records that may be missing from a list whatever share of all they are."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Habits:
    """How a system is polled: everything is listed every `full_every`, and what so many complete lists in a row lacked is
    deleted; None: nothing ever is. Where `inactive` names a field, that is set to false instead. A list that lacks more
    than `most_missing` of all records is believed by nobody."""

    full_every: timedelta = timedelta(hours=24)
    missing_polls: int | None = 3
    inactive: str | None = None
    most_missing: float = 1.0
    every: Mapping[str, timedelta] = field(default_factory=dict)
    """How often a tenant is polled at the most by runs that name none."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A record as it is held once it is adopted, and the writes that adopt it; none where it is in line."""

    version: Version
    writes: Sequence[Write]


class PolledRecords(FirestoreQueue):
    """One pair's records at a system. `now` is the instance's clock, which stamps what the system gives no time of; `beside`
    makes what asks several tenants at once."""

    def __init__(
        self,
        system: System,
        documents: Documents,
        pair: str,
        entities: Sequence[Entity],
        now: Callable[[], datetime],
        habits: Habits | None = None,
        beside: Callable[[], Executor] = Inline,
    ) -> None:
        self.system, self.documents, self.pair, self.now, self.habits = system, documents, pair, now, habits or Habits()
        self.beside = beside
        self.name, self.queue_name = system.name, f"{pair}@{system.name}"
        self.shelf = Shelf(pair, system.name)
        self.layouts = {entity.name: Layout(self.queue_name, system.name, entity) for entity in entities}
        self.malformed: dict[RecordId, Problem] = {}

    @property
    def writable(self) -> bool:
        """Whether the system takes changes at all."""
        return self.system.writable

    # Polling

    def poll(self, scope: Scope, tenants_of: Callable[[str], Sequence[str | None]]) -> dict[str | None, SyncError]:
        """Adopt what is new at the system and return what went wrong, by tenant. Entities come in their order; after a failure
        no later one of that tenant is looked at, and every other tenant is. Tenants are asked side by side: a slow one lets no
        other wait."""
        tenants = dict.fromkeys(tenant for entity in scope.entities for tenant in tenants_of(entity))
        self.malformed = {}
        with self.beside() as beside:
            polls = {tenant: beside.submit(self._poll_tenant, tenant, scope, tenants_of) for tenant in tenants}
        troubles = {tenant: poll.result() for tenant, poll in polls.items()}
        return {tenant: error for tenant, error in troubles.items() if error}

    def _poll_tenant(
        self, tenant: str | None, scope: Scope, tenants_of: Callable[[str], Sequence[str | None]]
    ) -> SyncError | None:
        """Adopt what is new of one tenant, entity by entity, and return what went wrong, if anything did."""
        try:
            for entity in scope.entities:
                if tenant in tenants_of(entity) and (scope.tenant is not None or self._has_waited(tenant, entity)):
                    self._poll(tenant, entity)
        except SyncError as error:
            return error
        return None

    def _has_waited(self, tenant: str | None, entity: str) -> bool:
        """Whether a run that names no tenant polls this one. Runs do not begin to the second: a little early is not too early."""
        every = self.habits.every.get(tenant or "")
        last = self.checkpoint(tenant, entity).get("polled_at") if every else None
        return last is None or every is None or self.now() - last >= every * 0.9

    def take(self, tenant: str | None, entity: str, externals: Sequence[str]) -> list[RecordId]:
        """Adopt what is new in these records, known before or not, and return how they are called here; those that are gone are
        left out."""
        return list(self._take(tenant, entity, self._fetch(tenant, entity, externals)))

    def _poll(self, tenant: str | None, entity: str) -> None:
        known, begun = self.checkpoint(tenant, entity), self.now()
        full = known.get("full_at") is None or begun - known["full_at"] >= self.habits.full_every
        shown: set[str] = set()
        last = Poll()
        for last in self._pages(tenant, entity, None if full else known.get("since")):
            self._note_malformed(tenant, entity, last.malformed)
            shown |= {each.external for each in last.seen} | set(last.malformed)
            self._take(tenant, entity, last.seen)
        if last.complete and shown:  # an empty list is no proof of anything
            self._note_missing(tenant, entity, shown, begun, known.get("polled_at"))
        noted = {"since": last.checkpoint, "polled_at": begun, "full_at": begun if full else known["full_at"]}
        self.documents.write([Write(self._checkpoint_path(tenant, entity), noted)])

    def checkpoint(self, tenant: str | None, entity: str) -> Mapping[str, Any]:
        """Return from where the next poll goes on (`since`), when the last successful one began (`polled_at`), and the last that
        listed everything (`full_at`)."""
        path = self._checkpoint_path(tenant, entity)
        return self.documents.get([path])[0][path].fields

    def _checkpoint_path(self, tenant: str | None, entity: str) -> str:
        return f"{CHECKPOINTS}/poll:{state_id(self.pair, self.name, tenant, entity)}"

    def _pages(self, tenant: str | None, entity: str, since: str | None) -> Iterator[Poll]:
        pages = self.asked(lambda: iter(self.system.poll(tenant, entity, since)))
        while (page := self.asked(lambda: next(pages, None))) is not None:
            yield page

    def asked(self, step: Callable[[], T]) -> T:
        """Return what the system answers. A bug of its own file is Transient: it stops one tenant, not the run."""
        try:
            return step()
        except SyncError:
            raise
        except Exception as error:
            raise Transient(f"{self.name}: {unforeseen(error)}") from error

    def _note_malformed(self, tenant: str | None, entity: str, problems: Mapping[str, Problem]) -> None:
        for external, problem in problems.items():
            self.malformed[RecordId(entity, external, tenant)] = problem

    def _note_missing(self, tenant: str | None, entity: str, shown: set[str], begun: datetime, before: datetime | None) -> None:
        """Count what a complete list lacked, and adopt as deleted what several in a row did and what cannot be fetched.

        What a poll counted that was cut off (none has ended since `before`) is not counted again: that would be no second proof.
        """
        live = self._all_refs(tenant, entity, "live")
        missing = [ref for ref in live if ref.external not in shown and not self._is_inactive(ref)]
        if len(missing) > max(FEW, self.habits.most_missing * len(live)):
            hint = "if that is meant, raise most_missing for one run"
            raise TerminalBatch(f"{self.name}: {len(missing)} of {len(live)} are missing from the list of {entity}; {hint}")
        counted = {ref.external for ref in missing if ref.missed_at and (before is None or ref.missed_at > before)}
        due = [ref for ref in missing if ref.removing or (ref.external not in counted and self._is_due(ref))]
        there = {each.external for each in self._fetch(tenant, entity, [ref.external or "" for ref in due])}
        for ref in missing:
            if ref in due and ref.external not in there:
                self._commit(self._deactivation(ref) if self.habits.inactive else self._deletion(ref))
            elif self.habits.missing_polls is not None and ref not in due and ref.external not in counted:
                self._commit([self.shelf.write(replace(ref, missed=ref.missed + 1, missed_at=begun), self.now())])

    def _is_due(self, ref: Ref) -> bool:
        return self.habits.missing_polls is not None and ref.missed + 1 >= self.habits.missing_polls

    def _is_inactive(self, ref: Ref) -> bool:
        entry = ref.index.get(self.habits.inactive or "")
        return entry is not None and entry.fingerprint == fingerprint(False)

    def _deactivation(self, ref: Ref) -> list[Write]:
        """Return the writes that adopt an edit of nobody's: that the record is not active any more."""
        now, name = self.now(), self.habits.inactive or ""
        value = Value(False, stamp_after(now, self.name, list(ref.stamps.values())))
        index = {**ref.index, **index_of({name: value})}
        id, base = self._entry_id(ref, stamp_time(value.stamp)), {name: ref.stamps.get(name)}
        change = Change(id, ref.record, Action.UPDATE, {name: value}, base)
        kept = replace(ref, index=index, missed=0)
        return [self.shelf.write(kept, now), self._layout(ref.record).entry(change, now)]

    def _deletion(self, ref: Ref) -> list[Write]:
        """Return the writes that adopt a delete; one that the sync was at itself is no change."""
        now = self.now()
        stamp = ref.removing or stamp_after(now, self.name, list(ref.stamps.values()))
        write = self.shelf.write(ref.gone(Version({}, stamp)), now)
        if ref.removing:
            return [write]
        change = Change(self._entry_id(ref, stamp_time(stamp)), ref.record, Action.DELETE, deleted=stamp, deleted_base=ref.stamps)
        return [write, self._layout(ref.record).entry(change, now)]

    def _all_refs(self, tenant: str | None, entity: str, state: str) -> list[Ref]:
        equal, after, found = self.shelf.named(entity, tenant) | {"state": state}, None, list[Ref]()
        while True:
            rows = self.documents.query(REFS, equal, after, PAGE)
            found += map(self.shelf.known, rows)
            if len(rows) < PAGE:
                return found
            after = rows[-1].path.rpartition("/")[2]

    # Adopting

    def _take(self, tenant: str | None, entity: str, seen: Sequence[Seen]) -> dict[RecordId, Record]:
        """Adopt what is new in what a poll shows; return the records that it shows, as they are then."""
        found: dict[RecordId, Record] = {}
        fresh: list[tuple[RecordId, Sequence[Write]]] = []
        again, new = dict[RecordId, Seen](), dict[RecordId, Seen]()
        for each, ref in self._placed(tenant, entity, seen):
            try:
                adopted = self.adoption(ref, each)
            except TerminalRecord as error:
                self._note_malformed(tenant, entity, {each.external: Problem(error.code, str(error))})
                continue
            found[ref.record] = Record(ref.record, adopted.version)
            if adopted.writes and ref.known:
                again[ref.record] = each
            elif adopted.writes:
                fresh.append((ref.record, adopted.writes))
                new[ref.record] = each
        again |= {id: new[id] for id in self._commit_all(fresh)}
        return found | self._settled(list(again), True, again)

    def _placed(self, tenant: str | None, entity: str, seen: Sequence[Seen]) -> Iterator[tuple[Seen, Ref]]:
        """Yield what is shown with its reference. A key that another external id has is taken."""
        unique = {each.external: each for each in seen}.values()
        shown = {RecordId(entity, each.key or each.external, tenant): each for each in unique}
        refs = self.refs(list(shown))
        creating = self._all_refs(tenant, entity, "creating") if any(not ref.known for ref in refs.values()) else []
        for id, each in shown.items():
            ref = refs[id] if refs[id].known or each.key else self._claimed(creating, each) or refs[id]
            if ref.live and ref.external != each.external:
                problem = Problem("key-taken", "another record there has this key; an external id and a key go together for good")
                self._note_malformed(tenant, entity, {each.external: problem})
            else:
                yield each, ref

    def _claimed(self, creating: list[Ref], seen: Seen) -> Ref | None:
        """Return the reference of the create that made this record, if that is what it looks like: its answer was lost."""
        for ref in creating:
            values = self._values(ref.record.entity, seen)
            if all(fingerprint(values.get(name)) == entry.fingerprint for name, entry in ref.writing.items()):
                creating.remove(ref)
                return ref
        return None

    def _values(self, entity: str, seen: Seen) -> dict[str, Json]:
        spec = self.layouts[entity].entity
        values = {name: spec.from_backend(name, value) for name, value in seen.fields.items() if name in spec.by_name}
        return {name: value for name, value in values.items() if value is not None}

    def adoption(self, ref: Ref, seen: Seen) -> Adopted:
        """Return the record as it is shown once it is adopted. What was being written is taken for that, with its stamp."""
        values, names = self._values(ref.record.entity, seen), self._layout(ref.record).entity.names
        held = ref.held(values)
        written = {name: entry for name, entry in ref.writing.items() if fingerprint(values.get(name)) == entry.fingerprint}
        later = {name: each for name, each in written.items() if name not in held.index or each.stamp > held.index[name].stamp}
        held = Held(values, {**held.index, **later}, held.tombstone)
        change, version = None, held.version()
        if not held.index or held.unseen():
            change, version = adopt(ref.record, held, self._when(ref, seen), self.name, names, "")
        done = not ref.writing or len(written) == len(ref.writing)
        now = replace(ref.settled() if done else ref, external=seen.external, index=index_of(version.fields), missed=0)
        now = replace(now, deleted=None, hidden={}, removing=ref.removing)
        if now == ref:
            return Adopted(version, ())
        return Adopted(version, self._adopting(replace(now, at=seen.at), change, seen, ref.external != seen.external))

    def _adopting(self, ref: Ref, change: Change | None, seen: Seen, bound: bool) -> list[Write]:
        now = self.now()
        sign = self.shelf.sign(ref.record, seen.key or seen.external) if bound else []
        if change is None:
            return [self.shelf.write(ref, now), *sign]
        named = replace(change, id=self._entry_id(ref, stamp_time(change.latest)))
        return [self.shelf.write(ref, now), self._layout(ref.record).entry(named, now), *sign]

    def _when(self, ref: Ref, seen: Seen) -> datetime:
        """Return when an edit was made: as the system says, unless its clock did not move with it, or is ahead."""
        now = self.now()
        moved = seen.at is not None and (ref.at is None or seen.at > ref.at)
        return min(seen.at, now) if seen.at is not None and moved else now

    def _entry_id(self, ref: Ref, when: datetime) -> str:
        id = ref.record
        return state_id(self.pair, self.name, id.tenant, id.entity, id.key, at=instant(when))

    def _commit(self, writes: Sequence[Write]) -> bool:
        try:
            self.documents.commit(writes)
        except Contended:
            return False
        return True

    def _commit_all(self, adoptions: Sequence[tuple[RecordId, Sequence[Write]]]) -> list[RecordId]:
        """Commit what adopts each record, many in one commit; return the records that were no longer as they were read."""
        lost: list[RecordId] = []
        for start in range(0, len(adoptions), COMMITTED_AT_ONCE):
            lost += self._commit_some(adoptions[start : start + COMMITTED_AT_ONCE])
        return lost

    def _commit_some(self, adoptions: Sequence[tuple[RecordId, Sequence[Write]]]) -> list[RecordId]:
        if self._commit([write for _, writes in adoptions for write in writes]):
            return []
        if len(adoptions) == 1:
            return [adoptions[0][0]]
        half = len(adoptions) // 2
        return self._commit_some(adoptions[:half]) + self._commit_some(adoptions[half:])

    # Reading

    def refs(self, ids: Sequence[RecordId]) -> dict[RecordId, Ref]:
        """Return the references of these records; of one that is an external id, that of the record it leads to."""
        paths = {id: self.shelf.path(id) for id in ids}
        found = self._get(list(paths.values()))
        refs = {id: self.shelf.ref(id, found[path]) for id, path in paths.items()}
        led = {id: RecordId(id.entity, ref.leads_to, id.tenant) for id, ref in refs.items() if ref.leads_to}
        return refs | {id: each for id, target in led.items() for each in self.refs([target]).values()}

    def _get(self, paths: Sequence[str]) -> Mapping[str, Snapshot]:
        return self.documents.get(paths)[0] if paths else {}

    def _fetch(self, tenant: str | None, entity: str, externals: Sequence[str]) -> list[Seen]:
        return self.asked(lambda: self.system.fetch(tenant, entity, externals)) if externals else []

    def shown(self, refs: Iterable[Ref], hints: Mapping[RecordId, Seen] | None = None) -> dict[RecordId, Seen]:
        """Return these records as the system shows them now; `hints` are what it showed of those that it may have."""
        wanted: dict[tuple[str | None, str], dict[str, RecordId]] = {}
        for ref in refs:
            external = hints[ref.record].external if hints and ref.record in hints else ref.external
            if external is not None and (ref.live or hints):
                wanted.setdefault((ref.record.tenant, ref.record.entity), {})[external] = ref.record
        return {
            ids[each.external]: each
            for (tenant, entity), ids in wanted.items()
            for each in self._fetch(tenant, entity, list(ids))
            if each.external in ids
        }

    def _settled(
        self, ids: Sequence[RecordId], adopting: bool, hints: Mapping[RecordId, Seen] | None = None
    ) -> dict[RecordId, Record]:
        """Return the records as they are held once everything unseen in them is adopted, or as they would be then."""
        found: dict[RecordId, Record] = {}
        waiting = list(dict.fromkeys(ids))
        for _ in range(ROUNDS):
            refs = {id: ref for id, ref in self.refs(waiting).items() if ref.record == id}
            shown = self.shown(refs.values(), hints) if self.writable or hints is None else hints
            adoptions = list[tuple[RecordId, Sequence[Write]]]()
            for id, ref in refs.items():
                if id in shown:
                    adopted = self.adoption(ref, shown[id])
                    found[id] = Record(id, adopted.version)
                    adoptions += [(id, adopted.writes)] if adopted.writes else []
                elif ref.deleted:
                    found[id] = Record(id, Version(ref.hidden, ref.deleted))
            waiting = self._commit_all(adoptions) if adopting else []
            if not waiting:
                return found
        raise Transient(f"{self.name}: {len(waiting)} record(s) were edited faster than they could be read; try again")

    def read(self, ids: Sequence[RecordId], adopting: bool = True) -> list[Record]:
        """Return the records, adopted. One that the system does not show though it was not seen deleted is left out."""
        found = self._settled(ids, adopting)
        return [found[id] for id in dict.fromkeys(ids) if id in found]

    def records(self, scope: Scope, entity: str, after: str | None = None) -> Iterator[list[Record]]:
        """Yield the live records, adopted, in the order of document ids. All of one tenant are held in memory."""
        found: dict[RecordId, Record] = {}
        for page in self._pages(scope.tenant, entity, None):
            found |= self._take(scope.tenant, entity, page.seen)
        rows = sorted(found.values(), key=lambda record: turn(record.id.key))
        rows = [each for each in rows if each.version.deleted is None and (after is None or turn(each.id.key) > turn(after))]
        for start in range(0, len(rows), scope.page_size):
            yield rows[start : start + scope.page_size]

    def count(self, scope: Scope) -> int:
        """Return how many live records are known, by an aggregation."""
        return self.documents.count(REFS, self.shelf.named(scope.entities[0], scope.tenant) | {"state": "live"})

    def changes(self, scope: Scope) -> Iterator[Page]:
        """Yield what waits in the queue, and first what the last poll showed and can be no record."""
        wrong = {id: problem for id, problem in self.malformed.items() if id.entity in scope.entities and not scope.shard}
        if wrong:
            yield Page(malformed={self._wrong_id(id): each for id, each in wrong.items()})
        yield from super().changes(scope)

    def acknowledge(self, run_id: str, done: Acknowledgement) -> None:
        """Label queue entries, and forget what was no record."""
        self.malformed = {id: each for id, each in self.malformed.items() if self._wrong_id(id) not in done.failed}
        super().acknowledge(run_id, done)

    def _wrong_id(self, id: RecordId) -> str:
        return state_id(self.pair, self.name, id.tenant, id.entity, id.key)

    def status(self, scope: Scope) -> Status:
        """Return the queue's figures, and the system's time."""
        return replace(super().status(scope), now=self.asked(self.system.now))

    def _layout(self, record: RecordId) -> Layout:
        return self.layouts[record.entity]
