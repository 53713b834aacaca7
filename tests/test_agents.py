"""Agents and scripts: the examples of docs/agents.md as they stand there, on the real stack, and what is refused beforehand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_service import CACHES

from local.bundle import ROOT
from local.journals import Journals
from local.stack import Stack
from shared import wiring
from shared.bridge import AgentBridge, Bridge
from shared.errors import BadRequest

PAGE = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
CONFIG = str(ROOT / "examples" / "agents.yaml")


@pytest.mark.stack
def test_the_examples_of_the_page_run(tmp_path: Path) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    assert code.count("AgentBridge(") == 2
    journals = Journals(tmp_path / "ojs.log")
    env = {"SYNC_CONFIG": CONFIG, **journals.env}
    with Stack(tmp_path / "up", triggers={}, functions_env=env, more_secrets=journals.secrets, backend=False) as stack, journals:
        known = os.environ | stack.env | env | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], env=known, capture_output=True, text=True, check=False)
        audit = [each.to_dict() or {} for each in stack.firestore().collection("sync_audit").stream()]
    assert done.returncode == 0, done.stderr
    assert "the proof-reader goes on with another one" in done.stdout
    written = sorted((each["by"], each["fields"]) for each in audit if each["what"] == "agent_write")
    assert written == [("copy-editor", ["title"]), ("proof-reader", ["pages"])]


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The agents' configuration, and nobody who answers."""
    for version in ("35", "36"):
        monkeypatch.setenv(f"OJS_{version}_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SYNC_CONFIG", CONFIG)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "demo-agents")
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:9")
    caches = (*CACHES, wiring._system)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("name", ["firestore", "ojs", "Copy Editor", "", "a" * 33])
def test_an_agent_has_a_name_that_is_nobody_elses(configured: None, name: str) -> None:
    with pytest.raises(BadRequest, match="name"):
        AgentBridge(name, "manuscripts")


WRONG = {
    "no kind": ({"key": "1", "tenant": "summit"}, "event_type"),
    "no key": ({"event_type": "submission.updated", "tenant": "summit"}, "the record's key"),
    "an entity that is not there": ({"event_type": "issue.updated", "key": "1", "tenant": "summit"}, "there is no 'issue'"),
    "no tenant": ({"event_type": "submission.updated", "key": "1"}, "quarry, summit"),
    "another tenant": ({"event_type": "submission.updated", "key": "1", "tenant": "meadow"}, "quarry, summit"),
}


@pytest.mark.parametrize("event, said", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("auto", [True, False])
def test_an_event_that_makes_no_sense_is_refused_at_once(configured: None, event: dict[str, str], said: str, auto: bool) -> None:
    agent = AgentBridge("copy-editor", "manuscripts", auto=auto)
    with pytest.raises(BadRequest, match=said):
        agent.process_event(event)
    assert agent.waiting == []


def test_a_pair_that_is_not_there_is_refused(configured: None) -> None:
    with pytest.raises(BadRequest, match="there is no pair 'members'; there are: manuscripts"):
        Bridge("members")
