"""What the schools' registers hold, for whoever builds on it."""

from django.apps import AppConfig


class SchoolConfig(AppConfig):
    name = "school"
    default_auto_field = "django.db.models.BigAutoField"
