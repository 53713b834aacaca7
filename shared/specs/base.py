"""What sync.yaml says of peers: the kinds that every installation has, and what all polled ones have in common."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

SECRET = "secret:"  # noqa: S105  # how sync.yaml refers to one
SECRET_NAME = r"^secret:[A-Za-z0-9_-]+$"  # noqa: S105


class Part(BaseModel):
    """A part of sync.yaml; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class RestQueueSpec(Part):
    """A backend that offers the REST queue."""

    kind: Literal["rest_queue"]
    """What it is."""
    url: str = Field(pattern=r"^https?://.+")
    """Where the queue is mounted."""
    token: str = Field(pattern=SECRET_NAME)
    """The secret with the token that is presented to it."""
    signing_key: str | None = Field(None, pattern=SECRET_NAME)
    """The secret with the key that calls are signed with; without one they are not signed."""
    timeout_seconds: float = Field(30, gt=0, le=300)
    """So long a call may take."""
    attempts: int = Field(4, ge=1, le=10)
    """So often a call is tried before the run gives up."""
    breaker_failures: int = Field(3, ge=1)
    """After so many calls in a row without an answer, in whatever run, it is left alone for a while."""
    breaker_seconds: float = Field(300, ge=0)
    """For so long."""


class PricesSpec(Part):
    """What 100,000 operations of each kind cost: for the estimates in reports."""

    reads: float = Field(0.06, ge=0)
    """Documents read."""
    writes: float = Field(0.18, ge=0)
    """Documents written."""
    deletes: float = Field(0.02, ge=0)
    """Documents deleted."""
    currency: str = Field("USD", min_length=1)
    """In what."""


class FirestoreSpec(Part):
    """A Firestore database."""

    kind: Literal["firestore"]
    """What it is."""
    project: str = Field(min_length=1)
    """The id of the Google Cloud project."""
    database: str = "(default)"
    """The database in it."""
    prices: PricesSpec = PricesSpec()
    """What it costs there."""


class PolledSpec(Part):
    """A system without a queue, which is asked what is new."""

    full_hours: float = Field(24, ge=0)
    """So often everything is listed anew."""
    missing_polls: int | None = Field(3, ge=1)
    """What so many complete lists in a row lacked is gone: deleted, or at a school set to not `active`. Null: nothing ever is."""

    tenants_in: ClassVar[str | None] = None
    """The setting that tells of each tenant how to ask it; None for a kind without any."""
    takes_changes: ClassVar[bool] = True
    """Whether anything is ever carried to such a system."""

    @property
    def silent(self) -> frozenset[str]:
        """The tenants that are not asked at all for now."""
        return frozenset()

    @property
    def every(self) -> dict[str, timedelta]:
        """How often a tenant is polled at the most by runs that name none, where that is said."""
        return {}
