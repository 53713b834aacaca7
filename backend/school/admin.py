"""The pages of the schools, with the sync state of every record."""

from django.contrib import admin
from syncqueue.showing import SyncStateAdmin

from .models import Class, Enrolment, SchoolUser, Subject


@admin.register(Class)
class ClassAdmin(SyncStateAdmin):
    list_display = ["name", "abbrev", "kind", "tenant", "active"]
    list_filter = ["tenant", "kind", "active"]


@admin.register(Subject)
class SubjectAdmin(SyncStateAdmin):
    list_display = ["name", "abbrev", "tenant", "active"]
    list_filter = ["tenant", "active"]


@admin.register(SchoolUser)
class SchoolUserAdmin(SyncStateAdmin):
    list_display = ["name", "kind", "tenant", "active"]
    list_filter = ["tenant", "kind", "active"]
    search_fields = ["name"]


@admin.register(Enrolment)
class EnrolmentAdmin(SyncStateAdmin):
    list_display = ["user", "school_class", "group", "subject", "role", "year", "active"]
    list_filter = ["tenant", "role", "year", "active"]
