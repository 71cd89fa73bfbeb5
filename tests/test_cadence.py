"""When a checkpoint is due, by a clock that the test winds."""

import pytest

from holdfast.training import cadence
from holdfast.training.cadence import Cadence, Every
from holdfast.types import Position


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(cadence.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.mark.parametrize(
    ("stall", "writing", "due"),
    [
        (0.0, 0.0, 9.9),  # a stretch before
        (0.5, 3.0, 5.9),  # what waits to be written and what is being written are at risk too
        (1.0, 60.0, 5.0),  # nothing keeps the bound: not without end, all the same
    ],
)
def test_seconds_are_the_most_that_a_kill_costs(clock, stall, writing, due):
    moments = Cadence(Every(seconds=10))
    moments.taken(Position(0, 1, 1), stall)
    moments.written(0.0, writing, failed=False)
    began = clock.now
    clock.now = began + due - 0.01
    assert not moments.due()
    clock.now = began + due + 0.01
    assert moments.due()


def test_a_share_of_the_time_is_kept(clock):
    moments = Cadence(Every(overhead=0.01))
    moments.taken(Position(0, 1, 1), 0.04)
    moments.written(0.0, 5.0, failed=False)
    clock.now += 7.9
    assert not moments.due()  # 0.04 s spent and as much for the next are 1 % of 8 s
    clock.now += 0.2
    assert moments.due()


def test_after_a_failure_it_waits(clock):
    moments = Cadence(Every(seconds=1))
    moments.taken(Position(0, 1, 1), 0.0)
    for wait in (1, 2, 4):
        moments.written(0.0, 0.0, failed=True)
        clock.now += wait - 0.01
        assert not moments.due()
        clock.now += 0.02
        assert moments.due()
