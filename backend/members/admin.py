"""The pages of the register, with the sync state of every record."""

from django.contrib import admin
from syncqueue.showing import SyncStateAdmin

from .models import Branch, Event, Interest, Member


@admin.register(Member)
class MemberAdmin(SyncStateAdmin):
    list_display = ["name", "national_id", "branch", "active", "paid_until"]
    list_filter = ["active", "branch"]
    search_fields = ["name", "national_id"]
    filter_horizontal = ["interests"]


@admin.register(Branch)
class BranchAdmin(SyncStateAdmin):
    list_display = ["code", "name", "city"]


@admin.register(Interest)
class InterestAdmin(SyncStateAdmin):
    list_display = ["slug", "name"]


@admin.register(Event)
class EventAdmin(SyncStateAdmin):
    list_display = ["code", "tenant", "title", "starts_at"]
    list_filter = ["tenant"]
