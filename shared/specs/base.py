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
    """A backend that offers the REST queue. `token` and `signing_key` name secrets, `attempts` counts those of one call;
    `breaker_failures` calls in a row that had none leave it alone for `breaker_seconds`."""

    kind: Literal["rest_queue"]
    url: str = Field(pattern=r"^https?://.+")
    token: str = Field(pattern=SECRET_NAME)
    signing_key: str | None = Field(None, pattern=SECRET_NAME)
    timeout_seconds: float = Field(30, gt=0, le=300)
    attempts: int = Field(4, ge=1, le=10)
    breaker_failures: int = Field(3, ge=1)
    breaker_seconds: float = Field(300, ge=0)


class PricesSpec(Part):
    """What 100,000 operations of each kind cost: for the estimates in reports."""

    reads: float = Field(0.06, ge=0)
    writes: float = Field(0.18, ge=0)
    deletes: float = Field(0.02, ge=0)
    currency: str = Field("USD", min_length=1)


class FirestoreSpec(Part):
    """A Firestore database."""

    kind: Literal["firestore"]
    project: str = Field(min_length=1)
    database: str = "(default)"
    prices: PricesSpec = PricesSpec()


class PolledSpec(Part):
    """A system without a queue. Everything is listed anew every `full_hours`; what so many complete lists in a row lacked
    (`missing_polls`) is taken for deleted, if that is set."""

    full_hours: float = Field(24, ge=0)
    missing_polls: int | None = Field(3, ge=1)

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
