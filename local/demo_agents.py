"""`make demo-agents`: agents at work on the manuscripts of OJS journals, a story checked by plain clients."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from rich.console import Console

from local.bundle import ROOT
from local.errors import StackError
from local.journals import Journals
from local.stack import Stack

FOLDER = ROOT / ".local" / "demo-agents"
EVENTS = [{"event_type": "submission.updated", "key": key, "tenant": "summit"} for key in ("1", "2", "3")]
AGENTS = {"indexer": "indexed", "proof-reader": "proof-read"}
"""Each agent's name and the word that it adds."""
BATCH = """
import json, time
from shared.bridge import Bridge
bridge = Bridge("manuscripts", by="a script")
keys = [str(number) for number in range(1, 13)]
bridge.sync("submission", "2", tenant="summit")
began = time.monotonic()
bridge.sync("submission", "2", tenant="summit")
one = time.monotonic() - began
many = bridge.sync_many("submission", keys, tenant="summit")
print(json.dumps({"one": one, "many": time.monotonic() - began - one, "ends": {key: each.end for key, each in many.items()}}))
"""
EDITOR_AGAINST_AGENT = """
import json
from shared.bridge import AgentBridge
agent = AgentBridge("summariser", "manuscripts", auto=False)
with agent.claimed("submission", "3", tenant="summit") as work:
    work.write(abstract={"en": "By the agent"})
agent.bridge.run()
print(json.dumps([each["field"] for each in agent.bridge.conflicts(pending=True)]))
"""
DECIDE = """
import json
from shared.bridge import Bridge
bridge = Bridge("manuscripts", by="the editor")
for each in bridge.conflicts(pending=True):
    local = each["local"]["stamp"].rpartition("|")[2]
    bridge.resolve(each["id"], keep="local" if local == "ojs" else "incoming", note="the editors wrote it")
bridge.run()
print(json.dumps({"pending": len(bridge.conflicts(pending=True)), "healthy": bridge.health()}))
"""


