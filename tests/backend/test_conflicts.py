"""Which incoming changes conflict, and which are held, on both databases."""

from typing import Any

import pytest
from calls import MEMBER, Client, at, change, created, deleted
from members.models import Member
from syncqueue.models import SyncConflict

SEEN = dict.fromkeys(MEMBER, at(1))


def test_a_conflict_is_stored_and_repeated_until_acknowledged(client: Client) -> None:
    client.apply(created("1", at(1)))
    first = client.apply(change("1", {"name": "B"}, at(3), base={"name": at(0)}))[0]["conflicts"]
    assert [(c["field"], c["winner"], c["local"], c["incoming"]) for c in first] == [
        ("name", "incoming", {"value": "Anna", "stamp": at(1)}, {"value": "B", "stamp": at(3)})
    ]
    assert client.apply(change("1", {"phone": "1"}, at(4), base={"phone": at(1)}))[0]["conflicts"] == first
    assert client.apply(change("1", {"visits": "x"}, at(4)))[0]["conflicts"] == first
    assert "conflicts" not in client.apply(change("1", {"ghost": 1}, at(4)))[0]
    client.post("mark-synced/", {"run_id": "r", "conflicts": [first[0]["id"], "unknown"]})
    assert "conflicts" not in client.apply(change("1", {"phone": "2"}, at(5), base={"phone": at(4)}))[0]
    assert SyncConflict.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "stamp", "base", "conflicts"),
    [
        ({"name": "B"}, at(9), at(5), 0),  # fast-forward
        ({"name": "Anna"}, at(9), at(1), 0),  # equal values
        ({"name": "B"}, at(9), at(1), 1),
        ({"name": "B"}, at(9), None, 1),
        ({"name": "B"}, at(2), at(1), 1),  # the local write wins, unseen by the other
        ({"name": "Zoe"}, at(5), at(5), 1),  # equal stamps, different values
    ],
)
def test_a_conflict_is_two_writes_that_had_not_seen_each_other(
    client: Client, fields: Any, stamp: str, base: str | None, conflicts: int
) -> None:
    client.apply(created("1", at(5)))
    result = client.apply(change("1", fields, stamp, base={"name": base}))[0]
    assert len(result.get("conflicts", [])) == conflicts


def test_a_delete_that_meets_an_unseen_edit_is_a_conflict_without_an_incoming_value(client: Client) -> None:
    client.apply(created("1", at(1)), change("1", {"name": "B"}, at(2), base={"name": at(1)}))
    result = client.apply(deleted("1", at(3), deleted_base=SEEN))[0]
    assert [(c["field"], c["winner"], c["local"], c["incoming"]) for c in result["conflicts"]] == [
        ("name", "incoming", {"value": "B", "stamp": at(2)}, {"stamp": at(3)})
    ]


def test_both_directions_name_a_conflict_alike(client: Client) -> None:
    client.apply(created("1", at(1)), change("1", {"name": "B"}, at(2), base={"name": at(1)}))
    one = client.apply(deleted("1", at(3), deleted_base=SEEN))[0]["conflicts"][0]["id"]
    client.apply(created("2", at(1)), deleted("2", at(3), deleted_base=SEEN))
    other = client.apply(change("2", {"name": "B"}, at(2), base={"name": at(1)}))[0]["conflicts"][0]
    assert other["local"] == {"stamp": at(3)}
    assert other["incoming"] == {"value": "B", "stamp": at(2)}
    assert len(one) == len(other["id"]) == 32


def test_a_held_conflict_is_replaced_by_the_later_decision_under_its_id(client: Client) -> None:
    client.apply(created("1", at(1)))
    one = change("1", {"name": "B"}, at(3))
    client.apply(one, mode="if-unchanged")
    client.apply(one)
    assert SyncConflict.objects.get().winner == "incoming"


@pytest.mark.parametrize(
    ("fields", "base", "outcome"),
    [
        ({"name": "B"}, {"name": at(1)}, "applied"),
        ({"name": "B"}, {"name": at(0)}, "held"),
        ({"name": "B", "phone": "5"}, {"name": at(1)}, "held"),  # all or nothing
        ({"name": "B"}, {}, "held"),
    ],
)
def test_if_unchanged_applies_only_on_top_of_what_was_seen(client: Client, fields: Any, base: Any, outcome: str) -> None:
    client.apply(created("1", at(1), phone="1"))
    result = client.apply(change("1", fields, at(2), base=base), mode="if-unchanged")[0]
    assert result["outcome"] == outcome
    assert (Member.objects.get().name == "B") == (outcome == "applied")
    if outcome == "held":
        assert {conflict["winner"] for conflict in result["conflicts"]} == {"none"}


def test_if_unchanged_does_not_hold_what_is_there_already(client: Client) -> None:
    client.apply(created("1", at(1)))
    assert [r["outcome"] for r in client.apply(created("1", at(1)), mode="if-unchanged")] == ["unchanged"]


def test_if_unchanged_holds_a_delete_that_had_not_seen_every_field(client: Client) -> None:
    client.apply(created("1", at(1)), change("1", {"name": "B"}, at(2), base={"name": at(1)}))
    outcomes = [
        client.apply(deleted("1", at(3), deleted_base=base), mode="if-unchanged")[0]["outcome"]
        for base in (SEEN, SEEN | {"name": at(2)})
    ]
    assert outcomes == ["held", "applied"]
    assert client.apply(deleted("1", at(4)), mode="if-unchanged")[0]["outcome"] == "applied"  # never over a tombstone


def test_if_unchanged_holds_a_field_never_held_here_if_its_base_is_not_null(client: Client) -> None:
    whole = created("1", at(1))
    held = whole | {"base": {"name": at(0)}}
    assert [client.apply(one, mode="if-unchanged")[0]["outcome"] for one in (held, whole)] == ["held", "applied"]
