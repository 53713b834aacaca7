"""The one rule: per field the larger stamp survives, and the larger `deleted`. Pure; the only place that chooses.

Raises Refused (`incomplete`) where a record would live with values that nobody here has.
"""

from collections.abc import Iterable

from .canonical import canonical, same
from .conflicts import found, unseen
from .versions import Change, Decision, Held, Refused


def decide(here: Held, change: Change, mode: str, synced: Iterable[str]) -> Decision:
    """Return what becomes of `change` on top of what is held `here`; `synced` names every field of the entity."""
    if mode == "if-unchanged" and not fast_forward(here, change):
        return Decision("held", here, (), found(here, change, frozenset(), standing=False, winner="none"))
    taken = frozenset([name for name in change.fields if takes(here, change, name)] if here.stamps else change.fields)
    stamps = {**here.stamps, **({name: change.stamp_of(name) for name in taken} if here.stamps else change.field_stamps)}
    deleted = max(here.deleted or "", change.deleted or "")
    standing = deleted > max(stamps.values(), default="")
    conflicts = () if mode == "if-unchanged" else found(here, change, taken, standing=standing)
    if standing:
        return Decision(_hidden_outcome(here, change, taken), _tombstone(here, change, taken, deleted, synced), (), conflicts)
    held = _live(here, change, taken, stamps, synced)
    return Decision(_live_outcome(here, change, taken), held, tuple(sorted(taken)), conflicts)


def takes(here: Held, change: Change, name: str) -> bool:
    """Return whether the incoming field survives against the one held; equal stamps fall to the larger JSON."""
    kept, stamp = here.stamps.get(name), change.stamp_of(name)
    if kept is None or stamp != kept:
        return kept is None or stamp > kept
    if here.values is None:
        return True  # the value is gone here: the same write brings it back
    return canonical(change.fields[name]) > canonical(here.values.get(name))


def fast_forward(here: Held, change: Change) -> bool:
    """Return whether the author had seen everything that the change replaces (`if-unchanged`).

    A delete replaces every field of a live record, and nothing under a tombstone; a beaten one replaces nothing.
    """
    if change.deletes and here.deleted is not None:
        return True
    return not unseen(here, change) and all(_follows(here, change, name) for name in change.fields)


def _follows(here: Held, change: Change, name: str) -> bool:
    kept, base = here.stamps.get(name), change.base.get(name)
    if kept is None:
        return base is None or base == here.deleted
    if kept == change.stamp_of(name):
        return here.values is not None and same(here.values.get(name), change.fields[name])
    return base == (here.deleted or kept)


def _tombstone(here: Held, change: Change, taken: frozenset[str], deleted: str, synced: Iterable[str]) -> Held:
    """Return the tombstone with the last values hidden; one whose values are gone is never refilled."""
    known = here.values is not None and bool(here.stamps)
    if known and here.values is not None:
        values = dict(here.values) | {name: change.fields[name] for name in taken}
        return Held(dict(here.stamps) | {name: change.stamp_of(name) for name in taken}, values, deleted)
    if not here.stamps and not here.deleted:  # never heard of: only a whole record leaves its values behind
        stamps = {name: change.stamp_of(name) for name in change.fields}
        return Held(stamps, dict(change.fields) if set(synced) <= set(change.fields) else None, deleted)
    raised = {name: change.stamp_of(name) for name in taken if name in here.stamps}
    return Held(dict(here.stamps) | raised, None, deleted)


def _live(here: Held, change: Change, taken: frozenset[str], stamps: dict[str, str], synced: Iterable[str]) -> Held:
    if here.values is None:
        lacking = sorted(name for name in synced if not _brings(here, change, name))
        if lacking:
            raise Refused("incomplete", "the values are gone here; send the whole record", dict.fromkeys(lacking, "lacking"))
        return Held(stamps, dict(change.fields))
    return Held(stamps, dict(here.values) | {name: change.fields[name] for name in taken})


def _brings(here: Held, change: Change, name: str) -> bool:
    return name in change.fields and change.stamp_of(name) >= here.stamps.get(name, "")


def _hidden_outcome(here: Held, change: Change, taken: frozenset[str]) -> str:
    if change.deleted and change.deleted > (here.deleted or ""):
        return "applied"
    return "stale" if taken else _idle_outcome(here, change)


def _live_outcome(here: Held, change: Change, taken: frozenset[str]) -> str:
    return "applied" if taken else _idle_outcome(here, change)


def _idle_outcome(here: Held, change: Change) -> str:
    """Return `unchanged` for a repeat: all that the change would leave is here already."""
    gone = not change.deletes or change.deleted == here.deleted
    return "unchanged" if gone and all(_is_here(here, change, name) for name in change.fields) else "stale"


def _is_here(here: Held, change: Change, name: str) -> bool:
    kept = here.stamps.get(name)
    return kept == change.stamp_of(name) and here.values is not None and same(here.values.get(name), change.fields[name])
