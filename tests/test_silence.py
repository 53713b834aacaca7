"""What is somebody's own business is said nowhere: a stack is led through all that can happen, and what it said is searched."""

from __future__ import annotations

import base64
import json
import math
import re
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from certified import unsigned
from real import Real

from local.bundle import ROOT
from local.secrets import read_secrets

NAME, EMAIL, PHONE, NOTES = "Leyndarmál Þagnardóttir", "thogn.leynd@example.is", "+354 7654321", "segir engum neitt"
OTHER = "Hljóðlát Felumannsdóttir"
KEYS = ("9901019999", "9902029999", "9903039999", "9904049999")
BODY_WORDS = ("orð-í-líkama", "lykill-í-líkama")
PASSED = "a-token-that-somebody-tried-4711"
MEMBER: dict[str, Any] = {"name": NAME, "email": EMAIL, "phone": PHONE, "notes": NOTES, "active": True}
MEMBER |= {"address": {"town": NOTES}}


def planted(real: Real) -> list[str]:
    """Return every value, key and secret that was put in, as it is and as JSON would write it."""
    words = [NAME, EMAIL, PHONE, NOTES, OTHER, *KEYS, *BODY_WORDS, PASSED, "aðgangur@example.is"]
    words += secrets_of(real)
    return words + [json.dumps(word)[1:-1] for word in words if not word.isascii()]


def secrets_of(real: Real) -> list[str]:
    """Return the stack's own secrets; a role may stand before a token."""
    kept = read_secrets(real.stack.folder / "secrets.json").values()
    return [part for value in kept for part in value.split() if part != "admin"]


def hits(words: list[str], said: dict[str, str]) -> dict[str, list[str]]:
    """Return where which words were found."""
    found = {place: [word for word in words if word in text] for place, text in said.items()}
    return {place: each for place, each in found.items() if each}


class Story:
    """Calls of every kind; what was answered to each is kept."""

    def __init__(self, real: Real) -> None:
        self.real, self.answers = real, dict[str, str]()

    def call(self, what: str, function: str, body: Any = None, status: int | None = None, **headers: str) -> Any:
        answer = self.real.call(function, body, **headers)
        assert status in {None, answer.status_code}, f"{what}: {answer.status_code} {answer.text}"
        self.answers[what] = f"{answer.text} {dict(answer.headers)}"
        return answer.json()

    def post(self, what: str, url: str, **options: Any) -> None:
        answer = requests.post(url, timeout=60, **options)
        self.answers[what] = f"{answer.status_code} {answer.text} {dict(answer.headers)}"


def syncs_and_conflicts(story: Story) -> None:
    real = story.real
    for key in KEYS[:2]:
        real.users.call("save", entity="member", key=key, fields=MEMBER | {"email": f"{key}@example.is"})
    story.call("the first load", "reconcile", {"pair": "members"}, 200)
    real.users.call("save", entity="member", key=KEYS[0], fields={"name": OTHER, "email": EMAIL})
    real.firestore.document(f"members/{KEYS[0]}").update({"name": NAME + NOTES, "phone": PHONE + "1"})
    real.wait_for_queue(1)
    story.call("a sync with a conflict", "bidirectional_sync", {"pair": "members"}, 200)
    [id, *_] = [row["__id__"] for row in real.rows("sync_conflicts")]
    value = {"id": id, "keep": "value", "value": {"not": BODY_WORDS[0]}}
    story.call("a value that one side refuses", "resolve_conflict", value, 400)
    story.call("a decision", "resolve_conflict", {"id": id, "keep": "value", "value": OTHER, "note": NOTES, "again": True}, 200)
    story.call("a decision once more", "resolve_conflict", {"id": id, "keep": "local"}, 409)


def dead_letters(story: Story) -> None:
    real = story.real
    wrong = MEMBER | {"email": "9@example.is", "active": BODY_WORDS[0], "birthDate": NOTES, "fee": NAME}
    real.firestore.document(f"members/{KEYS[2]}").set(wrong)
    real.firestore.document(f"members/{KEYS[3]}").set(MEMBER | {"email": "9@example.is", "branch": "branches/" + BODY_WORDS[1]})
    real.wait_for_triggers()
    result = story.call("a sync with dead letters", "bidirectional_sync", {"pair": "members"}, 200)
    assert result["result"]["pairs"]["members"]["dead_letters"] or real.rows("sync_dead_letters")
    story.call("a replay", "replay_dead_letters", {"entity": "member", "pair": "members"}, 200)
    story.call("health with troubles", "sync_health")
    real.users.call("delete", entity="member", key=KEYS[1])
    story.call("a sync with a delete", "bidirectional_sync", {"pair": "members"}, 200)
    story.call("a full reconcile", "reconcile", {"pair": "members", "mode": "full"}, 200)
    story.call("a quick one", "reconcile", {"pair": "members", "mode": "quick"}, 200)
    one = {"pair": "members", "entities": ["member"], "keys": [KEYS[0], KEYS[2]]}
    story.call("a reconcile of keys", "reconcile", one, 200)


