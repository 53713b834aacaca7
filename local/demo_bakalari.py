"""`make demo-bakalari`: two schools into Firestore and Django, told as a story, and checked by plain clients."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import requests
from rich.console import Console

from local.bundle import ROOT
from local.errors import StackError
from local.schools import ACCOUNTS, Schools
from local.stack import Stack

FOLDER = ROOT / ".local" / "demo-bakalari"
CONFIG = ROOT / "examples" / "bakalari.yaml"
PAIRS = ("school-firestore", "school-django")
COLLECTIONS = {"class": "classes", "subject": "subjects", "user": "users", "enrolment": "enrolments"}
MODELS = {"class": "school.class", "subject": "school.subject", "user": "school.schooluser", "enrolment": "school.enrolment"}
Rows = dict[str, dict[str, Any]]


class Demo:
    """The story's stage: a running stack, two schools, and a narrator."""

    def __init__(self, stack: Stack, schools: Schools, console: Console) -> None:
        self.stack, self.schools, self.console = stack, schools, console
        self.firestore = stack.firestore()

    def say(self, text: str) -> None:
        """Tell the next step of the story."""
        self.console.print(f"\n[bold]{text}[/bold]")

    def sync(self) -> dict[str, Any]:
        """Call the function as Cloud Scheduler would, show what came of it, and return its answer."""
        headers = {"Authorization": f"Bearer {self.stack.operator_token}"}
        url = f"{self.stack.functions_url}/bidirectional_sync"
        answer = requests.post(url, json={}, headers=headers, timeout=300)
        if answer.status_code != 200:
            raise StackError(f"bidirectional_sync answered {answer.status_code}: {answer.text[:500]}; see {self.stack.logs}")
        body: dict[str, Any] = answer.json()
        for name, result in body["result"]["pairs"].items():
            self.console.print(f"{name}: {counts(result) or 'nothing to do'}")
        for error in body["errors"]:
            self.console.print(f"  [red]{error['kind']}[/red] {error['pair']}, school {error.get('tenant')}: {error['message']}")
        self.console.print(f"run {body['runId']}, request {body['requestId']}, {body['durationMs'] / 1000:.1f} s")
        return body

    def change(self, school: str, **how: Any) -> None:
        """Make something happen at a school."""
        requests.post(f"{self.schools.urls[school]}/stand-in", json=how, timeout=10).raise_for_status()

    def in_firestore(self, school: str, kind: str) -> Rows:
        """Return what a plain client finds in Firestore, by key: in a document's id, an escaped slash is escaped once more."""
        found = self.firestore.collection(f"schools/{school}/{COLLECTIONS[kind]}").stream()
        rows = {row.id.replace("%252F", "%2F"): row.to_dict() or {} for row in found}
        return {key: {name: value for name, value in row.items() if name != "_sync"} for key, row in rows.items()}

    def in_django(self, school: str, kind: str) -> Rows:
        """Return what Django itself dumps, by key."""
        if self.stack.backend is None:
            raise StackError("the demo needs the backend")
        command = [sys.executable, str(self.stack.backend.manage_script), "dumpdata", MODELS[kind]]
        done = subprocess.run(command, env=self.stack.backend.env, capture_output=True, text=True, check=True)
        rows = [each["fields"] for each in json.loads(done.stdout)]
        return {row.pop("key"): row for row in rows if row.pop("tenant") == school}

    def at_school(self, school: str) -> dict[str, set[str]]:
        """Return the names that the school itself tells its accounts: of subjects and of teachers."""
        found: dict[str, set[str]] = {"subject": set(), "user": set()}
        url = self.schools.urls[school]
        for account in ACCOUNTS:
            form = {"client_id": "ANDR", "grant_type": "password", **account}
            token = requests.post(f"{url}/api/login", data=form, timeout=10).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            for each in requests.get(f"{url}/api/3/subjects", headers=headers, timeout=10).json()["Subjects"]:
                found["subject"].add(each["SubjectName"])
                found["user"].add(each["TeacherName"])
        return found


