"""Planted bugs of the designs that look simpler: each a small wrong implementation of one rule of counterexamples.

tests/test_counterexamples.py shows each on the schedule that needs its rule; the simulation has to find it by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from shared import engine, reconcile, tracker
from shared.model import Action, Change, Record, Result, Version, stamp_after
from shared.peers.documents import Contended
from shared.peers.firestore import FirestorePeer
from shared.peers.layout import Layout
from shared.peers.memory import MemoryPeer
from shared.policy import decide

Plant = Callable[[pytest.MonkeyPatch], None]


def each_path_stamps_for_itself(patch: pytest.MonkeyPatch) -> None:
    """Applying stamps an unseen edit with the document's time, and keeps that to itself; the event stamps it with its own."""

    def at_hand(peer: FirestorePeer, change: Change, document: Any, results: dict[str, Result]) -> None:
        layout = peer._layout(change.record)
        version = layout.adoption(change.record, document)[1]
        decision = decide(version, change)
        if decision.version != version:
            peer.documents.write(
                layout.writes(change.record, document, None, layout.held(change.record, document), decision.version, peer.now())
            )
        results[change.id] = Result(change.id, decision.outcome, decision.applied, conflicts=decision.conflicts)

    def from_the_event(peer: FirestorePeer, record: Any, document: Any, before: Any = None) -> bool:
        current = peer.documents.get([document.path])[0][document.path]
        stamped_then = replace(current, update_time=document.update_time)
        if peer._layout(record).held(record, current).unseen():
            writes = peer._layout(record).adoption(record, stamped_then)[2]
            peer.documents.commit([replace(each, seen=None) for each in writes])
        return True

    patch.setattr(FirestorePeer, "_adopt_or_say", at_hand)
    patch.setattr(FirestorePeer, "adopt", from_the_event)


def acknowledging_writes_the_index(patch: pytest.MonkeyPatch) -> None:
    """Adopting only queues; the document learns of it when the entry is acknowledged, if it is still the same then."""
    acknowledge = FirestorePeer.acknowledge

    def late_index(peer: FirestorePeer, run_id: str, done: Any) -> None:
        acknowledge(peer, run_id, done)
        for id in done.synced:
            if not id.startswith("thing:") or id.endswith(":deleted"):
                continue
            record = peer.layouts["thing"].entity.record(f"things/{id.split(':')[1]}")
            document = peer.documents.get([peer.layouts["thing"].path(record)])[0].popitem()[1]
            held = peer.layouts["thing"].held(record, document)
            change, _, writes = peer.layouts["thing"].adoption(record, document) if held.unseen() else (None, None, [])
            if change is not None and change.id == id:
                peer.documents.commit(writes[:1])

    patch.setattr(FirestorePeer, "adopt", only_queues)
    patch.setattr(FirestorePeer, "acknowledge", late_index)


def only_queues(peer: FirestorePeer, record: Any, document: Any, before: Any = None) -> bool:
    """Queue what the document says, and leave its index as it is."""
    peer.documents.commit([peer._layout(record).adoption(record, document)[2][1]])
    return True


def the_queue_entry_and_the_index_are_two_commits(patch: pytest.MonkeyPatch) -> None:
    def adopt(peer: FirestorePeer, record: Any, document: Any, before: Any = None) -> bool:
        index, entry, *_ = peer._layout(record).adoption(record, document)[2]
        peer.documents.commit([entry])
        with suppress(Contended):
            peer.documents.commit([index])
        return True

    patch.setattr(FirestorePeer, "adopt", adopt)


def stamps_from_the_future_are_taken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FirestorePeer, "_not_from_the_future", lambda peer, placed, read_at, results: placed)


def stamps_from_the_future_are_taken_and_acknowledging_writes_the_index(patch: pytest.MonkeyPatch) -> None:
    """An index that is written late was sound as long as nothing came from the future."""
    stamps_from_the_future_are_taken(patch)
    acknowledging_writes_the_index(patch)


def the_event_alone_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FirestorePeer, "adopt", only_queues)


def only_the_last_action_is_sent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "collapse", lambda edits: replace(max(edits, key=lambda edit: edit.latest), edits=tuple(edits)))


