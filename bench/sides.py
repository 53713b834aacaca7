"""The two sides of bench/apply.py: plain Django, and the queue's `apply`. Needs a configured Django.

Both get the same people, page by page, each in one transaction a page. Plain Django gets Python values ready-made and
looks up branches, interests and the rows to update as anybody would: by one query each.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from django.db import connection, transaction
from members.models import Branch, Interest, Member
from members.people import BRANCHES, INTERESTS, people
from syncqueue.applying import Request, apply_request
from syncqueue.edits import unwatched
from syncqueue.models import QueueEntry, RecordIndex, SyncConflict
from syncqueue.registry import registry

SEED = 7
CREATED, UPDATED = "2026-03-01T00:00:00.000000Z|firestore", "2026-03-02T00:00:00.000000Z|firestore"
EDITED = ["name", "paid_until", "visits"]
Person = dict[str, Any]


def persons(count: int) -> list[Person]:
    """Return so many made-up members as Python values."""
    return [asdict(person) for person in people(count, SEED)]


def edits(created: Sequence[Person]) -> list[Person]:
    """Return three new values for each of these members, and the national id."""
    day = date(2027, 12, 31)
    return [
        {"national_id": one["national_id"], "name": one["name"] + " yngri", "paid_until": day, "visits": one["visits"] + 1}
        for one in created
    ]


def empty() -> None:
    """Delete all records, and put in the branches and interests that members refer to."""
    tables = [Member.interests.through, Member, Branch, Interest, QueueEntry, RecordIndex, SyncConflict]
    with transaction.atomic(), connection.cursor() as cursor:
        for model in tables:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(model._meta.db_table)}")  # noqa: S608  # our own tables
    Branch.objects.bulk_create(Branch(code=code, name=name, city=city) for code, name, city in BRANCHES)
    Interest.objects.bulk_create(Interest(slug=slug, name=name) for slug, name in INTERESTS)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")


def pages(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield slices of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def plain_create(created: Sequence[Person], size: int) -> Callable[[], None]:
    """Return the work of bulk_create, many-to-many rows included."""

    def work() -> None:
        through = Member.interests.through
        for page in pages(created, size):
            with transaction.atomic(), unwatched("default"):
                branches = dict(Branch.objects.values_list("code", "pk"))
                interests = dict(Interest.objects.values_list("slug", "pk"))
                members = [Member(**_columns(one, branches)) for one in page]
                Member.objects.bulk_create(members, batch_size=size)
                pairs = zip(members, page, strict=True)
                links = [through(member_id=row.pk, interest_id=interests[key]) for row, one in pairs for key in one["interests"]]
                through._default_manager.bulk_create(links, batch_size=size)

    return work


def plain_update(edited: Sequence[Person], size: int) -> Callable[[], None]:
    """Return the work of bulk_update, the fetch of the rows included."""

    def work() -> None:
        for page in pages(edited, size):
            with transaction.atomic(), unwatched("default"):
                rows = Member.objects.in_bulk([one["national_id"] for one in page], field_name="national_id")
                for one in page:
                    for name in EDITED:
                        setattr(rows[one["national_id"]], name, one[name])
                Member.objects.bulk_update(rows.values(), EDITED, batch_size=size)

    return work


def applied(persons: Sequence[Person], action: str, size: int) -> Callable[[], None]:
    """Return the work of `apply` for the same values as changes. Raise RuntimeError unless all are taken."""
    stamp, base = (CREATED, None) if action == "create" else (UPDATED, CREATED)
    changes = [_change(number, one, action, stamp, base) for number, one in enumerate(persons)]

    def work() -> None:
        for page in pages(changes, size):
            results = apply_request(Request(page, "lww", "bench", lambda tenant: True))
            if any(result["outcome"] != "applied" or "conflicts" in result for result in results):
                raise RuntimeError("apply did not take every change of the page: the figures would mean nothing")

    return work


def stored() -> list[tuple[Any, ...]]:
    """Return what lies in the tables, to see that both sides wrote the same."""
    columns = [field.name for field in Member._meta.fields if field.name not in ("id", "branch")]
    rows = Member.objects.order_by("national_id").values_list(*columns, "branch__code")
    links = Member.interests.through.objects.order_by("member__national_id", "interest__slug")
    return [*rows, *links.values_list("member__national_id", "interest__slug")]


def _columns(one: Person, branches: dict[str, int]) -> dict[str, Any]:
    values = {name: value for name, value in one.items() if name not in ("branch", "interests")}
    return values | {"branch_id": branches.get(one["branch"])}


def _change(number: int, one: Person, action: str, stamp: str, base: str | None) -> dict[str, Any]:
    kinds = registry().entities["member"].fields
    fields = {
        name: None if value is None else kinds[name].kind.read(value) for name, value in one.items() if name != "national_id"
    }
    parts = {"id": f"{action}-{number}", "entity": "member", "tenant": None, "key": one["national_id"], "action": action}
    return parts | {"fields": fields, "stamp": stamp, "base": dict.fromkeys(fields, base)}
