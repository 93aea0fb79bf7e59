"""The pacing controller: one elected process that decides how eagerly each campaign bids.

Every INTERVAL_S the controller reads all accounts, moves each campaign's bid multiplier a little,
raises each campaign's spending ceiling to where the plan will be by the next tick, and publishes
the multipliers as one `pacing.plan.Plan`; every SHADE_INTERVAL_S, the shaded prices beside it
(`pacing.shading`). It opens the accounts of a new config, and says how much the ledger keeps back for late
bills (`pacing.hold_back`).

    controller = Controller(client, ledger, "worker-host-1")
    await controller.run(stop, lambda: current_bundle)

Any number of processes may run one: they elect a leader through a Redis key with a time to live,
and only the leader decides. When it stops or dies another takes over within seconds, and goes on
from the multipliers of the last plan.

The rule, for one campaign (`resolve`)
--------------------------------------
A(t) is `planned_share`, B the window's money, S what was spent of it when the last tick ended:

    rho = (B - S) · (A(now) - A(last)) / (1 - A(last))     what should have been spent since then
    g   = (spent since then - rho) / max(rho, 5 impressions)
    m   = m · exp(-clip(eta · g, ±0.3)),   MULTIPLIER_MIN <= m <= 1

The target is solved again from what is left at every tick, so an hour without traffic is made up
over the rest of the window, not in a burst. Example: $100 for a day of 24 hours, $30 spent at noon.
A = 0.5 / 0.98 = 0.510, so the next 2 s should cost 70 · 0.0000236 / 0.490 = $0.0034. At a price of
$0.002 for an impression the scale is 5 · 0.002 = $0.01, and two wins ($0.004) lower m by 0.2 %.

*Spend* is what is billed, not what is leased. Leases move in lumps of seconds of spend, most of a
lease goes back unspent after lost auctions, and money in a lease can still be spent, so it belongs
to what is left. The bill is some seconds late, which the small step forgives. Leases do count where
it matters: the ledger keeps billed plus leased under the ceiling B · A(next tick) + 1 % of B, so
the plan is a wall even for a campaign whose multiplier is wrong.

*Anti-windup*: spending less than planned is no reason to bid more when the campaign could not have
spent: less is leased than an impression costs (the ceiling, or the budget, is reached), it is paused,
or no auction of any campaign had an outcome. Then m may fall but does not rise. After SILENCE_S_MAX
without any outcome it rises again: perhaps the silence is ours, because every bid is under its floor.
"""

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections.abc import Callable
from typing import Final, Literal

import msgspec
import redis.asyncio
from redis.asyncio.lock import Lock
from redis.exceptions import LockError

from config.bundle_store import published_version
from config.calendar import day_bounds_s, local_day
from config.redis_keys import CONTROLLER_LEASE
from config.schema import Bundle, Campaign, code_of
from pacing.hold_back import LateBills, first_look, held_back, look_again
from pacing.landscape import win_shares
from pacing.ledger import Account, Ledger, LedgerError
from pacing.outcomes import OutcomeReader
from pacing.plan import MULTIPLIER_ONE_Q16, CampaignPlan, Plan, fetch, planned_share, publish, window
from pacing.shading import Shading, publish_shading, shade_rows

INTERVAL_S: Final = 2.0
"""Seconds between two ticks."""
LEASE_INTERVALS: Final = 3
"""A leader that has been silent for this many intervals is replaced."""
MULTIPLIER_MIN: Final = 0.01
MULTIPLIER_START: Final = 1.0
"""A campaign no plan knows starts at its full bid; the ceiling bounds what finding its level costs."""
STEP_MAX: Final = 0.3
SCALE_IMPRESSIONS: Final = 5
SLACK_SHARE: Final = 0.01
"""How far, in shares of the window's money, the ceiling is ahead of the plan."""
SILENCE_S_MAX: Final = 60.0
SHADE_INTERVAL_S: Final = 30.0
"""Seconds between two rebuilds of the shading rows."""

logger = logging.getLogger(__name__)


def step_size(elapsed_s: float) -> float:
    """Return eta for an interval: 0.02 at 1 s, 0.1 at 10 s, a power law between, flat outside.

    Longer intervals carry more spend and less noise, so each may move the multiplier more.
    """
    return float(0.02 * min(max(elapsed_s, 1.0), 10.0) ** math.log10(5))


