"""The admin pages of the queue, the tombstones and the tokens."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from . import conflict_admin, overview  # noqa: F401  # they register their pages
from .guarded import HIDDEN, Guarded
from .index import LARGEST_ENTRY
from .looks import as_table, badge, nowrap, since, time
from .models import QueueEntry, RecordIndex, SyncToken, Tombstone
from .nudging import nudge_after_commit

HELD_BACK = "held back in the admin"
TOO_LARGE = "too-large:"
SHOWN = 2


@admin.register(QueueEntry)
class QueueEntryAdmin(Guarded):
    list_display = ["queued", "shown_status", "entity", "shown_key", "action", "names", "tenant"]
    list_filter = ["status", "entity", "action"]
    actions = ["send_again", "hold_back"]
    ordering = ["-id"]
    fields: ClassVar[Any] = ["shown_status", "entity", "tenant", "shown_key", "action", "written", "what"]
    fields += ["queued", "done", "run_id", "attempts", "change_id"]
    readonly_fields: ClassVar[Any] = fields

    @admin.display(description="queued (UTC)", ordering="created_at")
    def queued(self, entry: QueueEntry) -> str:
        return time(entry.created_at)

    @admin.display(description="carried over (UTC)")
    def done(self, entry: QueueEntry) -> str:
        return time(entry.synced_at)

    @admin.display(description="status", ordering="status")
    def shown_status(self, entry: QueueEntry) -> str:
        return badge(entry.status, entry.error)

    @admin.display(description="written (UTC)")
    def written(self, entry: QueueEntry) -> str:
        return format_html("{} by {}", *since(entry.stamp))

    @admin.display(description="fields")
    def names(self, entry: QueueEntry) -> str:
        more = len(entry.fields) - SHOWN
        return nowrap(", ".join(list(entry.fields)[:SHOWN]) + (f" +{more}" if more > 0 else ""))

    @admin.display(description="fields")
    def what(self, entry: Any) -> str:
        rows = [
            (name, value if entry.visible else HIDDEN, *_replaced(entry.base.get(name))) for name, value in entry.fields.items()
        ]
        return as_table(["field", "value", "in place of what was written (UTC)", "by"], rows) if rows else "-"

    def has_label_permission(self, request: HttpRequest) -> bool:
        """Whether the user may give entries another status."""
        return request.user.is_staff and request.user.has_perm("syncqueue.change_queueentry")

    @admin.action(description="Send failed ones again", permissions=["label"])
    def send_again(self, request: HttpRequest, chosen: QuerySet[QueueEntry]) -> None:
        failed = chosen.filter(status=QueueEntry.FAILED)
        sent = self._label(request, failed.exclude(error__startswith=TOO_LARGE), QueueEntry.PENDING, "", "sent again")
        left = failed.count()
        nudge_after_commit(chosen.db)
        more = f" {left} {_are(left)} larger than {LARGEST_ENTRY >> 20} MiB and would fail again." if left else ""
        self.message_user(request, f"{_entries(sent)} will be sent again by the next run.{more}")

    @admin.action(description="Hold pending ones back", permissions=["label"])
    def hold_back(self, request: HttpRequest, chosen: QuerySet[QueueEntry]) -> None:
        held = self._label(request, chosen.filter(status=QueueEntry.PENDING), QueueEntry.FAILED, HELD_BACK, "held back")
        self.message_user(request, f"{_entries(held)} will not be sent; “Send failed ones again” takes that back.")

    def _label(self, request: HttpRequest, chosen: QuerySet[QueueEntry], status: str, error: str, said: str) -> int:
        """Give entries a status that the contract lets them take, and note in the admin's history who did; return how many."""
        entries = list(chosen)
        changed = QueueEntry.objects.filter(pk__in=[each.pk for each in entries]).update(status=status, error=error)
        for entry in entries:
            self.log_change(request, entry, said)
        return changed


@admin.register(Tombstone)
class TombstoneAdmin(Guarded):
    list_display = ["entity", "tenant", "shown_key", "when", "kept"]
    list_filter = ["entity"]
    ordering = ["-deleted"]
    fields: ClassVar[Any] = ["entity", "tenant", "shown_key", "when", "hidden", "updated_at"]
    readonly_fields: ClassVar[Any] = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).exclude(deleted="")

    @admin.display(description="deleted (UTC)", ordering="deleted")
    def when(self, tombstone: RecordIndex) -> str:
        return format_html("{} by {}", *since(tombstone.deleted))

    @admin.display(description="last values kept", boolean=True)
    def kept(self, tombstone: RecordIndex) -> bool:
        return tombstone.values is not None

    @admin.display(description="last values")
    def hidden(self, tombstone: Any) -> str:
        if tombstone.values is None:
            return format_html("<em>{}</em>", "gone: erased, or dropped in time")
        rows = [
            (name, value if tombstone.visible else HIDDEN, *since(tombstone.stamps.get(name)))
            for name, value in tombstone.values.items()
        ]
        return as_table(["field", "value", "written (UTC)", "by"], rows)


@admin.register(SyncToken)
class SyncTokenAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "role", "tenants", "active", "created_at", "last_used_at"]
    list_filter = ["role", "active"]
    readonly_fields: ClassVar[Any] = ["created_at", "last_used_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # `manage.py sync_token` prints a new token once; no page could


def _replaced(base: str | None) -> tuple[Any, str]:
    return since(base) if base else ("nothing", "-")


def _entries(number: int) -> str:
    return f"{number} {'entry' if number == 1 else 'entries'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
