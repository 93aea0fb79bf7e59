"""The clock that money is promised by, and the silences that end a promise."""

import time

import pytest

from pacing.ledger_clock import LedgerClock, elapsed_s
from pacing.reaper import Silences

SERVER_S = 1_790_000_000.0


class Elapsed:
    """What elapses when a test says so."""

    def __init__(self) -> None:
        self.now_s = 500.0

    def __call__(self) -> float:
        return self.now_s


def test_it_shows_the_servers_time_and_then_what_elapses() -> None:
    elapsed = Elapsed()
    clock = LedgerClock(elapsed)
    clock.anchor(SERVER_S, 500.0)
    assert clock.now_s() == SERVER_S
    elapsed.now_s += 90.5
    assert clock.now_s() == SERVER_S + 90.5


def test_setting_the_wall_clock_does_not_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = LedgerClock()
    clock.anchor(SERVER_S, elapsed_s())
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert SERVER_S <= clock.now_s() < SERVER_S + 60


@pytest.mark.parametrize(
    ("server_s", "ahead_s"),
    [(0.0, 0.0), (1.5, 0.0), (-0.5, -0.5), (2.0, 0.5), (241.5, 240.0), (-240.0, -240.0)],
)
def test_an_answer_on_its_way_is_no_disagreement(server_s: float, ahead_s: float) -> None:
    clock = LedgerClock(Elapsed())
    clock.anchor(SERVER_S, 500.0)
    # Asked at the anchor, and heard a second and a half later.
    found_s = clock.disagreement_s(SERVER_S + server_s, asked_s=500.0, heard_s=501.5)
    assert found_s == pytest.approx(ahead_s)


def test_a_silence_lasts_from_the_first_look_at_a_heartbeat_to_another() -> None:
    silences = Silences()
    assert silences.longer_than(14.0, {1: 100.0, 2: 100.0}, 0.0) == {}
    assert silences.longer_than(14.0, {1: 100.0, 2: 113.0}, 14.0) == {}
    assert silences.longer_than(14.0, {1: 100.0, 2: 113.0}, 14.1) == {1: 100.0}
    # Struck off by another process; and a worker that is new is not silent.
    assert silences.longer_than(14.0, {2: 113.0, 3: 90.0}, 27.9) == {}
    assert silences.longer_than(14.0, {2: 113.0, 3: 90.0}, 28.1) == {2: 113.0}


@pytest.mark.parametrize("ahead_s", [300.0, -300.0])
def test_a_server_whose_clock_is_set_makes_nobody_silent(ahead_s: float) -> None:
    silences = Silences()
    assert silences.longer_than(14.0, {1: 100.0, 2: 100.0}, 0.0) == {}
    assert silences.longer_than(14.0, {1: 101.0 + ahead_s, 2: 100.0}, 1.0) == {}
    assert silences.longer_than(14.0, {1: 114.0 + ahead_s, 2: 100.0}, 14.5) == {2: 100.0}
