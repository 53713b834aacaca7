"""Planted bugs: small wrong implementations, each of one rule, that the simulation has to find. For its test alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import syncqueue.adoption
import syncqueue.canonical
from syncqueue.adoption import adopt_delete
from syncqueue.stamps import timestamp

from shared import engine, index, mending, merge, policy, tracker, wire
from shared.errors import Transient
from shared.model import Action, Change, Outcome, Result, Stamp, Value, Version
from shared.peers import firestore_apply
from shared.peers.firestore import FirestorePeer
from shared.peers.layout import Layout
from shared.peers.rest_queue import RestQueue
from shared.store import Store
from simulation import backend as stand_in
from simulation import operator_plants, policy_plants
from simulation import simpler_designs as simpler
from simulation.backend import Backend

Plant = Callable[[pytest.MonkeyPatch], None]


def equal_stamps_fall_to_whoever_is_at_home(patch: pytest.MonkeyPatch) -> None:
    """The tie-break dropped."""

    def later(one: Value, other: Value) -> Value:
        return other if other.stamp > one.stamp else one

    patch.setattr(merge, "later", later)


def stamps_are_compared_as_local_time(patch: pytest.MonkeyPatch) -> None:
    """The backend's zone is taken to be an hour east."""

    def local(value: Value) -> str:
        return value.stamp.replace("T12:", "T13:") if value.stamp.endswith("django") else value.stamp

    patch.setattr(merge, "later", lambda one, other: max(one, other, key=local))


def the_smaller_delete_is_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(merge, "later_delete", lambda one, other: min(one, other) if one and other else one or other)


def what_is_read_is_acknowledged_before_it_is_applied(patch: pytest.MonkeyPatch) -> None:
    begin = engine._begin

    def early(run: Any, way: Any, page: Any, *more: Any) -> Any:
        way.source.acknowledge(run.order.run_id, engine.acknowledgement(page, {}))
        return begin(run, way, page, *more)

    patch.setattr(engine, "_begin", early)


def documents_are_written_without_a_precondition(patch: pytest.MonkeyPatch) -> None:
    live = Layout._live
    patch.setattr(Layout, "_live", lambda self, *given: replace(live(self, *given), seen=None))


def the_lease_is_taken_for_a_guard(patch: pytest.MonkeyPatch) -> None:
    """Only one run can be under way, so what it writes needs no precondition at all."""
    writes = Layout.writes
    patch.setattr(Layout, "writes", lambda self, *given: [replace(each, seen=None) for each in writes(self, *given)])


def the_syncs_own_writes_are_queued(patch: pytest.MonkeyPatch) -> None:
    """The echo check removed: whatever an event shows is a change."""
    track = tracker.track

    def echoing(peer: FirestorePeer, poke: Any) -> str:
        done = track(peer, poke)
        held = peer._layout(poke.record).held(poke.record, poke.after) if poke.after else index.Held()
        if done == "in line" and held.index:
            change = Change(f"echo:{poke.record.key}", poke.record, Action.UPDATE, held.version().fields, {})
            peer.documents.commit([peer._layout(poke.record).entry(change, peer.now())])
        return done

    patch.setattr("simulation.stage.track", echoing)


def tombstones_are_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Layout, "_buried", lambda self, tombstone: Version())


def a_tombstone_forgets_the_values(patch: pytest.MonkeyPatch) -> None:
    grave = Layout._grave
    patch.setattr(Layout, "_grave", lambda self, *given: grave(self, *given) | {"fields": {}})


def the_last_of_a_page_is_skipped(patch: pytest.MonkeyPatch) -> None:
    page = FirestorePeer._queue_page
    patch.setattr(FirestorePeer, "_queue_page", lambda self, rows: page(self, rows[:-1] if len(rows) > 1 else rows))


def only_the_first_page_is_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FirestorePeer, "changes", lambda self, scope, all=FirestorePeer.changes: iter([next(all(self, scope))]))


def the_cursor_goes_past_what_was_not_shown(patch: pytest.MonkeyPatch) -> None:
    """Records are walked by a cursor that skips one at the end of each page, at both sides alike."""
    for peer in (FirestorePeer, RestQueue):

        def records(self: Any, scope: Any, entity: str, after: str | None = None, whole: Any = peer.records) -> Any:
            for page in whole(self, scope, entity, after):
                yield page[:-1] or page[:0]

        patch.setattr(peer, "records", records)


def no_base_is_sent(patch: pytest.MonkeyPatch) -> None:
    body = wire.change_to_json
    patch.setattr(wire, "change_to_json", lambda *given: body(*given) | {"base": {}, "deleted_base": {}})


def every_base_is_what_is_found(patch: pytest.MonkeyPatch) -> None:
    """No conflict is ever seen: every author is taken to have seen what was there."""
    patch.setattr(policy, "_opponent", lambda local, name, change: None)


