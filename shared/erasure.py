"""What an erasure means: it is a stamp, and of a record no value that was written at or before it is kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.model import Stamp, Value, Version


def written_after(fields: Mapping[str, Value], erased: Stamp | None) -> dict[str, Value]:
    """Return the fields that were written after an erasure; all of them if there was none."""
    return {name: value for name, value in fields.items() if erased is None or value.stamp > erased}


def without_erased(version: Version, erased: Stamp | None) -> Version:
    """Return a version as it may be kept: a stale change brings nothing back under a tombstone."""
    return version if version.deleted is None else replace(version, fields=written_after(version.fields, erased))


def is_erased(stamps: Sequence[Stamp], erased: Stamp | None) -> bool:
    """Return whether writes with these stamps are all erased."""
    return erased is not None and all(stamp <= erased for stamp in stamps)
