"""How sync state looks on admin pages, and a mixin that shows it on the pages of any synced model."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import admin
from django.db import models, router
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from .edits import one_edit
from .index import read_index
from .models import QueueEntry
from .registry import Entity, touches
from .rows import place_of

_COLOURS = {"pending": "#c77700", "failed": "#ba2121", "synced": "#2e7d32", "in step": "#2e7d32", "superseded": "#777"}
_CELL = 'style="padding:4px 16px 4px 0;vertical-align:top;max-width:32em;overflow-wrap:anywhere"'
LATEST = 5


def badge(status: str, error: str = "") -> SafeString:
    """Return a status with a dot in its colour, and what went wrong below it."""
    dot = format_html(
        '<span style="white-space:nowrap"><span style="color:{}">●</span> {}</span>', _COLOURS.get(status, "#777"), status
    )
    return format_html('{}<div style="max-width:16em;font-size:.85em;color:#777">{}</div>', dot, error) if error else dot


def nowrap(text: str) -> SafeString:
    """Return a text that stays on one line."""
    return format_html('<span style="white-space:nowrap">{}</span>', text)


def as_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> SafeString:
    """Return a small table; values are shown as JSON, what is safe already as it is."""
    titles = format_html_join("", "<th " + _CELL + ">{}</th>", ((title,) for title in head))
    body = format_html_join("", "<tr>{}</tr>", ((_cells(row),) for row in rows))
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", titles, body)


def _cells(row: Sequence[Any]) -> SafeString:
    return format_html_join("", "<td " + _CELL + ">{}</td>", ((_shown(value),) for value in row))


def _shown(value: Any) -> Any:
    if value is None or value == "":
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class SyncStateAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Mixin for the admin page of a synced model: shows each record's sync state, and makes one save one edit."""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*super().get_readonly_fields(request, obj), "sync_state"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sets = [
            (name, {**options, "fields": [f for f in options["fields"] if f != "sync_state"]})
            for name, options in super().get_fieldsets(request, obj)
        ]
        return [*sets, ("Sync", {"fields": ["sync_state"]})] if obj is not None else sets

    def changeform_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        if request.method != "POST":
            return super().changeform_view(request, *args, **options)
        with one_edit(router.db_for_write(self.model)):  # the row and its links are saved apart, and are one edit
            return super().changeform_view(request, *args, **options)

    @admin.display(description="state")
    def sync_state(self, record: models.Model) -> str:
        entity = touches(type(record))[0].entity
        tenant, key = place_of(entity, record)
        entries = QueueEntry.objects.filter(entity=entity.name, tenant=tenant, key=key)
        waiting = {
            name for fields in entries.filter(status=QueueEntry.PENDING).values_list("fields", flat=True) for name in fields
        }
        rows = [
            (e.created_at.strftime("%Y-%m-%d %H:%M:%S"), e.action, ", ".join(e.fields), badge(e.status))
            for e in entries.order_by("-id")[:LATEST]
        ]
        latest = as_table(["queued (UTC)", "action", "fields", "status"], rows) if rows else "no queue entries"
        return format_html('<div style="display:grid;gap:16px">{}{}</div>', _fields(entity, (tenant, key), waiting), latest)


def _fields(entity: Entity, place: tuple[str, str], waiting: set[str]) -> SafeString:
    index = read_index(entity.name, router.db_for_read(entity.model), [place]).get(place)
    if index is None or not index.stamps:
        return format_html("<em>not adopted yet: from before the app, until the next write, read or sync_scan</em>")
    rows = [(name, index.stamps.get(name), badge("pending" if name in waiting else "in step")) for name in entity.names]
    return as_table(["field", "stamp", "state"], rows)
