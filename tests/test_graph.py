"""What is particular to a graph: relationships, edits by hand, what stands in the way, and how each wrong setting is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from graphs import People, graph_peer, now
from neo4j import GraphDatabase

from local.arcade import DATABASE, USER, Arcade
from local.ports import HOST, free_port
from shared.digests import HASHES
from shared.errors import TerminalBatch, Transient
from shared.mapping import Entity, Field, Type
from shared.model import Action, Change, Outcome, RecordId, Scope, Stamp, Value, stamp_at
from shared.peers.bolt import Bolt
from shared.peers.graph_values import from_property, to_property
from shared.peers.neo4j import Neo4jPeer

pytestmark = pytest.mark.stack
CONCEPT = Entity("concept", "Concept", (Field("title", Type.TEXT, "title"), Field("tags", Type.LIST, "tags")))
NEEDS = Entity(
    "needs",
    "NEEDS",
    (
        Field("concept", Type.REFERENCE, "concept", to="Concept"),
        Field("other", Type.REFERENCE, "other", to="Concept"),
        Field("weight", Type.NUMBER, "weight"),
    ),
    ends=("concept", "other"),
)
OF_SCHOOLS = Entity("course", "schools/{tenant}/Course", (Field("title", Type.TEXT, "title"),))
SCOPE = Scope("content", ("concept", "needs"))


@pytest.fixture
def people(arcade: Arcade) -> Iterator[People]:
    made = People(arcade)
    made.empty()
    yield made
    made.driver.close()


@pytest.fixture
def peer(arcade: Arcade, people: People) -> Iterator[Neo4jPeer]:
    made = graph_peer(arcade, [CONCEPT, NEEDS, OF_SCHOOLS], pair="content")
    yield made
    made.bolt.close()


def written(minutes: float) -> Stamp:
    return stamp_at(datetime.now(UTC) - timedelta(hours=2) + timedelta(minutes=minutes), "django")


def create(entity: str, key: str, stamp: Stamp, tenant: str | None = None, **fields: Any) -> Change:
    values = {name: Value(value, stamp) for name, value in fields.items()}
    id = f"{entity}:{key}:{stamp}"
    return Change(id, RecordId(entity, key, tenant), Action.CREATE, values, dict.fromkeys(values))


def update(entity: str, key: str, stamp: Stamp, base: Stamp, **fields: Any) -> Change:
    values = {name: Value(value, stamp) for name, value in fields.items()}
    return Change(f"{entity}:{key}:{stamp}", RecordId(entity, key), Action.UPDATE, values, dict.fromkeys(values, base))


def delete(entity: str, key: str, stamp: Stamp, base: Stamp, *names: str) -> Change:
    id = RecordId(entity, key)
    return Change(f"d:{key}:{stamp}", id, Action.DELETE, deleted=stamp, deleted_base=dict.fromkeys(names, base))


def outcomes(peer: Neo4jPeer, *changes: Change) -> list[Outcome]:
    return [result.outcome for result in peer.apply(changes, "run")]


def two_tied(peer: Neo4jPeer) -> Stamp:
    """Make two concepts, one of which needs the other; return when that was written."""
    first = written(1)
    concepts = [create("concept", key, first, title=key.upper(), tags=None) for key in ("a", "b", "c")]
    assert outcomes(peer, *concepts) == [Outcome.APPLIED] * 3
    tie = create("needs", "a-b", first, concept="a", other="b", weight=0.5)
    assert outcomes(peer, tie) == [Outcome.APPLIED]
    return first


def ties(people: People) -> list[tuple[Any, ...]]:
    rows = people.ask("MATCH (a)-[x:NEEDS]->(b) RETURN a.key AS a, b.key AS b, x.key AS key, x.weight AS weight, x.note AS note")
    return [tuple(row.values()) for row in rows]


def test_a_relationship_runs_between_the_nodes_that_its_fields_name(peer: Neo4jPeer, people: People) -> None:
    first = two_tied(peer)
    assert ties(people) == [("a", "b", "a-b", 0.5, None)]
    [found] = peer.read([RecordId("needs", "a-b")])
    assert {name: value.value for name, value in found.version.fields.items()} == {"concept": "a", "other": "b", "weight": 0.5}
    assert {value.stamp for value in found.version.fields.values()} == {first}


def test_a_relationship_with_another_end_moves_and_keeps_what_nobody_syncs(peer: Neo4jPeer, people: People) -> None:
    first = two_tied(peer)
    people.ask("MATCH ()-[x:NEEDS]->() SET x.note = 'mine'")
    assert outcomes(peer, update("needs", "a-b", written(2), first, other="c")) == [Outcome.APPLIED]
    assert ties(people) == [("a", "c", "a-b", 0.5, "mine")]
    assert list(peer.changes(SCOPE)) == []


def test_a_relationship_waits_for_its_nodes_and_holds_up_no_other(peer: Neo4jPeer, people: People) -> None:
    two_tied(peer)
    early = create("needs", "a-z", written(1), concept="a", other="z", weight=1)
    good = create("needs", "b-c", written(1), concept="b", other="c", weight=1)
    first, second = peer.apply([early, good], "run")
    assert (first.outcome, first.problem and first.problem.code) == (Outcome.RETRY, "reference")
    assert first.problem is not None
    assert set(first.problem.fields) == {"other"}
    assert second.outcome is Outcome.APPLIED
    assert outcomes(peer, create("concept", "z", written(1), title="Z", tags=None), early) == [Outcome.APPLIED] * 2


def test_a_relationship_without_an_end_is_refused_by_name(peer: Neo4jPeer) -> None:
    two_tied(peer)
    [result] = peer.apply([create("needs", "a-", written(1), concept="a", other=None, weight=1)], "run")
    assert (result.outcome, result.problem and dict(result.problem.fields)) == (Outcome.INVALID, {"other": "required"})


def test_a_node_goes_only_after_all_that_is_tied_to_it(peer: Neo4jPeer, people: People) -> None:
    first = two_tied(peer)
    gone = delete("concept", "b", written(2), first, "title", "tags")
    [result] = peer.apply([gone], "run")
    assert (result.outcome, result.problem and result.problem.code) == (Outcome.RETRY, "reference")
    assert len(ties(people)) == 1
    assert outcomes(peer, delete("needs", "a-b", written(2), first, "concept", "other", "weight")) == [Outcome.APPLIED]
    assert outcomes(peer, gone) == [Outcome.APPLIED]
    assert people.ask("MATCH (x:Concept) RETURN x.key AS key ORDER BY key") == [{"key": "a"}, {"key": "c"}]


def test_a_relationship_made_by_hand_keeps_its_node(peer: Neo4jPeer, people: People) -> None:
    first = two_tied(peer)
    people.ask("MATCH (a:Concept {key: 'a'}) MATCH (c:Concept {key: 'c'}) CREATE (a)-[:LIKES]->(c)")
    assert outcomes(peer, delete("concept", "c", written(2), first, "title", "tags")) == [Outcome.RETRY]


def test_what_is_made_edited_and_marked_by_hand_is_found_by_looking_through(peer: Neo4jPeer, people: People) -> None:
    two_tied(peer)
    people.ask("MATCH (x:Concept {key: 'a'}) SET x.title = 'by hand', x.tags = ['new']")
    people.ask("MATCH (x:Concept {key: 'c'}) SET x._delete = true")
    people.ask("MATCH (a:Concept {key: 'a'})-[x:NEEDS]->() SET x.weight = 7")
    people.ask("CREATE (:Concept {key: 'd', title: 'D'})")
    people.ask("CREATE (:Concept {title: 'without a key, so no record'})")
    found = {change.record.key: change for page in peer.changes(SCOPE) for change in page.changes}
    assert set(found) == {"a", "c", "a-b", "d"}
    assert {name: value.value for name, value in found["a"].fields.items()} == {"title": "by hand", "tags": ["new"]}
    assert (found["c"].deletes, found["d"].action, found["a-b"].fields["weight"].value) == (True, Action.CREATE, 7)
    assert people.ask("MATCH (x:Concept {key: 'c'}) RETURN x") == []


def test_a_marked_node_that_is_tied_is_not_deleted_yet(peer: Neo4jPeer, people: People) -> None:
    two_tied(peer)
    people.ask("MATCH (x:Concept {key: 'b'}) SET x._delete = true")
    assert list(peer.changes(SCOPE)) == []
    people.ask("MATCH ()-[x:NEEDS]->() SET x._delete = true")
    found = [change for _ in range(2) for page in peer.changes(SCOPE) for change in page.changes]
    assert {(change.record.key, change.deletes) for change in found} == {("a-b", True), ("b", True)}


def test_what_is_only_written_to_carries_nothing_and_keeps_a_hand_made_value_before_it_goes(
    arcade: Arcade, peer: Neo4jPeer, people: People
) -> None:
    first = two_tied(peer)
    one_way = graph_peer(arcade, [CONCEPT, NEEDS], back=False, pair="content")
    people.ask("MATCH (x:Concept {key: 'a'}) SET x.title = 'by hand'")
    [result] = one_way.apply([update("concept", "a", written(5), first, title="Django's")], "run")
    [conflict] = result.conflicts
    assert (result.outcome, conflict.winner) == (Outcome.APPLIED, "incoming")
    assert isinstance(conflict.local, Value)
    assert conflict.local.value == "by hand"
    assert people.ask("MATCH (x:Concept {key: 'a'}) RETURN x.title AS title") == [{"title": "Django's"}]
    assert (list(one_way.changes(SCOPE)), one_way.pending(SCOPE)) == ([], 0)
    one_way.bolt.close()


def test_two_tenants_may_use_one_key(peer: Neo4jPeer, people: People) -> None:
    made = [create("course", "c", written(1), tenant, title=tenant) for tenant in ("north", "south")]
    assert outcomes(peer, *made) == [Outcome.APPLIED] * 2
    scope, peer.at_once = Scope("content", ("course",), page_size=1), 1
    shown = [record for page in peer.records(scope, "course") for record in page]
    assert [(each.id.tenant, each.version.fields["title"].value) for each in shown] == [("north", "north"), ("south", "south")]
    [only] = [record for page in peer.records(Scope("content", ("course",), "south"), "course") for record in page]
    assert only.id == RecordId("course", "c", "south")


def test_two_writers_of_one_new_record_make_one_node(arcade: Arcade, peer: Neo4jPeer, people: People) -> None:
    others = [graph_peer(arcade, [CONCEPT, NEEDS], pair="content") for _ in range(3)]
    every: list[list[Outcome]] = []
    made = [create("concept", f"k{number}", written(1), title="T", tags=None) for number in range(50)]
    threads = [threading.Thread(target=lambda other=other: every.append(outcomes(other, *made))) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sum(outcome is Outcome.APPLIED for outcome in some) for some in every) == [0, 0, 50]
    assert people.ask("MATCH (x:Concept) RETURN count(x) AS n") == [{"n": 50}]
    for other in others:
        other.bolt.close()


def test_what_somebody_makes_while_it_is_carried_is_adopted_and_not_overwritten(peer: Neo4jPeer, people: People) -> None:
    two_tied(peer)
    real, interfered = peer.bolt.write, []

    def write(work: Any) -> Any:
        def with_somebody(ask: Any) -> Any:
            def asked(statement: str, **told: Any) -> Any:
                if "ON CREATE SET" in statement and ":`Concept`" in statement and not interfered:
                    interfered.append(people.ask("CREATE (:Concept {key: 'new', title: 'somebody else'})"))
                return ask(statement, **told)

            return work(asked)

        return real(with_somebody)

    peer.bolt.write = write  # type: ignore[method-assign]
    [result] = peer.apply([create("concept", "new", written(1), title="Django's", tags=None)], "run")
    assert interfered
    assert [conflict.local.value for conflict in result.conflicts if isinstance(conflict.local, Value)] == ["somebody else"]
    assert people.ask("MATCH (x:Concept {key: 'new'}) RETURN x.title AS title") == [{"title": "somebody else"}]


def test_reading_mends_a_hash_that_does_not_fit(peer: Neo4jPeer, people: People) -> None:
    two_tied(peer)
    [before] = [each for each in peer.hashed(SCOPE, "concept", range(4096), range(HASHES)) if each.id.key == "a"]
    people.ask("MATCH (x:Concept {key: 'a'}) SET x._hash = 1")
    peer.read([RecordId("concept", "a")], adopting=False)
    assert people.ask("MATCH (x:Concept {key: 'a'}) RETURN x._hash AS hash") == [{"hash": 1}]
    peer.read([RecordId("concept", "a")])
    assert before in peer.hashed(SCOPE, "concept", range(4096), range(HASHES))
    assert list(peer.changes(SCOPE)) == []


def test_a_server_that_dies_loses_nothing_and_repeats_nothing(people: People) -> None:
    with Arcade() as own:
        peer = graph_peer(own, [CONCEPT, NEEDS], pair="content")
        made = [create("concept", f"k{number:03d}", written(1), title="T", tags=["a"]) for number in range(400)]
        assert set(outcomes(peer, *made[:200])) == {Outcome.APPLIED}
        own.kill()
        with pytest.raises(Transient, match="no answer"):
            peer.apply(made[200:], "run")
        own.start()
        after = outcomes(peer, *made)
        assert (after.count(Outcome.UNCHANGED), after.count(Outcome.APPLIED)) == (200, 200)
        assert list(peer.changes(SCOPE)) == []
        assert peer.count(Scope("content", ("concept",))) == 400
        peer.bolt.close()


def a_bolt(uri: str, password: str, database: str = DATABASE) -> Bolt:
    patience = {"connection_timeout": 1.0, "max_transaction_retry_time": 0.1}
    return Bolt("graph", uri, database, lambda: GraphDatabase.driver(uri, auth=(USER, password), **patience))  # type: ignore[arg-type]


def test_each_wrong_setting_is_told_with_its_cure(arcade: Arcade) -> None:
    nowhere = f"bolt://{HOST}:{free_port()}"
    for bolt, kind, said in (
        (a_bolt(arcade.uri, "not-the-password"), TerminalBatch, "it refuses the user or the password"),
        (a_bolt(arcade.uri, arcade.password, "no-such"), TerminalBatch, "there is no such database on that server; create it"),
        (a_bolt(nowhere, arcade.password), Transient, "no answer (ServiceUnavailable); is the server running"),
        (a_bolt("bolt+bad://x", arcade.password), TerminalBatch, "this address cannot be used"),
    ):
        with pytest.raises(kind) as caught:
            Neo4jPeer("graph", bolt, "content", [CONCEPT], now, lambda seconds: None).read([RecordId("concept", "a")])
        assert said in str(caught.value)
        assert "peer 'graph' at" in str(caught.value)
        assert "password" not in str(caught.value).replace("the password", "").replace("`password`", "")
        bolt.close()


VALUES = {
    "a text that looks like JSON": (Type.TEXT, "[1]"),
    "a whole number": (Type.NUMBER, 3),
    "a decimal": (Type.DECIMAL, "1.50"),
    "a moment": (Type.DATETIME, "2026-11-22T03:10:56.123456Z"),
    "a day": (Type.DATE, "2026-11-22"),
    "a list of texts": (Type.LIST, ["a", "[b]"]),
    "a list of nothing": (Type.LIST, []),
    "a list of several kinds": (Type.LIST, [1, 2.5, "a", None, [True]]),
    "truths and numbers": (Type.LIST, [1, True]),
    "a set": (Type.SET, ["a", "b"]),
    "a map": (Type.MAP, {"a": {"b": [1, None]}}),
    "a text as JSON": (Type.JSON, "text"),
    "false": (Type.BOOLEAN, False),
}


@pytest.mark.parametrize("type, value", VALUES.values(), ids=VALUES)
def test_every_value_comes_back_as_it_was(people: People, type: Type, value: Any) -> None:
    field = Field("value", type, "value")
    people.ask("CREATE (:Thing {value: $value})", value=to_property(field, value))
    [row] = people.driver.execute_query("MATCH (x:Thing) RETURN x.value AS value", database_=DATABASE).records
    assert from_property(field, row["value"]) == value


def test_the_graphs_own_times_are_read(people: People) -> None:
    [row] = people.driver.execute_query(
        "RETURN datetime('2026-01-02T03:04:05.678Z') AS moment, date('2026-01-02') AS day, point({x: 1.0, y: 2.0}) AS point",
        database_=DATABASE,
    ).records
    assert from_property(Field("m", Type.DATETIME, "m"), row["moment"]) == "2026-01-02T03:04:05.678000Z"
    assert from_property(Field("d", Type.DATE, "d"), row["day"]) == "2026-01-02"
