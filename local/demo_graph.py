"""`make demo-graph`: content of Django in a graph, told as a story, and checked by the plain driver, which knows of no sync."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, LiteralString

import requests
from rich.console import Console
from rich.table import Table

from local.arcade import DATABASE
from local.bundle import ROOT
from local.django_users import DjangoUsers
from local.errors import StackError
from local.graph import PAIR
from local.stack import Stack

FOLDER = ROOT / ".local" / "demo-graph"
CONCEPTS = ("counting", "addition", "subtraction", "multiplication", "division", "fractions")
LABELS = {"concept": "Concept", "path": "LearningPath", "learner": "Learner"}
TYPES = {
    "requirement": ("REQUIRES", "concept", "needs"),
    "step": ("LEADS_THROUGH", "path", "concept"),
    "progress": ("LEARNS", "learner", "concept"),
}
CORRELATION = "demo-visit-1"
PUBLISH = f"""
from syncqueue.publishing import publish
publish("activity", "visit-1", {{"kind": "visit", "at": "2026-10-02T08:15:30.000000Z"}}, "{CORRELATION}")
"""
RENAMED = {"joinedOn": "joined_on", "finishedAt": "finished_at"}


class Demo:
    """The story's stage: a running stack, Django's users, somebody with Cypher, and a narrator."""

    def __init__(self, stack: Stack, users: DjangoUsers, console: Console) -> None:
        if stack.arcade is None:
            raise StackError("the demo needs the graph")
        self.stack, self.users, self.console = stack, users, console
        self.driver = stack.arcade.driver()

    def say(self, text: str) -> None:
        """Tell the next step of the story."""
        self.console.print(f"\n[bold]{text}[/bold]")

    def cypher(self, statement: LiteralString, **parameters: Any) -> list[dict[str, Any]]:
        """Return what a statement answers."""
        return [row.data() for row in self.driver.execute_query(statement, parameters, database_=DATABASE).records]

    def call(self, function: str, **body: Any) -> dict[str, Any]:
        """Call a function as Cloud Scheduler would, show and return the result of the pair."""
        headers = {"Authorization": f"Bearer {self.stack.operator_token}"}
        url = f"{self.stack.functions_url}/{function}"
        answer = requests.post(url, json={"pair": PAIR, **body}, headers=headers, timeout=300)
        if answer.status_code != 200:
            raise StackError(f"{function} answered {answer.status_code}: {answer.text[:500]}; see {self.stack.logs}")
        result: dict[str, Any] = answer.json()["result"]["pairs"][PAIR]
        self._show(result)
        return result

    def _show(self, result: Mapping[str, Any]) -> None:
        table = Table("direction", "read", "applied", "superseded", "conflicts met", "dead letters", "waiting")
        for name, tally in result["directions"].items():
            figures = (tally[each] for each in ("read", "applied", "superseded", "conflicts", "dead_letters", "waiting"))
            table.add_row(name.replace("_to_", " to ").title(), *map(str, figures))
        self.console.print(table)


def main(arguments: Sequence[str]) -> None:
    """Tell the story; raises StackError where the outcome is not what it has to be."""
    parser = argparse.ArgumentParser(prog="python -m local demo-graph", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where it keeps its files (.local/demo-graph)")
    folder: Path = parser.parse_args(arguments).folder
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    began = time.monotonic()
    console.print("Starting Firestore's emulator, Django, a graph (ArcadeDB, which speaks Neo4j's Bolt) and the functions ...")
    with Stack(folder, graph=True) as stack:
        if stack.backend is None:
            raise StackError("the demo needs the backend")
        with DjangoUsers(stack.backend.env, stack.backend.manage_script) as users:
            demo = Demo(stack, users, console)
            write_content(demo)
            edit_both(demo)
            delete(demo)
            publish(demo)
            compared = compare(demo)
            demo.driver.close()
    print(json.dumps({**compared, "seconds": round(time.monotonic() - began, 1)}))  # noqa: T201  # the last line, for programs


def write_content(demo: Demo) -> None:
    """Make concepts, a path and learners in Django, and carry them over."""
    demo.say("1. An editor writes concepts, what they require, a path and two learners in Django. Call bidirectional_sync.")
    save = demo.users.call
    for number, slug in enumerate(CONCEPTS):
        fields = {"title": slug.title(), "level": number // 2 + 1, "tags": ["arithmetic", f"grade-{number}"]}
        save("save", entity="concept", key=slug, fields=fields)
    save("save", entity="path", key="numbers", fields={"title": "Numbers"})
    for code, name in (("ada", "Ada (made up)"), ("bo", "Bo (made up)")):
        save("save", entity="learner", key=code, fields={"name": name, "joined_on": "2026-09-01"})
    for needed, slug in pairwise(CONCEPTS):
        ends = {"concept": slug, "needs": needed}
        save("save", entity="requirement", key=f"{slug}-{needed}", fields=ends | {"weight": 0.5})
    for position, slug in enumerate(CONCEPTS):
        save("save", entity="step", key=f"numbers-{slug}", fields={"path": "numbers", "concept": slug, "position": position})
    score = {"score": "87.50", "finished_at": "2026-10-02T08:15:30.123456Z"}
    save("save", entity="progress", key="ada-counting", fields={"learner": "ada", "concept": "counting"} | score)
    demo.call("bidirectional_sync")
    way = demo.cypher("MATCH (:Concept {key: 'fractions'})-[:REQUIRES*]->(c:Concept) RETURN c.key AS concept")
    demo.console.print(f"What must be known before fractions, asked in Cypher: {', '.join(row['concept'] for row in way)}")
    if {row["concept"] for row in way} != set(CONCEPTS) - {"fractions"}:
        raise StackError("the graph does not know what fractions require")


def edit_both(demo: Demo) -> None:
    """Edit on both sides, the same title too, and sync."""
    demo.say("2. Django's editor and somebody with Cypher work at the same time, on one title both of them.")
    demo.users.call("save", entity="concept", key="division", fields={"title": "Dividing", "level": 4})
    demo.cypher("MATCH (c:Concept {key: 'division'}) SET c.title = 'Division, by hand'")
    demo.cypher("MATCH (c:Concept {key: 'addition'}) SET c.summary = 'Putting together'")
    demo.cypher("CREATE (:Concept {key: 'primes', title: 'Primes', level: 4})")
    demo.cypher(
        "MATCH (p:Concept {key: 'primes'}) MATCH (d:Concept {key: 'division'}) "
        "CREATE (p)-[:REQUIRES {key: 'primes-division', weight: 1.0}]->(d)"
    )
    result = demo.call("bidirectional_sync")
    if result["conflicts"] != 1:
        raise StackError(f"one title was written on both sides, but {result['conflicts']} conflicts were found")
    demo.console.print("The graph tells no times, so what was written by hand counts as written when it was found: it won.")
    demo.console.print("Django's title is not gone: it lies in sync_conflicts.")
    if sum(tally["read"] for tally in demo.call("bidirectional_sync")["directions"].values()):
        raise StackError("the second run moved something; it must find nothing to do")


def delete(demo: Demo) -> None:
    """Delete a concept with all that is tied to it in Django, and a learner in the graph."""
    demo.say("3. Django deletes subtraction, with its relationships; in the graph somebody marks a learner to be deleted.")
    demo.users.call("delete", entity="concept", key="subtraction")
    demo.cypher("MATCH (l:Learner {key: 'bo'}) SET l._delete = true")
    demo.call("bidirectional_sync")
    demo.console.print("A node goes after its relationships are gone: with the next run.")
    demo.call("bidirectional_sync")


def publish(demo: Demo) -> None:
    """Publish an event that belongs to no model, and follow it into the log by its correlation id."""
    demo.say("4. The application publishes an event that no table holds, under a correlation id.")
    if demo.stack.backend:
        demo.stack.backend.manage("shell", "-c", PUBLISH)
    demo.call("bidirectional_sync")
    found = demo.cypher("MATCH (a:Activity {key: 'visit-1'}) RETURN a.kind AS kind")
    lines = [line for line in (demo.stack.logs / "functions.log").read_text().splitlines() if CORRELATION in line]
    if found != [{"kind": "visit"}] or len(lines) != 1:
        raise StackError("the published event is not in the graph, or the log does not tell of it by its correlation id")
    told = json.loads(lines[0])
    demo.console.print(f"The log: event {told['event_id']} {told['outcome']}, correlation {told['correlation_id']}.")


def compare(demo: Demo) -> dict[str, int]:
    """Compare every field of every record, read by plain Django and the plain driver."""
    demo.say("5. Compare both sides, with plain Django and the plain driver.")
    differing: list[str] = []
    counts = {"nodes_compared": 0, "relationships_compared": 0}
    for entity in (*LABELS, *TYPES):
        mine = demo.users.call("dump", entity=entity)
        theirs = nodes(demo, entity) if entity in LABELS else relationships(demo, entity)
        differing += [entity for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)]
        counts["nodes_compared" if entity in LABELS else "relationships_compared"] += len(mine)
    if differing or not all(counts.values()):
        raise StackError(f"{len(differing)} record(s) differ between Django and the graph: {', '.join(sorted(set(differing)))}")
    gone = demo.cypher("MATCH (x) WHERE x.key IN ['subtraction', 'bo'] RETURN x.key AS key")
    if gone:
        raise StackError("what was deleted still lies in the graph")
    told = f"{counts['nodes_compared']} nodes and {counts['relationships_compared']} relationships"
    demo.console.print(f"{told}: all equal.")
    return counts


def nodes(demo: Demo, entity: str) -> dict[str, dict[str, Any]]:
    """Return the nodes of an entity by their keys, as Django's dump writes them."""
    rows = demo.cypher("MATCH (x) WHERE $label IN labels(x) RETURN properties(x) AS x", label=LABELS[entity])
    return {row["x"]["key"]: plain(row["x"]) for row in rows}


def relationships(demo: Demo, entity: str) -> dict[str, dict[str, Any]]:
    """Return the relationships of an entity by their keys, their ends among the fields."""
    kind, start, end = TYPES[entity]
    rows = demo.cypher(
        "MATCH (a)-[x]->(b) WHERE type(x) = $kind RETURN properties(x) AS x, a.key AS start, b.key AS end", kind=kind
    )
    return {row["x"]["key"]: plain(row["x"]) | {start: row["start"], end: row["end"]} for row in rows}


def plain(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return properties as Django's dump writes its values, without what is the sync's own."""
    fields = {RENAMED.get(name, name): value for name, value in properties.items() if name != "key" and not name.startswith("_")}
    if "finished_at" in fields:
        fields["finished_at"] = fields["finished_at"].replace("Z", "+00:00")
    return fields
