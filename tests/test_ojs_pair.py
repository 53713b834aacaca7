"""OJS journals ↔ a portal, by the engine: the journals' stand-ins over HTTP, the portal and the sync's state in memory."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pytest
from memory_firestore import Clock, MemoryFirestore
from ojs.sample import NAMES, installation, journal_of
from ojs.server import serving
from ojs.site import MANAGER, REVIEWER, Journal, Site
from ojs.stage import address, system
from world import Quiet

from shared.config import Settings, parse
from shared.engine import sync
from shared.model import RecordId, Scope
from shared.peers.firestore import FirestorePeer
from shared.peers.memory import MemoryPeer
from shared.peers.ojs import Ojs
from shared.peers.polled import PolledPeer
from shared.peers.polled_records import Habits
from shared.reconcile import Task, reconcile
from shared.report import Report
from shared.run import Order, Pair
from shared.store import Store

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def settings(name: str, urls: Mapping[str, str]) -> Settings:
    """Return an example's settings."""
    others = {"DJANGO_URL": "http://127.0.0.1:9", "GOOGLE_CLOUD_PROJECT": "demo-journals"}
    others |= {f"OJS_{version.replace('.', '')}_URL": "http://127.0.0.1:9" for version in NAMES}
    return parse((EXAMPLES / name).read_text(encoding="utf-8"), name, {**others, **urls})


@dataclass
class Press:
    """Installations that serve, and the pair over them. `other` is the peer at the other side."""

    urls: Mapping[str, str]
    sites: Mapping[str, Site]
    tokens: dict[str, str] = field(default_factory=dict)
    example: str = "ojs.yaml"
    habits: Habits = field(default_factory=Habits)
    runs: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    log: Quiet = field(default_factory=Quiet)

    def __post_init__(self) -> None:
        self.database = MemoryFirestore(Clock())
        self.database.now.time = datetime.now(UTC) + timedelta(seconds=1)
        for site in self.sites.values():
            site.clock = self.now
        self.store = Store(self.database)
        self.restart()

    def now(self) -> datetime:
        return self.database.now()

    def later(self, **more: float) -> None:
        """Let time go by, here and at the journals."""
        self.database.now.tick(timedelta(**more).total_seconds())

    def restart(self) -> None:
        """Begin anew, as another instance that knows only what was kept."""
        spec = settings(self.example, {f"OJS_{name.replace('.', '')}_URL": url for name, url in self.urls.items()})
        ((name, pair),) = spec.pairs.items()
        entities = {each.name: each for each in pair.mapped()}
        self.ojs: Ojs = system({each.path: self.address(version) for version, each in self.journals.items()}, now=self.now)
        self.polled = PolledPeer(self.ojs, self.database, name, list(entities.values()), self.now, self.habits)
        names = {each.name: each.names for each in entities.values()}
        if self.example == "ojs.yaml":
            self.other: Any = getattr(self, "other", None) or MemoryPeer("django", names, self.now)
        else:
            self.other = FirestorePeer(
                "firestore", self.database, name, list(entities.values()), self.now, self.database.now.tick
            )
        tenants = {entity: tuple(each.path for each in self.journals.values()) for entity in entities}
        scope = Scope(name, tuple(entities))
        self.pair = Pair(name, self.polled, self.other, scope, self.database.billed, entities=entities, tenants=tenants)

    @cached_property
    def journals(self) -> dict[str, Journal]:
        """The sample journal of each installation, by its version."""
        return {version: journal_of(site) for version, site in self.sites.items()}

    def address(self, version: str) -> Any:
        """Return how the library gets at a journal."""
        journal = self.journals[version]
        return address(self.sites[version], journal, self.urls[version], self.tokens.get(journal.path), timeout=5.0)

    def run(self, work: Callable[..., Report] = sync, **order: Any) -> Report:
        """Run the pair and check that its report accounts for everything."""
        self.later(seconds=2)
        report = work(self.pair, Order(f"run-{next(self.runs)}", **order), self.store, self.now, self.log)
        assert all(tally.even for tally in report.directions.values())
        assert report.failure is None, report.failure
        return report

    def held(self, entity: str, tenant: str, key: str) -> dict[str, Any] | None:
        """Return what the other side holds of a record, without nulls."""
        [found] = self.other.read([RecordId(entity, key, tenant)]) or [None]
        if found is None or found.version.deleted:
            return None
        return {name: each.value for name, each in found.version.fields.items() if each.value is not None}

    def count(self, entity: str, tenant: str) -> int:
        """Return how many live records of a tenant the other side has."""
        return sum(map(len, self.other.records(Scope(self.pair.name, (entity,), tenant), entity)))

    def kept(self, prefix: str) -> dict[str, Any]:
        """Return the documents of a collection of the sync's own."""
        return {path: each.fields for path, each in self.database.documents.items() if path.startswith(f"{prefix}/")}

    def letters(self) -> list[str]:
        """Return the reasons of the dead letters."""
        return sorted(each["reason"] for each in self.kept("sync_dead_letters").values() if each["status"] == "open")


