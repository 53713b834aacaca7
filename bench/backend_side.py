"""What is done to the backend's database between measurements, in a process of its own: `backend_side.py ACTION JSON`.

Imports the backend and nothing else of the project. Prints one line of JSON.
"""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

TOGETHER = 2000


def _edit(number: int, limit: int) -> int:
    """Edit three fields of so many members, each value another one in each round; only these edits are queued then."""
    from django.db.models import F, Value
    from django.db.models.functions import Concat
    from members.models import Member  # the backend's, found on its own path

    _forget_queue()
    pks = list(Member.objects.order_by("national_id").values_list("pk", flat=True)[:limit])
    phone, notes = Concat(Value(f"{number} "), "national_id"), Concat(Value(f"note {number} on "), "name")
    for start in range(0, len(pks), TOGETHER):
        some = Member.objects.filter(pk__in=pks[start : start + TOGETHER])
        some.update(phone=phone, notes=notes, visits=F("visits") + 1)
    return len(pks)


def _forget_queue() -> int:
    """Delete all queue entries."""
    from syncqueue.models import QueueEntry

    return int(QueueEntry.objects.all().delete()[0])


def _pend(limit: int | None = None) -> int:
    """Have every queue entry of a member wait again, or so many of them and no others."""
    from syncqueue.models import QueueEntry

    entries = QueueEntry.objects.filter(entity="member")
    if limit is not None:
        entries.update(status="synced")
        entries = entries.filter(pk__in=entries.order_by("pk").values("pk")[:limit])
    return int(entries.update(status="pending", synced_at=None, run_id=""))


def _differ(limit: int) -> int:
    """Edit so many members with SQL, past Django."""
    from django.db import connection

    with connection.cursor() as cursor:
        chosen = "SELECT id FROM members_member ORDER BY national_id LIMIT %s"
        cursor.execute(f"UPDATE members_member SET visits = visits + 1 WHERE id IN ({chosen})", [limit])  # noqa: S608  # no input
        return int(cursor.rowcount)


def _pending() -> int:
    """Return how many entries wait."""
    from syncqueue.models import QueueEntry

    return int(QueueEntry.objects.filter(status="pending").count())


def _values() -> dict[str, list[Any]]:
    """Return the fields that are edited here, by key."""
    from members.models import Member

    rows = Member.objects.values_list("national_id", "phone", "notes", "visits")
    return {key: list(values) for key, *values in rows}


_ACTIONS: Mapping[str, Callable[..., Any]] = {
    "edit": _edit,
    "forget_queue": _forget_queue,
    "pend": _pend,
    "differ": _differ,
    "pending": _pending,
    "values": _values,
}


def main() -> None:
    """Do what the command line says."""
    import django

    django.setup()
    sys.stdout.write(json.dumps(_ACTIONS[sys.argv[1]](**json.loads(sys.argv[2]))) + "\n")


if __name__ == "__main__":
    main()
