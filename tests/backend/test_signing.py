"""Signed calls: the library's own signature, taken apart piece by piece, and each piece put back changed."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import pytest
from calls import MOUNT, Client
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings
from syncqueue.models import QueueEntry

from shared.errors import TerminalBatch
from shared.mapping import Entity, Field, Type
from shared.peers.rest_queue import RestQueue

OLD, NEW = "the-old-key-of-both-sides", "the-new-key-of-both-sides"
BODY = b'{"run_id": "r", "synced": [], "conflicts": []}'
TARGET = f"{MOUNT}mark-synced/?a=1&b=%C3%B6"


def peer(url: str, token: str, key: str | None) -> RestQueue:
    entity = Entity("branch", "branches", (Field("name", Type.TEXT, "name"),))
    return RestQueue("django", url, {"branch": entity}, lambda: token, (lambda: key) if key else None)


def headers_of(key: str, method: str = "POST", target: str = TARGET, body: bytes = BODY) -> dict[str, str]:
    """Return what the library puts on such a call."""
    return peer("http://localhost", "t", key)._signature(method, target, body)


def status(client: Client, headers: dict[str, str], method: str = "POST", target: str = TARGET, body: bytes = BODY) -> int:
    sent = {"Authorization": f"Token {client.token}"} | headers
    answer = client._client().generic(method, target, body, content_type="application/json", headers=sent)
    return int(answer.status_code)


def flipped(text: str, place: int = -1) -> str:
    """Return the text with one hexadecimal digit changed."""
    digit = "1" if text[place] == "0" else "0"
    return text[:place] + digit + (text[place:][1:])


Headers = dict[str, str]
# what is changed on the way: the headers, and then what else of the request
TAMPERED: dict[str, tuple[Callable[[Headers], Headers], dict[str, Any]]] = {
    "another timestamp": (lambda h: h | {"X-Sync-Timestamp": str(int(h["X-Sync-Timestamp"]) + 1)}, {}),
    "a timestamp with a zero before it": (lambda h: h | {"X-Sync-Timestamp": "0" + h["X-Sync-Timestamp"]}, {}),
    "another nonce": (lambda h: h | {"X-Sync-Nonce": flipped(h["X-Sync-Nonce"])}, {}),
    "the nonce in capitals": (lambda h: h | {"X-Sync-Nonce": h["X-Sync-Nonce"].upper() + ""}, {}),
    "a shorter nonce": (lambda h: h | {"X-Sync-Nonce": h["X-Sync-Nonce"][1:]}, {}),
    "the last digit of the signature": (lambda h: h | {"X-Sync-Signature": flipped(h["X-Sync-Signature"])}, {}),
    "the first digit of the signature": (lambda h: h | {"X-Sync-Signature": flipped(h["X-Sync-Signature"], 3)}, {}),
    "a shorter signature": (lambda h: h | {"X-Sync-Signature": h["X-Sync-Signature"][:-1]}, {}),
    "a signature of another version": (lambda h: h | {"X-Sync-Signature": "v2" + h["X-Sync-Signature"][2:]}, {}),
    "a signature of letters that are none": (lambda h: h | {"X-Sync-Signature": "v1=" + "é" * 64}, {}),
    "no timestamp": (lambda h: {name: value for name, value in h.items() if name != "X-Sync-Timestamp"}, {}),
    "no nonce": (lambda h: {name: value for name, value in h.items() if name != "X-Sync-Nonce"}, {}),
    "no signature": (lambda h: {name: value for name, value in h.items() if name != "X-Sync-Signature"}, {}),
    "nothing signed": (lambda h: {}, {}),
    "another method": (lambda h: h, {"method": "PUT"}),
    "another path": (lambda h: h, {"target": TARGET.replace("mark-synced", "apply")}),
    "another query": (lambda h: h, {"target": TARGET.replace("a=1", "a=2")}),
    "the query in another order": (lambda h: h, {"target": f"{MOUNT}mark-synced/?b=%C3%B6&a=1"}),
    "the query written otherwise": (lambda h: h, {"target": TARGET.replace("%C3%B6", "%c3%b6")}),
    "no query": (lambda h: h, {"target": TARGET.partition("?")[0]}),
    "another body": (lambda h: h, {"body": BODY.replace(b'"r"', b'"s"')}),
    "a space more in the body": (lambda h: h, {"body": BODY + b" "}),
    "no body": (lambda h: h, {"body": b""}),
    "a part of the body before it": (lambda h: h, {"target": TARGET + "\n{", "body": BODY[1:]}),
}


@override_settings(SYNC_QUEUE_SIGNING_KEYS=[NEW, OLD])
@pytest.mark.parametrize(("changed", "more"), TAMPERED.values(), ids=TAMPERED)
def test_whatever_is_changed_on_the_way_is_401(client: Client, changed: Callable[[Headers], Headers], more: Any) -> None:
    signed = headers_of(NEW)
    if changed(signed) != signed or more:
        assert status(client, changed(signed), **more) == 401
    assert status(client, signed) == 200, "as it was signed: a refused call has not used up its nonce"
    assert status(client, signed) == 401, "and that only once"


@override_settings(SYNC_QUEUE_SIGNING_KEYS=[NEW, OLD])
def test_the_body_is_not_read_before_the_signature_fits(client: Client) -> None:
    signed = headers_of("a-key-of-somebody-else", body=b"{")
    assert status(client, signed, body=b"{") == 401
    assert QueueEntry.objects.count() == 0


@override_settings(SYNC_QUEUE_SIGNING_KEYS=[NEW, OLD])
@pytest.mark.parametrize(("off", "wanted"), [(-301, 401), (-290, 200), (290, 200), (302, 401), (10**9, 401), (-(10**9), 401)])
def test_five_minutes_off_and_no_more(client: Client, off: int, wanted: int) -> None:
    moment, nonce = str(int(time.time()) + off), "ab" * 16
    signed = f"{moment}\n{nonce}\nPOST\n{TARGET}\n".encode() + BODY
    signature = "v1=" + hmac.new(NEW.encode(), signed, hashlib.sha256).hexdigest()
    headers = {"X-Sync-Timestamp": moment, "X-Sync-Nonce": nonce, "X-Sync-Signature": signature}
    assert status(client, headers) == wanted


ROTATION = {
    # keys of the backend, then whether a call signed with the old one and with the new one is taken
    "before": ([OLD], True, False),
    "meanwhile": ([NEW, OLD], True, True),
    "in the other order": ([OLD, NEW], True, True),
    "after": ([NEW], False, True),
}


@pytest.mark.parametrize(("keys", "old", "new"), ROTATION.values(), ids=ROTATION)
def test_while_keys_are_changed_both_are_good(client: Client, keys: list[str], old: bool, new: bool) -> None:
    with override_settings(SYNC_QUEUE_SIGNING_KEYS=keys):
        assert status(client, headers_of(OLD)) == (200 if old else 401)
        assert status(client, headers_of(NEW)) == (200 if new else 401)


@pytest.mark.parametrize("keys", [[""], ["short"], OLD, [None], [NEW, " "], {NEW: OLD}], ids=repr)
def test_keys_that_guard_nothing_are_an_error_that_shows_none(keys: Any) -> None:
    """A text in place of a list would make a key of each of its letters."""
    with override_settings(SYNC_QUEUE_SIGNING_KEYS=keys):
        [found] = [each for each in run_checks() if each.id == "syncqueue.E002"]
    assert "16 characters" in found.msg
    assert OLD not in repr(found)
    assert NEW not in repr(found)


def test_no_keys_and_long_ones_are_no_error() -> None:
    for keys in ([], [NEW], (NEW, OLD)):
        with override_settings(SYNC_QUEUE_SIGNING_KEYS=keys):
            assert [each for each in run_checks() if each.id == "syncqueue.E002"] == []
    assert settings.SYNC_QUEUE_SIGNING_KEYS == []


@pytest.mark.stack
def test_library_and_backend_sign_and_check_alike_over_a_real_connection(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from local.backend import Backend
    from shared.model import Scope

    monkeypatch.setenv("SYNC_QUEUE_SIGNING_KEYS", f"{NEW}, {OLD}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Backend(
        tmp_path, token="the-token-of-the-sync", secret_key="s" * 50, database_url=f"sqlite:///{tmp_path}/db"
    ) as backend:
        for key in (NEW, OLD):
            for _ in range(2):
                [page] = peer(backend.url, "the-token-of-the-sync", key).changes(Scope("p", ("branch",)))
                assert page.changes == []
        for key in (None, "a-key-of-somebody-else"):
            with pytest.raises(TerminalBatch, match="answered 401"):
                list(peer(backend.url, "the-token-of-the-sync", key).changes(Scope("p", ("branch",))))
