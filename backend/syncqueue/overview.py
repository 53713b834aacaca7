"""One admin page that says how the sync is doing, as far as this side can tell."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from .conflict_states import undecided
from .looks import BAD, BUSY, GOOD, age, time
from .models import Overview, QueueEntry, RecordIndex, SyncConflict, SyncToken
from .registry import registry

TOO_LONG = 26 * 3600
"""Seconds that an edit may wait, or the sync stay away: a nightly run and a little more."""


class Line(NamedTuple):
    """What there is of one entity."""

    entity: str
    pending: int
    oldest: str
    failed: int
    undecided: int
    tombstones: int


@admin.register(Overview)
class OverviewAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Not a list of anything: its changelist is the overview."""

    class Media:
        css = {"all": ["syncqueue/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may see the queue: the overview counts what is in it."""
        return request.user.has_perm("syncqueue.view_queueentry") or request.user.has_perm("syncqueue.change_queueentry")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = datetime.now(UTC)
        tokens = list(SyncToken.objects.filter(active=True).order_by("-last_used_at", "name"))
        context = {
            **self.admin_site.each_context(request),
            "title": "Overview of the sync",
            "opts": self.model._meta,
            "media": self.media,
            "lines": lines(now),
            "findings": findings(now, tokens),
            "tokens": [(token.name, token.role, _ago(now, token.last_used_at), time(token.last_used_at)) for token in tokens],
            "last_run": QueueEntry.objects.filter(status=QueueEntry.SYNCED).order_by("-synced_at").first(),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/syncqueue/overview/change_list.html", context)


def lines(now: datetime) -> list[Line]:
    """Return a line for each entity that is synced, in the order in which they are declared."""
    counted = {name: _counts(name) for name in (QueueEntry.PENDING, QueueEntry.FAILED)}
    oldest = dict(QueueEntry.objects.filter(status=QueueEntry.PENDING).values_list("entity").annotate(Min("created_at")))
    gone = dict(RecordIndex.objects.exclude(deleted="").order_by().values_list("entity").annotate(Count("pk")))
    open_: dict[str, int] = {}
    for conflict in undecided(SyncConflict.objects.all()):
        open_[conflict.entity] = open_.get(conflict.entity, 0) + 1
    return [
        Line(
            name,
            counted[QueueEntry.PENDING].get(name, 0),
            age((now - oldest[name]).total_seconds()) if name in oldest else "-",
            counted[QueueEntry.FAILED].get(name, 0),
            open_.get(name, 0),
            gone.get(name, 0),
        )
        for name in registry().entities
    ]


def findings(now: datetime, tokens: list[SyncToken]) -> list[tuple[str, str]]:
    """Return what there is to say in plain words, each with how good that is."""
    waiting = QueueEntry.objects.filter(status=QueueEntry.PENDING).aggregate(number=Count("pk"), oldest=Min("created_at"))
    failed = QueueEntry.objects.filter(status=QueueEntry.FAILED).count()
    open_ = sum(1 for _ in undecided(SyncConflict.objects.all()))
    found = [_of_contact(now, max((each.last_used_at for each in tokens if each.last_used_at), default=None))]
    if waiting["number"]:
        seconds = (now - waiting["oldest"]).total_seconds()
        said = f"Waiting to be carried over: {waiting['number']}, the oldest for {age(seconds)}."
        found.append((BAD if seconds > TOO_LONG else BUSY, said))
    else:
        found.append((GOOD, "Everything that was written here is carried over."))
    if failed:
        found.append(
            (BAD, f"Refused by the other side, or held back: {failed}. Look at each, mend the cause, and send it again.")
        )
    if open_:
        found.append((BAD, f"Conflicts that wait for somebody to decide: {open_}."))
    return found


def _of_contact(now: datetime, last: datetime | None) -> tuple[str, str]:
    if last is None:
        return BAD, "The sync has never called: is its token known here, and this address there?"
    seconds = (now - last).total_seconds()
    return BAD if seconds > TOO_LONG else GOOD, f"The sync last called {age(seconds)} ago."


def _counts(status: str) -> dict[str, int]:
    return dict(QueueEntry.objects.filter(status=status).order_by().values_list("entity").annotate(Count("pk")))


def _ago(now: datetime, when: datetime | None) -> str:
    return f"{age((now - when).total_seconds())} ago" if when else "never"
