"""A page costs the same few statements whatever its size, and the fast ways say what the plain ones say."""

import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from calls import Client, at, change, created, deleted
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from members.models import Branch, Interest, Member
from syncqueue import queue
from syncqueue.access import Caller
from syncqueue.adoption import Known
from syncqueue.applying import Request, apply_request
from syncqueue.canonical import bucket_hash, fingerprint
from syncqueue.http import _encoded
from syncqueue.index import known_of, lock_index, place_bytes, read_index
from syncqueue.index_table import update_index
from syncqueue.models import QueueEntry, RecordIndex

EVERYBODY = Caller("test", "sync", None)
FEW, MANY = 10, 500


def statements(work: Callable[[], Any]) -> int:
    """Return how many statements `work` takes."""
    with CaptureQueriesContext(connection) as queries:
        work()
    return len(queries)


def wire_of(entry: QueueEntry) -> dict[str, Any]:
    """Return the Change of the contract from an instance: the plain twin of a page's text."""
    told: dict[str, Any] = {"id": entry.change_id, "entity": entry.entity, "tenant": entry.tenant or None, "key": entry.key}
    told |= {"action": entry.action, "fields": entry.fields, "stamp": entry.stamp, "base": entry.base}
    return told | ({"deleted": entry.deleted, "deleted_base": entry.deleted_base} if entry.deleted else {})


def applied(changes: list[dict[str, Any]]) -> list[str]:
    return [result["outcome"] for result in apply_request(Request(changes, "lww", "r", lambda tenant: True))]


def keys(count: int, prefix: str) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def creations(count: int) -> list[dict[str, Any]]:
    return [created(key, at(1), branch="AK", interests=["kor", "sund"]) for key in keys(count, "new")]


def updates(count: int) -> list[dict[str, Any]]:
    applied(creations(count))
    edit = {"name": "B", "visits": 2, "interests": ["kor"]}
    return [change(key, edit, at(2), base=dict.fromkeys(edit, at(1))) for key in keys(count, "new")]