def a_repeated_change_is_a_new_write(patch: pytest.MonkeyPatch) -> None:
    """Retry without idempotence."""
    decide = policy.decide

    def anew(local: Version, change: Change, *mode: Any) -> policy.Decision:
        decision = decide(local, change, *mode)
        if decision.outcome is not Outcome.UNCHANGED or local.deleted or not change.fields:
            return decision
        fields = {name: Value(each.value, Stamp(each.stamp.replace("Z|", "Z|x-"))) for name, each in change.fields.items()}
        return replace(decision, version=Version({**local.fields, **fields}), outcome=Outcome.APPLIED, applied=tuple(fields))

    patch.setattr(firestore_apply, "decide", anew)


def a_conflict_is_settled_before_it_is_kept(patch: pytest.MonkeyPatch) -> None:
    """The backend is told that it may forget a conflict, and only then the conflict is written down."""
    for module in (engine, mending):

        def early(run: Any, target: Any, conflicts: Any, rightly: Any = module.record_conflicts) -> None:
            target.settle(run.order.run_id, [each.id for each in conflicts])
            rightly(run, target, conflicts)

        patch.setattr(module, "record_conflicts", early)


def conflicts_found_at_the_backend_are_not_recorded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Store, "keep_conflicts", lambda *given: None)


def the_loser_is_overwritten_before_it_is_kept(patch: pytest.MonkeyPatch) -> None:
    """Firestore's conflicts are kept by the run, when it has the results."""
    patch.setattr(FirestorePeer, "keep_conflicts", lambda *given, **options: None)


def a_record_has_one_conflict_a_field(patch: pytest.MonkeyPatch) -> None:
    """The stamps are left out of a conflict's id."""
    named = policy.conflict_id
    none = Stamp("")
    patch.setattr(policy, "conflict_id", lambda record, field, one, other: named(record, field, none, none))
    theirs = stand_in.conflict_id
    patch.setattr(
        stand_in, "conflict_id", lambda entity, tenant, key, field, stamps: theirs(entity, tenant, key, field, ("", ""))
    )


def a_lost_answer_is_taken_for_done(patch: pytest.MonkeyPatch) -> None:
    apply = RestQueue.apply

    def done(self: RestQueue, changes: Sequence[Change], *more: Any) -> list[Result]:
        try:
            return apply(self, changes, *more)
        except Transient:
            return [Result(each.id, Outcome.APPLIED, tuple(each.fields)) for each in changes]

    patch.setattr(RestQueue, "apply", done)


def the_status_of_a_single_write_is_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    written = firestore_apply.FirestoreApply._write

    class Deaf:
        def __init__(self, documents: Any) -> None:
            self.write = lambda writes: [0 for _ in documents.write(writes)]

    def write(self: Any, steps: Any, run_id: str) -> Any:
        peer = FirestorePeer(self.name, Deaf(self.documents), self.pair, [], self.now, self.sleep)  # type: ignore[arg-type]
        return written(peer, steps, run_id)

    patch.setattr(firestore_apply.FirestoreApply, "_write", write)


def reconcile_takes_absence_for_a_delete(patch: pytest.MonkeyPatch) -> None:
    send = mending._send

    def sending(run: Any, records: Any, source: Any, target: Any, ends: Any) -> None:
        sent = list(records)
        there = {each.id for each in target.read([record.id for record in sent])}
        send(run, [record for record in sent if record.id in there], source, target, ends)

    patch.setattr(mending, "_send", sending)


def what_must_wait_is_acknowledged(patch: pytest.MonkeyPatch) -> None:
    acknowledgement = engine.acknowledgement

    def all_done(page: Any, fates: Mapping[str, Any]) -> Any:
        waiting = {id: replace(each, outcome=Outcome.APPLIED) for id, each in fates.items() if each.outcome is Outcome.RETRY}
        return acknowledgement(page, {**fates, **waiting})

    patch.setattr(engine, "acknowledgement", all_done)


def no_dead_letter_is_written(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "_record_dead_letters", lambda *given: None)


def a_dead_letter_is_written_after_it_is_acknowledged(patch: pytest.MonkeyPatch) -> None:
    finish, record = engine._finish, engine._record_dead_letters
    kept: dict[int, list[Any]] = {}  # by run, since several may be under way

    def late(run: Any, *given: Any) -> Any:
        tally = finish(run, *given)
        for letter in kept.pop(id(run), []):
            record(run, *letter)
        return tally

    patch.setattr(engine, "_record_dead_letters", lambda run, *letter: kept.setdefault(id(run), []).append(letter))
    patch.setattr(engine, "_finish", late)


