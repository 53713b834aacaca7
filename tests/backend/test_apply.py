"""What becomes of incoming changes: the contract and its fine print, rule by rule, on both databases."""

import random
from typing import Any

import pytest
from calls import MEMBER, Client, at, change, created, deleted, entries
from databases import sql
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from members.models import Branch, Interest, Member
from syncqueue.models import QueueEntry, RecordIndex, SyncConflict

SEEN = dict.fromkeys(MEMBER, at(1))


def test_a_create_is_applied_and_a_repeat_changes_nothing(client: Client) -> None:
    one = created("1", at(1), email="a@example.is")
    assert client.outcomes(one) == ["applied"]
    assert client.outcomes(one) == ["unchanged"]
    assert client.record("1")["fields"] == MEMBER | {"email": "a@example.is"}
    assert set(client.record("1")["stamps"].values()) == {at(1)}


def test_an_apply_never_makes_a_queue_entry(client: Client) -> None:
    client.apply(created("1", at(1)), change("1", {"name": "B"}, at(2)), deleted("1", at(3)), created("2", at(4)))
    assert entries() == []
    assert client.record("2")["fields"]["name"] == "Anna"
    assert entries() == []


@pytest.mark.parametrize(
    ("stamp", "value", "outcome", "kept"),
    [
        (at(3), "later", "applied", "later"),
        (at(3), "Anna", "applied", "Anna"),  # a larger stamp over an equal value is stored too
        (at(1), "older", "stale", "Anna"),
        (at(2), "Anna", "unchanged", "Anna"),
        (at(2), "Zoe", "applied", "Zoe"),  # equal stamps: the larger canonical JSON
        (at(2), "Aaa", "stale", "Anna"),
    ],
)
def test_the_larger_stamp_survives(client: Client, stamp: str, value: str, outcome: str, kept: str) -> None:
    client.apply(created("1", at(2)))
    result = client.apply(change("1", {"name": value}, stamp))[0]
    assert result["outcome"] == outcome
    assert result["stamps"] == {"name": max(stamp, at(2))}
    assert result["deleted"] is None
    assert Member.objects.get().name == kept


