"""How sync state looks on admin pages: statuses, times and small tables, styled by static/syncqueue/admin.css."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from .stamps import instant

GOOD, BAD, BUSY = "good", "bad", "busy"
_KINDS = {"pending": BUSY, "failed": BAD, "synced": GOOD, "in step": GOOD, "in conflict": BAD, "undecided": BAD, "refused": BAD}


def badge(status: str, below: str = "") -> SafeString:
    """Return a status with a dot in its colour, and what there is to say of it below."""
    kind = _KINDS.get(status, "quiet")
    dot = format_html('<span class="sync-status sync-{}"><span aria-hidden="true">●</span> {}</span>', kind, status)
    return format_html('{}<div class="sync-note">{}</div>', dot, below) if below else dot


def nowrap(text: str) -> SafeString:
    """Return a text that stays on one line."""
    return format_html('<span class="sync-line">{}</span>', text)


def time(when: datetime | None) -> SafeString | str:
    """Return a time in UTC to the second."""
    return nowrap(f"{when:%Y-%m-%d %H:%M:%S}") if when else "-"


def since(stamp: str | None) -> tuple[SafeString | str, str]:
    """Return when and by which side a value was written; the whole stamp shows when pointed at."""
    if not stamp:
        return "-", "-"
    when = f"{instant(stamp):%Y-%m-%d %H:%M:%S}"
    return format_html('<span class="sync-line" title="{}">{}</span>', stamp, when), stamp.partition("|")[2]


def age(seconds: float) -> str:
    """Return a span of time in words, in its largest unit."""
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= unit:
            number = int(seconds // unit)
            return f"{number} {name}{'' if number == 1 else 's'}"
    return "a moment"


def shown(value: Any) -> Any:
    """Return a value as people read it: a text as it is, the rest as JSON."""
    if value is None or value == "":
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> SafeString:
    """Return a small table; what is safe already is shown as it is."""
    titles = format_html_join("", '<th scope="col">{}</th>', ((title,) for title in head))
    body = format_html_join("", "<tr>{}</tr>", ((_cells(row),) for row in rows))
    return format_html('<table class="sync-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', titles, body)


def _cells(row: Sequence[Any]) -> SafeString:
    return format_html_join("", "<td>{}</td>", ((shown(value),) for value in row))
