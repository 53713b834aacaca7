"""The admin pages of the queue, the conflicts, the tombstones and the tokens. Only here are keys shown."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from .models import QueueEntry, RecordIndex, SyncConflict, SyncToken, Tombstone
from .showing import as_table, badge, nowrap

CANCELLED = "cancelled in the admin"
SHOWN = 2


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """Pages that only show: the queue is a record of what happened."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(QueueEntry)
class QueueEntryAdmin(ReadOnly):
    list_display = ["queued", "entity", "tenant", "key", "action", "shown_status", "names"]
    list_filter = ["status", "entity", "action"]
    search_fields = ["=key"]
    search_help_text = "the whole key"
    actions = ["retry", "cancel"]
    ordering = ["-id"]
    list_per_page = 50
    show_full_result_count = False
    fields: ClassVar[Any] = ["change_id", "entity", "tenant", "key", "action", "shown_status", "stamp", "what", "deleted"]
    fields += ["created_at", "synced_at", "run_id", "attempts", "error"]
    readonly_fields: ClassVar[Any] = fields

    @admin.display(description="queued (UTC)", ordering="created_at")
    def queued(self, entry: QueueEntry) -> str:
        return nowrap(f"{entry.created_at:%Y-%m-%d %H:%M:%S}")

    @admin.display(description="status", ordering="status")
    def shown_status(self, entry: QueueEntry) -> str:
        return badge(entry.status, entry.error)

    @admin.display(description="fields")
    def names(self, entry: QueueEntry) -> str:
        more = len(entry.fields) - SHOWN
        return nowrap(", ".join(list(entry.fields)[:SHOWN]) + (f" +{more}" if more > 0 else ""))

    @admin.display(description="fields")
    def what(self, entry: QueueEntry) -> str:
        return as_table(
            ["field", "value", "replaces"], [(name, value, entry.base.get(name)) for name, value in entry.fields.items()]
        )

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.is_staff and request.user.has_perm("syncqueue.change_queueentry")

    @admin.action(description="Retry: failed entries go back to pending", permissions=["retry"])
    def retry(self, request: HttpRequest, chosen: QuerySet[QueueEntry]) -> None:
        count = chosen.filter(status=QueueEntry.FAILED).update(status=QueueEntry.PENDING, error="")
        self.message_user(request, f"{count} entries are pending again.")

    @admin.action(description="Cancel: pending entries are not carried over", permissions=["retry"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[QueueEntry]) -> None:
        count = chosen.filter(status=QueueEntry.PENDING).update(status=QueueEntry.FAILED, error=CANCELLED)
        self.message_user(request, f"{count} entries are cancelled; retry brings them back.")


@admin.register(SyncConflict)
class SyncConflictAdmin(ReadOnly):
    list_display = ["found", "entity", "tenant", "key", "field", "winner", "acknowledged"]
    list_filter = ["winner", "entity", "field", ("acknowledged_at", admin.EmptyFieldListFilter)]
    search_fields = ["=key"]
    search_help_text = "the whole key"
    ordering = ["-created_at"]
    fields: ClassVar[Any] = [
        "conflict_id",
        "entity",
        "tenant",
        "key",
        "field",
        "winner",
        "sides",
        "run_id",
        "created_at",
        "acknowledged_at",
    ]
    readonly_fields: ClassVar[Any] = fields

    @admin.display(description="stored at the other end", boolean=True)
    def acknowledged(self, conflict: SyncConflict) -> bool:
        return conflict.acknowledged_at is not None

    @admin.display(description="found (UTC)", ordering="created_at")
    def found(self, conflict: SyncConflict) -> str:
        return nowrap(f"{conflict.created_at:%Y-%m-%d %H:%M:%S}")

    @admin.display(description="the two writes")
    def sides(self, conflict: SyncConflict) -> str:
        sides = {"local": conflict.local, "incoming": conflict.incoming}
        return as_table(
            ["side", "value", "stamp"], [(name, side.get("value", "deleted"), side["stamp"]) for name, side in sides.items()]
        )


@admin.register(Tombstone)
class TombstoneAdmin(ReadOnly):
    list_display = ["entity", "tenant", "key", "deleted", "kept"]
    list_filter = ["entity"]
    search_fields = ["=key"]
    search_help_text = "the whole key"
    ordering = ["-deleted"]
    fields: ClassVar[Any] = ["entity", "tenant", "key", "deleted", "hidden", "updated_at"]
    readonly_fields: ClassVar[Any] = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).exclude(deleted="")

    @admin.display(description="last values", boolean=True)
    def kept(self, tombstone: RecordIndex) -> bool:
        return tombstone.values is not None

    @admin.display(description="last values")
    def hidden(self, tombstone: RecordIndex) -> str:
        if tombstone.values is None:
            return format_html("<em>gone</em>")
        rows = [(name, value, tombstone.stamps.get(name)) for name, value in tombstone.values.items()]
        return as_table(["field", "value", "stamp"], rows)


@admin.register(SyncToken)
class SyncTokenAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "role", "tenants", "active", "created_at", "last_used_at"]
    list_filter = ["role", "active"]
    readonly_fields = ["created_at", "last_used_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # `manage.py sync_token` prints a new token once; no page could
