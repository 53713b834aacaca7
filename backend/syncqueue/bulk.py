"""Writes of many rows in one statement, where Django's own would take many times as long or many statements.

PostgreSQL gets columns as arrays, SQLite the rows for one prepared statement; nothing leaves the process there.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import connections

from .adoption import Known
from .models import RecordIndex

TABLE = f'"{RecordIndex._meta.db_table}"'
_BLANK = f"""INSERT INTO {TABLE} (entity, tenant, key, place, bucket, updated_at, stamps, prints, deleted)
             {{rows}} ON CONFLICT DO NOTHING"""  # noqa: S608  # the name of our own table
_BLANK_VALUES = "VALUES (%s, %s, %s, %s, %s, %s, '{}', '{}', '')"
_BLANK_ARRAYS = """SELECT %s, tenant, key, place, bucket, %s, '{}', '{}', ''
                   FROM UNNEST(%s::text[], %s::text[], %s::bytea[], %s::bigint[]) AS v (tenant, key, place, bucket)"""
_SAVE = f'UPDATE {TABLE} SET updated_at = %s, stamps = %s, prints = %s, "values" = %s, deleted = %s WHERE id = %s'  # noqa: S608
_SAVE_ARRAYS = f"""UPDATE {TABLE} AS r
    SET updated_at = %s, stamps = v.stamps::jsonb, prints = v.prints::jsonb, "values" = v.hidden::jsonb, deleted = v.deleted
    FROM UNNEST(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[]) AS v (stamps, prints, hidden, deleted, id)
    WHERE r.id = v.id"""  # noqa: S608


def insert_blank(using: str, entity: str, rows: Sequence[tuple[str, str, bytes, int]]) -> None:
    """Insert placeholders (tenant, key, place, bucket) into the index; those that are there already stay."""
    now = _now(using)
    with connections[using].cursor() as cursor:
        if connections[using].vendor == "postgresql":
            cursor.execute(_BLANK.format(rows=_BLANK_ARRAYS), [entity, now, *_columns(rows)])
        else:
            values = [(entity, tenant, key, place, bucket, now) for tenant, key, place, bucket in rows]
            cursor.executemany(_BLANK.format(rows=_BLANK_VALUES), values)


def update_index(using: str, rows: Collection[tuple[int, Known]]) -> None:
    """Write what is known of records into their index rows, by primary key."""
    now = _now(using)
    written = [(*_texts(known), pk) for pk, known in rows]
    with connections[using].cursor() as cursor:
        if connections[using].vendor == "postgresql":
            cursor.execute(_SAVE_ARRAYS, [now, *_columns(written)])
        else:
            cursor.executemany(_SAVE, [(now, *row) for row in written])


@contextmanager
def large_batches(using: str) -> Iterator[None]:
    """Let bulk_create put as many rows into a statement as this SQLite takes, instead of the 999 values of an old one."""
    connection = connections[using]
    if connection.vendor != "sqlite":
        yield
        return
    usual = connection.features.max_query_params
    connection.ensure_connection()
    connection.features.max_query_params = connection.connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    try:
        yield
    finally:
        connection.features.max_query_params = usual


def _texts(known: Known) -> tuple[str, str, str | None, str]:
    hidden = None if known.values is None else json.dumps(known.values)
    return json.dumps(known.stamps), json.dumps(known.prints), hidden, known.deleted


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _now(using: str) -> Any:
    return connections[using].ops.adapt_datetimefield_value(datetime.now(UTC))