def refusals(story: Story) -> None:
    real = story.real
    jwt = unsigned(iss="https://securetoken.google.com/p", sub=KEYS[0], email="aðgangur@example.is", name=NAME)
    for number, token in enumerate((PASSED, jwt, f"{real.stack.operator_token}x")):
        story.call(f"a refused call {number}", "bidirectional_sync", {"tenant": NAME}, 401, Authorization=f"Bearer {token}")
    story.call("a role too low", "bidirectional_sync", {"allow_mass_delete": NOTES}, 403, Authorization=operator(real))
    bodies = ({"max_changes": BODY_WORDS[0], "tenant": [NAME]}, {"entities": ["member"], "keys": [[KEYS[0]]], "mode": EMAIL})
    for number, body in enumerate(bodies):
        story.call(f"a wrong body {number}", "reconcile", body, 400)
    story.call("a trace", "sync_health", **{"X-Cloud-Trace-Context": PHONE})


def operator(real: Real) -> str:
    return f"Bearer {real.stack.operator_token}"


def broken_events(story: Story) -> None:
    real, said = story.real, f"{NAME} {KEYS[0]} {BODY_WORDS[1]}".encode()
    url = f"{real.stack.functions_url}/track_member_changes"
    event = {
        "ce-id": "1",
        "ce-source": "//firestore.googleapis.com/x",
        "ce-specversion": "1.0",
        "ce-type": "google.cloud.firestore.document.v1.written",
        "ce-time": "2026-11-22T03:00:00Z",
        "ce-document": f"members/{KEYS[0]}",
    }
    story.post("an event whose data is none", url, data=said, headers=event)
    story.post("an event whose data is none, packed", url, data=base64.b64encode(said), headers=event)
    story.post("an event at no time", url, data=b"", headers=event | {"ce-time": PHONE})
    story.post("an event of elsewhere", url, data=b"", headers=event | {"ce-document": f"letters/{KEYS[0]}"})
    story.post("no event", url, data=said, headers={"X-Note": EMAIL, "Authorization": f"Bearer {PASSED}"})
    structured = {"Content-Type": "application/cloudevents+json"}
    story.post("an event that is no JSON", url, data=b'{"' + said, headers=structured)
    story.post("an event of another shape", url, json={"specversion": NAME, "data": KEYS[0]}, headers=structured)


def at_the_backend(story: Story) -> None:
    real, url = story.real, story.real.stack.backend_url
    mine = {"Authorization": f"Token {real.stack.backend_token}"}
    wrong = [{"entity": "member", "key": KEYS[0], "fields": {"name": {"a": NAME}, "fee": BODY_WORDS[0]}, "id": KEYS[1]}]
    story.post("a stranger at the backend", f"{url}/apply/?key={KEYS[0]}", json={}, headers={"Authorization": f"Token {PASSED}"})
    story.post("changes of a wrong shape", f"{url}/apply/", json={"run_id": NAME, "changes": [NAME]}, headers=mine)
    story.post("a body that is none", f"{url}/apply/", data=f"{{{NAME}".encode(), headers=mine)
    requests.post(f"{url}/apply/", json={"run_id": "r", "changes": wrong}, headers=mine, timeout=60)
    requests.get(f"{url}/records/?entity=member&key={KEYS[0]}&cursor={EMAIL}", headers=mine, timeout=60)
    for path in (f"{KEYS[0]}/{EMAIL}/", f"records/{NAME}", "records/%2F../" + KEYS[1]):
        requests.get(f"{url}/{path}", timeout=60)
    place = urlsplit(url)
    requests.get(f"http://{place.netloc}/admin/members/member/{KEYS[0]}/change/?name={EMAIL}", timeout=60)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=60) as line:
        line.sendall(f"GET /{KEYS[0]} {EMAIL} and more\r\n\r\n".encode())
        line.recv(1000)


