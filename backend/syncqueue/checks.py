"""Django system checks: SYNC_QUEUE and the database it runs on."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from .registry import declared

SHORTEST_KEY = 16


@register()
def declarations_are_in_order(**_: Any) -> list[CheckMessage]:
    """Report every problem of SYNC_QUEUE at once, each with its place."""
    return [Error(f"{where}: {what}", id="syncqueue.E001") for where, what in declared().problems]


@register()
def signing_keys_guard(**_: Any) -> list[CheckMessage]:
    """A text in place of a list would make a key of each of its letters, and an empty key is known to everybody."""
    keys = getattr(settings, "SYNC_QUEUE_SIGNING_KEYS", ())
    sound = isinstance(keys, (list, tuple)) and all(isinstance(key, str) and len(key.strip()) >= SHORTEST_KEY for key in keys)
    what = f"SYNC_QUEUE_SIGNING_KEYS: a list of texts of at least {SHORTEST_KEY} characters is wanted, or an empty one"
    return [] if sound else [Error(what, id="syncqueue.E002")]


@register()
def functions_are_called_safely(**_: Any) -> list[CheckMessage]:
    """A token may travel unencrypted only within this machine."""
    url = str((getattr(settings, "SYNC_FUNCTIONS", None) or {}).get("url") or "https://")
    safe = url.startswith(("https://", "http://127.0.0.1:", "http://localhost:"))
    return [] if safe else [Error("SYNC_FUNCTIONS.url: an address that begins with https:// is wanted", id="syncqueue.E003")]


@register()
def sqlite_locks_at_once(**_: Any) -> list[CheckMessage]:
    """SQLite has no row locks: a transaction that reads and then writes must lock when it begins."""
    return [
        Warning(
            f"DATABASES.{alias}: SQLite without transaction_mode IMMEDIATE",
            hint='Set OPTIONS = {"transaction_mode": "IMMEDIATE"}, or writers beside each other fail.',
            id="syncqueue.W001",
        )
        for alias, database in settings.DATABASES.items()
        if "sqlite" in database.get("ENGINE", "") and database.get("OPTIONS", {}).get("transaction_mode") != "IMMEDIATE"
    ]
