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

The rule is `pacing.pace`, the shape of the plan `pacing.curve` and what is learned for it `pacing.traffic`,
the multiplier of a goal `pacing.goal`.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Final

import redis.asyncio

from config.bundle_store import published_version
from config.calendar import local_day, utc_offset_s
from config.redis_keys import CONTROLLER_LEASE
from config.schema import Bundle, Campaign, code_of
from pacing.account import Account
from pacing.curve import PlanCurve, plan_curve
from pacing.election import Election
from pacing.goal import GOAL_INTERVAL_S, GoalState, fetch_delivered, resolve_goal
from pacing.hold_back import LateBills, first_look, held_back, look_again, prior_share
from pacing.landscape import weights, win_shares
from pacing.ledger import Ledger, LedgerError
from pacing.ledger_clock import elapsed_s
from pacing.outcomes import OutcomeReader
from pacing.pace import (
    INTERVAL_S,
    MULTIPLIER_START,
    SILENCE_S_MAX,
    CampaignState,
    Observation,
    in_q16,
    resolve,
)
from pacing.plan import MULTIPLIER_ONE_Q16, CampaignPlan, Plan, fetch, publish
from pacing.shading import Shading, publish_shading, shade_rows
from pacing.traffic import Traffic
from pacing.window import observe, window

LEASE_INTERVALS: Final = 3
"""A leader that has been silent for this many intervals is replaced."""
RENEW_CAMPAIGNS: Final = 100
"""A round over thousands of campaigns may take longer than the lease: it is renewed after every so many."""
HELD_STEPS: Final = 64
"""What is held back is not written anew for a change by less than this part of it."""
GAP_SECONDS: Final = 5.0
"""For so long nobody leads who has another config than the published one: who has it needs two intervals."""
TURN_SECONDS: Final = 15.0
"""... and then may for so long, if nobody does. The gap is shorter than workers go by one plan."""
RETRY_INTERVAL_S: Final = 0.5
"""Between two attempts to use a Redis that fails."""
SHADE_INTERVAL_S: Final = 10.0
"""Seconds between two rebuilds of the shading rows."""

logger = logging.getLogger(__name__)


