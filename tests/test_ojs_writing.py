"""What is written in OJS: each trap of a push by its number among the facts, against the stand-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ojs.site import VERSIONS
from ojs.stage import Desk, desk

from shared.errors import TerminalRecord, Transient

SINCE_3_4 = VERSIONS[1:]


@pytest.fixture(params=VERSIONS)
def any_version(request: pytest.FixtureRequest) -> Iterator[Desk]:
    with desk(request.param) as made:
        yield made


@pytest.fixture(params=SINCE_3_4)
def since_3_4(request: pytest.FixtureRequest) -> Iterator[Desk]:
    with desk(request.param) as made:
        yield made


def writes(made: Desk) -> list[str]:
    return [call for call in made.journal.calls if not call.startswith("GET")]


def test_trap_4_1_a_new_submission_is_a_draft_that_is_then_filled_in(since_3_4: Desk):
    locale = since_3_4.site.locale
    seen = since_3_4.write(None, title={locale: "On wind"}, keywords={locale: ["air"]})
    assert seen.fields["title"] == {locale: "On wind"}
    assert seen.fields["keywords"] == {locale: ["air"]}
    assert seen.fields["submitted"] is False
    assert since_3_4.submissions()[-1]["id"] == int(seen.external)


def test_trap_4_1_a_lost_answer_to_a_create_leaves_no_second_submission(since_3_4: Desk):
    since_3_4.journal.trouble.loses_answers = 1
    with pytest.raises(Transient):
        since_3_4.write(None, title={since_3_4.site.locale: "On wind"})
    assert len(since_3_4.submissions()) == 4
    seen = since_3_4.write(None, title={since_3_4.site.locale: "On wind"})
    assert len(since_3_4.submissions()) == 4
    assert seen.fields["title"] == {since_3_4.site.locale: "On wind"}


def test_trap_4_1_drafts_of_two_records_are_not_taken_for_each_other(since_3_4: Desk):
    first, second = since_3_4.write(None, "portal-1"), since_3_4.write(None, "portal-2")
    assert first.external != second.external
    assert since_3_4.write(None, "portal-1").external == first.external


def test_trap_4_1_a_draft_that_a_lost_call_made_is_shown_under_the_key_that_it_was_made_for(since_3_4: Desk):
    since_3_4.journal.trouble.loses_answers = 1
    with pytest.raises(Transient):
        since_3_4.write(None, "portal-7", title={since_3_4.site.locale: "On wind"})
    made = str(since_3_4.submissions()[-1]["id"])
    assert {each.external: each.key for each in since_3_4.poll("submission").seen}[made] == "portal-7"


def test_trap_4_1_nobody_else_can_claim_a_key(since_3_4: Desk):
    since_3_4.write(None, "portal-7")
    note = since_3_4.submissions()[-1]["commentsForTheEditors"]
    since_3_4.site.submissions[2]["commentsForTheEditors"] = note.replace("portal-7", "portal-8")
    assert {each.external: each.key for each in since_3_4.poll("submission").seen}["2"] is None


def test_trap_4_1_the_connector_does_not_become_the_author_of_what_it_makes(since_3_4: Desk):
    since_3_4.write(None)
    assert since_3_4.submissions()[-1]["by"] is None


def test_trap_4_1_a_version_in_which_a_lost_answer_would_make_a_second_one_makes_none():
    with desk("3.3") as made:
        with pytest.raises(TerminalRecord, match="by hand") as raised:
            made.write(None, title={"en_US": "On wind"})
        assert raised.value.code == "not-offered"
        assert writes(made) == []


def test_trap_4_2_only_what_differs_is_sent(any_version: Desk):
    locale = any_version.site.locale
    held = any_version.poll("submission").fields("2")
    any_version.write("2", **held)
    assert writes(any_version) == []
    any_version.write("2", **{**held, "title": {locale: "On lichen"}})
    assert len(writes(any_version)) == 1


def test_trap_4_2_a_language_that_is_taken_away_is_taken_away_there(any_version: Desk):
    locale, other = any_version.site.locale, any_version.site.second
    any_version.write("2", title={locale: "On lichen", other: "Um fléttur"})
    assert any_version.site.publications[2]["title"] == {locale: "On lichen", other: "Um fléttur"}
    any_version.write("2", title={locale: "On lichen"})
    assert any_version.site.publications[2]["title"] == {locale: "On lichen"}


def test_trap_4_2_words_are_replaced_whole_in_the_form_that_the_version_has(any_version: Desk):
    locale, other = any_version.site.locale, any_version.site.second
    any_version.write("2", keywords={locale: ["lichen", "stone"], other: ["fléttur"]})
    assert any_version.site.publications[2]["keywords"] == {locale: ["lichen", "stone"], other: ["fléttur"]}
    seen = any_version.write("2", keywords={other: ["fléttur"]})
    assert seen.fields["keywords"] == {other: ["fléttur"]}


def test_trap_4_2_a_language_that_the_journal_does_not_have_is_refused_by_name_of_the_field(any_version: Desk):
    with pytest.raises(TerminalRecord, match="title") as raised:
        any_version.write("2", title={any_version.site.locale: "On lichen", "fr": "Du lichen"})
    assert "lichen" not in str(raised.value)


def test_trap_4_2_a_lost_answer_to_a_change_is_made_good_by_repeating_it(any_version: Desk):
    any_version.journal.trouble.loses_answers = 1
    assert any_version.write("2", pages="7-12").fields["pages"] == "7-12"


def test_trap_4_2_what_is_ojs_own_is_not_sent(any_version: Desk):
    any_version.write("2", status=3, stage=5, doi="10.1/x", ojs_id=7)
    assert writes(any_version) == []


def test_trap_4_2_what_is_published_is_changed_only_where_the_version_can(any_version: Desk):
    locale = any_version.site.locale
    if any_version.site.version in {"3.3", "3.4"}:
        with pytest.raises(TerminalRecord, match="new version") as raised:
            any_version.write("1", title={locale: "On high tides"})
        assert raised.value.code == "published"
    else:
        assert any_version.write("1", title={locale: "On high tides"}).fields["title"] == {locale: "On high tides"}


def person(made: Desk, name: str) -> dict[str, object]:
    locale = made.site.locale
    named = {"given_name": {locale: name}, "family_name": {locale: "Author"}, "affiliations": [{locale: "Institute"}]}
    return {"email": f"{name.lower()}@people.example", "country": "IS", **named}


def test_trap_4_3_contributors_are_added_changed_put_in_order_and_taken_out(since_3_4: Desk):
    first = dict(since_3_4.poll("submission").fields("2")["contributors"][0])  # type: ignore[index]
    both = [person(since_3_4, "Berta"), first | {"country": "FO"}]
    assert since_3_4.write("2", contributors=both).fields["contributors"] == both
    assert since_3_4.write("2", contributors=both[:1]).fields["contributors"] == both[:1]
    assert len(since_3_4.site.publications[2]["authors"]) == 1


def test_trap_4_3_a_lost_answer_to_a_new_contributor_leaves_no_second_one(since_3_4: Desk):
    held = since_3_4.poll("submission").fields("2")["contributors"]
    both = [*held, person(since_3_4, "Berta")]  # type: ignore[misc]
    since_3_4.journal.trouble.loses_answers = 1
    with pytest.raises(Transient):
        since_3_4.write("2", contributors=both)
    assert since_3_4.write("2", contributors=both).fields["contributors"] == both


def test_trap_4_3_the_first_contributors_of_a_draft_can_be_given(since_3_4: Desk):
    wanted = [person(since_3_4, "Berta"), person(since_3_4, "Carl")]
    assert since_3_4.write(None, contributors=wanted).fields["contributors"] == wanted


def test_trap_4_3_where_contributors_cannot_be_written_what_is_there_is_told():
    with desk("3.3") as made:
        held = made.poll("submission").fields("2")["contributors"]
        assert made.write("2", contributors=[person(made, "Berta")], pages="1-2").fields["contributors"] == held
        assert made.site.publications[2]["pages"] == "1-2"


def test_trap_4_3_an_orcid_is_never_sent(since_3_4: Desk):
    kept = since_3_4.write("2", contributors=[person(since_3_4, "Berta") | {"orcid": "https://orcid.org/0000-0001-2345-6789"}])
    assert "orcid" not in kept.fields["contributors"][0]


@pytest.mark.parametrize("entity", ["journal", "profile", "issue", "review", "comment"])
def test_trap_4_what_ojs_has_no_way_to_write_is_refused(any_version: Desk, entity: str):
    with pytest.raises(TerminalRecord) as raised:
        any_version.system.write(any_version.journal.path, entity, "1", {}, "1")
    assert raised.value.code == "read-only"
    assert any_version.journal.calls == []


def test_trap_4_4_a_draft_is_filled_in_and_never_finished_for_its_authors(since_3_4: Desk):
    made = since_3_4.write(None, title={"en": "On wind"}, submitted=True)
    [row] = [each for each in since_3_4.submissions() if str(each["id"]) == made.external]
    assert row["submissionProgress"], "finishing it is what sends e-mail, and people do that"
    assert made.fields["submitted"] is False
