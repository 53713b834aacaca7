"""Journals and what goes on in them, as OJS has it. `tenant` is the journal's short name: nothing of one ever meets another's.

`key` names a record for life; `ojs_id` is its number in that journal's OJS, and empty until it is there. Other journals have
the same numbers for other records.
"""

import uuid
from typing import Any

from django.db import models


def new_key() -> str:
    """Return a key for what is made here; OJS's own numbers are never like it."""
    return f"portal-{uuid.uuid4().hex}"


class OfJournal(models.Model):
    """Something of one journal."""

    tenant = models.SlugField(max_length=40)
    key = models.CharField(max_length=100, default=new_key)
    ojs_id = models.IntegerField(null=True, blank=True)

    class Meta:
        abstract = True


def _once(name: str) -> list[models.BaseConstraint]:
    return [models.UniqueConstraint(fields=["tenant", "key"], name=f"one_{name}_a_key")]


class Journal(OfJournal):
    """A journal's settings in OJS; there is one for each tenant."""

    version = models.CharField(max_length=20, null=True, blank=True)
    path = models.CharField(max_length=100, null=True, blank=True)
    name = models.JSONField(null=True, blank=True)
    acronym = models.JSONField(null=True, blank=True)
    contact_email = models.CharField(max_length=254, null=True, blank=True)
    primary_locale = models.CharField(max_length=20, null=True, blank=True)
    locales = models.JSONField(null=True, blank=True)
    license_url = models.CharField(max_length=500, null=True, blank=True)
    enabled = models.BooleanField(null=True, blank=True)

    class Meta:
        ordering = ["tenant"]
        constraints = _once("journal")

    def __str__(self) -> str:
        return self.tenant


class Profile(OfJournal):
    """A person as one journal knows them. A person known to several has the same key in each, and an OJS id per journal."""

    user_name = models.CharField(max_length=100, null=True, blank=True)
    email = models.CharField(max_length=254, null=True, blank=True)
    full_name = models.CharField(max_length=500, null=True, blank=True)
    given_name = models.JSONField(null=True, blank=True)
    family_name = models.JSONField(null=True, blank=True)
    affiliation = models.JSONField(null=True, blank=True)
    orcid = models.CharField(max_length=100, null=True, blank=True)
    roles = models.JSONField(null=True, blank=True)
    interests = models.JSONField(null=True, blank=True)
    disabled = models.BooleanField(null=True, blank=True)

    class Meta:
        ordering = ["full_name", "tenant"]
        constraints = _once("profile")

    def __str__(self) -> str:
        return self.full_name or self.key

    @property
    def ids(self) -> dict[str, Any]:
        """The person's OJS id in each journal that knows them."""
        return dict(Profile.objects.filter(key=self.key).order_by("tenant").values_list("tenant", "ojs_id"))


class Issue(OfJournal):
    """An issue; `articles` lists the OJS ids of the submissions in it."""

    volume = models.IntegerField(null=True, blank=True)
    number = models.CharField(max_length=100, null=True, blank=True)
    year = models.IntegerField(null=True, blank=True)
    title = models.JSONField(null=True, blank=True)
    description = models.JSONField(null=True, blank=True)
    identification = models.CharField(max_length=500, null=True, blank=True)
    published = models.BooleanField(null=True, blank=True)
    published_on = models.DateField(null=True, blank=True)
    doi = models.CharField(max_length=200, null=True, blank=True)
    articles = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["tenant", "-year", "number"]
        constraints = _once("issue")

    def __str__(self) -> str:
        return self.identification or self.key


class Submission(OfJournal):
    """A manuscript with its current publication; texts and words are by language."""

    publication_id = models.IntegerField(null=True, blank=True)
    locale = models.CharField(max_length=20, null=True, blank=True)
    section_id = models.IntegerField(null=True, blank=True)
    issue_id = models.IntegerField(null=True, blank=True)
    status = models.IntegerField(null=True, blank=True)
    stage = models.IntegerField(null=True, blank=True)
    submitted = models.BooleanField(null=True, blank=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    published_on = models.DateField(null=True, blank=True)
    version = models.CharField(max_length=40, null=True, blank=True)
    versions = models.JSONField(null=True, blank=True)
    doi = models.CharField(max_length=200, null=True, blank=True)
    title = models.JSONField(null=True, blank=True)
    subtitle = models.JSONField(null=True, blank=True)
    prefix = models.JSONField(null=True, blank=True)
    abstract = models.JSONField(null=True, blank=True)
    keywords = models.JSONField(null=True, blank=True)
    subjects = models.JSONField(null=True, blank=True)
    disciplines = models.JSONField(null=True, blank=True)
    pages = models.CharField(max_length=100, null=True, blank=True)
    license_url = models.CharField(max_length=500, null=True, blank=True)
    contributors = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["tenant", "-ojs_id"]
        constraints = _once("submission")

    def __str__(self) -> str:
        return next(iter((self.title or {}).values()), None) or self.key

    @property
    def reviews(self) -> "models.QuerySet[Review]":
        """The reviews of it."""
        return Review.objects.filter(tenant=self.tenant, submission_id=self.ojs_id)

    @property
    def comments(self) -> "models.QuerySet[Comment]":
        """What is said in its discussions."""
        return Comment.objects.filter(tenant=self.tenant, submission_id=self.ojs_id)


class Review(OfJournal):
    """A reviewer's assignment and what came of it; `submission_id` and `reviewer_id` are OJS's numbers."""

    submission_id = models.IntegerField(null=True, blank=True)
    round = models.IntegerField(null=True, blank=True)
    round_id = models.IntegerField(null=True, blank=True)
    status = models.IntegerField(null=True, blank=True)
    method = models.IntegerField(null=True, blank=True)
    reviewer_id = models.IntegerField(null=True, blank=True)
    reviewer_name = models.CharField(max_length=500, null=True, blank=True)
    due = models.CharField(max_length=100, null=True, blank=True)
    response_due = models.CharField(max_length=100, null=True, blank=True)
    assigned_on = models.DateField(null=True, blank=True)
    confirmed_on = models.DateField(null=True, blank=True)
    completed_on = models.DateField(null=True, blank=True)
    recommendation = models.IntegerField(null=True, blank=True)
    verdict = models.CharField(max_length=40, null=True, blank=True)
    competing_interests = models.TextField(null=True, blank=True)
    comments = models.TextField(null=True, blank=True)
    confidential_comments = models.TextField(null=True, blank=True)
    form_answers = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["tenant", "submission_id", "round"]
        constraints = _once("review")

    def __str__(self) -> str:
        return f"{self.tenant} {self.submission_id}, round {self.round}"


class Comment(OfJournal):
    """A note in a discussion of the editors; the first of a discussion `opens` it."""

    submission_id = models.IntegerField(null=True, blank=True)
    discussion_id = models.IntegerField(null=True, blank=True)
    discussion = models.CharField(max_length=500, null=True, blank=True)
    stage = models.IntegerField(null=True, blank=True)
    kind = models.CharField(max_length=20, null=True, blank=True)
    status = models.CharField(max_length=20, null=True, blank=True)
    due_on = models.DateField(null=True, blank=True)
    opens = models.BooleanField(null=True, blank=True)
    author_id = models.IntegerField(null=True, blank=True)
    author_name = models.CharField(max_length=500, null=True, blank=True)
    contents = models.TextField(null=True, blank=True)
    written_at = models.DateTimeField(null=True, blank=True)
    edited_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["tenant", "discussion_id", "written_at"]
        constraints = _once("comment")

    def __str__(self) -> str:
        return f"{self.tenant} {self.discussion_id}"
