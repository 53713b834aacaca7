"""What sync.yaml says of Bakaláři schools."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from shared.specs.base import SECRET_NAME, Part, PolledSpec


class SchoolSpec(Part):
    """A school, under the name that is its tenant."""

    url: str = Field(pattern=r"^https?://.+")
    """All that comes before `/login`, with the port."""
    accounts: str = Field(pattern=SECRET_NAME)
    """The secret with its accounts: a JSON list of `{"username", "password"}`."""
    public: bool = False
    """Whether its public timetable is read too."""


class BakalariSpec(PolledSpec):
    """Schools that are read, and never written to."""

    kind: Literal["bakalari"]
    """What it is."""
    schools: dict[str, SchoolSpec] = Field(min_length=1)
    """The schools, by the names of the tenants."""
    timeout_seconds: float = Field(30, gt=0, le=300)
    """So long a call may take."""
    full_hours: float = Field(0, ge=0)
    """So often everything is listed anew; 0: each time."""
    most_missing: float = Field(0.2, gt=0, le=1)
    """A list that lacks more than this share of all is believed by nobody."""
    tenants_in: ClassVar[str | None] = "schools"
    takes_changes: ClassVar[bool] = False