class Demo:
    """A running stack, the journals beside it, and a narrator."""

    def __init__(self, stack: Stack, journals: Journals, console: Console) -> None:
        self.stack, self.journals, self.console = stack, journals, console
        config = {"SYNC_CONFIG": str(ROOT / "examples" / "agents.yaml"), "PYTHONPATH": str(ROOT)}
        self.env = os.environ | stack.env | journals.env | config

    def say(self, text: str) -> None:
        """Tell the next step of the story."""
        self.console.print(f"\n[bold]{text}[/bold]")

    def check(self, said: str, holds: object) -> None:
        """Tell what was checked; raise StackError if it does not hold."""
        if not holds:
            raise StackError(f"not so: {said}")
        self.console.print(f"  checked: {said}")

    def script(self, code: str) -> Any:
        """Run a script as somebody else's process, and return what its last line says."""
        done = subprocess.run([sys.executable, "-c", code], env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"a script failed: {done.stderr.strip().splitlines()[-1:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def ojs(self, method: str, path: str, body: object | None = None) -> Any:
        """Have an editor of summit do something in OJS, by its own API."""
        headers = {"Authorization": f"Bearer {self.journals.secrets['ojs-summit']}"}
        answer = requests.request(method, self.journals.api("36", path), json=body, headers=headers, timeout=30)
        if answer.status_code != 200:
            raise StackError(f"OJS answered {answer.status_code} to {method} {path}")
        return answer.json()

    def held(self, key: str) -> dict[str, Any]:
        """Return a manuscript as the workspace holds it."""
        return self.stack.firestore().document(f"journals/summit/submissions/{key}").get().to_dict() or {}


def main(arguments: Sequence[str]) -> None:
    """Tell the story; raises StackError where the outcome is not what it has to be."""
    parser = argparse.ArgumentParser(prog="python -m local demo_agents", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where it keeps its files (.local/demo-agents)")
    folder: Path = parser.parse_args(arguments).folder
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    began = time.monotonic()
    console.print("Starting stand-ins for OJS, and Firestore's emulator, where the agents work ...")
    journals = Journals(folder / "logs" / "ojs.log")
    env = {"SYNC_CONFIG": str(ROOT / "examples" / "agents.yaml"), **journals.env}
    with Stack(folder, triggers={}, functions_env=env, more_secrets=journals.secrets, backend=False) as stack, journals:
        demo = Demo(stack, journals, console)
        for step in (first_sync, two_agents, a_batch, somebody_decides):
            step(demo)
    console.print(json.dumps({"seconds": round(time.monotonic() - began, 1), "all_checked": True}))


def first_sync(demo: Demo) -> None:
    """Bring the manuscripts into the workspace."""
    demo.say("1. The hourly call brings the manuscripts of two journals into the agents' workspace.")
    headers = {"Authorization": f"Bearer {demo.stack.operator_token}"}
    answer = requests.post(f"{demo.stack.functions_url}/bidirectional_sync", json={}, headers=headers, timeout=300)
    there = [each.id for each in demo.stack.firestore().collection("journals/summit/submissions").stream()]
    demo.check("all of summit's are there", answer.status_code == 200 and there == ["1", "2", "3"])


def two_agents(demo: Demo) -> None:
    """Let two agents work on the same manuscripts at once."""
    demo.say("2. Two agents are told of the same three manuscripts at the same time; each adds its word to the keywords.")
    told = "".join(json.dumps(event) + "\n" for event in EVENTS)
    command = [sys.executable, str(ROOT / "examples" / "agent.py")]
    running = [
        subprocess.Popen(
            [*command, *agent], env=demo.env, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        for agent in AGENTS.items()
    ]
    for each in running:
        if each.stdin:
            each.stdin.write(told)
            each.stdin.close()
    for each in running:
        for line in each.stderr or ():
            demo.console.print(f"  {line.rstrip()}")
        if each.wait(120):
            raise StackError("an agent failed")
    for event in EVENTS:
        words = {word["name"] for word in current(demo, event["key"])["keywords"]["en"]}
        demo.check(f"OJS has both words on manuscript {event['key']}", set(AGENTS.values()) <= words)
        origins = str(demo.held(event["key"])["_sync"]["fields"]["keywords"]).split("|")[1]
        demo.check(f"and the stamp there names the one who wrote last, {origins}", origins in AGENTS)


def a_batch(demo: Demo) -> None:
    """Sync one record, and a dozen at a time."""
    demo.say("3. A script syncs one manuscript, and twelve at a time, of which nine are not there.")
    told = demo.script(BATCH)
    demo.console.print(f"  one in {told['one']:.2f} s, twelve in {told['many']:.2f} s")
    demo.check("one takes well under a second", told["one"] < 1)
    ends = [told["ends"][key] for key in told["ends"]]
    demo.check("each is answered by itself", ends == ["equal"] * 3 + ["unknown"] * 9)


def somebody_decides(demo: Demo) -> None:
    """Have an editor and an agent write one abstract, which the configuration leaves to people."""
    demo.say("4. An editor and an agent write the same abstract. The policy is `manual`: nothing is overwritten.")
    demo.ojs("PUT", "submissions/3/publications/3", {"abstract": {"en": "By the editor"}})
    open_ones = demo.script(EDITOR_AGAINST_AGENT)
    demo.check("the conflict waits for somebody", open_ones == ["abstract"])
    both = (current(demo, "3")["abstract"]["en"], demo.held("3")["abstract"]["en"])
    demo.check("both sides are as they were written", both == ("By the editor", "By the agent"))
    left = demo.script(DECIDE)
    both = (current(demo, "3")["abstract"]["en"], demo.held("3")["abstract"]["en"])
    demo.check("decided, both hold the editor's", both == ("By the editor", "By the editor"))
    demo.check("and nothing needs anybody", left == {"pending": 0, "healthy": True})


def current(demo: Demo, submission: str) -> dict[str, Any]:
    """Return a submission's current publication, as OJS has it."""
    row = demo.ojs("GET", f"submissions/{submission}")
    found: dict[str, Any] = demo.ojs("GET", f"submissions/{submission}/publications/{row['currentPublicationId']}")
    return found
