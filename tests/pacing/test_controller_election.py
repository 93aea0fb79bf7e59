"""The controller against a real server: who leads, and what a leader does there."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
import pytest
import redis.asyncio
from redis.typing import EncodableT, FieldT

from config.bundle_store import publish as publish_bundle
from config.calendar import day_bounds_s, local_day
from config.money import BILLION, CpmMicros, Money
from config.redis_keys import BUNDLE_VERSION, CONTROLLER_LEASE, PLAN, STREAM_LOSSES, STREAM_WINS, delivered
from config.schema import (
    Advertiser,
    Budget,
    Bundle,
    Campaign,
    Engine,
    ExchangeProfile,
    Goal,
    LineItem,
    LineItemBudget,
    account_code,
    code_of,
)
from pacing.controller import LEASE_INTERVALS, SHADE_INTERVAL_S, Controller
from pacing.curve import plan_curve
from pacing.goal import GOAL_INTERVAL_S
from pacing.landscape import OBSERVATIONS_MIN
from pacing.ledger import Ledger, Settlement
from pacing.pace import MULTIPLIER_START, SLACK_SHARE
from pacing.plan import MULTIPLIER_ONE_Q16, CampaignPlan, Plan, fetch, publish
from pacing.shading import fetch_shading
from pacing.traffic import usual_week
from tests.factories import BUNDLE_KEY
from tests.waiting import SECONDS_MAX

EVEN, ASAP = code_of("even"), code_of("asap")
NOW_S = 1_790_000_000
ZONE = "UTC"
DAILY = 100 * BILLION


def campaign(id_: str, **fields: object) -> Campaign:
    line_item = LineItem(id=f"{id_}-1", bid_cpm=CpmMicros(4_000_000), creatives=("x",))
    budget = Budget(total=Money(1_000 * BILLION), daily=Money(DAILY))
    return Campaign(id=id_, budget=budget, line_items=(line_item,), **fields)  # type: ignore[arg-type]


def bundle(version: str = "1", *campaigns: Campaign) -> Bundle:
    advertiser = Advertiser(
        id="acme",
        domain="acme.example",
        categories=("IAB1",),
        campaigns=campaigns or (campaign("even"), campaign("asap", pacing="asap")),
        creatives=(),
    )
    return Bundle(
        version=version,
        engine=Engine(),
        exchanges=(ExchangeProfile(id="plain"),),
        segments=(),
        advertisers=(advertiser,),
    )


def candidate(client: redis.asyncio.Redis, name: str, interval_s: float = 60.0) -> Controller:
    """A candidate whose lease outlasts any test, with an interval of seconds."""
    return Controller(client, Ledger(client), name, interval_s=interval_s)


@pytest.fixture
def long_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a candidate that ticks often keep its office, however slow the machine is at the moment."""
    monkeypatch.setattr("pacing.controller.LEASE_INTERVALS", 10_000)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            if await condition():
                return
            await asyncio.sleep(0)


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


async def test_a_new_config_is_not_kept_waiting_for_the_next_tick(redis_client: redis.asyncio.Redis) -> None:
    stop, changed, current = asyncio.Event(), asyncio.Event(), [bundle("1")]
    await publish_bundle(redis_client, current[0], BUNDLE_KEY)
    running = asyncio.create_task(
        candidate(redis_client, "a", interval_s=600).run(stop, lambda: current[0], changed)
    )
    ledger = Ledger(redis_client)

    async def has_account(code: int) -> bool:
        return await ledger.account(code) is not None

    await until(lambda: has_account(EVEN))
    current[0] = bundle("2", campaign("even"), campaign("late"))
    await publish_bundle(redis_client, current[0], BUNDLE_KEY)
    changed.set()
    await until(lambda: has_account(code_of("late")))
    stop.set()
    await running


