"""What the admin pages let people do about the sync, and what they show to whom."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from calls import Client, at, change, created, deleted, entries, forget_entries
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import Client as DjangoClient
from django.test import override_settings
from members.models import Branch, Event, Interest, Member
from syncqueue.models import QueueEntry, SyncConflict, SyncToken

SECRET, OTHER = "Guðríður", "Ragnhildur"
PAGES = "/admin/syncqueue"


def browser_of(*permissions: str, superuser: bool = False) -> DjangoClient:
    """Return the browser of somebody with these permissions and no others."""
    user = User.objects.create_user(f"user{User.objects.count()}", is_staff=True, is_superuser=superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    browser = DjangoClient(headers={"host": "localhost"})
    browser.force_login(user)
    return browser


def page(browser: DjangoClient, path: str) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return str(answer.content.decode())


@pytest.fixture
def conflict(client: Client) -> SyncConflict:
    """Two writes of a name that had not seen each other; the other side's later one stands."""
    client.apply(created("0101302989", at(1), name="first"))
    client.apply(change("0101302989", {"name": SECRET}, at(2), base={"name": at(1)}))
    client.apply(change("0101302989", {"name": OTHER}, at(3), base={"name": at(1)}))
    forget_entries()
    return SyncConflict.objects.get()


@pytest.fixture
def held(client: Client) -> SyncConflict:
    """The same, where the entity's policy let nobody win."""
    client.apply(created("0101302989", at(1), name=SECRET))
    client.apply(change("0101302989", {"name": OTHER}, at(3), base={"name": None}), mode="if-unchanged")
    return SyncConflict.objects.get()


def keep(browser: DjangoClient, conflict: SyncConflict, side: str) -> str:
    """Press the button below one side, and return the page that follows."""
    answer = browser.post(f"{PAGES}/syncconflict/{conflict.pk}/keep/", {"side": side}, follow=True)
    assert answer.status_code == 200, answer.status_code
    return str(answer.content.decode())


# ---- who sees what

QUEUE = ("view_queueentry", "change_queueentry", "view_syncconflict", "view_tombstone")


def places() -> list[str]:
    """Return the addresses of all pages that are about records."""
    names = {"queueentry": QueueEntry, "syncconflict": SyncConflict}
    found = [f"{PAGES}/{name}/{row.pk}/change/" for name, model in names.items() for row in model.objects.all()]
    return [*found, *(f"{PAGES}/{name}/" for name in ("queueentry", "syncconflict", "tombstone", "overview"))]


@pytest.mark.usefixtures("conflict")
def test_keys_and_values_are_shown_to_those_alone_who_may_see_the_records() -> None:
    Member.objects.update(name=SECRET)
    strangers, members = browser_of(*QUEUE), browser_of(*QUEUE, "view_member")
    assert len(places()) == 6
    for path in places():
        text = page(strangers, path)
        assert not [each for each in (SECRET, OTHER, "0101302989") if each in text], path
    seen = "".join(page(members, path) for path in places())
    assert [each in seen for each in (SECRET, OTHER, "0101302989")] == [True, True, True]


def test_a_tombstones_last_values_are_hidden_too(client: Client) -> None:
    client.apply(created("0101302989", at(1), name=SECRET), deleted("0101302989", at(2)))
    [path] = [f"{PAGES}/tombstone/{pk}/change/" for pk in _tombstones()]
    assert SECRET in page(browser_of(*QUEUE, "view_member"), path)
    hidden = page(browser_of(*QUEUE), path)
    assert (SECRET in hidden, "0101302989" in hidden) == (False, False)


def _tombstones() -> list[int]:
    from syncqueue.models import Tombstone

    return list(Tombstone.objects.exclude(deleted="").values_list("pk", flat=True))


@pytest.mark.usefixtures("conflict")
def test_nobody_finds_out_by_searching_or_filtering_what_they_may_not_see() -> None:
    Member.objects.update(name=SECRET)
    strangers, members = browser_of(*QUEUE), browser_of(*QUEUE, "view_member")
    assert "0 queue entries" in page(strangers, f"{PAGES}/queueentry/?q=0101302989")
    assert "1 queue entry" in page(members, f"{PAGES}/queueentry/?q=0101302989")
    for name, lookup in (("queueentry", "fields__name"), ("queueentry", "key__startswith"), ("syncconflict", "local__value")):
        assert members.get(f"{PAGES}/{name}/?{lookup}=x").status_code == 400, lookup