@pytest.fixture
def press(request: pytest.FixtureRequest) -> Iterator[Callable[..., Press]]:
    """Make a press over installations of these versions."""
    with ExitStack() as exits:

        def make(*versions: str, **more: Any) -> Press:
            sites = {version: installation(version, *NAMES[version]) for version in versions}
            return Press({version: exits.enter_context(serving(site)) for version, site in sites.items()}, sites, **more)

        yield make


def moved(report: Report) -> int:
    return report.moved


# First load, both ways, and nothing twice


@pytest.mark.parametrize("version", NAMES)
def test_a_first_sync_brings_everything_that_the_version_offers(press: Callable[..., Press], version: str):
    made = press(version)
    report = made.run()
    tenant = made.journals[version].path
    counted = {entity: made.count(entity, tenant) for entity in made.pair.scope.entities}
    assert counted == {
        "journal": 1,
        "profile": 4 if version in {"3.3", "3.6"} else 3,
        "issue": 1,
        "submission": 3,
        "review": 1,
        "comment": 1 if version == "3.6" else 0,
    }
    assert report.tenants == {}
    assert made.letters() == []


@pytest.mark.parametrize("version", NAMES)
def test_a_second_sync_moves_nothing(press: Callable[..., Press], version: str):
    made = press(version)
    made.run()
    assert moved(made.run()) == 0
    made.later(hours=30)
    assert moved(made.run()) == 0


@pytest.mark.parametrize("version", NAMES)
def test_an_edit_on_either_side_reaches_the_other_and_echoes_nowhere(press: Callable[..., Press], version: str):
    made = press(version)
    made.run()
    made.later(minutes=10)
    site, tenant, locale = made.sites[version], made.journals[version].path, made.sites[version].locale
    site.edit_publication(site.publications[2], {"pages": "11-19"})
    made.other.save(RecordId("submission", "2", tenant), {"title": {locale: "On lichen"}})
    made.run()
    assert site.publications[2]["title"] == {locale: "On lichen"}
    assert made.held("submission", tenant, "2")["pages"] == "11-19"  # type: ignore[index]
    made.later(minutes=10)
    assert moved(made.run()) == 0
    made.later(hours=30)
    assert moved(made.run()) == 0


def test_two_edits_of_one_field_are_a_conflict_and_the_later_wins(press: Callable[..., Press]):
    made = press("3.6")
    made.run()
    made.later(minutes=10)
    made.other.save(RecordId("submission", "2", "summit"), {"title": {"en": "The portal's"}})
    made.later(minutes=10)
    made.sites["3.6"].edit_publication(made.sites["3.6"].publications[2], {"title": {"en": "The editor's"}})
    made.later(minutes=10)
    report = made.run()
    made.run()
    assert len(report.conflicts) == 1
    assert made.held("submission", "summit", "2")["title"] == {"en": "The editor's"}  # type: ignore[index]
    assert made.sites["3.6"].publications[2]["title"] == {"en": "The editor's"}
    (kept,) = made.kept("sync_conflicts").values()
    assert {"en": "The portal's"} in [kept["local"].get("value"), kept["incoming"].get("value")]