def test_fields_may_have_stamps_of_their_own(client: Client) -> None:
    client.apply(created("1", at(5)))
    result = client.apply(change("1", {"name": "B", "visits": 7}, at(9), stamps={"name": at(4)}))[0]
    assert (result["outcome"], result["applied"]) == ("applied", ["visits"])
    assert result["stamps"] == {"name": at(5), "visits": at(9)}


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ({"entity": "ghost"}, "malformed"),
        ({"entity": 3}, "malformed"),
        ({"key": ""}, "malformed"),
        ({"key": 7}, "malformed"),
        ({"tenant": 7}, "malformed"),
        ({"tenant": "RVK"}, "malformed"),
        ({"action": "drop"}, "malformed"),
        ({"fields": {}}, "malformed"),
        ({"fields": []}, "malformed"),
        ({"fields": {"ghost": 1}}, "malformed"),
        ({"fields": {"national_id": "2"}}, "malformed"),
        ({"stamp": "2026-02-30T00:00:00.000000Z|firestore"}, "malformed"),
        ({"stamp": "2026-02-20T00:00:00Z|firestore"}, "malformed"),
        ({"stamps": {"name": "soon"}}, "malformed"),
        ({"base": {"name": "soon"}}, "malformed"),
        ({"deleted_base": {"name": None}}, "malformed"),
        ({"action": "delete"}, "malformed"),
        ({"deleted": "yesterday"}, "malformed"),
        ({"key": "0" * 21}, "too-large"),
        ({"key": "a\0b"}, "not-representable"),
        ({"key": "\ud800"}, "not-representable"),
        ({"fields": {"name": None}}, "required"),
        ({"fields": {"interests": None}}, "required"),
        ({"fields": {"name": 5}}, "type"),
        ({"fields": {"name": "x" * 201}}, "too-large"),
        ({"fields": {"name": "a\0"}}, "not-representable"),
        ({"fields": {"name": "\udc00"}}, "not-representable"),
        ({"fields": {"visits": "5"}}, "type"),
        ({"fields": {"visits": True}}, "type"),
        ({"fields": {"visits": 2.5}}, "not-representable"),
        ({"fields": {"visits": 10**30}}, "not-representable"),
        ({"fields": {"active": 1}}, "type"),
        ({"fields": {"fee": 12.5}}, "type"),
        ({"fields": {"fee": "12.5"}}, "not-representable"),
        ({"fields": {"fee": "012.50"}}, "not-representable"),
        ({"fields": {"fee": "-0.00"}}, "not-representable"),
        ({"fields": {"fee": "123456789.00"}}, "not-representable"),
        ({"fields": {"birth_date": "1990-2-3"}}, "not-representable"),
        ({"fields": {"birth_date": "1990-02-30"}}, "not-representable"),
        ({"fields": {"joined_at": "2020-01-01T00:00:00Z"}}, "not-representable"),
        ({"fields": {"address": {"a": "\ud800"}}}, "not-representable"),
        ({"fields": {"address": {"a": "\0"}}}, "not-representable"),
        ({"fields": {"address": {"a": 10**400}}}, "not-representable"),
        ({"fields": {"interests": "sund"}}, "type"),
        ({"fields": {"interests": ["sund", "kor"]}}, "not-representable"),
        ({"fields": {"interests": ["ghost"]}}, "reference"),
        ({"fields": {"branch": "ghost"}}, "reference"),
    ],
)
def test_what_is_wrong_in_a_change_is_an_outcome_and_spoils_no_other(client: Client, broken: dict[str, Any], code: str) -> None:
    client.apply(created("1", at(1)))
    bad, good = change("1", {"name": "B"}, at(2)) | broken, change("1", {"phone": "555"}, at(2))
    results = client.apply(bad, good)
    assert results[0]["error"]["code"] == code
    assert results[0]["outcome"] == ("retry" if code == "reference" else "invalid")
    assert results[1]["outcome"] == "applied"
    assert Member.objects.get().phone == "555"


def test_a_number_past_a_double_is_a_value_and_nan_is_no_json(client: Client) -> None:
    head = b'{"run_id": "r", "changes": [{"id": "1", "entity": "member", "key": "1", "action": "update", '
    body = head + b'"stamp": "%s", "fields": {"address": [%s]}}]}'
    stamp = at(1).encode()
    answer = client.post("apply/", body % (stamp, b"1e999"))
    assert answer.json()["results"][0]["error"]["code"] == "not-representable"
    assert client.post("apply/", body % (stamp, b"NaN")).status_code == 400
    assert client.post("apply/", body % (stamp, b"-Infinity")).status_code == 400


def test_json_is_stored_as_sent_in_every_depth(client: Client) -> None:
    value = {"é": [1, 2.5, 1e-7, 12345678901234567890, None, {"ð": "\u2028"}], "a": 1e22, "": {}}
    client.apply(created("1", at(1), address=value))
    fields = client.record("1")["fields"]
    assert fields["address"] == value
    assert entries() == []


def test_a_change_stamped_over_five_minutes_ahead_waits(client: Client) -> None:
    far = "2099-01-01T00:00:00.000000Z|firestore"
    results = client.apply(
        created("1", far),
        change("1", {"name": "x"}, at(1), stamps={"name": far}),
        deleted("1", far),
        created("2", at(1)) | {"base": {"name": far}},
    )
    assert [result.get("error", {}).get("code") for result in results] == ["future", "future", "future", None]
    assert "2099-01-01" in results[0]["error"]["message"]
    assert results[0]["outcome"] == "retry"


