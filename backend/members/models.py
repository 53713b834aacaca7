"""A register of members, as any Django project would have it: nothing here knows that it is synced."""

from django.db import models
from django.utils import timezone


class Branch(models.Model):
    """A local branch of the association."""

    code = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=100)
    city = models.CharField(max_length=100, blank=True, default="")

    class Meta:
        verbose_name_plural = "branches"
        ordering = ["code"]

    def __str__(self) -> str:
        return self.name


class Interest(models.Model):
    """What members like to do."""

    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=100)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class Member(models.Model):
    """A member. The national id is given by the state and names the person everywhere."""

    national_id = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=200)
    email = models.EmailField(max_length=254, unique=True, null=True, blank=True)
    phone = models.CharField(max_length=40, null=True, blank=True)
    birth_date = models.DateField(null=True, blank=True)
    fee = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    paid_until = models.DateField(null=True, blank=True)
    active = models.BooleanField(default=True)
    address = models.JSONField(null=True, blank=True)
    branch = models.ForeignKey(Branch, on_delete=models.SET_NULL, null=True, blank=True, related_name="members")
    interests = models.ManyToManyField(Interest, blank=True, related_name="members")
    notes = models.TextField(null=True, blank=True)
    joined_at = models.DateTimeField(default=timezone.now, null=True, blank=True)
    visits = models.IntegerField(default=0)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Event(models.Model):
    """Something that a branch puts on; `tenant` is the branch's code, and codes are its own."""

    tenant = models.CharField(max_length=20)
    code = models.CharField(max_length=40)
    title = models.CharField(max_length=200)
    starts_at = models.DateTimeField(null=True, blank=True)
    details = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["tenant", "code"]
        constraints = [models.UniqueConstraint(fields=["tenant", "code"], name="one_event_a_code")]

    def __str__(self) -> str:
        return self.title