class Controller:
    """One candidate for the office of controller; `run` it, or call `tick` with a time of your own.

    `owner` names this process for people who look at the lease in Redis.
    """

    def __init__(
        self, client: redis.asyncio.Redis, ledger: Ledger, owner: str, *, interval_s: float = INTERVAL_S
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._interval_s = interval_s
        self._election = Election(client, CONTROLLER_LEASE, owner, LEASE_INTERVALS * interval_s)
        self._registered: str | None = None
        self._published: str | None = None
        self._has_published = True
        """Whether this process works with the published config, as far as is known."""
        self._apart_since_s: float | None = None
        self._states: dict[int, CampaignState] = {}
        self._curves: dict[int, tuple[tuple[int, int, int, Campaign], PlanCurve]] = {}
        self._traffic = Traffic(client)
        self._goals: dict[int, GoalState] = {}
        self._ceilings: dict[int, tuple[int, int | None]] = {}
        self._late: dict[int, LateBills] = {}
        self._prior_late_share = 0.0
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
        trying. While the config is gone from Redis it does nothing: a server that was emptied
        has lost what was spent, and accounts opened anew would spend it again. Workers stop when no
        plan comes; publishing a config is a person's decision to go on. While the config in Redis is another
        than this process has, it stands back for one that has it (`_may_lead`).
        """
        failing = False
        while not stop.is_set():
            try:
                bundle = bundles()
                if await self._may_lead(bundle, elapsed_s()):
                    await self.tick(bundle, time.time())
                if failing:
                    logger.info("the pacing controller can use Redis again")
                failing = False
            except redis.RedisError as error:
                if not failing:
                    logger.warning("the pacing controller can't use Redis and keeps trying: %s", error)
                failing = True
            # When Redis is back, workers wait for a plan that is not the one of before.
            wait_s = min(self._interval_s, RETRY_INTERVAL_S) if failing else self._interval_s
            await _first_set(stop, changed, wait_s)
        with contextlib.suppress(redis.RedisError):
            await self.resign()

    async def _may_lead(self, bundle: Bundle, now_s: float) -> bool:
        """Say whether to be a candidate now; who may not gives the lease up.

        Of a config that was published a moment ago each process hears in its own time; one that is faulty,
        or another release's, some or all of them never take, and go on with what they have. Then whoever has
        it is to lead, and where nobody has, plans must come all the same, or a bad write to one key would end
        all bidding. So who has another config leads by turns, and leaves gaps in which one that has it takes
        over. `now_s` is of a clock that elapses.
        """
        version = await published_version(self._client)
        if version != self._published and not version:
            logger.error(
                "the config is gone from Redis, and with it perhaps what was spent: no money is given out "
                "until a backup is restored, or `hustings config apply DIR` opens new accounts"
            )
        self._published = version
        self._has_published = version == bundle.version
        if self._has_published:
            self._apart_since_s = None
            return True
        if self._apart_since_s is None:
            self._apart_since_s = now_s
        turn_s = (now_s - self._apart_since_s) % (GAP_SECONDS + TURN_SECONDS)
        may_lead = bool(version) and turn_s >= GAP_SECONDS
        if not may_lead:
            await self.resign()
        return may_lead

    async def tick(self, bundle: Bundle, now_s: float) -> bool:
        """Do one round if this is the leader, or can become it; say whether a plan was published.

        Raises redis.RedisError; the next tick then does what this one left undone.
        """
        if not await self._election.elected(lambda: self._take_up(now_s)):
            return False
        # An older config's budgets must not undo those of the one that is published.
        is_due = self._registered != bundle.version and self._has_published
        if is_due and not await self._register(bundle, now_s):
            return False
        outcomes = await self._outcomes.read(bundle, now_s)
        if await self._traffic.look(bundle.campaigns_by_code(), bool(await self._ledger.beats()), now_s):
            self._curves.clear()
        decided = await self._resolve_all(bundle, outcomes, now_s)
        if decided is None:
            return False
        await self._shade(now_s)
        # The round may have taken long: only who still holds the lease speaks.
        if not await self._election.renewed():
            return False
        plan = Plan(
            made_at_s=now_s,
            version=self._before.version + 1,
            campaigns=decided,
            shading_version=self._shading_version,
        )
        await publish(self._client, plan)
        self._before = plan
        return True

    async def resign(self) -> None:
        """Give up the lease, if this is the leader, so that another takes over at its next tick."""
        await self._election.resign()

    @property
    def leading(self) -> bool:
        """Tell whether this process decides now."""
        return self._election.leading

    async def _take_up(self, now_s: float) -> None:
        """Go on where the last leader stopped."""
        self._registered = None
        self._states.clear()
        self._ceilings.clear()
        self._late.clear()
        self._held.clear()
        before = await fetch(self._client)
        if before is not None:
            self._before = before
            self._shading_version = before.shading_version
        self._curves.clear()
        self._goals.clear()
        await self._traffic.load()
        await self._outcomes.load(now_s)
        self._shaded_at_s = -math.inf

    async def _register(self, bundle: Bundle, now_s: float) -> bool:
        """Open all accounts; False when another leads meanwhile."""
        for done, campaign in enumerate(bundle.campaigns_by_code().values()):
            if not await self._leads_after(done):
                return False
            try:
                await self._ledger.open(campaign)
            except LedgerError as error:
                logger.error("campaign %s has no account and does not spend: %s", campaign.id, error)
        for done, (campaign, line_item) in enumerate(bundle.line_items_by_account().values()):
            if not await self._leads_after(done):
                return False
            try:
                await self._ledger.open_line_item(
                    campaign, line_item, local_day(int(now_s), campaign.time_zone)
                )
            except LedgerError as error:
                logger.error("line item %s has no account and does not spend: %s", line_item.id, error)
        self._registered = bundle.version
        return True

    async def _leads_after(self, done: int) -> bool:
        """Renew the lease after every RENEW_CAMPAIGNS of what a round does; say whether this still leads."""
        return done % RENEW_CAMPAIGNS > 0 or await self._election.renewed()

    async def _resolve_all(
        self, bundle: Bundle, outcomes: int, now_s: float
    ) -> dict[int, CampaignPlan] | None:
        """Decide every campaign, and tell the ledger; None when another leads meanwhile."""
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
        outcomes += sum(accounts[code].billed > state.spent for code, state in self._states.items())
        self._watch_bills(accounts, now_s)
        decided = {}
        for done, (code, state) in enumerate(self._states.items()):
            if not await self._leads_after(done):
                return None
            campaign = campaigns[code]
            curve = self._curve(code, campaign, now_s)
            observed = observe(campaign, accounts[code], curve, outcomes, now_s)
            self._states[code], budget_q16, ceiling = resolve(state, observed, now_s)
            goal_q16 = await self._goal(code, campaign, observed, budget_q16, now_s)
            decided[code] = CampaignPlan(
                min(budget_q16, goal_q16),
                budget_q16=budget_q16,
                goal_q16=goal_q16,
                share_millionths=int(curve.share(now_s) * 1_000_000),
                budget=observed.budget,
                spent=observed.spent,
                window_s=curve.start_s,
            )
            # Moved to a zone where it is still yesterday, a campaign goes on with the day under way.
            day = max(local_day(int(now_s), campaign.time_zone), accounts[code].day)
            dated = (day, ceiling)
            if self._ceilings.get(code) != dated:
                await self._ledger.set_ceiling(code, *dated)
                self._ceilings[code] = dated
            await self._hold_back(code, code, observed.budget, observed, now_s)
        for done, (own_code, (campaign, line_item)) in enumerate(bundle.line_items_by_account().items()):
            if not await self._leads_after(done):
                return None
            code = code_of(campaign.id)
            if code in self._states:
                amounts = [amount for amount in (line_item.budget.total, line_item.budget.daily) if amount]
                curve = self._curve(code, campaign, now_s)
                observed = observe(campaign, accounts[code], curve, outcomes, now_s)
                await self._hold_back(own_code, code, min(amounts, default=0), observed, now_s)
        return decided

    def _watch_bills(self, accounts: Mapping[int, Account], now_s: float) -> None:
        for code in self._states:
            late, account = self._late.get(code), accounts[code]
            self._late[code] = look_again(late, account, now_s) if late else first_look(account, now_s)
        self._prior_late_share = prior_share(self._late.values())

    async def _hold_back(
        self, account_code: int, campaign_code: int, budget: int, observed: Observation, now_s: float
    ) -> None:
        """Keep back of `budget` what the late bills of the campaign say."""
        late = self._late[campaign_code]
        start_s, end_s = observed.curve.start_s, observed.curve.end_s
        held = held_back(late, self._prior_late_share, budget, start_s, end_s, now_s)
        before = self._held.get(account_code)
        if before is None or abs(held - before) > before // HELD_STEPS:
            await self._ledger.hold_back(account_code, held)
            self._held[account_code] = held

    def _first_state(self, code: int, account: Account, now_s: float) -> CampaignState:
        known = self._before.campaigns.get(code)
        level = known.budget_q16 / MULTIPLIER_ONE_Q16 if known is not None else MULTIPLIER_START
        return CampaignState(at_s=now_s, spent=account.billed, level=level)

    def _curve(self, code: int, campaign: Campaign, now_s: float) -> PlanCurve:
        """Return the campaign's curve, made anew when its window, its config or the hour is another."""
        key = (*window(campaign, now_s), int(now_s) // 3_600, campaign)
        known = self._curves.get(code)
        if known is not None and known[0] == key:
            return known[1]
        start_s, end_s, *_ = key
        traffic = self._traffic.hours(code, utc_offset_s(start_s, campaign.time_zone))
        curve = plan_curve(campaign, start_s, end_s, traffic)
        self._curves[code] = (key, curve)
        return curve

    async def _goal(
        self, code: int, campaign: Campaign, observed: Observation, budget_q16: int, now_s: float
    ) -> int:
        """Return the multiplier of a campaign's goal, in 1/65536; look at what it cost when it is time."""
        if campaign.goal is None:
            self._goals.pop(code, None)
            return MULTIPLIER_ONE_Q16
        state = self._goals.get(code)
        if state is None or not 0 <= now_s - state.at_s < GOAL_INTERVAL_S:
            day = local_day(int(now_s), campaign.time_zone)
            delivered = await fetch_delivered(self._client, code, campaign.goal, day)
            if state is None:
                known = self._before.campaigns.get(code)
                multiplier = known.goal_q16 / MULTIPLIER_ONE_Q16 if known is not None else 1.0
                state = GoalState(at_s=now_s, delivered=delivered, multiplier=multiplier)
            else:
                held = in_q16(state.multiplier) < budget_q16
                idle = held and _might_buy(observed, self._states[code], state.at_s, now_s)
                state = resolve_goal(state, campaign.goal, delivered, now_s, idle=idle)
            self._goals[code] = state
        return in_q16(state.multiplier)

    async def _shade(self, now_s: float) -> None:
        """Work out the shaded prices anew, publish them, and keep what they were counted from."""
        if 0 <= now_s - self._shaded_at_s < SHADE_INTERVAL_S:
            return
        if not self._outcomes.landscape.changed:
            return
        self._shaded_at_s = now_s
        counts = self._outcomes.landscape.copy()
        # A millisecond or so for each cell, beside the event loop.
        rows = await asyncio.to_thread(lambda: shade_rows(win_shares(counts)))
        version = self._before.version + 1
        shading = Shading(version=version, rows=rows, auctions=weights(counts))
        await publish_shading(self._client, shading)
        self._shading_version = version
        await self._outcomes.save()


def _might_buy(observed: Observation, state: CampaignState, since_s: float, now_s: float) -> bool:
    """Say whether a campaign has money, and had auctions to spend it in."""
    planned = observed.curve.share(now_s) > observed.curve.share(since_s)
    affords = not observed.paused and observed.spent < observed.budget
    return planned and affords and state.silent_s <= SILENCE_S_MAX


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
