"""The envelope and the other calls: tokens, signatures, sizes, pages, acknowledgements, figures, digests."""

import gzip
import hashlib
import hmac
import json
import logging
import time
import zlib
from typing import Any

import pytest
from calls import MEMBER, MOUNT, Client, anonymous, at, change, created, deleted
from databases import sql
from django.test import override_settings
from members.models import Branch, Event, Member
from syncqueue.canonical import bucket_hash, record_hash
from syncqueue.logs import ValueFree
from syncqueue.models import QueueEntry, SyncConflict, SyncToken

CALLS = [("get", "changes/"), ("get", "status/"), ("get", "records/?entity=member"), ("get", "digest/?entity=member")]
CALLS += [("post", path) for path in ("apply/", "mark-synced/", "records/")]


@pytest.fixture
def branches(db: str) -> list[str]:
    """Seven branches, each an entry in the queue."""
    codes = [f"BRANCH{n}" for n in range(7)]
    Branch.objects.bulk_create([Branch(code=code, name=code) for code in codes])
    return codes


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_wrong_token_is_401_and_a_wrong_role_403(db: str, method: str, path: str) -> None:
    viewer, unknown = Client.with_token("viewer"), Client("nobody")
    call = {"get": lambda one: one.get(path), "post": lambda one: one.post(path, {})}[method]
    answer = call(unknown)
    assert (answer.status_code, set(answer.json()), answer["WWW-Authenticate"]) == (401, {"detail"}, "Token")
    assert anonymous().get(MOUNT + path).status_code == 401
    allowed = path.startswith(("status", "digest"))
    assert call(viewer).status_code == (200 if allowed else 403)


def test_an_inactive_token_is_refused(client: Client) -> None:
    SyncToken.objects.update(active=False)
    assert client.get("status/").status_code == 401


def test_pages_leave_nothing_out_that_was_pending_at_the_start(client: Client, branches: list[str]) -> None:
    first = client.get("changes/", limit=3).json()
    client.post("mark-synced/", {"run_id": "r", "ids": [one["id"] for one in first["results"]]})
    Branch.objects.create(code="new", name="new")
    found, cursor = list(first["results"]), first["next"]
    while cursor:
        page = client.get("changes/", limit=3, cursor=cursor).json()
        found, cursor = found + page["results"], page["next"]
    assert {one["key"] for one in found} >= set(branches)
    assert len({one["id"] for one in found}) == len(found)


def test_of_one_record_changes_come_in_stamp_order_across_pages(client: Client, branches: list[str]) -> None:
    for name in ("x", "y", "z"):
        for branch in Branch.objects.all():
            branch.name = name
            branch.save()
    found = client.changes(limit=4)
    assert len(found) == 28
    for code in branches:
        mine = [one["stamp"] for one in found if one["key"] == code]
        assert mine == sorted(mine)
    assert found[0]["key"] == found[1]["key"]


def test_a_cursor_is_good_only_with_its_filters_and_no_key_is_readable_in_it(client: Client, branches: list[str]) -> None:
    cursor = client.get("changes/", limit=3, entity="branch").json()["next"]
    assert client.get("changes/", limit=5, entity="branch", cursor=cursor).status_code == 200
    assert client.get("changes/", limit=3, cursor=cursor).status_code == 400
    assert client.get("records/", entity="branch", cursor=cursor).status_code == 400
    assert client.get("changes/", cursor="made-up").status_code == 400
    listed = client.get("records/", entity="branch", limit=2).json()["next"]
    assert not any(code in listed for code in branches)
    again = [client.get("records/", entity="branch", limit=2, cursor=listed).json() for _ in range(2)]
    assert again[0]["results"] == again[1]["results"]


