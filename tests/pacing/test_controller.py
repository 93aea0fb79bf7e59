"""What a leading controller does with the accounts and plans of a real server."""

import time

import msgspec
import pytest
import redis.asyncio
from redis.typing import EncodableT, FieldT

from config.calendar import day_bounds_s, local_day
from config.money import BILLION, Money
from config.redis_keys import STREAM_LOSSES, STREAM_WINS, delivered
from config.schema import (
    Goal,
    LineItemBudget,
    account_code,
)
from pacing.controller import SHADE_INTERVAL_S
from pacing.curve import plan_curve
from pacing.goal import GOAL_INTERVAL_S
from pacing.landscape import OBSERVATIONS_MIN
from pacing.ledger import Ledger, Settlement
from pacing.pace import MULTIPLIER_START, SLACK_SHARE
from pacing.plan import MULTIPLIER_ONE_Q16, fetch
from pacing.shading import fetch_shading
from pacing.traffic import usual_week
from tests.pacing.controllers import ASAP, DAILY, EVEN, NOW_S, ZONE, bundle, campaign, candidate


async def test_first_tick_opens_accounts_sets_ceilings_and_publishes(
    redis_client: redis.asyncio.Redis,
) -> None:
    assert await candidate(redis_client, "a").tick(bundle(), NOW_S)
    plan = await fetch(redis_client)
    assert plan is not None
    assert (plan.made_at_s, plan.version) == (NOW_S, 1)
    assert plan.campaigns[ASAP].multiplier_q16 == MULTIPLIER_ONE_Q16
    assert plan.campaigns[EVEN].multiplier_q16 == round(MULTIPLIER_START * MULTIPLIER_ONE_Q16)
    accounts = await Ledger(redis_client).accounts([EVEN, ASAP])
    assert accounts[EVEN].daily == DAILY
    assert accounts[ASAP].ceiling is None
    assert accounts[EVEN].ceiling_day == local_day(NOW_S, ZONE)
    # Nothing is known of its traffic yet: a day like any other.
    curve = plan_curve(campaign("even"), *day_bounds_s(NOW_S, ZONE), usual_week(0))
    assert accounts[EVEN].ceiling == pytest.approx(DAILY * (curve.share(NOW_S + 2) + SLACK_SHARE))
    decided = plan.campaigns[EVEN]
    assert (decided.budget, decided.spent, decided.window_s) == (DAILY, 0, day_bounds_s(NOW_S, ZONE)[0])
    assert decided.planned == pytest.approx(DAILY * curve.share(NOW_S), rel=1e-4)


async def test_a_line_item_with_a_budget_of_its_own_gets_an_account(
    redis_client: redis.asyncio.Redis,
) -> None:
    plain = campaign("even", time_zone=ZONE)
    own = LineItemBudget(total=Money(20 * BILLION), daily=Money(5 * BILLION))
    line_item = msgspec.structs.replace(plain.line_items[0], budget=own)
    budget = msgspec.structs.replace(plain.budget, hourly=Money(9 * BILLION))
    config = bundle("1", msgspec.structs.replace(plain, line_items=(line_item,), budget=budget))
    assert await candidate(redis_client, "a").tick(config, NOW_S)
    code = account_code("even", "even-1")
    accounts = await Ledger(redis_client).accounts([EVEN, code])
    assert accounts[EVEN].hourly == 9 * BILLION
    assert (accounts[code].campaign_id, accounts[code].total) == ("even-1", 20 * BILLION)
    assert (accounts[code].daily, accounts[code].ceiling) == (5 * BILLION, None)


