"""A worker's book: each rule on its own. `test_lease_simulation` runs them together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.limits import LEASE_STALE_SECONDS_MAX, NOTICE_TIMEOUT_SECONDS_MAX, RESERVATION_SLOTS
from config.money import MONEY_MAX
from pacing.lease import BACKOFF_SECONDS_MAX, LeaseBook

NOW_S = 1_000_000.0
BID_MAX = 100


def a_book(*leases: int, now_s: float = NOW_S) -> LeaseBook:
    """A book after one sync that brought these leases."""
    book = LeaseBook(range(10, 10 + len(leases)), [BID_MAX] * len(leases), ahead_bids=2)
    book.finish_sync(book.begin_sync(now_s), np.array(leases, np.int64))
    return book


def reserve(book: LeaseBook, row: int, price: int, expiry_s: int) -> None:
    """What the kernel does."""
    assert book.available[row] >= price
    book.available[row] -= price
    book.reserved[row, expiry_s % RESERVATION_SLOTS] += price


def sync(
    book: LeaseBook,
    now_s: float,
    leases: list[int],
    *,
    paused: list[bool] | None = None,
    asked: list[int] | None = None,
    granted: list[int] | None = None,
    settled: dict[int, dict[int, int]] | None = None,
) -> None:
    book.finish_sync(
        book.begin_sync(now_s),
        np.array(leases, np.int64),
        None if paused is None else np.array(paused),
        None if asked is None else np.array(asked, np.int64),
        None if granted is None else np.array(granted, np.int64),
        settled,
    )
    book.check()


def test_a_settled_bid_leaves_the_ring_at_once_and_once() -> None:
    book = a_book(10, 10, now_s=90.0)
    reserve(book, 0, 6, 100)
    reserve(book, 0, 3, 101)
    reserve(book, 1, 5, 100)
    sync(book, 91.0, [8, 10], settled={0: {100: 6}})
    assert book.available.tolist() == [5, 5]
    assert book.promised().tolist() == [3, 5]
    # The same sum again, as after a reply that was lost, frees nothing; a larger one the difference.
    reserve(book, 0, 4, 100)
    sync(book, 92.0, [8, 10], settled={0: {100: 6}})
    assert book.available.tolist() == [1, 5]
    sync(book, 93.0, [7, 10], settled={0: {100: 10}})
    assert book.available.tolist() == [4, 5]


def test_what_is_settled_late_is_no_longer_in_the_ring() -> None:
    book = a_book(10, now_s=90.0)
    reserve(book, 0, 6, 100)
    sync(book, 102.0, [10])
    reserve(book, 0, 7, 110)
    sync(book, 103.0, [4], settled={0: {100: 6}})
    assert book.available.tolist() == [-3]
    assert book.promised().tolist() == [7]


def test_what_was_settled_is_remembered_in_the_next_book() -> None:
    book = a_book(10, 10, now_s=90.0)
    reserve(book, 1, 6, 100)
    reserve(book, 1, 2, 100)
    sync(book, 91.0, [10, 8], settled={1: {100: 6}})
    book = book.carry_over([11, 10], [BID_MAX, BID_MAX])
    sync(book, 92.0, [8, 10], settled={0: {100: 6}})
    assert book.available.tolist() == [6, 10]


def test_the_worked_example_of_the_essay() -> None:
    book = a_book(10, now_s=90.0)
    reserve(book, 0, 6, 100)
    start = book.begin_sync(99.5)
    # The answer is of 99.6, before the charge, and arrives after second 100 has passed.
    book.finish_sync(start, np.array([10], np.int64))
    assert book.available.tolist() == [4]
    sync(book, 102.1, [4])
    assert book.available.tolist() == [4]
    assert book.reserved.sum() == 0


def test_a_reservation_stays_until_its_second_has_passed() -> None:
    book = a_book(1_000)
    reserve(book, 0, 60, int(NOW_S) + 10)
    for seconds, available in [(9.0, 940), (10.0, 940), (10.999, 940), (11.0, 1_000)]:
        sync(book, NOW_S + seconds, [1_000])
        assert book.available.tolist() == [available]


@given(
    st.lists(
        st.tuples(
            st.floats(0.01, LEASE_STALE_SECONDS_MAX),
            st.lists(st.tuples(st.integers(1, 50), st.integers(1, NOTICE_TIMEOUT_SECONDS_MAX)), max_size=5),
        ),
        max_size=100,
    )
)
def test_the_ring_holds_exactly_what_has_not_expired(
    steps: list[tuple[float, list[tuple[int, int]]]],
) -> None:
    lease, now_s = 100_000, NOW_S
    book = a_book(lease)
    naive: list[tuple[int, int]] = []
    for elapsed_s, bids in steps:
        now_s += elapsed_s
        for price, timeout_s in bids:
            reserve(book, 0, price, int(now_s) + timeout_s)
            naive.append((int(now_s) + timeout_s, price))
        sync(book, now_s, [lease])
        naive = [(expiry_s, price) for expiry_s, price in naive if expiry_s >= int(now_s)]
        assert lease - int(book.available[0]) == sum(price for _, price in naive)


def test_available_may_be_negative_and_recovers() -> None:
    book = a_book(100)
    reserve(book, 0, 90, int(NOW_S) + 10)
    sync(book, NOW_S + 1, [10])
    assert book.available.tolist() == [-80]
    assert book.unreserved().tolist() == [0]
    sync(book, NOW_S + 11, [10])
    assert book.available.tolist() == [10]


def test_a_new_book_wants_two_bids_for_each_campaign_and_offers_nothing() -> None:
    book = LeaseBook([1, 2, 3], [100, 250, 0], ahead_bids=2)
    assert book.available.tolist() == [0, 0, 0]
    assert book.stale(0.0)
    book.begin_sync(NOW_S)
    assert book.wanted(NOW_S).tolist() == [200, 500, 0]
    assert book.surplus().tolist() == [0, 0, 0]


def test_it_wants_two_seconds_of_the_rate_once_a_quarter_is_missing() -> None:
    book = a_book(36_000)
    # 8,000 a second: the target is 16,000, and three quarters of it are 12,000.
    for second, (available, wanted) in enumerate([(28_000, 0), (20_000, 0), (12_000, 0), (4_000, 12_000)]):
        reserve(book, 0, 8_000, int(NOW_S) + 100)
        assert book.available.tolist() == [available]
        sync(book, NOW_S + second + 1, [36_000])
        assert book.wanted(NOW_S + second + 1).tolist() == [wanted]


def test_a_lease_that_ran_out_asks_for_more_than_was_seen() -> None:
    book = a_book(8_000)
    reserve(book, 0, 8_000, int(NOW_S) + 100)
    book.begin_sync(NOW_S + 1)
    assert book.wanted(NOW_S + 1).tolist() == [2 * 2 * 8_000]


def test_amounts_at_the_top_of_the_range_do_not_overflow() -> None:
    book = a_book(MONEY_MAX)
    reserve(book, 0, MONEY_MAX, int(NOW_S) + 1)
    book.begin_sync(NOW_S + 0.001)
    assert book.wanted(NOW_S + 0.001).tolist() == [MONEY_MAX]
    sync(book, NOW_S + 2, [MONEY_MAX])
    assert book.available.tolist() == [MONEY_MAX]


def test_it_gives_back_what_is_far_above_the_need_and_never_twice() -> None:
    book = a_book(2_000, 500)
    surplus = book.surplus()
    assert surplus.tolist() == [2_000 - 2 * BID_MAX, 0]
    book.give_back(surplus)
    assert book.available.tolist() == [200, 500]
    assert book.outstanding.tolist() == [200, 500]
    assert book.surplus().tolist() == [0, 0]
    assert book.returned.tolist() == [1_800, 0]
    book.check()


def test_a_refused_campaign_asks_ever_less_often_until_it_is_served() -> None:
    book = a_book(0)
    asked_at = []
    for second in range(1, 40):
        now_s = NOW_S + second
        start = book.begin_sync(now_s)
        wanted = book.wanted(now_s)
        if wanted[0]:
            asked_at.append(second)
        nothing = np.zeros(1, np.int64)
        book.finish_sync(start, nothing, None, wanted, nothing)
    waits = np.diff(asked_at).tolist()
    assert waits == [1, 2, 4, *[BACKOFF_SECONDS_MAX] * (len(waits) - 3)]
    sync(book, NOW_S + 50, [200], asked=[200], granted=[200])
    reserve(book, 0, 200, int(NOW_S) + 60)
    assert book.wanted(NOW_S + 50.5)[0] > 0


def test_a_crumb_that_nobody_adds_to_goes_back() -> None:
    book = a_book(60)
    assert book.surplus().tolist() == [0]
    sync(book, NOW_S + 1, [60], asked=[140], granted=[0])
    assert book.surplus().tolist() == [60]
    # Not while it is being spent.
    reserve(book, 0, 20, int(NOW_S) + 11)
    book.begin_sync(NOW_S + 2)
    assert book.surplus().tolist() == [0]


def test_a_paused_campaign_has_nothing_available_and_returns_all_but_its_promises() -> None:
    book = a_book(500, 500)
    reserve(book, 0, 100, int(NOW_S) + 10)
    sync(book, NOW_S + 1, [500, 500], paused=[True, False])
    assert book.available.tolist() == [0, 500]
    book.give_back(book.surplus())
    assert book.outstanding.tolist() == [100, 500]
    # Unread rounds leave it paused; the reservation is not given back before it expires.
    sync(book, NOW_S + 2, [100, 500])
    assert book.surplus().tolist() == [0, 0]
    sync(book, NOW_S + 11, [100, 500])
    assert book.surplus().tolist() == [100, 0]
    sync(book, NOW_S + 12, [700, 500], paused=[False, False])
    assert book.available.tolist() == [700, 500]


def test_staleness_counts_from_the_beginning_of_the_last_finished_sync() -> None:
    book = a_book(500)
    start = book.begin_sync(NOW_S + 10)
    assert not book.stale(NOW_S + LEASE_STALE_SECONDS_MAX)
    assert book.stale(NOW_S + LEASE_STALE_SECONDS_MAX + 0.1)
    book.finish_sync(start, np.array([500], np.int64))
    assert not book.stale(NOW_S + 10 + LEASE_STALE_SECONDS_MAX)
    assert book.stale(NOW_S + 10 + LEASE_STALE_SECONDS_MAX + 0.1)


def test_a_closed_book_opens_with_the_next_finished_sync() -> None:
    book = a_book(500, 100)
    reserve(book, 0, 50, int(NOW_S) + 10)
    held = book.available
    book.close_all()
    assert held.tolist() == [0, 0]
    book.check()
    sync(book, NOW_S + 1, [500, 100])
    # The kernel's array is the same one, written in place.
    assert held.tolist() == [450, 100]


def test_a_book_that_is_shut_stays_closed_through_its_syncs_and_keeps_what_it_holds() -> None:
    book = a_book(500)
    reserve(book, 0, 50, int(NOW_S) + 10)
    book.shut = True
    sync(book, NOW_S + 1, [600])
    assert book.available.tolist() == [0]
    assert book.unreserved().tolist() == [550]
    book.shut = False
    sync(book, NOW_S + 2, [600])
    assert book.available.tolist() == [550]


def test_a_book_carried_over_moves_rows_by_code() -> None:
    book = a_book(500, 600, 700)
    reserve(book, 0, 100, int(NOW_S) + 5)
    reserve(book, 2, 200, int(NOW_S) + 5)
    book.multiplier_q16[:] = [1, 2, 3]
    carried = book.carry_over([12, 99, 11], [BID_MAX] * 3)
    carried.check()
    assert carried.codes == (12, 99, 11, 10)
    assert carried.available.tolist() == [500, 0, 600, 0]
    assert carried.multiplier_q16[[0, 2]].tolist() == [3, 2]
    assert carried.retired.tolist() == [False, False, False, True]
    assert carried.surplus()[3] == 400
    carried.give_back(np.array([0, 0, 0, 400], np.int64))
    assert not carried.stale(NOW_S + 1)
    # The retired campaign keeps its row while a notice may come, and while its return is not confirmed.
    sync(carried, NOW_S + 6, [700, 0, 600, 100])
    assert carried.carry_over([12], [BID_MAX]).codes == (12, 11, 10)
    carried.give_back(carried.surplus())
    assert 10 in carried.carry_over([12], [BID_MAX]).codes
    carried.confirmed = carried.returned.copy()
    assert 10 not in carried.carry_over([12], [BID_MAX]).codes


def test_a_campaign_that_comes_back_is_open_again() -> None:
    book = a_book(500)
    book = book.carry_over([], [])
    assert book.available.tolist() == [0]
    book = book.carry_over([10], [BID_MAX])
    sync(book, NOW_S + 1, [500])
    assert book.available.tolist() == [500]


def test_check_finds_a_book_that_does_not_add_up() -> None:
    book = a_book(500)
    book.available[0] += 1
    with pytest.raises(AssertionError, match="available 501"):
        book.check()


def spend_all(book: LeaseBook, now_s: float) -> None:
    """Bid until nothing is left, and then once more."""
    reserve(book, 0, int(book.available[0]), int(now_s) + 10)
    book.missed[0] = True


def refused(book: LeaseBook, now_s: float, *, others_hold: bool) -> bool:
    """A round in which the ledger grants nothing; return whether the account is to be called short."""
    start = book.begin_sync(now_s)
    wanted, nothing = book.wanted(now_s), np.zeros(1, np.int64)
    called = book.finish_sync(
        start, book.outstanding, None, wanted, nothing, contended=np.array([others_hold])
    )
    return bool(called[0] and wanted[0])


def test_an_idle_worker_gives_back_all_of_a_short_account_and_asks_for_nothing() -> None:
    book = a_book(200, 200)
    reserve(book, 0, 30, int(NOW_S) + 10)
    book.begin_sync(NOW_S + 0.5)
    book.share_short([10, 77], NOW_S + 0.5)
    assert book.surplus().tolist() == [200 - 30 - 2 * 60, 0], "two seconds of its rate are needed"
    book.begin_sync(NOW_S + 4)
    assert book.surplus().tolist() == [170, 0]
    book.give_back(book.surplus())
    book.check()
    book.begin_sync(NOW_S + 100)
    assert book.wanted(NOW_S + 100).tolist() == [0, 0]


def test_a_worker_that_misses_a_bid_asks_at_once_for_as_much_as_it_needs() -> None:
    book = a_book(0)
    for second in range(1, 6):
        assert not refused(book, NOW_S + second, others_hold=True), "it has no bids to make"
    book.share_short([10], NOW_S + 6)
    book.missed[0] = True
    book.begin_sync(NOW_S + 6)
    assert book.wanted(NOW_S + 6).tolist() == [BID_MAX]
    assert not book.missed[0]
    # Long after, it holds some bids at hand again.
    book.missed[0] = True
    book.begin_sync(NOW_S + 40)
    assert book.wanted(NOW_S + 40).tolist() == [2 * BID_MAX]


def test_a_bid_missed_while_money_was_on_its_way_is_no_dear_one() -> None:
    book = a_book(0)
    start = book.begin_sync(NOW_S + 1)
    book.missed[0] = True
    book.finish_sync(start, np.array([2 * BID_MAX], np.int64))
    book.begin_sync(NOW_S + 2)
    assert book.wanted(NOW_S + 2).tolist() == [0], "all it means to hold is at hand"
    start = book.begin_sync(NOW_S + 3)
    book.finish_sync(start, book.outstanding)
    book.missed[0] = True
    book.begin_sync(NOW_S + 4)
    assert book.wanted(NOW_S + 4)[0] > 2 * BID_MAX, "two bids' worth did not suffice"


def test_it_calls_short_what_others_hold_and_asks_every_second() -> None:
    book = a_book(200)
    called_at = []
    spend_all(book, NOW_S)
    for tenth in range(5, 40, 5):
        book.missed[0] = True
        if refused(book, NOW_S + tenth / 10, others_hold=True):
            called_at.append(tenth)
    assert called_at == [5, 15, 25, 35]
    book.missed[0] = True
    assert not refused(book, NOW_S + 4.5, others_hold=False), "nobody could give any back"


def test_after_a_change_of_budgets_nothing_is_short() -> None:
    book = a_book(0)
    book.share_short([10], NOW_S)
    book.begin_sync(NOW_S + 1)
    assert book.wanted(NOW_S + 1).tolist() == [0]
    book.ask_again()
    assert book.wanted(NOW_S + 1).tolist() == [2 * BID_MAX]


def test_what_a_server_forgot_is_promised_again_until_it_hears_of_it() -> None:
    book = a_book(10, now_s=90.0)
    reserve(book, 0, 6, 100)
    reserve(book, 0, 3, 101)
    sync(book, 91.0, [4], settled={0: {100: 6}})
    assert book.available.tolist() == [1]
    # Its lease is again what it was before the bill.
    sync(book, 92.0, [10], settled={0: {}})
    assert book.available.tolist() == [1]
    assert book.promised().tolist() == [9]
    sync(book, 93.0, [4], settled={0: {100: 6}})
    assert book.available.tolist() == [1]
    assert book.promised().tolist() == [3]


def test_a_settled_second_that_has_passed_is_not_missed() -> None:
    book = a_book(10, now_s=90.0)
    reserve(book, 0, 6, 100)
    sync(book, 91.0, [4], settled={0: {100: 6}})
    sync(book, 101.5, [4], settled={0: {}})
    assert book.available.tolist() == [4]
