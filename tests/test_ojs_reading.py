"""What is read of OJS: each trap of its REST API by the number of the section of its facts, against the stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from ojs.site import AUTHOR, MANAGER, VERSIONS
from ojs.stage import Desk, address, desk, system

from shared.errors import TerminalBatch, Transient
from shared.peers.ojs_client import COUNT, Denied


@pytest.fixture(params=VERSIONS)
def any_version(request: pytest.FixtureRequest) -> Iterator[Desk]:
    with desk(request.param) as made:
        yield made


@pytest.fixture
def newest() -> Iterator[Desk]:
    with desk("3.6") as made:
        yield made


def test_the_version_is_found_by_asking(any_version: Desk):
    assert any_version.system.reader(any_version.journal.path).version == any_version.site.version


def test_the_version_of_an_empty_journal_is_found_too(any_version: Desk):
    any_version.site.submissions.clear()
    assert any_version.system.reader(any_version.journal.path).version == any_version.site.version


# 1. Addresses, tokens, errors


def test_trap_1_a_journal_may_lie_at_an_address_without_index_php(newest: Desk):
    at = address(newest.site, newest.journal, newest.url, url=f"{newest.url}/{newest.journal.path}/")
    polls = list(system({"summit": at}).poll("summit", "submission", None))
    assert len(polls[0].seen) == 3


def test_trap_1_the_token_goes_in_the_header_and_in_no_address(any_version: Desk):
    any_version.poll("submission")
    assert any_version.journal.calls
    assert not [call for call in any_version.journal.calls if "key-of" in call or "apiToken" in call]


def test_trap_1_a_path_that_is_no_journal_is_a_wrong_address(newest: Desk):
    at = address(newest.site, newest.journal, newest.url, url=f"{newest.url}/index.php/nowhere")
    with pytest.raises(TerminalBatch, match="answered 404; there is no such journal"):
        list(system({"summit": at}).poll("summit", "submission", None))


@pytest.mark.parametrize("token", ["mistaken", "forged.token"])
def test_trap_1_a_refused_token_is_the_same_error_whatever_status_and_words_a_version_has(any_version: Desk, token: str):
    at = address(any_version.site, any_version.journal, any_version.url, token)
    with pytest.raises(TerminalBatch, match="the token") as raised:
        list(system({any_version.journal.path: at}).poll(any_version.journal.path, "submission", None))
    assert token not in str(raised.value)


def test_trap_1_a_token_whose_account_lacks_the_role_is_told_so(any_version: Desk):
    any_version.journal.roles[1] = {AUTHOR}
    with pytest.raises(TerminalBatch, match="its account is not manager of this journal"):
        any_version.poll("profile")


def test_trap_1_a_stripped_authorization_header_is_among_the_likely_causes(any_version: Desk):
    any_version.journal.trouble.strips_authorization = True
    with pytest.raises(TerminalBatch, match="CGIPassAuth"):
        any_version.poll("submission")


def test_trap_1_a_record_that_is_gone_is_denied_and_left_out(any_version: Desk):
    assert any_version.system.fetch(any_version.journal.path, "submission", ["999"]) == []


def test_trap_1_a_record_is_not_taken_for_gone_where_the_account_has_lost_its_role(any_version: Desk):
    any_version.journal.roles[1] = set()
    with pytest.raises(TerminalBatch):
        any_version.system.fetch(any_version.journal.path, "submission", ["1"])


# 2. Lists


def test_trap_2_lists_end_where_a_page_is_empty_and_not_where_a_total_says(newest: Desk):
    newest.site.clock = _ticking()
    for number in range(2 * COUNT):
        newest.site.submission(newest.journal, f"More {number}")
    assert sorted(newest.poll("submission").ids, key=int) == [str(number) for number in range(1, 2 * COUNT + 4)]


def test_trap_2_a_record_that_moves_up_while_pages_are_read_is_not_missed(newest: Desk):
    newest.site.clock = _ticking()
    for number in range(3 * COUNT):
        newest.site.submission(newest.journal, f"More {number}")
    seen, pages = [], newest.system.reader("summit").client.listed("submissions", {"orderBy": "dateSubmitted"})
    for page in pages:
        seen += [each["id"] for each in page]
        newest.site.submissions.pop(seen[0] if len(seen) <= COUNT else seen[1], None)
        if len(seen) <= COUNT:
            for gone in seen[1:30]:
                newest.site.submissions.pop(gone, None)
    assert set(newest.site.submissions) <= set(seen)


def test_trap_2_rows_that_tie_are_all_found_though_no_order_holds_between_pages(newest: Desk):
    for number in range(2 * COUNT):
        newest.site.submission(newest.journal, f"At once {number}", progress="start")
    for _ in range(5):
        polled = newest.poll("submission")
        assert not polled.last.complete or len(polled.ids) == 2 * COUNT + 3


def test_trap_2_a_list_that_ignores_the_offset_is_an_error_and_no_loop(newest: Desk, monkeypatch: pytest.MonkeyPatch):
    for number in range(COUNT):
        newest.site.submission(newest.journal, f"More {number}")
    client = newest.system.reader("summit").client
    page = client._page
    monkeypatch.setattr(client, "_page", lambda path, query: page(path, {**query, "offset": 0}))
    with pytest.raises(TerminalBatch, match="the same records on every page"):
        newest.poll("submission")


def test_trap_2_an_incremental_poll_takes_what_moved_since_the_checkpoint_with_an_overlap(any_version: Desk):
    site = any_version.site
    site.clock = _ticking(timedelta(hours=1))
    rows = [site.submission(any_version.journal, f"Hourly {number}") for number in range(10)]
    first = any_version.poll("submission")
    site.active(rows[0])
    again = any_version.poll("submission", first.last.checkpoint)
    assert str(rows[0]["id"]) in again.ids
    assert str(rows[9]["id"]) in again.ids
    assert str(rows[8]["id"]) in again.ids
    assert str(rows[3]["id"]) not in again.ids
    assert again.last.checkpoint == rows[0]["dateLastActivity"]
    assert not again.last.complete


def test_trap_2_where_the_order_is_not_kept_the_whole_list_is_read(any_version: Desk):
    site = any_version.site
    site.clock = _ticking(timedelta(hours=5))
    rows = [site.submission(any_version.journal, f"Slow {number}") for number in range(COUNT + 10)]
    checkpoint = any_version.poll("submission").last.checkpoint
    site.active(rows[COUNT])
    site.active(rows[0])
    any_version.journal.trouble.ignores_order = True
    assert {str(rows[COUNT]["id"]), str(rows[0]["id"])} <= set(any_version.poll("submission", checkpoint).ids)


def test_trap_2_metadata_moves_the_activity_and_so_is_polled(any_version: Desk):
    site = any_version.site
    site.clock = _ticking(timedelta(hours=5))
    site.submission(any_version.journal, "Later")
    checkpoint = any_version.poll("submission").last.checkpoint
    site.edit_publication(site.current(site.submissions[1]), {"title": {site.locale: "New"}})
    assert any_version.poll("submission", checkpoint).fields("1")["title"] == {site.locale: "New"}


def test_trap_2_what_moves_no_clock_is_seen_by_a_full_scan(any_version: Desk):
    site = any_version.site
    checkpoint = any_version.poll("submission").last.checkpoint
    site.clock = _ticking(timedelta(days=1))
    site.submission(any_version.journal, "Later")
    checkpoint = any_version.poll("submission").last.checkpoint
    site.author(site.current(site.submissions[2]), "Berta Second", "berta@people.example")
    assert "2" not in any_version.poll("submission", checkpoint).ids
    named = any_version.poll("submission").fields("2")["contributors"]
    assert [each["email"] for each in named][-1] == "berta@people.example"  # type: ignore[attr-defined]


def test_trap_2_notes_of_open_submissions_are_polled_though_they_move_no_clock(newest: Desk):
    checkpoint = newest.poll("comment").last.checkpoint
    newest.site.note(newest.site.submissions[2]["tasks"][0], "<p>One to ten thousand.</p>", 2)
    assert [each.fields["contents"] for each in newest.poll("comment", checkpoint).seen][-1] == "<p>One to ten thousand.</p>"


def test_trap_2_times_have_no_zone_and_are_those_of_the_server(newest: Desk):
    newest.site.zone = newest.system.reader("summit").client.journal.zone
    moved = address(newest.site, newest.journal, newest.url, zone=ZoneInfo("Asia/Tokyo"))
    newest.site.submissions[1]["dateSubmitted"] = "2026-03-01 09:30:00"
    seen = [each for poll in system({"summit": moved}).poll("summit", "submission", None) for each in poll.seen]
    assert {each.external: each.fields for each in seen}["1"]["submitted_at"] == "2026-03-01T00:30:00.000000Z"


def test_trap_2_a_clock_that_runs_ahead_is_not_believed(newest: Desk):
    newest.site.clock = lambda: datetime.now(UTC) + timedelta(days=2)
    newest.site.edit_publication(newest.site.publications[1], {"pages": "1-9"})
    assert all(each.at and each.at <= datetime.now(UTC) for each in newest.poll("submission").seen)


def test_trap_2_drafts_are_listed_and_are_told_from_what_was_submitted(any_version: Desk):
    draft = any_version.site.submission(any_version.journal, "Draft", progress="start")
    polled = any_version.poll("submission")
    assert polled.fields(str(draft["id"]))["submitted"] is False
    assert polled.fields("1")["submitted"] is True


@pytest.mark.parametrize("entity", ["journal", "profile", "issue", "submission"])
def test_trap_2_a_complete_list_says_that_it_is_complete(any_version: Desk, entity: str):
    assert any_version.poll(entity).last.complete


def test_trap_2_a_list_that_breaks_off_is_no_complete_list(newest: Desk):
    for number in range(COUNT):
        newest.site.submission(newest.journal, f"More {number}")
    polls = newest.system.poll("summit", "submission", None)
    assert not next(polls).complete
    newest.journal.trouble.down = True
    with pytest.raises(Transient):
        list(polls)


# 2a. Isolation


def test_trap_2a_a_submission_of_another_journal_stops_the_poll_of_this_one(newest: Desk):
    newest.site.submissions[2]["contextId"] = 77
    at = address(newest.site, newest.journal, newest.url, context=78)
    with pytest.raises(TerminalBatch, match="nothing of it was taken"):
        list(system({"summit": at}).poll("summit", "submission", None))


def test_trap_2a_settings_are_asked_for_by_the_journals_own_id(newest: Desk):
    other = newest.site.journal("valley", "Valley Post")
    newest.site.journals["valley"].roles[1] = {MANAGER}
    mixed = address(newest.site, newest.journal, newest.url, context=other.id)
    with pytest.raises(TerminalBatch, match="its OJS id is not 2"):
        list(system({"summit": mixed}).poll("summit", "journal", None))


def test_trap_2a_only_people_of_the_journals_own_list_are_read(newest: Desk):
    newest.site.journal("valley", "Valley Post")
    stranger = newest.site.user("Vera Valley", "vera@valley.example", {"valley": {AUTHOR}})
    assert newest.system.fetch("summit", "profile", [str(stranger)]) == []
    assert not [call for call in newest.journal.calls if f"/users/{stranger}" in call]


# 3. Records


def test_trap_3_abstracts_and_keywords_come_from_the_publication_itself(any_version: Desk):
    fields, locale = any_version.poll("submission").fields("1"), any_version.site.locale
    assert fields["abstract"] == {locale: "<p>About On tides.</p>"}
    assert fields["keywords"] == {locale: ["nature", "study 1"]}


def test_trap_3_languages_that_are_filled_in_empty_are_nothing(any_version: Desk):
    fields = any_version.poll("submission").fields("1")
    assert any_version.site.second not in fields["title"]  # type: ignore[operator]
    assert fields["subtitle"] is None


def test_trap_3_affiliations_are_told_alike_whether_one_text_or_a_list(any_version: Desk):
    first = any_version.poll("submission").fields("1")["contributors"][0]  # type: ignore[index]
    assert first["affiliations"] == [{any_version.site.locale: "University"}]


def test_trap_3_a_new_version_has_new_author_ids_and_no_new_contributors(any_version: Desk):
    before = any_version.poll("submission").fields("2")
    any_version.site.new_version(any_version.site.submissions[2])
    after = any_version.poll("submission").fields("2")
    assert after["contributors"] == before["contributors"]
    assert after["publication_id"] != before["publication_id"]


@pytest.mark.parametrize("entity", ["journal", "profile", "issue", "submission", "review", "comment"])
def test_trap_3_no_secret_is_ever_taken(any_version: Desk, entity: str):
    assert "secret" not in json.dumps([dict(each.fields) for each in any_version.poll(entity).seen])


def test_trap_3_a_person_of_two_journals_has_one_key_and_an_id_in_each():
    with desk("3.3") as old, desk("3.6") as new:
        new.site.user("Somebody Else", "else@people.example", {"summit": {AUTHOR}})
        found = {each.key: each.external for each in old.poll("profile").seen}
        both = {each.key: (found[each.key], each.external) for each in new.poll("profile").seen if each.key in found}
        assert len(both) == 1
        assert "signy" not in str(both)


def test_trap_3_reviews_are_read_as_each_version_gives_them(any_version: Desk):
    (review,) = (dict(each.fields) for each in any_version.poll("review").seen)
    version = any_version.site.version
    assert review["submission_id"] == 2
    assert review.get("reviewer_id") == {"3.5": 2, "3.6": 3}.get(version)
    assert review["verdict"] == {"3.5": "pending_revisions", "3.6": "revisions_requested"}.get(version)
    assert review.get("comments") == ("<p>Add a map.</p>" if version == "3.6" else None)
    assert review.get("confidential_comments") == ("<p>A first paper, be kind.</p>" if version == "3.6" else None)
    assert review["due"] == ("January 31, 2099" if version == "3.3" else "2099-01-31")


def test_trap_3_a_state_that_is_only_a_date_gone_by_is_no_change(any_version: Desk):
    before = any_version.poll("review").seen[0].fields
    row = any_version.site.submissions[2]["reviews"][0]
    row["statusId"] = 5
    accepted = any_version.poll("review").seen[0].fields
    row["statusId"] = 6
    assert any_version.poll("review").seen[0].fields == accepted != before


def test_trap_3_what_old_versions_hide_of_reviews_is_not_taken_for_gone(any_version: Desk):
    any_version.site.submissions[2]["reviews"][0]["statusId"] = 10
    polled = any_version.poll("review")
    assert bool(polled.seen) == (any_version.site.version in {"3.5", "3.6"})
    assert polled.last.complete == bool(polled.seen)


@pytest.mark.parametrize("version", ["3.5", "3.6"])
def test_trap_3_a_review_whose_reviewer_is_hidden_is_not_taken_and_said_to_be_hidden(version: str):
    with desk(version) as made:
        made.site.submissions[2]["by"] = 1
        polled = made.poll("review")
        (problem,) = polled.malformed.values()
        assert (polled.seen, problem.code) == ([], "hidden")
        assert "account of its own" in problem.message
        assert made.system.fetch(made.journal.path, "review", list(polled.malformed)) == []


def test_a_record_in_a_form_that_is_none_stands_in_the_way_of_no_other(newest: Desk):
    newest.site.submissions[2]["reviews"][0]["statusId"] = ["what is this"]
    newest.site.review(newest.site.submissions[3], 3)
    polled = newest.poll("review")
    assert [problem.code for problem in polled.malformed.values()] == ["malformed"]
    assert len(polled.seen) == 1


def test_trap_3_discussions_are_read_in_3_6_and_nobody_is_asked_before(any_version: Desk):
    contents = [each.fields["contents"] for each in any_version.poll("comment").seen]
    assert contents == (["<p>Which scale?</p>"] if any_version.site.version == "3.6" else [])
    assert any("tasks" in call for call in any_version.journal.calls) == (any_version.site.version == "3.6")


def test_trap_3_an_issue_names_the_submissions_in_it(any_version: Desk):
    assert any_version.poll("issue").fields("1")["articles"] == [1]


# 6. Limits and proxies


def test_trap_6_a_busy_server_is_left_alone_for_as_long_as_it_says(newest: Desk):
    newest.journal.trouble.retry_after = 120
    with pytest.raises(Transient) as raised:
        newest.poll("submission")
    assert raised.value.after == 120


def test_trap_6_an_html_page_is_told_as_a_login_or_maintenance_page(newest: Desk):
    newest.journal.trouble.page = "<html>Please log in</html>"
    with pytest.raises(TerminalBatch, match="no JSON: a login or maintenance page") as raised:
        newest.poll("submission")
    assert "Please" not in str(raised.value)


def test_trap_6_a_server_that_does_not_answer_is_tried_again_and_then_left(newest: Desk):
    newest.journal.trouble.down = True
    with pytest.raises(Transient, match="is OJS up and the address right"):
        newest.poll("submission")
    assert len(newest.waits) == 2


def test_trap_6_a_denial_of_one_record_says_nothing_of_it(newest: Desk):
    with pytest.raises(Denied) as raised:
        newest.system.reader("summit").submission(4711)
    assert "4711" not in str(raised.value)


def _ticking(step: timedelta = timedelta(seconds=1)):
    moment = [datetime(2030, 1, 1, tzinfo=UTC)]

    def tick() -> datetime:
        moment[0] += step
        return moment[0]

    return tick


def test_trap_5_nothing_tells_of_a_change_so_a_poll_alone_finds_it(any_version: Desk):
    """Nothing that comes from OJS is waited for: an edit is in the next poll, whoever made it."""
    since = any_version.poll("submission").last.checkpoint
    row = any_version.submissions()[0]
    any_version.site.edit_publication(any_version.site.current(row), {"pages": "5-6"})
    found = any_version.poll("submission", since)
    assert found.fields(str(row["id"]))["pages"] == "5-6"
