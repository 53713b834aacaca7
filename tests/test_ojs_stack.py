"""OJS on the real stack: the signed event, the health of journals, the commands of both sides, a switch and an interval."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from local.bundle import ROOT
from local.errors import StackError
from local.journals import Journals
from local.stack import Stack
from shared.signatures import signature

pytestmark = pytest.mark.stack
NOWHERE = "http://127.0.0.1:9"


@dataclass
class Portal:
    """A stack over the stand-ins, of which meadow is down and quarry has a wrong key."""

    stack: Stack
    journals: Journals
    env: dict[str, str]

    def post(self, function: str, body: Any, headers: dict[str, str] | None = None) -> requests.Response:
        sent = headers if headers is not None else {"Authorization": f"Bearer {self.stack.operator_token}"}
        raw = body if isinstance(body, str) else json.dumps(body)
        url = f"{self.stack.functions_url}/{function}"
        return requests.post(url, data=raw, headers={"Content-Type": "application/json"} | sent, timeout=120)

    def event(self, key: str = "events-of-summit", body: str = '{"journal": "summit", "submission": 2}', late: int = 0) -> Any:
        at, nonce = str(int(time.time()) - late), secrets.token_hex(16)
        signed = signature(key, at, nonce, "POST", "/ojs_event", body.encode())
        return self.post("ojs_event", body, {"X-Sync-Timestamp": at, "X-Sync-Nonce": nonce, "X-Sync-Signature": signed})

    def manage(self, *arguments: str) -> str:
        assert self.stack.backend is not None
        url, token = self.stack.functions_url, self.stack.operator_token
        return self.stack.backend.manage(*arguments, FUNCTIONS_URL=url, FUNCTIONS_TOKEN=token)

    def seen(self, expression: str) -> Any:
        code = f"import json\nfrom portal.models import *\nprint(json.dumps({expression}, default=str))"
        return json.loads(self.manage("shell", "--no-imports", "-c", code).splitlines()[-1])

    def command(self, *arguments: str) -> tuple[int, str]:
        env = os.environ | self.stack.env | self.env
        done = subprocess.run(
            [sys.executable, "-m", "shared", "ojs", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def edit(self, **fields: Any) -> None:
        headers = {"Authorization": f"Bearer {self.journals.secrets['ojs-summit']}"}
        url = self.journals.api("36", "submissions/2/publications/2")
        assert requests.put(url, json=fields, headers=headers, timeout=10).status_code == 200


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    folder = tmp_path_factory.mktemp("portal")
    journals = Journals(folder / "ojs.log")
    config = folder / "sync.yaml"
    text = (ROOT / "examples" / "ojs.yaml").read_text(encoding="utf-8")
    config.write_text(text.replace("enabled: true", "enabled: false"), encoding="utf-8")
    env = {"SYNC_CONFIG": str(config), **journals.env}
    more = {**journals.secrets, "ojs-quarry": "mistaken"}
    with Stack(folder / "up", triggers={}, functions_env=env, more_secrets=more) as stack, journals:
        made = Portal(stack, journals, env)
        assert made.post("bidirectional_sync", {"pair": "journals"}).status_code == 200
        yield made


def test_an_event_syncs_its_one_submission(portal: Portal) -> None:
    portal.edit(pages="1-8")
    answer = portal.event()
    assert (answer.status_code, answer.json()["result"]) == (200, {"submission": {"journals": "equal"}}), answer.text
    assert portal.seen("Submission.objects.get(tenant='summit', key='2').pages") == "1-8"


def test_an_event_that_is_repeated_does_no_harm(portal: Portal) -> None:
    assert [portal.event().status_code for _ in range(2)] == [200, 200]


def test_an_event_of_a_submission_that_is_not_there_is_answered(portal: Portal) -> None:
    answer = portal.event(body='{"journal": "summit", "submission": 4711}')
    assert (answer.status_code, answer.json()["result"]) == (200, {"submission": {"journals": "unknown"}})


@pytest.mark.parametrize(
    "how, said",
    [
        ({"key": "events-of-harbour"}, "the signature does not fit"),
        ({"key": "guessed"}, "the signature does not fit"),
        ({"late": 600}, "more than 5 minutes off"),
        ({"body": '{"journal": "nowhere", "submission": 2}'}, "there is no such journal"),
        ({"body": '{"journal": "quarry", "submission": 2}'}, "no event_key"),
    ],
    ids=["another journal's key", "a guessed key", "an old call", "no journal", "a journal without events"],
)
def test_an_event_that_is_not_signed_by_its_own_journal_is_refused(portal: Portal, how: dict[str, Any], said: str) -> None:
    answer = portal.event(**how)
    assert answer.status_code == 401
    assert said in answer.text


def test_an_operators_token_is_no_signature(portal: Portal) -> None:
    assert portal.post("ojs_event", {"journal": "summit", "submission": 2}).status_code == 401


def test_health_names_each_journal_with_its_version_or_what_is_wrong(portal: Portal) -> None:
    answer = portal.post("ojs_health", {})
    told = answer.json()["result"]["journals"]
    assert answer.status_code == 503
    assert {slug: each["version"] for slug, each in told.items()} == {"harbour": "3.3", "quarry": None, "summit": "3.6"}
    assert "the token is wrong" in told["quarry"]["problem"]
    assert ("discussions" in told["harbour"]["offers_no"], told["summit"]["offers_no"]) == (True, [])
    assert portal.post("ojs_health", {"journal": "summit"}).status_code == 200


def test_a_journal_that_is_switched_off_is_not_asked_at_all(portal: Portal) -> None:
    answer = portal.post("bidirectional_sync", {"pair": "journals"}).json()
    assert {each["tenant"] for each in answer["errors"]} == {"quarry"}
    asked = [line for line in portal.journals.log.read_text(errors="replace").splitlines() if "/meadow/api" in line]
    assert [line for line in asked if " 200 " in line] == []


def test_the_portals_command_syncs_one_journal_and_says_what_it_did(portal: Portal) -> None:
    portal.edit(pages="9-16")
    said = portal.manage("sync_ojs", "--journal", "summit", "--type", "submissions")
    assert "ojs to django: 1 read, 1 applied" in said
    assert portal.seen("Submission.objects.get(tenant='summit', key='2').pages") == "9-16"


def test_the_portals_command_fails_with_the_cause_where_a_journal_fails(portal: Portal) -> None:
    with pytest.raises(StackError, match="the token is wrong"):
        portal.manage("sync_ojs", "--journal", "quarry")


def test_the_portals_command_asks_how_the_journals_are(portal: Portal) -> None:
    assert "summit: OJS 3.6" in portal.manage("sync_ojs", "--health-check", "--journal", "summit")


def test_without_a_task_queue_nothing_can_be_put_off(portal: Portal) -> None:
    with pytest.raises(StackError, match="no task queue"):
        portal.manage("sync_ojs", "--async")
    assert portal.command("--async")[0] == 2


def test_the_librarys_command_does_the_same(portal: Portal) -> None:
    portal.edit(pages="17-20")
    code, said = portal.command("--journal", "summit", "--type", "submissions")
    assert code == 0, said
    assert portal.seen("Submission.objects.get(tenant='summit', key='2').pages") == "17-20"
    code, said = portal.command("--health-check")
    assert (code, "summit: OJS 3.6" in said, "quarry: journal 'quarry'" in " ".join(said.split())) == (3, True, True), said
    assert portal.command("--journal", "summt")[0] == 2
