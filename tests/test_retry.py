"""When to try again, and when to give up: no clock but the one given."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import TerminalBatch, TerminalRecord, Transient
from shared.retry import Backoff, Patience, call

QUICK = settings(derandomize=True, database=None, deadline=None)

BACKOFF = Backoff(attempts=4, first=0.5, longest=8.0)

WAITS = {
    # attempt, what the peer asked for, chance -> seconds
    "half of it without luck": (1, 0, 0.0, 0.25),
    "all of it with": (1, 0, 1.0, 0.5),
    "twice as long after the second": (2, 0, 1.0, 1.0),
    "and again": (3, 0, 1.0, 2.0),
    "the last attempt is the last": (4, 0, 1.0, None),
    "the peer's wish is the least": (1, 3.0, 1.0, 3.0),
    "but no more than that": (3, 1.0, 1.0, 2.0),
    "the longest that is waited": (1, 8.0, 0.0, 8.0),
    "a peer that asks for more is left for the next run": (1, 8.1, 0.0, None),
}


@pytest.mark.parametrize("attempt, after, chance, seconds", WAITS.values(), ids=WAITS)
def test_a_wait_doubles_and_heeds_the_peer(attempt, after, chance, seconds):
    assert BACKOFF.wait(attempt, Transient("busy", after), chance) == seconds


@QUICK
@given(st.integers(1, 2000), st.floats(0, 100), st.floats(0, 1))
def test_no_wait_is_longer_than_the_longest_or_shorter_than_asked(attempt, after, chance):
    wait = Backoff(attempts=1000).wait(attempt, Transient("busy", after), chance)
    assert (wait is None) is (attempt >= 1000 or after > 8.0)
    assert wait is None or after <= wait <= 8.0


class Peer:
    """Fails as told, then answers."""

    def __init__(self, *failures):
        self.failures, self.asked, self.slept = list(failures), 0, []

    def __call__(self):
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"

    def call(self, backoff=BACKOFF):
        return call(self, backoff, self.slept.append, lambda: 1.0)


def test_an_answer_at_once_is_not_waited_for():
    peer = Peer()
    assert (peer.call(), peer.asked, peer.slept) == ("answer", 1, [])


def test_what_passes_is_tried_again():
    peer = Peer(Transient("busy"), Transient("busy", after=3), Transient("busy"))
    assert (peer.call(), peer.asked, peer.slept) == ("answer", 4, [0.5, 3, 2.0])


def test_the_last_error_is_raised_when_the_attempts_are_used_up():
    peer = Peer(*(Transient(f"attempt {number}") for number in (1, 2, 3, 4)))
    with pytest.raises(Transient, match="attempt 4"):
        peer.call()
    assert (peer.asked, peer.slept) == (4, [0.5, 1.0, 2.0])


def test_a_peer_that_asks_for_a_long_wait_is_not_waited_for():
    peer = Peer(Transient("come back tomorrow", after=86400))
    with pytest.raises(Transient, match="tomorrow") as raised:
        peer.call()
    assert (peer.asked, peer.slept, raised.value.after) == (1, [], 86400)


@pytest.mark.parametrize("error", [TerminalBatch("refused"), TerminalRecord("unique", "taken"), KeyError("ours")], ids=repr)
def test_what_does_not_pass_is_not_tried_again(error):
    peer = Peer(error)
    with pytest.raises(type(error)):
        peer.call()
    assert (peer.asked, peer.slept) == (1, [])


def test_one_attempt_means_one():
    peer = Peer(Transient("busy"))
    with pytest.raises(Transient):
        peer.call(Backoff(attempts=1))
    assert (peer.asked, peer.slept) == (1, [])


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PATIENCE = Patience(attempts=10, age=timedelta(hours=24))

SPENT = {
    "often and long": (10, timedelta(hours=24), True),
    "more than that": (11, timedelta(days=9), True),
    "often in a short time: a burst of runs": (1000, timedelta(hours=23, minutes=59), False),
    "seldom in a long time: runs are rare": (9, timedelta(days=9), False),
    "for the first time": (1, timedelta(0), False),
}


@pytest.mark.parametrize("attempts, age, spent", SPENT.values(), ids=SPENT)
def test_patience_ends_after_so_many_attempts_and_so_many_hours(attempts, age, spent):
    assert PATIENCE.spent(attempts, since=NOON - age, now=NOON) is spent
