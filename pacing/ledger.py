"""The ledger: what each campaign may spend, has spent, and has leased to workers. It lives in Redis.

A campaign has an account; so has each of its line items with a budget of its own, beside it: a bid of such
a line item is leased, reserved and charged in both. An account's code is its campaign's, or
`config.schema.account_code`. Money is counted in billionths of the currency (`config.money`). For every
account, always:

    spent + the sum of its leases + free == total

`free` is not stored: it is what the other three leave. Each operation is one Lua script
(`pacing/lua/`), so it happens whole or not at all:

    register     opens an account, or changes its budgets        free changes
    grant        free -> a worker's lease                        within daily, hourly, ceiling; less `held`
    settle       a worker's lease -> spent, once for each bid    beyond the lease: from free, and `late`
    adjust       free -> spent, or back, once for each id        a correction by hand
    release      a worker's lease -> free
    reap         the leases of vanished workers -> free

`spent` comes from bills and adjustments only, and free may become negative by late bills, adjustments and
by cutting a budget below what is spent; nothing is granted then, and workers are told to give back what
they have not promised. A day is a number, local days since 1970 (`config.calendar.local_day`), an hour the
second it began in (`local_hour`): callers know the campaign's time zone. `leased` money counts against the
day and hour it is granted in and every one until it is settled or released. Daily and hourly figures count
bills alone, no adjustments.

Every change that may let workers bid more or less raises one counter (`Bulletin.changes`), which they read
twice a second: none of them waits out a refusal, or its turn to read an idle lease, while money has come or
gone.

A worker is an owner: a number drawn for it. A worker that the ledger struck off, because it
was silent for too long, must take a new one; its old leases have gone back to free.

Every method raises redis.RedisError when Redis does not answer. Repeating `settle` after that is
safe. So is everything else but `grant`, where the worker then holds more than it knows, and
learns so from its next reply.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Literal, cast

import redis.asyncio

from config import redis_keys
from config.limits import (
    ADJUSTMENT_REASON_CHARS_MAX,
    ADJUSTMENTS_PER_CAMPAIGN_MAX,
    BIDS_PER_MINUTE_MAX,
    DELIVERED_HOURS_SECONDS,
    DELIVERED_SECONDS,
    ID_CHARS_MAX,
    LEASE_EXCHANGE_SECONDS_MAX,
    LEASE_STALE_SECONDS_MAX,
    MULTIPLIER_MAX,
    NOTICE_CLOCK_SECONDS_MAX,
    NOTICE_TAKEN_SECONDS_MAX,
    RESERVATION_SLOTS,
    SEEN_SECONDS,
    SHORT_ACCOUNTS_MAX,
    SHORT_SECONDS,
    STREAM_ENTRIES_MAX,
)
from config.money import CPM_MICROS_MAX, MONEY_MAX, must_be_money
from config.schema import Campaign, LineItem, account_code, code_of
from pacing.account import Account, read_account
from pacing.lease_messages import Ask, Bulletin, Lease, Return, grant_call, read_lease, release_call
from pacing.scripts import Call, Script, pairs, run_all

BITS_PER_BID = 4
_BILLED_BIT = 0
_BIT_OF = {"shown": 1, "won": 2, "clicked": 3}

REAP_GRACE_SECONDS = 1.5
"""Of a worker's last reservations: the second they expire in, and some time to handle a notice."""
PLAY_COST_MAX = CPM_MICROS_MAX * MULTIPLIER_MAX
"""The most that one bill can come to: a play on a public screen is as many impressions as saw it."""
OWNERS_MAX = 2**32 - 1
"""A token has four bytes for the owner. Of a thousand within the hours that a token is taken, two are
the same with a chance of one in ten thousand."""

_CAMPAIGN_BITS = 0xFFFF_FFFF
_UNADJUSTED = {
    2: "there is no such account; `hustings budget status` lists the campaigns",
    3: "less than nothing would be spent; check its sign and its amount",
    4: f"{ADJUSTMENTS_PER_CAMPAIGN_MAX} were made before, which is all that are remembered",
    5: "more would be spent than the largest amount; check the amount",
    6: "another amount was booked under this id before; give it an id of its own",
}

_ACCOUNT = Script("account")
_ADJUST = Script("adjust", "limbs")
_BEATS = Script("beats")
_CALL_SHORT = Script("call_short")
_CHANGES = Script("changes")
_FIRST_TIME = Script("first_time")
_HEARTBEAT = Script("heartbeat")
_REGISTER = Script("register", "limbs")
_SET_FIELDS = Script("set_fields")
_SETTLE = Script("settle", "limbs", "day", "delivery")
_SHORT = Script("short")
_STRIKE_OFF = Script("strike_off")


