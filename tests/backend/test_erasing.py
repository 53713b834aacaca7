"""What people may ask the backend for, beyond the contract: to drop what is kept of deleted records, and to tell what is."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from calls import Client, at, change, created, deleted
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client as DjangoClient
from members.models import Member
from syncqueue.models import GoneRow, QueueEntry, RecordIndex, SyncConflict
from syncqueue.stamps import timestamp

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
    assert again == {"tombstones": 1, "queue_entries": 0, "conflicts": 0, "history_entries": 0}


def test_a_live_record_is_not_erased(planted: Client) -> None:
    before = everything()
    answer = planted.post("erase/", {"entity": "member", "keys": ["1"]})
    assert answer.json()["results"] == {"tombstones": 0, "queue_entries": 0, "conflicts": 0, "history_entries": 0}
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


# The admin's history


def form(name: str) -> dict[str, str]:
    times = {"joined_at_0": "2026-11-22", "joined_at_1": "03:00:00"}
    return times | {"national_id": "1", "name": name, "visits": "4", "active": "on", "address": "null"}


@pytest.fixture
def pages(client: Client) -> DjangoClient:
    """A browser of an administrator, who has edited member 1 and, under another primary key, member 2."""
    client.apply(created("1", at(1), name=f"{MARK} 1"), created("2", at(1), name="Jón"))
    browser = DjangoClient(headers={"host": "localhost"})
    browser.force_login(User.objects.create_superuser("admin"))
    for id in Member.objects.order_by("national_id").values_list("pk", flat=True):
        name, key = (f"{MARK} 2", "1") if id == Member.objects.get(national_id="1").pk else ("Jóna", "2")
        answer = browser.post(f"/admin/members/member/{id}/change/", form(name) | {"national_id": key})
        assert answer.status_code == 302, answer.content
    return browser


def history() -> str:
    return json.dumps(
        list(LogEntry.objects.order_by("id").values("object_id", "object_repr", "change_message")), ensure_ascii=False
    )


def erased() -> int:
    answer = Client.with_token("sync").post("erase/", {"entity": "member", "keys": ["1"]})
    return int(answer.json()["results"]["history_entries"])


@pytest.mark.parametrize("how", ["the sync", "the admin", "the shell"])
def test_the_admins_history_says_no_more_whose_record_it_was(pages: DjangoClient, client: Client, how: str) -> None:
    id = Member.objects.get(national_id="1").pk
    if how == "the sync":
        client.apply(deleted("1", f"{timestamp(datetime.now(UTC))}|firestore"))
    elif how == "the admin":
        assert pages.post(f"/admin/members/member/{id}/delete/", {"post": "yes"}).status_code == 302
    else:
        Member.objects.filter(pk=id).delete()
    before = LogEntry.objects.count()
    assert MARK in history()
    assert erased() == (2 if how == "the admin" else 1)
    assert MARK not in history()
    assert f'"{id}"' not in history()
    assert "Jóna" in history(), "of others it says what it said"
    assert (LogEntry.objects.count(), LogEntry.objects.filter(user__username="admin").count()) == (before, before)
    assert not GoneRow.objects.exists()


def test_who_was_deleted_and_came_back_and_was_deleted_is_in_none_of_its_entries(pages: DjangoClient, client: Client) -> None:
    Member.objects.get(national_id="1").delete()
    Member.objects.create(national_id="1", name=f"{MARK} 3")
    assert erased() == 0, "a record that is there is not erased"
    id = Member.objects.get(national_id="1").pk
    assert pages.post(f"/admin/members/member/{id}/change/", form(f"{MARK} 4")).status_code == 302
    Member.objects.get(national_id="1").delete()
    assert erased() == 2
    assert MARK not in history()


def test_of_rows_that_the_history_does_not_speak_of_nothing_is_noted(client: Client) -> None:
    client.apply(created("7", at(1)))
    Member.objects.all().delete()
    assert not GoneRow.objects.exists()
