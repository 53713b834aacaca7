"""Starts the app: the checks, and the wrapping of Django's write paths."""

from django.apps import AppConfig


class SyncQueueConfig(AppConfig):
    """The REST change queue."""

    name = "syncqueue"
    verbose_name = "Sync queue"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401  # registers the system checks
        from .registry import declared
        from .writes import install, install_links

        install()
        if not declared().problems:  # else the checks tell them, and every write raises until they are mended
            install_links()
