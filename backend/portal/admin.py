"""The pages of the portal, with the sync state of every record."""

from django.contrib import admin
from syncqueue.showing import SyncStateAdmin

from .models import Comment, Issue, Journal, Profile, Review, Submission


class OfJournalAdmin(SyncStateAdmin):
    list_filter = ["tenant"]


@admin.register(Journal)
class JournalAdmin(OfJournalAdmin):
    list_display = ["tenant", "path", "version", "enabled"]


@admin.register(Profile)
class ProfileAdmin(OfJournalAdmin):
    list_display = ["full_name", "tenant", "ojs_id", "email", "disabled"]
    search_fields = ["full_name", "email"]


@admin.register(Issue)
class IssueAdmin(OfJournalAdmin):
    list_display = ["identification", "tenant", "published_on"]


@admin.register(Submission)
class SubmissionAdmin(OfJournalAdmin):
    list_display = ["__str__", "tenant", "ojs_id", "stage", "status", "submitted_at"]
    list_filter = ["tenant", "stage", "status"]


@admin.register(Review)
class ReviewAdmin(OfJournalAdmin):
    list_display = ["__str__", "reviewer_name", "status", "verdict", "completed_on"]


@admin.register(Comment)
class CommentAdmin(OfJournalAdmin):
    list_display = ["discussion", "tenant", "submission_id", "author_name", "written_at", "status"]
