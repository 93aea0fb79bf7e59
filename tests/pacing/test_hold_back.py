"""What is kept back for late bills: twice their share of the budget, released at the end."""

import msgspec
import pytest

from pacing.account import Account
from pacing.hold_back import HELD_SHARE_MAX, LateBills, first_look, held_back, look_again, prior_share

DAY_S = 86_400.0
BUDGET = 1_000_000


def account(spent: int, overdue: int, adjusted: int = 0) -> Account:
    return Account(
        code=1,
        campaign_id="fair",
        time_zone="UTC",
        total=BUDGET,
        daily=None,
        spent=spent,
        adjusted=adjusted,
        overdue=overdue,
        day=0,
        spent_day=0,
        leased=0,
        late=0,
        paused=False,
        ceiling=None,
        ceiling_day=None,
        leases={},
    )


def seen(spent: int, overdue: int) -> LateBills:
    return first_look(account(spent, overdue), 0.0)


def test_nothing_is_held_while_no_bill_is_late() -> None:
    assert held_back(seen(0, 0), 0.0, BUDGET, 0, DAY_S, 100) == 0
    assert held_back(seen(500, 0), 0.0, BUDGET, 0, DAY_S, 100) == 0


def test_twice_the_late_share_is_held_until_the_last_hundredth_of_the_time() -> None:
    late = seen(10_000, 50)
    assert held_back(late, 0.0, BUDGET, 0, DAY_S, 0.98 * DAY_S) == pytest.approx(0.01 * BUDGET, abs=1)
    assert held_back(late, 0.0, BUDGET, 0, DAY_S, 0.99 * DAY_S) == 0


def test_what_the_last_minutes_may_still_bring_stays_held() -> None:
    late = msgspec.structs.replace(seen(10_000, 50), recent=70_000.0)
    assert held_back(late, 0.0, BUDGET, 0, DAY_S, 0.995 * DAY_S) == pytest.approx(700, abs=1)


def test_no_more_than_a_part_is_held_however_late_the_bills() -> None:
    assert held_back(seen(10_000, 10_000), 0.0, BUDGET, 0, DAY_S, 0) == HELD_SHARE_MAX * BUDGET


def test_the_share_follows_the_bills_and_keeps_while_there_are_none() -> None:
    late = seen(10_000, 0)
    late = look_again(late, account(11_000, 100), 10.0)
    assert late.share(0.0) == pytest.approx(100 / 11_000, rel=0.01)
    assert look_again(late, account(11_000, 100), 5_000.0).share(0.0) == pytest.approx(late.share(0.0))
    for hour in range(1, 13):
        late = look_again(late, account(11_000 + 10_000 * hour, 100 + 200 * hour), 3_600.0 * hour)
    assert late.share(0.0) == pytest.approx(0.02, rel=0.01)


def test_a_correction_by_hand_is_no_bill() -> None:
    late = look_again(seen(10_000, 50), account(9_000, 50, adjusted=-1_000), 1.0)
    assert late.share(0.0) == pytest.approx(0.005)
    assert late.recent == 0


def test_what_nobody_knows_of_recent_bills_yet_the_others_say() -> None:
    others = prior_share([seen(30_000, 100), seen(10_000, 100)])
    assert others == pytest.approx(0.005)
    assert held_back(seen(0, 0), others, BUDGET, 0, 300, 0) == pytest.approx(0.01 * BUDGET, abs=1)
    # It has spent most of its money in a minute; none of its bills can be late yet.
    late = look_again(seen(0, 0), account(900_000, 0), 60.0)
    assert held_back(late, others, BUDGET, 0, 300, 60) == pytest.approx(0.01 * BUDGET, abs=1)
    # Hours later its own bills say more than the others'.
    for hour in range(1, 6):
        late = look_again(late, account(900_000 + 10_000 * hour, 200 * hour), 60 + 3_600.0 * hour)
    assert late.share(others) == pytest.approx(late.share(0.0), rel=0.1)


def test_a_campaign_that_spends_much_at_once_hides_nothing() -> None:
    rushed = look_again(seen(0, 0), account(900_000, 0), 60.0)
    assert prior_share([seen(20_000, 100), rushed]) == pytest.approx(0.005)


def test_without_any_bills_there_is_no_prior() -> None:
    assert prior_share([]) == prior_share([seen(0, 0)]) == 0.0
