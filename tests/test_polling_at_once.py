"""Tenants of a polled system are asked side by side, and what is slow at one costs no other its turn."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

from test_polled import Schools

from shared.errors import TerminalBatch

TENANTS = ("north", "south", "west")


def asking(schools: Schools, at_once: int) -> None:
    schools.pair.right.beside = partial(ThreadPoolExecutor, at_once)


def test_tenants_are_asked_at_the_same_time() -> None:
    schools = Schools()
    asking(schools, 3)
    poll, together = schools.system.poll, threading.Barrier(3)

    def meeting(tenant, entity, since):
        if entity == "thing":
            together.wait(timeout=20)  # one after the other, they would never meet
        return poll(tenant, entity, since)

    schools.system.poll = meeting
    assert schools.run().tenants == {}
    assert len(schools.here()) == 6


def test_no_more_of_them_than_there_is_room_for() -> None:
    schools = Schools()
    asking(schools, 2)
    poll, under_way, most, lock = schools.system.poll, 0, 0, threading.Lock()

    def counting(tenant, entity, since):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        try:
            return list(poll(tenant, entity, since))
        finally:
            with lock:
                under_way -= 1

    schools.system.poll = counting
    schools.run()
    assert most <= 2
    assert len(schools.here()) == 6


def test_one_down_one_slow_one_with_a_wrong_key_and_the_slow_one_begins_no_later_than_the_rest_ends() -> None:
    """The slow one answers only once the other two are through: asked in turn, the one behind it would wait for ever."""
    schools = Schools()
    asking(schools, 3)
    schools.failing["north"] = TerminalBatch("a wrong key")
    poll, through = schools.system.poll, threading.Event()

    def slow(tenant, entity, since):
        if tenant == "south" and not through.wait(timeout=20):
            raise TerminalBatch("nobody else was asked meanwhile")
        pages = list(poll(tenant, entity, since))
        if (tenant, entity) == ("west", "part"):
            through.set()
        return iter(pages)

    schools.system.poll = slow
    assert set(schools.run().tenants) == {"north"}
    assert {tenant for _, tenant in schools.here()} == {"south", "west"}


def test_time_that_a_slow_tenant_takes_to_answer_is_not_taken_from_what_waits_for_the_others() -> None:
    schools = Schools()
    schools.pair = replace(schools.pair, run_time=timedelta(minutes=8))
    poll = schools.system.poll

    def slow(tenant, entity, since):
        if tenant == "south":
            schools.clock.tick(600)
        return poll(tenant, entity, since)

    schools.system.poll = slow
    report = schools.run()
    assert report.stopped_by is None
    assert {tenant for _, tenant in schools.here()} == set(TENANTS)
