"""The controller against a real server: who leads, and what a leader does there."""

import asyncio

import pytest
import redis.asyncio

from config.bundle_store import publish as publish_bundle
from config.money import BILLION
from config.redis_keys import BUNDLE_VERSION, CONTROLLER_LEASE, PLAN, STREAM_WINS
from config.schema import (
    Bundle,
    Campaign,
    code_of,
)
from pacing.controller import LEASE_INTERVALS, Controller
from pacing.ledger import Ledger
from pacing.pace import INTERVAL_S
from pacing.plan import CampaignPlan, Plan, fetch, publish
from tests.factories import BUNDLE_KEY
from tests.pacing.controllers import ASAP, EVEN, NOW_S, ZONE, bundle, campaign, candidate, paced, until


@pytest.fixture
def long_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a candidate that ticks often keep its office, however slow the machine is at the moment."""
    monkeypatch.setattr("pacing.controller.LEASE_INTERVALS", 10_000)


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


class SlowLedger(Ledger):
    """Takes SECONDS of the controller's lease for each account that is opened."""

    SECONDS = 0.03

    def __init__(self, client: redis.asyncio.Redis) -> None:
        super().__init__(client)
        self._redis = client

    async def open(self, campaign: Campaign) -> None:
        await super().open(campaign)
        left_ms = await self._redis.pttl(CONTROLLER_LEASE) - int(1_000 * self.SECONDS)
        await self._redis.pexpire(CONTROLLER_LEASE, max(left_ms, 0))


async def test_who_has_more_campaigns_than_its_lease_is_long_leads_all_the_same(
    redis_client: redis.asyncio.Redis,
) -> None:
    many = bundle("1", *(campaign(f"c{number}") for number in range(250)))
    assert 250 * SlowLedger.SECONDS > LEASE_INTERVALS * INTERVAL_S
    controller = Controller(redis_client, SlowLedger(redis_client), "a")
    assert await controller.tick(many, NOW_S)
    plan = await fetch(redis_client)
    assert plan is not None
    assert len(plan.campaigns) == 250


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
