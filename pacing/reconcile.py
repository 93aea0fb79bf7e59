"""The continuous audit: is what an account says is spent the sum of the bills it was made of?

    for audit in await audit_all(client, ledger):
        audit.faults                     # sentences; none when all agrees

`settle` adds a price to `spent` and an entry to the stream of bills in one script, and `adjust` does the
same, so from the opening of an account

    spent == the sum of its stream

at every moment. A stream is trimmed in the end, so the sum is carried on: a checkpoint beside it (`audited`)
holds the last entry that was added up, the sum up to it and how many entries there had been. An audit
reads `spent` and the state of the stream in one transaction, adds up what came since the checkpoint, and
moves it there. Two processes that audit at once write the same.

A line item with a budget of its own is charged in its account and in the campaign's sum for it, so these
are equal too.

What can't be added up any more (the stream was trimmed past the checkpoint) is taken from the account as
it stands, and the audit says since when it sees everything. A difference stays until somebody has looked
into it and accepts it (`accept`).
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
import redis.asyncio
from redis.exceptions import ResponseError

from config import redis_keys
from config.money import money_text
from pacing.account import Account
from pacing.bills import BEGINNING, EMPTY, StreamState, bills_between, read_state
from pacing.ledger import Ledger

_CAMPAIGN_BITS = 0xFFFF_FFFF


class Checkpoint(msgspec.Struct, frozen=True):
    """Everything up to and with entry `last_id`, the `added`th, comes to `billed`.

    `since_s` is 0 when that was added up from the opening of the account, else when an account was
    last taken as it stood.
    """

    last_id: str = BEGINNING
    added: int = 0
    billed: int = 0
    since_s: int = 0


class Audit(msgspec.Struct, frozen=True):
    """One campaign's account beside its bills."""

    account: Account
    spent: int
    """When the bills were added up; `account` was read a moment later."""
    billed: int
    since_s: int
    faults: tuple[str, ...]
    of_line_items: int = 0
    """What line items are said to have spent of their own budgets beyond their bills, without a sign."""

    @property
    def mismatch(self) -> int:
        """What is spent beyond what was billed; billionths."""
        return self.spent - self.billed


async def audit_all(client: redis.asyncio.Redis, ledger: Ledger, now_s: float | None = None) -> list[Audit]:
    """Audit every campaign that ever had an account, by id. Raises redis.RedisError."""
    members = cast(set[bytes], await client.smembers(redis_keys.CAMPAIGNS))
    line_items = await _own_accounts(client)
    now_s = time.time() if now_s is None else now_s
    codes = sorted(map(int, members))
    audits = [await audit(client, ledger, code, now_s, line_items.get(code, ())) for code in codes]
    return sorted((found for found in audits if found is not None), key=lambda one: one.account.campaign_id)


async def audit(
    client: redis.asyncio.Redis, ledger: Ledger, code: int, now_s: float, line_items: Sequence[int] = ()
) -> Audit | None:
    """Audit one campaign's account and move its checkpoint; None when there is no account.

    `line_items` are the account codes of those with a budget of their own. Raises redis.RedisError.
    """
    spent, state, before = await _look(client, code)
    if spent is None:
        return None
    after = await _carried_on(client, code, spent, state, before, now_s)
    if after != before:
        await _store(client, code, after)
    account = await ledger.account(code)
    if account is None:
        return None
    faults, of_line_items = _faults(account, spent, after.billed), 0
    for own in line_items:
        mismatch, found = await _audit_line_item(client, ledger, own, account.campaign_id)
        faults, of_line_items = faults + found, of_line_items + abs(mismatch)
    return Audit(account, spent, after.billed, after.since_s, faults, of_line_items)


async def _own_accounts(client: redis.asyncio.Redis) -> dict[int, list[int]]:
    """Return by campaign the account codes of its line items that ever had a budget of their own."""
    members = cast(set[bytes], await client.smembers(redis_keys.LINE_ITEM_ACCOUNTS))
    found: dict[int, list[int]] = {}
    for own in sorted(map(int, members)):
        found.setdefault(own & _CAMPAIGN_BITS, []).append(own)
    return found


