"""A large register on both sides, written past the sync, and ways to make records differ, or only look as if they did.

Nothing of the library decides here what is equal: `in_django` and `in_firestore` bring what plain Django and the plain
Firestore client show into one form by code of their own.
"""

from __future__ import annotations

import itertools
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from google.cloud.firestore import DELETE_FIELD, Client, DocumentReference

from local.django_users import DjangoUsers
from shared.naming import document_id

EDGES = ["!", "%2F", "..", "__x__", "a/b", "a%2Fb", "e\u0301", "é", "þ%", "日本", "😀", "\uffff"]
TENANTS = ("AK", "EGS", "ISA", "RVK", "VEY")
TABLES = {"branch": "members_branch", "interest": "members_interest", "member": "members_member", "event": "members_event"}
KEYS = {"branch": "code", "interest": "slug", "member": "national_id", "event": "code"}
COLLECTIONS = {"branch": "branches", "interest": "interests", "member": "members"}
AT = {"birth_date": "birthDate", "paid_until": "paidUntil", "joined_at": "joinedAt", "starts_at": "startsAt"}
JOINED = datetime(2020, 2, 29, 3, 10, 56, 123456, tzinfo=UTC)
PLUS_TWO = timezone(timedelta(hours=2))
Row = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a record is: its entity, its tenant if it has one, its key."""

    entity: str
    key: str
    tenant: str | None = None

    @property
    def scope(self) -> str:
        """What a report calls the records that it belongs to."""
        return f"{self.entity} of {self.tenant}" if self.tenant else self.entity

    @property
    def path(self) -> str:
        collection = COLLECTIONS.get(self.entity) or f"branches/{self.tenant}/events"
        return f"{collection}/{document_id(self.key)}"


def row_of(entity: str, number: int) -> Row:
    """Return the values of record `number`; every fifth member has nothing in what may be empty."""
    if entity in {"branch", "interest"}:
        return {"name": f"Nafn é {number}"} | ({"city": "" if number % 5 == 3 else f"Bær {number}"} if entity == "branch" else {})
    if entity == "event":
        return {
            "title": f"Þorrablót é {number}",
            "starts_at": JOINED + timedelta(hours=number),
            "details": {"seats": [number, 1, 0], "on": True, "none": None},
        }
    bare = number % 5 == 3
    address = {"street": f"Gata {number}", "n": 1, "zero": 0, "big": 2**53, "sub": {"x": None, "y": [1, 2]}}
    return {
        "name": f"Jón é {number}",
        "email": None if bare else f"{number}@example.is",
        "phone": None if bare else f"555 {number}",
        "birth_date": None if bare else f"19{number % 90 + 10}-02-28",
        "fee": None if bare else f"{number}.50",
        "paid_until": None if bare else "2027-12-31",
        "active": number % 3 > 0,
        "address": address,
        "branch": None if bare else f"B{number % 50:04}",
        "interests": [] if bare else ["I0001", f"I{number % 40 + 2:04}"],
        "notes": None if bare else f"Athugasemd {number}",
        "joined_at": None if bare else JOINED + timedelta(seconds=number),
        "visits": number % 100,
    }


# Loading, past the sync


def sql_value(value: Any) -> Any:
    """Return a value as a database script writes it."""
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def insert(users: DjangoUsers, rows: Mapping[Place, Row]) -> None:
    """Write rows with SQL, as from before the sync."""
    for entity, group in itertools.groupby(rows, key=lambda place: place.entity):
        places = list(group)
        names = [name for name in rows[places[0]] if name not in {"branch", "interests"}]
        columns = [KEYS[entity], *(["tenant"] if entity == "event" else []), *names]
        marks = ["%s"] * len(columns)
        if entity == "member":
            columns, marks = [*columns, "branch_id"], [*marks, "(SELECT id FROM members_branch WHERE code = %s)"]
        statement = f"INSERT INTO {TABLES[entity]} ({', '.join(columns)}) VALUES ({', '.join(marks)})"
        values = [
            [place.key, *([place.tenant] if place.tenant else []), *(sql_value(rows[place][name]) for name in names)]
            + ([rows[place]["branch"]] if entity == "member" else [])
            for place in places
        ]
        users.call("sql", statement=statement, rows=values)
    link(users, [(place.key, slug) for place, row in rows.items() for slug in row.get("interests", ())])


def link(users: DjangoUsers, pairs: Sequence[tuple[str, str]]) -> None:
    statement = (
        "INSERT INTO members_member_interests (member_id, interest_id) SELECT m.id, i.id "
        "FROM members_member m, members_interest i WHERE m.national_id = %s AND i.slug = %s"
    )
    users.call("sql", statement=statement, rows=pairs)


def places_of(entity: str, number: int, tenant: str | None = None) -> list[Place]:
    """Return so many places of an entity: first those with keys that are awkward, first or last."""
    letter = entity[0].upper()
    keys = [*EDGES, *(f"{letter}{each:04}" for each in range(number - len(EDGES)))]
    return [Place(entity, key, tenant) for key in keys]


# Differences: what to write instead of what is there. In Firestore by a plain client, in Django with SQL.

Change = Callable[[Row], Any]


@dataclass(frozen=True)
class Kind:
    """One way to change a field (None: the whole record) at one side; `seeming` ones make no other value."""

    side: str
    entity: str
    field: str | None
    change: Change
    seeming: bool = False


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def but(row: Row, name: str, **changed: Any) -> Row:
    return dict(row[name]) | changed


GONE, EXTRA = "gone", "extra"
IN_FIRESTORE: list[tuple[str, str, Change]] = [
    ("member", "name", lambda row: nfd(row["name"])),
    ("member", "name", lambda row: row["name"] + " "),
    ("member", "phone", lambda row: DELETE_FIELD if row["phone"] else "new"),
    ("member", "email", lambda row: None if row["email"] else row["address"]["street"][5:] + "@example.com"),
    ("member", "birth_date", lambda row: "2001-01-01"),
    ("member", "fee", lambda row: "0.51"),
    ("member", "fee", lambda row: 99999999.99),
    ("member", "paid_until", lambda row: None if row["paid_until"] else "2027-01-01"),
    ("member", "active", lambda row: not row["active"]),
    ("member", "address", lambda row: but(row, "address", big=2**53 + 1)),
    ("member", "address", lambda row: but(row, "address", zero=False)),
    ("member", "address", lambda row: but(row, "address", sub={"y": [1, 2]})),
    ("member", "address", lambda row: but(row, "address", sub={"x": None, "y": [2, 1]})),
    ("member", "branch", lambda row: Place("branch", "B0051").path),
    ("member", "interests", lambda row: ["I0001"] if not row["interests"] else row["interests"][1:]),
    ("member", "notes", lambda row: "x" * 2000),
    ("member", "joined_at", lambda row: (row["joined_at"] or JOINED) + timedelta(microseconds=1)),
    ("member", "visits", lambda row: 2147483647),
    ("member", "visits", lambda row: -1 - row["visits"]),
    ("event", "title", lambda row: nfd(row["title"])),
    ("event", "starts_at", lambda row: row["starts_at"] - timedelta(microseconds=1)),
    ("event", "details", lambda row: but(row, "details", seats=row["details"]["seats"][::-1])),
    ("event", "details", lambda row: "1"),
    ("event", "details", lambda row: DELETE_FIELD),
    ("branch", "name", lambda row: nfd(row["name"])),
    ("branch", "city", lambda row: "" if row["city"] else "Bær"),
    ("interest", "name", lambda row: row["name"].upper()),
]
IN_DJANGO: list[tuple[str, str, Change]] = [
    ("member", "name", lambda row: nfd(row["name"])),
    ("member", "phone", lambda row: None if row["phone"] else "new"),
    ("member", "birth_date", lambda row: "1901-12-31"),
    ("member", "fee", lambda row: "0.49"),
    ("member", "paid_until", lambda row: "2027-12-30"),
    ("member", "active", lambda row: not row["active"]),
    ("member", "address", lambda row: but(row, "address", big=2**53 + 1)),
    ("member", "address", lambda row: None),
    ("member", "branch", lambda row: "B0051"),
    ("member", "interests", lambda row: "I0060"),
    ("member", "notes", lambda row: (row["notes"] or "") + "\u200b"),
    ("member", "joined_at", lambda row: (row["joined_at"] or JOINED) + timedelta(microseconds=1)),
    ("member", "visits", lambda row: row["visits"] + 1000),
    ("event", "title", lambda row: row["title"] + "."),
    ("event", "starts_at", lambda row: row["starts_at"] + timedelta(days=1)),
    ("event", "details", lambda row: but(row, "details", none=0)),
    ("branch", "name", lambda row: row["name"] + "\u0301"),
    ("branch", "city", lambda row: "" if row["city"] else "Bær"),
    ("interest", "name", lambda row: row["name"].lower()),
]
SEEMING_IN_FIRESTORE: list[tuple[str, str, Change]] = [
    ("member", "phone", lambda row: row["phone"] or DELETE_FIELD),
    ("member", "birth_date", lambda row: row["birth_date"] and datetime.fromisoformat(f"{row['birth_date']}T00:00:00+00:00")),
    ("member", "fee", lambda row: row["fee"] and float(row["fee"])),
    ("member", "interests", lambda row: row["interests"][::-1]),
    ("member", "joined_at", lambda row: row["joined_at"] and row["joined_at"].astimezone(PLUS_TWO).isoformat()),
    ("member", "visits", lambda row: float(row["visits"])),
    ("member", "address", lambda row: but(row, "address", n=1.0, zero=-0.0, big=float(2**53))),
    ("member", "not synced", lambda row: "of the app alone"),
    ("event", "details", lambda row: dict(reversed(row["details"].items()))),
    ("event", "starts_at", lambda row: row["starts_at"].astimezone(PLUS_TWO)),
    ("branch", "city", lambda row: row["city"] or None),
    ("interest", "not synced", lambda row: "of the app alone"),
]
SEEMING_IN_DJANGO: list[tuple[str, str, Change]] = [
    ("member", "address", lambda row: dict(reversed(but(row, "address", n=1.0, zero=-0.0).items()))),
    ("member", "joined_at", lambda row: row["joined_at"] and row["joined_at"].astimezone(PLUS_TWO)),
    ("member", "fee", lambda row: row["fee"] and str(Decimal(row["fee"]).normalize())),
    ("event", "starts_at", lambda row: row["starts_at"].astimezone(PLUS_TWO)),
]


def kinds(side: str, rows: Iterable[tuple[str, str | None, Change]], seeming: bool = False) -> list[Kind]:
    return [Kind(side, *row, seeming) for row in rows]


ENTITIES = ("member", "event", "branch", "interest")
WHOLE = [Kind(side, entity, None, lambda _: None) for side in ("firestore", "django") for entity in ENTITIES]
REAL = {"firestore": kinds("firestore", IN_FIRESTORE), "django": kinds("django", IN_DJANGO)}
SEEMING = kinds("firestore", SEEMING_IN_FIRESTORE, True) + kinds("django", SEEMING_IN_DJANGO, True)


@dataclass
class Planted:
    """What was planted: where, in which field (None: the whole record), and whether a look at Django adopts it there."""

    rows: list[tuple[Place, str | None, bool]] = field(default_factory=list)

    def but_adopted(self) -> Planted:
        """Return what is left once Django has shown its records, and what that adopted was carried over."""
        return Planted([row for row in self.rows if not row[2]])

    @property
    def places(self) -> dict[str, set[Place]]:
        """The places by scope."""
        found: dict[str, set[Place]] = {}
        for place, _, _ in self.rows:
            found.setdefault(place.scope, set()).add(place)
        return found

    @property
    def fields(self) -> dict[str, dict[str, int]]:
        """How often each field, by scope."""
        counted: dict[str, Counter[str]] = {}
        for place, name, _ in self.rows:
            if name:
                counted.setdefault(place.scope, Counter())[name] += 1
        return {scope: dict(each) for scope, each in counted.items()}


def assigned(places: Iterable[Place], among: Sequence[Kind]) -> list[tuple[Place, Kind]]:
    """Return a kind of change for each place, in turn per entity; what others refer to is not deleted."""
    turns = {entity: itertools.cycle([kind for kind in among if kind.entity == entity]) for entity in TABLES}
    plan = []
    for place in places:
        kind = next(turns[place.entity])
        while kind.field is None and place.key[1:3] == "00":
            kind = next(turns[place.entity])
        plan.append((place, kind))
    return plan


def write_firestore(client: Client, changes: Sequence[tuple[Place, Kind]], rows: Mapping[Place, Row]) -> None:
    """Write the changes as plain clients do, many in one commit; no trigger fires."""
    for some in _batched(changes, 400):
        batch = client.batch()
        for place, kind in some:
            document = client.document(place.path)
            if kind.field is None:
                batch.delete(document)
                continue
            value = kind.change(rows[place])
            value = client.document(value) if kind.field == "branch" and isinstance(value, str) else value
            batch.update(document, {client.field_path(AT.get(kind.field, kind.field)): value})
        batch.commit()


def _batched(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def write_django(users: DjangoUsers, changes: Sequence[tuple[Place, Kind]], rows: Mapping[Place, Row]) -> None:
    """Write the changes with SQL, past Django."""
    by_column: dict[tuple[str, str | None], list[tuple[Place, Any]]] = {}
    for place, kind in changes:
        value = kind.change(rows[place]) if kind.field else None
        by_column.setdefault((kind.entity, kind.field), []).append((place, value))
    for (entity, name), some in by_column.items():
        where = f"{KEYS[entity]} = %s" + (" AND tenant = %s" if entity == "event" else "")
        keys = [[place.key, *([place.tenant] if place.tenant else [])] for place, _ in some]
        if name == "interests":
            link(users, [(place.key, value) for place, value in some])
        elif name is None:
            if entity == "member":
                member = "(SELECT id FROM members_member WHERE national_id = %s)"
                users.call("sql", statement=f"DELETE FROM members_member_interests WHERE member_id = {member}", rows=keys)
            users.call("sql", statement=f"DELETE FROM {TABLES[entity]} WHERE {where}", rows=keys)
        else:
            mark = "(SELECT id FROM members_branch WHERE code = %s)" if name == "branch" else "%s"
            statement = f"UPDATE {TABLES[entity]} SET {'branch_id' if name == 'branch' else name} = {mark} WHERE {where}"
            values = [[sql_value(value), *key] for (_, value), key in zip(some, keys, strict=True)]
            users.call("sql", statement=statement, rows=values)


# What both sides hold, in one form


def in_django(users: DjangoUsers) -> dict[Place, Row]:
    """Return every record as plain Django shows it; what is nothing is left out."""
    found: dict[Place, Row] = {}
    for entity in ("branch", "interest", "member"):
        found |= {Place(entity, key): _one_form(row) for key, row in users.call("dump", entity=entity).items()}
    for row in users.call("rows", entity="event"):
        place = Place("event", row.pop("code"), row.pop("tenant"))
        row.pop("id")
        found[place] = _one_form(row)
    return found


def in_firestore(client: Client) -> dict[Place, Row]:
    """Return every record as the plain client shows it; what is nothing is left out."""
    found: dict[Place, Row] = {}
    for entity, collection in COLLECTIONS.items():
        found |= {Place(entity, _key(each.id)): _document(each.to_dict()) for each in client.collection(collection).stream()}
    for tenant in TENANTS:
        events = client.collection(f"branches/{tenant}/events").stream()
        found |= {Place("event", _key(each.id), tenant): _document(each.to_dict()) for each in events}
    return found


def _key(id: str) -> str:
    """Return the key of one of our documents' ids."""
    return next((edge for edge in EDGES if document_id(edge) == id), id)


def _document(fields: Row) -> Row:
    names = {at: name for name, at in AT.items()}
    return _one_form({names.get(at, at): value for at, value in fields.items() if at not in {"_sync", "not synced"}})


def _one_form(row: Row) -> Row:
    forms = {name: _form(name, value) for name, value in row.items()}
    return {name: form for name, form in forms.items() if form not in (None, [], "", 0) or name == "active"}


def _form(name: str, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, DocumentReference):
        return _key(value.id)
    if name in {"joined_at", "starts_at"}:
        return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)
    if name in {"birth_date", "paid_until"}:
        return value.date().isoformat() if isinstance(value, datetime) else value
    if name == "fee":
        return Decimal(repr(value) if isinstance(value, float) else value)
    if name in {"address", "details"}:
        return json.dumps(_whole_numbers(value), sort_keys=True)
    return sorted(value) if name == "interests" else value


def _whole_numbers(value: Any) -> Any:
    """Return JSON with 1.0 as 1 and -0.0 as 0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole_numbers(each) for name, each in value.items()}
    return [_whole_numbers(each) for each in value] if isinstance(value, list) else value