def test_an_update_of_an_unknown_record_that_lacks_required_fields_is_incomplete(client: Client) -> None:
    assert client.outcomes(change("1", {"phone": "5"}, at(1))) == ["incomplete"]
    assert client.outcomes(change("1", {"name": "A"}, at(1), action="create")) == ["required"]
    assert client.outcomes(change("1", {"name": "A", "active": True, "visits": 1, "interests": []}, at(1))) == ["applied"]
    assert Member.objects.get().joined_at is None  # nothing is invented, not even a default
    assert not client.changes()
    assert RecordIndex.objects.count() == 1


def test_references_within_a_request_pass_in_any_order(client: Client) -> None:
    branch = change("AK", {"name": "Akureyri", "city": ""}, at(1), entity="branch", action="create")
    interest = change("sund", {"name": "Sund"}, at(1), entity="interest", action="create")
    assert client.outcomes(created("1", at(1), branch="AK", interests=["sund"]), interest, branch) == ["applied"] * 3
    assert client.record("1")["fields"]["branch"] == "AK"
    assert client.record("1")["fields"]["interests"] == ["sund"]


def test_unique_values_may_be_swapped_or_passed_round(client: Client) -> None:
    client.apply(*[created(str(n), at(1), email=f"{n}@x.is") for n in range(3)])
    moved = [change(str(n), {"email": f"{(n + 1) % 3}@x.is"}, at(2)) for n in range(3)]
    assert client.outcomes(*moved, created("9", at(2))) == ["applied"] * 4
    assert list(Member.objects.order_by("national_id").values_list("email", flat=True)) == ["1@x.is", "2@x.is", "0@x.is", None]
    assert client.changes() == []


def test_of_two_claims_on_a_unique_value_the_later_is_refused_and_nothing_else_of_its_record(client: Client) -> None:
    client.apply(created("1", at(1)), created("2", at(1)))
    results = client.apply(
        change("2", {"email": "a@x.is"}, at(2)), change("1", {"email": "a@x.is"}, at(2)), change("1", {"phone": "7"}, at(3))
    )
    assert [result["outcome"] for result in results] == ["applied", "invalid", "applied"]
    assert results[1]["error"]["code"] == "unique"
    assert list(results[1]["error"]["fields"]) == ["email"]
    assert "a@x.is" not in str(results[1]["error"])
    assert Member.objects.get(national_id="1").phone == "7"


def test_a_unique_value_that_another_record_holds_is_refused(client: Client) -> None:
    client.apply(created("1", at(1), email="a@x.is"), created("2", at(1)))
    assert client.outcomes(change("2", {"email": "a@x.is"}, at(2)), created("3", at(2))) == ["unique", "applied"]
    assert client.record("2")["stamps"]["email"] == at(1)


def test_a_unique_value_freed_by_a_delete_of_the_same_request_passes(client: Client) -> None:
    client.apply(created("1", at(1), email="a@x.is"))
    assert client.outcomes(created("2", at(2), email="a@x.is"), deleted("1", at(3))) == ["applied", "applied"]


def test_one_bad_among_a_thousand_is_found_alone(client: Client) -> None:
    client.apply(created("x", at(1), email="a@x.is"))
    page = [created(str(n), at(1), email="a@x.is" if n == 617 else None) for n in range(1000)]
    outcomes = client.outcomes(*page)
    assert [n for n, outcome in enumerate(outcomes) if outcome != "applied"] == [617]
    assert Member.objects.count() == 1000


def test_raw_drift_is_adopted_before_the_apply_and_wins_over_what_is_older(client: Client) -> None:
    client.apply(created("1", at(1)))
    sql("UPDATE members_member SET name = %s", "raw")
    result = client.apply(change("1", {"name": "B"}, at(2), base={"name": at(1)}))[0]
    assert result["outcome"] == "stale"
    assert result["conflicts"][0]["winner"] == "local"
    assert entries() == [("update", "1", {"name": "raw"})]
    assert QueueEntry.objects.get().base == {"name": at(1)}


