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
    """A journal: `url` is all that comes before /api/v1, `context` its id in its OJS, `time_zone` that of the server's clock.

    It is asked when the pair is synced, but `every_minutes` at the most; not at all while it is not `enabled`. `event_key` names
    the secret with which calls of ojs_event are signed.
    """

    url: str = Field(pattern=r"^https?://.+")
    token: str = Field(pattern=SECRET_NAME)
    context: int = Field(ge=1)
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    every_minutes: float = Field(0, ge=0)
    enabled: bool = True
    event_key: str | None = Field(None, pattern=SECRET_NAME)
    timeout_seconds: float = Field(60, gt=0, le=600)

    @property
    def zone(self) -> ZoneInfo:
        """The zone itself."""
        return ZoneInfo(self.time_zone)


class OjsSpec(PolledSpec):
    """Journals by their short names, which are the tenants."""

    kind: Literal["ojs"]
    journals: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")], JournalSpec] = Field(min_length=1)

    tenants_in: ClassVar[str | None] = "journals"

    @property
    def silent(self) -> frozenset[str]:
        """The journals that are switched off."""
        return frozenset(slug for slug, each in self.journals.items() if not each.enabled)

    @property
    def every(self) -> dict[str, timedelta]:
        """How often a journal is asked at the most, where that is said."""
        return {slug: timedelta(minutes=each.every_minutes) for slug, each in self.journals.items() if each.every_minutes}