async def test_only_the_leader_speaks_and_the_other_takes_over(redis_client: redis.asyncio.Redis) -> None:
    first, second = candidate(redis_client, "same name"), candidate(redis_client, "same name")
    assert [await first.tick(bundle(), NOW_S), await second.tick(bundle(), NOW_S)] == [True, False]
    assert [await second.tick(bundle(), NOW_S + 2), await first.tick(bundle(), NOW_S + 2)] == [False, True]
    await first.resign()
    assert await second.tick(bundle(), NOW_S + 4)
    assert not await first.tick(bundle(), NOW_S + 4)
    plan = await fetch(redis_client)
    assert plan is not None
    assert plan.version == 3
    await first.resign()
    assert await redis_client.get(CONTROLLER_LEASE) is not None, "who does not lead has nothing to give up"


async def test_a_leader_whose_lease_was_lost_falls_silent(redis_client: redis.asyncio.Redis) -> None:
    first, second = candidate(redis_client, "first"), candidate(redis_client, "second")
    assert await first.tick(bundle(), NOW_S)
    await redis_client.delete(CONTROLLER_LEASE)
    assert await second.tick(bundle(), NOW_S + 8)
    assert not await first.tick(bundle(), NOW_S + 8)
    assert not first.leading
    assert (await redis_client.pttl(CONTROLLER_LEASE)) > 0


async def test_running_controllers_hand_over(redis_client: redis.asyncio.Redis, long_leases: None) -> None:
    await publish_bundle(redis_client, bundle(), BUNDLE_KEY)
    stops = [asyncio.Event(), asyncio.Event()]
    controllers = [candidate(redis_client, name, interval_s=0.05) for name in ("first", "second")]
    first_task = asyncio.create_task(controllers[0].run(stops[0], bundle))

    async def first_leads() -> bool:
        return controllers[0].leading and await fetch(redis_client) is not None

    await until(first_leads)
    second_task = asyncio.create_task(controllers[1].run(stops[1], bundle))
    stops[0].set()
    await first_task
    stopped_at = await fetch(redis_client)
    assert stopped_at is not None

    async def second_publishes() -> bool:
        plan = await fetch(redis_client)
        return plan is not None and plan.version > stopped_at.version

    await until(second_publishes)
    assert [controller.leading for controller in controllers] == [False, True]
    stops[1].set()
    await second_task
    assert await redis_client.get(CONTROLLER_LEASE) is None


async def test_a_dead_leader_is_replaced_when_its_lease_ends(redis_client: redis.asyncio.Redis) -> None:
    dead, heir = candidate(redis_client, "dead"), candidate(redis_client, "heir")
    assert await dead.tick(bundle(), NOW_S)
    assert not await heir.tick(bundle(), NOW_S + 1)
    assert 0 < await redis_client.pttl(CONTROLLER_LEASE) <= LEASE_INTERVALS * 60_000
    # As if so much time had gone by.
    await redis_client.pexpire(CONTROLLER_LEASE, 1)

    async def heir_leads() -> bool:
        return await heir.tick(bundle(), NOW_S + 1)

    await until(heir_leads)


async def test_a_new_leader_goes_on_from_the_last_plan(redis_client: redis.asyncio.Redis) -> None:
    before = Plan(
        made_at_s=NOW_S - 2,
        version=41,
        campaigns={EVEN: CampaignPlan(1_234, budget_q16=1_234)},
        shading_version=40,
    )
    await publish(redis_client, before)
    assert await candidate(redis_client, "heir").tick(bundle(), NOW_S)
    plan = await fetch(redis_client)
    assert plan is not None
    assert (plan.version, plan.campaigns[EVEN].multiplier_q16, plan.shading_version) == (42, 1_234, 40)


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


async def test_a_failing_server_is_survived(redis_client: redis.asyncio.Redis, long_leases: None) -> None:
    """A key of a wrong type makes every round fail half-way, until somebody mends it."""
    stop = asyncio.Event()
    await publish_bundle(redis_client, bundle(), BUNDLE_KEY)
    await redis_client.rpush(STREAM_WINS, "not a stream")
    task = asyncio.create_task(candidate(redis_client, "a", 0.02).run(stop, bundle))

    async def accounts_open() -> bool:
        return len(await Ledger(redis_client).accounts([EVEN, ASAP])) == 2

    await until(accounts_open)
    assert await redis_client.get(PLAN) is None
    await redis_client.delete(STREAM_WINS)

    async def published() -> bool:
        return await redis_client.get(PLAN) is not None

    await until(published)
    stop.set()
    await task


