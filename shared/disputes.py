"""Open conflicts while whole peers are compared: what lies in one is left alone, and what is overtaken is closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.comparing import alike
from shared.conflicts import Kept
from shared.model import RecordId, Version, side_stamp
from shared.resolution import state_of
from shared.run import Run

Disputes = Mapping[RecordId, frozenset[str]]
"""By record, the fields that lie in an open conflict."""
AT_ONCE = 200


def open_disputes(run: Run) -> Disputes:
    """Return what waits for somebody's decision, once the conflicts that were overtaken are closed.

    One is overtaken when a side no longer holds what it held in it, by an edit or a delete that has been carried since.
    """
    found: dict[RecordId, list[Kept]] = {}
    for each in run.store.open_conflicts(run.pair.name):
        found.setdefault(each.conflict.record, []).append(each)
    disputes: dict[RecordId, frozenset[str]] = {}
    records = list(found)
    for start in range(0, len(records), AT_ONCE):
        some = records[start : start + AT_ONCE]
        left, right = _versions(run, some, "left"), _versions(run, some, "right")
        for record in some:
            standing = [each for each in found[record] if _stands(each, left.get(record), right.get(record))]
            if standing:
                disputes[record] = frozenset(each.conflict.field for each in standing)
            over = [each.conflict.id for each in found[record] if each not in standing]
            run.store.supersede_conflicts(over, run.now())
    return disputes


def _versions(run: Run, records: Sequence[RecordId], side: str) -> dict[RecordId, Version]:
    peer = run.pair.left if side == "left" else run.pair.right
    return {each.id: each.version for each in peer.read(records)}


def _stands(kept: Kept, left: Version | None, right: Version | None) -> bool:
    """Whether both sides hold what they held in the conflict; one whose decision was cut off stands until that is repeated."""
    conflict = kept.conflict
    states = {state_of(each or Version(), conflict.field) for each in (left, right)}
    return states == {side_stamp(conflict.local), side_stamp(conflict.incoming)} or bool(kept.notes.get("resolving"))


def disputed(one: Version, other: Version, fields: frozenset[str]) -> bool:
    """Return whether two versions differ in nothing but fields that lie in an open conflict; or in whether the record lives,
    which is then what the conflict is about."""
    return bool(fields) and (alike(one, other, fields) or (one.deleted is None) is not (other.deleted is None))
