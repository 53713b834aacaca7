"""Events as the emulator really posted them, in every form in which they may come."""

from __future__ import annotations

import pytest
import requests
from events.replay import RECORDED, body, event
from real import Real

from shared.errors import TerminalRecord
from shared.events import pokes_of
from shared.mapping import Entity, Field, Type
from shared.model import RecordId

MEMBER = Entity("member", "members", (Field("name", Type.TEXT, "name"),))
NESTED = Entity("event", "branches/{tenant}/events", (Field("title", Type.TEXT, "title"),))


@pytest.mark.parametrize("form", ["base64", "binary"])
def test_an_event_names_its_record_and_carries_the_document_before_and_after(form: str) -> None:
    [created] = pokes_of(event("created", form), MEMBER)
    assert created.record == RecordId("member", "0101302399")
    assert created.before is None
    assert created.after is not None
    assert created.after.fields == {"name": "Jón", "fee": "10.00", "birthDate": None}
    [updated] = pokes_of(event("updated", form), MEMBER)
    assert updated.before == created.after
    assert updated.after is not None
    assert updated.after.fields["phone"] == "555 0001"
    [deleted] = pokes_of(event("deleted", form), MEMBER)
    assert (deleted.after, deleted.before is not None) == (None, True)


@pytest.mark.parametrize("form", ["base64", "binary", "bare"])
def test_a_key_with_anything_in_it_is_understood(form: str) -> None:
    assert RecordId("member", "þ ð/ö.x") in {poke.record for poke in pokes_of(event("odd_key", form), MEMBER)}
    [nested] = {poke.record for poke in pokes_of(event("nested", form), NESTED)}
    assert nested == RecordId("event", "e 1", "rvk")


def test_an_event_without_data_pokes_the_record_that_its_attributes_name() -> None:
    [poke] = pokes_of(event("created", "bare"), MEMBER)
    assert (poke.record, poke.before, poke.after) == (RecordId("member", "0101302399"), None, None)
    [missing] = pokes_of(event("missing_deleted"), MEMBER)
    assert (missing.before, missing.after) == (None, None)


def test_an_event_of_another_collection_is_no_poke() -> None:
    assert list(pokes_of(event("nested"), MEMBER)) == []
    assert list(pokes_of(event("created"), NESTED)) == []


def test_data_that_is_no_event_is_refused() -> None:
    broken = event("created")
    broken.data = b"!! neither protobuf nor base64"
    with pytest.raises(TerminalRecord, match="DocumentEventData"):
        list(pokes_of(broken, MEMBER))


def post(real: Real, name: str, form: str = "base64", tracker: str = "track_member_changes") -> None:
    url = f"{real.stack.functions_url}/{tracker}"
    assert requests.post(url, data=body(name, form), headers=RECORDED[name]["headers"], timeout=60).status_code == 200


@pytest.mark.stack
def test_doubled_reordered_and_late_events_end_as_if_they_had_come_once_and_in_order(real: Real) -> None:
    document = real.firestore.document("members/0101302399")
    document.set({"name": "Jón", "active": True, "fee": "10.00"})
    real.wait_for_queue(1)
    document.update({"phone": "555 0001"})
    real.wait_for_queue(2)
    for name in ("updated", "created", "updated", "written_by_the_sync"):
        for form in ("base64", "binary", "bare"):
            post(real, name, form)
    assert len(real.rows("sync_queue")) == 2
    result = real.sync()
    assert (real.moved(result), result["conflicts"]) == (2, 0)
    held = real.users.call("dump", entity="member")["0101302399"]
    assert {name: held[name] for name in ("name", "phone", "fee")} == {"name": "Jón", "phone": "555 0001", "fee": "10.00"}
    assert real.moved(real.sync()) == 0


@pytest.mark.stack
def test_an_event_at_the_wrong_tracker_or_of_a_missing_document_does_nothing(real: Real) -> None:
    post(real, "created", tracker="track_branch_changes")
    post(real, "missing_deleted")
    post(real, "created", "bare")
    post(real, "odd_key", "bare")
    assert real.rows("sync_queue") == []
    assert real.rows("sync_tombstones") == []
    log = (real.stack.logs / "functions.log").read_text()
    assert '"event": "wrong_collection"' in log


@pytest.mark.stack
def test_a_late_delete_event_of_a_document_that_is_long_gone_still_counts(real: Real) -> None:
    """The recorded old document carries an index of its own; nothing here has ever heard of it, so it is a delete."""
    post(real, "deleted")
    post(real, "deleted", "binary")
    [tombstone] = real.rows("sync_tombstones")
    assert tombstone["key"] == "0101302399"
    assert [row["action"] for row in real.rows("sync_queue")] == ["delete"]
