"""One local edit: what it touches is locked and freed of drift before, and adopted after, in one transaction.

Every write path ends up here (writes.py). An edit is found by comparing rows with their index, never by trusting what
the writer said: so F(), database defaults, triggers, savepoints and nested writes need no thought of their own.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from .history import note_gone
from .index import Seen, adopt, adopt_drift, lock_index
from .registry import Entity, registry
from .rows import Place, Row, plain_rows, rows_by_pk, rows_by_place


@dataclass
class Touched:
    """What one edit touches of an entity: rows by primary key as they were (None: new), places to look at after."""

    before: dict[Any, Row | None] = field(default_factory=dict)
    places: set[Place] = field(default_factory=set)


class Edit:
    """The edit that is going on on one connection."""

    def __init__(self, using: str, leave_out: frozenset[tuple[str, Place]] = frozenset()) -> None:
        self.using, self.leave_out = using, leave_out
        self.touched: dict[Entity, Touched] = {}
        self.adopted = 0

    def before(self, entity: Entity, pks: Collection[Any] = (), places: Collection[Place] = ()) -> None:
        """Lock these records, adopt their drift, and remember how they are."""
        touched = self.touched.setdefault(entity, Touched())
        fresh_pks = [pk for pk in set(pks) if pk is not None and pk not in touched.before]
        fresh_places = set(places) - touched.places
        if not fresh_pks and not fresh_places:
            return
        found = {row.place for row in rows_by_pk(entity, self.using, fresh_pks)} | fresh_places
        lock_index(entity.name, self.using, found)
        rows = {row.pk: row for row in rows_by_pk(entity, self.using, fresh_pks, lock=True)}
        rows |= {row.pk: row for row in rows_by_place(entity, self.using, fresh_places, lock=True).values()}
        # what this edit made or looked at already is no drift, though it be asked for by another name now
        rows = {pk: row for pk, row in rows.items() if pk not in touched.before and row.place not in touched.places}
        adopt_drift(entity, self.using, [row for row in rows.values() if not self._left_out(entity, row.place)])
        touched.before |= dict.fromkeys(fresh_pks) | rows
        touched.places |= fresh_places

    def made(self, entity: Entity, pks: Iterable[Any]) -> None:
        """Note rows that the write made."""
        touched = self.touched.setdefault(entity, Touched())
        for pk in pks:
            touched.before.setdefault(pk, None)

    def finish(self) -> None:
        """Adopt what the edit did, and what it did to the records that refer to a changed key."""
        for entity in list(self.touched):
            self._follow_keys(entity)
        for entity, touched in self.touched.items():
            rows = {row.pk: row for row in rows_by_pk(entity, self.using, list(touched.before))}
            rows |= {row.pk: row for row in rows_by_place(entity, self.using, touched.places).values()}
            seen = _compare(touched, rows)
            self.adopted += adopt(entity, self.using, [one for one in seen if not self._left_out(entity, one.place)])
            gone = {pk: row.place for pk, row in touched.before.items() if row is not None and pk not in rows}
            note_gone(entity, self.using, gone)

    def _left_out(self, entity: Entity, place: Place) -> bool:
        return (entity.name, place) in self.leave_out

    def _follow_keys(self, entity: Entity) -> None:
        """Touch the records that refer to one whose key is another now: their value on the wire has changed."""
        was = {pk: row.key for pk, row in self.touched[entity].before.items() if row is not None}
        referring = registry().referring_to(entity)
        if not was or not referring:
            return
        renamed = [row.pk for row in rows_by_pk(entity, self.using, list(was)) if row.key != was[row.pk]]
        for owner, field_ in referring if renamed else ():
            wanted = plain_rows(owner.model, self.using).filter(**{f"{field_.name}__pk__in": renamed})
            self.touched.setdefault(owner, Touched())
            for row in rows_by_pk(owner, self.using, list(wanted.values_list("pk", flat=True))):
                self.touched[owner].before.setdefault(row.pk, row)


def _compare(touched: Touched, rows: dict[Any, Row]) -> list[Seen]:
    """Return what became of every record: there (created, or perhaps changed), or gone."""
    were = {row.place: row for row in touched.before.values() if row is not None}
    there = {row.place for row in rows.values()}
    seen = [Seen(row.place, row, created=row.place not in were) for row in rows.values()]
    return seen + [Seen(place, None, last=row.values) for place, row in were.items() if place not in there]


class Unwatched(Edit):
    """Writes of the sync itself, whose index is written by the one who applies."""

    def before(self, entity: Entity, pks: Collection[Any] = (), places: Collection[Place] = ()) -> None:
        """Do nothing."""

    def made(self, entity: Entity, pks: Iterable[Any]) -> None:
        """Do nothing."""


@contextmanager
def unwatched(using: str) -> Iterator[None]:
    """Let writes pass without adoption; for those who write the index themselves."""
    connection = connections[using]
    outer: Edit | None = getattr(connection, "sync_edit", None)
    connection.sync_edit = Unwatched(using)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        connection.sync_edit = outer  # type: ignore[attr-defined]


def is_unwatched(using: str) -> bool:
    """Return whether the writes that now pass are the sync's own."""
    return isinstance(getattr(connections[using], "sync_edit", None), Unwatched)


@contextmanager
def one_edit(using: str = DEFAULT_DB_ALIAS, leave_out: frozenset[tuple[str, Place]] = frozenset()) -> Iterator[Edit]:
    """Make all writes inside one edit, with one queue entry a record, in one transaction.

    `leave_out` names (entity, place) of records that the sync itself writes: no entry is made of those.
    Inside another edit this is that edit.
    """
    connection = connections[using]
    outer: Edit | None = getattr(connection, "sync_edit", None)
    with transaction.atomic(using=using):
        if outer is not None:
            yield outer
            return
        edit = Edit(using, leave_out)
        connection.sync_edit = edit  # type: ignore[attr-defined]
        try:
            yield edit
            edit.finish()
        finally:
            connection.sync_edit = None  # type: ignore[attr-defined]
