"""What sync.yaml says of OJS journals."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field

from shared.specs.base import SECRET_NAME, Part, PolledSpec


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("no such time zone; it is one such as Europe/Prague")
    return name


class JournalSpec(Part):
    """A journal, under the name that is its tenant."""

    url: str = Field(pattern=r"^https?://.+")
    """All that comes before `/api/v1`."""
    token: str = Field(pattern=SECRET_NAME)
    """The secret with the token of an account that is manager of this journal."""
    context: int = Field(ge=1)
    """Its id in its OJS."""
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """That of the server's clock: OJS names none."""
    every_minutes: float = Field(0, ge=0)
    """It is asked when the pair is synced, but so often at the most; runs that name it are not held up by it."""
    enabled: bool = True
    """While false it is not asked at all, and what waits for it waits."""
    event_key: str | None = Field(None, pattern=SECRET_NAME)
    """The secret with which calls of ojs_event are signed; without one there can be none."""
    timeout_seconds: float = Field(60, gt=0, le=600)
    """So long a call may take."""

    @property
    def zone(self) -> ZoneInfo:
        """The zone itself."""
        return ZoneInfo(self.time_zone)


class OjsSpec(PolledSpec):
    """Journals of OJS, read and written."""

    kind: Literal["ojs"]
    """What it is."""
    journals: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")], JournalSpec] = Field(min_length=1)
    """The journals, by the names of the tenants."""

    tenants_in: ClassVar[str | None] = "journals"

    @property
    def silent(self) -> frozenset[str]:
        """The journals that are switched off."""
        return frozenset(slug for slug, each in self.journals.items() if not each.enabled)

    @property
    def every(self) -> dict[str, timedelta]:
        """How often a journal is asked at the most, where that is said."""
        return {slug: timedelta(minutes=each.every_minutes) for slug, each in self.journals.items() if each.every_minutes}
