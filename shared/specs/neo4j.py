"""What sync.yaml says of a graph."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.specs.base import SECRET_NAME, Part

OWN_PROPERTIES = frozenset({"key", "tenant", "_sync", "_hash", "_bucket", "_delete", "_lock"})
"""What the sync keeps in a graph beside the fields."""


class Neo4jSpec(Part):
    """A database of a graph that speaks Bolt. `back` carries also what is changed there by hand, which costs reading all records
    at every run; without, it is only written to."""

    kind: Literal["neo4j"]
    uri: str = Field(pattern=r"^(bolt|neo4j)(\+s|\+ssc)?://[^@]+$")
    user: str = Field(min_length=1)
    password: str = Field(pattern=SECRET_NAME)
    database: str = Field("neo4j", min_length=1)
    back: bool = False
    timeout_seconds: float = Field(15, gt=0, le=300)
    breaker_failures: int = Field(3, ge=1)
    breaker_seconds: float = Field(300, ge=0)