def a_delete_carries_nothing(patch: pytest.MonkeyPatch) -> None:
    delete = tracker._delete_change
    patch.setattr(tracker, "_delete_change", lambda *given: replace(delete(*given), fields={}, base={}))


def a_delete_event_trusts_its_own_document(patch: pytest.MonkeyPatch) -> None:
    def writes(peer: FirestorePeer, poke: Any, old: Any, transaction: bytes) -> list[Any]:
        layout = peer._layout(poke.record)
        version = tracker._deleted_version(layout, poke.record, old)
        change = tracker._delete_change(layout, poke.record, old, version, poke.time)
        grave = layout.writes(
            poke.record, old, None, layout.held(poke.record, old), Version(version.fields, change.deleted), peer.now()
        )[0]
        return [grave, layout.entry(change, peer.now())]

    patch.setattr(tracker, "_delete_writes", writes)


def any_larger_tombstone_skips_a_delete(patch: pytest.MonkeyPatch) -> None:
    def skips(old: Version, held: Version) -> bool:
        return held.deleted is not None and all(value.stamp < held.deleted for value in old.fields.values())

    patch.setattr(tracker, "_is_held", skips)


def a_later_update_time_skips_a_delete(patch: pytest.MonkeyPatch) -> None:
    writes = tracker._delete_writes

    def skipping(peer: FirestorePeer, poke: Any, old: Any, transaction: bytes) -> list[Any]:
        layout = peer._layout(poke.record)
        paths = [layout.path(poke.record), layout.tombstone_path(poke.record)]
        times = [each.update_time for each in peer.documents.get(paths)[0].values() if each.exists]
        return [] if any(time > old.update_time for time in times) else writes(peer, poke, old, transaction)

    patch.setattr(tracker, "_delete_writes", skipping)


def only_a_standing_tombstone_tells_the_syncs_own_deletes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Layout, "removed_by_sync", lambda layout, old, tombstone: False)


class _Untied:
    """Documents whose transactions hold to nothing that was read."""

    def __init__(self, documents: Any) -> None:
        self._documents = documents

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    def begin(self) -> bytes:
        return b""


def a_creation_trusts_what_was_read_before(patch: pytest.MonkeyPatch) -> None:
    """Applying begins no transaction: what it reads of the tombstone is not held to until the commit."""
    apply = FirestorePeer._in_one_transaction

    def untied(peer: FirestorePeer, *given: Any) -> Any:
        trusting = copy.copy(peer)
        trusting.documents = _Untied(peer.documents)  # type: ignore[assignment]
        return apply(trusting, *given)

    patch.setattr(FirestorePeer, "_create", lambda peer, *given: {})
    patch.setattr(FirestorePeer, "_in_one_transaction", untied)


def a_creation_asks_for_no_missing_tombstone(patch: pytest.MonkeyPatch) -> None:
    created = Layout.created
    patch.setattr(Layout, "created", lambda *given: created(*given)[:1])


def a_delete_does_not_adopt_raw_drift(patch: pytest.MonkeyPatch) -> None:
    def delete(peer: MemoryPeer, record: Any) -> None:
        version = peer._held(record).version()
        stamps = {name: value.stamp for name, value in version.fields.items()}
        stamp = stamp_after(peer.now(), peer.name, list(stamps.values()))
        peer._hold(record, Version(version.fields, stamp))
        peer._enqueue(Change(peer._next_id(), record, Action.DELETE, deleted=stamp, deleted_base=stamps))

    patch.setattr(MemoryPeer, "delete", delete)


def reconcile_leaves_the_queues_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reconcile, "_drain", lambda run: False)


def what_was_adopted_before_is_shown_as_it_is_now(patch: pytest.MonkeyPatch) -> None:
    def read(peer: FirestorePeer, ids: Any, found: dict[Any, Record], adopting: bool) -> list[Any]:
        for id in ids:
            document = peer.documents.get([peer._layout(id).path(id)])[0].popitem()[1]
            found[id] = Record(id, peer._layout(id).held(id, document).version())
        return []

    patch.setattr(FirestorePeer, "_read_once", read)
