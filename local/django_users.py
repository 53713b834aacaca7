"""People who work with the Django backend: plain ORM code in a process of its own, which knows nothing of the sync.

Run by `DjangoUsers`; reads one JSON request a line on standard input and answers each with one line. It imports the
models and nothing else of the project, so what it reads is an independent witness of what the database holds.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from local.errors import StackError


class DjangoUsers:
    """A process of Django's users, inside `with`. `env` names the database, `manage` lies in the backend's folder."""

    def __init__(self, env: Mapping[str, str], manage: Path) -> None:
        """Describe the process; it starts with `with`."""
        self._env, self._manage = dict(env), manage
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self._manage.parent,
            env=os.environ
            | self._env
            | {
                "PYTHONPATH": f"{self._manage.parent}{os.pathsep}{Path(__file__).parent.parent}",
                "DJANGO_SETTINGS_MODULE": "register.settings",
            },
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def call(self, action: str, **details: Any) -> Any:
        """Have one of them do something, one of _ACTIONS; returns what they see."""
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            raise StackError("Django's users are not there: use them inside `with`")
        self._process.stdin.write(json.dumps({"action": action, **details}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise StackError(f"Django's users stopped at {action!r}; see what they printed on standard error")
        answer = json.loads(line)
        if "error" in answer:
            raise StackError(f"Django's users could not {action}: {answer['error']}")
        return answer["result"]


def _main() -> None:
    import django

    django.setup()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            action = _ACTIONS[request.pop("action")]
            answer = {"result": action(**request)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _model(entity: str) -> tuple[Any, str]:
    from content import models as content  # the backend's, found on its own path
    from members import models

    return {
        "branch": (models.Branch, "code"),
        "interest": (models.Interest, "slug"),
        "member": (models.Member, "national_id"),
        "event": (models.Event, "code"),
        "concept": (content.Concept, "slug"),
        "path": (content.LearningPath, "slug"),
        "learner": (content.Learner, "code"),
        "requirement": (content.Requirement, "code"),
        "step": (content.Step, "code"),
        "progress": (content.Progress, "code"),
    }[entity]


def _locked(entity: str, keys: Iterable[str]) -> dict[str, Any]:
    """Return records by their keys, each locked until the transaction ends."""
    model, key_name = _model(entity)
    found = model.objects.select_for_update().filter(**{f"{key_name}__in": list(keys)}).order_by("pk")
    return {getattr(record, key_name): record for record in found}


def _look(entity: str, key: str) -> dict[str, Any] | None:
    """Return a record as `_dump` shows it."""
    model, key_name = _model(entity)
    record = model.objects.filter(**{key_name: key}).first()
    return None if record is None else _shown(record)


def _save(entity: str, key: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """Change a record through its model, as the admin does; create it if it is not there. Return what it held before."""
    from django.db import transaction

    model, key_name = _model(entity)
    many = {each.name for each in model._meta.many_to_many}
    with transaction.atomic():
        found = _locked(entity, [key]).get(key)
        before = None if found is None else _shown(found)
        record = found or model(**{key_name: key})
        for name, value in fields.items():
            if name not in many:
                setattr(record, name, _python(model, name, value))
        record.save()
        for name in many & fields.keys():
            getattr(record, name).set(_python(model, name, fields[name]))
    return before


def _python(model: Any, name: str, value: Any) -> Any:
    """Return a field's value as the ORM takes it: other records by their keys, the rest by the field itself."""
    field = model._meta.get_field(name)
    if not field.is_relation:
        return field.to_python(value)
    if value is None:
        return [] if field.many_to_many else None
    related = field.related_model
    key_name = next(key for other, key in map(_model, _ENTITIES) if other is related)
    if field.many_to_many:
        return list(related.objects.filter(**{f"{key_name}__in": value}))
    return related.objects.get(**{key_name: value})


