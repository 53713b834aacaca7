"""What lies about one record in the sync's own collections, beside its queue and its tombstone."""

from __future__ import annotations

from collections.abc import Sequence

from shared.erasure import is_erased
from shared.letters import DEAD_LETTERS, letter_of
from shared.model import RecordId, Stamp, parse_stamp
from shared.naming import hashed_id
from shared.native import stored
from shared.peers.documents import Snapshot
from shared.peers.layout import CONFLICTS
from shared.replay import REPLAY
from shared.resolve import RUN_ID as RESOLVE
from shared.store import AUDIT, CHECKPOINTS, Store


def drop(store: Store, record: RecordId, erased: Stamp) -> dict[str, int]:
    """Drop the conflicts, dead letters and checkpoints of an erased record; return how many of each. What is about values
    that were written after the erasure alone stays."""
    rows = store.about(record)
    found = {
        "conflicts": [row for row in rows[CONFLICTS] if _is_old(row, erased)],
        "dead letters": [row for row in rows[DEAD_LETTERS] if _is_refused_before(row, erased)],
        "checkpoints": _checkpoints(store, record),
    }
    store.forget([row.path for some in found.values() for row in some])
    return {what: len(some) for what, some in found.items()}


def _is_old(conflict: Snapshot, erased: Stamp) -> bool:
    return any(is_erased([parse_stamp(each)], erased) for each in conflict.fields["stamps"])


def _is_refused_before(row: Snapshot, erased: Stamp) -> bool:
    change = letter_of(row).change
    return change is None or is_erased(change.stamps, erased)


def _checkpoints(store: Store, record: RecordId) -> list[Snapshot]:
    """Return where a reconcile was cut off right after the record; without it that one begins anew."""
    place = {"entity": record.entity, "after": stored("after", record.key)}
    return [row for row in store.documents.query(CHECKPOINTS, place) if row.fields.get("tenant") == record.tenant]


def audits(store: Store, name: str, conflicts: Sequence[Snapshot], letters: Sequence[Snapshot]) -> list[Snapshot]:
    """Return who did what with a record, as `sync_audit` has it: by the hash that it is named by there, by the ids of its
    conflicts, and by those of its dead letters."""
    query, ids = store.documents.query, [row.path.partition("/")[2] for row in conflicts]
    named = {hashed_id(row.path.partition("/")[2]) for row in letters}
    replays = query(AUDIT, {"what": REPLAY}) if named else []
    return [
        *query(AUDIT, {"record": name}),
        *(row for id in ids for row in query(AUDIT, {"what": RESOLVE, "id": id})),
        *(row for row in replays if named & set(row.fields.get("letters", ()))),
    ]
