"""Schools and who is in them. `tenant` is the school, and `key` names a record in it for life: the id that the school's own
register gives it, with all but letters, digits and `_.-~` escaped. Whoever is gone stays, and is not `active` any more.

Records point to each other by keys, as the school's register does.
"""

from django.db import models


class OfSchool(models.Model):
    """Something of one school."""

    tenant = models.SlugField(max_length=40)
    key = models.CharField(max_length=255)
    active = models.BooleanField(default=True, null=True)

    class Meta:
        abstract = True


def _once(name: str) -> list[models.BaseConstraint]:
    return [models.UniqueConstraint(fields=["tenant", "key"], name=f"one_school_{name}_a_key")]


class Class(OfSchool):
    """A class, or a group of one: then `parent` is the key of the class."""

    abbrev = models.CharField(max_length=100, null=True, blank=True)
    name = models.CharField(max_length=200, null=True, blank=True)
    kind = models.CharField(max_length=20, null=True, blank=True)
    parent = models.CharField(max_length=255, null=True, blank=True)

    class Meta:
        ordering = ["tenant", "abbrev"]
        verbose_name_plural = "classes"
        constraints = _once("class")

    def __str__(self) -> str:
        return self.name or self.key


class Subject(OfSchool):
    """What is taught."""

    name = models.CharField(max_length=200, null=True, blank=True)
    abbrev = models.CharField(max_length=100, null=True, blank=True)

    class Meta:
        ordering = ["tenant", "name"]
        constraints = _once("subject")

    def __str__(self) -> str:
        return self.name or self.key


class SchoolUser(OfSchool):
    """A teacher or a student; of students, only those whose account the sync was given."""

    name = models.CharField(max_length=200, null=True, blank=True)
    abbrev = models.CharField(max_length=100, null=True, blank=True)
    email = models.CharField(max_length=254, null=True, blank=True)
    kind = models.CharField(max_length=20, null=True, blank=True)

    class Meta:
        ordering = ["tenant", "name"]
        constraints = _once("user")

    def __str__(self) -> str:
        return self.name or self.key


class Enrolment(OfSchool):
    """Somebody's place in a class, a group and a subject, in one school year; all of them keys."""

    user = models.CharField(max_length=255, null=True, blank=True)
    school_class = models.CharField(max_length=255, null=True, blank=True)
    group = models.CharField(max_length=255, null=True, blank=True)
    subject = models.CharField(max_length=255, null=True, blank=True)
    role = models.CharField(max_length=20, null=True, blank=True)
    year = models.CharField(max_length=9, null=True, blank=True)

    class Meta:
        ordering = ["tenant", "key"]
        constraints = _once("enrolment")

    def __str__(self) -> str:
        return self.key