@pytest.mark.parametrize("version", ["3.4", "3.5", "3.6"])
def test_a_new_submission_of_the_portal_becomes_one_draft(press: Callable[..., Press], version: str):
    made = press(version)
    made.run()
    site, tenant, locale = made.sites[version], made.journals[version].path, made.sites[version].locale
    made.other.save(RecordId("submission", "portal-1", tenant), {"title": {locale: "On wind"}})
    made.run()
    made.run()
    assert [each["submissionProgress"] for each in site.submissions.values()].count("start") == 1
    held = made.held("submission", tenant, "portal-1")
    assert held is not None
    assert held["ojs_id"] == max(site.submissions)
    assert made.count("submission", tenant) == 4
    made.later(hours=30)
    assert moved(made.run()) == 0


@pytest.mark.parametrize("version", ["3.4", "3.5", "3.6"])
def test_a_lost_answer_to_a_create_leaves_one_draft_and_one_record(press: Callable[..., Press], version: str):
    made = press(version)
    made.run()
    site, tenant, locale = made.sites[version], made.journals[version].path, made.sites[version].locale
    made.other.save(RecordId("submission", "portal-1", tenant), {"title": {locale: "On wind"}})
    made.journals[version].trouble.loses_answers = 1
    report = sync(made.pair, Order("lost"), made.store, made.now, made.log)
    made.restart()
    made.later(minutes=10)
    made.run()
    made.later(minutes=10)
    made.run()
    assert report.failure or any(each.waiting for each in report.directions.values())
    assert len(site.submissions) == 4
    assert made.count("submission", tenant) == 4
    assert made.held("submission", tenant, "portal-1")["ojs_id"] == max(site.submissions)  # type: ignore[index]
    assert site.current(site.submissions[max(site.submissions)])["title"] == {locale: "On wind"}


def test_what_ojs_dropped_without_a_word_is_said_and_not_sent_for_ever(press: Callable[..., Press]):
    made = press("3.6")
    made.run()
    made.other.save(RecordId("submission", "2", "summit"), {"doi": "10.1/of-the-portal"})
    made.run()
    assert made.letters() == ["not-kept"]
    made.later(minutes=10)
    assert moved(made.run()) == 0


def test_what_is_published_and_cannot_be_changed_is_a_dead_letter_of_that_record_only(press: Callable[..., Press]):
    made = press("3.4")
    made.run()
    for key in ("1", "2"):
        made.other.save(RecordId("submission", key, "meadow"), {"pages": "1-2"})
    made.run()
    assert made.letters() == ["published"]
    assert made.sites["3.4"].publications[2]["pages"] == "1-2"


# What goes away


def test_what_several_complete_lists_lack_is_deleted_and_one_lack_is_not(press: Callable[..., Press]):
    made = press("3.6", habits=Habits(timedelta(hours=1), 3))
    made.run()
    del made.sites["3.6"].submissions[3]
    for expected in (True, True, False):
        made.later(hours=2)
        made.run()
        assert (made.held("submission", "summit", "3") is not None) == expected


def test_half_a_list_deletes_nothing(press: Callable[..., Press]):
    made = press("3.6", habits=Habits(timedelta(hours=1), 1))
    made.run()
    made.journals["3.6"].trouble.page = "<html>maintenance</html>"
    for _ in range(4):
        made.later(hours=2)
        assert made.run().tenants["summit"].retry is False
    assert made.count("submission", "summit") == 3


# Isolation


def test_records_of_two_journals_with_the_same_id_are_two_records(press: Callable[..., Press]):
    made = press("3.3", "3.6")
    made.run()
    made.later(minutes=10)
    made.other.save(RecordId("submission", "2", "summit"), {"pages": "of summit"})
    made.run()
    assert made.sites["3.6"].publications[2]["pages"] == "of summit"
    assert made.sites["3.3"].publications[2]["pages"] is None
    assert made.held("submission", "harbour", "2").get("pages") is None  # type: ignore[union-attr]


def test_a_person_of_two_journals_is_one_with_an_id_in_each(press: Callable[..., Press]):
    made = press("3.3", "3.6")
    made.sites["3.6"].user("Somebody Before", "before@people.example", {"summit": {MANAGER}})
    made.sites["3.6"].users[2], made.sites["3.6"].users[5] = (
        made.sites["3.6"].users[5] | {"id": 2},
        made.sites["3.6"].users[2] | {"id": 5},
    )
    made.run()
    refs = [each for each in made.kept("sync_refs").values() if each.get("entity") == "profile" and each.get("external")]
    by_key: dict[str, dict[str, str]] = {}
    for each in refs:
        by_key.setdefault(each["key"], {})[each["tenant"]] = each["external"]
    both = [each for each in by_key.values() if len(each) == 2]
    assert both == [{"harbour": "2", "summit": "5"}]


