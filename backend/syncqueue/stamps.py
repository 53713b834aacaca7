"""Stamps: `2026-11-22T03:10:56.123456Z|django`. Pure. Fixed width, so the order of strings is the order of writes."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

ORIGIN = re.compile(r"[a-z0-9_-]{1,32}", re.ASCII)
_SHAPE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\|[a-z0-9_-]{1,32}", re.ASCII)
_STEP = timedelta(microseconds=1)


def is_stamp(text: object) -> bool:
    """Return whether `text` has the shape of a stamp and names a real date."""
    return isinstance(text, str) and _is_stamp(text)


@lru_cache(4096)  # a page names the same few stamps over and over
def _is_stamp(text: str) -> bool:
    if not _SHAPE.fullmatch(text):
        return False
    try:
        instant(text)
    except ValueError:
        return False
    return True


def instant(stamp: str) -> datetime:
    """Return when the stamp was made. Raise ValueError where that is no real date."""
    return datetime.fromisoformat(stamp[:26]).replace(tzinfo=UTC)


def timestamp(when: datetime) -> str:
    """Return `YYYY-MM-DDTHH:MM:SS.ffffffZ`, UTC."""
    return when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def local_stamp(now: datetime, origin: str, seen: Iterable[str]) -> str:
    """Return the stamp of a local edit: never earlier than `now`, always later than every stamp it was made on."""
    latest = max(seen, default=None)
    when = now if latest is None else max(now, instant(latest) + _STEP)
    return f"{timestamp(when)}|{origin}"
