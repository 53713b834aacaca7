"""The admin pages and the commands."""

import io
from typing import Any

import pytest
from calls import Client, at, change, created, deleted, entries, forget_entries
from databases import sql
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client as DjangoClient
from members.models import Branch, Interest, Member
from members.people import people
from syncqueue.models import QueueEntry, RecordIndex, SeenNonce, SyncConflict, SyncToken


@pytest.fixture
def pages(client: Client) -> DjangoClient:
    """A browser of an administrator, with something on every page."""
    client.apply(created("1", at(1)), created("2", at(1)), change("1", {"name": "B"}, at(2)), deleted("2", at(3)))
    sql("UPDATE members_member SET visits = 4")
    client.record("1")
    browser = DjangoClient(headers={"host": "localhost"})
    browser.force_login(User.objects.create_superuser("admin"))
    return browser


LISTS = ["syncqueue/queueentry", "syncqueue/syncconflict", "syncqueue/tombstone", "syncqueue/synctoken", "members/member"]


@pytest.mark.parametrize("name", LISTS)
def test_every_list_and_every_page_loads(pages: DjangoClient, name: str) -> None:
    from django.apps import apps

    assert pages.get(f"/admin/{name}/").status_code == 200
    assert pages.get(f"/admin/{name}/?q=1&e=1").status_code in (200, 302)
    model = apps.get_model(*name.split("/"))
    one = model.objects.exclude(deleted="").first() if name.endswith("tombstone") else model.objects.first()
    assert pages.get(f"/admin/{name}/{one.pk}/change/").status_code == 200


def test_filters_and_search_find_entries(pages: DjangoClient) -> None:
    assert b"1 queue entry" in pages.get("/admin/syncqueue/queueentry/?status=pending&entity=member&q=1").content
    assert b"0 queue entries" in pages.get("/admin/syncqueue/queueentry/?q=ghost").content


def test_entries_are_held_back_and_sent_again(pages: DjangoClient) -> None:
    entry = QueueEntry.objects.get()
    for action, status in (("hold_back", "failed"), ("send_again", "pending")):
        answer = pages.post("/admin/syncqueue/queueentry/", {"action": action, "_selected_action": [entry.pk]}, follow=True)
        assert answer.status_code == 200
        entry.refresh_from_db()
        assert entry.status == status


def form(**more: Any) -> dict[str, Any]:
    plain = {
        "national_id": "1",
        "name": "Ann",
        "visits": "4",
        "active": "on",
        "address": "null",
        "birth_date": "1990-02-03",
        "fee": "12.50",
    }
    return plain | {"joined_at_0": "2020-01-01", "joined_at_1": "00:00:00"} | more


def test_a_member_saved_in_the_admin_is_one_edit_links_included(pages: DjangoClient) -> None:
    kor, sund = (Interest.objects.create(slug=slug, name=slug) for slug in ("kor", "sund"))
    forget_entries()
    member = Member.objects.get()
    answer = pages.post(f"/admin/members/member/{member.pk}/change/", form(interests=[kor.pk, sund.pk], branch="", email=""))
    assert answer.status_code == 302, answer.content
    ((action, key, fields),) = entries()
    assert (action, key, fields["name"], fields["interests"]) == ("update", "1", "Ann", ["kor", "sund"])
    forget_entries()
    pages.post(f"/admin/members/member/{member.pk}/change/", form(interests=[kor.pk], branch="", email=""))
    assert entries() == [("update", "1", {"interests": ["kor"]})]


def test_the_page_of_a_member_shows_what_is_pending(pages: DjangoClient) -> None:
    text = pages.get(f"/admin/members/member/{Member.objects.get().pk}/change/").content.decode()
    assert at(2) in text
    assert "pending" in text
    assert "in step" in text


def test_deleting_in_the_admin_makes_entries(pages: DjangoClient) -> None:
    forget_entries()
    chosen = {"action": "delete_selected", "_selected_action": [Member.objects.get().pk], "post": "yes"}
    pages.post("/admin/members/member/", chosen)
    assert entries() == [("delete", "1", {})]


# ---- commands


