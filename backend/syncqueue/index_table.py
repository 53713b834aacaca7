"""The table of the index, read and written many rows at a time: Django's own way would cost more than all the merging.

PostgreSQL gets a page as one JSON text (its arrays of text are dear to put together), SQLite row by row into one
prepared statement, which never leaves the process.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import Any

from django.db import connections

from .adoption import Known
from .models import RecordIndex

TABLE = f'"{RecordIndex._meta.db_table}"'
_SELECT = f"""SELECT id, tenant, key, stamps, prints, "values", deleted FROM {TABLE}
    WHERE entity = %s AND place IN ({{}}) ORDER BY place {{}}"""  # noqa: S608
_PLACES = f"SELECT tenant, key FROM {TABLE} WHERE entity = %s AND place IN ({{}})"  # noqa: S608
_BLANK = f"""INSERT INTO {TABLE} (entity, tenant, key, place, bucket, updated_at, stamps, prints, deleted)
    SELECT %s, tenant, key, place, bucket, %s, '{{{{}}}}', '{{{{}}}}', '' FROM ({{}}) AS page WHERE true
    ON CONFLICT DO NOTHING RETURNING id, entity, tenant, key"""  # noqa: S608
_BLANK_PAGE = {
    "postgresql": """SELECT tenant, key, decode(place, 'hex') AS place, bucket
        FROM json_to_recordset(%s) AS v (tenant text, key text, place text, bucket bigint)""",
    "sqlite": """SELECT tenant, key, CAST(key || char(0) || tenant AS BLOB) AS place, bucket
        FROM (SELECT json_extract(value, '$.tenant') AS tenant, json_extract(value, '$.key') AS key,
                     json_extract(value, '$.bucket') AS bucket FROM json_each(%s))""",
}
_SAVE_ROW = f'UPDATE {TABLE} SET updated_at = %s, stamps = %s, prints = %s, "values" = %s, deleted = %s WHERE id = %s'  # noqa: S608
_SAVE_PAGE = f"""UPDATE {TABLE} AS r
    SET updated_at = %s, stamps = v.stamps, prints = v.prints, "values" = v.hidden, deleted = v.deleted
    FROM json_to_recordset(%s) AS v (id bigint, stamps jsonb, prints jsonb, hidden jsonb, deleted text)
    WHERE r.id = v.id"""  # noqa: S608  # the name of our own table


@dataclass
class IndexRow:
    """One row of the index as it was read."""

    pk: int
    entity: str
    tenant: str
    key: str
    stamps: Mapping[str, str] = field(default_factory=dict)
    prints: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] | None = None
    deleted: str = ""


def select_index(using: str, entity: str, places: Sequence[bytes], lock: str = "") -> list[IndexRow]:
    """Return the rows of these places in their order; `lock` is the clause that locks them, where the database has one."""
    if not places:
        return []
    holders = ", ".join(["%s"] * len(places))
    with connections[using].cursor() as cursor:
        cursor.execute(_SELECT.format(holders, lock), [entity, *places])
        return [IndexRow(pk, entity, tenant, key, *_known(*rest)) for pk, tenant, key, *rest in cursor.fetchall()]


def known_places(using: str, entity: str, places: Sequence[bytes]) -> set[tuple[str, str]]:
    """Return tenant and key of those places that have a row."""
    holders = ", ".join(["%s"] * len(places))
    with connections[using].cursor() as cursor:
        cursor.execute(_PLACES.format(holders), [entity, *places])
        return set(cursor.fetchall())


def insert_blank(using: str, entity: str, rows: Sequence[tuple[str, str, bytes, int]]) -> list[IndexRow]:
    """Insert placeholders (tenant, key, place, bucket) into the index; return those that were not there already."""
    page = [{"tenant": tenant, "key": key, "place": place.hex(), "bucket": bucket} for tenant, key, place, bucket in rows]
    with connections[using].cursor() as cursor:
        statement = _BLANK.format(_BLANK_PAGE[connections[using].vendor])
        cursor.execute(statement, [entity, _now(using), json.dumps(page)])
        return [IndexRow(*row) for row in cursor.fetchall()]


def update_index(using: str, rows: Collection[tuple[int, Known]]) -> None:
    """Write what is known of records into their index rows, by primary key."""
    now = _now(using)
    with connections[using].cursor() as cursor:
        if connections[using].vendor == "postgresql":
            cursor.execute(_SAVE_PAGE, [now, f"[{','.join([_page_row(pk, *_texts(known)) for pk, known in rows])}]"])
        else:
            cursor.executemany(_SAVE_ROW, [(now, *_texts(known), pk) for pk, known in rows])


def _known(stamps: str, prints: str, hidden: str | None, deleted: str) -> tuple[Any, ...]:
    if stamps == prints == "{}":
        return {}, {}, None if hidden is None else json.loads(hidden), deleted
    return json.loads(stamps), json.loads(prints), None if hidden is None else json.loads(hidden), deleted


def _texts(known: Known) -> tuple[str, str, str | None, str]:
    hidden = None if known.values is None else json.dumps(known.values)
    return _map(known.stamps), _map(known.prints), hidden, known.deleted


def _map(texts: Mapping[str, str]) -> str:
    """Return names of fields with stamps or fingerprints as JSON; neither of those has anything to escape."""
    return "{" + ",".join([f'{encode_basestring(name)}:"{text}"' for name, text in texts.items()]) + "}"


def _page_row(pk: int, stamps: str, prints: str, hidden: str | None, deleted: str) -> str:
    return f'{{"id":{pk},"stamps":{stamps},"prints":{prints},"hidden":{hidden or "null"},"deleted":"{deleted}"}}'


def _now(using: str) -> Any:
    return connections[using].ops.adapt_datetimefield_value(datetime.now(UTC))
