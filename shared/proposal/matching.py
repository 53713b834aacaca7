"""Which collection holds which entity, and which of its fields is which. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.mapping import Type
from shared.proposal.documents import Document, held, kind_of, misfits, names_in, singular
from shared.proposal.seen import SeenEntity, SeenField, plain

Samples = Mapping[str, Sequence[Document]]
"""Documents by the collection that they lie in."""


def wanted(entities: Sequence[SeenEntity], asked: Mapping[str, str], there: Sequence[str]) -> list[str]:
    """Return the collections that a sample is wanted of: those named for an entity, else those that are called like one."""
    named = [asked.get(each.name) or _collection(each, there) for each in entities]
    return [each for each in dict.fromkeys(named) if each and "{" not in each]


def matched(entity: SeenEntity, samples: Samples, asked: str | None) -> SeenEntity:
    """Return the entity with its place in Firestore and its fields' names there; `asked` is the collection that was named."""
    collection = asked or _collection(entity, list(samples))
    found = collection or f"{entity.name}s"
    documents = samples.get(found, ())
    fields, used = _fields(entity.fields, documents)
    notes = [*entity.notes, _of_place(found, documents)]
    if entity.has_tenants and "{tenant}" not in found:
        found = f"tenants/{{tenant}}/{found}"
        notes.append("where do the records of each tenant lie? name all tenants")
    others = [name for name in names_in(documents) if name not in used and plain(name) != plain(entity.key)]
    left_out = [f"{name}: in Firestore only ({kind_of(held(documents, name)[0])})" for name in others]
    return replace(entity, collection=found, fields=fields, notes=tuple(notes), left_out=(*entity.left_out, *left_out))


def _of_place(collection: str, documents: Sequence[Document]) -> str:
    return f"{len(documents)} documents looked at" if documents else f"no documents in {collection} yet"


def _collection(entity: SeenEntity, there: Sequence[str]) -> str | None:
    return next((each for each in there if plain(entity.name) in {plain(each), plain(singular(each))}), None)


def _fields(fields: Sequence[SeenField], documents: Sequence[Document]) -> tuple[list[SeenField], set[str]]:
    at = {plain(name): name for name in reversed(names_in(documents))}
    placed = [_placed(each, at.get(plain(each.name)), documents) for each in fields]
    return placed, {name for each in fields if (name := at.get(plain(each.name)))}


def _placed(field: SeenField, at: str | None, documents: Sequence[Document]) -> SeenField:
    if at is None:
        notes = (*field.notes, "in no document that was looked at") if documents else field.notes
        return replace(field, notes=notes)
    values = held(documents, at)
    other = misfits(field, values)
    said = [f"{number} of {len(values)} documents hold {kind} there" for kind, number in other.items()]
    return replace(field, firestore=None if at == field.name else at, notes=(*field.notes, *said))


def related(entities: Sequence[SeenEntity]) -> list[SeenEntity]:
    """Return the entities with references to one another only: what points elsewhere travels as the key, a text."""
    names = {each.name for each in entities}
    return [replace(each, fields=[_related(field, names) for field in each.fields]) for each in entities]


def _related(field: SeenField, names: set[str]) -> SeenField:
    if field.type is not Type.REFERENCE or field.to in names:
        return field
    return replace(field, type=Type.TEXT, to=None, notes=(*field.notes, "refers to what is not synced: its key travels as text"))