async def test_late_bills_make_the_leader_hold_money_back(redis_client: redis.asyncio.Redis) -> None:
    leader, ledger = candidate(redis_client, "a"), Ledger(redis_client)
    noon_s = day_bounds_s(NOW_S, ZONE)[0] + 43_200
    assert await leader.tick(bundle(), noon_s)
    minute = int(time.time()) // 60
    for sequence, expiry_s in enumerate([minute * 60 - 60] + [minute * 60 + 900] * 199):
        day = local_day(noon_s, ZONE)
        await ledger.settle(EVEN, 1, minute, sequence, 1_000, 1_000, day, expiry_s, {})
    assert await leader.tick(bundle(), noon_s + 2)
    accounts = await ledger.accounts([EVEN, ASAP])
    assert (accounts[EVEN].overdue, accounts[EVEN].spent) == (1_000, 200_000)
    assert accounts[EVEN].held == pytest.approx(0.01 * DAILY)
    assert accounts[ASAP].held == 0
    # Whoever takes over holds as much.
    await leader.resign()
    await ledger.hold_back(EVEN, 0)
    assert await candidate(redis_client, "b").tick(bundle(), noon_s + 4)
    accounts = await ledger.accounts([EVEN, ASAP])
    assert accounts[EVEN].held == pytest.approx(0.01 * DAILY)
    # By now it is known what comes late, and counts for who has no bills of its own.
    assert accounts[ASAP].held == pytest.approx(0.01 * DAILY)


async def test_a_new_bundle_is_registered_and_lost_accounts_are_opened_again(
    redis_client: redis.asyncio.Redis,
) -> None:
    ledger, controller = Ledger(redis_client), candidate(redis_client, "a")
    await controller.tick(bundle("1", campaign("even")), NOW_S)
    assert set(await ledger.accounts([EVEN, ASAP])) == {EVEN}
    await controller.tick(bundle("2"), NOW_S + 2)
    assert set(await ledger.accounts([EVEN, ASAP])) == {EVEN, ASAP}
    await redis_client.delete(b"{c:%08x}:ledger" % EVEN)
    await controller.tick(bundle("2"), NOW_S + 4)
    await controller.tick(bundle("2"), NOW_S + 6)
    assert set(await ledger.accounts([EVEN, ASAP])) == {EVEN, ASAP}


async def test_an_account_of_another_campaign_is_left_alone(redis_client: redis.asyncio.Redis) -> None:
    ledger = Ledger(redis_client)
    await ledger.register(EVEN, "a namesake", 5, None, ZONE)
    assert await candidate(redis_client, "a").tick(bundle(), NOW_S)
    plan = await fetch(redis_client)
    assert plan is not None
    assert set(plan.campaigns) == {ASAP}
    account = await ledger.account(EVEN)
    assert account is not None
    assert (account.campaign_id, account.total, account.ceiling) == ("a namesake", 5, None)


async def test_overspending_lowers_the_multiplier(redis_client: redis.asyncio.Redis) -> None:
    ledger, controller = Ledger(redis_client), candidate(redis_client, "a")
    await controller.tick(bundle(), NOW_S)
    owner, price = await ledger.new_owner(), 4_000_000
    minute = (await redis_client.time())[0] // 60
    for code in (EVEN, ASAP):
        for sequence in range(30):
            settled = await ledger.settle(
                code, owner, minute, sequence, price, price, local_day(NOW_S, ZONE), minute * 60 + 10, {}
            )
            assert settled is Settlement.LATE
    await controller.tick(bundle(), NOW_S + 2)
    plan = await fetch(redis_client)
    assert plan is not None
    assert plan.campaigns[EVEN].multiplier_q16 < MULTIPLIER_START * MULTIPLIER_ONE_Q16
    assert plan.campaigns[ASAP].multiplier_q16 == MULTIPLIER_ONE_Q16


async def test_a_goal_that_is_missed_lowers_even_who_spends_as_soon_as_possible(
    redis_client: redis.asyncio.Redis,
) -> None:
    goal = Goal(type="cpa", target=Money(BILLION))
    config = bundle("1", campaign("asap", pacing="asap", goal=goal))
    controller = candidate(redis_client, "a")
    assert await controller.tick(config, NOW_S)
    day = local_day(NOW_S, ZONE)
    await redis_client.hset(delivered(ASAP, day), mapping={"spent": 6 * BILLION, "conversions": 1})
    assert await controller.tick(config, NOW_S + GOAL_INTERVAL_S)
    plan = await fetch(redis_client)
    assert plan is not None
    decided = plan.campaigns[ASAP]
    assert decided.budget_q16 == MULTIPLIER_ONE_Q16
    assert decided.multiplier_q16 == decided.goal_q16 < 0.8 * MULTIPLIER_ONE_Q16
    # Whoever takes over goes on from there.
    await controller.resign()
    assert await candidate(redis_client, "b").tick(config, NOW_S + GOAL_INTERVAL_S + 2)
    heirs = await fetch(redis_client)
    assert heirs is not None
    assert heirs.campaigns[ASAP].goal_q16 == decided.goal_q16