def silence_seconds_max(notice_timeout_s: int) -> float:
    """Return how long a worker may be silent before the ledger may take back what it holds.

    A worker that lost its Redis goes on bidding for up to LEASE_STALE_SECONDS_MAX, and its last bids may be
    billed until the longest notice timeout of all exchanges is over.
    """
    return LEASE_STALE_SECONDS_MAX + notice_timeout_s + REAP_GRACE_SECONDS


class LedgerError(Exception):
    """An account can't be what the config asks for; the message says why and how to mend it."""


class Settlement(Enum):
    """What became of a bill; the values are the replies of `settle.lua`."""

    SETTLED = 0
    LATE = 1
    """Charged, but its worker's lease no longer covered all of it."""
    DUPLICATE = 2
    """Booked before, or so long after the bid that nobody remembers whether it was. Not booked."""
    OVERPRICED = 3
    """More than the bid. Not booked."""
    UNKNOWN_CAMPAIGN = 4
    """There is no such account. Not booked."""


class Ledger:
    """All accounts, through one client."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client

    async def open(self, campaign: Campaign) -> None:
        """Register a campaign with the budgets it has in the config. Raises LedgerError."""
        budget, code = campaign.budget, code_of(campaign.id)
        await self.register(
            code, campaign.id, budget.total, budget.daily, campaign.time_zone, hourly=budget.hourly
        )

    async def open_line_item(self, campaign: Campaign, line_item: LineItem, day: int) -> None:
        """Register a line item with the budget of its own that it has in the config. Raises LedgerError.

        `day` is the campaign's local day.
        """
        budget, code = line_item.budget, account_code(campaign.id, line_item.id)
        await self.register_line_item(
            code, line_item.id, budget.total, budget.daily, campaign.time_zone, day=day
        )

    async def register(
        self,
        code: int,
        campaign_id: str,
        total: int,
        daily: int | None,
        time_zone: str,
        *,
        hourly: int | None = None,
    ) -> None:
        """Open a campaign's account, or give it these budgets; again and again does no harm.

        Raises LedgerError when the code's account belongs to a campaign of another id.
        """
        await self._register("campaign", code, campaign_id, total, daily, hourly, time_zone)

    async def register_line_item(
        self,
        code: int,
        line_item_id: str,
        total: int | None,
        daily: int | None,
        time_zone: str,
        *,
        day: int = 0,
    ) -> None:
        """Open the account of a line item with a budget of its own, or give it this budget.

        What the line item has spent before counts against `total`, and on `day`, the local day, against
        `daily`; without a total the campaign's is the limit. Raises LedgerError when the code's account
        belongs to a line item of another id.
        """
        total = MONEY_MAX if total is None else total
        await self._register("line item", code, line_item_id, total, daily, None, time_zone, day)

    async def _register(
        self,
        what: Literal["campaign", "line item"],
        code: int,
        id_: str,
        total: int,
        daily: int | None,
        hourly: int | None,
        time_zone: str,
        day: int = 0,
    ) -> None:
        must_be_money(total=total, daily=daily or 0, hourly=hourly or 0)
        campaign_code = code & _CAMPAIGN_BITS
        keys = [redis_keys.ledger(code), redis_keys.spent_by_line_item(campaign_code)]
        keys.append(redis_keys.delivered(campaign_code, day))
        limits = ("" if amount is None else amount for amount in (daily, hourly))
        arguments = (id_, total, *limits, time_zone, (code >> 32) or "", day)
        reply: bytes = await _REGISTER.run(self._client, keys, arguments)
        if reply.decode() != id_:
            raise LedgerError(
                f"{what} {id_!r} has the same code, {code >> 32 or code:08x}, as {reply.decode()!r}, which "
                f"has an account in this Redis; give the {what} another id"
            )
        listed = redis_keys.CAMPAIGNS if what == "campaign" else redis_keys.LINE_ITEM_ACCOUNTS
        await self._client.sadd(listed, code)
        await self._client.incr(redis_keys.BUDGET_CHANGES)

    async def bulletin(self) -> Bulletin:
        """Return what changed, is short, who is alive and what time it is, in one round trip."""
        calls = [
            Call(_CHANGES, [redis_keys.BUDGET_CHANGES], ()),
            Call(_SHORT, [redis_keys.SHORT_ACCOUNTS], (SHORT_SECONDS,)),
            Call(_BEATS, [redis_keys.WORKERS], ()),
        ]
        changes, short, (now_s, *beats) = await run_all(self._client, calls)
        owners = [int(owner) for owner in beats[::2]]
        return Bulletin(int(changes), [int(code) for code in short], owners, float(now_s))

    async def adjust(
        self, code: int, adjustment_id: str, amount: int, reason: str, *, line_item: int = 0
    ) -> bool:
        """Correct what a campaign has spent by `amount`, which may be negative, once for each id.

        With `line_item`, a line item's code, its spend is corrected too. The correction is an entry of the
        stream of bills, with the fields `adjustment`, `reason` and `price_cpm_micros`, so that these still
        sum up to what is spent. False: it was made before. Raises LedgerError when there is no such
        account, it would have spent less than nothing or more than MONEY_MAX, or the id is of another amount.
        """
        if not adjustment_id or len(adjustment_id) > ID_CHARS_MAX:
            raise ValueError(f"an adjustment's id has 1 to {ID_CHARS_MAX} characters")
        if not reason or len(reason) > ADJUSTMENT_REASON_CHARS_MAX:
            raise ValueError(f"an adjustment's reason has 1 to {ADJUSTMENT_REASON_CHARS_MAX} characters")
        must_be_money(amount=abs(amount))
        keys = [
            redis_keys.ledger(code),
            redis_keys.ledger(line_item << 32 | code),
            redis_keys.adjustments(code),
            redis_keys.bills(code),
            redis_keys.spent_by_line_item(code),
        ]
        arguments: list[str | int] = [adjustment_id, amount, line_item or "", ADJUSTMENTS_PER_CAMPAIGN_MAX]
        arguments += [STREAM_ENTRIES_MAX, "adjustment", adjustment_id, "reason", reason]
        arguments += ["price_cpm_micros", amount]
        reply = await _ADJUST.run(self._client, keys, arguments)
        if reply > 1:
            raise LedgerError(
                f"adjustment {adjustment_id!r} of {code:08x} by {amount} was not made: " + _UNADJUSTED[reply]
            )
        await self._client.incr(redis_keys.BUDGET_CHANGES)
        return bool(reply == 0)

    async def account(self, code: int) -> Account | None:
        """Return one account, or None when there is none."""
        return (await self.accounts([code])).get(code)

    async def accounts(self, codes: Sequence[int]) -> dict[int, Account]:
        """Return the accounts that exist, by code, each as it stood at one moment."""
        calls = [Call(_ACCOUNT, [redis_keys.ledger(code), redis_keys.leases(code)], ()) for code in codes]
        replies = await run_all(self._client, calls)
        return {
            code: read_account(code, pairs(fields), pairs(leases))
            for code, (fields, leases) in zip(codes, replies, strict=True)
            if fields
        }

    async def time_zone(self, code: int) -> str | None:
        """Return the time zone of an account's days and hours, None when there is no account."""
        zone = cast(bytes | None, await self._client.hget(redis_keys.ledger(code), "time_zone"))
        return None if zone is None else zone.decode()

    async def pause(self, code: int) -> bool:
        """Grant nothing until `resume`; workers return what they have not promised. False: no account."""
        return await self._set_paused(code, "1")

    async def resume(self, code: int) -> bool:
        """Undo `pause`. False: no account."""
        return await self._set_paused(code, "0")

    async def _set_paused(self, code: int, paused: str) -> bool:
        found = await self._set_fields(code, "paused", paused)
        if found:
            await self._client.incr(redis_keys.BUDGET_CHANGES)
        return found

    async def hold_back(self, code: int, amount: int) -> bool:
        """Keep `amount` of the total and daily budgets out of grants from now on. False: no account."""
        must_be_money(held=amount)
        return await self._set_fields(code, "held", amount or "")

    async def set_ceiling(self, code: int, day: int, amount: int | None) -> bool:
        """Hold what is spent on `day` and leased within `amount`; None removes the ceiling.

        On any other day the ceiling is 0, so that a plan nobody renews stops the campaign. False: no
        account.
        """
        if amount is None:
            return await self._set_fields(code, "ceiling", "", "ceiling_day", "")
        must_be_money(ceiling=amount)
        return await self._set_fields(code, "ceiling", amount, "ceiling_day", day)

    async def new_owner(self) -> int:
        """Return the number of a new worker, which is alive from now on.

        Drawn, not counted: a server that lost its newest writes would count the same number again, and two
        workers, or two lives of one, would share a lease and each other's settlements.
        """
        while True:
            owner = secrets.randbelow(OWNERS_MAX) + 1
            if await _HEARTBEAT.run(self._client, [redis_keys.WORKERS], (owner, "join")):
                return owner

    async def heartbeats(self) -> dict[int, float]:
        """Return when each listed worker was last heard of, by the server's clock, by owner."""
        _, *beats = await _BEATS.run(self._client, [redis_keys.WORKERS], ())
        return {int(owner): float(beat) for owner, beat in zip(beats[::2], beats[1::2], strict=True)}

    async def beats(self) -> dict[int, float]:
        """Return every listed worker's silence, in seconds by the server's clock, by owner."""
        now_s, *beats = map(float, await _BEATS.run(self._client, [redis_keys.WORKERS], ()))
        return {int(owner): now_s - beat_s for owner, beat_s in zip(beats[::2], beats[1::2], strict=True)}

    async def call_short(self, codes: Sequence[int]) -> None:
        """Tell every worker that one with bids to make gets no more of these accounts (`pacing.lease`)."""
        arguments = (SHORT_SECONDS, SHORT_ACCOUNTS_MAX, *codes)
        await _CALL_SHORT.run(self._client, [redis_keys.SHORT_ACCOUNTS], arguments)

    async def grant(
        self, code: int, owner: int, want: int, day: int, bid_max: int, workers: int, *, hour: int = 0
    ) -> Lease:
        """Lease a worker up to `want`: see `grant.lua` for how much. No account grants nothing.

        `bid_max` is the account's highest price, `workers` how many there are.
        """
        call = grant_call(owner, Ask(code, want, day, bid_max, hour), workers)
        return read_lease(await call.script.run(self._client, call.keys, call.arguments))

    async def release(self, code: int, owner: int, returned: int) -> Lease:
        """Take back what a worker returns, given as all it has ever returned of this campaign.

        A total, so that a message that is repeated, or overtaken by a later one, takes nothing.
        """
        call = release_call(owner, code, returned)
        return read_lease(await call.script.run(self._client, call.keys, call.arguments))

    async def exchange(
        self, owner: int, messages: Sequence[Ask | Return], workers: int
    ) -> tuple[int, list[Lease]]:
        """Send a worker's heartbeat and its messages in one round trip.

        Returns how many workers are alive, 0 when this owner is not one of them, and the lease after
        each message. Raises redis.TimeoutError after LEASE_EXCHANGE_SECONDS_MAX, the client's retries
        included.
        """
        calls = [Call(_HEARTBEAT, [redis_keys.WORKERS], (owner, "beat"))]
        for message in messages:
            if isinstance(message, Ask):
                calls.append(grant_call(owner, message, workers))
            else:
                calls.append(release_call(owner, message.code, message.returned))
        try:
            async with asyncio.timeout(LEASE_EXCHANGE_SECONDS_MAX):
                alive, *replies = await run_all(self._client, calls)
        except TimeoutError:
            raise redis.TimeoutError(f"no answer from the ledger in {LEASE_EXCHANGE_SECONDS_MAX} s") from None
        return int(alive), [read_lease(reply) for reply in replies]

    async def reap(self, silent: Mapping[int, float], *, thorough: bool = True) -> int:
        """Return the leases of vanished workers to free; return how much that was, in billionths.

        `silent` are the workers that have been silent for longer than `silence_seconds_max`, with the
        heartbeat that each had all along; who has beaten since stays. Every campaign that ever had an account
        is looked at, the ones no longer in the config too: always when `thorough`, else only when a worker
        has just been struck off. Whoever is not on the list of workers owns nothing, so a reaper that dies
        half-way, or a lease granted to a worker just struck off, is made good by the next reaping.
        """
        beats = [argument for owner, beat_s in silent.items() for argument in (owner, repr(beat_s))]
        struck_off = beats and await _STRIKE_OFF.run(self._client, [redis_keys.WORKERS], beats)
        if not struck_off and not thorough:
            return 0
        members = await self._client.smembers(redis_keys.CAMPAIGNS)
        members |= await self._client.smembers(redis_keys.LINE_ITEM_ACCOUNTS)
        codes = sorted(int(code) for code in members)
        async with self._client.pipeline(transaction=False) as pipe:
            for code in codes:
                pipe.hgetall(redis_keys.leases(code))
                pipe.hkeys(redis_keys.returns(code))
            replies = await pipe.execute()
        # Read last: an owner is on the list before it can hold a lease.
        workers = await self._client.zrange(redis_keys.WORKERS, 0, -1)
        alive = {int(owner) for owner in cast(list[bytes], workers)}
        # A line item's lease is of its campaign's money, which is counted once.
        calls, reaped = [], 0
        for code, leases, returners in zip(codes, replies[::2], replies[1::2], strict=True):
            for owner in {int(field) for field in (*leases, *returners)} - alive:
                calls.append(release_call(owner, code, "all"))
                reaped += 0 if code >> 32 else int(leases.get(b"%d" % owner, 0))
        await run_all(self._client, calls)
        return reaped

    async def settle(
        self,
        code: int,
        owner: int,
        minute: int,
        sequence: int,
        price: int,
        price_max: int,
        day: int,
        expiry_s: int,
        entry: Mapping[str, str],
        *,
        hour: int = 0,
        line_item: int = 0,
        from_line_item: bool = False,
        taken_seconds_max: int = NOTICE_TAKEN_SECONDS_MAX,
    ) -> Settlement:
        """Charge a bill once, whatever happens to the notice on its way.

        The bid is named by its owner, minute and sequence, as in its token; `expiry_s` is the second that
        its reservation expires in, where its worker will find it settled. `hour` is the local hour of
        the bid, `line_item` the code of its line item, whose own budget, where it has one, is charged too;
        `from_line_item` says that it was reserved from that as well. `entry` goes to the stream
        of bills together with `price_cpm_micros`, and the bill is added to the sums of its day and hour
        (`pacing.delivery`). By the server's clock, a bid older than `taken_seconds_max` is a DUPLICATE: the
        bits that would tell are gone, or going. Who takes more than NOTICE_TAKEN_SECONDS_MAX must have looked
        the bid up among the bills (`pacing.bills`).
        """
        if not 0 <= price <= PLAY_COST_MAX or not 0 <= price_max <= PLAY_COST_MAX:
            raise ValueError(f"price {price} and its bound {price_max} must be from 0 to {PLAY_COST_MAX}")
        own = line_item << 32 | code
        keys = [
            redis_keys.ledger(code),
            redis_keys.leases(code),
            redis_keys.settled(code, owner),
            redis_keys.ledger(own),
            redis_keys.leases(own),
            redis_keys.settled(own, owner),
            redis_keys.seen(code, owner, minute),
            redis_keys.bills(code),
            redis_keys.spent_by_line_item(code),
            redis_keys.delivered(code, day),
            redis_keys.delivered_hours(code, day),
        ]
        arguments: list[str | int] = [owner, _bit(sequence, _BILLED_BIT), price, price_max, day]
        arguments += [minute, taken_seconds_max, taken_seconds_max + NOTICE_CLOCK_SECONDS_MAX]
        arguments += [expiry_s, RESERVATION_SLOTS]
        arguments += [hour, line_item, int(from_line_item), DELIVERED_SECONDS, DELIVERED_HOURS_SECONDS]
        arguments += [STREAM_ENTRIES_MAX]
        for field, value in {**entry, "price_cpm_micros": str(int(price))}.items():
            arguments += [field, value]
        return Settlement(await _SETTLE.run(self._client, keys, arguments))

    async def first_time(
        self, code: int, owner: int, minute: int, sequence: int, what: Literal["shown", "won", "clicked"]
    ) -> bool:
        """Say whether this notice of a bid comes for the first time, and remember it.

        A notice for a bid older than NOTICE_TAKEN_SECONDS_MAX never does.
        """
        arguments = (_bit(sequence, _BIT_OF[what]), minute, NOTICE_TAKEN_SECONDS_MAX, SEEN_SECONDS)
        keys = [redis_keys.seen(code, owner, minute)]
        return bool(await _FIRST_TIME.run(self._client, keys, arguments))

    async def _set_fields(self, code: int, *fields_and_values: str | int) -> bool:
        return bool(await _SET_FIELDS.run(self._client, [redis_keys.ledger(code)], fields_and_values))


def _bit(sequence: int, bit: int) -> int:
    if not 0 <= sequence < BIDS_PER_MINUTE_MAX:
        raise ValueError(f"sequence {sequence} must be below {BIDS_PER_MINUTE_MAX}")
    return BITS_PER_BID * sequence + bit
