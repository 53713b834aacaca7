"""A mixin that shows the sync state of its records on the admin page of any synced model."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.db import models, router
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .conflict_states import undecided
from .edits import one_edit
from .index import read_index
from .looks import as_table, badge, since, time
from .models import QueueEntry, SyncConflict
from .registry import Entity, touches
from .rows import place_of

LATEST = 10


class SyncStateAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Mixin for the admin page of a synced model: shows each record's sync state, and makes one save one edit."""

    class Media:
        css: ClassVar[Any] = {"all": ["syncqueue/admin.css"]}

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
        about = {"entity": entity.name, "tenant": tenant, "key": key}
        entries = QueueEntry.objects.filter(**about)
        index = read_index(entity.name, router.db_for_read(entity.model), [(tenant, key)]).get((tenant, key))
        stamps = index.stamps if index is not None else {}
        fields = _fields(entity, stamps, _states(entries, stamps) | _conflicts(about))
        return format_html('<div class="sync-blocks">{}{}</div>', fields, _latest(entries))


def _states(entries: models.QuerySet[QueueEntry], stamps: Mapping[str, str]) -> dict[str, SafeString]:
    """Return the fields whose value the other side does not have yet, with the reason; an entry that was overtaken is none."""
    states: dict[str, SafeString] = {}
    for entry in entries.filter(status__in=[QueueEntry.FAILED, QueueEntry.PENDING]):
        shown = badge("refused", entry.error) if entry.status == QueueEntry.FAILED else badge("pending")
        states |= {name: shown for name in entry.fields if stamps.get(name) == entry.stamp}
    return states


def _conflicts(about: Mapping[str, str]) -> dict[str, SafeString]:
    """Return the fields over which two writes wait for a decision, with a link to it."""
    found = {}
    for conflict in undecided(SyncConflict.objects.filter(**about)):
        page = reverse("admin:syncqueue_syncconflict_change", args=[conflict.pk])
        found[conflict.field] = format_html('{} <a href="{}">decide</a>', badge("in conflict"), page)
    return found


def _fields(entity: Entity, stamps: Mapping[str, str], states: Mapping[str, SafeString]) -> SafeString:
    if not stamps:
        return format_html("<em>{}</em>", "not adopted yet: from before the app, until the next write, read or sync_scan")
    rows = [(name, *since(stamps.get(name)), states.get(name, badge("in step"))) for name in entity.names]
    return as_table(["field", "written (UTC)", "by", "state"], rows)


def _latest(entries: models.QuerySet[QueueEntry]) -> SafeString:
    """Return the record's last queue entries; each leads to its page."""
    rows = [
        (_link(each), each.action, ", ".join(each.fields), badge(each.status, each.error))
        for each in entries.order_by("-id")[:LATEST]
    ]
    if not rows:
        return format_html("<div>{}</div>", "no queue entries: nothing was written here since the last clean-up")
    return as_table(["queued (UTC)", "action", "fields", "status"], rows)


def _link(entry: QueueEntry) -> SafeString:
    page = reverse("admin:syncqueue_queueentry_change", args=[entry.pk])
    return format_html('<a href="{}">{}</a>', page, time(entry.created_at))
