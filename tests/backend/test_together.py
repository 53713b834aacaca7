"""Writers beside each other, on real connections of both databases: nobody loses an edit."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from calls import Client, at, change, created
from databases import close
from django.db import connection, transaction
from django.db.models import F
from members.models import Member
from syncqueue.adoption import unadopted
from syncqueue.index import known_of
from syncqueue.models import QueueEntry, RecordIndex
from syncqueue.registry import registry
from syncqueue.rows import rows_by_place


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Run these at once, each on a connection of its own; return their answers. Raise what one of them raised."""
    gate = threading.Barrier(len(works))
    answers: list[Any] = [None] * len(works)

    def run(number: int, work: Callable[[], Any]) -> None:
        try:
            gate.wait(20)
            answers[number] = work()
        except BaseException as error:  # told to the one who waits
            answers[number] = error
        finally:
            close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


def all_in_line() -> bool:
    """Return whether every row is what its index says."""
    entity = registry().entities["member"]
    index = {(row.tenant, row.key): row for row in RecordIndex.objects.filter(entity="member")}
    rows = rows_by_place(entity, "default", list(index))
    return all(not unadopted(known_of(index[place]), row.values) for place, row in rows.items())


def test_local_writers_of_one_record_lose_nothing(client: Client) -> None:
    client.apply(created("1", at(1)))

    def count() -> None:
        for _ in range(10):
            Member.objects.filter(national_id="1").update(visits=F("visits") + 1)

    at_once(count, count, count)
    assert Member.objects.get().visits == 30
    told = [entry.fields["visits"] for entry in QueueEntry.objects.order_by("stamp")]
    assert told == list(range(1, 31))
    bases = list(QueueEntry.objects.order_by("stamp").values_list("base", flat=True))
    stamps = list(QueueEntry.objects.order_by("stamp").values_list("stamp", flat=True))
    assert [base["visits"] for base in bases] == [at(1), *stamps[:-1]]


def test_an_apply_and_local_edits_of_one_record_end_with_the_larger_stamp(client: Client) -> None:
    client.apply(created("1", at(1)))

    def edit() -> None:
        for number in range(10):
            member = Member.objects.get(national_id="1")
            member.name = f"local {number}"
            member.save(update_fields=["name"])

    def carry() -> None:
        for number in range(10):
            client.apply(change("1", {"name": f"far {number}", "phone": str(number)}, at(2 + number)))

    at_once(edit, carry)
    assert Member.objects.get().name == "local 9"  # the local stamps are of today
    assert Member.objects.get().phone == "9"
    assert QueueEntry.objects.count() == 10
    assert all_in_line()


def test_the_same_create_twice_at_once_is_applied_once(client: Client) -> None:
    pages = [[created(str(n), at(1)) for n in range(50)] for _ in range(3)]
    answers = at_once(*[lambda page=page: client.outcomes(*page) for page in pages])
    assert sorted(answer[0] for answer in answers).count("applied") <= 1
    again = client.outcomes(*pages[0])
    assert set(again) <= {"unchanged", "applied"}
    assert Member.objects.count() == 50
    assert all_in_line()


def test_a_local_create_and_an_apply_of_one_key_meet_in_one_record(client: Client) -> None:
    def make() -> None:
        Member.objects.get_or_create(national_id="1", defaults={"name": "local"})

    at_once(make, lambda: client.apply(created("1", at(1))))
    client.apply(created("1", at(1)))
    assert Member.objects.count() == 1
    assert all_in_line()


def test_a_record_locked_by_somebody_is_busy_and_the_others_pass(client: Client) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite locks the whole database")
    client.apply(created("1", at(1)), created("2", at(1)))
    with transaction.atomic():
        list(RecordIndex.objects.select_for_update().filter(key="1"))
        changes = [change(key, {"name": "B"}, at(2)) for key in ("1", "2")]
        (outcomes,) = at_once(lambda: client.outcomes(*changes))
    assert outcomes == ["busy", "applied"]


def test_pages_in_opposite_order_do_not_end_in_a_deadlock(client: Client) -> None:
    keys = [str(n) for n in range(40)]
    client.apply(*[created(key, at(1)) for key in keys])
    pages = [[change(key, {"name": f"{n}"}, at(2 + n)) for key in (keys if n % 2 else reversed(keys))] for n in range(4)]
    answers = at_once(*[lambda page=page: client.outcomes(*page) for page in pages])
    assert {outcome for answer in answers for outcome in answer} <= {"applied", "stale"}
    assert set(Member.objects.values_list("name", flat=True)) == {"3"}
