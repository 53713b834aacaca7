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
    from members.models import Member  # type: ignore[import-not-found]  # the backend's, found on its own path

    _forget_queue()
    pks = list(Member.objects.order_by("national_id").values_list("pk", flat=True)[:limit])
    phone, notes = Concat(Value(f"{number} "), "national_id"), Concat(Value(f"note {number} on "), "name")
    for start in range(0, len(pks), TOGETHER):
        some = Member.objects.filter(pk__in=pks[start : start + TOGETHER])
        some.update(phone=phone, notes=notes, visits=F("visits") + 1)
    return len(pks)


def _forget_queue() -> int:
    """Delete all queue entries."""
    from syncqueue.models import QueueEntry  # type: ignore[import-not-found]

    return int(QueueEntry.objects.all().delete()[0])


def _pend() -> int:
    """Have every queue entry of a member wait again."""
    from syncqueue.models import QueueEntry

    return int(QueueEntry.objects.filter(entity="member").update(status="pending", synced_at=None, run_id=""))


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
