"""When a pair's runs are planned: pure."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim

from shared.config import Schedule


def first_after(moment: datetime, schedule: Schedule) -> datetime:
    """Return the time, in UTC, of the first planned run after a moment."""
    return _planned(moment, schedule, 1)


def second_after(moment: datetime, schedule: Schedule) -> datetime:
    """Return the time, in UTC, of the second planned run after a moment. Not twice a fixed interval: a schedule of working days
    has a weekend in it."""
    return _planned(moment, schedule, 2)


def _planned(moment: datetime, schedule: Schedule, number: int) -> datetime:
    *_, last = islice(CronSim(schedule.cron, moment.astimezone(ZoneInfo(schedule.time_zone))), number)
    return last.astimezone(UTC)