def test_a_token_is_printed_once_and_only_its_hash_is_kept(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("sync_token", "engine", "--role", "sync", "--tenant", "AK")
    token = capsys.readouterr().out.strip()
    assert Client(token).get("status/").status_code == 200
    assert token not in str(SyncToken.objects.values())
    assert SyncToken.objects.get().tenants == ["AK"]


def test_a_token_may_come_from_standard_input_and_be_replaced(
    db: str, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for token in ("first-token-of-the-stack", "second-token-of-the-stack"):
        monkeypatch.setattr("sys.stdin", io.StringIO(token + "\n"))
        call_command("sync_token", "local", "--role", "viewer", "--stdin")
    assert capsys.readouterr().out == ""
    assert Client("first-token-of-the-stack").get("status/").status_code == 401
    assert Client("second-token-of-the-stack").get("status/").status_code == 200
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    with pytest.raises(CommandError, match="at least 16"):
        call_command("sync_token", "local", "--role", "viewer", "--stdin")


def test_cleanup_drops_what_was_finished_long_ago_and_nothing_else(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    client.apply(
        created("1", at(1)), created("2", at(1)), deleted("2", at(2)), created("3", at(1)), change("1", {"name": "B"}, at(2))
    )
    Member.objects.get(national_id="3").delete()
    Branch.objects.create(code="AK", name="A")
    Branch.objects.create(code="RVK", name="R")
    client.post("mark-synced/", {"run_id": "r", "ids": [QueueEntry.objects.get(key="AK").change_id]})
    long_ago = "2020-01-01T00:00:00+00:00"
    QueueEntry.objects.update(created_at=long_ago)
    QueueEntry.objects.filter(status="synced").update(synced_at=long_ago)
    SyncConflict.objects.update(acknowledged_at=long_ago)
    RecordIndex.objects.filter(key__in=["2", "3"]).update(deleted="2020-01-01T00:00:00.000000Z|django")
    SeenNonce.objects.create(nonce="0" * 32, expires_at=long_ago)
    call_command("cleanup_synced", "--days", "30", "--dry-run")
    dry = capsys.readouterr().out
    call_command("cleanup_synced", "--days", "30")
    assert capsys.readouterr().out.replace("dropped", "would go") == dry
    assert "tombstones: 1 would go" in dry  # the delete of 3 is still to be carried over
    assert set(QueueEntry.objects.values_list("key", flat=True)) == {"3", "RVK"}
    assert (SeenNonce.objects.count(), SyncConflict.objects.count()) == (0, 0)
    assert set(RecordIndex.objects.filter(entity="member").values_list("key", flat=True)) == {"1", "3"}


def test_an_erasure_drops_the_values_everywhere_and_a_stale_update_never_refills_it(client: Client, monkeypatch: Any) -> None:
    client.apply(created("1", at(1)))
    Member.objects.update(name="Secret")
    Member.objects.all().delete()
    monkeypatch.setattr("sys.stdin", io.StringIO("1\nghost\n"))
    call_command("sync_erase", "member", stdout=io.StringIO())
    assert [action for action, _, _ in entries()] == ["delete"]
    assert RecordIndex.objects.get().values is None
    assert client.outcomes(change("1", {"name": "B"}, at(5))) == ["stale"]
    row = RecordIndex.objects.get()
    assert (row.values, row.stamps) == (None, {})


def test_made_up_members_are_the_same_for_the_same_seed(db: str) -> None:
    call_command("seed_members", "--count", "60", "--seed", "7", stdout=io.StringIO())
    call_command("seed_members", "--count", "60", "--seed", "7", stdout=io.StringIO())
    assert Member.objects.count() == 60
    assert list(people(5, 7)) == list(people(60, 7))[:5]
    assert QueueEntry.objects.filter(entity="member").count() == 60
    assert all(_valid(key) for key in Member.objects.values_list("national_id", flat=True))


def _valid(key: str) -> bool:
    return sum(int(digit) * weight for digit, weight in zip(key, (3, 2, 7, 6, 5, 4, 3, 2, 1), strict=False)) % 11 == 0


def test_migrations_and_checks_are_clean(db: str) -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
    call_command("check", "--fail-level", "WARNING", verbosity=0, stdout=io.StringIO())
