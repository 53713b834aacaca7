"""The main job on real parts: the functions over HTTP, real triggers, a real Django, the real emulator, plain clients."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from google.cloud.firestore import DELETE_FIELD
from google.cloud.firestore_v1.field_path import FieldPath
from real import Real

from shared.naming import document_id

pytestmark = pytest.mark.stack

NOTES = "no.tes `&` þ"
MEMBER = {"name": "Jón", "active": True, "visits": 1}
JOINED = datetime(2026, 11, 22, 3, 10, 56, 123456, tzinfo=UTC)
FORMS = [unicodedata.normalize(form, "Ǽ Å ﬃ é 각 日本 👩‍👩‍👧 ħ") for form in ("NFC", "NFD", "NFKC", "NFKD")]

VALUES: dict[str, list[tuple[Any, Any]]] = {  # a field: what Django holds, and what Firestore does
    "name": [(text, text) for text in [*FORMS, "", " blanks around ", "line\nbreak\ttab \u0007 \u2028"]],
    "fee": [(text, text) for text in ("0.00", "-0.01", "12345678.90", "99999999.99")] + [(None, None)],
    "active": [(True, True), (False, False)],
    "visits": [(0, 0), (-2147483648, -2147483648), (2147483647, 2147483647)],
    "birth_date": [("0001-01-01", "0001-01-01"), ("2024-02-29", "2024-02-29"), ("9999-12-31", "9999-12-31"), (None, None)],
    "joined_at": [
        ("2026-11-22T03:10:56.123456+00:00", JOINED),
        ("1969-12-31T23:59:59.999999+00:00", datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)),
        (None, None),
    ],
    "address": [
        (value, value)
        for value in ({}, {"a": None, "b": [1, 2.5, True, {"c": [{"d": ""}]}], "ö.x y": "é", "n": -0.125, "i": 2**53})
    ],
    "interests": [(["kor", "sund"], ["kor", "sund"]), (None, None)],
    "notes": [("x" * 900_000, "x" * 900_000), ("þ" * 300_000, "þ" * 300_000), (None, None)],
}
AT = {"birth_date": "birthDate", "joined_at": "joinedAt", "paid_until": "paidUntil", "notes": NOTES}
CASES = {f"{name}/{number}": (name, *pair) for name, pairs in VALUES.items() for number, pair in enumerate(pairs)}


def interests(real: Real) -> None:
    for slug in ("kor", "sund"):
        real.users.call("save", entity="interest", key=slug, fields={"name": slug})


def test_every_type_arrives_intact_from_django(real: Real) -> None:
    interests(real)
    for key, (name, in_django, _) in CASES.items():
        real.users.call("save", entity="member", key=key, fields=MEMBER | {name: in_django})
    real.sync()
    held = real.users.call("dump", entity="member")
    for key, (name, in_django, in_firestore) in CASES.items():
        document = real.document(f"members/{document_id(key)}")
        assert document is not None, key
        assert document[AT.get(name, name)] == in_firestore or [document[AT.get(name, name)], in_firestore] == [[], None], key
        assert held[key].get(name) == in_django, key


def test_every_type_arrives_intact_from_a_plain_client(real: Real) -> None:
    interests(real)
    real.sync()
    written = {key: MEMBER | {AT.get(name, name): in_firestore} for key, (name, _, in_firestore) in CASES.items()}
    for key, document in written.items():
        real.firestore.document(f"members/{document_id(key)}").set(document)
    real.wait_for_queue(len(CASES))
    assert real.sync()["dead_letters"] == 0
    held = real.users.call("dump", entity="member")
    for key, (name, in_django, _) in CASES.items():
        assert held[key].get(name) == in_django, key
        assert real.document(f"members/{document_id(key)}") == written[key], key
    assert real.moved(real.sync()) == 0


def test_references_travel_both_ways(real: Real) -> None:
    for code in ("A/1", "B"):
        real.users.call("save", entity="branch", key=code, fields={"name": code})
    real.users.call("save", entity="member", key="1", fields=MEMBER | {"branch": "A/1"})
    real.sync()
    assert real.document("members/1")["branch"].path == "branches/A%2F1"  # type: ignore[index]
    real.firestore.document("members/1").update({"branch": real.firestore.document("branches/B")})
    real.wait_for_queue(1)
    real.sync()
    assert real.users.call("dump", entity="member")["1"]["branch"] == "B"


def test_any_key_travels_both_ways(real: Real) -> None:
    keys = ["a/b", "dots.and..more", "two words", "þjóð", "50%", "%2F", "e\u0301", "é", "😀", ".", "__x__"]
    for key in keys:
        real.users.call("save", entity="branch", key=key, fields={"name": "Norður", "city": "Akureyri"})
    real.sync()
    rows = real.rows("branches")
    assert len(rows) == len(keys)
    for row in rows:
        real.firestore.collection("branches").document(row["__id__"]).update({"city": row["__id__"]})
    real.wait_for_queue(len(keys))
    real.sync()
    assert real.users.call("dump", entity="branch") == {key: {"name": "Norður", "city": document_id(key)} for key in keys}


def test_collections_nested_under_a_tenant_keep_tenants_apart(real: Real) -> None:
    real.users.call("save", entity="event", key="1", fields={"tenant": "RVK", "title": "Þorrablót", "details": {"seats": 40}})
    real.firestore.document("branches/AK/events/1").set({"title": "Réttir", "startsAt": JOINED})
    real.wait_for_queue(1)
    real.sync()
    assert real.document("branches/RVK/events/1") == {"title": "Þorrablót", "details": {"seats": 40}, "startsAt": None}
    titles = {row["tenant"]: row["title"] for row in real.users.call("rows", entity="event")}
    assert titles == {"RVK": "Þorrablót", "AK": "Réttir"}


def test_1_convergence_and_2_no_lost_update_on_real_parts(real: Real) -> None:
    for number in range(6):
        real.users.call(
            "save", entity="member", key=f"{number}", fields=MEMBER | {"phone": "old", "email": f"{number}@example.is"}
        )
    real.sync("reconcile")
    real.users.call("save", entity="member", key="0", fields={"phone": "office"})
    real.users.call("save", entity="member", key="1", fields={"email": "new@example.is"})
    real.users.call("raw", entity="member", key="2", fields={"phone": "sql"})
    real.users.call("update", entity="member", keys=["3"], fields={"phone": "bulk"})
    real.users.call("delete", entity="member", key="4")
    members = real.firestore.collection("members")
    members.document("0").update({"phone": "app"})
    members.document("1").update({"phone": "app"})
    members.document("2").update({FieldPath(NOTES).to_api_repr(): "app"})
    members.document("4").update({"phone": "app, unseen by the delete or after it"})
    members.document("5").delete()
    real.wait_for_queue(5)
    real.sync()
    real.sync()
    assert real.moved(real.sync()) == 0
    in_django = real.users.call("dump", entity="member")
    assert in_django["0"]["phone"] == "app"
    assert (in_django["1"]["phone"], in_django["1"]["email"]) == ("app", "new@example.is")
    assert (in_django["2"]["phone"], in_django["2"]["notes"]) == ("sql", "app")
    assert in_django["3"]["phone"] == "bulk"
    assert "5" not in in_django
    for key, record in in_django.items():
        document = real.document(f"members/{key}") or {}
        assert {name: document.get(AT.get(name, name)) for name in ("phone", "email", "notes", "name")} == {
            name: record.get(name) for name in ("phone", "email", "notes", "name")
        }
    kept = {side.get("value") for row in real.rows("sync_conflicts") for side in (row["local"], row["incoming"])}
    assert "office" in kept


def test_3_idempotence_a_page_that_comes_again_changes_nothing(real: Real) -> None:
    real.users.call("save", entity="branch", key="n", fields={"name": "Norður"})
    real.firestore.document("branches/s").set({"name": "Suður"})
    real.wait_for_queue(1)
    real.sync()
    before = (real.users.call("dump", entity="branch"), real.rows("branches"))
    for row in real.rows("sync_queue"):
        real.firestore.collection("sync_queue").document(row["__id__"]).update({"sync_status": "pending"})
    result = real.sync()
    assert result["directions"]["firestore_to_django"]["unchanged"] == 1
    assert (real.users.call("dump", entity="branch"), real.rows("branches")) == before


def test_4_no_echo_and_an_idle_run_writes_nothing_and_costs_at_most_three_reads(real: Real) -> None:
    real.users.call("save", entity="branch", key="n", fields={"name": "Norður"})
    real.firestore.document("branches/s").set({"name": "Suður"})
    real.wait_for_queue(1)
    real.sync()
    queued = len(real.rows("sync_queue"))
    result = real.sync()
    assert real.moved(result) == 0
    assert (result["billed"]["writes"], result["billed"]["deletes"]) == (0, 0)
    assert result["billed"]["reads"] <= 3
    assert len(real.rows("sync_queue")) == queued


def test_5_unseen_edits_survive_a_trigger_that_never_fired(real: Real) -> None:
    real.users.call("save", entity="branch", key="n", fields={"name": "Norður", "city": "Akureyri"})
    real.sync()
    found = real.firestore.document("branches/n").get().to_dict() or {}
    line = found["_sync"]["fields"]["city"].split("|")
    lost = found["_sync"] | {"fields": found["_sync"]["fields"] | {"city": "|".join([*line[:2], "0" * 16])}}
    real.firestore.document("branches/n").update({"_sync": lost, "city": "Dalvík"})
    real.wait_for_queue(1)
    for row in real.rows("sync_queue", sync_status="pending"):  # as if the event had never come
        real.firestore.collection("sync_queue").document(row["__id__"]).delete()
    real.firestore.document("branches/n").update({"_sync": lost})
    real.users.call("raw", entity="branch", key="n", fields={"name": "Nyrðra"})
    real.sync("reconcile")
    assert real.users.call("dump", entity="branch") == {"n": {"name": "Nyrðra", "city": "Dalvík"}}
    assert real.document("branches/n") == {"name": "Nyrðra", "city": "Dalvík"}


def test_6_isolation_one_bad_record_is_a_dead_letter_and_the_rest_goes_through(real: Real) -> None:
    real.firestore.document("members/bad").set({"name": "x", "active": "yes, please", "visits": 1})
    real.firestore.document("members/good").set(MEMBER)
    real.wait_for_queue(2)
    result = real.sync()
    assert (result["dead_letters"], result["directions"]["firestore_to_django"]["applied"]) == (1, 1)
    assert set(real.users.call("dump", entity="member")) == {"good"}
    [letter] = real.rows("sync_dead_letters")
    assert (letter["key"], letter["reason"], set(letter["fields"])) == ("bad", "type", {"active"})
    assert [row["sync_status"] for row in real.rows("sync_queue", key="bad")] == ["failed"]
    assert real.moved(real.sync()) == 0


def test_6_isolation_a_record_past_firestores_limit_is_a_dead_letter_that_says_its_size(real: Real) -> None:
    real.users.call("save", entity="member", key="1", fields=MEMBER)
    real.sync()
    real.users.call("save", entity="member", key="1", fields={"notes": "x" * 3_000_000})
    real.users.call("save", entity="member", key="2", fields=MEMBER | {"notes": "þ" * 1_000_000})
    real.users.call("save", entity="member", key="3", fields=MEMBER)
    result = real.sync()
    assert (result["dead_letters"], result["directions"]["django_to_firestore"]["applied"]) == (2, 1)
    letters = {row["key"]: row for row in real.rows("sync_dead_letters")}
    assert {key: row["reason"] for key, row in letters.items()} == {"1": "too-large", "2": "too-large"}
    assert "would have 30" in letters["1"]["message"]
    assert set(letters["1"]["change"]["fields"]) == {"notes"}
    assert {row["__id__"] for row in real.rows("members")} == {"1", "3"}
    assert real.moved(real.sync()) == 0


def test_9_silence_no_value_and_no_key_reaches_a_log(real: Real) -> None:
    secret = {"name": "Leyndarmál Jónsson", "email": "leynd@example.is", "phone": "+354 7654321"}
    real.users.call("save", entity="member", key="9901019999", fields=MEMBER | secret)
    real.firestore.document("members/9902029999").set(MEMBER | secret | {"active": "rangt gildi"})
    real.wait_for_queue(1)
    real.users.call("save", entity="member", key="9901019999", fields={"phone": "+354 1111111"})
    real.sync()
    real.call("bidirectional_sync", {"pair": "members"}, token="wrong")
    said = "".join(path.read_text(errors="replace") for path in real.stack.logs.glob("*.log") if path.name != "emulator.log")
    assert "sync_ok" in said
    for word in [
        *secret.values(),
        "rangt gildi",
        "9901019999",
        "9902029999",
        real.stack.operator_token,
        real.stack.admin_token,
        real.stack.backend_token,
    ]:
        assert word not in said


def test_where_both_sides_hold_data_that_was_never_synced_the_declared_side_wins(real: Real) -> None:
    real.users.call("raw_insert", entity="branch", key="n", fields={"name": "Django's", "city": "same"})
    real.firestore.document("branches/n").set({"name": "Firestore's", "city": "same"})
    real.firestore.document("branches/only").set({"name": "Only in Firestore", "city": None})
    real.wait_for_queue(2)
    real.sync("reconcile")
    assert real.users.call("dump", entity="branch")["n"]["name"] == "Django's"
    assert real.document("branches/n") == {"name": "Django's", "city": "same"}
    assert set(real.users.call("dump", entity="branch")) == {"n", "only"}
    values = {side["value"] for row in real.rows("sync_conflicts") for side in (row["local"], row["incoming"])}
    assert values == {"Django's", "Firestore's"}


def test_a_dry_run_says_what_would_move_and_writes_nothing(real: Real) -> None:
    real.users.call("save", entity="branch", key="n", fields={"name": "Norður"})
    result = real.sync(dry_run=True)
    assert result["directions"]["django_to_firestore"]["applied"] == 1
    assert result["billed"]["writes"] == 0
    assert real.rows("branches") == []
    assert real.rows("sync_runs") == []
    assert real.sync()["directions"]["django_to_firestore"]["applied"] == 1


def test_a_dry_run_of_reconcile_adopts_nothing_in_firestore_either(real: Real) -> None:
    real.firestore.document("branches/n").set({"name": "Norður"})
    real.wait_for_queue(1)
    real.sync()
    seen = real.firestore.document("branches/n").get().to_dict() or {}
    old = {**seen["_sync"], "fields": {**seen["_sync"]["fields"], "name": seen["_sync"]["fields"]["name"][:-16] + "0" * 16}}
    real.firestore.document("branches/n").update({"_sync": old})
    real.wait_for_queue(1)
    before = real.rows("sync_queue")
    result = real.sync("reconcile", dry_run=True)
    assert result["billed"]["writes"] == 0
    assert real.rows("sync_queue") == before


def test_reconcile_by_keys_and_by_digests_over_http(real: Real) -> None:
    for key in ("a", "b", "c"):
        real.users.call("save", entity="interest", key=key, fields={"name": key})
    real.sync()
    for key in ("a", "b"):
        real.users.call("raw", entity="interest", key=key, fields={"name": "raw"})
    seen = real.sync("reconcile", mode="quick", entities=["interest"], repair=False)["reconciled"]["interest"]
    assert (seen["mode"], seen["compared"], seen["different"], seen["repaired"]) == ("quick", 3, 2, 0)
    assert {row["name"] for row in real.rows("interests")} == {"a", "b", "c"}
    real.users.call("raw", entity="interest", key="c", fields={"name": "raw"})
    by_key = real.sync("reconcile", entities=["interest"], keys=["c", "nobody"], batch_size=10)["reconciled"]["interest"]
    assert (by_key["compared"], by_key["different"], by_key["repaired"], by_key["fields"]) == (1, 1, 1, {"name": 1})
    assert by_key["note"] == "1 of the keys are known on neither side"
    real.sync("reconcile", mode="quick")
    assert {row["name"] for row in real.rows("interests")} == {"raw"}
    [last] = [row for row in real.rows("sync_runs") if "member" in row["result"].get("reconciled", {})]
    assert last["result"]["reconciled"]["interest"] | {"different": 0, "repaired": 0} == {
        **dict.fromkeys(("waiting", "dead_letters", "in_conflict", "held", "edited", "put_back", "different", "repaired"), 0),
        **{"mode": "quick", "compared": 3, "equal": 3, "fields": {}, "note": None},
    }


def test_what_is_referred_to_is_carried_first_however_the_keys_sort(real: Real) -> None:
    real.firestore.document("members/1").set(MEMBER | {"branch": real.firestore.document("branches/zz")})
    real.firestore.document("branches/zz").set({"name": "Last"})
    real.wait_for_queue(2)
    assert real.sync(max_changes=1)["directions"]["firestore_to_django"]["waiting"] == 0
    real.sync()
    assert real.users.call("dump", entity="member")["1"]["branch"] == "zz"


def test_a_run_can_be_narrowed_to_entities_direction_and_a_number_of_changes(real: Real) -> None:
    for number in range(5):
        real.users.call("save", entity="branch", key=f"{number}", fields={"name": "x"})
    real.users.call("save", entity="interest", key="kor", fields={"name": "Kór"})
    real.firestore.document("branches/f").set({"name": "F"})
    real.wait_for_queue(1)
    result = real.sync(entities=["branch"], direction="django_to_firestore", max_changes=2)
    assert set(result["directions"]) == {"django_to_firestore"}
    assert (real.moved(result), result["left_over"]) == (2, True)
    real.sync()
    assert len(real.rows("branches")) == 6
    assert len(real.users.call("dump", entity="branch")) == 6


def test_a_cleared_field_is_null_on_the_other_side(real: Real) -> None:
    real.users.call("save", entity="member", key="1", fields=MEMBER | {"phone": "555", "email": "a@example.is"})
    real.sync()
    real.firestore.document("members/1").update({"phone": DELETE_FIELD})
    real.wait_for_queue(1)
    real.users.call("save", entity="member", key="1", fields={"email": None})
    real.sync()
    assert {"phone", "email"} & set(real.users.call("dump", entity="member")["1"]) == set()
    assert real.document("members/1")["email"] is None  # type: ignore[index]


def test_health_says_what_waits_and_when_the_last_run_was(real: Real) -> None:
    real.users.call("save", entity="branch", key="n", fields={"name": "Norður"})
    first = real.call("sync_health")
    assert first.status_code == 200, first.text
    assert first.json()["result"]["pairs"]["members"]["peers"]["django"]["pending"] == 1
    real.sync()
    real.firestore.document("members/bad").set({"name": "x", "active": "no boolean", "visits": 1})
    real.wait_for_queue(1)
    real.sync()
    answer = real.call("sync_health")
    pair = answer.json()["result"]["pairs"]["members"]
    assert answer.status_code == 503
    assert pair["last_run"]["success"] is True
    assert pair["dead_letters"] == 1
    assert [each["code"] for each in pair["problems"]] == ["dead-letters"]
    [error] = answer.json()["errors"]
    assert error == {"pair": "members", **pair["problems"][0]}
    assert pair["last_run"]["succeeded_at"] == pair["last_run"]["completed_at"]
    figures = pair["figures"]
    assert (figures["pending"], figures["oldest_pending_seconds"], figures["dead_letters"]) == (0, 0, 1)
    assert 0 <= figures["intervals_since_success"] < 1


def test_a_second_run_at_once_gets_409_with_the_first_ones_id(real: Real) -> None:
    until = datetime(2100, 1, 1, tzinfo=UTC)
    real.firestore.document("sync_leases/members").set({"run_id": "the-first", "until": until, "last": {}})
    answer = real.call("bidirectional_sync", {"pair": "members"})
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["runId"] == "the-first"
    assert answer.json()["success"] is False


def test_the_schedulers_repeat_of_an_attempt_gets_the_first_ones_answer(real: Real) -> None:
    real.users.call("save", entity="branch", key="n", fields={"name": "Norður"})
    when = {"X-CloudScheduler-ScheduleTime": "2026-11-22T03:30:00Z"}
    first = real.call("bidirectional_sync", **when).json()
    again = real.call("bidirectional_sync", **when).json()
    assert first["runId"] == again["runId"]
    assert again["result"] == first["result"]
    assert first["result"]["pairs"]["members"]["directions"]["django_to_firestore"]["applied"] == 1
