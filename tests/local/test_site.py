"""The pages as they are served here: the headers of firebase.json, and no door for pages from elsewhere."""

import http.client
import json
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest

from local.errors import StackError
from local.pages import built
from local.site import Site


@dataclass
class Parts:
    """As much of a stack as the pages ask for; no function answers."""

    functions_url: str = "http://127.0.0.1:9"
    emulator_host: str = "127.0.0.1:8"
    project: str = "demo-p"


@dataclass
class Answer:
    status: int
    headers: Message
    text: str


@pytest.fixture
def site(tmp_path: Path):
    for name in ("index.html", "profile.html"):
        (tmp_path / name).write_text(name)
    with Site(Parts(), tmp_path) as serving:
        yield serving


def asked(site: Site, path: str, method: str = "GET", **headers: str) -> Answer:
    with closing(http.client.HTTPConnection(site.url.removeprefix("http://"), timeout=10)) as connection:
        connection.request(method, path, body="{}" if method == "POST" else None, headers=headers)
        found = connection.getresponse()
        return Answer(found.status, found.headers, found.read().decode())


def test_pages_carry_the_policy_of_firebase_json_and_only_the_emulator_is_added(site):
    answer = asked(site, "/")
    rules = dict(each.strip().partition(" ")[::2] for each in answer.headers.get("Content-Security-Policy").split(";"))
    assert (answer.status, answer.text) == (200, "index.html")
    assert (rules["default-src"], rules["script-src"], rules["style-src"]) == ("'none'", "'self'", "'self'")
    assert rules["connect-src"].startswith("'self' http://127.0.0.1:8 https://firestore.googleapis.com")
    assert answer.headers.get("X-Content-Type-Options") == "nosniff"
    assert asked(site, "/profile").text == "profile.html"
    assert asked(site, "/nothing").status == 404


def test_a_page_is_told_its_project_and_its_emulator(site):
    told = json.loads(asked(site, "/__/firebase/init.json").text)
    assert told == {"projectId": "demo-p", "apiKey": "local", "local": {"firestore": "127.0.0.1:8"}}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_name_from_elsewhere_that_leads_here_is_not_served(site, method):
    assert asked(site, "/api/sync_health", method, Host="evil.example").status == 421


def test_functions_that_do_not_answer_are_a_502(site):
    assert asked(site, "/api/sync_health").status == 502
    assert asked(site, "/api/reconcile", "POST").status == 502
    assert asked(site, "/elsewhere", "POST").status == 404


def test_pages_that_cannot_be_made_are_said_to_be_missing(tmp_path):
    with pytest.raises(StackError, match="check out the whole repository"):
        built(tmp_path)
