"""What a change does to the version that a peer holds, and which conflicts that uncovers: pure.

`merge` chooses the winners; this page says what to call the outcome. A policy that wants something else applies with
`if-unchanged` and sends its resolution as a newer write.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from shared.canonical import conflict_id, same
from shared.merge import merge
from shared.model import Change, Conflict, Outcome, Side, Stamp, Value, Version, side_stamp


class Mode(StrEnum):
    """`lww` applies by the one rule; `if-unchanged` only where nothing was written that the change's author had not seen."""

    LWW = "lww"
    IF_UNCHANGED = "if-unchanged"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to hold from now on, and what to answer."""

    version: Version
    outcome: Outcome
    applied: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


def decide(local: Version, change: Change, mode: Mode = Mode.LWW) -> Decision:
    """Return what becomes of `change` at a peer that holds `local`."""
    if mode is Mode.IF_UNCHANGED and not _unchanged_since_base(local, change):
        return Decision(local, Outcome.HELD, (), tuple(_conflicts(local, change, local, mode)))
    merged = merge(local, Version(change.fields, change.deleted))
    conflicts = () if mode is Mode.IF_UNCHANGED else tuple(_conflicts(local, change, merged, mode))
    taken = tuple(name for name, value in change.fields.items() if _took(local.fields.get(name), value, merged.fields[name]))
    if not taken and merged.deleted == local.deleted:
        return Decision(local, _idle_outcome(local, change), (), conflicts)
    if merged.deleted is None:
        return Decision(merged, Outcome.APPLIED, taken, conflicts)
    outcome = Outcome.STALE if merged.deleted == local.deleted else Outcome.APPLIED
    return Decision(merged, outcome, (), conflicts)


def _took(local: Value | None, incoming: Value, merged: Value) -> bool:
    if local is None:
        return True
    return merged.stamp == incoming.stamp and (local.stamp != incoming.stamp or not same(local.value, merged.value))


def _equal(one: Value | None, other: Value) -> bool:
    return one is not None and one.stamp == other.stamp and same(one.value, other.value)


def _idle_outcome(local: Version, change: Change) -> Outcome:
    held = all(_equal(local.fields.get(name), value) for name, value in change.fields.items())
    gone = not change.deletes or change.deleted == local.deleted
    return Outcome.UNCHANGED if held and gone else Outcome.STALE


def _unchanged_since_base(local: Version, change: Change) -> bool:
    """Whether the change's author had seen all that it replaces. A delete replaces every field of a live record, and
    nothing under a tombstone; one that is beaten by the fields it travels with replaces nothing."""
    if change.deletes and local.deleted is not None:
        return True
    return not _unseen_by_delete(local, change) and all(_follows(local, change, name) for name in change.fields)


def _follows(local: Version, change: Change, name: str) -> bool:
    held, incoming, base = local.fields.get(name), change.fields[name], change.base.get(name)
    if held is None:
        return base is None or base == local.deleted
    if held.stamp == incoming.stamp:
        return same(held.value, incoming.value)
    return base == (local.deleted or held.stamp)


def _conflicts(local: Version, change: Change, merged: Version, mode: Mode) -> Iterator[Conflict]:
    """Yield at most one conflict a field: where two writes met and a delete besides, the one that holds both values."""
    opponents = {name: _opponent(local, name, change) for name in change.fields}
    for name, side in opponents.items():
        if side is not None:
            yield _conflict(change, name, side, change.fields[name], _winner(local, name, side, change, merged), mode)
    for name, held in _unseen_by_delete(local, change).items():
        loses = mode is Mode.IF_UNCHANGED or merged.deleted is not None or held.stamp >= (change.deleted or "")
        if opponents.get(name) is None and loses and held.value is not None and change.deleted:
            yield _conflict(change, name, held, change.deleted, "local" if merged.deleted is None else "incoming", mode)


def _opponent(local: Version, name: str, change: Change) -> Side | None:
    """Return what the field's new value is in conflict with: another value, this side's delete, or nothing."""
    held, incoming, base = local.fields.get(name), change.fields[name], change.base.get(name)
    if held is None or _equal(held, incoming):
        return None
    if local.deleted is not None:
        return _hidden_opponent(local.deleted, held, incoming, base, change.deletes)
    if same(held.value, incoming.value) or (base == held.stamp and incoming.stamp != held.stamp):
        return None
    return held


def _hidden_opponent(deleted: Stamp, held: Value, incoming: Value, base: Stamp | None, deletes: bool) -> Side | None:
    """Return the hidden value where the author had not seen it, else the delete: so both directions name one conflict.
    Two deletes are none."""
    if base == deleted or incoming.value is None:
        return None
    if base != held.stamp and not same(held.value, incoming.value):
        return held
    return None if deletes or incoming.stamp <= held.stamp else deleted  # an older one was seen by the deleter


def _unseen_by_delete(local: Version, change: Change) -> dict[str, Value]:
    """Return the fields of the live record here that the deleter had not seen; a deleter has seen the change's own."""
    if not change.deletes or local.deleted is not None:
        return {}
    own = {name for name, value in change.fields.items() if name in local.fields and value.stamp >= local.fields[name].stamp}
    return {name: held for name, held in local.fields.items() if name not in own and change.deleted_base.get(name) != held.stamp}


def _winner(local: Version, name: str, side: Side, change: Change, merged: Version) -> Literal["local", "incoming"]:
    if local.deleted is not None and merged.deleted is not None:
        return "local"
    if not isinstance(side, Value):
        return "incoming"
    return "incoming" if _took(side, change.fields[name], merged.fields[name]) else "local"


def _conflict(
    change: Change, name: str, local: Side, incoming: Side, winner: Literal["local", "incoming"], mode: Mode
) -> Conflict:
    return Conflict(
        id=conflict_id(change.record, name, side_stamp(local), side_stamp(incoming)),
        record=change.record,
        field=name,
        winner="none" if mode is Mode.IF_UNCHANGED else winner,
        local=local,
        incoming=incoming,
        base=change.base.get(name) if isinstance(incoming, Value) else change.deleted_base.get(name),
    )
