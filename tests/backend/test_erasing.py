"""What people may ask the backend for, beyond the contract: to drop what is kept of deleted records, and to tell what is."""

from __future__ import annotations

import json

import pytest
from calls import Client, at, change, created
from members.models import Member
from syncqueue.models import QueueEntry, RecordIndex, SyncConflict

MARK = "Sigríður"


def everything() -> str:
    rows = [list(model.objects.values()) for model in (Member, RecordIndex, QueueEntry, SyncConflict)]
    return json.dumps(rows, default=str, ensure_ascii=False)


@pytest.fixture
def planted(client: Client) -> Client:
    """Member 1 has values in its row, its queue entries and a conflict; 2 lies beside it."""
    client.apply(created("1", at(1), name=f"{MARK} 1"), created("2", at(1), name="Jón"))
    member = Member.objects.get(national_id="1")
    member.name = f"{MARK} 2"
    member.save()
    client.apply(change("1", {"name": f"{MARK} 3"}, at(3)))
    return client


def test_what_is_kept_of_a_deleted_record_is_dropped_and_counted(planted: Client) -> None:
    Member.objects.filter(national_id="1").delete()
    assert MARK in everything()
    answer = planted.post("erase/", {"entity": "member", "tenant": None, "keys": ["1", "2", "ghost"]})
    assert (answer.status_code, answer.json()["results"]["tombstones"]) == (200, 1)
    assert answer.json()["results"]["queue_entries"] >= 1
    assert answer.json()["results"]["conflicts"] >= 1
    assert MARK not in everything()
    assert set(Member.objects.values_list("national_id", flat=True)) == {"2"}
    again = planted.post("erase/", {"entity": "member", "keys": ["1"]}).json()["results"]
    assert again == {"tombstones": 1, "queue_entries": 0, "conflicts": 0}


def test_a_live_record_is_not_erased(planted: Client) -> None:
    before = everything()
    answer = planted.post("erase/", {"entity": "member", "keys": ["1"]})
    assert answer.json()["results"] == {"tombstones": 0, "queue_entries": 0, "conflicts": 0}
    assert everything() == before


def test_all_that_is_kept_of_a_record_is_told_and_of_no_other(planted: Client) -> None:
    [told] = planted.post("about/", {"entity": "member", "keys": ["1", "ghost"]}).json()["results"]
    assert told["record"]["fields"]["name"].startswith(MARK)
    assert [entry["fields"] for entry in told["queue_entries"]] == [{"name": f"{MARK} 2"}]
    assert {conflict["field"] for conflict in told["conflicts"]} == {"name"}
    assert "Jón" not in json.dumps(told, ensure_ascii=False)


@pytest.mark.parametrize("path", ["erase/", "about/"])
def test_only_a_token_that_may_sync_this_tenant_may_ask(db: str, path: str) -> None:
    body = {"entity": "event", "tenant": "AK", "keys": ["1"]}
    assert Client.with_token("viewer").post(path, body).status_code == 403
    assert Client.with_token("sync", ["RVK"]).post(path, body).status_code == 403
    assert Client.with_token("sync", ["AK"]).post(path, body).status_code == 200
    assert Client("nobody").post(path, body).status_code == 401
    assert Client.with_token("sync").post(path, {"entity": "member"}).status_code == 400