def test_shards_part_the_keys(client: Client, branches: list[str]) -> None:
    parts = [client.changes(shard=f"{n}/3") for n in range(3)]
    assert sorted(one["key"] for part in parts for one in part) == branches
    assert all(zlib.crc32(one["key"].encode()) % 3 == n for n, part in enumerate(parts) for one in part)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("changes/", {"limit": 0}),
        ("changes/", {"limit": 1001}),
        ("changes/", {"limit": "x"}),
        ("changes/", {"shard": "3/3"}),
        ("changes/", {"shard": "0/0"}),
        ("changes/", {"shard": "a/b"}),
        ("changes/", {"entity": "ghost"}),
        ("changes/", {"tenant": "\0"}),
        ("records/", {}),
        ("records/", {"entity": "member", "bucket": 1}),
        ("records/", {"entity": "member", "bucket": 4, "buckets": 4}),
        ("records/", {"entity": "member", "bucket": 0, "buckets": 4097}),
        ("digest/", {"entity": "member", "buckets": 0}),
        ("digest/", {"entity": "member", "buckets": 4097}),
    ],
)
def test_a_wrong_question_is_400_and_says_where(client: Client, path: str, query: dict[str, Any]) -> None:
    answer = client.get(path, **query)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["loc"] in {*query, "entity"}


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("apply/", {"changes": []}, "run_id"),
        ("apply/", {"run_id": "r"}, "changes"),
        ("apply/", {"run_id": "r", "changes": {}}, "changes"),
        ("apply/", {"run_id": "r", "changes": [{}] * 1001}, "changes"),
        ("apply/", {"run_id": "r", "changes": [{"id": 3}]}, "changes.0.id"),
        ("apply/", {"run_id": "r", "changes": [3]}, "changes.0.id"),
        ("apply/", {"run_id": "r", "changes": [], "mode": "fast"}, "mode"),
        ("apply/", [], "body"),
        ("apply/", b"{", "body"),
        ("apply/", b"\xff", "body"),
        ("apply/", b'{"a":' + b"[" * 200_000, "body"),
        ("mark-synced/", {"run_id": "r", "ids": "x"}, "ids"),
        ("mark-synced/", {"run_id": "r", "ids": [3]}, "ids.0"),
        ("mark-synced/", {"run_id": "r", "failed": [{"id": "x"}]}, "failed.0"),
        ("mark-synced/", {"run_id": "r", "pending": ["x"] * 1001}, "pending"),
        ("records/", {"entity": "ghost", "keys": []}, "entity"),
        ("records/", {"entity": "member"}, "keys"),
    ],
)
def test_a_wrong_body_is_400_and_nothing_is_done(client: Client, path: str, body: Any, place: str) -> None:
    answer = client.post(path, body)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (400, place)
    assert not Member.objects.exists()


def test_a_wrong_method_is_405(client: Client) -> None:
    assert client.post("changes/", {}).status_code == 405
    assert client.get("apply/").headers["Allow"] == "POST"


def test_bodies_may_be_gzipped_both_ways(client: Client, branches: list[str]) -> None:
    body = gzip.compress(json.dumps({"run_id": "r", "changes": [created("1", at(1))]}).encode())
    answer = client.post("apply/", body, **{"Content-Encoding": "gzip"})
    assert answer.json()["results"][0]["outcome"] == "applied"
    gzipping = Client(client.token, {"Accept-Encoding": "gzip"})
    small = gzipping.get("changes/", limit=2)
    assert (len(small.json()["results"]), small["Vary"]) == (2, "Accept-Encoding")
    assert "Content-Encoding" not in small.headers
    Branch.objects.bulk_create(Branch(code=f"B{number}", name="Deild") for number in range(20))
    packed = gzipping.get("changes/")
    assert (packed["Content-Encoding"], packed["Vary"]) == ("gzip", "Accept-Encoding")
    assert len(json.loads(gzip.decompress(packed.content))["results"]) == 27
    assert client.post("apply/", body[:-9], **{"Content-Encoding": "gzip"}).status_code == 400
    assert client.post("apply/", body, **{"Content-Encoding": "br"}).status_code == 400


def test_more_than_ten_mebibytes_are_413_packed_and_unpacked(client: Client) -> None:
    large = b'{"run_id": "' + b"x" * (10 * 1024 * 1024) + b'", "changes": []}'
    assert client.post("apply/", large).status_code == 413
    assert client.post("apply/", gzip.compress(large), **{"Content-Encoding": "gzip"}).status_code == 413


def test_a_page_is_cut_short_before_it_is_too_large(client: Client) -> None:
    notes = "x" * 3_000_000
    Member.objects.bulk_create([Member(national_id=str(n), name="n", notes=notes) for n in range(4)])
    page = client.get("changes/").json()
    assert len(page["results"]) == 3
    assert page["next"]
    assert len(client.changes()) == 4
    listed = client.get("records/", entity="member").json()
    assert (len(listed["results"]), bool(listed["next"])) == (3, True)
    assert client.post("records/", {"entity": "member", "keys": [str(n) for n in range(4)]}).status_code == 413


# ---- acknowledgements


