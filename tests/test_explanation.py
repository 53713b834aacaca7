"""docs/explanation.md: its example, played through the engine, and its picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from xml.etree import ElementTree

import pytest
from memory_firestore import Clock, MemoryFirestore
from world import Quiet

from local.bundle import ROOT
from shared.engine import sync
from shared.index import Entry
from shared.mapping import Entity, Field, Type
from shared.model import RecordId, Scope
from shared.peers.firestore import FirestorePeer
from shared.peers.memory import MemoryPeer
from shared.run import Order, Pair
from shared.store import Store
from shared.tracker import Poke, track

PAGE = (ROOT / "docs" / "explanation.md").read_text(encoding="utf-8")
PICTURE = (ROOT / "docs" / "pictures" / "one-rule.svg").read_text(encoding="utf-8")
SLOW = timedelta(minutes=-4)
MEMBER = Entity("member", "members", (Field("phone", Type.TEXT, "phone"),))
ANNA = RecordId("member", "1")


@dataclass(frozen=True)
class Row:
    """A row of the example: when, where, what happens, and the stamp, without its date."""

    at: str
    where: str
    what: str
    stamp: str

    @property
    def values(self) -> list[str]:
        return re.findall(r"`(\w)`", self.what)


def rows() -> Iterator[Row]:
    table = PAGE.partition("| --- | --- | --- | --- | --- |\n")[2].partition("\n\n")[0]
    for line in table.splitlines():
        at, _, where, what, stamp = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        yield Row(at, where, what, stamp.strip("`").replace("\\|", "|"))


ROWS = list(rows())


class Register:
    """One record at both sides, and who writes to it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.database = MemoryFirestore(self.clock)
        self.firestore = FirestorePeer("firestore", self.database, "members", [MEMBER], self.clock, self.clock.tick)
        self.django = MemoryPeer("django", {"member": ("phone",)}, self.clock.apart(SLOW.total_seconds()))
        scope = Scope("members", ("member",))
        self.pair = Pair("members", self.django, self.firestore, scope, self.database.billed, entities={"member": MEMBER})

    def wait_until(self, at: str) -> None:
        then = datetime.combine(self.clock().date(), datetime.strptime(at, "%H:%M").time(), self.clock().tzinfo)  # noqa: DTZ007
        assert then > self.clock()
        self.clock.time = then

    def run(self) -> list[str]:
        """Deliver what happened, sync, and return the ids of the conflicts that are kept."""
        for event in [each for each in self.database.events if each.path.startswith("members/")]:
            track(self.firestore, Poke(ANNA, event.before, event.after, event.time))
        self.database.events.clear()
        report = sync(self.pair, Order(f"run-{self.clock():%H%M}"), Store(self.database), self.clock, Quiet())
        assert report.failure is None
        return [path for path in self.database.documents if path.startswith("sync_conflicts/")]

    def write(self, where: str, value: str) -> None:
        if where == "Django":
            self.django.save(ANNA, {"phone": value})
            return
        self.database.client_update(MEMBER.path(ANNA), {"phone": value})
        event = self.database.events[-1]
        track(self.firestore, Poke(ANNA, event.before, event.after, event.time))

    def held(self) -> dict[str, str]:
        held = self.firestore.layouts["member"].held(ANNA, self.database.snapshot(MEMBER.path(ANNA)))
        mine = self.django.values(ANNA) or {}
        return {"Django": mine.get("phone", ""), "app": (held.values or {}).get("phone", "")}

    def stamp(self, where: str) -> str:
        held = self.firestore.layouts["member"].held(ANNA, self.database.snapshot(MEMBER.path(ANNA)))
        entry: Entry = (self.django.index[ANNA] if where == "Django" else held.index)["phone"]
        return entry.stamp.partition("T")[2]


def test_the_example_goes_as_the_page_tells_it() -> None:
    register, kept = Register(), set[str]()
    for row in ROWS:
        register.wait_until(row.at)
        if row.where == "run":
            found = set(register.run())
            stays = row.values[0]
            assert register.held() == {"Django": stays, "app": stays}, row
            assert len(found - kept) == (0 if "no conflict" in row.what else 1), row
            kept = found
        else:
            *seen, value = row.values
            assert seen in ([], [register.held()[row.where]]), row
            register.write(row.where, value)
            assert register.stamp(row.where) == row.stamp, row
    [path] = kept
    conflict = register.database.documents[path].fields
    assert {conflict[side]["value"] for side in ("local", "incoming")} == set(ROWS[-1].values[1:]) == {"E", "D"}
    assert conflict[str(conflict["winner"])]["value"] == ROWS[-1].values[0]


def test_the_slow_clock_chooses_between_blind_edits_and_loses_neither() -> None:
    register = Register()
    for row in ROWS[:6]:
        register.wait_until(row.at)
        register.run() if row.where == "run" else register.write(row.where, row.values[-1])
    register.wait_until("11:30")
    register.write("app", "E")
    register.wait_until("11:32")
    register.write("Django", "D")
    assert register.stamp("Django").startswith("11:28")
    register.wait_until("23:30")
    assert len(register.run()) == 1
    assert register.held() == {"Django": "E", "app": "E"}


def test_the_picture_shows_every_value_with_its_stamp_in_light_and_dark() -> None:
    root = ElementTree.fromstring(PICTURE)  # noqa: S314  # our own file
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    written = {row.values[-1]: row.stamp.partition("Z")[0] for row in ROWS if row.stamp}
    assert sorted(written) == ["A", "B", "C", "D", "E"]
    for value, stamp in written.items():
        assert value in texts
        assert stamp in texts
    assert "prefers-color-scheme: dark" in PICTURE


@pytest.mark.parametrize("row", [row for row in ROWS if row.stamp], ids=lambda row: row.at)
def test_django_is_four_minutes_slow_in_every_row_that_nobody_elses_value_pushed(row: Row) -> None:
    apart = datetime.strptime(row.stamp[:5], "%H:%M") - datetime.strptime(row.at, "%H:%M")  # noqa: DTZ007
    assert apart == (timedelta(0) if row.where == "app" else SLOW) or row.values == ["B", "C"]
