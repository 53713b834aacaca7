"""Concepts, paths through them, and learners, as any Django project would have them: nothing here knows that it is synced.

What a graph shows as a relationship is a row of its own here, with a code that names it.
"""

import uuid

from django.db import models


def new_code() -> str:
    """Return a code that nothing else has."""
    return uuid.uuid4().hex


class Concept(models.Model):
    """Something to be learnt."""

    slug = models.SlugField(max_length=80, unique=True)
    title = models.CharField(max_length=200)
    summary = models.TextField(null=True, blank=True)
    level = models.IntegerField(default=1)
    tags = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.title


class Requirement(models.Model):
    """`concept` cannot be understood before `needs` is."""

    code = models.CharField(max_length=64, unique=True, default=new_code)
    concept = models.ForeignKey(Concept, on_delete=models.CASCADE, related_name="requirements")
    needs = models.ForeignKey(Concept, on_delete=models.CASCADE, related_name="opens")
    weight = models.FloatField(default=1.0)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.code


class LearningPath(models.Model):
    """A way through some concepts."""

    slug = models.SlugField(max_length=80, unique=True)
    title = models.CharField(max_length=200)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.title


class Step(models.Model):
    """A concept's place on a path."""

    code = models.CharField(max_length=64, unique=True, default=new_code)
    path = models.ForeignKey(LearningPath, on_delete=models.CASCADE, related_name="steps")
    concept = models.ForeignKey(Concept, on_delete=models.CASCADE, related_name="steps")
    position = models.IntegerField()

    class Meta:
        ordering = ["path", "position"]

    def __str__(self) -> str:
        return self.code


class Learner(models.Model):
    """Somebody who learns."""

    code = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=200)
    joined_on = models.DateField(null=True, blank=True)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.name


class Progress(models.Model):
    """How far a learner has come with a concept."""

    code = models.CharField(max_length=64, unique=True, default=new_code)
    learner = models.ForeignKey(Learner, on_delete=models.CASCADE, related_name="progress")
    concept = models.ForeignKey(Concept, on_delete=models.CASCADE, related_name="progress")
    score = models.DecimalField(max_digits=5, decimal_places=2, null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["code"]
        verbose_name_plural = "progress"

    def __str__(self) -> str:
        return self.code