def test_a_row_without_an_index_is_adopted_as_a_create_when_a_change_comes(client: Client) -> None:
    sql("INSERT INTO members_member (national_id, name, active, visits) VALUES ('1', 'raw', %s, 0)", True)
    assert client.outcomes(change("1", {"phone": "5"}, at(1))) == ["stale"]
    assert [(action, key, fields["name"]) for action, key, fields in entries()] == [("create", "1", "raw")]


def test_a_record_gone_by_raw_sql_is_absent_and_is_put_back_by_the_whole_record(client: Client) -> None:
    whole = created("1", at(1))
    client.apply(whole)
    sql("DELETE FROM members_member")
    assert client.record("1") is None
    assert client.outcomes(change("1", {"name": "B"}, at(2))) == ["incomplete"]
    assert client.outcomes(whole) == ["applied"]
    assert client.record("1")["fields"] == MEMBER
    assert entries() == []


def test_a_refused_change_leaves_no_placeholder_behind(client: Client) -> None:
    client.apply(change("ghost", {"phone": "5"}, at(1)))
    assert not RecordIndex.objects.exists()


def test_deletes_that_other_rows_hold_on_to_wait(client: Client) -> None:
    from django.db.models import PROTECT

    field = Member._meta.get_field("branch").remote_field
    client.apply(change("AK", {"name": "A", "city": ""}, at(1), entity="branch"), created("1", at(1), branch="AK"))
    before, field.on_delete = field.on_delete, PROTECT
    try:
        assert client.outcomes(deleted("AK", at(2), entity="branch"), created("2", at(2))) == ["reference", "applied"]
        outcomes = client.outcomes(deleted("AK", at(2), entity="branch"), change("1", {"branch": None}, at(2)))
        assert outcomes == ["applied", "applied"]
    finally:
        field.on_delete = before
    assert not Branch.objects.exists()
    assert not Interest.objects.exists()


def state() -> Any:
    """Return all that is held: rows and index."""
    rows = Member.objects.order_by("national_id").values_list("national_id", "name", "phone", "visits")
    index = RecordIndex.objects.order_by("key").values_list("key", "stamps", "prints", "values", "deleted")
    return list(rows), list(index)


SOME = st.builds(
    lambda key, fields, second, gone: change(key, fields, at(second), deleted=at(gone) if gone else None, deleted_base=SEEN),
    st.sampled_from(["1", "2"]),
    st.dictionaries(st.sampled_from(["name", "phone"]), st.sampled_from(["x", "y", "z"]), min_size=1),
    st.integers(1, 6),
    st.sampled_from([0, 0, 2, 4]),
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(SOME, min_size=2, max_size=6), st.randoms(), st.integers(1, 4))
def test_random_changes_in_any_order_and_repetition_end_in_one_state(
    client: Client, changes: list[dict[str, Any]], chance: random.Random, page: int
) -> None:
    states = []
    for order in (changes, chance.sample(changes, len(changes)) + chance.choices(changes, k=2)):
        for model in (Member, RecordIndex, SyncConflict, QueueEntry):
            model.objects.all()._raw_delete("default")
        client.apply(created("1", at(0)), created("2", at(0)))
        for start in range(0, len(order), page):
            client.apply(*order[start : start + page])
        states.append(state())
        assert set(client.outcomes(*changes)) <= {"unchanged", "stale"}
        assert state() == states[-1]
    assert states[0] == states[1]
    assert entries() == []


def test_a_thousand_changes_take_few_statements(client: Client) -> None:
    client.apply(change("AK", {"name": "A", "city": ""}, at(1), entity="branch"))
    for second in (1, 2):
        page = [created(str(n), at(second), branch="AK", name=f"{n} {second}") for n in range(1000)]
        with CaptureQueriesContext(connection) as queries:
            assert set(client.outcomes(*page)) == {"applied"}
        assert len(queries) < 120