def test_marks_may_be_repeated_and_synced_is_final(client: Client, branches: list[str]) -> None:
    ids = [one["id"] for one in client.changes()]
    body = {
        "run_id": "r",
        "ids": ids[:2],
        "superseded": ids[2:3],
        "failed": [{"id": ids[3], "error": "no"}],
        "pending": ["ghost"],
    }
    for _ in range(2):
        assert client.post("mark-synced/", body).json() == {"marked": 4, "unknown": ["ghost"]}
    late = {"run_id": "s", "failed": [{"id": ids[0], "error": "x"}], "pending": [ids[1], ids[3]], "superseded": [ids[0]]}
    assert client.post("mark-synced/", late).json()["marked"] == 4
    statuses = dict(QueueEntry.objects.values_list("change_id", "status"))
    assert [statuses[one] for one in ids[:4]] == ["synced", "synced", "superseded", "pending"]
    figures = client.get("status/").json()
    assert (figures["pending"], figures["synced"], figures["superseded"], figures["failed"]) == (4, 2, 1, 0)
    assert figures["by_entity"]["branch"]["synced"] == 2
    assert figures["oldest_pending_at"] <= figures["server_time"]


def test_figures_tell_what_waits_for_each_tenant(client: Client) -> None:
    for code in ("a", "b"):
        Event.objects.create(tenant="AK", code=code, title=code)
    Event.objects.create(tenant="RVK", code="a", title="a")
    Branch.objects.create(code="AK", name="Akureyri")
    QueueEntry.objects.filter(tenant="RVK").update(status=QueueEntry.SYNCED)
    figures = client.get("status/").json()
    assert figures["by_tenant"] == {"AK": {"pending": 2, "oldest_pending_at": figures["oldest_pending_at"]}}
    assert Client.with_token("viewer", tenants=["RVK"]).get("status/").json()["by_tenant"] == {}


def test_an_acknowledgement_touches_nothing_but_the_queue(client: Client, branches: list[str]) -> None:
    before = client.record("BRANCH0", "branch")
    client.post("mark-synced/", {"run_id": "r", "ids": [one["id"] for one in client.changes()]})
    assert client.record("BRANCH0", "branch") == before
    assert client.changes() == []


# ---- tenants


@pytest.fixture
def events(db: str) -> None:
    """An event of each of two tenants."""
    for tenant in ("AK", "RVK"):
        Event.objects.create(tenant=tenant, code="e", title=tenant)


@pytest.mark.usefixtures("events")
def test_a_token_with_tenants_meets_only_those() -> None:
    client = Client.with_token("sync", ["AK"])
    mine = client.changes()
    assert [one["tenant"] for one in mine] == ["AK"]
    assert client.get("changes/", tenant="RVK").status_code == 403
    assert client.get("records/", entity="event", tenant="RVK").status_code == 403
    assert client.get("digest/", entity="event", tenant="").status_code == 403
    assert client.post("records/", {"entity": "event", "tenant": "RVK", "keys": ["e"]}).status_code == 403
    assert [one["tenant"] for one in client.get("records/", entity="event").json()["results"]] == ["AK"]
    assert sum(one["count"] for one in client.get("digest/", entity="event").json()["results"]) == 1
    assert client.get("status/").json()["pending"] == 1
    other = QueueEntry.objects.get(tenant="RVK")
    assert client.post("mark-synced/", {"run_id": "r", "ids": [other.change_id]}).json()["unknown"] == [other.change_id]
    result = client.apply(change("e", {"title": "x"}, at(1), entity="event", tenant="RVK"))[0]
    assert (result["outcome"], result["error"]["code"]) == ("invalid", "forbidden")


@pytest.mark.usefixtures("events")
def test_an_absent_tenant_means_all_in_a_get_and_none_in_a_post(client: Client) -> None:
    assert len(client.get("records/", entity="event").json()["results"]) == 2
    assert client.post("records/", {"entity": "event", "keys": ["e"]}).json()["results"] == []
    assert client.changes(tenant="") == []


# ---- digests


def test_a_digest_is_count_and_sum_of_hashes_of_live_records(client: Client) -> None:
    keys = [str(n) for n in range(40)]
    client.apply(*[created(key, at(1), name=f"Ö {key}") for key in keys], deleted("gone", at(1)))
    results = client.get("digest/", entity="member", buckets=4).json()["results"]
    for bucket in results:
        mine = [key for key in keys if bucket_hash("", key) % 4 == bucket["bucket"]]
        assert bucket["count"] == len(mine)
        assert bucket["sum"] == sum(record_hash("", key, MEMBER | {"name": f"Ö {key}"}) for key in mine)
        listed = client.get("records/", entity="member", bucket=bucket["bucket"], buckets=4).json()["results"]
        assert {one["key"] for one in listed if not one["deleted"]} == set(mine)
    assert sum(bucket["count"] for bucket in results) == 40


def test_the_hash_of_the_contract() -> None:
    text = '[null,"1",{"a":1,"b":"é"}]'
    assert record_hash("", "1", {"b": "é", "a": 1.0, "c": None}) == int(hashlib.sha256(text.encode()).hexdigest(), 16) >> (
        256 - 44
    )


