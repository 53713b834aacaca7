"""A peer that gives no answer several times in a row is left alone for a while, by all instances, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from test_rest_queue import STATUS, Answer, Backend, a_peer, page
from world import FIELDS, World

from shared.breaker import Breaker
from shared.errors import SyncError, TerminalBatch, TerminalRecord, Transient
from shared.model import Change, Page, Result, Scope
from shared.peers.memory import MemoryPeer
from shared.peers.rest_queue import RestQueue
from shared.policy import Mode
from shared.report import Report
from shared.retry import Backoff

FAILURES, SECONDS = 3, 300
HOUR = timedelta(hours=1)


def breaker() -> Breaker:
    return Breaker("django", FAILURES, SECONDS)


def fails(breaker: Breaker, error: SyncError | None = None) -> str:
    """Let one call fail and return what was said; calls that are not made at all say so."""

    def attempt() -> None:
        raise error or Transient("no answer")

    with pytest.raises(type(error) if error else Transient) as caught:
        breaker.call(attempt)
    return str(caught.value)


def an_hour_later(breaker: Breaker) -> Breaker:
    """Return the same breaker as another instance resumes it, an hour after it was opened."""
    other = Breaker("django", FAILURES, SECONDS)
    other.resume(breaker.kept | {"opened_at": breaker.kept["opened_at"] - HOUR})
    return other


def opened() -> Breaker:
    one = breaker()
    for _ in range(FAILURES):
        assert fails(one) == "no answer"
    return one


def test_after_three_failures_in_a_row_no_call_is_made() -> None:
    one = opened()
    said = fails(one)
    assert "peer 'django': 3 calls in a row failed" in said
    assert "nothing is lost" in said
    with pytest.raises(Transient, match="left alone until"):
        one.check()


def test_an_answer_between_begins_the_count_anew() -> None:
    one = breaker()
    for _ in range(5):
        fails(one)
        fails(one)
        assert one.call(lambda: 5) == 5
    assert one.kept == {}
    one.check()


@pytest.mark.parametrize("error", [TerminalBatch("refused"), TerminalRecord("type", "a record")], ids=["batch", "record"])
def test_what_is_said_of_a_record_or_of_the_token_is_an_answer(error: SyncError) -> None:
    one = breaker()
    for _ in range(FAILURES * 2):
        fails(one, error)
    assert one.kept == {}
    fails(one)
    fails(one)
    fails(one, error)
    assert one.kept == {}, "the peer is there"


def test_when_its_time_is_over_one_call_tries_and_an_answer_closes_it() -> None:
    one = an_hour_later(opened())
    one.check()
    assert one.call(lambda: "there") == "there"
    assert one.kept == {}


def test_when_that_call_fails_too_the_peer_is_left_alone_again() -> None:
    one = an_hour_later(opened())
    assert fails(one) == "no answer", "the try itself is made"
    assert "left alone until" in fails(one)
    assert one.kept["until"] - datetime.now(UTC) > timedelta(seconds=SECONDS - 60)


def test_another_instance_goes_on_with_what_was_kept() -> None:
    one, other = breaker(), breaker()
    fails(one)
    fails(one)
    other.resume(one.kept)
    assert fails(other) == "no answer"
    assert "left alone" in fails(other)
    other.resume({})
    assert other.call(lambda: 1) == 1


def test_calls_of_two_threads_go_on_beside_each_other() -> None:
    one, both = breaker(), Barrier(2, timeout=20)
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(lambda _: one.call(both.wait), range(2)))
    assert sorted(done) == [0, 1]


# The REST queue: what counts is a call with all its attempts


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as running:
        yield running


@pytest.fixture
def peer(backend: Backend) -> Iterator[RestQueue]:
    with a_peer(backend.url, [], backoff=Backoff(3), breaker=breaker()) as made:
        yield made


SCOPE = Scope("members", ("member",))


def calls(peer: RestQueue, number: int) -> list[str]:
    """Call so many times and return what was said."""
    said = []
    for _ in range(number):
        with pytest.raises(SyncError) as caught:
            list(peer.changes(SCOPE))
        said.append(str(caught.value))
    return said


def test_a_backend_that_is_down_is_asked_three_calls_long_and_then_not_at_all(backend: Backend, peer: RestQueue) -> None:
    backend.replies = [Answer({}, 503)]
    said = calls(peer, 6)
    assert len(backend.requests) == FAILURES * 3, "three attempts each"
    assert ["left alone" in each for each in said] == [False] * 3 + [True] * 3


def test_its_figures_are_asked_for_whatever_the_breaker_says(backend: Backend, peer: RestQueue) -> None:
    backend.replies = [Answer({}, 503)]
    calls(peer, FAILURES)
    backend.replies = [Answer(STATUS)]
    assert peer.status(SCOPE).pending == 2
    assert "left alone" in calls(peer, 1)[0], "a run keeps to it"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_a_backend_that_refuses_is_asked_every_time(backend: Backend, peer: RestQueue, status: int) -> None:
    backend.replies = [Answer({}, status)]
    calls(peer, 6)
    assert len(backend.requests) == 6


def test_attempts_that_went_through_after_all_do_not_count(backend: Backend, peer: RestQueue) -> None:
    for _ in range(FAILURES * 2):
        backend.replies = [Answer({}, 503), Answer(page())]
        list(peer.changes(SCOPE))
    assert peer.breaker is not None
    assert peer.breaker.kept == {}


def test_answers_that_a_quota_is_used_up_are_counted_those_repeated_too(backend: Backend, peer: RestQueue) -> None:
    backend.replies = [Answer({}, 429), Answer({}, 429), Answer(page())]
    list(peer.changes(SCOPE))
    assert peer.quota.copy() == {"django": 2}


# Runs


class Fragile(MemoryPeer):
    """A peer that can be down, behind a breaker as the REST queue is."""

    down, asked = False, 0
    breaker: Breaker

    def _answer(self) -> None:
        self.asked += 1
        if self.down:
            raise Transient("no answer")

    def changes(self, scope: Scope) -> Iterator[Page]:
        self.breaker.call(self._answer)
        yield from super().changes(scope)

    def apply(self, changes: Sequence[Change], run_id: str, mode: Mode = Mode.LWW) -> list[Result]:
        self.breaker.call(self._answer)
        return super().apply(changes, run_id, mode)


class Town(World):
    """A world whose Django can be down; a run is each time another instance's, which knows nothing of those before."""

    def __init__(self) -> None:
        super().__init__()
        self.django: Fragile = Fragile("django", {"thing": FIELDS}, self.clock)
        self.pair = replace(self.pair, left=self.django)

    def run(self) -> tuple[Report, int]:
        """Run and return the report, and how often Django was asked."""
        self.django.breaker = breaker()
        self.pair = replace(self.pair, breakers=(self.django.breaker,))
        asked = self.django.asked
        return self.sync(), self.django.asked - asked

    def lease(self) -> dict[str, Any]:
        return dict(self.database.snapshot("sync_leases/things").fields["last"])

    def let_an_hour_pass(self) -> None:
        lease = self.database.snapshot("sync_leases/things")
        kept = lease.fields["last"]["breakers"]["django"]
        earlier = {name: kept[name] - HOUR for name in ("opened_at", "until")}
        self.database.client_update(lease.path, {"last": lease.fields["last"] | {"breakers": {"django": kept | earlier}}})


