"""Writes of many rows in one statement, where Django's own would take many times as long or many statements.

PostgreSQL gets them as one JSON text (its arrays of text are dear to put together), SQLite row by row into one prepared
statement, which never leaves the process.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import connections

from .adoption import Known
from .models import RecordIndex

TABLE = f'"{RecordIndex._meta.db_table}"'
_BLANK = f"INSERT INTO {TABLE} (entity, tenant, key, place, bucket, updated_at, stamps, prints, deleted)"
_BLANK_ROW = f"{_BLANK} VALUES (%s, %s, %s, %s, %s, %s, '{{}}', '{{}}', '') ON CONFLICT DO NOTHING"
_BLANK_PAGE = f"""{_BLANK} SELECT %s, tenant, key, decode(place, 'hex'), bucket, %s, '{{}}', '{{}}', ''
    FROM json_to_recordset(%s) AS v (tenant text, key text, place text, bucket bigint) ON CONFLICT DO NOTHING"""
_SAVE_ROW = f'UPDATE {TABLE} SET updated_at = %s, stamps = %s, prints = %s, "values" = %s, deleted = %s WHERE id = %s'  # noqa: S608
_SAVE_PAGE = f"""UPDATE {TABLE} AS r
    SET updated_at = %s, stamps = v.stamps, prints = v.prints, "values" = v.hidden, deleted = v.deleted
    FROM json_to_recordset(%s) AS v (id bigint, stamps jsonb, prints jsonb, hidden jsonb, deleted text)
    WHERE r.id = v.id"""  # noqa: S608  # the name of our own table


def insert_blank(using: str, entity: str, rows: Sequence[tuple[str, str, bytes, int]]) -> None:
    """Insert placeholders (tenant, key, place, bucket) into the index; those that are there already stay."""
    now = _now(using)
    with connections[using].cursor() as cursor:
        if connections[using].vendor == "postgresql":
            page = [{"tenant": row[0], "key": row[1], "place": row[2].hex(), "bucket": row[3]} for row in rows]
            cursor.execute(_BLANK_PAGE, [entity, now, json.dumps(page)])
        else:
            cursor.executemany(_BLANK_ROW, [(entity, *row, now) for row in rows])


def update_index(using: str, rows: Collection[tuple[int, Known]]) -> None:
    """Write what is known of records into their index rows, by primary key."""
    now = _now(using)
    with connections[using].cursor() as cursor:
        if connections[using].vendor == "postgresql":
            cursor.execute(_SAVE_PAGE, [now, json.dumps([_page_row(pk, known) for pk, known in rows])])
        else:
            cursor.executemany(_SAVE_ROW, [(now, *_texts(known), pk) for pk, known in rows])


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


def _page_row(pk: int, known: Known) -> dict[str, Any]:
    return {"id": pk, "stamps": known.stamps, "prints": known.prints, "hidden": known.values, "deleted": known.deleted}


def _now(using: str) -> Any:
    return connections[using].ops.adapt_datetimefield_value(datetime.now(UTC))
