"""A graph and its own users, for tests: ArcadeDB over Bolt."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from stands import BRANCH, Plain

from local.arcade import DATABASE, Arcade
from shared.mapping import Entity
from shared.model import RecordId
from shared.peers.bolt import Bolt
from shared.peers.neo4j import Neo4jPeer


def now() -> datetime:
    return datetime.now(UTC)


def graph_peer(arcade: Arcade, entities: Sequence[Entity], back: bool = True, pair: str = "branches") -> Neo4jPeer:
    """Return a peer over a connection of its own."""
    bolt = Bolt("graph", arcade.uri, DATABASE, arcade.driver)
    return Neo4jPeer("graph", bolt, pair, entities, now, time.sleep, back)


class People:
    """Those who work in the graph by hand, with the plain driver."""

    def __init__(self, arcade: Arcade) -> None:
        self.driver = arcade.driver()

    def ask(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        found = self.driver.execute_query(cast(Any, statement), parameters, database_=DATABASE).records
        return [row.data() for row in found]

    def empty(self) -> None:
        """Delete everything, relationships first, some at a time."""
        for what, named in (("MATCH ()-[x]->()", "x"), ("MATCH (x)", "x")):
            while self.ask(f"{what} WITH {named} LIMIT 1000 DELETE {named} RETURN count(*) AS n")[0]["n"]:
                pass


class GraphStand(Plain):
    """Its users write into the graph by hand; the queue hears of it when the record is read."""

    unacceptable = 5

    def __init__(self, request: pytest.FixtureRequest) -> None:
        super().__init__(request)
        arcade = request.getfixturevalue("arcade")
        self.people = People(arcade)
        self.people.empty()
        self.peer = graph_peer(arcade, [BRANCH])

    def __exit__(self, *_: object) -> None:
        self.people.driver.close()
        self.peer.bolt.close()

    def save(self, key: str, **fields: object) -> None:
        self.save_unseen(key, **fields)
        self.peer.read([RecordId("branch", key)])

    def save_unseen(self, key: str, **fields: object) -> None:
        self.people.ask("MERGE (b:branches {key: $key}) SET b += $fields", key=key, fields=fields)

    def delete(self, key: str) -> None:
        self.people.ask("MATCH (b:branches {key: $key}) SET b._delete = true", key=key)
        self.peer.read([RecordId("branch", key)])
