"""What sync.yaml says of Bakaláři schools."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from shared.specs.base import SECRET_NAME, Part, PolledSpec


class SchoolSpec(Part):
    """A school: its address, which is what comes before `/login`, and the secret with its accounts, a JSON list of
    `{"username", "password"}`. With `public` its public timetable is read too."""

    url: str = Field(pattern=r"^https?://.+")
    accounts: str = Field(pattern=SECRET_NAME)
    public: bool = False


class BakalariSpec(PolledSpec):
    """Schools that are read. Who is missing from `missing_polls` complete lists in a row is set to not `active`, unless more
    than this share of all (`most_missing`) is."""

    kind: Literal["bakalari"]
    schools: dict[str, SchoolSpec] = Field(min_length=1)
    timeout_seconds: float = Field(30, gt=0, le=300)
    full_hours: float = Field(0, ge=0)
    most_missing: float = Field(0.2, gt=0, le=1)
    tenants_in: ClassVar[str | None] = "schools"
    takes_changes: ClassVar[bool] = False