def an_edit_is_stamped_by_the_clock_alone(patch: pytest.MonkeyPatch) -> None:
    """Not later than what it was made on top of."""
    stamp = lambda now, origin, seen: f"{timestamp(now)}|{origin}"  # noqa: E731
    patch.setattr(syncqueue.adoption, "local_stamp", stamp)


def unseen_edits_are_written_over(patch: pytest.MonkeyPatch) -> None:
    """Applying merges with what the index says, without a look at the values."""

    def over(peer: Any, change: Change, document: Any, results: dict[str, Result]) -> None:
        held = peer._layout(change.record).held(change.record, document)
        steps: list[Any] = []
        peer._plan(change, document, None, held.version(), policy.Mode.LWW, steps, results)
        results.update(peer._write(steps, "run"))

    patch.setattr(FirestorePeer, "_adopt_or_say", over)


def the_backends_delete_does_not_adopt_raw_drift(patch: pytest.MonkeyPatch) -> None:
    def delete(self: Backend, place: Any) -> bool:
        if place not in self.rows or place not in self.known or self.known[place].deleted or self._referred_to(place):
            return False
        adoption = adopt_delete(self.known[place], self.rows.pop(place), self.now(), stand_in.ORIGIN)
        self._adopted(place, adoption)
        return True

    patch.setattr(Backend, "delete", delete)


def a_change_is_carried_without_its_delete(patch: pytest.MonkeyPatch) -> None:
    """Collapsing joins the fields and forgets the delete between them."""
    collapse = merge.collapse

    def joined(edits: Sequence[Change]) -> Change:
        change = collapse(edits)
        return replace(change, deleted=None, deleted_base={}) if change.fields else change

    patch.setattr(engine, "collapse", joined)


def the_log_says_who(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("shared.log.Log.record", lambda self, record: {"entity": record.entity, "record": record.key})


PLANTS: dict[str, Plant] = {
    plant.__name__: plant
    for plant in [
        simpler.each_path_stamps_for_itself,
        simpler.acknowledging_writes_the_index,
        simpler.the_queue_entry_and_the_index_are_two_commits,
        simpler.stamps_from_the_future_are_taken,
        simpler.the_event_alone_counts,
        simpler.only_the_last_action_is_sent,
        simpler.a_delete_carries_nothing,
        simpler.a_delete_event_trusts_its_own_document,
        simpler.any_larger_tombstone_skips_a_delete,
        simpler.a_later_update_time_skips_a_delete,
        simpler.only_a_standing_tombstone_tells_the_syncs_own_deletes,
        simpler.reconcile_leaves_the_queues_alone,
        simpler.what_was_adopted_before_is_shown_as_it_is_now,
        simpler.a_creation_trusts_what_was_read_before,
        the_backends_delete_does_not_adopt_raw_drift,
        equal_stamps_fall_to_whoever_is_at_home,
        stamps_are_compared_as_local_time,
        the_smaller_delete_is_kept,
        what_is_read_is_acknowledged_before_it_is_applied,
        documents_are_written_without_a_precondition,
        the_lease_is_taken_for_a_guard,
        the_syncs_own_writes_are_queued,
        tombstones_are_ignored,
        a_tombstone_forgets_the_values,
        the_last_of_a_page_is_skipped,
        only_the_first_page_is_read,
        the_cursor_goes_past_what_was_not_shown,
        no_base_is_sent,
        every_base_is_what_is_found,
        a_repeated_change_is_a_new_write,
        a_conflict_is_settled_before_it_is_kept,
        conflicts_found_at_the_backend_are_not_recorded,
        the_loser_is_overwritten_before_it_is_kept,
        a_record_has_one_conflict_a_field,
        a_lost_answer_is_taken_for_done,
        the_status_of_a_single_write_is_not_looked_at,
        reconcile_takes_absence_for_a_delete,
        what_must_wait_is_acknowledged,
        no_dead_letter_is_written,
        a_dead_letter_is_written_after_it_is_acknowledged,
        an_edit_is_stamped_by_the_clock_alone,
        unseen_edits_are_written_over,
        a_change_is_carried_without_its_delete,
        the_log_says_who,
        operator_plants.a_decision_reaches_one_side_alone,
        operator_plants.a_conflict_is_resolved_twice_and_nobody_is_told,
        operator_plants.a_decision_counts_before_it_is_written,
        operator_plants.a_letter_is_closed_whatever_became_of_it,
        operator_plants.a_decision_keeps_nothing_of_what_it_replaces,
        policy_plants.a_resolution_reaches_one_side_alone,
        policy_plants.a_policy_keeps_nothing_of_what_it_overrules,
        policy_plants.a_held_change_is_acknowledged_before_its_conflict_is_kept,
        policy_plants.a_delete_that_was_beaten_goes_through_alone,
    ]
}
