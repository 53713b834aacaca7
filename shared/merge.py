"""The one rule, and nothing else: pure, commutative, associative, idempotent. No other line chooses a winner.

Field by field the larger stamp stays, and of two deletes the larger. So order, repetition and interruption cannot matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from shared.canonical import canonical
from shared.model import Action, Change, Stamp, Value, Version


def later(one: Value, other: Value) -> Value:
    """Return the value that survives, the same in either order. Coarse clocks make equal stamps: then the larger JSON does."""
    if one.stamp != other.stamp:
        return max(one, other, key=lambda value: value.stamp)
    return max(one, other, key=lambda value: canonical(value.value).encode())


def later_delete(one: Stamp | None, other: Stamp | None) -> Stamp | None:
    """Return the larger of two deletes; none is smaller than any."""
    return max(one or "", other or "") or None  # type: ignore[return-value]  # both are stamps or empty


def merge(one: Version, other: Version) -> Version:
    """Return what is left of two versions of a record. A delete that some field outlives is forgotten: the record is back."""
    fields = _join(one.fields, other.fields)
    deleted = later_delete(one.deleted, other.deleted)
    beaten = deleted is not None and any(value.stamp >= deleted for value in fields.values())
    return Version(fields, None if beaten else deleted)


def _join(one: Mapping[str, Value], other: Mapping[str, Value]) -> dict[str, Value]:
    joined = dict(one)
    for name, value in other.items():
        joined[name] = later(joined[name], value) if name in joined else value
    return joined


def collapse(edits: Sequence[Change]) -> Change:
    """Return one change that does what the edits of one record do together; its id is that of the latest.

    Each field keeps its oldest base, which is what the whole chain of edits was made on top of.
    """
    if len(edits) == 1:
        return replace(edits[0], edits=tuple(edits))
    last = max(edits, key=lambda edit: edit.latest)
    delete = max((edit for edit in edits if edit.deleted), key=lambda edit: edit.deleted or "", default=None)
    fields: Mapping[str, Value] = {}
    for edit in edits:
        fields = _join(fields, edit.fields)
    whole = any(edit.action is Action.CREATE for edit in edits)
    change = Change(
        id=last.id,
        record=last.record,
        action=Action.CREATE if whole else Action.UPDATE,
        fields=fields,
        base={name: _oldest_base(name, edits) for name in fields},
        deleted=delete.deleted if delete else None,
        deleted_base=delete.deleted_base if delete else {},
        edits=tuple(edits),
    )
    return replace(change, action=Action.DELETE) if change.deletes else change


def _oldest_base(name: str, edits: Iterable[Change]) -> Stamp | None:
    bases: list[Stamp | None] = []
    deletes = {edit.deleted: edit.deleted_base for edit in edits if edit.deleted}
    for edit in edits:
        if name in edit.fields:
            base = edit.base.get(name)
            bases.append(deletes[base].get(name) if base in deletes else base)
    return min(bases, key=lambda base: base or "")