def test_one_down_one_slow_one_with_a_wrong_key_and_the_others_complete(press: Callable[..., Press]):
    made = press("3.3", "3.4", "3.5", "3.6", tokens={"quarry": "mistaken"})
    made.journals["3.3"].trouble.down = True
    made.journals["3.4"].trouble.seconds = 0.02
    report = made.run()
    assert set(report.tenants) == {"harbour", "quarry"}
    assert "is OJS up and the address right" in report.tenants["harbour"].message
    assert "the token is wrong" in report.tenants["quarry"].message
    assert [made.count("submission", tenant) for tenant in ("harbour", "meadow", "quarry", "summit")] == [0, 3, 0, 3]
    made.journals["3.3"].trouble.down = False
    assert set(made.run().tenants) == {"quarry"}
    assert made.count("submission", "harbour") == 3


def test_a_journal_whose_records_are_of_another_is_not_taken_at_all(press: Callable[..., Press]):
    made = press("3.5", "3.6")
    made.sites["3.6"].submissions[2]["contextId"] = 9
    made.sites["3.6"].submissions[3]["contextId"] = 9
    made.journals["3.6"].id = 9
    report = made.run()
    assert set(report.tenants) == {"summit"}
    assert made.count("submission", "quarry") == 3


def test_an_edit_for_a_journal_that_is_down_waits_and_lets_the_others_pass(press: Callable[..., Press]):
    made = press("3.5", "3.6")
    made.run()
    made.later(minutes=10)
    for tenant in ("quarry", "summit"):
        made.other.save(RecordId("submission", "2", tenant), {"pages": "3-4"})
    made.journals["3.5"].trouble.down = True
    report = sync(made.pair, Order("down"), made.store, made.now, made.log)
    assert "quarry" in report.tenants
    assert made.sites["3.6"].publications[2]["pages"] == "3-4"
    made.journals["3.5"].trouble.down = False
    made.later(minutes=10)
    made.run()
    assert made.sites["3.5"].publications[2]["pages"] == "3-4"


def test_a_record_that_cannot_be_read_stops_only_itself(press: Callable[..., Press]):
    made = press("3.6")
    made.sites["3.6"].users[9] = made.sites["3.6"].users[3]
    made.sites["3.6"].review(made.sites["3.6"].submissions[3], 3, statusId=["what is this"])
    made.run()
    assert made.letters() == ["malformed"]
    assert made.count("review", "summit") == 1


def test_no_secret_of_ojs_is_kept_anywhere_nor_logged(press: Callable[..., Press]):
    made = press("3.5", "3.6")
    made.run()
    kept = json.dumps([each.fields for each in made.database.documents.values()], default=str) + json.dumps(
        made.log.lines, default=str
    )
    assert "secret-" not in kept
    assert "key-of-" not in kept


# Clocks


@pytest.mark.parametrize("version", NAMES)
def test_contributors_are_found_by_the_full_scan_that_comes_round(press: Callable[..., Press], version: str):
    made = press(version)
    made.run()
    made.later(hours=3)
    site, tenant = made.sites[version], made.journals[version].path
    site.submission(made.journals[version], "A later one")
    made.run()
    made.later(hours=3)
    site.author(site.publications[2], "Berta Second", "berta@people.example")
    made.run()
    made.later(hours=25)
    made.run()
    named = made.held("submission", tenant, "2")["contributors"]  # type: ignore[index]
    assert [each["email"] for each in named] == [f"ada@{tenant}.example", "berta@people.example"]


def test_an_edit_that_moved_no_clock_still_beats_an_older_one(press: Callable[..., Press]):
    made = press("3.6", habits=Habits(timedelta(hours=1), 3))
    made.run()
    made.later(minutes=10)
    made.other.save(RecordId("submission", "2", "summit"), {"contributors": []})
    made.later(minutes=10)
    site = made.sites["3.6"]
    site.author(site.publications[2], "Berta Second", "berta@people.example")
    made.later(hours=2)
    made.run()
    named = made.held("submission", "summit", "2")["contributors"]  # type: ignore[index]
    assert [each["email"] for each in named] == ["ada@summit.example", "berta@people.example"]


