"""Peers without a queue: what a poll proves and what it does not, and that nobody's failure is anybody else's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from memory_firestore import Clock, MemoryFirestore
from memory_system import MemorySystem
from polled_world import PolledWorld
from world import ENTITY, FIELDS, Quiet

from shared.config import Health
from shared.engine import sync
from shared.errors import TerminalBatch, Transient
from shared.health import pair_health
from shared.model import Outcome, Problem, RecordId, Scope
from shared.peers.memory import MemoryPeer
from shared.peers.polled import PolledPeer
from shared.peers.polled_records import Habits
from shared.preview import rehearse
from shared.reconcile import reconcile
from shared.run import Order, Pair
from shared.store import Store

TWO = ("thing", "part")
THING = RecordId("thing", "x")


@pytest.fixture
def world() -> PolledWorld:
    made = PolledWorld(Random(0))
    made.system.user_writes(None, "thing", "x", {"a": "1", "b": "1"})
    made.run()
    return made


def there(world: PolledWorld, external: str) -> dict[str, object] | None:
    row = world.system.tables[None, "thing"].get(external)
    return row.fields if row else None


class Schools:
    """Two entities of three tenants at a system that takes changes; some tenants can be made to fail."""

    def __init__(self, writable: bool = True) -> None:
        self.clock = Clock()
        self.database, self.failing = MemoryFirestore(self.clock), dict[str, Exception]()
        self.system = MemorySystem(self.clock, writable=writable)
        self.django = MemoryPeer("django", dict.fromkeys(TWO, FIELDS), self.clock)
        entities = {name: replace(ENTITY, name=name, collection="") for name in TWO}
        polled = PolledPeer(self.system, self.database, "things", list(entities.values()), self.clock, Habits(timedelta(0), 2))
        poll = self.system.poll

        def failing(tenant, entity, since):
            if entity == "thing" and tenant in self.failing:
                raise self.failing[tenant]
            return poll(tenant, entity, since)

        self.system.poll = failing
        tenants = dict.fromkeys(TWO, ("north", "south", "west"))
        self.pair = Pair("things", self.django, polled, Scope("things", TWO), entities=entities, tenants=tenants)
        self.pair = replace(self.pair, read_only=frozenset() if writable else frozenset({"polled"}))
        self.store, self.log = Store(self.database), Quiet()
        for tenant in tenants["thing"]:
            self.system.user_writes(tenant, "thing", "1", {"a": tenant})
            self.system.user_writes(tenant, "part", "1", {"a": tenant})

    def run(self, work=sync):
        self.clock.tick(60)
        return work(self.pair, Order(f"run-{self.clock().timestamp()}"), self.store, self.clock, self.log)

    def here(self) -> set[tuple[str, str | None]]:
        return {(id.entity, id.tenant) for id in self.django.rows}


@pytest.mark.parametrize(
    "error", [TerminalBatch("a wrong key"), KeyError("a bug of the system's own file")], ids=["said", "a bug"]
)
def test_a_tenant_that_fails_stops_only_itself_and_its_later_entities(error):
    schools = Schools()
    schools.failing["south"] = error
    report = schools.run()
    assert schools.here() == {(entity, tenant) for entity in TWO for tenant in ("north", "west")}
    assert report.failure is None
    assert set(report.tenants) == {"south"}
    assert report.tenants["south"].where == "polled"
    assert "a bug of the system's own file" not in str(report.as_json()), "an unforeseen error may hold a value"
    schools.failing.clear()
    assert schools.run().tenants == {}
    assert len(schools.here()) == 6


def test_a_tenant_that_cannot_be_polled_is_not_compared_either():
    schools = Schools()
    schools.run()
    schools.failing["south"] = TerminalBatch("a wrong key")
    report = schools.run(reconcile)
    assert set(report.reconciled) == {f"{entity} of {tenant}" for entity in TWO for tenant in ("north", "west")}


def test_the_same_id_at_two_tenants_is_two_records():
    schools = Schools()
    schools.run()
    held = {id.tenant: schools.django.values(id) for id in schools.django.rows if id.entity == "thing"}
    assert held == {tenant: {"a": tenant} for tenant in ("north", "south", "west")}


def test_nothing_is_carried_to_a_system_that_takes_no_changes():
    schools = Schools(writable=False)
    schools.run()
    schools.django.save(RecordId("thing", "1", "north"), {"b": "mine"})
    schools.django.save(RecordId("thing", "own", "north"), {"b": "mine"})
    before = [dict(table) for table in schools.system.tables.values()]
    report = schools.run()
    assert set(report.directions) == {"polled_to_django"}
    for _ in range(2):
        compared = schools.run(reconcile).reconciled["thing of north"]
        assert (compared.compared, compared.different, compared.edited) == (1, 1, 1), "its own record is its own affair"
        assert (compared.put_back, compared.dead_letters) == (0, 0)
    assert [dict(table) for table in schools.system.tables.values()] == before
    assert "write" not in schools.system.calls


def test_what_the_system_silently_drops_is_a_dead_letter_and_no_echo(world):
    world.system.keeps = lambda name, value: there(world, "x")["b"] if name == "b" else value
    world.django.save(THING, {"a": "2", "b": "2"})
    world.run()
    assert (there(world, "x")["a"], there(world, "x")["b"]) == ("2", "1")
    [letter] = world.refused()
    assert (letter["reason"], letter["fields"]) == ("not-kept", {"b": "not-kept"})
    for _ in range(2):
        assert world.run().moved == 0
    assert world.django.values(THING)["b"] == "2"


def test_a_value_that_the_system_puts_in_another_form_is_no_echo_either(world):
    world.system.keeps = lambda name, value: value.strip()
    world.django.save(THING, {"a": " 2 "})
    world.run()
    assert [letter["reason"] for letter in world.refused()] == ["not-kept"]
    assert world.run().moved == 0


def test_only_several_complete_lists_in_a_row_prove_a_delete(world):
    row = world.system.tables[None, "thing"].pop("x")
    world.run()
    assert world.django.values(THING) is not None, "no complete list yet"
    world.clock.tick(25 * 3600)
    world.run()
    assert world.django.values(THING) is not None, "the first"
    world.system.tables[None, "thing"]["x"] = row
    world.clock.tick(25 * 3600)
    world.run()
    world.system.tables[None, "thing"].pop("x")
    world.clock.tick(25 * 3600)
    world.run()
    assert world.django.values(THING) is not None, "one again: it was there in between"
    world.clock.tick(25 * 3600)
    world.run()
    assert world.django.values(THING) is None


def test_a_poll_that_is_cut_off_and_made_again_counts_once(world, monkeypatch):
    world.system.tables[None, "thing"].pop("x")
    write = MemoryFirestore.write

    def away(database, writes):
        if writes[0].path.startswith("sync_checkpoints/poll:"):
            raise Transient("Firestore: deadline exceeded")
        return write(database, writes)

    world.clock.tick(25 * 3600)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFirestore, "write", away)
        assert world.run(crashing=True).failure
    world.run()
    assert world.django.values(THING) is not None, "it is the same list as far as anybody knows"
    world.clock.tick(25 * 3600)
    world.run()
    assert world.django.values(THING) is None


def test_an_empty_list_proves_nothing(world):
    world.system.tables[None, "thing"].clear()
    for _ in range(5):
        world.clock.tick(25 * 3600)
        world.run()
    assert len(world.django.rows) == 2


def test_what_can_be_fetched_is_not_deleted_whatever_the_lists_say(world):
    table, fetch = world.system.tables[None, "thing"], world.system.fetch
    row = table.pop("x")

    def knows_better(tenant, entity, externals):
        table["x"] = row
        try:
            return fetch(tenant, entity, externals)
        finally:
            table.pop("x")

    world.system.fetch = knows_better
    for _ in range(5):
        world.clock.tick(25 * 3600)
        world.run()
    assert world.django.values(THING) is not None


def test_a_change_of_a_record_that_is_not_shown_waits(world):
    world.system.tables[None, "thing"].pop("x")
    world.django.save(THING, {"a": "2"})
    report = world.run()
    assert report.directions["django_to_polled"].waiting == 1
    assert there(world, "x") is None, "and it is not made anew: nobody knows yet that it is gone"


def test_what_can_be_no_record_is_a_dead_letter_and_spoils_no_other(world):
    world.system.malformed = {"bad": Problem("malformed", "it has no name")}
    world.system.user_writes(None, "thing", "nan", {"a": float("nan")})
    world.system.user_writes(None, "thing", "good", {"a": "1"})
    world.run()
    assert sorted(letter["reason"] for letter in world.refused()) == ["malformed", "not-representable"]
    assert world.django.values(RecordId("thing", "good")) == {"a": "1"}


def test_a_key_belongs_to_one_record_there_for_good():
    world = PolledWorld(Random(0), knows_keys=True)
    world.system.user_writes(None, "thing", "1", {"a": "first"}, "k")
    world.run()
    world.system.user_writes(None, "thing", "2", {"a": "second"}, "k")
    world.run()
    assert world.django.values(RecordId("thing", "k")) == {"a": "first"}
    assert [letter["reason"] for letter in world.refused()] == ["key-taken"]


def test_an_edit_is_as_old_as_the_system_says_unless_its_clock_did_not_move(world):
    world.system.tells_time = True
    world.clock.tick(3600)
    world.system.user_writes(None, "thing", "x", {"a": "2"})
    edited = world.clock()
    world.clock.tick(3600)
    world.run()
    stamps = {name: value.stamp for name, value in world.django.version(THING).fields.items()}
    assert stamps["a"].startswith(edited.isoformat()[:19])
    world.system.tables[None, "thing"]["x"].fields["b"] = "moved no clock"
    world.clock.tick(25 * 3600)
    world.run()
    assert world.django.version(THING).fields["b"].stamp > f"{(edited + timedelta(hours=20)).isoformat()}"


def test_a_dry_run_asks_and_writes_nothing_there(world):
    world.django.save(THING, {"a": "2"})
    world.django.save(RecordId("thing", "new"), {"a": "3"})
    world.system.user_writes(None, "thing", "y", {"a": "4"})
    documents, rows = dict(world.database.documents), len(world.system.tables[None, "thing"])
    report = rehearse(sync, world.pair(), Order("dry"), world.store, world.clock)
    assert report.failure is None
    assert {(row["direction"], row["action"]) for row in report.plan} >= {
        ("django_to_polled", "update"),
        ("django_to_polled", "create"),
        ("polled_to_django", "create"),
    }
    assert (there(world, "x")["a"], len(world.system.tables[None, "thing"])) == ("1", rows)
    assert world.database.documents == documents


def test_a_delete_towards_a_system_that_cannot_is_a_dead_letter(world):
    class Keeper(MemorySystem):
        remove = None

    world.system.__class__ = Keeper
    world.django.delete(THING)
    world.run()
    assert [letter["reason"] for letter in world.refused()] == ["no-delete"]
    assert there(world, "x") is not None


def test_health_does_not_complain_of_what_waits_for_a_system_that_takes_no_changes():
    schools = Schools(writable=False)
    schools.run()
    schools.django.save(RecordId("thing", "1", "north"), {"b": "mine"})
    schools.clock.tick(40 * 3600)
    schools.run()
    told = pair_health(schools.pair, Health(), schools.store, schools.clock())
    assert [each["code"] for each in told["problems"]] == []


def test_a_create_whose_answer_was_lost_is_not_made_again_before_a_poll_has_looked_for_it():
    schools = Schools()
    schools.run()
    new, polled = RecordId("thing", "new", "south"), schools.pair.right
    assert isinstance(polled, PolledPeer)
    schools.django.save(new, {"b": "mine"})
    write = schools.system.write

    def lost(*arguments):
        write(*arguments)
        raise Transient("no answer")

    schools.system.write = lost
    schools.run()
    schools.system.write = write
    changes = [change for page in schools.django.changes(schools.pair.scope) for change in page.changes]
    [result] = polled.apply(changes, "before any poll")
    assert (result.outcome, result.problem.code) == (Outcome.RETRY, "not-polled")
    schools.run()
    assert len([row for row in schools.system.tables["south", "thing"].values() if row.fields.get("b") == "mine"]) == 1
    assert schools.django.values(new) == {"b": "mine"}
    assert len([id for id in schools.django.rows if id.tenant == "south" and id.entity == "thing"]) == 2, (
        "and it is the same record"
    )