def town_whose_django_went_down() -> Town:
    w = Town()
    w.d_save("x", a=1)
    w.run()
    w.f_update("x", a=2)
    w.deliver_all()
    w.d_save("y", a=3)
    w.django.down = True
    for _ in range(FAILURES):
        report, asked = w.run()
        assert report.failure is not None
        assert report.failure.retry
        assert asked == 1
    return w


@pytest.mark.parametrize("side", ["left", "right"])
def test_after_three_failed_runs_the_next_ones_stop_before_anything_is_asked(side: str) -> None:
    w = town_whose_django_went_down()
    if side == "right":
        w.pair = replace(w.pair, left=w.firestore, right=w.django)
    before = w.database.billed.copy()
    report, asked = w.run()
    assert asked == 0
    assert report.failure is not None
    assert report.failure.retry, "the caller may try again"
    assert "3 calls in a row failed" in report.failure.message
    assert w.database.billed.since(before).total == 4, "the lease, twice, and the run's record; no queue was read"
    assert w.lease()["breakers"]["django"]["state"] == "open"


def test_a_peer_that_is_back_gets_all_that_waited() -> None:
    w = town_whose_django_went_down()
    w.run()
    w.django.down = False
    assert w.run()[1] == 0, "it is left alone still"
    w.let_an_hour_pass()
    report, _ = w.run()
    assert report.failure is None
    assert report.moved == 2
    assert w.lease()["breakers"] == {}
    w.check("xy")


def test_a_peer_that_is_still_down_is_asked_once_an_interval() -> None:
    w = town_whose_django_went_down()
    for _ in range(3):
        w.let_an_hour_pass()
        assert w.run()[1] == 1
        assert w.run()[1] == 0


def test_a_success_between_begins_the_count_anew_for_all_instances() -> None:
    w = Town()
    for _ in range(4):
        w.django.down = True
        assert w.run()[1] == 1
        assert w.run()[1] == 1
        w.django.down = False
        assert w.run()[0].failure is None
        assert w.lease()["breakers"] == {}


def test_failures_of_firestore_say_nothing_of_the_other_peer() -> None:
    w = Town()
    w.d_save("w", a=1)
    w.run()
    w.d_save("x", a=1)

    def fault(call: str) -> None:
        if call == "query":
            raise Transient("Firestore, query")

    for _ in range(FAILURES + 1):
        w.database.fault = fault
        report, asked = w.run()
        w.database.fault = lambda call: None
        assert report.failure is not None
        assert asked > 0
        assert w.lease()["breakers"] == {}
