"""The pages of the content, with the sync state of every record."""

from django.contrib import admin
from syncqueue.showing import SyncStateAdmin

from .models import Concept, Learner, LearningPath, Progress, Requirement, Step


@admin.register(Concept, LearningPath)
class NamedAdmin(SyncStateAdmin):
    list_display = ["slug", "title"]
    search_fields = ["slug", "title"]


@admin.register(Learner)
class LearnerAdmin(SyncStateAdmin):
    list_display = ["code", "name", "joined_on"]


@admin.register(Requirement)
class RequirementAdmin(SyncStateAdmin):
    list_display = ["code", "concept", "needs", "weight"]


@admin.register(Step)
class StepAdmin(SyncStateAdmin):
    list_display = ["code", "path", "concept", "position"]


@admin.register(Progress)
class ProgressAdmin(SyncStateAdmin):
    list_display = ["code", "learner", "concept", "score"]