def test_without_the_permission_there_is_no_overview_and_no_action(client: Client) -> None:
    client.apply(created("1", at(1)))
    Member.objects.update(name=SECRET)
    assert browser_of("view_member").get(f"{PAGES}/overview/").status_code == 403
    viewer, entry = browser_of("view_queueentry"), QueueEntry.objects.get()
    viewer.post(f"{PAGES}/queueentry/", {"action": "hold_back", "_selected_action": [entry.pk]})
    entry.refresh_from_db()
    assert entry.status == "pending"


# ---- conflicts


def test_a_write_that_lost_is_written_anew_and_goes_to_the_other_side(conflict: SyncConflict) -> None:
    browser = browser_of("view_syncconflict", "change_member")
    assert page(browser, f"{PAGES}/syncconflict/{conflict.pk}/change/").count("Keep this one") == 2
    assert "the next run carries it over" in keep(browser, conflict, "local")
    assert Member.objects.get().name == SECRET
    [entry] = QueueEntry.objects.all()
    assert (entry.action, entry.fields, entry.base) == ("update", {"name": SECRET}, {"name": at(3)})
    assert "written anew since" in page(browser, f"{PAGES}/syncconflict/{conflict.pk}/change/")
    assert LogEntry.objects.get().get_change_message() == f"kept the write of {at(2)}"


def test_who_may_not_change_the_record_decides_nothing(conflict: SyncConflict) -> None:
    viewer = browser_of("view_syncconflict", "view_member")
    text = page(viewer, f"{PAGES}/syncconflict/{conflict.pk}/change/")
    assert ("Keep this one" in text, text.count("you may not change these records")) == (False, 2)
    assert viewer.post(f"{PAGES}/syncconflict/{conflict.pk}/keep/", {"side": "local"}).status_code == 403
    may = browser_of("view_syncconflict", "change_member")
    assert may.post(f"{PAGES}/syncconflict/{conflict.pk}/keep/", {"side": "both"}).status_code == 403
    assert may.get(f"{PAGES}/syncconflict/{conflict.pk}/keep/").status_code == 405
    assert browser_of("change_member").post(f"{PAGES}/syncconflict/{conflict.pk}/keep/", {"side": "local"}).status_code == 403
    assert (Member.objects.get().name, entries()) == (OTHER, [])


def test_links_and_references_are_kept_by_their_keys(client: Client) -> None:
    north, south = (Branch.objects.create(code=code, name=code) for code in ("N", "S"))
    kor, sund = (Interest.objects.create(slug=slug, name=slug) for slug in ("kor", "sund"))
    client.apply(created("1", at(1), branch="N", interests=["kor"]))
    client.apply(change("1", {"branch": "S", "interests": ["sund"]}, at(3), base={"branch": None, "interests": None}))
    browser = browser_of(superuser=True)
    for conflict in SyncConflict.objects.all():
        keep(browser, conflict, "local")
    member = Member.objects.get()
    assert (member.branch, list(member.interests.all())) == (north, [kor])
    north.delete()
    other = SyncConflict.objects.get(field="branch")
    assert "refers to something that is not here any more" in keep(browser, other, "local")
    assert {south, sund} == {*Branch.objects.all(), *Interest.objects.exclude(slug="kor")}


def test_what_cannot_be_kept_says_why_and_changes_nothing(client: Client) -> None:
    client.apply(created("1", at(1), email="a@example.org"), created("2", at(1)))
    client.apply(change("1", {"email": "b@example.org"}, at(3), base={"email": None}))
    browser, conflict = browser_of(superuser=True), SyncConflict.objects.get()
    Member.objects.filter(national_id="2").update(email="a@example.org")
    assert "does not take this value any more" in keep(browser, conflict, "local")
    assert Member.objects.get(national_id="1").email == "b@example.org"
    Member.objects.get(national_id="1").delete()
    assert "the record is deleted" in keep(browser, conflict, "local")
    client.apply(created("3", at(1)), deleted("3", at(2), deleted_base={}))
    gone = SyncConflict.objects.filter(key="3").first()
    assert gone is not None
    assert "a delete is kept by deleting the record" in page(browser, f"{PAGES}/syncconflict/{gone.pk}/change/")


