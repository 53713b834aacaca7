"""What Firestore's documents hold, from a sample of each collection. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from shared.errors import TerminalRecord
from shared.mapping import SYNC_FIELD, Field, Type
from shared.native import Native, Reference
from shared.proposal.seen import SeenEntity, SeenField

Document = Mapping[str, Native]
_DATE, _DECIMAL = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"-?\d+\.(\d+)")
KINDS: Sequence[tuple[Type, Callable[[Native], bool]]] = (
    (Type.BOOLEAN, lambda value: isinstance(value, bool)),
    (Type.INTEGER, lambda value: isinstance(value, int)),
    (Type.NUMBER, lambda value: isinstance(value, float)),
    (Type.DATE, lambda value: isinstance(value, str) and bool(_DATE.fullmatch(value))),
    (Type.TEXT, lambda value: isinstance(value, str)),
    (Type.DATETIME, lambda value: isinstance(value, datetime)),
    (Type.LIST, lambda value: isinstance(value, list)),
    (Type.MAP, lambda value: isinstance(value, dict)),
    (Type.REFERENCE, lambda value: isinstance(value, Reference)),
)
"""The types that a value alone may be taken for, the first that fits."""


def kind_of(value: Native) -> Type:
    """Return what a value may be taken for."""
    return next((kind for kind, fits in KINDS if fits(value)), Type.JSON)


def names_in(documents: Sequence[Document]) -> list[str]:
    """Return the fields that the documents hold, the commonest first, the sync's own left out."""
    counts = Counter(name for each in documents for name, value in each.items() if value is not None and name != SYNC_FIELD)
    return [name for name, _ in counts.most_common()]


def held(documents: Sequence[Document], name: str) -> list[Native]:
    """Return the values of a field, nulls left out."""
    return [each[name] for each in documents if each.get(name) is not None]


def misfits(field: SeenField, values: Sequence[Native]) -> Counter[str]:
    """Return how many of the values are not of the field's type, by what they look like instead."""
    if field.type is Type.REFERENCE:
        return Counter(str(kind_of(each)) for each in values if not isinstance(each, Reference))
    spec = Field(field.name, field.type, field.name, field.places)
    return Counter(str(kind_of(each)) for each in values if not _fits(spec, each))


def _fits(spec: Field, value: Native) -> bool:
    try:
        spec.to_native(spec.to_wire(value, None), None)
    except TerminalRecord:
        return False
    return True


def guessed(collection: str, documents: Sequence[Document]) -> SeenEntity:
    """Return the entity that a collection would be, where no backend tells of one."""
    fields = [_guessed(name, held(documents, name)) for name in names_in(documents)]
    known = tuple(
        f"{each.name}: a reference, and what it points to is not known" for each in fields if each.type is Type.REFERENCE
    )
    kept = [each for each in fields if each.type is not Type.REFERENCE]
    notes = ("which field is the key at the backend?",)
    return SeenEntity(singular(collection), "id", kept, collection=collection, notes=notes, left_out=known)


def _guessed(name: str, values: Sequence[Native]) -> SeenField:
    [(kind, number), *others] = Counter(map(kind_of, values)).most_common()
    if {kind, *(each for each, _ in others)} == {Type.INTEGER, Type.NUMBER}:
        return SeenField(name, Type.NUMBER)
    notes = (f"{number} of {len(values)} documents hold {kind}, the others something else",) if others else ()
    return SeenField(name, Type.JSON if others else kind, notes=notes)


def singular(name: str) -> str:
    """Return what one record of a collection may be called."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    for ending, one in (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("xes", "x"), ("s", "")):
        if name.endswith(ending) and len(name) > len(ending) + 1:
            return name.removesuffix(ending) + one
    return name
