"""`make demo`: the main job on real parts, told as a story, and checked by plain clients that know nothing of the sync."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from google.cloud.firestore import DELETE_FIELD, Client, DocumentReference
from google.cloud.firestore_v1.base_query import FieldFilter
from rich.console import Console
from rich.table import Table

from local.bundle import ROOT
from local.django_users import DjangoUsers
from local.errors import StackError
from local.process import wait_until
from local.stack import Stack

FOLDER = ROOT / ".local" / "demo"
MEMBERS = 1000
RENAMED = {"birth_date": "birthDate", "paid_until": "paidUntil", "joined_at": "joinedAt"}


class Demo:
    """The story's stage: a running stack, Django's users, a Firestore front end, and a narrator."""

    def __init__(self, stack: Stack, users: DjangoUsers, console: Console) -> None:
        self.stack, self.users, self.console = stack, users, console
        self.front_end: Client = stack.firestore()
        self.edits = {"django": 0, "firestore": 0}

    def say(self, text: str) -> None:
        """Tell the next step of the story."""
        self.console.print(f"\n[bold]{text}[/bold]")

    def call(self, function: str) -> dict[str, Any]:
        """Call a function as Cloud Scheduler would, and return the result of the pair `members`."""
        headers = {"Authorization": f"Bearer {self.stack.operator_token}"}
        answer = requests.post(f"{self.stack.functions_url}/{function}", json={"pair": "members"}, headers=headers, timeout=300)
        if answer.status_code != 200:
            raise StackError(f"{function} answered {answer.status_code}: {answer.text[:500]}; see {self.stack.logs}")
        body = answer.json()
        result: dict[str, Any] = body["result"]["pairs"]["members"] | {"seconds": body["durationMs"] / 1000}
        return result

    def show(self, result: Mapping[str, Any]) -> None:
        """Show what a run moved, what came of it, and what Firestore would bill."""
        table = Table("direction", "read", "applied", "superseded", "conflicts met", "dead letters", "waiting")
        for name, tally in result["directions"].items():
            figures = (tally[each] for each in ("read", "applied", "superseded", "conflicts", "dead_letters", "waiting"))
            table.add_row(name.replace("_to_", " to ").title(), *map(str, figures))
        self.console.print(table)
        operations = ", ".join(f"{number} {name}" for name, number in result["billed"].items())
        self.console.print(f"{result['seconds']:.1f} s; Firestore bills {operations}: about ${result['cost']['amount']:.5f}")

    def wait_for_trackers(self, number: int) -> None:
        """Wait until the triggers have queued what was edited in Firestore."""
        pending = self.front_end.collection("sync_queue").where(filter=FieldFilter("sync_status", "==", "pending"))
        wait_until(lambda: len(list(pending.stream())) >= number, f"queueing {number} edits by the triggers", 60)


def main(arguments: Sequence[str]) -> None:
    """Tell the story; raises StackError where the outcome is not what it has to be."""
    parser = argparse.ArgumentParser(prog="python -m local demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where it keeps its files (.local/demo)")
    folder: Path = parser.parse_args(arguments).folder
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    began = time.monotonic()
    console.print("Starting Firestore's emulator, Django, Secret Manager's stand-in and the functions ...")
    with Stack(folder, members=MEMBERS) as stack:
        if stack.backend is None:
            raise StackError("the demo needs the backend")
        with DjangoUsers(stack.backend.env, stack.backend.manage_script) as users:
            demo = Demo(stack, users, console)
            loaded = first_load(demo)
            moved = both_ways(demo)
            again = nothing_twice(demo)
            checked = compare(demo)
    figures = {
        "members_loaded": loaded,
        "edits": demo.edits,
        "run": moved["directions"],
        "conflicts": moved["conflicts"],
        "billed": moved["billed"],
        "usd": moved["cost"]["amount"],
        "second_run_moved": sum(tally["read"] for tally in again["directions"].values()),
        "second_run_billed": again["billed"],
        **checked,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(figures))  # noqa: T201  # the last line, for programs


def first_load(demo: Demo) -> int:
    """Load the register into an empty Firestore; return how many members are there then."""
    demo.say(f"1. First load: {MEMBERS} members lie in Django, Firestore is empty. Call reconcile.")
    demo.show(demo.call("reconcile"))
    return sum(1 for _ in demo.front_end.collection("members").stream())


def both_ways(demo: Demo) -> dict[str, Any]:
    """Edit on both sides and sync."""
    members = sorted(demo.users.call("dump", entity="member"))
    demo.say("2. People work in Django: a save, an update of three rows, a create, a delete.")
    edit_in_django(demo, members)
    demo.say("3. Meanwhile the app writes to Firestore: field updates, a create, a delete.")
    edit_in_firestore(demo, members)
    demo.wait_for_trackers(6)
    demo.console.print("One member's phone was edited on both sides; of another, e-mail here and phone there.")
    demo.say("4. The nightly call: bidirectional_sync.")
    result = demo.call("bidirectional_sync")
    demo.show(result)
    show_conflicts(demo)
    return result


def edit_in_django(demo: Demo, members: Sequence[str]) -> None:
    """What the office does, with the ORM."""
    users = demo.users
    users.call("save", entity="member", key=members[0], fields={"phone": "555 0001", "fee": "1234.50"})
    users.call("update", entity="member", keys=members[1:4], fields={"paid_until": "2027-12-31"})
    users.call("save", entity="member", key=members[4], fields={"phone": "555 0002 (office)"})
    users.call("save", entity="member", key=members[5], fields={"email": "new.address@example.is"})
    users.call(
        "save",
        entity="member",
        key="0101019999",
        fields={"name": "Nýr Félagi", "fee": "99.90", "address": {"street": "Aðalgata 1"}},
    )
    users.call("delete", entity="member", key=members[6])
    demo.edits["django"] = 8


def edit_in_firestore(demo: Demo, members: Sequence[str]) -> None:
    """What an app does, with the plain client library."""
    documents = demo.front_end.collection("members")
    documents.document(members[4]).update({"phone": "555 0003 (phone)"})
    documents.document(members[5]).update({"phone": "555 0004"})
    documents.document(members[7]).update({"notes": "Vill fréttabréf 📨", "visits": 7})
    documents.document(members[8]).update({"address.city": "Húsavík", "birthDate": DELETE_FIELD})
    joined = datetime(2026, 11, 22, 3, 10, 56, 123456, tzinfo=UTC)
    documents.document("0202029999").set({"name": "Úr Appinu", "active": True, "visits": 1, "fee": "10.00", "joinedAt": joined})
    documents.document(members[9]).delete()
    demo.edits["firestore"] = 6


def show_conflicts(demo: Demo) -> None:
    """Show what was written on both sides, who won, and what became of the other value."""
    table = Table("conflict in", "Django wrote", "Firestore wrote", "kept")
    for row in demo.front_end.collection("sync_conflicts").stream():
        conflict = row.to_dict() or {}
        sides = [conflict["local"], conflict["incoming"]]
        by_origin = {side["stamp"].partition("|")[2]: side["value"] for side in sides}
        winner = max(sides, key=lambda side: side["stamp"])["value"]
        table.add_row(
            f"{conflict['entity']}.{conflict['field']}",
            by_origin["django"],
            by_origin["firestore"],
            f"{winner} (the later write)",
        )
    demo.console.print(table)
    demo.console.print("The value that lost is not gone: it stays in sync_conflicts.")


def nothing_twice(demo: Demo) -> dict[str, Any]:
    """Run again; nothing may move."""
    demo.say("5. Run it again: nothing moves.")
    result = demo.call("bidirectional_sync")
    demo.show(result)
    if any(tally["read"] for tally in result["directions"].values()):
        raise StackError("the second run moved something; it must find nothing to do")
    return result


def compare(demo: Demo) -> dict[str, int]:
    """Read both sides with plain Django and the plain client library, and compare every field of every record."""
    demo.say("6. Compare both sides, with plain Django and plain google-cloud-firestore.")
    counts = {"members_compared": 0, "fields_compared": 0}
    differing: list[str] = []
    for entity, collection in (("branch", "branches"), ("interest", "interests"), ("member", "members")):
        in_django: dict[str, dict[str, Any]] = demo.users.call("dump", entity=entity)
        in_firestore = {each.id: plain(each.to_dict() or {}) for each in demo.front_end.collection(collection).stream()}
        for key in in_django.keys() | in_firestore.keys():
            mine, theirs = in_django.get(key), in_firestore.get(key)
            differing += (
                [f"{entity}: a record is on one side only"]
                if mine is None or theirs is None
                else differences(entity, mine, theirs)
            )
            counts["fields_compared"] += len(mine or theirs or {})
        counts["members_compared"] = len(in_django)
    if differing:
        raise StackError(f"{len(differing)} difference(s) between Django and Firestore: {'; '.join(sorted(set(differing))[:10])}")
    demo.console.print(f"{counts['members_compared']} members, {counts['fields_compared']} fields: all equal.")
    return counts


def differences(entity: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return a line for each field that the two sides do not hold alike; it names the field, not the values."""
    at = {name: RENAMED.get(name, name) for name in mine}
    unequal = [f"{entity}.{name} differs" for name, there in at.items() if mine[name] != theirs.get(there)]
    return unequal + [f"{entity}.{name} is in Firestore only" for name in theirs.keys() - set(at.values())]


def plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document as Django's dump writes its values: no nulls, no `_sync`."""
    return {name: _exact(value) for name, value in document.items() if value not in (None, []) and name != "_sync"}


def _exact(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value.id if isinstance(value, DocumentReference) else value
