"""Every way to write makes exactly the queue entries it should, in the same transaction; raw SQL is found."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from calls import Client, at, change, created, entries, forget_entries
from databases import sql
from django.core import serializers
from django.core.management import call_command
from django.db import connection, models, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat
from members.models import Branch, Event, Interest, Member
from syncqueue.edits import one_edit
from syncqueue.models import QueueEntry, RecordIndex

ANNA, BO = "1", "2"


@pytest.fixture
def people(db: str) -> None:
    """Two members of one branch; Anna sings. The queue is empty."""
    branch = Branch.objects.create(code="AK", name="Akureyri")
    Branch.objects.create(code="RVK", name="Reykjavik")
    kor = Interest.objects.create(slug="kor", name="Kór")
    Interest.objects.create(slug="sund", name="Sund")
    anna = Member.objects.create(national_id=ANNA, name="Anna", branch=branch, joined_at="2020-01-01T00:00:00Z")
    Member.objects.create(national_id=BO, name="Bo", branch=branch)
    anna.interests.add(kor)
    forget_entries()


def anna() -> Member:
    return Member.objects.get(national_id=ANNA)


def interest(slug: str) -> Interest:
    return Interest.objects.get(slug=slug)


def save_with(**values: Any) -> None:
    member = anna()
    for name, value in values.items():
        setattr(member, name, value)
    member.save()


def bulk_updated() -> None:
    found = list(Member.objects.all())
    for member in found:
        member.visits = 9
    Member.objects.bulk_update(found, ["visits"])


def upserted() -> None:
    rows = [Member(national_id=ANNA, name="Ann"), Member(national_id="3", name="Cy")]
    Member.objects.bulk_create(rows, update_conflicts=True, unique_fields=["national_id"], update_fields=["name"])


def upserted_by_another_unique_field() -> None:
    save_with(email="a@x.is")
    rows = [Member(national_id="9", name="Ann", email="a@x.is")]
    Member.objects.bulk_create(rows, update_conflicts=True, unique_fields=["email"], update_fields=["name"])


def loaded() -> None:
    text = serializers.serialize("json", [anna()]).replace("Anna", "Ann")
    with transaction.atomic():
        for one in serializers.deserialize("json", text):
            one.save()


def renamed_key_by_update() -> None:
    Member.objects.filter(national_id=ANNA).update(national_id=Concat(F("national_id"), Value("0")))


def moved_link() -> None:
    Member.interests.through._default_manager.filter(interest__slug="kor").update(member=Member.objects.get(national_id=BO))


def link_by_hand() -> None:
    Member.interests.through(member=Member.objects.get(national_id=BO), interest=interest("sund")).save()


def rolled_back() -> None:
    with transaction.atomic():
        save_with(name="Ann")
        transaction.set_rollback(True)


def twice_in_one_edit() -> None:
    with one_edit():
        save_with(name="Ann")
        save_with(visits=3)
        anna().interests.clear()


def deleted_with_its_user_model_unaware() -> None:
    models.QuerySet(Branch).filter(code="AK").delete()


WRITES: dict[str, tuple[Callable[[], Any], list[tuple[str, str, Any]]]] = {
    "save": (lambda: save_with(name="Ann"), [("update", ANNA, {"name": "Ann"})]),
    "save of what is there already": (lambda: save_with(name="Anna"), []),
    "save of an F()": (lambda: save_with(visits=F("visits") + 1), [("update", ANNA, {"visits": 1})]),
    "save with update_fields": (
        lambda: Member(pk=anna().pk, phone="5").save(update_fields=["phone"]),
        [("update", ANNA, {"phone": "5"})],
    ),
    "update_or_create": (
        lambda: Member.objects.update_or_create(national_id=ANNA, defaults={"name": "Ann"}),
        [("update", ANNA, {"name": "Ann"})],
    ),
    "get_or_create": (lambda: Interest.objects.get_or_create(slug="skak", name="Skák"), [("create", "skak", {"name": "Skák"})]),
    "save under select_for_update": (
        lambda: _locked(lambda member: setattr(member, "name", "Ann")),
        [("update", ANNA, {"name": "Ann"})],
    ),
    "QuerySet.update": (lambda: Member.objects.update(active=False), [("update", key, {"active": False}) for key in (ANNA, BO)]),
    "QuerySet.update with F()": (
        lambda: Member.objects.filter(name="Bo").update(visits=F("visits") + 2),
        [("update", BO, {"visits": 2})],
    ),
    "update through a related manager": (
        lambda: Branch.objects.get(code="AK").members.filter(name="Bo").update(phone="5"),
        [("update", BO, {"phone": "5"})],
    ),
    "related remove": (lambda: Branch.objects.get(code="AK").members.remove(anna()), [("update", ANNA, {"branch": None})]),
    "related set": (lambda: Branch.objects.get(code="RVK").members.set([anna()]), [("update", ANNA, {"branch": "RVK"})]),
    "bulk_update": (bulk_updated, [("update", key, {"visits": 9}) for key in (ANNA, BO)]),
    "bulk_create": (
        lambda: Interest.objects.bulk_create([Interest(slug="a", name="A"), Interest(slug="b", name="B")]),
        [("create", "a", {"name": "A"}), ("create", "b", {"name": "B"})],
    ),
    "bulk_create that ignores conflicts": (
        lambda: Interest.objects.bulk_create(
            [Interest(slug="kor", name="X"), Interest(slug="b", name="B")], ignore_conflicts=True
        ),
        [("create", "b", {"name": "B"})],
    ),
    "loaddata": (loaded, [("update", ANNA, {"name": "Ann"})]),
    "link added": (lambda: anna().interests.add(interest("sund")), [("update", ANNA, {"interests": ["kor", "sund"]})]),
    "link added that is there": (lambda: anna().interests.add(interest("kor")), []),
    "link removed": (lambda: anna().interests.remove(interest("kor")), [("update", ANNA, {"interests": []})]),
    "links cleared": (lambda: anna().interests.clear(), [("update", ANNA, {"interests": []})]),
    "links set: one edit": (lambda: anna().interests.set([interest("sund")]), [("update", ANNA, {"interests": ["sund"]})]),
    "links from the other end": (
        lambda: interest("sund").members.set(Member.objects.all()),
        [("update", ANNA, {"interests": ["kor", "sund"]}), ("update", BO, {"interests": ["sund"]})],
    ),
    "link cleared from the other end": (lambda: interest("kor").members.clear(), [("update", ANNA, {"interests": []})]),
    "link by hand": (link_by_hand, [("update", BO, {"interests": ["sund"]})]),
    "link moved to another owner": (moved_link, [("update", ANNA, {"interests": []}), ("update", BO, {"interests": ["kor"]})]),
    "delete": (lambda: anna().delete(), [("delete", ANNA, {})]),
    "QuerySet.delete": (lambda: Member.objects.all().delete(), [("delete", ANNA, {}), ("delete", BO, {})]),
    "delete that nulls what refers to it": (
        lambda: Branch.objects.get(code="AK").delete(),
        [("delete", "AK", {}), ("update", ANNA, {"branch": None}), ("update", BO, {"branch": None})],
    ),
    "delete past every manager": (
        deleted_with_its_user_model_unaware,
        [("delete", "AK", {}), ("update", ANNA, {"branch": None}), ("update", BO, {"branch": None})],
    ),
    "delete of what is linked": (lambda: interest("kor").delete(), [("delete", "kor", {}), ("update", ANNA, {"interests": []})]),
    "key of what is referred to renamed": (
        lambda: Branch.objects.filter(code="AK").update(code="NA"),
        [
            ("create", "NA", {"name": "Akureyri", "city": ""}),
            ("delete", "AK", {}),
            ("update", ANNA, {"branch": "NA"}),
            ("update", BO, {"branch": "NA"}),
        ],
    ),
    "rolled back": (rolled_back, []),
    "several writes in one edit": (twice_in_one_edit, [("update", ANNA, {"name": "Ann", "interests": [], "visits": 3})]),
}


def _locked(edit: Callable[[Member], None]) -> None:
    with transaction.atomic():
        member = Member.objects.select_for_update().get(national_id=ANNA)
        edit(member)
        member.save()


@pytest.mark.parametrize(("write", "expected"), WRITES.values(), ids=WRITES)
@pytest.mark.usefixtures("people")
def test_a_write_makes_exactly_these_entries(write: Callable[[], Any], expected: list[tuple[str, str, Any]]) -> None:
    write()
    found = entries()
    assert sorted(found, key=str) == sorted(expected, key=str)
    forget_entries()
    call_command("sync_scan", stdout=StringIO())  # nothing may be left unadopted
    assert entries() == []


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("write", [upserted, upserted_by_another_unique_field])
def test_an_upsert_is_caught_whatever_field_it_meets(write: Callable[[], None]) -> None:
    write()
    assert ("update", ANNA, {"name": "Ann"}) in entries()
    assert anna().name == "Ann"


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("write", [lambda: save_with(national_id="10"), renamed_key_by_update])
def test_a_changed_key_is_a_delete_and_a_create(write: Callable[[], None]) -> None:
    write()
    found = {(action, key): fields for action, key, fields in entries()}
    assert list(found) == [("create", "10"), ("delete", ANNA)]
    assert found["create", "10"]["interests"] == ["kor"]
    tombstone = RecordIndex.objects.get(key=ANNA)
    assert tombstone.values["name"] == "Anna"


def test_an_entry_is_written_in_the_transaction_of_the_edit(people: None, db: str) -> None:
    with transaction.atomic():
        save_with(name="Ann")
        assert len(entries()) == 1
        transaction.set_rollback(True)
    assert entries() == []
    assert not connection.in_atomic_block


@pytest.mark.usefixtures("people")
def test_an_entry_says_what_it_replaced() -> None:
    save_with(name="Ann")
    save_with(name="Anni", visits=2)
    first, second = QueueEntry.objects.order_by("id")
    assert set(second.base) == {"name", "visits"}
    assert second.base["name"] == first.stamp
    assert second.base["visits"] < first.stamp < second.stamp


def test_a_local_edit_is_later_than_all_that_is_known_of_its_record(client: Client) -> None:
    """Of its other fields too: one of them may have beaten a tombstone that is forgotten, and whose stamp is taken."""
    ahead = "2099-01-01T00:00:00.000000Z|firestore"
    client.apply(created("1", at(1)))
    row = RecordIndex.objects.get()
    row.stamps |= {"name": ahead}
    row.save()
    save_with(name="Ann", phone="5")
    assert QueueEntry.objects.get().stamp == "2099-01-01T00:00:00.000001Z|django"
    save_with(visits=1)
    assert QueueEntry.objects.latest("id").stamp == "2099-01-01T00:00:00.000002Z|django"
    assert [one["stamp"] for one in client.changes()] == sorted(one["stamp"] for one in client.changes())


@pytest.mark.usefixtures("people")
def test_a_record_created_anew_under_an_old_key_stamps_every_field_and_inherits_nothing() -> None:
    anna().delete()
    deleted = QueueEntry.objects.get().deleted
    Member.objects.create(national_id=ANNA, name="New")
    entry = QueueEntry.objects.latest("id")
    assert entry.action == "create"
    assert set(entry.base.values()) == {deleted}
    assert entry.fields["interests"] == []
    assert RecordIndex.objects.get(key=ANNA).deleted == ""


@pytest.mark.usefixtures("people")
def test_a_delete_tells_what_the_deleter_had_and_keeps_the_last_values() -> None:
    stamps = dict(RecordIndex.objects.get(key=ANNA).stamps)
    anna().delete()
    entry, tombstone = QueueEntry.objects.get(), RecordIndex.objects.get(key=ANNA)
    assert (entry.deleted_base, entry.deleted, tombstone.deleted) == (stamps, entry.stamp, entry.stamp)
    assert tombstone.values["interests"] == ["kor"]


@pytest.mark.usefixtures("people")
def test_raw_drift_is_adopted_before_a_local_write_of_that_record() -> None:
    member = anna()
    sql("UPDATE members_member SET phone = '7' WHERE national_id = %s", ANNA)
    member.name = "Ann"
    member.save(update_fields=["name"])
    assert entries() == [("update", ANNA, {"phone": "7"}), ("update", ANNA, {"name": "Ann"})]


def test_raw_edit_then_orm_delete_then_a_revival_keeps_the_raw_value(client: Client) -> None:
    client.apply(created("1", at(1)))
    sql("UPDATE members_member SET phone = '7'")
    anna().delete()
    assert [action for action, _, _ in entries()] == ["update", "delete"]
    later = QueueEntry.objects.latest("id").stamp.replace("|django", "|firestore")
    assert client.outcomes(change("1", {"name": "B"}, later.replace("|firestore", "|zoe"))) == ["applied"]
    assert client.record("1")["fields"]["phone"] == "7"


def test_records_adopts_what_was_there_before_the_app_and_what_raw_sql_changed(client: Client) -> None:
    for key in ("b", "a", "ö", "z"):
        sql("INSERT INTO members_member (national_id, name, active, visits) VALUES (%s, 'raw', %s, 0)", key, True)
    first = client.get("records/", entity="member", limit=3).json()
    rest = client.get("records/", entity="member", limit=3, cursor=first["next"]).json()
    assert [record["key"] for record in first["results"] + rest["results"]] == ["a", "b", "z", "ö"]
    assert rest["next"] is None
    forget_entries()
    sql("UPDATE members_member SET visits = 5 WHERE national_id = 'b'")
    assert client.record("b")["fields"]["visits"] == 5
    assert entries() == [("update", "b", {"visits": 5})]
    sql("UPDATE members_member SET visits = 6 WHERE national_id = 'a'")
    client.get("records/", entity="member")
    assert entries()[1:] == [("update", "a", {"visits": 6})]


def test_sync_scan_adopts_drift_and_counts(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    client.apply(created("1", at(1)), created("2", at(1)), created("3", at(1)))
    sql("UPDATE members_member SET visits = 5 WHERE national_id = '1'")
    sql("DELETE FROM members_member WHERE national_id = '2'")
    sql("INSERT INTO members_member (national_id, name, active, visits) VALUES ('4', 'raw', %s, 0)", True)
    call_command("sync_scan")
    assert "member: 3 read, 2 adopted, 1 gone by raw SQL" in capsys.readouterr().out
    assert [(action, key) for action, key, _ in entries()] == [("update", "1"), ("create", "4")]
    forget_entries()
    call_command("sync_scan")
    assert entries() == []


def test_a_row_inserted_raw_over_a_tombstone_is_a_create(client: Client) -> None:
    client.apply(created("1", at(1)))
    anna().delete()
    forget_entries()
    sql("INSERT INTO members_member (national_id, name, active, visits) VALUES ('1', 'raw', %s, 0)", True)
    assert client.record("1")["deleted"] is None
    assert [action for action, _, _ in entries()] == ["create"]


def test_null_and_never_held_are_the_same(client: Client) -> None:
    client.apply(created("1", at(1)))
    row = RecordIndex.objects.get()
    for held in (row.stamps, row.prints):
        del held["phone"]
    row.save()
    assert client.record("1")["fields"].get("phone") is None
    assert entries() == []


def test_tenants_are_told_in_entries(db: str) -> None:
    Event.objects.create(tenant="AK", code="e", title="Dans")
    (told,) = Client.with_token("sync").changes()
    assert (told["tenant"], told["key"]) == ("AK", "e")