@pytest.mark.stack
def test_9_silence_no_value_key_or_secret_is_said_in_any_log_answer_error_or_metric(real: Real) -> None:
    logs = {path: path.stat().st_size for path in real.stack.logs.glob("*.log") if path.name != "emulator.log"}
    story = Story(real)
    for part in (syncs_and_conflicts, dead_letters, refusals, broken_events, at_the_backend):
        part(story)
    said = {path.name: path.read_bytes()[before:].decode(errors="replace") for path, before in logs.items()}
    assert said.keys() >= {"functions.log", "backend.log"}
    for event in ("sync_ok", "conflict", "dead_letter", "refused", "call", "tracked", "sync_fail", "wrong_collection"):
        assert f'"event": "{event}"' in said["functions.log"], event
    figures = {name: json.dumps(real.rows(name), default=str, ensure_ascii=False) for name in ("sync_runs", "sync_leases")}
    assert "applied" in figures["sync_runs"]
    answers = {what: text for what, text in story.answers.items() if what != "a replay"}
    assert hits(planted(real), said | figures | answers) == {}


@pytest.mark.stack
def test_the_search_finds_what_is_said(real: Real) -> None:
    """What the test above stands on: each word would be found, in every form."""
    words = planted(real)
    assert len(words) > 20
    for word in words:
        assert hits(words, {"a": f"x{word}y"})["a"]
    assert hits(words, {"a": json.dumps({"name": NAME})}) != {}


@pytest.mark.stack
def test_no_secret_is_on_a_command_line(real: Real) -> None:
    """Any user of the machine can list those."""
    lines = {}
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines[each.parent.name] = each.read_bytes().decode(errors="replace")
        except OSError:
            continue
    assert any("local.functions" in line for line in lines.values())
    assert [line for line in lines.values() if any(secret in line for secret in secrets_of(real))] == []


# The repository


KNOWN = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a key of Google's": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "a token of Google's": r"\bya29\.[0-9A-Za-z_-]{20,}",
    "a secret of Google's": r"\bGOCSPX-[0-9A-Za-z_-]{20,}",
    "a service account's key": r'"private_key_id": *"[0-9a-f]{40}"',
    "a signed token": r"\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{20,}",
    "a key of Amazon's": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token of GitHub's": r"\b(gh[pousr]_[0-9A-Za-z]{36}|github_pat_[0-9A-Za-z_]{50,})",
    "a token of Slack's": r"\bxox[abprs]-[0-9A-Za-z-]{10,}",
    "an address with a password": r"\b[a-z+]+://[^\s/:@\"'{}$]+:[^\s/@\"'{}$]{8,}@",
}
ASSIGNED = re.compile(r"""(?i)(?:token|secret|passw(?:or)?d|api_?key|signing_?key)["']?\s*[:=]\s*["']?([0-9A-Za-z+/_=-]{20,})""")
MADE_UP = "hunter2"
"""What a password is called that everybody may know."""
RANDOM = 3.3
"""Bits a character from which a text is taken for random; words and names have fewer."""


def bits(text: str) -> float:
    """Return Shannon's entropy of a text, in bits a character."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)


def suspicions(text: str) -> Iterator[str]:
    """Yield what in a file looks like a secret, without showing it."""
    for name, pattern in KNOWN.items():
        if re.search(pattern, text):
            yield name
    for match in ASSIGNED.finditer(text):
        if bits(match[1]) > RANDOM and re.search(r"\d", match[1]) and MADE_UP not in match[1]:
            yield f"something random after {match[0][:12]!r}"


def test_no_file_of_the_repository_holds_a_secret() -> None:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    there = [name for name in files if name and (ROOT / name).is_file()]
    texts = {name: (ROOT / name).read_text(encoding="utf-8", errors="replace") for name in there}
    assert len(texts) > 100
    found = {name: sorted(set(suspicions(text))) for name, text in texts.items()}
    assert {name: each for name, each in found.items() if each} == {}


SECRETS = {
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE",
    "a key of Google's": "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "a token of Google's": "ya29." + "a0AfH6SMBxyz1234567890",
    "a service account's key": '"private_key_id": "' + "0123456789" * 4 + '"',
    "a signed token": "eyJ" + "hbGciOiJSUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0NTY3.c2lnbmF0dXJlIGlzIGxvbmc",
    "an address with a password": "postgres" + "://user:hunter2hunter2@host/db",
    "a token in a setting": "OPERATOR_TOKEN=" + "9f86d081884c7d659a2feaa0c55ad015",
    "a token in code": 'token: "' + "Zm9vYmFyMTIzNDU2Nzg5MHF3ZXJ0eQ" + '"',
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS)
def test_a_secret_in_a_file_is_found(text: str) -> None:
    assert list(suspicions(f"before\n{text}\nafter"))
