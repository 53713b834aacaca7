"""Incoming deletes, and what comes over a tombstone, on both databases."""

from calls import MEMBER, Client, at, change, created, deleted, entries
from members.models import Event, Member

SEEN = dict.fromkeys(MEMBER, at(1))


def test_a_delete_takes_effect_also_of_a_key_not_known(client: Client) -> None:
    client.apply(created("1", at(1)))
    results = client.apply(deleted("1", at(2), deleted_base=SEEN), deleted("ghost", at(2)))
    assert [(r["outcome"], r["applied"], r["deleted"]) for r in results] == [("applied", [], at(2))] * 2
    assert not Member.objects.exists()
    assert client.record("1") == {"entity": "member", "tenant": None, "key": "1", "fields": {}, "stamps": {}, "deleted": at(2)}
    assert client.outcomes(deleted("1", at(2)), deleted("1", at(1)), deleted("1", at(3))) == ["unchanged", "stale", "applied"]


def test_a_later_edit_brings_the_whole_record_back_and_the_tombstone_is_forgotten(client: Client) -> None:
    client.apply(created("1", at(1), phone="555"), deleted("1", at(2), deleted_base=SEEN))
    result = client.apply(change("1", {"name": "B"}, at(3), base={"name": at(2)}))[0]
    assert (result["outcome"], result["deleted"], result.get("conflicts")) == ("applied", None, None)
    record = client.record("1")
    assert record["fields"] == MEMBER | {"name": "B", "phone": "555"}
    assert record["stamps"]["phone"] == at(1)
    assert record["deleted"] is None


def test_a_field_under_a_standing_tombstone_is_kept_hidden_and_answers_stale(client: Client) -> None:
    client.apply(created("1", at(1)), deleted("1", at(5)))
    result = client.apply(change("1", {"name": "B"}, at(3), base={"name": at(1)}))[0]
    assert (result["outcome"], result["applied"], result["stamps"], result["deleted"]) == ("stale", [], {"name": at(3)}, at(5))
    client.apply(change("1", {"phone": "5"}, at(9)))
    assert client.record("1")["fields"]["name"] == "B"


def test_a_collapsed_change_carries_fields_and_a_delete(client: Client) -> None:
    client.apply(created("1", at(1)))
    client.apply(change("1", {"name": "B"}, at(4), action="delete", deleted=at(4), stamps={"name": at(3)}, base={"name": at(1)}))
    assert client.record("1")["deleted"] == at(4)
    client.apply(change("1", {"phone": "5"}, at(9)))
    assert client.record("1")["fields"]["name"] == "B"


def test_a_delete_older_than_an_edit_is_stale(client: Client) -> None:
    client.apply(created("1", at(5)))
    assert client.outcomes(deleted("1", at(4))) == ["stale"]
    assert client.record("1")["deleted"] is None


def test_an_update_over_a_tombstone_without_values_is_incomplete_until_the_whole_record_comes(client: Client) -> None:
    client.apply(deleted("1", at(5)))
    whole = created("1", at(6))
    assert client.outcomes(change("1", {"name": "B"}, at(6)), change("1", MEMBER | {"name": "B"}, at(4))) == [
        "incomplete",
        "stale",
    ]
    assert client.outcomes(whole) == ["applied"]
    assert client.record("1")["fields"] == MEMBER


def test_a_tombstone_without_values_keeps_its_stamps_and_takes_nothing_older(client: Client) -> None:
    client.apply(change("1", {"name": "B"}, at(5), action="delete", deleted=at(5), stamps={"name": at(4)}))
    lacking = {name: value for name, value in MEMBER.items() if name != "name"}
    old_name = created("1", at(6)) | {"stamps": {"name": at(3)}}
    assert client.outcomes(created("1", at(6)) | {"fields": lacking}, old_name) == ["incomplete", "incomplete"]
    assert client.outcomes(created("1", at(6)) | {"stamps": {"name": at(4)}}) == ["applied"]


def test_a_revival_that_breaks_uniqueness_through_a_hidden_field_names_it_and_leaves_the_tombstone(client: Client) -> None:
    client.apply(created("1", at(1), email="a@x.is"), deleted("1", at(2)), created("2", at(3), email="a@x.is"))
    result = client.apply(change("1", {"phone": "5"}, at(4)))[0]
    assert (result["error"]["code"], list(result["error"]["fields"])) == ("unique", ["email"])
    assert client.record("1")["deleted"] == at(2)


def test_a_delete_that_nulls_references_makes_local_edits_of_the_others(client: Client) -> None:
    client.apply(change("AK", {"name": "A", "city": ""}, at(1), entity="branch"), created("1", at(1), branch="AK"))
    assert client.outcomes(deleted("AK", at(2), entity="branch")) == ["applied"]
    assert entries() == [("update", "1", {"branch": None})]
    assert client.record("1")["fields"]["branch"] is None


def test_tenants_keep_records_of_one_key_apart(client: Client) -> None:
    fields = {"title": "Dans", "starts_at": None, "details": None}
    events = [change("e", fields | {"title": tenant}, at(1), entity="event", tenant=tenant) for tenant in ("RVK", "AK")]
    assert client.outcomes(*events) == ["applied", "applied"]
    assert set(Event.objects.values_list("tenant", "title")) == {("RVK", "RVK"), ("AK", "AK")}
    assert client.record("e", "event", "AK")["tenant"] == "AK"
