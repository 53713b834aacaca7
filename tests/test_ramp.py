"""Writes are spaced as Firestore's published rule has it: 500 a second at first, half as many more every five minutes."""

from hypothesis import given
from hypothesis import strategies as st

from shared.peers.ramp import Ramp


class Clock:
    """A clock that only sleeping moves, and whoever holds it."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


def paced(clock: Clock) -> Ramp:
    return Ramp(clock, clock.sleep)


def test_the_first_request_goes_at_once_and_the_second_when_the_first_one_s_second_is_over():
    clock = Clock()
    ramp = paced(clock)
    ramp.take(500)
    assert clock.slept == 0
    ramp.take(500)
    assert clock.slept == 1


def test_after_five_minutes_half_as_many_more_may_pass():
    clock = Clock()
    ramp = paced(clock)
    for _ in range(301):
        ramp.take(500)
    before = clock.now
    for _ in range(3):
        ramp.take(500)
    assert round(clock.now - before, 6) == 2.0, "750 a second"


def test_after_a_pause_of_five_minutes_it_begins_anew():
    clock = Clock()
    ramp = paced(clock)
    for _ in range(400):
        ramp.take(500)
    clock.now += 700
    ramp.take(500)
    before = clock.now
    ramp.take(500)
    assert clock.now - before == 1


@given(st.lists(st.integers(1, 500), min_size=1, max_size=400))
def test_no_more_ever_pass_than_the_rule_allows(requests: list[int]):
    clock, sent = Clock(), 0
    ramp = paced(clock)
    for writes in requests:
        ramp.take(writes)
        allowed = sum(500 * 1.5**step * min(300, max(0, clock.now - 300 * step)) for step in range(5))
        assert sent <= allowed + 1e-6, "what went before has had its time"
        sent += writes
