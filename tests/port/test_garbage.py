"""The worker's collector: cycles go, survivors are frozen, and the interpreter gets its own back."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from bidder.port.garbage import FULL_SECONDS, Garbage


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def garbage() -> Iterator[Garbage]:
    before = gc.get_threshold()
    collector = Garbage()
    collector.start(0.0)
    yield collector
    collector.stop()
    gc.unfreeze()
    assert gc.get_threshold() == before


def test_a_young_cycle_is_collected_and_a_survivor_frozen(garbage: Garbage) -> None:
    frozen = gc.get_freeze_count()
    kept, lost = Cycle(), Cycle()
    gone = weakref.ref(lost)
    del lost
    garbage.tick(1.0)
    assert gone() is None
    assert gc.get_freeze_count() > frozen
    assert not any(thing is kept for thing in gc.get_objects())


def test_a_cycle_that_froze_alive_goes_within_the_hour(garbage: Garbage) -> None:
    cycle = Cycle()
    gone = weakref.ref(cycle)
    garbage.tick(1.0)
    del cycle
    garbage.tick(2.0)
    assert gone() is not None
    garbage.tick(FULL_SECONDS)
    assert gone() is None


def test_the_oldest_are_never_collected_by_themselves(garbage: Garbage) -> None:
    assert gc.get_threshold()[2] > 1_000_000