async def _audit_line_item(
    client: redis.asyncio.Redis, ledger: Ledger, code: int, campaign_id: str
) -> tuple[int, tuple[str, ...]]:
    spent, charged = await _line_item_sums(client, code)
    account = await ledger.account(code)
    if account is None:
        return 0, ()
    if spent == charged:
        return 0, _sides(account)
    return spent - charged, (
        *_sides(account),
        f"{account.campaign_id} of {campaign_id} says {money_text(spent)} is spent of its own budget, "
        f"and its bills come to {money_text(charged)}",
    )


async def _line_item_sums(client: redis.asyncio.Redis, code: int) -> tuple[int, int]:
    """Return what a line item's account and its campaign say that it has spent, at one moment."""
    async with client.pipeline(transaction=True) as pipe:
        pipe.hget(redis_keys.ledger(code), "spent")
        pipe.hget(redis_keys.spent_by_line_item(code & _CAMPAIGN_BITS), str(code >> 32))
        spent, charged = await pipe.execute()
    return int(spent or 0), int(charged or 0)


async def accept(client: redis.asyncio.Redis, code: int, now_s: float) -> int | None:
    """Take a campaign's account as it stands for right; return the difference that this ends.

    Those of its line items, too, whose differences are not in what is returned. None when there is no
    account. Raises redis.RedisError.
    """
    spent, state, before = await _look(client, code)
    if spent is None:
        return None
    found = await _carried_on(client, code, spent, state, before, now_s)
    await _store(client, code, Checkpoint(state.last_id, state.added, spent, int(now_s)))
    for own in (await _own_accounts(client)).get(code, ()):
        own_spent, charged = await _line_item_sums(client, own)
        # Bills that come meanwhile are added to both.
        await client.hincrby(redis_keys.spent_by_line_item(code), str(own >> 32), own_spent - charged)
    return spent - found.billed


async def _look(client: redis.asyncio.Redis, code: int) -> tuple[int | None, StreamState, Checkpoint]:
    """Read what is spent, the state of the stream and the checkpoint, at one moment."""
    async with client.pipeline(transaction=True) as pipe:
        pipe.hget(redis_keys.ledger(code), "spent")
        pipe.xinfo_stream(redis_keys.bills(code))
        pipe.hgetall(redis_keys.audited(code))
        spent, info, stored = await pipe.execute(raise_on_error=False)
    for reply in (spent, stored):
        if isinstance(reply, Exception):
            raise reply
    if isinstance(info, ResponseError) and "no such key" in str(info):
        state = EMPTY
    elif isinstance(info, Exception):
        raise info
    else:
        state = read_state(info)
    return None if spent is None else int(spent), state, _checkpoint(stored)


async def _carried_on(
    client: redis.asyncio.Redis,
    code: int,
    spent: int,
    state: StreamState,
    before: Checkpoint,
    now_s: float,
) -> Checkpoint:
    """Add up to the checkpoint what the stream has had since."""
    if state.added < before.added:
        # The stream is another than it was: what is left of it is all there is to go by.
        before = Checkpoint(since_s=int(now_s))
    billed, seen = before.billed, before.added
    if state.added > seen:
        async for page in bills_between(client, code, before.last_id, state.last_id):
            billed += sum(bill.amount for bill in page)
            seen += len(page)
    if seen != state.added:
        billed, since_s = spent, int(now_s)
    else:
        since_s = before.since_s
    return Checkpoint(state.last_id, state.added, billed, since_s)


async def _store(client: redis.asyncio.Redis, code: int, checkpoint: Checkpoint) -> None:
    fields: Mapping[Any, Any] = msgspec.structs.asdict(checkpoint)
    await client.hset(redis_keys.audited(code), mapping=dict(fields))


def _checkpoint(stored: Mapping[bytes, bytes]) -> Checkpoint:
    if not stored:
        return Checkpoint()
    fields = {name.decode(): value.decode() for name, value in stored.items()}
    return msgspec.convert(fields, Checkpoint, strict=False)


def _faults(account: Account, spent: int, billed: int) -> tuple[str, ...]:
    if spent == billed:
        return _sides(account)
    return (
        *_sides(account),
        f"{account.campaign_id} says {money_text(spent)} is spent, and its bills come to "
        f"{money_text(billed)}",
    )


def _sides(account: Account) -> tuple[str, ...]:
    try:
        account.check()
    except AssertionError as error:
        return (str(error),)
    return ()
