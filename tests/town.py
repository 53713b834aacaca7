"""People who write at random at both sides of the real stack, and a ledger of it that stands outside of the engine."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from google.api_core.exceptions import Aborted, AlreadyExists, FailedPrecondition, NotFound
from google.cloud.firestore import Client, transactional
from google.cloud.firestore_v1.field_path import FieldPath
from world import Ledger

from local.django_users import DjangoUsers
from local.errors import StackError
from shared.canonical import canonical
from shared.naming import document_id

FIELDS = ("phone", "notes", "address", "name")
NEEDED = {"active": True, "visits": 1}
ENTITY, COLLECTION = "member", "members"
BUSY = 40
"""So many of the records get half of the edits, and meet in conflicts; what is lost of the others is not soon made up for."""
FITTING = 40
"""Characters that a phone number may have in Django."""
OFFICE = {"save": 64, "update": 12, "raw": 18, "delete": 6}
APP = {"update": 84, "set": 10, "delete": 6}
"""What is done to a record that is there, and how often; one that is not there is created."""

Values = dict[str, Any]


class Town:
    """Writers at both sides. Every value they write is another one, and each knows exactly what they replace.

    They look before they write, as careful users do: at Django under the row's lock, at Firestore by a precondition or in
    a transaction. So the ledger can tell an overwritten value from a lost one, whatever the sync does meanwhile. `at` says
    under which names fields lie in Firestore, where it is another; `unfit` is the share of Firestore's edits with a value
    that Django refuses.
    """

    def __init__(
        self,
        users: DjangoUsers,
        firestore: Client,
        dice: Random,
        keys: tuple[str, ...],
        at: dict[str, str] | None = None,
        unfit: float = 0.0,
    ) -> None:
        self.users, self.firestore, self.dice, self.at, self.unfit = users, firestore, dice, at or {}, unfit
        self.keys = {document_id(key): key for key in keys}
        self.ledger, self.edits, self.number = Ledger(), Counter[str](), 0

    def register(self) -> None:
        """Have the office take in everybody."""
        for key in self.keys.values():
            fields = {name: self._value(name) for name in FIELDS}
            self._note("Django: create", key, self.users.call("save", entity=ENTITY, key=key, fields=fields), fields)

    def edit(self) -> None:
        """Have somebody write something somewhere. What was refused (a lock, a lost race) was not written."""
        ids = list(self.keys)
        id = self.dice.choice(ids[:BUSY] if self.dice.random() < 0.5 else ids)
        try:
            if self.dice.random() < 0.5:
                self._office(self.keys[id])
            else:
                self._app(id)
        except (Aborted, AlreadyExists, FailedPrecondition, NotFound) as error:
            self.edits[f"refused ({type(error).__name__})"] += 1
        except StackError as error:  # a deadlock, or a record that the sync created first
            kind = next((each for each in ("OperationalError", "IntegrityError") if each in str(error)), None)
            if kind is None:
                raise
            self.edits[f"refused ({kind})"] += 1

    def _value(self, name: str) -> Any:
        self.number += 1
        return {"street": f"{self.number}", "n": [self.number]} if name == "address" else f"{name} {self.number}"

    def _some(self) -> Values:
        return {name: self._value(name) for name in self.dice.sample(FIELDS, self.dice.randint(1, 3))}

    def _note(self, kind: str, key: str, before: Values | None, fields: Values) -> None:
        self.edits[kind] += 1
        self.ledger.saw(key, before, fields)
        for name, value in fields.items():
            self.ledger.wrote(key, name, value)

    def _office(self, key: str) -> None:
        way = self.dice.choices(list(OFFICE), list(OFFICE.values()))[0]
        fields = self._some()
        if way == "raw":
            fields = {name: value for name, value in fields.items() if name != "address"} or {"phone": self._value("phone")}
        there = self.users.call("look", entity=ENTITY, key=key)
        if there is None:
            way, fields = "save", fields | {"name": self._value("name")}
        if way == "update":
            [(_, before)] = self.users.call("update", entity=ENTITY, keys=[key], fields=fields).items() or [(key, None)]
        elif way == "delete":
            before, fields = self.users.call("delete", entity=ENTITY, key=key), dict.fromkeys(FIELDS)
        else:
            before = self.users.call(way, entity=ENTITY, key=key, fields=fields)
        if before is not None or way == "save":
            self._note(f"Django: {'create' if before is None else way}", key, before, fields)

    def _app(self, id: str) -> None:
        reference = self.firestore.collection(COLLECTION).document(id)
        document = reference.get()
        way = self.dice.choices(list(APP), list(APP.values()))[0] if document.exists else "create"
        before, fields = self._plain(document), self._some()
        if self.dice.random() < self.unfit:
            fields["phone"] = self._value("phone").ljust(FITTING + 1, "!")
        option = self.firestore.write_option(last_update_time=document.update_time) if document.exists else None
        if way == "update":
            reference.update({FieldPath(self.at.get(name, name)).to_api_repr(): each for name, each in fields.items()}, option)
        elif way == "delete":
            reference.delete(option)
            fields = dict.fromkeys(FIELDS)
        else:
            fields = dict.fromkeys(FIELDS) | {"name": self._value("name")} | fields
            if way == "create":
                reference.create(self._native(fields))
            else:
                before = self._replace(reference, fields)
        self._note(f"Firestore: {way}", self.keys[id], before, fields)

    def _replace(self, reference: Any, fields: Values) -> Values | None:
        """Set a whole document blindly, which drops `_sync` and all that is not named; return what was there."""

        @transactional
        def replace(transaction: Any) -> Values | None:
            before = self._plain(reference.get(transaction=transaction))
            transaction.set(reference, self._native(fields))
            return before

        try:
            return replace(self.firestore.transaction(max_attempts=1))
        except ValueError as error:  # so the client says that its transaction was aborted
            raise Aborted(str(error)) from error

    def _native(self, fields: Values) -> Values:
        return NEEDED | {self.at.get(name, name): value for name, value in fields.items() if value is not None}

    def _plain(self, document: Any) -> Values | None:
        found = document.to_dict()
        return None if found is None else {name: found.get(self.at.get(name, name)) for name in FIELDS}

    def in_django(self) -> dict[str, Values]:
        """Return what plain Django holds: the fields of each record by key."""
        rows = self.users.call("dump", entity=ENTITY).items()
        return {key: {name: row.get(name) for name in FIELDS} for key, row in rows}

    def in_firestore(self) -> dict[str, Values]:
        """Return what a plain Firestore client reads."""
        found = {self.keys[row.id]: self._plain(row) for row in self.firestore.collection(COLLECTION).stream()}
        return {key: values for key, values in found.items() if values is not None}

    def differing(self) -> set[str]:
        """Return the keys of the records that plain Django and a plain Firestore client do not see alike."""
        mine, theirs = self.in_django(), self.in_firestore()
        return {key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)}

    def misfits(self) -> set[str]:
        """Return the keys of the records in Firestore that Django refuses."""
        return {key for key, values in self.in_firestore().items() if len(values["phone"] or "") > FITTING}

    def mend(self) -> None:
        """Put values that fit in the place of those that do not."""
        for id, key in self.keys.items():
            if key in self.misfits():
                reference = self.firestore.collection(COLLECTION).document(id)
                before, fields = self._plain(reference.get()), {"phone": self._value("phone")}
                reference.update(fields)
                self._note("Firestore: mended", key, before, fields)

    def lost(self) -> set[tuple[str, str, str]]:
        """Return the values that somebody wrote, nobody who saw them overwrote, and that are nowhere to be found."""
        held = {(key, name, canonical(value)) for key, row in self.in_django().items() for name, value in row.items()}
        return self.ledger.written - self.ledger.seen - held - self._in_conflicts() - self.in_dead_letters()

    def _in_conflicts(self) -> set[tuple[str, str, str]]:
        rows = [row.to_dict() or {} for row in self.firestore.collection("sync_conflicts").stream()]
        sides = [(row, row[side]) for row in rows for side in ("local", "incoming")]
        return {(row["key"], row["field"], canonical(side["value"])) for row, side in sides if "value" in side}

    def in_dead_letters(self) -> set[tuple[str, str, str]]:
        """Return what lies in the dead letters: key, field, value as canonical JSON."""
        rows = [row.to_dict() or {} for row in self.firestore.collection("sync_dead_letters").stream()]
        changes = [(row["key"], row["change"]["fields"]) for row in rows if row.get("change")]
        return {(key, name, canonical(value)) for key, fields in changes for name, value in fields.items()}