def counts(result: Mapping[str, Any]) -> str:
    """Return what a run's report counts, in words: `5 classesCreated, 1 usersUpdated`."""
    return ", ".join(f"{number} {name}" for name, number in result.get("counts", {}).items())


def main(arguments: Sequence[str]) -> None:
    """Tell the story; raises StackError where the outcome is not what it has to be."""
    parser = argparse.ArgumentParser(prog="python -m local demo_bakalari", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where it keeps its files (.local/demo-bakalari)")
    folder: Path = parser.parse_args(arguments).folder
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    began = time.monotonic()
    console.print("Starting Firestore's emulator, Django, the functions, and stand-ins for two Bakaláři schools ...")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with Schools(folder.parent / f"{folder.name}-schools.log") as schools:
        env = schools.env | {"SYNC_CONFIG": str(CONFIG)}
        with Stack(folder, functions_env=env, triggers={}, more_secrets=schools.secrets) as stack:
            figures = tell(Demo(stack, schools, console))
    print(json.dumps(figures | {"seconds": round(time.monotonic() - began, 1)}))  # noqa: T201  # the last line, for programs


def tell(demo: Demo) -> dict[str, Any]:
    """Tell the story and return its figures."""
    demo.say("1. Two schools, two accounts each. Classes, subjects, users and enrolments are read, into both places.")
    first = demo.sync()
    check(demo, "north")
    check(demo, "south")
    demo.say("2. The same again: nothing has changed, so nothing is written.")
    again = demo.sync()
    expect(not any(result.get("counts") for result in again["result"]["pairs"].values()), "a second run wrote something")
    demo.say("3. A teacher of the south school gets another name, while the north school shows a maintenance page.")
    demo.change("north", mode="maintenance")
    demo.change("south", rename=["U  12", "Mgr. Karel Nový"])
    trouble = demo.sync()
    expect({error.get("tenant") for error in trouble["errors"]} == {"north"}, "not only the north school failed")
    check(demo, "south")
    demo.say("4. It is back. Singing is not taught any more: after three complete runs it is inactive, and still there.")
    demo.change("north", mode="usual", without="6")
    for _ in range(3):
        demo.sync()
    for rows in (demo.in_firestore("north", "subject"), demo.in_django("north", "subject")):
        expect(rows["6"]["active"] is False, "the subject that is gone is still active, or not there")
        expect(rows["%206"]["active"] is True, "the subject with a blank before its number went with it")
    demo.say("5. Summer: the schools show old things without ids, and nothing else. Nobody is taken for a leaver.")
    before = everything(demo)
    for school in ("north", "south"):
        demo.change(school, mode="summer")
    for _ in range(4):
        demo.sync()
    expect(everything(demo) == before, "the summer changed something")
    demo.say("All as it has to be. Rosters are as complete as the accounts that the schools gave.")
    return {name: result["counts"] for name, result in first["result"]["pairs"].items()}


def everything(demo: Demo) -> list[Rows]:
    """Return all that lies in Firestore and Django."""
    places = [(school, kind) for school in ("north", "south") for kind in COLLECTIONS]
    return [rows for place in places for rows in (demo.in_firestore(*place), demo.in_django(*place))]


def check(demo: Demo, school: str) -> None:
    """Compare Firestore with Django, record by record, and both with what the school itself says."""
    for kind in COLLECTIONS:
        django, firestore = present(demo.in_django(school, kind)), present(demo.in_firestore(school, kind))
        expect(django == firestore and len(django) > 0, f"{school}: {COLLECTIONS[kind]} differ between Firestore and Django")
    for kind, names in demo.at_school(school).items():
        held = {row["name"] for row in demo.in_django(school, kind).values()}
        expect(names <= held, f"{school}: {COLLECTIONS[kind]} of the school are missing")
    demo.console.print(f"{school}: Firestore, Django and the school itself agree")


def present(rows: Rows) -> Rows:
    """Return the rows without what is null in them: a missing field is the same."""
    return {key: {name: value for name, value in row.items() if value is not None} for key, row in rows.items()}


def expect(holds: bool, otherwise: str) -> None:
    """Raise StackError if something does not hold."""
    if not holds:
        raise StackError(f"the demo went wrong: {otherwise}")
