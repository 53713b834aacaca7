"""Random edits on both sides of the real stack, and a ledger that stands outside of it: nothing may be lost."""

from __future__ import annotations

import random
from typing import Any

import pytest
from real import Real
from world import Ledger

from shared.canonical import canonical
from shared.naming import document_id

pytestmark = pytest.mark.stack

KEYS = ("0101301111", "a/b", "þ%2F ð", "4")
FIELDS = ("phone", "notes", "address", "name")
AT = {"notes": "no.tes `&` þ"}
NEEDED = {"active": True, "visits": 1}


class Town:
    """People at both sides who write at random; every value they write is another one."""

    def __init__(self, real: Real, seed: int) -> None:
        self.real, self.dice, self.ledger, self.number = real, random.Random(seed), Ledger(), 0

    def value(self, name: str) -> Any:
        self.number += 1
        return {"street": f"{self.number}", "n": [self.number]} if name == "address" else f"{name} {self.number}"

    def some(self) -> dict[str, Any]:
        return {name: self.value(name) for name in self.dice.sample(FIELDS, self.dice.randint(1, 3))}

    def in_django(self) -> dict[str, dict[str, Any]]:
        return {
            key: {name: row.get(name) for name in FIELDS} for key, row in self.real.users.call("dump", entity="member").items()
        }

    def in_firestore(self) -> dict[str, dict[str, Any]]:
        found = {}
        for key in KEYS:
            document = self.real.document(path(key))
            if document is not None:
                found[key] = {name: document.get(AT.get(name, name)) for name in FIELDS}
        return found

    def note(self, key: str, before: dict[str, Any] | None, fields: dict[str, Any]) -> None:
        self.ledger.saw(key, before, fields)
        for name, value in fields.items():
            self.ledger.wrote(key, name, value)

    def office(self, key: str) -> None:
        held, fields = self.in_django().get(key), self.some()
        if held is None:
            self.note(key, held, dict.fromkeys(FIELDS) | {"name": "new"} | fields)
            self.real.users.call("save", entity="member", key=key, fields=NEEDED | {"name": "new"} | fields)
        elif self.dice.random() < 0.2:
            self.ledger.saw(key, held, FIELDS)
            self.real.users.call("delete", entity="member", key=key)
        elif self.dice.random() < 0.3:
            fields = {name: value for name, value in fields.items() if name != "address"}
            self.note(key, held, fields)
            self.real.users.call("raw", entity="member", key=key, fields=fields or {"phone": held["phone"]})
        else:
            self.note(key, held, fields)
            self.real.users.call("save", entity="member", key=key, fields=fields)

    def app(self, key: str) -> None:
        held, fields = self.in_firestore().get(key), self.some()
        document = self.real.firestore.document(path(key))
        native = {AT.get(name, name): value for name, value in fields.items()}
        if held is None or self.dice.random() < 0.1:  # a blind set, which drops `_sync` and all that it does not name
            self.note(key, held, dict.fromkeys(FIELDS) | {"name": "blind"} | fields)
            document.set(NEEDED | {"name": "blind"} | native)
        elif self.dice.random() < 0.2:
            self.ledger.saw(key, held, FIELDS)
            document.delete()
        else:
            self.note(key, held, fields)
            document.set(native, merge=True)

    def lost(self) -> set[tuple[str, str, str]]:
        held = {(key, name, canonical(value)) for key, row in self.in_django().items() for name, value in row.items()}
        kept = set()
        for row in self.real.rows("sync_conflicts"):
            sides = (row["local"], row["incoming"])
            kept |= {(row["key"], row["field"], canonical(side["value"])) for side in sides if "value" in side}
        return self.ledger.written - self.ledger.seen - held - kept


def path(key: str) -> str:
    return f"members/{document_id(key)}"


@pytest.mark.parametrize("seed", range(4))
def test_random_edits_end_the_same_on_both_sides_and_none_is_lost(real: Real, seed: int) -> None:
    town = Town(real, seed)
    for _ in range(30):
        if town.dice.random() < 0.2:
            real.sync()
        else:
            town.dice.choice([town.office, town.app])(town.dice.choice(KEYS))
    for _ in range(3):
        real.wait_for_triggers()
        real.sync("reconcile")
    real.wait_for_triggers()
    real.sync()
    assert real.moved(real.sync()) == 0
    assert real.rows("sync_dead_letters") == []
    assert town.in_django() == town.in_firestore()
    assert town.lost() == set()
