"""What a change does to the version that a peer holds, and which conflicts that uncovers: pure.

`merge` chooses the winners; this page says what to call the outcome. Last write wins is the policy there is; a policy
that wants something else applies with `if-unchanged` and sends its resolution as a newer write.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from shared.canonical import conflict_id, same
from shared.merge import later, merge
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
    for name, incoming in change.fields.items():
        held = local.fields.get(name)
        never_held = held is None and change.base.get(name) is None
        if not (never_held or _equal(held, incoming) or _seen(local, name, change)):
            return False
    if not change.deletes or local.deleted is not None:
        return True
    return all(change.deleted_base.get(name) == value.stamp for name, value in local.fields.items() if name not in change.fields)


def _seen(local: Version, name: str, change: Change) -> bool:
    """Whether the author of the change had seen what this side holds of the field, or this side's delete of it."""
    base = change.base.get(name)
    held = local.fields.get(name)
    if local.deleted is not None:
        return base == local.deleted
    return base == (held.stamp if held else None)


def _conflicts(local: Version, change: Change, merged: Version, mode: Mode) -> Iterator[Conflict]:
    for name, incoming in change.fields.items():
        side = _opponent(local, name, change)
        if side is not None:
            yield _conflict(change, name, side, incoming, merged, mode)
    if change.deleted is not None and change.deletes and local.deleted is None:
        yield from _unseen_by_delete(local, change, change.deleted, merged, mode)


def _opponent(local: Version, name: str, change: Change) -> Side | None:
    """Return what the field's new value is in conflict with: another value, this side's delete, or nothing."""
    held, incoming = local.fields.get(name), change.fields[name]
    if _equal(held, incoming):
        return None
    if local.deleted is not None and not change.deletes:
        return None if _seen(local, name, change) or incoming.value is None else local.deleted
    if held is None or same(held.value, incoming.value):
        return None
    return held if held.stamp == incoming.stamp or not _seen(local, name, change) else None


def _unseen_by_delete(local: Version, change: Change, deleted: Stamp, merged: Version, mode: Mode) -> Iterator[Conflict]:
    for name, held in local.fields.items():
        seen = change.deleted_base.get(name) == held.stamp or name in change.fields
        collides = mode is Mode.IF_UNCHANGED or merged.deleted is not None or held.stamp >= deleted
        if not seen and collides and held.value is not None:
            yield _conflict(change, name, held, deleted, merged, mode)


def _conflict(change: Change, name: str, local: Side, incoming: Side, merged: Version, mode: Mode) -> Conflict:
    return Conflict(
        id=conflict_id(change.record, name, side_stamp(local), side_stamp(incoming)),
        record=change.record,
        field=name,
        winner="none" if mode is Mode.IF_UNCHANGED else _winner(local, incoming, merged),
        local=local,
        incoming=incoming,
        base=change.base.get(name) if isinstance(incoming, Value) else change.deleted_base.get(name),
    )


def _winner(local: Side, incoming: Side, merged: Version) -> Literal["local", "incoming"]:
    if isinstance(local, Value) and isinstance(incoming, Value):
        return "incoming" if later(local, incoming) is incoming else "local"
    incoming_deletes, gone = not isinstance(incoming, Value), merged.deleted is not None
    return "incoming" if incoming_deletes is gone else "local"
