"""The table of bids that frequency caps count, against a list of all of them; and what workers share."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacing.kernels import counts_until, hold_pending, pending_count, pending_key, share_of
from pacing.pending import PENDING_SLOTS, open_pending

NOW_S = 1_795_000_000
KERNELS = pytest.mark.parametrize(
    "run", [lambda kernel: kernel, lambda kernel: kernel.py_func], ids=["compiled", "plain"]
)
Run = Callable[[Any], Callable[..., Any]]


def key_of(user_hash: int, code: int) -> np.uint64:
    return np.uint64(pending_key(np.uint64(user_hash), code))


@KERNELS
def test_bids_count_until_their_time_is_up(run: Run) -> None:
    """A table with room for all counts exactly as a list does."""
    chance = random.Random(3)
    pending = open_pending(64)
    made: list[tuple[np.uint64, int]] = []
    now_s = NOW_S
    for _ in range(1_500):
        now_s += chance.choice([0, 0, 1, 3, 30])
        made = [bid for bid in made if bid[1] >= now_s]
        key = key_of(chance.randrange(2**63, 2**64), 7) if chance.random() < 0.3 else key_of(5, 6)
        until_s = now_s + chance.choice([1, 2, 10])
        run(hold_pending)(pending, key, until_s, now_s)
        made.append((key, until_s))
        for other in {bid[0] for bid in made}:
            live = sum(bid[0] == other for bid in made)
            assert run(pending_count)(pending, other, now_s) == live
    assert pending.crowded_out[0] == 0


def test_a_full_bucket_gives_up_what_ends_first_and_counts_it() -> None:
    pending, key = open_pending(1), key_of(5, 6)
    for n in range(PENDING_SLOTS):
        hold_pending(pending, key, NOW_S + 5 + n, NOW_S)
    hold_pending(pending, key, NOW_S + 5, NOW_S)
    assert (pending_count(pending, key, NOW_S), pending.crowded_out[0]) == (PENDING_SLOTS + 1, 0)
    hold_pending(pending, key_of(8, 9), NOW_S + 50, NOW_S)
    assert (pending_count(pending, key, NOW_S), pending.crowded_out[0]) == (PENDING_SLOTS - 1, 2)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(-2, 40), st.integers(1, 9))
def test_all_workers_together_bid_for_one_more_than_a_cap_leaves_at_most(
    user_hash: int, code: int, left: int, workers: int
) -> None:
    key = key_of(user_hash, code)
    shares = []
    for place in range(workers):
        pending = open_pending(1)
        pending.place[:] = place, workers
        shares.append(share_of(left, key, pending))
        assert share_of.py_func(left, key, pending) == shares[-1]
    if left <= 0:
        assert max(shares) <= 0
    else:
        assert sum(shares) == left + (workers > 1)
        assert max(shares) - min(shares) <= 1


def test_a_worker_whose_place_changes_has_no_more_turns_than_both_give_until_it_settles() -> None:
    key, left = key_of(5, 6), 6
    moved, fresh = open_pending(1), open_pending(1)
    moved.place[:] = 2, 3
    before = share_of(left, key, moved)
    assert moved.move(1, 2)
    assert not moved.move(1, 2), "it has this place already"
    fresh.place[:] = 1, 2
    after = share_of(left, key, fresh)
    assert before < after
    assert share_of(left, key, moved) == share_of.py_func(left, key, moved) == before
    moved.settle()
    assert share_of(left, key, moved) == after


def test_one_of_several_workers_counts_a_bid_for_twice_its_timeout() -> None:
    pending = open_pending(1)
    assert counts_until(pending, 10, NOW_S) == NOW_S + 10
    pending.move(0, 2)
    assert counts_until(pending, 10, NOW_S) == counts_until.py_func(pending, 10, NOW_S) == NOW_S + 20