# ---- signatures


def signed(
    key: str, method: str, target: str, body: bytes = b"", nonce: str = "ab" * 16, at_: int | None = None
) -> dict[str, str]:
    moment = str(int(time.time()) if at_ is None else at_)
    text = f"{moment}\n{nonce}\n{method}\n{target}\n".encode() + body
    signature = "v1=" + hmac.new(key.encode(), text, hashlib.sha256).hexdigest()
    return {"X-Sync-Timestamp": moment, "X-Sync-Nonce": nonce, "X-Sync-Signature": signature}


@override_settings(SYNC_QUEUE_SIGNING_KEYS=["new", "old"])
def test_where_keys_are_set_every_call_is_signed_by_one_of_them_and_a_nonce_is_good_once(client: Client) -> None:
    target = MOUNT + "status/"
    tries = [
        ({}, 401),
        (signed("wrong", "GET", target, nonce="01" * 16), 401),
        (signed("new", "GET", target, nonce="01" * 16), 200),  # a nonce counts only after a valid signature
        (signed("new", "GET", target, nonce="01" * 16), 401),
        (signed("old", "GET", target, nonce="02" * 16), 200),
        (signed("old", "POST", target, nonce="03" * 16), 401),
        (signed("old", "GET", target, nonce="04" * 16, at_=int(time.time()) - 301), 401),
        (signed("old", "GET", target, nonce="AB" * 16), 401),
    ]
    for headers, status in tries:
        assert Client(client.token, headers).get("status/").status_code == status


@override_settings(SYNC_QUEUE_SIGNING_KEYS=["k"])
def test_the_signature_covers_query_and_packed_body(client: Client) -> None:
    query = signed("k", "GET", MOUNT + "changes/?limit=3&entity=member", nonce="01" * 16)
    assert Client(client.token, query).get("changes/?limit=3&entity=member").status_code == 200
    assert Client(client.token, query | {"X-Sync-Nonce": "02" * 16}).get("changes/?limit=4&entity=member").status_code == 401
    body = gzip.compress(b'{"run_id": "r"}')
    headers = signed("k", "POST", MOUNT + "mark-synced/", body, nonce="03" * 16) | {"Content-Encoding": "gzip"}
    assert Client(client.token, headers).post("mark-synced/", body).status_code == 200


# ---- silence about people


def test_no_value_and_no_key_reaches_a_log_or_an_error(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    secret = "Sigríður-2512"
    caplog.set_level(logging.DEBUG)
    client.apply(created("k1", at(1), email=secret), created("k2", at(1)))
    answers = [
        client.post("apply/", {"run_id": "r", "changes": [change("k2", {"email": secret}, at(2))]}),
        client.post("apply/", {"run_id": "r", "changes": [change(secret * 9, {"name": 5}, at(2))]}),
        client.post("apply/", {"run_id": "r", "changes": [change("k2", {"birth_date": secret, "fee": secret}, at(2))]}),
    ]
    for answer in answers:
        error = answer.json()["results"][0]["error"]
        assert secret not in json.dumps(error, ensure_ascii=False)
    assert secret not in caplog.text


def test_a_failure_is_a_500_that_tells_nothing(client: Client, caplog: pytest.LogCaptureFixture, database: str) -> None:
    caplog.handler.setFormatter(ValueFree())
    table = QueueEntry._meta.db_table
    sql(f"ALTER TABLE {table} RENAME TO away")  # a failure from the depths, whose text names what it was about
    try:
        answer = client.get("status/")
    finally:
        sql(f"ALTER TABLE away RENAME TO {table}")
    assert (answer.status_code, table in answer.content.decode()) == (500, False)
    assert table not in caplog.text
    assert '"error": "' in caplog.text


def test_conflicts_are_repeated_as_many_as_fit(client: Client) -> None:
    notes = "x" * 2_000_000
    client.apply(created("1", at(1), notes="y" + notes))
    for second in range(2, 7):
        client.apply(change("1", {"notes": f"{second}{notes}"}, at(second)))
    answer = client.post("apply/", {"run_id": "r", "changes": [change("1", {"phone": "1"}, at(9), base={"phone": at(1)})]})
    assert answer.status_code == 200
    assert len(answer.json()["results"][0]["conflicts"]) == 1
    assert SyncConflict.objects.count() >= 5


def test_health_needs_no_token(db: str) -> None:
    assert anonymous().get("/health/").status_code == 200


def test_the_openapi_page_is_served(db: str) -> None:
    answer = anonymous().get(MOUNT + "openapi.yaml")
    assert b"".join(answer.streaming_content).startswith(b"openapi: 3.1.0")  # type: ignore[attr-defined]
    answer.close()
