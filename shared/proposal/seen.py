"""What was seen of both sides, before anybody decided anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.mapping import Type


@dataclass(frozen=True, slots=True)
class SeenField:
    """A field as it was found. `notes` say what about it is not sure. `firestore` is its name there, if that is another."""

    name: str
    type: Type
    places: int | None = None
    to: str | None = None
    empty: Any = None
    firestore: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenEntity:
    """A kind of record as it was found. `left_out` are fields that are not synced, each with why."""

    name: str
    key: str
    fields: Sequence[SeenField]
    has_tenants: bool = False
    collection: str | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def plain(name: str) -> str:
    """Return a name without what tells `birth_date` from `birthDate`."""
    return name.replace("_", "").replace("-", "").lower()
