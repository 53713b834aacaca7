"""Joins two values of one field, where its type has a way: sets, lists, and texts line by line. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from merge3 import Merge3

from shared.canonical import canonical
from shared.mapping import Type, as_set
from shared.model import Json


def join(kind: Type, left: Json, right: Json, base: tuple[Json] | None) -> tuple[Json] | None:
    """Return what both values come to together, in a tuple; None where that cannot be told.

    `base` is the value that both were made on top of, if it is known: only then does it tell what one of them left out.
    """
    joiner = _JOINERS.get(kind)
    return joiner(left, right, base) if joiner else None


def _sets(left: Json, right: Json, base: tuple[Json] | None) -> tuple[Json] | None:
    joined = _lists(left, right, base)
    return None if joined is None else (as_set(joined[0]) or None,)


def _lists(left: Json, right: Json, base: tuple[Json] | None) -> tuple[Json] | None:
    """Left's items in their order, then right's that are not there; without what either took out."""
    old = (base[0] or []) if base else []
    sides = [[] if each is None else each for each in (left, right, old)]
    if not all(isinstance(each, list) for each in sides):
        return None
    mine, theirs, before = (_by_text(each) for each in sides)
    kept = [item for text, item in mine if text not in _texts(before) or text in _texts(theirs)]
    added = [item for text, item in theirs if text not in _texts(mine) and text not in _texts(before)]
    return ([*kept, *added],)


def _by_text(items: Sequence[Json]) -> list[tuple[str, Json]]:
    return [(canonical(item), item) for item in items]


def _texts(items: Sequence[tuple[str, Json]]) -> set[str]:
    return {text for text, _ in items}


def _lines(left: Json, right: Json, base: tuple[Json] | None) -> tuple[Json] | None:
    """A three-way merge; None where both changed the same lines, or what they were is not known."""
    if base is None or not all(isinstance(each, str) for each in (left, right, base[0])):
        return None
    before, mine, theirs = (text.splitlines(keepends=True) for text in (base[0], left, right))
    groups = list(Merge3(before, mine, theirs).merge_groups())
    if any(group[0] == "conflict" for group in groups):
        return None
    return ("".join(line for group in groups for line in group[1]),)


_JOINERS: Mapping[Type, Callable[[Json, Json, tuple[Json] | None], tuple[Json] | None]] = {
    Type.SET: _sets,
    Type.LIST: _lists,
    Type.TEXT: _lines,
}
