"""What sync.yaml says of a graph."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.specs.base import SECRET_NAME, Part

OWN_PROPERTIES = frozenset({"key", "tenant", "_sync", "_hash", "_bucket", "_delete", "_lock"})
"""What the sync keeps in a graph beside the fields."""


class Neo4jSpec(Part):
    """A database of a graph that speaks Bolt."""

    kind: Literal["neo4j"]
    """What it is."""
    uri: str = Field(pattern=r"^(bolt|neo4j)(\+s|\+ssc)?://[^@]+$")
    """Where it is, without user and password."""
    user: str = Field(min_length=1)
    """Who logs in."""
    password: str = Field(pattern=SECRET_NAME)
    """The secret with the password."""
    database: str = Field("neo4j", min_length=1)
    """The database there."""
    back: bool = False
    """Whether what is changed there by hand is carried back, which costs reading all records at every run."""
    timeout_seconds: float = Field(15, gt=0, le=300)
    """So long a call may take."""
    breaker_failures: int = Field(3, ge=1)
    """After so many calls in a row without an answer it is left alone for a while."""
    breaker_seconds: float = Field(300, ge=0)
    """For so long."""
