"""Events that belong to no model, and the ids by which edits are followed."""

import pytest
from calls import Client
from django.db import transaction
from members.models import Branch
from syncqueue.correlation import correlated
from syncqueue.models import QueueEntry
from syncqueue.publishing import publish


def test_a_published_event_waits_in_the_queue_as_an_edit_does(client: Client):
    id = publish("activity", "visit-1", {"kind": "visit"}, "order-77")
    [change] = client.get("changes/", entity="activity").json()["results"]
    assert (change["id"], change["key"], change["action"], change["correlation_id"]) == (id, "visit-1", "create", "order-77")
    assert change["fields"] == {"kind": "visit", "at": None}
    assert change["base"] == {"kind": None, "at": None}


def test_publishing_again_under_a_key_is_an_edit_made_on_top_of_the_first(client: Client):
    publish("activity", "visit-1", {"kind": "visit"})
    assert publish("activity", "visit-1", {"kind": "visit"}) is None
    publish("activity", "visit-1", {"kind": "left"})
    first, second = client.get("changes/", entity="activity").json()["results"]
    assert (second["action"], second["fields"], second["base"]) == ("update", {"kind": "left"}, {"kind": first["stamp"]})
    assert "correlation_id" not in second


def test_an_event_is_queued_only_if_the_transaction_is_committed(client: Client):
    with transaction.atomic():
        publish("activity", "visit-1", {"kind": "visit"})
        transaction.set_rollback(True)
    assert client.get("changes/", entity="activity").json()["results"] == []


@pytest.mark.parametrize(
    "entity, key, payload", [("activities", "k", {}), ("activity", "", {}), ("activity", "k", {"colour": "secret"})]
)
def test_what_cannot_be_published_is_said_without_a_value(db: str, entity: str, key: str, payload: dict[str, str]):
    with pytest.raises(ValueError, match=r"activity|kind") as caught:
        publish(entity, key, payload)
    assert "secret" not in str(caught.value)
    assert not QueueEntry.objects.exists()


def test_edits_of_models_carry_the_id_they_are_made_under(client: Client):
    with correlated("import-5"):
        Branch.objects.create(code="AK", name="Akureyri")
    Branch.objects.create(code="RVK", name="Reykjavík")
    told = {change["key"]: change.get("correlation_id") for change in client.get("changes/").json()["results"]}
    assert told == {"AK": "import-5", "RVK": None}


def test_an_id_that_is_too_long_is_refused(db: str):
    with pytest.raises(ValueError, match="200"), correlated("x" * 201):
        pass
