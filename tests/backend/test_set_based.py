"""A page costs the same few statements whatever its size, and the fast ways say what the plain ones say."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from calls import Client, at, change, created, deleted
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from members.models import Branch, Interest, Member
from syncqueue import queue
from syncqueue.access import Caller
from syncqueue.adoption import Known
from syncqueue.applying import Request, apply_request
from syncqueue.canonical import bucket_hash, fingerprint
from syncqueue.http import Encoded
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


@pytest.mark.parametrize("make", [creations, updates, mixed])
def test_an_apply_takes_as_many_statements_for_500_changes_as_for_10(relations: None, make: Any) -> None:
    counts = []
    for count in (FEW, MANY):
        Member.objects.all().delete()
        RecordIndex.objects.filter(entity="member").delete()
        changes = make(count)
        counts.append(statements(lambda changes=changes: applied(changes)))
        assert set(applied(changes)) == {"unchanged"}
    assert counts[0] == counts[1]


def test_serving_and_acknowledging_take_as_many_statements_for_500_changes_as_for_10(db: str) -> None:
    for number in range(MANY * 3):
        Branch.objects.bulk_create([Branch(code=f"B{number}", name="Deild")]) if number == 0 else None
    Branch.objects.bulk_create(Branch(code=f"C{number}", name="Deild") for number in range(MANY * 3))
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
