"""`make demo-ojs`: OJS journals and a Django portal, a story checked by plain clients that know nothing of the sync."""

import argparse
import hashlib
import hmac
import json
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.table import Table

from local.bundle import ROOT
from local.errors import StackError
from local.journals import VERSIONS, Journals
from local.stack import Stack

FOLDER = ROOT / ".local" / "demo-ojs"
NOWHERE = "http://127.0.0.1:9"
AT_WORK = {"33": "harbour", "36": "summit"}
"""The journals that nothing is wrong with."""


class Demo:
    """The story's stage: a running stack, the journals beside it, people who edit in both, and a narrator."""

    def __init__(self, stack: Stack, journals: Journals, console: Console) -> None:
        self.stack, self.journals, self.console = stack, journals, console

    def say(self, text: str) -> None:
        """Tell the next step of the story."""
        self.console.print(f"\n[bold]{text}[/bold]")

    def call(self, function: str, body: object, **headers: str) -> dict[str, Any]:
        """Call a function as Cloud Scheduler would, and return its answer."""
        return self.post(function, json.dumps(body), {"Authorization": f"Bearer {self.stack.operator_token}"} | headers)

    def post(self, function: str, body: str, headers: dict[str, str]) -> dict[str, Any]:
        """Call a function with these headers, and return its answer."""
        url = f"{self.stack.functions_url}/{function}"
        answer = requests.post(url, data=body, headers={"Content-Type": "application/json"} | headers, timeout=300)
        if answer.status_code != 200:
            raise StackError(f"{function} answered {answer.status_code}: {answer.text[:500]}; see {self.stack.logs}")
        told: dict[str, Any] = answer.json()
        return told

    def sync(self) -> dict[str, Any]:
        """Make the hourly call; return the pair's result, with the errors of journals."""
        answer = self.call("bidirectional_sync", {"pair": "journals"})
        result: dict[str, Any] = answer["result"]["pairs"]["journals"] | {"errors": answer["errors"]}
        table = Table("direction", "read", "applied", "superseded", "conflicts met", "dead letters", "waiting")
        for name, tally in result["directions"].items():
            figures = (tally[each] for each in ("read", "applied", "superseded", "conflicts", "dead_letters", "waiting"))
            table.add_row(name.replace("_to_", " to ").title(), *map(str, figures))
        self.console.print(table)
        return result

    def portal(self, code: str) -> Any:
        """Have somebody at the portal run plain ORM code, which leaves what they see in `seen`."""
        if self.stack.backend is None:
            raise StackError("the demo needs the backend")
        script = f"import json\nfrom portal.models import *\nseen = None\n{code}\nprint(json.dumps(seen, default=str))"
        return json.loads(self.stack.backend.manage("shell", "--no-imports", "-c", script).splitlines()[-1])

    def ojs(self, method: str, version: str, path: str, body: object | None = None) -> Any:
        """Have an editor do something in OJS, by its own API."""
        headers = {"Authorization": f"Bearer {self.journals.secrets[f'ojs-{VERSIONS[version]}']}"}
        answer = requests.request(method, self.journals.api(version, path), json=body, headers=headers, timeout=30)
        if answer.status_code != 200:
            raise StackError(f"OJS {version} answered {answer.status_code} to {method} {path}")
        return answer.json()

    def check(self, said: str, holds: object) -> None:
        """Tell what was checked; raise StackError if it does not hold."""
        if not holds:
            raise StackError(f"not so: {said}")
        self.console.print(f"  checked: {said}")


