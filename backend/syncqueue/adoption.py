"""What an observed record means against its index: nothing, or an edit to adopt. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .canonical import fingerprint
from .stamps import local_stamp


@dataclass(frozen=True)
class Known:
    """The index of one record, as read. All empty: nothing is known of it."""

    stamps: Mapping[str, str] = field(default_factory=dict)
    prints: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] | None = None
    deleted: str = ""

    @property
    def blank(self) -> bool:
        return not self.stamps and not self.deleted


@dataclass(frozen=True)
class Adoption:
    """An edit that got its stamp: the index afterwards, and what the queue entry says."""

    known: Known
    action: str
    stamp: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, str | None] = field(default_factory=dict)
    deleted_base: Mapping[str, str] = field(default_factory=dict)


def unadopted(known: Known, values: Mapping[str, Any]) -> list[str]:
    """Return the fields of a live row that the index does not account for; null and never held are the same."""
    return [
        name
        for name, value in values.items()
        if known.prints.get(name) != fingerprint(value) and not (value is None and name not in known.prints)
    ]


def adopt_row(known: Known, values: Mapping[str, Any], created: bool, now: datetime, origin: str) -> Adoption | None:
    """Return the edit that leads from the index to a row that is there, or None where it is in line.

    `created`: the row is new by a local write, so that every field is stamped and nothing is inherited.
    """
    whole = created or known.blank or bool(known.deleted)
    names: Sequence[str] = list(values) if whole else unadopted(known, values)
    if not names:
        return None
    # Later than all the record's stamps: one of them may have beaten a tombstone that is forgotten, and whose stamp is taken.
    stamp = local_stamp(now, origin, [known.deleted] * bool(known.deleted) + list(known.stamps.values()))
    after = Known(
        dict(known.stamps) | dict.fromkeys(names, stamp) if not whole else dict.fromkeys(names, stamp),
        dict(known.prints) | {name: fingerprint(values[name]) for name in names},
    )
    base = {name: known.deleted or known.stamps.get(name) for name in names}
    return Adoption(after, "create" if whole else "update", stamp, {name: values[name] for name in names}, base)


def adopt_delete(known: Known, last: Mapping[str, Any] | None, now: datetime, origin: str) -> Adoption:
    """Return the delete of a record by a local write; `last` are its last values, kept hidden with the tombstone."""
    stamp = local_stamp(now, origin, known.stamps.values())
    after = Known(known.stamps, known.prints, dict(last) if last is not None else None, stamp)
    return Adoption(after, "delete", stamp, deleted_base=known.stamps)
