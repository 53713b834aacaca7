"""Content of Django in a graph, through the functions: either side dies in the middle of a run, and both end equal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from graphs import People

from local.django_users import DjangoUsers
from local.graph import PAIR
from local.process import wait_until
from local.stack import Stack

pytestmark = pytest.mark.stack
CONCEPTS = 300


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("graph")
    with Stack(folder / "up", graph=True) as running:
        yield running


@pytest.fixture
def people(stack: Stack) -> Iterator[People]:
    assert stack.arcade is not None
    made = People(stack.arcade)
    yield made
    made.driver.close()


@pytest.fixture
def users(stack: Stack) -> Iterator[DjangoUsers]:
    assert stack.backend is not None
    with DjangoUsers(stack.backend.env, stack.backend.manage_script) as there:
        yield there


def call(stack: Stack, function: str = "bidirectional_sync", **body: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {stack.operator_token}"}
    return requests.post(f"{stack.functions_url}/{function}", json={"pair": PAIR, **body}, headers=headers, timeout=300)


def write(users: DjangoUsers, prefix: str) -> None:
    names = [f"{prefix}-{number:03d}" for number in range(CONCEPTS)]
    rows = [[name, name.title(), 1] for name in names]
    users.call("sql", statement="INSERT INTO content_concept (slug, title, level) VALUES (%s, %s, %s)", rows=rows)
    for one, other in pairwise(names[:20]):
        users.call("save", entity="requirement", key=f"{one}-{other}", fields={"concept": one, "needs": other})


def count(people: People, prefix: str) -> int:
    return int(people.ask("MATCH (c:Concept) WHERE c.key STARTS WITH $prefix RETURN count(c) AS n", prefix=prefix)[0]["n"])


def both(users: DjangoUsers, people: People) -> tuple[Any, Any]:
    """Return what both sides hold, in one form."""
    concepts = {key: row["title"] for key, row in users.call("dump", entity="concept").items()}
    ties = {key: (row["concept"], row["needs"]) for key, row in users.call("dump", entity="requirement").items()}
    there = {row["key"]: row["title"] for row in people.ask("MATCH (c:Concept) RETURN c.key AS key, c.title AS title")}
    rows = people.ask("MATCH (a:Concept)-[r:REQUIRES]->(b:Concept) RETURN r.key AS key, a.key AS a, b.key AS b")
    return (concepts, ties), (there, {row["key"]: (row["a"], row["b"]) for row in rows})


@pytest.mark.parametrize("who", ["graph", "backend"])
def test_a_side_that_is_killed_in_the_middle_of_a_run_is_brought_up_to_date_by_the_next(
    stack: Stack, users: DjangoUsers, people: People, who: str
) -> None:
    write(users, who)
    side: Any = stack.arcade if who == "graph" else stack.backend
    answers: list[requests.Response] = []
    running = threading.Thread(target=lambda: answers.append(call(stack, "reconcile", mode="full", batch_size=5)))
    running.start()
    wait_until(lambda: count(people, who) > 0, "the run to get going", 60)
    side.kill()
    running.join()
    side.start()
    assert answers[0].status_code == 500, "the run was over before anybody was killed"
    assert "no answer" in answers[0].text
    for function, body in (("reconcile", {"mode": "full"}), ("bidirectional_sync", {})):
        answer = call(stack, function, **body)
        assert answer.status_code == 200, answer.text
    mine, theirs = both(users, people)
    assert mine == theirs
    assert len(mine[0]) >= CONCEPTS
    again = call(stack).json()["result"]["pairs"][PAIR]
    assert sum(tally["read"] for tally in again["directions"].values()) == 0


def test_wrong_credentials_are_told_in_the_answer_with_their_cure(stack: Stack, tmp_path: Path) -> None:
    bad = stack.folder / "bad.yaml"
    bad.write_text((stack.folder / "sync.yaml").read_text().replace("secret:neo4j-password", "secret:log-key"))
    from local.ports import free_port
    from local.web import answers

    port = free_port()
    with stack.functions_host("wrong", port, SYNC_CONFIG=str(bad)) as host:
        host.wait_ready(lambda: answers(f"http://127.0.0.1:{port}/"))
        headers = {"Authorization": f"Bearer {stack.operator_token}"}
        url = f"http://127.0.0.1:{port}/bidirectional_sync"
        answer = requests.post(url, json={"pair": PAIR}, headers=headers, timeout=120)
    assert answer.status_code == 500
    assert "it refuses the user or the password" in answer.text
    assert "mend `user`, or the secret that `password` names" in answer.text


def test_quick_reconcile_finds_by_digests_what_differs(stack: Stack, users: DjangoUsers, people: People) -> None:
    users.call("save", entity="concept", key="quick", fields={"title": "Quick"})
    assert call(stack).status_code == 200
    people.ask("MATCH (c:Concept {key: 'quick'}) DELETE c")
    found = call(stack, "reconcile", mode="quick").json()["result"]["pairs"][PAIR]["reconciled"]
    assert (found["concept"]["mode"], found["concept"]["different"], found["concept"]["put_back"]) == ("quick", 1, 1)
    assert people.ask("MATCH (c:Concept {key: 'quick'}) RETURN c.title AS title") == [{"title": "Quick"}]
    assert "activity" not in found