async def test_a_goal_lets_go_of_who_buys_nothing_while_there_are_auctions(
    redis_client: redis.asyncio.Redis,
) -> None:
    config = bundle("1", campaign("asap", pacing="asap", goal=Goal(type="cpc", target=Money(BILLION))))
    controller = candidate(redis_client, "a")
    await controller.tick(config, NOW_S)
    await redis_client.hset(delivered(ASAP, local_day(NOW_S, ZONE)), "spent", 6 * BILLION)
    goals = []
    for look in range(1, 4):
        if look == 3:
            await redis_client.xadd(STREAM_LOSSES, {"exchange": "plain"})
        await controller.tick(config, NOW_S + look * GOAL_INTERVAL_S)
        plan = await fetch(redis_client)
        assert plan is not None
        goals.append(plan.campaigns[ASAP].goal_q16)
    assert goals[0] < MULTIPLIER_ONE_Q16, "clicks are missing"
    assert goals[1] == goals[0], "nobody heard of any auction: that is not the goal's doing"
    assert goals[2] > goals[0]


async def test_outcomes_become_shaded_prices_that_the_next_leader_goes_on_with(
    redis_client: redis.asyncio.Redis,
) -> None:
    controller = candidate(redis_client, "a")
    await controller.tick(bundle(), NOW_S)
    fields: dict[FieldT, EncodableT] = {
        "exchange": "plain",
        "format": "banner",
        "device": "phone",
        "min_to_win_cpm_micros": "1000000",
    }
    async with redis_client.pipeline(transaction=False) as pipe:
        for stream in (STREAM_WINS, STREAM_LOSSES):
            for _ in range(OBSERVATIONS_MIN // 2):
                pipe.xadd(stream, fields)
        await pipe.execute()
    await controller.tick(bundle(), NOW_S + SHADE_INTERVAL_S)
    plan, shading = await fetch(redis_client), await fetch_shading(redis_client)
    assert plan is not None
    assert shading is not None
    assert plan.shading_version == shading.version
    assert set(shading.rows) == {"plain/banner", "plain/banner/phone"}
    assert shading.auctions == {"plain/banner/phone": OBSERVATIONS_MIN}
    await controller.resign()
    heir = candidate(redis_client, "b")
    assert await heir.tick(bundle(), NOW_S + SHADE_INTERVAL_S + 2)
    after = await fetch(redis_client)
    assert after is not None
    assert after.shading_version == plan.shading_version
    # One more auction: the heir's count has those of the last leader in it, once.
    await redis_client.xadd(STREAM_WINS, fields)
    await heir.tick(bundle(), NOW_S + 2 * SHADE_INTERVAL_S + 4)
    later = await fetch_shading(redis_client)
    assert later is not None
    assert later.version > shading.version
    assert later.auctions["plain/banner/phone"] == pytest.approx(OBSERVATIONS_MIN + 1, rel=0.01)


async def test_a_campaign_moved_to_a_zone_where_it_is_yesterday_goes_on(
    redis_client: redis.asyncio.Redis,
) -> None:
    """The day under way does not begin again: both days there share one day's money."""
    leader, ledger = candidate(redis_client, "a"), Ledger(redis_client)
    spent = []
    for number, zone in enumerate(("Pacific/Kiritimati", "Pacific/Niue", "Pacific/Niue")):
        now_s = NOW_S + number * 5
        moved = bundle(str(number), campaign("even", time_zone=zone))
        assert await leader.tick(moved, now_s)
        day = local_day(now_s, zone)
        lease = await ledger.grant(EVEN, 1, DAILY // 4, day, 1_000, 1)
        assert lease.granted > 0
        minute, bound = int(time.time()) // 60, 10**15
        bill = (
            EVEN,
            1,
            minute,
            number,
            lease.outstanding,
            bound,
            day,
            minute * 60 + 900,
            {"bid": str(number)},
        )
        assert await ledger.settle(*bill) is Settlement.SETTLED
        account = await ledger.account(EVEN)
        assert account is not None
        spent.append(account.spent_day)
        assert account.day == local_day(NOW_S, "Pacific/Kiritimati")
    assert spent[0] < spent[1] < spent[2] <= DAILY
