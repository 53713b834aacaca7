"""Which writes had not seen each other. Pure. Too many reports are harmless, too few are not."""

from .canonical import same
from .versions import Change, Conflict, Held, Version


def found(here: Held, change: Change, taken: frozenset[str], standing: bool, winner: str | None = None) -> tuple[Conflict, ...]:
    """Return one conflict a field at most, in the order of names.

    `taken`: the fields in which the incoming write survives; `standing`: whether a tombstone stands afterwards;
    `winner`: "none" for a held change, else it is worked out.
    """
    if not here.stamps:
        return ()  # nothing was ever held
    conflicts = {name: _of_delete(here, change, name, standing, winner) for name in unseen(here, change)}
    # one a field: where two writes met besides, theirs is told, which holds both values
    by_field = {name: _of_field(here, change, name, name in taken, standing) for name in change.fields}
    conflicts |= {name: conflict for name, conflict in by_field.items() if conflict is not None}
    listed = [conflicts[name] for name in sorted(conflicts)]
    return tuple(
        Conflict(conflict.field, winner or conflict.winner, conflict.local, conflict.incoming)
        for conflict in listed
        if conflict is not None
    )


def unseen(here: Held, change: Change) -> list[str]:
    """Return the fields of the live record here that the deleter had not seen; a deleter has seen its own fields."""
    if not change.deletes or not here.live:
        return []
    return [name for name, kept in here.stamps.items() if kept != change.deleted_base.get(name) and not _own(change, name, kept)]


def _own(change: Change, name: str, kept: str) -> bool:
    return name in change.fields and change.stamp_of(name) >= kept


def _of_field(here: Held, change: Change, name: str, taken: bool, standing: bool) -> Conflict | None:
    kept = here.stamps.get(name)
    if kept is None:
        return None
    stamp, value = change.stamp_of(name), change.fields[name]
    incoming = Version(stamp, value)
    if here.deleted is not None:
        return _under_tombstone(here, change, incoming, name, taken, standing)
    if here.values is None or same(here.values.get(name), value):
        return None
    if change.base.get(name) == kept and stamp != kept:
        return None
    return Conflict(name, "incoming" if taken else "local", Version(kept, here.values.get(name)), incoming)


def _under_tombstone(here: Held, change: Change, incoming: Version, name: str, taken: bool, standing: bool) -> Conflict | None:
    """Return the conflict with the hidden value where the author had not seen that, else the one with the delete.
    Two deletes are none."""
    kept, base = here.stamps[name], change.base.get(name)
    if base == here.deleted or incoming.value is None:
        return None
    hidden = here.values.get(name) if here.values is not None else None
    if here.values is not None and base != kept and not same(hidden, incoming.value):
        return Conflict(name, "incoming" if taken and not standing else "local", Version(kept, hidden), incoming)
    if change.deletes or incoming.stamp <= kept:
        return None  # its deleter had seen this write
    return Conflict(name, "local" if standing else "incoming", Version(here.deleted or "", has_value=False), incoming)


def _of_delete(here: Held, change: Change, name: str, standing: bool, winner: str | None) -> Conflict | None:
    kept, deleted = here.stamps[name], change.deleted or ""
    value = here.values.get(name) if here.values is not None else None
    overtaken = kept < deleted
    if value is None or (overtaken and not standing and winner is None):
        return None  # nothing to lose, or the record lives on with this very value
    return Conflict(name, "incoming" if overtaken else "local", Version(kept, value), Version(deleted, has_value=False))
