"""Stores the conflicts of a request, and says what became of every change."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .canonical import conflict_id
from .folding import Outcome
from .models import RecordIndex, SyncConflict
from .questions import storable_text
from .rows import chunks, large_batches
from .states import State
from .versions import Change, Conflict, Decision, Refused

Record = tuple[str, str, str]
ROOM_FOR_CONFLICTS = 6 * 1024 * 1024  # an answer is at most 10 MiB, and the bare results need some of it
_NO_CONFLICTS = frozenset({"malformed", "forbidden"})


def report(
    ids: Sequence[str],
    changes: Mapping[int, Change],
    outcomes: Mapping[int, Outcome],
    states: Mapping[Record, State],
    run_id: str,
    using: str,
) -> list[dict[str, Any]]:
    """Store what conflicts there were and return the Results of the contract, in the order of `ids`."""
    _store_conflicts(changes, outcomes, run_id, using)
    _forget_blank(states, using)
    results = []
    for position, change_id in enumerate(ids):
        outcome, change = outcomes[position], changes.get(position)
        result = refusal(change_id, outcome) if isinstance(outcome, Refused) else _decided(change_id, outcome)
        if change is not None and change.record in states:
            result |= _held(change, states[change.record])
        results.append(result)
    _repeat_conflicts(results, changes, outcomes, using)
    return results


def refusal(change_id: str, refused: Refused) -> dict[str, Any]:
    """Return the Result of a change that is not taken."""
    error: dict[str, Any] = {"code": refused.code, "message": refused.message}
    if refused.fields:
        error["fields"] = refused.fields
    return {"id": change_id, "outcome": refused.outcome, "error": error}


def _decided(change_id: str, decision: Decision) -> dict[str, Any]:
    return {"id": change_id, "outcome": decision.outcome, "applied": list(decision.applied)}


def _held(change: Change, state: State) -> dict[str, Any]:
    stamps = {name: state.held.stamps[name] for name in change.fields if name in state.held.stamps}
    return {"stamps": stamps, "deleted": state.held.deleted}


def _store_conflicts(changes: Mapping[int, Change], outcomes: Mapping[int, Outcome], run_id: str, using: str) -> None:
    rows = {}
    for position, outcome in outcomes.items():
        if isinstance(outcome, Decision):
            for conflict in outcome.conflicts:
                row = _conflict_row(changes[position], conflict, run_id)
                rows[row.conflict_id] = row
    if not rows:
        return
    with large_batches(using):
        SyncConflict.objects.using(using).bulk_create(
            rows.values(),
            update_conflicts=True,
            unique_fields=["conflict_id"],
            update_fields=["winner", "local", "incoming", "run_id", "acknowledged_at"],
        )


def _conflict_row(change: Change, conflict: Conflict, run_id: str) -> SyncConflict:
    entity, tenant, key = change.record
    stamps = (conflict.local.stamp, conflict.incoming.stamp)
    row = SyncConflict(
        conflict_id=conflict_id(entity, tenant, key, conflict.field, stamps), entity=entity, tenant=tenant, key=key
    )
    row.field, row.winner, row.run_id = conflict.field, conflict.winner, run_id[:200]
    row.local, row.incoming = conflict.local.wire(), conflict.incoming.wire()
    return row


def _repeat_conflicts(
    results: list[dict[str, Any]], changes: Mapping[int, Change], outcomes: Mapping[int, Outcome], using: str
) -> None:
    """Put into each result what is stored of its record and not yet acknowledged, as much as fits."""
    told = {}
    for position, change in changes.items():
        outcome = outcomes[position]
        if not (isinstance(outcome, Refused) and outcome.code in _NO_CONFLICTS) and storable_text(change.key):
            told[position] = change
    stored = _stored({change.record for change in told.values()}, using)
    room = ROOM_FOR_CONFLICTS
    for position, change in told.items():
        for conflict, size in stored.get(change.record, ()):
            if size <= room:
                results[position].setdefault("conflicts", []).append(conflict)
                room -= size


def _stored(records: set[Record], using: str) -> dict[Record, list[tuple[dict[str, Any], int]]]:
    found: dict[Record, list[tuple[dict[str, Any], int]]] = {}
    for entity in {record[0] for record in records}:
        for keys in chunks({record[2] for record in records if record[0] == entity}):
            open_ = SyncConflict.objects.using(using).filter(entity=entity, key__in=keys, acknowledged_at=None)
            for row in open_.order_by("created_at", "conflict_id"):
                wire = row.wire()
                found.setdefault((row.entity, row.tenant, row.key), []).append((wire, len(json.dumps(wire))))
    return found


def _forget_blank(states: Mapping[Record, State], using: str) -> None:
    """Drop the index rows that were made only to be locked."""
    blank = [state.index.pk for state in states.values() if not state.held.stamps and not state.held.deleted]
    for part in chunks(blank):
        RecordIndex.objects.using(using).filter(pk__in=part, stamps={}, deleted="").delete()