def main(arguments: Sequence[str]) -> None:
    """Tell the story; raises StackError where the outcome is not what it has to be."""
    parser = argparse.ArgumentParser(prog="python -m local demo_ojs", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where it keeps its files (.local/demo-ojs)")
    folder: Path = parser.parse_args(arguments).folder
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    began = time.monotonic()
    console.print("Starting stand-ins for OJS 3.3 to 3.6, Firestore's emulator, the portal in Django and the functions ...")
    journals = Journals(folder / "logs" / "ojs.log")
    env = {"SYNC_CONFIG": str(ROOT / "examples" / "ojs.yaml"), **journals.env, "OJS_34_URL": NOWHERE}
    more = {**journals.secrets, "ojs-quarry": "a-mistaken-key"}
    with Stack(folder, triggers={}, functions_env=env, more_secrets=more) as stack, journals:
        demo = Demo(stack, journals, console)
        tell(demo)
    console.print(json.dumps({"seconds": round(time.monotonic() - began, 1), "all_checked": True}))


def tell(demo: Demo) -> None:
    """Tell all steps."""
    first_sync(demo)
    both_ways(demo)
    a_new_submission(demo)
    a_conflict(demo)
    an_event(demo)
    nothing_twice(demo)
    compare(demo)


def first_sync(demo: Demo) -> None:
    """Bring everything, of the journals that can be asked."""
    demo.say("1. The first call. Four journals; `meadow` is down, and the key of `quarry` is mistaken.")
    result = demo.sync()
    for each in result["errors"]:
        demo.console.print(f"  {each['tenant']}: {each['message']}")
    counted = demo.portal(
        "seen = {m.__name__: {t: m.objects.filter(tenant=t).count() for t in ('harbour', 'meadow', 'quarry', 'summit')}"
        " for m in (Journal, Profile, Issue, Submission, Review, Comment)}"
    )
    table = Table("in the portal now", "harbour (3.3)", "meadow (3.4)", "quarry (3.5)", "summit (3.6)")
    for name, by_journal in counted.items():
        table.add_row(name, *map(str, by_journal.values()))
    demo.console.print(table)
    demo.check(
        "the two that fail are named, each with its cause", {e["tenant"] for e in result["errors"]} == {"meadow", "quarry"}
    )
    demo.check("the other two are complete", [counted["Submission"][path] for path in AT_WORK.values()] == [3, 3])
    demo.check("discussions come from 3.6 alone, which offers them", counted["Comment"]["summit"] == 1)
    shared = demo.portal("seen = [p.ids for p in Profile.objects.filter(tenant='summit', email='signy@people.example')]")
    demo.check("an editor of two journals is one person with an id in each", [len(ids) for ids in shared] == [2])


def both_ways(demo: Demo) -> None:
    """Edit one submission on both sides, and its namesake in another journal."""
    demo.say("2. In OJS an editor gives summit's submission 2 its pages; the portal changes its title. Harbour has a 2 too.")
    demo.ojs("PUT", "36", "submissions/2/publications/2", {"pages": "11-19"})
    demo.portal("s = Submission.objects.get(tenant='summit', key='2'); s.title = {'en': 'On lichen'}; s.save()")
    demo.sync()
    demo.check("OJS has the title", publication(demo, "36", 2)["title"]["en"] == "On lichen")
    pages = demo.portal("seen = list(Submission.objects.filter(key='2').order_by('tenant').values_list('tenant', 'pages'))")
    demo.check("the portal has the pages, of summit's alone", pages == [["harbour", None], ["summit", "11-19"]])
    demo.check("harbour's submission 2 is as it was", publication(demo, "33", 2)["title"]["en_US"] == "On moss")


def a_new_submission(demo: Demo) -> None:
    """Make a submission in the portal."""
    demo.say("3. The portal takes in a new manuscript for summit.")
    demo.portal("Submission.objects.create(tenant='summit', title={'en': 'On wind'}, keywords={'en': ['air']})")
    demo.sync()
    demo.sync()
    drafts = demo.ojs("GET", "36", "submissions?isIncomplete=1")["items"]
    demo.check("OJS has it as one draft", [each["publications"][0]["title"]["en"] for each in drafts] == ["On wind"])
    known = demo.portal("seen = Submission.objects.exclude(key__regex='^[0-9]+$').get().ojs_id")
    demo.check("and the portal knows its number there", known == drafts[0]["id"])


def a_conflict(demo: Demo) -> None:
    """Edit one field on both sides."""
    demo.say("4. The title of submission 3 is changed in the portal, and then in OJS.")
    demo.portal("s = Submission.objects.get(tenant='summit', key='3'); s.title = {'en': 'Of the portal'}; s.save()")
    time.sleep(1.1)  # OJS tells time to the second
    demo.ojs("PUT", "36", "submissions/3/publications/3", {"title": {"en": "Of the editor"}})
    demo.sync()
    title = demo.portal("seen = Submission.objects.get(tenant='summit', key='3').title")
    demo.check(
        "the later one stands on both sides",
        [title, publication(demo, "36", 3)["title"]["en"]] == [{"en": "Of the editor"}, "Of the editor"],
    )
    kept = [each.to_dict() or {} for each in demo.stack.firestore().collection("sync_conflicts").stream()]
    values = [side.get("value") for each in kept for side in (each["local"], each["incoming"])]
    demo.check("the other is kept in sync_conflicts", {"en": "Of the portal"} in values)


def an_event(demo: Demo) -> None:
    """Tell of one submission by a signed call."""
    demo.say("5. A plugin in OJS tells of a change at once, in a signed call of ojs_event.")
    demo.ojs("PUT", "36", "submissions/2/publications/2", {"pages": "21-29"})
    began = time.monotonic()
    body = json.dumps({"journal": "summit", "submission": 2})
    answer = demo.post("ojs_event", body, signed(demo.journals.secrets["ojs-summit-events"], "/ojs_event", body))
    seconds = time.monotonic() - began
    demo.console.print(f"  answered {answer['result']['submission']} after {seconds:.2f} s")
    pages = demo.portal("seen = Submission.objects.get(tenant='summit', key='2').pages")
    demo.check("the portal has it", pages == "21-29")


def signed(key: str, target: str, body: str) -> dict[str, str]:
    """Return the headers of a signed request, as the REST contract has them."""
    at, nonce = str(int(time.time())), secrets.token_hex(16)
    text = f"{at}\n{nonce}\nPOST\n{target}\n{body}"
    digest = hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {"X-Sync-Timestamp": at, "X-Sync-Nonce": nonce, "X-Sync-Signature": f"v1={digest}"}


def nothing_twice(demo: Demo) -> None:
    """Run again; nothing may move."""
    demo.say("6. Run it again: nothing moves.")
    result = demo.sync()
    demo.check("nothing was read", not any(tally["read"] for tally in result["directions"].values()))


def compare(demo: Demo) -> None:
    """Read both sides and compare every submission."""
    demo.say("7. Compare the submissions of both journals, with plain requests and plain Django.")
    held = demo.portal("seen = {f'{s.tenant} {s.ojs_id}': [s.title, s.keywords, s.pages] for s in Submission.objects.all()}")
    there: dict[str, list[Any]] = {}
    for version, path in AT_WORK.items():
        for each in demo.ojs("GET", version, "submissions")["items"]:
            there[f"{path} {each['id']}"] = plain(publication(demo, version, each["id"]))
    differing = sorted(name for name in held.keys() | there.keys() if held.get(name) != there.get(name))
    demo.check(f"{len(there)} submissions are the same on both sides", not differing and len(there) == 7)


def publication(demo: Demo, version: str, submission: int) -> dict[str, Any]:
    """Return a submission's current publication, as OJS has it."""
    row = demo.ojs("GET", version, f"submissions/{submission}")
    found: dict[str, Any] = demo.ojs("GET", version, f"submissions/{submission}/publications/{row['currentPublicationId']}")
    return found


def plain(row: dict[str, Any]) -> list[Any]:
    """Return title, keywords and pages as the portal holds them."""
    title = {language: text for language, text in row["title"].items() if text}
    words = {
        language: [word["name"] if isinstance(word, dict) else word for word in some]
        for language, some in row["keywords"].items()
        if some
    }
    return [title or None, words or None, row["pages"]]
