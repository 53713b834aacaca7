"""Made-up people, the same for the same seed. Any likeness is chance; the national ids only look valid."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

BRANCHES = [
    ("RVK", "Reykjavíkurdeild", "Reykjavík"),
    ("AK", "Akureyrardeild", "Akureyri"),
    ("ISA", "Ísafjarðardeild", "Ísafjörður"),
    ("EGS", "Egilsstaðadeild", "Egilsstaðir"),
    ("VEY", "Eyjadeild", "Vestmannaeyjar"),
]
INTERESTS = [
    ("fjallgongur", "Fjallgöngur"),
    ("handavinna", "Handavinna"),
    ("kor", "Kór"),
    ("skak", "Skák"),
    ("sund", "Sund"),
    ("tungumal", "Tungumál"),
]
_WOMEN = ["Guðrún", "Anna", "Kristín", "Sigríður", "Margrét", "Helga", "Sólveig", "Þórdís", "Ásta", "Björk"]
_MEN = ["Jón", "Sigurður", "Guðmundur", "Gunnar", "Ólafur", "Einar", "Kristján", "Þorsteinn", "Ægir", "Hörður"]
_PARENTS = ["Jóns", "Sigurðar", "Guðmundar", "Gunnars", "Ólafs", "Einars", "Kristjáns", "Þorsteins", "Björns", "Árna"]
_STREETS = ["Laugavegur", "Hafnarstræti", "Skólagata", "Njálsgata", "Ránargata", "Brekkugata", "Öldugata"]
_TOWNS = [("101", "Reykjavík"), ("600", "Akureyri"), ("400", "Ísafjörður"), ("700", "Egilsstaðir"), ("900", "Vestmannaeyjar")]
_WEIGHTS = (3, 2, 7, 6, 5, 4, 3, 2)
_PLAIN = str.maketrans("áéíóúýðþæöÁÉÍÓÚÝÐÞÆÖ", "aeiouydtaoAEIOUYDTAO")


@dataclass(frozen=True)
class Person:
    """One made-up member; `interests` and `branch` are keys."""

    national_id: str
    name: str
    email: str | None
    phone: str
    birth_date: date
    fee: Decimal
    paid_until: date | None
    active: bool
    address: dict[str, str]
    branch: str | None
    interests: list[str]
    notes: str
    joined_at: datetime
    visits: int


def people(count: int, seed: int) -> Iterator[Person]:
    """Yield `count` people with different national ids and e-mail addresses."""
    dice = random.Random(seed)  # noqa: S311  # the same people for the same seed; no secret
    taken: set[str] = set()
    for number in range(count):
        yield _person(dice, number, taken)


def national_id(dice: random.Random, born: date) -> str | None:
    """Return day, month, year, two digits, a check digit and the century; None where no check digit fits."""
    stem = f"{born:%d%m%y}{dice.randrange(20, 100)}"
    check = 11 - sum(int(digit) * weight for digit, weight in zip(stem, _WEIGHTS, strict=True)) % 11
    return None if check == 10 else f"{stem}{check % 11}{9 if born.year < 2000 else 0}"


def _person(dice: random.Random, number: int, taken: set[str]) -> Person:
    key = None
    while key is None or key in taken:
        born = date(1935, 1, 1) + timedelta(days=dice.randrange(72 * 365))
        key = national_id(dice, born)
    taken.add(key)
    woman = dice.random() < 0.5
    name = f"{dice.choice(_WOMEN if woman else _MEN)} {dice.choice(_PARENTS)}{'dóttir' if woman else 'son'}"
    postcode, town = dice.choice(_TOWNS)
    joined = datetime(2005, 1, 1, tzinfo=UTC) + timedelta(seconds=dice.randrange(20 * 365 * 86400))
    return Person(
        national_id=key,
        name=name,
        email=f"{name.lower().translate(_PLAIN).replace(' ', '.')}.{number}@example.is" if dice.random() < 0.9 else None,
        phone=f"{dice.randrange(550, 900)} {dice.randrange(10000):04d}",
        birth_date=born,
        fee=Decimal(dice.choice([0, 450000, 725050, 990000])) / 100,
        paid_until=date(2026, 12, 31) if dice.random() < 0.7 else None,
        active=dice.random() < 0.9,
        address={"street": f"{dice.choice(_STREETS)} {dice.randrange(1, 99)}", "postcode": postcode, "town": town},
        branch=dice.choice(BRANCHES)[0] if dice.random() < 0.95 else None,
        interests=sorted(dice.sample([slug for slug, _ in INTERESTS], dice.randrange(4))),
        notes="" if dice.random() < 0.8 else "Vill fá fréttabréf í pósti.",
        joined_at=joined,
        visits=dice.randrange(200),
    )