def test_a_conflict_that_waits_for_a_decision_is_not_decided_by_one_side_alone(held: SyncConflict) -> None:
    browser = browser_of(superuser=True)
    text = page(browser, f"{PAGES}/syncconflict/{held.pk}/change/")
    assert ("undecided" in text, "Keep this one" in text, "./bothways resolve" in text) == (True, False, True)
    assert "Nothing was decided" in keep(browser, held, "incoming")
    assert Member.objects.get().name == SECRET


# ---- conflicts, decided by the function


@dataclass
class Functions:
    """The functions' place: a server that answers every call alike and remembers them."""

    status: int = 200
    answer: Any = None
    calls: list[tuple[str, str, Any]] = field(default_factory=list)


@contextmanager
def functions(tmp_path: Path, status: int, answer: Any) -> Iterator[Functions]:
    """Serve a function's answer, and have the settings name it and a token."""
    made = Functions(status, answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.calls.append((self.path, self.headers["Authorization"], body))
            told = json.dumps(made.answer).encode()
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: Any) -> None:
            pass

    token = tmp_path / "token"
    token.write_text("the-operators-token\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = {"url": f"http://127.0.0.1:{server.server_port}/", "token_file": str(token)}
        with override_settings(SYNC_FUNCTIONS=where):
            yield made
        server.shutdown()


DONE = {"success": True, "result": {"conflict": {"status": "resolved"}}, "errors": []}


def test_where_the_functions_are_known_they_decide_and_no_page_shows_the_token(held: SyncConflict, tmp_path: Path) -> None:
    browser = browser_of("view_syncconflict", "change_member")
    with functions(tmp_path, 200, DONE) as there:
        assert page(browser, f"{PAGES}/syncconflict/{held.pk}/change/").count("Keep this one") == 2
        text = keep(browser, held, "incoming")
    assert "Both sides have this value now." in text
    asked = {"id": held.pk, "keep": "value", "value": OTHER, "by": "user0", "again": True}
    assert there.calls == [("/resolve_conflict", "Bearer the-operators-token", asked)]
    assert "the-operators-token" not in text
    assert Member.objects.get().name == SECRET, "the function writes it, by the queue's own calls"


ANSWERS: dict[str, tuple[int, Any, str]] = {
    "it is overtaken": (409, {"errors": [{"message": "conflict x is overtaken"}]}, "answered 409: conflict x is overtaken"),
    "the token is refused": (401, {"errors": [{"message": "no token that is valid"}]}, "answered 401: no token that is valid"),
    "it is no function": (404, ["?"], "answered 404: the address is perhaps not the functions&#x27;"),
    "an answer of something else": (200, [], "gave no answer (TypeError)"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_function_answers_is_said_on_the_page(held: SyncConflict, tmp_path: Path, name: str) -> None:
    status, answer, said = ANSWERS[name]
    with functions(tmp_path, status, answer):
        text = keep(browser_of(superuser=True), held, "incoming")
    assert said in text
    assert "Nothing was decided" in text
    assert LogEntry.objects.count() == 0


def test_functions_that_are_down_and_a_token_that_is_gone_are_said_too(held: SyncConflict, tmp_path: Path) -> None:
    browser = browser_of(superuser=True)
    with functions(tmp_path, 200, DONE):
        (tmp_path / "token").unlink()
        assert "cannot be read as a token" in keep(browser, held, "incoming")
    token = tmp_path / "other"
    token.write_text("x")
    with override_settings(SYNC_FUNCTIONS={"url": "http://127.0.0.1:9/", "token_file": str(token)}):
        assert "gave no answer" in keep(browser, held, "incoming")


def test_a_token_is_never_sent_unencrypted_to_another_machine() -> None:
    with (
        override_settings(SYNC_FUNCTIONS={"url": "http://functions.example/", "token_file": "t"}),
        pytest.raises(SystemCheckError),
    ):
        call_command("check")


# ---- the queue


def refused(client: Client, error: str) -> QueueEntry:
    """Return an entry that the other side has refused."""
    client.apply(created("1", at(1)))
    Member.objects.update(name="B")
    entry = QueueEntry.objects.get()
    client.post("mark-synced/", {"run_id": "r", "failed": [{"id": entry.change_id, "error": error}]})
    return entry


def test_refused_entries_are_sent_again_and_the_history_says_by_whom(client: Client) -> None:
    entry, browser = refused(client, "type: a number is wanted"), browser_of(superuser=True)
    answer = browser.post(
        f"{PAGES}/queueentry/", {"action": "send_again", "_selected_action": [entry.pk]}, follow=True
    ).content.decode()
    assert "1 entry will be sent again" in answer
    assert [each["id"] for each in client.changes()] == [entry.change_id]
    assert [(each.user.username, each.get_change_message()) for each in LogEntry.objects.all()] == [("user0", "sent again")]


def test_an_entry_that_no_page_can_hold_is_not_sent_again(client: Client) -> None:
    entry = refused(client, "too-large: an edit must fit into a page of 10 MiB")
    action = {"action": "send_again", "_selected_action": [entry.pk]}
    text = browser_of(superuser=True).post(f"{PAGES}/queueentry/", action, follow=True).content.decode()
    assert "1 is larger than 9 MiB and would fail again" in text
    assert client.changes() == []


# ---- a record's page


def later_than_now() -> str:
    """Return a stamp of the other side that beats what was written here."""
    return f"{(datetime.now(UTC) + timedelta(seconds=9)).replace(tzinfo=None).isoformat(timespec='microseconds')}Z|firestore"


def states(browser: DjangoClient) -> str:
    return page(browser, f"/admin/members/member/{Member.objects.get().pk}/change/").partition("sync-blocks")[2]


def test_the_page_of_a_record_tells_of_each_field_how_it_is(client: Client) -> None:
    browser = browser_of("view_member")
    client.apply(created("1", at(1)))
    forget_entries()
    assert [word in states(browser) for word in ("in step", "pending", "refused", "in conflict")] == [True, False, False, False]
    assert "no queue entries" in states(browser)
    Member.objects.update(phone="1")
    assert [word in states(browser) for word in ("pending", "refused", "in conflict")] == [True, False, False]
    entry = QueueEntry.objects.get()
    client.post("mark-synced/", {"run_id": "r", "failed": [{"id": entry.change_id, "error": "type: no"}]})
    assert [word in states(browser) for word in ("pending", "refused", "type: no")] == [False, True, True]
    client.apply(change("1", {"name": "x"}, at(9), base={"name": None}), mode="if-unchanged")
    assert "in conflict" in states(browser)
    [conflict] = SyncConflict.objects.all()
    assert f"{PAGES}/syncconflict/{conflict.pk}/change/" in states(browser)
    client.apply(change("1", {"phone": "2"}, later_than_now(), base={"phone": None}))
    assert "type: no" not in states(browser).partition("</table>")[0], "a refused edit that was overtaken is refused no more"
    Member.objects.update(name="y")
    assert "in conflict" not in states(browser), "the field was written anew"


# ---- the overview


def overview(browser: DjangoClient) -> str:
    return page(browser, f"{PAGES}/overview/")


def test_the_overview_says_in_plain_words_how_things_are(client: Client) -> None:
    browser = browser_of("view_queueentry")
    SyncToken.objects.update(last_used_at=None)
    assert "The sync has never called" in overview(browser)
    client.apply(created("1", at(1)), created("2", at(1)), deleted("2", at(2)))
    text = overview(browser)
    assert "The sync last called" in text
    assert "Everything that was written here is carried over." in text
    Member.objects.update(name="B")
    Event.objects.create(tenant="AK", code="e", title="t")
    QueueEntry.objects.update(created_at=datetime.now(UTC) - timedelta(hours=30))
    text = overview(browser)
    assert "Waiting to be carried over: 2, the oldest for 1 day." in text
    assert 'class="sync-bad"' in text
    entry = QueueEntry.objects.get(entity="event")
    client.post("mark-synced/", {"run_id": "run-7", "ids": [entry.change_id]})
    assert "by run run-7" in overview(browser)
    SyncToken.objects.update(last_used_at=datetime.now(UTC) - timedelta(days=3))
    assert "The sync last called 3 days ago." in overview(browser)


def test_the_overview_counts_by_entity_and_leads_to_what_it_counts(client: Client, held: SyncConflict) -> None:
    browser = browser_of(superuser=True)
    Member.objects.update(phone="1")
    client.apply(created("2", at(1)), deleted("2", at(2)))
    text = overview(browser)
    row = text.partition('<th scope="row">member</th>')[2].partition("</tr>")[0]
    for part in ("queueentry/?entity=member&amp;status__exact=pending", "syncconflict/?entity=member&amp;winner=none"):
        assert part in row
        assert browser.get(f"{PAGES}/{part.replace('&amp;', '&')}").status_code == 200
    assert row.count(">1</a>") == 3
    assert "Conflicts that wait for somebody to decide: 1." in text
    assert held.key not in text
    assert "Overview" in page(browser, "/admin/")