def _update(entity: str, keys: Iterable[str], fields: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Change many records in one statement. Return what they held before, by key."""
    from django.db import transaction

    model, key_name = _model(entity)
    values = {name: _python(model, name, value) for name, value in fields.items()}
    with transaction.atomic():
        before = {key: _shown(record) for key, record in _locked(entity, keys).items()}
        model.objects.filter(**{f"{key_name}__in": list(before)}).update(**values)
    return before


def _raw(entity: str, key: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """Change one record with SQL, past Django. Return what it held before; None if it is not there."""
    from django.db import connection, transaction

    model, key_name = _model(entity)
    columns = [model._meta.get_field(name).column for name in fields]
    sets = ", ".join(f"{connection.ops.quote_name(column)} = %s" for column in columns)
    statement = f"UPDATE {model._meta.db_table} SET {sets} WHERE {key_name} = %s"  # noqa: S608  # names of our own models
    with transaction.atomic(), connection.cursor() as cursor:
        found = _locked(entity, [key]).get(key)
        before = None if found is None else _shown(found)
        cursor.execute(statement, [*fields.values(), key])
    return before


def _raw_insert(entity: str, key: str, fields: Mapping[str, Any]) -> None:
    """Add a record with SQL, as one that was there before the sync came."""
    from django.db import connection

    model, key_name = _model(entity)
    columns = [key_name, *(model._meta.get_field(name).column for name in fields)]
    names, marks = ", ".join(map(connection.ops.quote_name, columns)), ", ".join("%s" for _ in columns)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {model._meta.db_table} ({names}) VALUES ({marks})", [key, *fields.values()])  # noqa: S608


def _sql(statement: str, rows: Iterable[Iterable[Any]]) -> None:
    """Run one statement over many rows, as a script of the database's keeper does, past Django."""
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(statement, [list(row) for row in rows])


def _rows(entity: str) -> list[dict[str, Any]]:
    """Return every record with its key among its fields, for entities whose keys are unique per tenant only."""
    model, _ = _model(entity)
    return [{name: _exact(value) for name, value in row.items()} for row in model.objects.values()]


def _delete(entity: str, key: str) -> dict[str, Any] | None:
    """Delete a record through its model. Return what it held; None if it was not there."""
    from django.db import transaction

    with transaction.atomic():
        found = _locked(entity, [key]).get(key)
        before = None if found is None else _shown(found)
        if found is not None:
            found.delete()
    return before


def _dump(entity: str) -> dict[str, dict[str, Any]]:
    """Return every record of an entity by its key, nulls and empty sets left out, exact to the last digit."""
    model, key_name = _model(entity)
    referred = [each.name for each in model._meta.concrete_fields if each.is_relation]
    many = [each.name for each in model._meta.many_to_many]
    records = model.objects.select_related(*referred).prefetch_related(*many)
    return {getattr(record, key_name): _shown(record) for record in records}


def _shown(record: Any) -> dict[str, Any]:
    names = {"id", *(key for model, key in map(_model, _ENTITIES) if model is type(record))}
    values = {each.name: getattr(record, each.name) for each in record._meta.concrete_fields if each.name not in names}
    sets = {each.name: sorted(one.slug for one in getattr(record, each.name).all()) for each in record._meta.many_to_many}
    return {name: _exact(value) for name, value in (values | sets).items() if value not in (None, [])}


def _exact(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return getattr(value, "code", None) or getattr(value, "slug", value)


def _empty() -> None:
    """Forget all records and all that was queued; the tokens stay."""
    from django.apps import apps
    from django.db import connection, transaction

    models = [
        each for each in apps.get_models(include_auto_created=True) if each._meta.app_label in {"members", "content", "syncqueue"}
    ]
    tables = [each._meta.db_table for each in models if each.__name__ != "SyncToken"]
    with transaction.atomic(), connection.cursor() as cursor:  # references are checked at its end
        for table in tables:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")  # noqa: S608  # names of our own models


CONTENT = ("concept", "path", "learner", "requirement", "step", "progress")
_ENTITIES = ("branch", "interest", "member", "event", *CONTENT)
_ACTIONS: Mapping[str, Callable[..., Any]] = {
    "rows": _rows,
    "look": _look,
    "raw_insert": _raw_insert,
    "save": _save,
    "update": _update,
    "raw": _raw,
    "sql": _sql,
    "delete": _delete,
    "dump": _dump,
    "empty": _empty,
}

if __name__ == "__main__":
    _main()
