"""The verifier: thousands of planted differences on the real emulator and a real Django; all are found, and nothing else."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from firestores import documents, plain_client
from planting import (
    REAL,
    SEEMING,
    TENANTS,
    WHOLE,
    Kind,
    Place,
    Planted,
    Row,
    assigned,
    in_django,
    in_firestore,
    insert,
    places_of,
    row_of,
    write_django,
    write_firestore,
)
from proxy import Fault, Proxy, half, page, status
from world import Quiet

from local.backend import Backend
from local.bundle import ROOT
from local.django_users import DjangoUsers
from local.emulator import Emulator
from shared.config import load
from shared.full import full
from shared.model import Scope
from shared.peers.documents import Firestore, Write
from shared.peers.firestore import FirestorePeer
from shared.peers.rest_queue import RestQueue
from shared.reconcile import Task, reconcile
from shared.report import Report
from shared.retry import Backoff
from shared.run import Order, Pair
from shared.store import Store

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]
TOKEN = "of-the-verifier-alone"
SIZES = {"interest": 3_000, "branch": 4_000, "member": 9_000, "event": 800}
STATE = ("sync_queue", "sync_conflicts", "sync_dead_letters", "sync_tombstones", "sync_checkpoints")


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Register:
    """Both sides, in step; what they hold is in `rows` as it was loaded."""

    backend: Backend
    users: DjangoUsers
    client: Any
    documents: Firestore
    rows: dict[Place, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        spec = load(ROOT / "sync.yaml", {"DJANGO_URL": self.backend.url, "GOOGLE_CLOUD_PROJECT": "x"}).pairs["members"]
        entities = {each.name: each for each in spec.mapped()}
        self.django = RestQueue("django", self.backend.url, entities, lambda: TOKEN)
        self.firestore = FirestorePeer("firestore", self.documents, "members", list(entities.values()), now, time.sleep)
        tenants = {name: each.tenants for name, each in spec.entities.items() if each.tenants}
        scope = Scope("members", tuple(entities), None, 500)
        self.pair = Pair("members", self.django, self.firestore, scope, self.documents.billed, tenants=tenants)
        self.store, self.log = Store(self.documents), Quiet()

    def reconcile(self, task: Task | None = None, fails: bool = False, **order: Any) -> Report:
        started = time.monotonic()
        report = reconcile(self.pair, Order(uuid.uuid4().hex, **order), self.store, now, self.log, task)
        assert (report.failure is not None) == fails, report.failure
        assert all(tally.even for tally in report.directions.values())
        total = {
            name: sum(getattr(each, name) for each in report.reconciled.values())
            for name in ("compared", "different", "repaired")
        }
        print(f"{task.mode if task else 'full'}: {total}, {report.billed}, {time.monotonic() - started:.1f} s")  # noqa: T201
        return report

    def scopes(self) -> list[tuple[str, Scope]]:
        """Each entity and tenant on its own."""
        pair = self.pair
        return [
            (entity, Scope("members", (entity,), tenant, 500))
            for entity in pair.scope.entities
            for tenant in pair.tenants_of(entity)
        ]

    def found(self) -> dict[str, set[Place]]:
        """Everything that comparing all records finds, by scope."""
        found: dict[str, set[Place]] = {}
        for entity, scope in self.scopes():
            ids = [id for batch in full(self.django, self.firestore, scope, entity) for id in batch.differing]
            assert len(ids) == len(set(ids))
            some = {Place(entity, id.key, id.tenant) for id in ids}
            found |= {next(iter(some)).scope: some} if some else {}
        return found

    def everything(self) -> dict[str, Any]:
        """All that lies in Firestore, with update times, save what says that there was a run."""
        entities = [self.firestore.layouts[entity].entity.collection_of(scope.tenant) for entity, scope in self.scopes()]
        return {
            row.id + row.reference.path: (row.to_dict(), row.update_time)
            for each in (*entities, *STATE)
            for row in self.client.collection(each).stream()
        }

    def equal(self) -> None:
        """Both sides hold the same, as plain Django and the plain client see it."""
        django, firestore = in_django(self.users), in_firestore(self.client)
        assert django.keys() == firestore.keys()
        assert {place: (row, firestore[place]) for place, row in django.items() if row != firestore[place]} == {}


@pytest.fixture(scope="module")
def register(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Register]:
    """A register of 20,000 records on both sides, loaded with SQL and by a first reconcile."""
    project = f"verifier-{uuid.uuid4().hex[:8]}"
    folder: Path = tmp_path_factory.mktemp("verifier")
    with Backend(folder, token=TOKEN, secret_key="x" * 50) as backend, DjangoUsers(backend.env, backend.manage_script) as users:
        made = Register(backend, users, plain_client(emulator.host, project), documents(emulator.host, project))
        for entity, size in SIZES.items():
            for tenant in TENANTS if entity == "event" else (None,):
                made.rows |= {place: row_of(entity, number) for number, place in enumerate(places_of(entity, size, tenant))}
        insert(users, made.rows)
        backend.manage("sync_scan")
        made.reconcile()
        made.equal()
        yield made
        made.client.close()


def real_kinds() -> list[Kind]:
    """Every way to make a difference, at both sides, and the loss of whole records, mixed."""
    mixed = [*REAL["firestore"], *REAL["django"], *WHOLE]
    random.Random(1).shuffle(mixed)
    return mixed


def plant(register: Register, plan: list[tuple[Place, Kind]]) -> Planted:
    """Write the changes, and return what differs by them."""
    write_firestore(register.client, [each for each in plan if each[1].side == "firestore"], register.rows)
    write_django(register.users, [each for each in plan if each[1].side == "django"], register.rows)
    planted = Planted()
    for place, kind in plan:
        if not kind.seeming:
            planted.rows.append((place, kind.field, kind.side == "django" and kind.field is not None))
    return planted


def add_on_one_side(register: Register, number: int, planted: Planted) -> None:
    """Write new records that only one side has."""
    rows = {Place(entity, f"X{each:04}"): row_of(entity, each) for entity in ("branch", "interest") for each in range(number)}
    insert(register.users, rows)
    batch = register.client.batch()
    added = [Place(entity, f"Y{each:04}") for entity in ("branch", "interest") for each in range(number)]
    for place in added:
        batch.set(
            register.client.document(place.path),
            {"name": "Nýtt", "city": "Bær"} if place.entity == "branch" else {"name": "Nýtt"},
        )
    batch.commit()
    planted.rows += [*((place, None, True) for place in rows), *((place, None, False) for place in added)]


def expect(report: Report, planted: Planted, lost: int, compared: int) -> None:
    """The report says exactly what was planted."""
    figures = report.reconciled
    assert {scope: each.different for scope, each in figures.items() if each.different} == {
        scope: len(places) for scope, places in planted.places.items()
    }
    assert {scope: each.fields for scope, each in figures.items() if each.fields} == planted.fields
    assert sum(each.compared for each in figures.values()) == compared
    if any(each.repaired for each in figures.values()):
        assert sum(each.repaired for each in figures.values()) == len(planted.rows)
        assert sum(each.put_back for each in figures.values()) == lost
    assert all(each.compared == each.equal + each.different for each in figures.values())


def every(register: Register, remainders: set[int]) -> list[Place]:
    return [place for number, place in enumerate(register.rows) if number % 4 in remainders]


def test_full_finds_every_planted_difference_and_no_other_and_mends_them(register: Register) -> None:
    seeming = assigned(every(register, {1}), SEEMING)
    plant(register, seeming)
    plan = assigned(every(register, {0, 2}), real_kinds())
    planted = plant(register, plan)
    add_on_one_side(register, 50, planted)
    lost = sum(kind.field is None for _, kind in plan)
    compared = len(register.rows) + 200
    print(f"{len(planted.rows)} differences planted, {lost} of them lost records, {len(seeming)} that only seem so")  # noqa: T201
    assert len(planted.rows) >= 10_000 <= compared - len(planted.rows)

    found = register.found()
    out_of_turn = {scope: {place for place in places if place.key == "__x__"} for scope, places in found.items()}
    assert {scope: places - out_of_turn[scope] for scope, places in found.items()} == {
        scope: places - out_of_turn[scope] for scope, places in planted.places.items()
    }

    firestore, django = register.everything(), in_django(register.users)
    report = register.reconcile(Task(repair=False))
    expect(report, planted, lost, compared)
    assert not any(each.repaired for each in report.reconciled.values())
    assert register.everything() == firestore
    assert in_django(register.users) == django

    report = register.reconcile()
    expect(report, planted.but_adopted(), lost, compared)
    assert report.directions["django_to_firestore"].read >= len(planted.rows) - len(planted.but_adopted().rows)
    register.equal()
    again = register.reconcile()
    assert sum(each.equal for each in again.reconciled.values()) == compared
    assert again.moved == 0


def adopted_without_a_word(register: Register, places: list[Place]) -> None:
    """Note the edits of these documents in their indexes, stored hashes included, as if their queue entries had been lost."""
    layouts = register.firestore.layouts
    paths = {place.path: place for place in places}
    snapshots, _ = register.documents.get(list(paths))
    writes: list[Write] = []
    for path, place in paths.items():
        record = layouts[place.entity].entity.record(path)
        if record and layouts[place.entity].held(record, snapshots[path]).unseen():
            writes.append(layouts[place.entity].adoption(record, snapshots[path])[2][0])
    assert set(register.documents.write(writes)) <= {0}


def test_quick_finds_every_difference_that_the_hashes_show_and_mends_them(register: Register) -> None:
    plan = assigned(every(register, {3}), real_kinds())
    planted = plant(register, plan)
    adopted_without_a_word(register, [place for place, kind in plan if kind.side == "firestore" and kind.field])
    compared = len(in_django(register.users).keys() | in_firestore(register.client).keys())
    report = register.reconcile(Task("quick"))
    lost = sum(kind.field is None for _, kind in plan)
    expect(report, planted, lost, compared)
    assert report.billed.reads <= allowed(compared) + 120 * len(planted.rows)
    register.equal()
    again = register.reconcile(Task("quick"))
    assert sum(each.equal for each in again.reconciled.values()) == compared
    assert again.billed.reads <= allowed(compared)


def allowed(records: int) -> float:
    """Reads of a quick reconcile of equal records: 150 for 100,000, and what an empty one costs: lease, queues, tenants."""
    return 150 * records / 100_000 + 30


def test_quick_finds_a_hundred_differences_for_little(register: Register) -> None:
    chosen = random.Random(2).sample([place for place in register.rows if place.entity == "member"], 100)
    statement = "UPDATE members_member SET notes = %s WHERE national_id = %s"
    register.users.call("sql", statement=statement, rows=[[f"of place {number}", each.key] for number, each in enumerate(chosen)])
    report = register.reconcile(Task("quick"))
    figures = report.reconciled["member"]
    assert (figures.different, figures.repaired, figures.fields) == (100, 100, {"notes": 100})
    print(f"{(report.billed.reads - allowed(len(register.rows))) / 100:.1f} reads a difference")  # noqa: T201
    assert report.billed.reads <= allowed(len(register.rows)) + 60 * 100
    register.equal()


def test_quick_cannot_see_an_edit_whose_trigger_was_lost_and_full_does(register: Register) -> None:
    places = [place for place in register.rows if place.entity == "interest" and place.key.startswith("I")][:50]
    write_firestore(
        register.client, [(place, Kind("firestore", "interest", "name", lambda _: "?")) for place in places], register.rows
    )
    assert register.reconcile(Task("quick")).reconciled["interest"].different == 0
    assert register.reconcile().reconciled["interest"].repaired == 50
    register.equal()


# An empty or half-read side is never taken for a deletion


def test_8_brakes_a_collection_that_is_gone_without_a_word_is_put_back(register: Register) -> None:
    gone = [place for place in in_firestore(register.client) if place.scope == "event of RVK"]
    delete = Kind("firestore", "event", None, lambda _: None)
    write_firestore(register.client, [(place, delete) for place in gone], register.rows)
    before = in_django(register.users)
    assert register.reconcile().reconciled["event of RVK"].put_back == len(gone) > 700
    assert in_django(register.users) == before
    register.equal()


def test_8_brakes_a_table_that_is_gone_without_a_word_is_put_back(register: Register) -> None:
    before = in_firestore(register.client)
    gone = [place for place in before if place.scope == "event of VEY"]
    register.users.call("sql", statement="DELETE FROM members_event WHERE tenant = %s", rows=[["VEY"]])
    assert register.reconcile(Task("quick")).reconciled["event of VEY"].put_back == len(gone) > 700
    assert in_firestore(register.client) == before
    register.equal()


def cut_off_after(requests: int, fault: Fault) -> Fault:
    """Let so many requests through and break all that follow."""
    seen: list[int] = []

    def later(handler: Any, forward: Any) -> bool:
        seen.append(1)
        return len(seen) > requests and fault(handler, forward)

    return later


@pytest.mark.parametrize("fault", [half, page, status(500)], ids=["a truncated page", "a page for people", "an error"])
def test_8_brakes_a_side_that_is_only_half_read_ends_the_run_and_the_next_goes_on(register: Register, fault: Fault) -> None:
    records, deleted = in_firestore(register.client), len(list(register.client.collection("sync_tombstones").stream()))
    whole = register.pair
    with Proxy(register.backend.url) as proxy:
        proxy.faults["records/"] = cut_off_after(4, fault)
        impatient = replace(register.django, url=proxy.url, backoff=Backoff(attempts=1))
        register.pair = replace(whole, left=impatient, scope=replace(whole.scope, entities=("member",)))
        failed = register.reconcile(Task(restart=True), fails=True)
        proxy.faults.clear()
        done = register.reconcile()
    register.pair = whole
    assert failed.failure is not None
    assert failed.failure.retry
    assert (failed.moved, failed.billed.deletes) == (0, 0)
    assert failed.reconciled["member"].different == done.reconciled["member"].different == 0
    assert done.resumed_from == failed.run_id
    assert done.reconciled["member"].compared == sum(place.entity == "member" for place in records)
    assert done.billed.reads < done.reconciled["member"].compared
    assert in_firestore(register.client) == records
    assert len(list(register.client.collection("sync_tombstones").stream())) == deleted
    register.equal()