def mixed(count: int) -> list[dict[str, Any]]:
    third = max(1, count // 3)
    edits = updates(third)
    applied([created(key, at(1), interests=["kor"]) for key in keys(third, "old")])
    gone = [deleted(key, at(3), deleted_base={}) for key in keys(third, "old")]
    return edits + gone + [created(key, at(1), branch="AK", interests=["sund"]) for key in keys(count - 2 * third, "more")]


@pytest.fixture
def relations(db: str) -> None:
    """What the members refer to."""
    Branch.objects.create(code="AK", name="Akureyrardeild")
    Interest.objects.bulk_create(Interest(slug=slug, name=slug) for slug in ("kor", "sund"))


@pytest.mark.parametrize("make, deletes", [(creations, 0), (updates, 0), (mixed, MANY // 3)])
def test_an_apply_takes_as_many_statements_for_500_changes_as_for_10(relations: None, make: Any, deletes: int) -> None:
    counts = []
    for count in (FEW, MANY):
        Member.objects.all().delete()
        RecordIndex.objects.filter(entity="member").delete()
        changes = make(count)
        counts.append(statements(lambda changes=changes: applied(changes)))
        assert set(applied(changes)) == {"unchanged"}
    more = -(-deletes // 100) - 1 if deletes else 0  # Django's own deletion names a hundred rows at a time
    assert counts[1] == counts[0] + more


def test_serving_and_acknowledging_take_as_many_statements_for_500_changes_as_for_10(db: str) -> None:
    Branch.objects.bulk_create(Branch(code=f"B{number}", name="Deild") for number in range(MANY * 3))
    pending = queue.pending(EVERYBODY, [], None, None)
    assert statements(lambda: queue.page(pending, None, FEW)) == statements(lambda: queue.page(pending, None, MANY)) == 1
    ids = list(QueueEntry.objects.values_list("change_id", flat=True))
    counts = []
    for count in (FEW, MANY):
        synced, superseded, failed = ids[:count], ids[MANY : MANY + count], ids[2 * MANY : 2 * MANY + count]
        named = {"synced": synced, "superseded": superseded, "failed": failed, "pending": failed[:1]}
        errors = {change_id: f"error {number}" for number, change_id in enumerate(failed)}
        counts.append(statements(lambda n=named, e=errors: queue.acknowledge(EVERYBODY, "r", n, e, [])))
    assert counts[0] == counts[1]
    assert sorted(QueueEntry.objects.filter(status="failed").values_list("error", flat=True)) == sorted(errors.values())


def test_acknowledging_looks_at_what_is_named_and_not_at_all_that_waits(db: str) -> None:
    if db == "postgresql":
        pytest.skip("it knows how much waits, and plans by that")
    Branch.objects.bulk_create(Branch(code=f"B{number}", name="Deild") for number in range(MANY))
    ids = list(QueueEntry.objects.values_list("change_id", flat=True))
    with CaptureQueriesContext(connection) as made:
        queue.acknowledge(EVERYBODY, "r", {"synced": ids, "superseded": [], "failed": [], "pending": []}, {}, [])
    looks = [each["sql"] for each in made.captured_queries if each["sql"].startswith(("SELECT", "UPDATE"))]
    assert any(each.startswith("UPDATE") for each in looks)
    with connection.cursor() as cursor:
        for look in looks:
            cursor.execute(f"EXPLAIN QUERY PLAN {look}")
            assert "(change_id=?)" in cursor.fetchone()[3]


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT, lambda inner: st.lists(inner, max_size=3))
FIELDS = st.dictionaries(TEXT, VALUES | st.dictionaries(TEXT, VALUES, max_size=3), max_size=4)


@given(st.lists(st.tuples(TEXT, TEXT, FIELDS, st.sampled_from(["", at(9)])), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_a_page_of_texts_says_what_the_entries_say(db: str, given: list[tuple[str, str, dict[str, Any], str]]) -> None:
    QueueEntry.objects.all().delete()
    for number, (tenant, key, fields, gone) in enumerate(given):
        held = {"fields": fields, "deleted": gone, "deleted_base": {"name": at(1)}, "base": dict.fromkeys(fields)}
        more = {"spread": number, "shard": 0, "created_at": datetime.now(UTC), "action": "update", "stamp": at(number)}
        QueueEntry.objects.create(change_id=str(number), entity="member", tenant=tenant, key=key, **held, **more)
    texts, _ = queue.page(queue.pending(EVERYBODY, [], None, None), None, 100)
    assert [json.loads(text) for text in texts] == [wire_of(entry) for entry in QueueEntry.objects.order_by("spread")]
    assert json.loads(_encoded({"results": texts, "next": None}))["results"] == [json.loads(text) for text in texts]


def test_a_shard_is_what_crc32_of_the_key_says_page_by_page(client: Client) -> None:
    Branch.objects.bulk_create(Branch(code=f"Þ{number}", name="Deild") for number in range(100))
    told = [client.changes(shard=f"{number}/3", limit=7) for number in range(3)]
    assert all(zlib.crc32(one["key"].encode()) % 3 == number for number, page in enumerate(told) for one in page)
    assert sum(map(len, told)) == 100


@given(st.dictionaries(st.tuples(st.sampled_from(["", "AK", "Þ"]), TEXT.filter(bool)), FIELDS, max_size=6), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_the_index_in_bulk_is_the_index_row_by_row(db: str, records: dict[tuple[str, str], Any], gone: bool) -> None:
    """The plain twin writes and reads model instances."""
    RecordIndex.objects.all().delete()
    known = {
        place: Known(dict.fromkeys(fields, at(1)), {name: fingerprint(value) for name, value in fields.items()})
        if not gone
        else Known({}, {}, fields, at(2))
        for place, fields in records.items()
    }
    with transaction.atomic():
        locked = lock_index("event", "default", list(records))
        update_index("default", [(locked[place].pk, one) for place, one in known.items()])
        again = lock_index("event", "default", list(records))
    assert {place: row.pk for place, row in locked.items()} == {place: row.pk for place, row in again.items()}
    rows = {(row.tenant, row.key): row for row in RecordIndex.objects.filter(entity="event")}
    assert {place: known_of(row) for place, row in rows.items()} == known
    assert {place: known_of(row) for place, row in read_index("event", "default", list(records)).items()} == known
    for place, row in rows.items():
        assert (bytes(row.place), row.bucket) == (place_bytes(*place), bucket_hash(*place))