class CampaignState(msgspec.Struct, frozen=True, kw_only=True):
    """What the controller remembers of one campaign from tick to tick."""

    at_s: float
    """When the account was last read."""
    spent: int
    """The campaign's money spent up to then, ever; billionths."""
    multiplier: float = MULTIPLIER_START
    silent_s: float = 0.0
    """How long no auction of any campaign has had an outcome."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What a tick sees of one campaign. Money in billionths, times in unix seconds."""

    pacing: Literal["even", "asap"] = "even"
    start_s: int
    end_s: int
    budget: int
    """The money meant for the window from `start_s` to `end_s`."""
    spent: int
    """Spent since `start_s`, of `budget`."""
    spent_today: int
    """The part of `spent` that was spent today: ceilings are in today's money."""
    spent_ever: int
    """Billed, so that it never falls; the difference of two ticks is the spend between them."""
    leased: int
    """In the hands of workers."""
    paused: bool = False
    price: int
    """What one impression costs at a multiplier of 1, roughly."""
    outcomes: int
    """Auctions of any campaign that had an outcome since the last tick."""


def observe(campaign: Campaign, account: Account, outcomes: int, now_s: float) -> Observation:
    """Relate a campaign's account to its window (`pacing.plan.window`).

    A window that began today or later has today's money: what was left of the total this morning,
    or the daily budget if that is less. An older one has the total.
    """
    start_s, end_s = window(campaign, now_s)
    day_start_s, _ = day_bounds_s(int(now_s), campaign.time_zone)
    spent_today = account.spent_on(local_day(int(now_s), campaign.time_zone))
    budget, spent = int(campaign.budget.total), account.spent
    if start_s >= day_start_s:
        budget, spent = budget - (account.spent - spent_today), spent_today
        if campaign.budget.daily is not None:
            budget = min(budget, campaign.budget.daily)
    if campaign.budget.hourly is not None:
        # What past hours left unspent can't be made up.
        hours_left = max(end_s - max(now_s, start_s), 0) / 3_600
        budget = min(budget, spent + math.ceil(campaign.budget.hourly * hours_left))
    bids = [line_item.cpm_max_micros for line_item in campaign.line_items]
    return Observation(
        pacing=campaign.pacing,
        start_s=start_s,
        end_s=end_s,
        budget=max(budget, 0),
        spent=spent,
        spent_today=spent_today,
        spent_ever=account.billed,
        leased=account.leased,
        paused=account.paused or campaign.paused,
        price=sum(bids) // max(len(bids), 1),
        outcomes=outcomes,
    )


def resolve(
    state: CampaignState, observed: Observation, now_s: float
) -> tuple[CampaignState, int, int | None]:
    """Decide one campaign for the next interval.

    Returns the new state, the multiplier in 1/65536 (1 to MULTIPLIER_ONE_Q16), and the most that may
    be spent and leased today before the next tick, in billionths, or None for "as the budget allows".
    """
    spend = max(observed.spent_ever - state.spent, 0)
    spoke = observed.outcomes > 0 or spend > 0
    silent_s = 0.0 if spoke else state.silent_s + max(now_s - state.at_s, 0.0)
    if observed.pacing == "asap":
        multiplier, ceiling = 1.0, None
    else:
        affords = observed.leased >= max(observed.price * state.multiplier, 1)
        may_rise = affords and not observed.paused and (spoke or silent_s > SILENCE_S_MAX)
        multiplier = _moved(state, observed, spend, now_s, may_rise)
        ceiling = _ceiling(observed, now_s)
    after = CampaignState(at_s=now_s, spent=observed.spent_ever, multiplier=multiplier, silent_s=silent_s)
    return after, max(round(multiplier * MULTIPLIER_ONE_Q16), 1), ceiling


def _moved(state: CampaignState, observed: Observation, spend: int, now_s: float, may_rise: bool) -> float:
    elapsed_s = now_s - state.at_s
    if elapsed_s <= 0:
        return state.multiplier
    share_then = planned_share(state.at_s, observed.start_s, observed.end_s)
    share_now = planned_share(now_s, observed.start_s, observed.end_s)
    # Around midnight a part of the spend was of yesterday's money.
    left_then = max(observed.budget - max(observed.spent - spend, 0), 0)
    due = left_then * (share_now - share_then) / (1 - share_then) if share_then < 1 else float(left_then)
    scale = max(due, SCALE_IMPRESSIONS * observed.price * state.multiplier, 1.0)
    step = min(max(step_size(elapsed_s) * (spend - due) / scale, -STEP_MAX), STEP_MAX)
    if step < 0 and not may_rise:
        return state.multiplier
    return min(max(state.multiplier * math.exp(-step), MULTIPLIER_MIN), 1.0)