async def test_an_emptied_server_gets_no_new_accounts_until_somebody_publishes(
    redis_client: redis.asyncio.Redis, long_leases: None
) -> None:
    """What was spent is lost with the accounts: opening them anew would spend it again."""
    await publish_bundle(redis_client, bundle(), BUNDLE_KEY)
    ledger = Ledger(redis_client)
    controller = candidate(redis_client, "a", interval_s=0.01)
    stop = asyncio.Event()
    rounds = 0

    def counted() -> Bundle:
        nonlocal rounds
        rounds += 1
        return bundle()

    task = asyncio.create_task(controller.run(stop, counted))

    async def accounts_open() -> bool:
        return len(await ledger.accounts([EVEN, ASAP])) == 2

    await until(accounts_open)
    await redis_client.flushdb()
    flushed_at = rounds

    async def some_rounds_later() -> bool:
        return rounds > flushed_at + 5

    await until(some_rounds_later)
    assert await ledger.accounts([EVEN, ASAP]) == {}
    await publish_bundle(redis_client, bundle(), BUNDLE_KEY)
    await until(accounts_open)
    stop.set()
    await task


async def test_a_config_that_nobody_can_use_does_not_end_pacing(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch, long_leases: None
) -> None:
    """Workers would stop for want of plans, though each goes on with the config it has."""
    monkeypatch.setattr("pacing.controller.GAP_SECONDS", 0.1)
    await publish_bundle(redis_client, bundle(), BUNDLE_KEY)
    stop = asyncio.Event()
    task = asyncio.create_task(candidate(redis_client, "a", 0.02).run(stop, bundle))
    await until(lambda: paced(redis_client, 1))
    await redis_client.set(BUNDLE_VERSION, "garbage")
    # Another host may have taken it, and opened the account with what it says.
    await Ledger(redis_client).register(EVEN, "even", 7 * BILLION, None, ZONE)
    before = await fetch(redis_client)
    assert before is not None
    await until(lambda: paced(redis_client, before.version + 3))
    accounts = await Ledger(redis_client).accounts([EVEN])
    assert accounts[EVEN].total == 7 * BILLION, "a config that is not published opens no account"
    stop.set()
    await task


async def test_who_has_the_published_config_takes_over(
    redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch, long_leases: None
) -> None:
    monkeypatch.setattr("pacing.controller.GAP_SECONDS", 0.2)
    monkeypatch.setattr("pacing.controller.TURN_SECONDS", 0.2)
    await publish_bundle(redis_client, bundle(), BUNDLE_KEY)
    stop = asyncio.Event()
    behind, ahead = candidate(redis_client, "behind", 0.02), candidate(redis_client, "ahead", 0.02)
    tasks = [asyncio.create_task(behind.run(stop, bundle))]
    await until(lambda: paced(redis_client, 1))
    await publish_bundle(redis_client, bundle("2", campaign("even")), BUNDLE_KEY)
    before = await fetch(redis_client)
    assert before is not None
    # It is alone for a while, and leads in its turns.
    await until(lambda: paced(redis_client, before.version + 3))
    tasks.append(asyncio.create_task(ahead.run(stop, lambda: bundle("2", campaign("even")))))

    async def has_taken_over() -> bool:
        return ahead.leading and not behind.leading

    await until(has_taken_over)
    plan = await fetch(redis_client)
    assert plan is not None
    await until(lambda: paced(redis_client, plan.version + 20))
    assert ahead.leading
    stop.set()
    await asyncio.gather(*tasks)


async def paced(client: redis.asyncio.Redis, version: int) -> bool:
    """Tell whether the plan of this version, or a later one, is out."""
    plan = await fetch(client)
    return plan is not None and plan.version >= version


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