def test_a_journal_with_an_interval_is_polled_no_more_often_unless_it_is_named(press: Callable[..., Press]):
    made = press("3.5", "3.6", habits=Habits(every={"summit": timedelta(hours=4)}))
    made.run()
    for version in ("3.5", "3.6"):
        made.sites[version].edit_publication(made.sites[version].publications[2], {"pages": "1-2"})
    made.later(hours=1)
    made.run()
    assert [(made.held("submission", tenant, "2") or {}).get("pages") for tenant in ("quarry", "summit")] == ["1-2", None]
    made.pair = replace(made.pair, scope=replace(made.pair.scope, tenant="summit"))
    made.run()
    assert (made.held("submission", "summit", "2") or {})["pages"] == "1-2"
    made.pair = replace(made.pair, scope=replace(made.pair.scope, tenant=None))
    made.sites["3.6"].edit_publication(made.sites["3.6"].publications[2], {"pages": "3-4"})
    made.later(hours=4)
    made.run()
    assert (made.held("submission", "summit", "2") or {})["pages"] == "3-4"


# Reconcile, and Firestore in the portal's place


@pytest.mark.parametrize("example", ["ojs.yaml", "agents.yaml"])
def test_a_reconcile_finds_both_sides_equal(press: Callable[..., Press], example: str):
    made = press("3.5", "3.6", example=example)
    made.run()
    report = made.run(partial(reconcile, task=Task("full")))
    assert {name: (each.compared, each.different) for name, each in report.reconciled.items()} == {
        name: (each.compared, 0) for name, each in report.reconciled.items()
    }
    assert sum(each.compared for each in report.reconciled.values()) > 6


def test_ojs_and_firestore_are_a_pair_by_configuration_alone(press: Callable[..., Press]):
    made = press("3.5", "3.6", example="agents.yaml")
    made.run()
    document = made.database.documents["journals/summit/submissions/2"].fields
    assert document["title"] == {"en": "On moss"}
    made.later(minutes=10)
    made.database.client_update("journals/summit/submissions/2", {"title": {"en": "On lichen"}})
    made.other.read([RecordId("submission", "2", "summit")])
    made.run()
    assert made.sites["3.6"].publications[2]["title"] == {"en": "On lichen"}
    assert made.sites["3.5"].publications[2]["title"] == {"en": "On moss"}


def test_a_review_that_is_handed_in_arrives_with_what_the_version_tells(press: Callable[..., Press]):
    made = press("3.6")
    made.run()
    made.later(hours=1)
    site = made.sites["3.6"]
    reviewer = site.user("Rita Reviewer", "rita@people.example", {"summit": {REVIEWER}})
    review = site.review(site.submissions[3], reviewer)
    made.run()
    made.later(hours=1)
    site.complete(site.submissions[3], review, 1, "<p>Fine.</p>", "<p>Really fine.</p>")
    made.run()
    held = made.held("review", "summit", f"3-{review['id']}")
    assert held is not None
    assert (held["verdict"], held["confidential_comments"]) == ("approved", "<p>Really fine.</p>")


WRONG: dict[str, tuple[Callable[[Press], None], str]] = {
    # what is wrong with quarry, what the run's report says of it and of no other
    "a server that is down": (
        lambda made: setattr(made.journals["3.5"].trouble, "down", True),
        "is OJS up and the address right",
    ),
    "a wrong key": (lambda made: made.tokens.update(quarry="mistaken"), "the token is wrong"),
}


@pytest.mark.parametrize("spoil, said", WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_one_journal_is_said_of_that_one_alone(press: Callable[..., Press], spoil: Any, said: str):
    made = press("3.5", "3.6")
    spoil(made)
    made.restart()
    report = made.run()
    assert set(report.tenants) == {"quarry"}
    assert said in report.tenants["quarry"].message
    assert (made.count("submission", "quarry"), made.count("submission", "summit")) == (0, 3)
