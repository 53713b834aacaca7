"""Bakaláři schools, each trap of their API by its name: a stand-in over HTTP, the real peer, Firestore in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest
from bakalari.school import DAY, Person, School, lesson
from bakalari.server import serving
from memory_firestore import Clock, MemoryFirestore
from world import Quiet

from shared.engine import sync
from shared.errors import TerminalBatch
from shared.mapping import Entity, Field, Type
from shared.model import Scope
from shared.naming import key_of
from shared.peers import bakalari
from shared.peers.bakalari_client import Account, Client, accounts_in
from shared.peers.firestore import FirestorePeer
from shared.peers.polled import PolledPeer
from shared.peers.polled_records import Habits
from shared.report import Report
from shared.run import Order, Pair
from shared.store import Store

STAGES = {
    "class": ("abbrev", "name", "kind", "parent", "active"),
    "subject": ("name", "abbrev", "active"),
    "user": ("name", "abbrev", "email", "kind", "active"),
    "enrolment": ("user", "school_class", "group", "subject", "role", "year", "active"),
}
WEEK = timedelta(days=7)


def entity(name: str, names: tuple[str, ...]) -> Entity:
    return Entity(name, f"schools/{{tenant}}/{name}", tuple(Field(each, Type.JSON, each) for each in names))


@dataclass
class Town:
    """Two schools with the same ids, and what Firestore has of them."""

    schools: dict[str, School]
    public: bool = False

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.clock.time = DAY
        self.database, self.log = MemoryFirestore(self.clock), Quiet()
        self.store, self.exits, self.runs = Store(self.database), ExitStack(), 0
        for each in self.schools.values():
            each.now = self.clock

    def __enter__(self) -> Self:
        self.urls = {name: self.exits.enter_context(serving(school)) + "/" for name, school in self.schools.items()}
        of = {name: school.people for name, school in self.schools.items()}
        self.accounts = {name: [Account(each.username, each.password) for each in people] for name, people in of.items()}
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.exits.close()

    def start(self) -> None:
        """Make the peers, as a new instance does."""
        entities = [entity(*each) for each in STAGES.items()]
        makers = {name: lambda name=name: self._school(name) for name in self.schools}
        self.system = bakalari.Bakalari("bakalari", makers, self.clock)
        habits = Habits(timedelta(0), 3, "active", 0.2)
        left = PolledPeer(self.system, self.database, "school", entities, self.clock, habits)
        right = FirestorePeer("firestore", self.database, "school", entities, self.clock, self.clock.tick)
        scope, tenants = Scope("school", tuple(STAGES)), dict.fromkeys(STAGES, tuple(self.schools))
        self.pair = Pair("school", left, right, scope, self.database.billed, tenants=tenants, read_only=frozenset({"bakalari"}))
        self.pair = replace(self.pair, entities={each.name: each for each in entities})

    def _school(self, name: str) -> bakalari.School:
        accounts = enumerate(self.accounts[name], 1)
        clients = [Client(f"school {name}, account {number}", self.urls[name], each, self.clock) for number, each in accounts]
        return bakalari.School(clients, self.public)

    def run(self, after: timedelta = timedelta(minutes=15)) -> Report:
        self.clock.time += after
        self.runs += 1
        return sync(self.pair, Order(f"run-{self.runs}"), self.store, self.clock, self.log)

    def rows(self, name: str, kind: str) -> dict[str, dict[str, Any]]:
        start, found = f"schools/{name}/{kind}/", dict[str, dict[str, Any]]()
        for path, each in self.database.documents.items():
            if path.startswith(start):
                found[key_of(path.removeprefix(start))] = {at: value for at, value in each.fields.items() if at != "_sync"}
        return found

    def active(self, name: str, kind: str) -> set[str]:
        return {key for key, row in self.rows(name, kind).items() if row["active"]}

    def trouble(self, name: str = "north") -> str:
        report = self.run()
        assert set(report.tenants) == {name}, "of that school only"
        assert self.rows("south", "enrolment"), "and the other one is there"
        message = report.tenants[name].message
        assert not any(secret in message for secret in ("heslo", "vzor1", "Vzor", "1234")), "nobody's name, and no password"
        return message


@pytest.fixture
def town() -> Iterator[Town]:
    with Town({"north": School(), "south": School()}) as made:
        yield made


@pytest.fixture
def north(town: Town) -> School:
    return town.schools["north"]


def test_classes_subjects_users_and_enrolments_arrive_in_this_order_and_a_second_run_changes_nothing(town):
    report = town.run()
    assert not report.failure
    assert not report.tenants
    created = {"classesCreated": 10, "subjectsCreated": 8, "usersCreated": 10, "enrolmentsCreated": 24}
    assert report.as_json()["counts"] == created, "of both schools"
    assert {kind: len(town.rows("north", kind)) for kind in STAGES} == {"class": 5, "subject": 4, "user": 5, "enrolment": 12}
    before = dict(town.database.documents)
    assert town.run().moved == 0
    kept = {path for path, each in town.database.documents.items() if before.get(path) != each}
    assert not {path for path in kept if path.startswith(("schools/", "sync_refs/", "sync_queue/"))}


def test_a_new_instance_knows_what_the_last_one_saw(town):
    town.run()
    town.start()
    assert town.run().moved == 0


def test_ids_are_never_trimmed(town):
    town.run()
    subjects = town.rows("north", "subject")
    assert (subjects["%206"]["name"], subjects["6"]["name"]) == ("Biology", "Singing")
    assert "U%20%2012" in town.rows("north", "user")


def test_texts_are_trimmed(town):
    town.run()
    assert town.rows("north", "subject")["%206"]["abbrev"] == "B"


def test_punctuation_in_ids_is_escaped_in_keys(town):
    town.run()
    assert "GV%7BOI" in town.rows("north", "subject")
    assert "BNMVP%3AT%3A1N" in town.rows("north", "user")
    assert any(key.startswith("BNMVP%3AT%3A1N:XL:") for key in town.rows("north", "enrolment"))


def test_an_id_is_unique_only_within_its_kind(town, north):
    north.groups["XL"][0]["Id"] = "XL"
    for each in north.lessons["XL"]:
        each["GroupIds"] = ["XL" if group == "0C" else group for group in each["GroupIds"]]
    town.run()
    assert {row["kind"] for key, row in town.rows("north", "class").items() if key in {"XL", "group%3AXL"}} == {"class", "group"}


def test_an_id_is_unique_only_within_its_school(town, north):
    north.teachers["U  12"] = ("Mgr. Alena Jiná", "Ji")
    town.run()
    names = {name: town.rows(name, "user")["U%20%2012"]["name"] for name in ("north", "south")}
    assert names == {"north": "Mgr. Alena Jiná", "south": "Mgr. Karel Vzor"}


def test_groups_that_are_repeated_are_one(town):
    town.run()
    assert sum(row["kind"] == "group" for row in town.rows("north", "class").values()) == 3


def test_a_group_points_to_its_class_and_an_enrolment_to_what_came_before_it(town):
    town.run()
    assert town.rows("north", "class")["group%3A0X"]["parent"] == "XL"
    for row in town.rows("north", "enrolment").values():
        assert row["user"] in town.rows("north", "user")
        assert {row["school_class"], row["group"]} - {None} <= set(town.rows("north", "class"))
        assert row["subject"] is None or row["subject"] in town.rows("north", "subject")


def test_a_lesson_that_was_removed_has_nulls_and_enrols_nobody(town, north):
    assert lesson("0C", None, None) in north.lessons["XL"]
    town.run()
    assert all("None" not in key for key in town.rows("north", "enrolment"))


def test_what_day_a_permanent_timetable_calls_a_holiday_does_not_matter(town):
    town.run()
    assert len(town.rows("north", "enrolment")) == 12


def test_the_name_in_an_account_has_the_class_behind_it_and_a_parents_account_is_the_childs(town):
    town.run()
    users = town.rows("north", "user")
    assert users["1234%2Fvzor2"]["name"] == "Ukázkový Jan"
    assert users["1234%2Fvzor1"]["kind"] == users["1234%2Fvzor2"]["kind"] == "student"


def test_a_richer_source_of_a_teacher_wins(town):
    town.run()
    assert town.rows("north", "user")["URBOT"]["email"] == "př@skola.example"


@pytest.mark.parametrize("mode", ["holidays", "summer"])
def test_empty_answers_in_holidays_and_blank_ids_in_summer_are_no_leavers(town, north, mode):
    town.run()
    before = {kind: town.rows("north", kind) for kind in STAGES}
    north.mode = mode
    for _ in range(6):
        assert not town.run(WEEK).failure
    assert {kind: town.rows("north", kind) for kind in STAGES} == before


def test_july_and_august_prove_nothing_whatever_is_shown(town, north):
    town.clock.time = datetime(2027, 6, 1, 9, tzinfo=UTC)
    town.run()
    town.clock.time = datetime(2027, 7, 10, 9, tzinfo=UTC)
    north.lessons["XM"] = north.lessons["XM"][1:]
    for _ in range(5):
        town.run(timedelta(days=2))
    assert "6" in town.active("north", "subject")


def test_a_leaver_is_deactivated_after_several_complete_runs_and_never_deleted_and_may_come_back(town, north):
    town.run()
    gone = north.lessons["XM"].pop(0)
    for _ in range(2):
        town.run()
        assert "6" in town.active("north", "subject")
    town.run()
    assert "6" not in town.active("north", "subject")
    assert "6" in town.rows("north", "subject")
    assert "6" in town.active("south", "subject")
    assert town.run().moved == 0
    north.lessons["XM"].append(gone)
    town.run()
    assert "6" in town.active("north", "subject")


def test_a_list_that_lacks_much_is_believed_by_nobody(town, north):
    north.lessons["XL"] += [lesson("0X", "15", "URBOT") for _ in range(3)]
    town.run()
    before = town.active("north", "enrolment")
    north.lessons = {home: some[-1:] for home, some in north.lessons.items()}
    messages = [str(town.run().tenants) for _ in range(5)]
    assert "are missing from the list of enrolment" in messages[-1]
    assert town.active("north", "enrolment") == before


def test_an_edit_at_the_school_is_counted_as_an_update(town, north):
    town.run()
    north.teachers["U  12"] = ("Mgr. Karel Nový", "Vz")
    assert town.run().counts == {"usersUpdated": 1}


def test_an_account_that_fails_leaves_the_others_and_proves_no_leaver(town, north):
    town.run()
    north.people[1] = replace(north.people[1], password="another")
    north.access.clear()
    north.refresh.clear()
    north.teachers["U  12"] = ("Mgr. Nové Jméno", "NJ")
    for _ in range(5):
        report = town.run()
    assert "account 2" in report.tenants["north"].message
    assert len(town.active("north", "class")) == 5


def test_a_stage_that_fails_stops_the_later_ones_of_that_school_only(town, north):
    north.down.add("subjects")
    message = town.trouble()
    assert "answers 500 to subjects" in message
    assert len(town.rows("north", "class")) == 5
    assert not town.rows("north", "user")
    assert not town.rows("north", "enrolment")
    assert len(town.rows("south", "enrolment")) == 12
    north.down.clear()
    assert town.run(WEEK).tenants == {}
    assert len(town.rows("north", "enrolment")) == 12


def test_wrong_credentials_are_said_to_be_that(town, north):
    north.people = [Person("else", "else", "1/2", "Jiný Kdo", "XL")]
    assert "account 1: it refuses user name or password; mend them in the school's secret" in town.trouble()


def test_a_maintenance_page_passes(town, north):
    north.mode = "maintenance"
    message = town.trouble()
    assert "503" in message
    assert "maintenance page" in message
    assert town.run().tenants["north"].retry is True


def test_a_web_page_instead_of_data_is_a_wrong_address_or_a_maintenance_page(town, north):
    north.mode = "login page"
    assert "a web page where data should be" in town.trouble()


def test_a_wrong_address_is_said_to_be_that(town):
    town.urls["north"] += "bakaweb"
    assert "404" in (message := town.trouble())
    assert "the address is what comes before /login" in message


def test_a_server_that_is_not_there_is_said_to_be_that(town):
    town.urls["north"] = "http://127.0.0.1:9"
    assert "no answer (ConnectionError); is the address right, and the school's server up?" in town.trouble()


def test_an_old_version_refuses_the_login_as_a_whole(town, north):
    north.mode = "old"
    assert "(invalid_client); its version may be too old" in town.trouble()


def test_how_long_a_token_lasts_is_what_the_school_says(town, north):
    north.seconds = 599
    town.run()
    logins = len(north.logins)
    town.run(timedelta(minutes=5))
    assert len(north.logins) == logins, "it still lasts"
    town.run(timedelta(minutes=6))
    assert north.logins[logins:] == ["refresh_token"] * 2


def test_refresh_tokens_rotate_and_a_used_one_is_not_used_again(town, north):
    for _ in range(5):
        town.run(timedelta(hours=2))
    assert north.logins == ["password"] * 2 + ["refresh_token"] * 8
    assert len(north.redeemed) == 8


@pytest.mark.parametrize("how", ["redeemed", "died of age"])
def test_a_refresh_token_that_is_used_up_is_no_wrong_password(town, north, how):
    town.run()
    north.redeemed |= set(north.refresh) if how == "redeemed" else set()
    north.refresh.clear()
    assert town.run(timedelta(days=40)).tenants == {}
    assert north.logins[-2:] == ["refresh_token", "password"]


def test_a_token_that_the_school_forgot_is_replaced(town, north):
    town.run()
    north.access.clear()
    assert town.run().tenants == {}


def test_the_public_timetable_has_classes_and_teachers_that_no_account_sees():
    with Town({"north": School(), "south": School()}, public=True) as town:
        town.run()
        assert town.rows("north", "class")["XN"]["name"] == "1.C"
        assert town.rows("north", "user")["UWZIS"]["name"] == "Nováková Eva"
        assert town.rows("north", "user")["U%20%2012"]["name"] == "Mgr. Karel Vzor", "an account's knowledge goes before it"
        town.schools["north"].mode = "summer"
        assert town.run().moved == 0, "and is not replaced by it while the accounts show nothing"


@pytest.mark.parametrize("text", ["", "[]", "{}", '[{"username": "a"}]', '[{"username": "a", "password": 1}]'])
def test_a_secret_that_holds_no_accounts_says_what_it_has_to_hold(text):
    with pytest.raises(TerminalBatch, match="secret x: is no JSON list of objects"):
        accounts_in(text, "secret x")
