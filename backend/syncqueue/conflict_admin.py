"""The admin pages of the conflicts: both writes side by side, what became of them, and a button to keep either."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import router
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse

from . import functions
from .conflict_states import state_of, with_index
from .deciding import Impossible, keep, why_not
from .guarded import Guarded
from .looks import badge, shown, since, time
from .models import SyncConflict
from .registry import registry
from .seeing import may_change

SIDES = {"local": "This side", "incoming": "The other side"}


class WinnerFilter(admin.SimpleListFilter):
    """Which write stood when the two met."""

    title, parameter_name = "which write stood then", "winner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("local", "this side's"), ("incoming", "the other side's"), ("none", "neither: somebody decides")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(winner=self.value()) if self.value() else queryset


@admin.register(SyncConflict)
class SyncConflictAdmin(Guarded):
    list_display = ["found", "state", "entity", "field", "shown_key", "tenant"]
    list_filter = [WinnerFilter, "entity", "field"]
    ordering = ["-created_at"]
    fields: ClassVar[Any] = ["state", "entity", "tenant", "shown_key", "field", "found", "acknowledged", "run_id", "conflict_id"]
    readonly_fields: ClassVar[Any] = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_index(super().get_queryset(request))

    @admin.display(description="stored at the other end", boolean=True)
    def acknowledged(self, conflict: SyncConflict) -> bool:
        return conflict.acknowledged_at is not None

    @admin.display(description="found (UTC)", ordering="created_at")
    def found(self, conflict: SyncConflict) -> str:
        return time(conflict.created_at)

    @admin.display(description="what became of it")
    def state(self, conflict: SyncConflict) -> str:
        return badge(state_of(conflict))

    def get_urls(self) -> list[Any]:
        own = path("<path:object_id>/keep/", self.admin_site.admin_view(self.keep), name="syncqueue_syncconflict_keep")
        return [own, *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> HttpResponse:
        conflict = options.get("obj")
        if conflict is not None:
            context["sync_sides"] = [self._side(request, conflict, name) for name in SIDES]
        return super().render_change_form(request, context, *args, **options)

    def keep(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Keep one side of a conflict, as its button asks for."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        conflict = get_object_or_404(self.get_queryset(request), pk=object_id)
        side = request.POST.get("side")
        if side not in SIDES or not self.has_view_permission(request, conflict) or not self._may_decide(request, conflict):
            raise PermissionDenied
        try:
            said = keep(conflict, getattr(conflict, side), request.user.get_username(), router.db_for_write(SyncConflict))
        except (Impossible, functions.Failed) as error:
            self.message_user(request, f"Nothing was decided: {error}.", messages.ERROR)
        else:
            self.log_change(request, conflict, f"kept the write of {getattr(conflict, side)['stamp']}")
            self.message_user(request, said, messages.SUCCESS)
        return redirect(reverse("admin:syncqueue_syncconflict_change", args=[conflict.pk], current_app=self.admin_site.name))

    def _side(self, request: HttpRequest, conflict: Any, name: str) -> dict[str, Any]:
        """Return what the page shows of one of the two writes."""
        side = getattr(conflict, name)
        when, origin = since(side["stamp"])
        now = conflict.now_deleted or (conflict.now_stamps or {}).get(conflict.field)
        reason = why_not(conflict, side) if self._may_decide(request, conflict) else "you may not change these records"
        value = shown(side["value"]) if "value" in side else "deleted"
        told = {"name": name, "title": SIDES[name], "when": when, "origin": origin, "stands": now == side["stamp"]}
        return told | {"visible": conflict.visible, "value": value, "reason": reason}

    def _may_decide(self, request: HttpRequest, conflict: SyncConflict) -> bool:
        entity = registry().entities.get(conflict.entity)
        return entity is not None and may_change(request, self.admin_site, entity)
