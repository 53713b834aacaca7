"""Every kind of conflict on real parts: Django with its database, the emulator with its triggers, plain clients, HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from firestores import RealClock, documents
from google.cloud.firestore_v1.field_path import FieldPath
from real import Real
from world import Quiet

from local.bundle import ROOT
from local.emulator import PROJECT
from shared.config import load
from shared.engine import sync
from shared.mapping import Entity
from shared.model import Policy, Scope
from shared.peers.firestore import FirestorePeer
from shared.reconcile import reconcile
from shared.report import Report
from shared.run import Order, Pair
from shared.store import Store

pytestmark = pytest.mark.stack

LWW, LEFT, RIGHT, MERGE, MANUAL = Policy
MEMBER = {"name": "Jón", "active": True, "visits": 1}
Act = Callable[[Real], None]


def shipped() -> dict[str, Entity]:
    """Return the entities of the shipped sync.yaml."""
    settings = load(ROOT / "sync.yaml", {"DJANGO_URL": "http://nowhere", "GOOGLE_CLOUD_PROJECT": PROJECT})
    return {entity.name: entity for entity in settings.pairs["members"].mapped()}


class Under:
    """The library on the stack's own parts, with another policy than the stack's functions have."""

    def __init__(self, real: Real, policy: Policy) -> None:
        self.real, clock = real, RealClock()
        entities = {name: replace(each, policy=policy) for name, each in shipped().items() if not each.has_tenant}
        kept = documents(real.stack.emulator.host, PROJECT)
        self.firestore = FirestorePeer("firestore", kept, "members", list(entities.values()), clock, clock.tick)
        django = real.peer(list(entities.values()))
        scope = Scope("members", tuple(entities))
        self.pair = Pair("members", django, self.firestore, scope, kept.billed, entities=entities)
        self.store, self.clock, self.log, self.runs = Store(kept), clock, Quiet(), iter(range(1000))

    def run(self, work: Callable[..., Report] = sync, **order: Any) -> Report:
        report = work(self.pair, Order(f"run-{next(self.runs)}", **order), self.store, self.clock, self.log)
        assert report.failure is None
        assert all(tally.even for tally in report.directions.values())
        return report


@pytest.fixture(params=[LWW, LEFT, RIGHT, MERGE, MANUAL])
def under(request: pytest.FixtureRequest, real: Real) -> tuple[Under, Policy]:
    return Under(real, request.param), request.param


def d_edit(real: Real) -> None:
    real.users.call("save", entity="branch", key="n", fields={"name": "D"})


def f_edit(real: Real) -> None:
    real.firestore.document("branches/n").set({"name": "F"}, merge=True)


def d_delete(real: Real) -> None:
    real.users.call("delete", entity="branch", key="n")


def f_delete(real: Real) -> None:
    real.firestore.document("branches/n").delete()


KINDS: Mapping[str, tuple[bool, Act, Act, str | None, str | None]] = {
    "edit/edit": (True, d_edit, f_edit, "D", "F"),
    "edit/delete": (True, d_edit, f_delete, "D", None),
    "delete/edit": (True, d_delete, f_edit, None, "F"),
    "create/create": (False, d_edit, f_edit, "D", "F"),
}


def held(real: Real) -> tuple[str | None, str | None]:
    """Return the name that Django holds, and that which Firestore does; None where the record is gone."""
    in_django, in_firestore = real.users.call("dump", entity="branch").get("n"), real.document("branches/n")
    return in_django and in_django["name"], in_firestore and in_firestore["name"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_conflict_ends_as_the_policy_says(real: Real, under: tuple[Under, Policy], kind: str) -> None:
    library, policy = under
    there, by_django, by_firestore, left, right = KINDS[kind]
    if there:
        real.users.call("save", entity="branch", key="n", fields={"name": "old", "city": "same"})
        library.run()
    by_django(real)
    by_firestore(real)
    real.wait_for_queue(1)
    library.run(direction="firestore_to_django")
    library.run()
    [conflict] = real.rows("sync_conflicts")
    survivor = left if right is None else right if left is None else None
    wanted = {LEFT: left, RIGHT: right, MERGE: survivor}.get(policy)
    if policy is LWW or (policy is MERGE and survivor is None):
        wanted = conflict[conflict["winner"]].get("value")  # an event of a delete says in which second it was
    assert held(real) == ((left, right) if policy is MANUAL else (wanted, wanted))
    assert {conflict["local"].get("value"), conflict["incoming"].get("value")} == {left, right}
    assert (conflict["field"], conflict["status"]) == ("name", "open" if policy is MANUAL else "settled")
    real.wait_for_triggers()
    library.run()
    assert library.run().moved == 0
    figures = library.run(reconcile).reconciled["branch"]
    waits = 1 if policy is MANUAL else 0
    assert (figures.different, figures.in_conflict) == (waits, waits)
    assert len(real.rows("sync_conflicts")) == 1


@pytest.mark.parametrize("kept", ["left", "right"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_waits_is_decided_by_http(real: Real, kind: str, kept: str) -> None:
    library = Under(real, MANUAL)
    there, by_django, by_firestore, left, right = KINDS[kind]
    if there:
        real.users.call("save", entity="branch", key="n", fields={"name": "old", "city": "same"})
        library.run()
    by_django(real)
    by_firestore(real)
    real.wait_for_queue(1)
    library.run()
    assert "1 conflict waits" in real.call("sync_health").text
    [conflict] = real.rows("sync_conflicts", status="open")
    value = {"left": left, "right": right}[kept]
    side = next(each for each in ("local", "incoming") if conflict[each].get("value") == value)
    answer = real.call("resolve_conflict", {"id": conflict["__id__"], "keep": side, "by": "Anna", "note": "she said so"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["result"]["conflict"]["resolved_by"] == "Anna"
    assert held(real) == (value, value)
    [found] = real.rows("sync_conflicts")
    assert (found["status"], found["note"], found["chosen"]) == ("resolved", "she said so", side)
    real.wait_for_triggers()
    assert real.rows("sync_queue", sync_status="pending", entity="branch") == []
    real.sync()
    assert real.sync("reconcile")["reconciled"]["branch"]["different"] == 0
    assert "conflict waits" not in real.call("sync_health").text


def test_the_loser_comes_back_by_one_call_and_deciding_twice_is_409(real: Real) -> None:
    real.users.call("save", entity="branch", key="n", fields={"name": "old", "city": "same"})
    real.sync()
    d_edit(real)
    f_edit(real)
    real.wait_for_queue(1)
    real.sync()
    [conflict] = real.rows("sync_conflicts", status="settled")
    loser = "incoming" if conflict["winner"] == "local" else "local"
    asked = {"id": conflict["__id__"], "keep": loser}
    assert real.call("resolve_conflict", {**asked, "keep": conflict["winner"]}).status_code == 409
    assert real.call("resolve_conflict", asked).status_code == 200
    assert held(real) == (conflict[loser]["value"],) * 2
    again = real.call("resolve_conflict", asked)
    assert again.status_code == 409
    assert "was resolved by operator at 20" in again.json()["errors"][0]["message"]
    assert real.call("resolve_conflict", {**asked, "keep": "value", "value": "mine", "again": True}).status_code == 200
    assert held(real) == ("mine", "mine")
    outcomes = sorted(row["outcome"] for row in real.rows("sync_audit"))
    assert outcomes == ["NotOpen", "NotOpen", "resolved", "resolved"]


def test_what_cannot_be_decided_is_said_and_written_nowhere(real: Real) -> None:
    for key in ("1", "2"):
        real.users.call("save", entity="member", key=key, fields=MEMBER | {"email": f"{key}@example.is"})
    real.sync()
    real.users.call("save", entity="member", key="1", fields={"email": "d@example.is"})
    real.firestore.document("members/1").update({"email": "f@example.is"})
    real.wait_for_queue(1)
    real.sync()
    [conflict] = real.rows("sync_conflicts")
    id = conflict["__id__"]
    refused = {
        "a type": (5, "email: type"),
        "a rule of the backend's": ("2@example.is", "email: not unique"),
        "a length": ("x" * 300, "email: at most"),
    }
    before = real.users.call("dump", entity="member"), real.rows("members"), real.rows("sync_conflicts")
    for value, said in refused.values():
        answer = real.call("resolve_conflict", {"id": id, "keep": "value", "value": value})
        assert answer.status_code == 400, answer.text
        assert said in answer.json()["errors"][0]["message"]
        assert str(value) not in answer.text.replace(id, "").replace(answer.json()["runId"], "") or value == 5
    assert (real.users.call("dump", entity="member"), real.rows("members"), real.rows("sync_conflicts")) == before
    unknown = real.call("resolve_conflict", {"id": "no-such-conflict", "keep": "local"})
    assert (unknown.status_code, "'no-such-conflict'" in unknown.text) == (404, True)
    for body in ({}, {"id": id}, {"id": id, "keep": "mine"}, {"id": id, "keep": "local", "value": 1}):
        assert real.call("resolve_conflict", body).status_code == 400
    assert real.call("resolve_conflict", {"id": id, "keep": "local"}, token="wrong").status_code == 401


def test_two_deletes_are_no_conflict(real: Real) -> None:
    real.users.call("save", entity="branch", key="n", fields={"name": "old"})
    real.sync()
    d_delete(real)
    f_delete(real)
    real.wait_for_queue(1)
    real.sync()
    assert (held(real), real.rows("sync_conflicts")) == ((None, None), [])
    assert real.moved(real.sync()) == 0


def test_one_address_claimed_on_both_sides_is_a_dead_letter_until_somebody_mends_it(real: Real) -> None:
    for key in ("1", "2"):
        real.users.call("save", entity="member", key=key, fields=MEMBER | {"email": f"{key}@example.is"})
    real.sync()
    real.users.call("save", entity="member", key="1", fields={"email": "one@example.is"})
    real.firestore.document("members/2").update({"email": "one@example.is", "phone": "555"})
    real.wait_for_queue(1)
    assert real.sync()["dead_letters"] == 1
    [letter] = real.rows("sync_dead_letters")
    assert (letter["key"], letter["reason"], set(letter["fields"]), letter["status"]) == ("2", "unique", {"email"}, "open")
    in_django = real.users.call("dump", entity="member")
    assert (in_django["1"]["email"], in_django["2"]["email"]) == ("one@example.is", "2@example.is")
    assert (real.document("members/2") or {})["email"] == "one@example.is", "both sides keep theirs"
    real.firestore.document("members/2").update({"email": "two@example.is"})
    real.wait_for_queue(1)
    assert real.sync()["dead_letters"] == 0
    in_django = real.users.call("dump", entity="member")
    assert (in_django["1"]["email"], in_django["2"]["email"]) == ("one@example.is", "two@example.is")
    assert (real.document("members/1") or {})["email"] == "one@example.is"
    real.sync("reconcile")
    assert real.users.call("dump", entity="member")["2"]["phone"] == "555", "what was refused with it comes by reconcile"


def test_a_reference_to_a_record_that_is_not_there_waits_for_it(real: Real) -> None:
    real.firestore.document("members/1").set(MEMBER | {"branch": real.firestore.document("branches/late")})
    real.wait_for_queue(1)
    assert real.sync()["directions"]["firestore_to_django"]["waiting"] == 1
    [letter] = real.rows("sync_dead_letters")
    assert (letter["status"], letter["reason"], letter["attempts"]) == ("waiting", "reference", 1)
    real.users.call("save", entity="branch", key="late", fields={"name": "Late"})
    real.sync()
    assert real.users.call("dump", entity="member")["1"]["branch"] == "late"
    assert real.rows("sync_dead_letters") == []


def test_texts_are_merged_line_by_line(real: Real) -> None:
    library = Under(real, MERGE)
    notes = FieldPath("no.tes `&` þ").to_api_repr()
    fields = tuple(replace(each, at="no.tes `&` þ" if each.name == "notes" else each.at) for each in shipped()["member"].fields)
    entity = replace(shipped()["member"], fields=fields, policy=MERGE)
    library.pair = replace(library.pair, entities=library.pair.entities | {"member": entity})
    text = "one\ntwo\nthree\n"
    real.users.call("save", entity="member", key="1", fields=MEMBER | {"notes": text})
    real.sync()
    real.users.call("save", entity="member", key="1", fields={"notes": text.replace("one", "1")})
    real.firestore.document("members/1").update({notes: text.replace("three", "3")})
    real.wait_for_queue(1)
    [entry] = real.rows("sync_queue", key="1", sync_status="pending")
    # the stack's own tracker knows no field to be merged, and keeps nothing of what was there
    real.firestore.collection("sync_queue").document(entry["__id__"]).update({"replaced": {"notes": text}})
    layout = library.firestore.layouts["member"]
    library.firestore.layouts["member"] = replace(layout, entity=entity)
    library.run()
    in_django, in_firestore = real.users.call("dump", entity="member")["1"], real.document("members/1") or {}
    assert in_django["notes"] == in_firestore["no.tes `&` þ"] == "1\ntwo\n3\n"
    assert [(row["winner"], row["rule"]) for row in real.rows("sync_conflicts")] == [("both", "merge")]