def _ceiling(observed: Observation, now_s: float) -> int:
    share_next = planned_share(now_s + INTERVAL_S, observed.start_s, observed.end_s)
    of_window = min(int(observed.budget * share_next) + int(observed.budget * SLACK_SHARE), observed.budget)
    return max(of_window - (observed.spent - observed.spent_today), 0)


class Controller:
    """One candidate for the office of controller; `run` it, or call `tick` with a time of your own.

    `owner` names this process for people who look at the lease in Redis.
    """

    def __init__(
        self, client: redis.asyncio.Redis, ledger: Ledger, owner: str, *, interval_s: float = INTERVAL_S
    ) -> None:
        self._client = client
        self._ledger = ledger
        # Two processes with one name, or one that restarted, must not take each other's lease for theirs.
        self._token = f"{owner} {secrets.token_hex(8)}"
        self._interval_s = interval_s
        self._lease = Lock(
            client,
            CONTROLLER_LEASE,
            timeout=LEASE_INTERVALS * interval_s,
            blocking=False,
            thread_local=False,
        )
        self.leading = False
        self._registered: str | None = None
        self._published: str | None = None
        self._states: dict[int, CampaignState] = {}
        self._ceilings: dict[int, tuple[int, int | None]] = {}
        self._late: dict[int, LateBills] = {}
        self._held: dict[int, int] = {}
        self._before = Plan(made_at_s=0.0, version=0)
        self._outcomes = OutcomeReader(client)
        self._shading_version = 0
        self._shaded_at_s = -math.inf

    async def run(
        self,
        stop: asyncio.Event,
        bundles: Callable[[], Bundle],
        changed: asyncio.Event | None = None,
    ) -> None:
        """Tick at once and then every interval until `stop`; give up the lease at the end.

        `bundles` returns the config this process works with; `changed` is set when that is another, which
        is not kept waiting for the next interval. While Redis fails, the controller keeps
        trying. While the config in Redis is another, or gone, it does nothing: a server that was emptied
        has lost what was spent, and accounts opened anew would spend it again. Workers stop when no
        plan comes; publishing a config is a person's decision to go on.
        """
        failing = False
        while not stop.is_set():
            try:
                bundle = bundles()
                if await self._is_published(bundle):
                    await self.tick(bundle, time.time())
                if failing:
                    logger.info("the pacing controller can use Redis again")
                failing = False
            except redis.RedisError as error:
                if not failing:
                    logger.warning("the pacing controller can't use Redis and keeps trying: %s", error)
                failing = True
            await _first_set(stop, changed, self._interval_s)
        with contextlib.suppress(redis.RedisError):
            await self.resign()

    async def _is_published(self, bundle: Bundle) -> bool:
        version = await published_version(self._client)
        if version != self._published and not version:
            logger.error(
                "the config is gone from Redis, and with it perhaps what was spent: no money is given out "
                "until a backup is restored, or `hustings config apply DIR` opens new accounts"
            )
        self._published = version
        return version == bundle.version

    async def tick(self, bundle: Bundle, now_s: float) -> bool:
        """Do one round if this is the leader, or can become it; say whether a plan was published.

        Raises redis.RedisError; the next tick then does what this one left undone.
        """
        if not await self._elected(now_s):
            return False
        if self._registered != bundle.version:
            await self._register(bundle)
        outcomes = await self._outcomes.read(bundle, now_s)
        multipliers = await self._resolve_all(bundle, outcomes, now_s)
        await self._shade(now_s)
        # The round may have taken long: only who still holds the lease speaks.
        if not await self._renewed():
            return False
        plan = Plan(
            made_at_s=now_s,
            version=self._before.version + 1,
            campaigns=multipliers,
            shading_version=self._shading_version,
        )
        await publish(self._client, plan)
        self._before = plan
        return True

    async def resign(self) -> None:
        """Give up the lease, if this is the leader, so that another takes over at its next tick."""
        if self.leading:
            self.leading = False
            with contextlib.suppress(LockError):
                await self._lease.release()

    async def _elected(self, now_s: float) -> bool:
        if self.leading and await self._renewed():
            return True
        if not await self._lease.acquire(token=self._token):
            return False
        # Take up where the last leader stopped.
        self._registered = None
        self._states.clear()
        self._ceilings.clear()
        self._late.clear()
        self._held.clear()
        before = await fetch(self._client)
        if before is not None:
            self._before = before
            self._shading_version = before.shading_version
        await self._outcomes.load(now_s)
        self._shaded_at_s = -math.inf
        self.leading = True
        return True

    async def _renewed(self) -> bool:
        try:
            await self._lease.reacquire()
        except LockError:
            self.leading = False
        return self.leading

    async def _register(self, bundle: Bundle) -> None:
        for code, campaign in bundle.campaigns_by_code().items():
            budget, zone = campaign.budget, campaign.time_zone
            try:
                await self._ledger.register(
                    code, campaign.id, budget.total, budget.daily, zone, hourly=budget.hourly
                )
            except LedgerError as error:
                logger.error("campaign %s has no account and does not spend: %s", campaign.id, error)
        for code, (campaign, line_item) in bundle.line_items_by_account().items():
            own = line_item.budget
            try:
                await self._ledger.register_line_item(
                    code, line_item.id, own.total, own.daily, campaign.time_zone
                )
            except LedgerError as error:
                logger.error("line item %s has no account and does not spend: %s", line_item.id, error)
        self._registered = bundle.version

    async def _resolve_all(self, bundle: Bundle, outcomes: int, now_s: float) -> dict[int, CampaignPlan]:
        campaigns = bundle.campaigns_by_code()
        accounts = await self._ledger.accounts(list(campaigns))
        if len(accounts) < len(campaigns):
            # The server has lost accounts, as an emptied or restored one does.
            self._registered = None
        self._states = {
            code: self._states.get(code) or self._first_state(code, account, now_s)
            for code, account in accounts.items()
            if account.campaign_id == campaigns[code].id
        }
        # A bill is an outcome too, for exchanges that send no other notice.
        outcomes += sum(accounts[code].spent > state.spent for code, state in self._states.items())
        multipliers = {}
        for code, state in self._states.items():
            campaign = campaigns[code]
            observed = observe(campaign, accounts[code], outcomes, now_s)
            self._states[code], multiplier_q16, ceiling = resolve(state, observed, now_s)
            multipliers[code] = CampaignPlan(multiplier_q16)
            dated = (local_day(int(now_s), campaign.time_zone), ceiling)
            if self._ceilings.get(code) != dated:
                await self._ledger.set_ceiling(code, *dated)
                self._ceilings[code] = dated
            late = self._late.get(code)
            self._late[code] = (
                look_again(late, accounts[code], now_s) if late else first_look(accounts[code], now_s)
            )
            await self._hold_back(code, code, observed.budget, observed, now_s)
        for own_code, (campaign, line_item) in bundle.line_items_by_account().items():
            code = code_of(campaign.id)
            if code in self._states:
                amounts = [amount for amount in (line_item.budget.total, line_item.budget.daily) if amount]
                observed = observe(campaign, accounts[code], outcomes, now_s)
                await self._hold_back(own_code, code, min(amounts, default=0), observed, now_s)
        return multipliers

    async def _hold_back(
        self, account_code: int, campaign_code: int, budget: int, observed: Observation, now_s: float
    ) -> None:
        """Keep back of `budget` what the late bills of the campaign say."""
        late = self._late[campaign_code]
        held = held_back(late, budget, observed.start_s, observed.end_s, now_s)
        if held != self._held.get(account_code):
            await self._ledger.hold_back(account_code, held)
            self._held[account_code] = held

    def _first_state(self, code: int, account: Account, now_s: float) -> CampaignState:
        known = self._before.campaigns.get(code)
        multiplier = known.multiplier_q16 / MULTIPLIER_ONE_Q16 if known is not None else MULTIPLIER_START
        return CampaignState(at_s=now_s, spent=account.spent, multiplier=multiplier)

    async def _shade(self, now_s: float) -> None:
        """Work out the shaded prices anew, publish them, and keep what they were counted from."""
        if 0 <= now_s - self._shaded_at_s < SHADE_INTERVAL_S:
            return
        self._shaded_at_s = now_s
        if not self._outcomes.landscape.changed:
            return
        counts = self._outcomes.landscape.copy()
        # A millisecond or so for each cell, beside the event loop.
        rows = await asyncio.to_thread(lambda: shade_rows(win_shares(counts)))
        version = self._before.version + 1
        auctions = {cell.name: float(held.sum()) for cell, held in counts.items()}
        await publish_shading(self._client, Shading(version=version, rows=rows, auctions=auctions))
        self._shading_version = version
        await self._outcomes.save()


async def _first_set(stop: asyncio.Event, changed: asyncio.Event | None, seconds_max: float) -> None:
    """Wait until one of the events is set, at most this long; `changed` is cleared."""
    waits = [asyncio.create_task(event.wait()) for event in (stop, changed) if event is not None]
    try:
        await asyncio.wait(waits, timeout=seconds_max, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if changed is not None:
        changed.clear()
