"""Puts a database in place of Django's default one, and empties it."""

from collections.abc import Iterator
from contextlib import contextmanager

import dj_database_url
from django.apps import apps
from django.core.management import call_command
from django.db import connection, connections
from syncqueue import registry

UNDER_TEST = ("members", "syncqueue", "auth", "admin", "sessions")
SQLITE = {"transaction_mode": "IMMEDIATE", "timeout": 10}


@contextmanager
def default(url: str) -> Iterator[None]:
    """Make `url` the default database, migrated, and close it at the end."""
    settings = dj_database_url.parse(url)
    if url.startswith("sqlite"):
        settings["OPTIONS"] = {**SQLITE, "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"}
    close()
    connections.settings["default"] = connections.configure_settings({"default": settings})["default"]
    del connections["default"]
    registry.forget()  # kinds of fields depend on the database
    call_command("migrate", verbosity=0)
    yield
    close()


def close() -> None:
    """Close this thread's connection."""
    connections["default"].close()


def empty() -> None:
    """Delete every row of the apps under test but the permissions, which `migrate` makes."""
    models = [model for label in UNDER_TEST for model in apps.get_app_config(label).get_models(include_auto_created=True)]
    names = {model._meta.db_table for model in models} - {"auth_permission"}
    quoted = [connection.ops.quote_name(name) for name in sorted(names)]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # a TRUNCATE of so many tables takes fifty times as long
            cursor.execute("SET session_replication_role = replica")
            cursor.execute("; ".join(f"DELETE FROM {name}" for name in quoted))  # names of our own tables
            cursor.execute("SET session_replication_role = DEFAULT")
            return
        with connection.constraint_checks_disabled():
            for name in quoted:
                cursor.execute(f"DELETE FROM {name}")


def sql(statement: str, *values: object) -> None:
    """Run raw SQL, which no write path sees."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
