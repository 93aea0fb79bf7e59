"""What a worker and the ledger say to each other about leases: the calls of `grant.lua` and `release.lua`.

    call = grant_call(owner, Ask(code, want, day, bid_max), workers)      free -> lease
    call = release_call(owner, code, returned)                            lease -> free
    lease = read_lease(await call.script.run(client, call.keys, call.arguments))

Both answer with the worker's lease as it is then. What a worker reads before them is a `Bulletin`.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from config import redis_keys
from config.money import must_be_money
from pacing.scripts import Call, Script, pairs

_RECALLED, _CONTENDED = 1, 2
"""What `grant.lua` and `release.lua` say besides the lease."""
WORKERS_MAX = 100_000

_GRANT = Script("grant", "limbs", "day", "room", "settled")
_RELEASE = Script("release", "limbs", "room", "settled")


class Lease(msgspec.Struct, frozen=True):
    """A worker's lease of one campaign after an operation; billionths."""

    outstanding: int
    granted: int
    paused: bool
    """Nothing may be bid, and what is not promised goes back: paused, or over a budget."""
    settled: Mapping[int, int] = {}
    """Second of expiry -> the sum of the highest prices of this worker's bids, expiring in that second,
    that are settled. Each sum only grows; a second that passed some seconds ago by the server's clock is
    gone."""
    contended: bool = False
    """Others hold money of the account too, which may come back. Only a grant tells."""


class Bulletin(msgspec.Struct, frozen=True):
    """What every worker wants to know before each exchange."""

    changes: int
    """Another after every change of a budget, pause or correction."""
    short: list[int]
    """The accounts that were called short within SHORT_SECONDS, at most SHORT_ACCOUNTS_MAX."""
    owners: list[int]
    """The live workers."""
    now_s: float
    """The server's time, unix seconds."""


class Ask(msgspec.Struct, frozen=True):
    """A worker's wish for money of one account."""

    code: int
    want: int
    day: int
    bid_max: int
    hour: int = 0
    """Any hour that has passed is the one under way; an account without an hourly budget needs none."""


class Return(msgspec.Struct, frozen=True):
    """All that a worker has ever given back of one account. Unchanged, it only reads the lease."""

    code: int
    returned: int


def grant_call(owner: int, ask: Ask, workers: int) -> Call:
    """Ask for money, as one of so many workers. Raises ValueError on an amount out of bounds."""
    must_be_money(want=ask.want, bid_max=ask.bid_max)
    workers = min(max(workers, 1), WORKERS_MAX)
    keys = [redis_keys.ledger(ask.code), redis_keys.leases(ask.code), redis_keys.settled(ask.code, owner)]
    return Call(_GRANT, keys, (owner, int(ask.want), ask.day, int(ask.bid_max), workers, ask.hour))


def release_call(owner: int, code: int, returned: int | Literal["all"]) -> Call:
    """Give back what makes the sum of all returns `returned`; "all": the lease of an owner struck off."""
    keys = [redis_keys.ledger(code), redis_keys.leases(code), redis_keys.returns(code)]
    keys.append(redis_keys.settled(code, owner))
    return Call(_RELEASE, keys, (owner, returned))


def read_lease(reply: tuple[bytes, bytes, int, list[bytes]]) -> Lease:
    """Return the lease that a reply tells of."""
    outstanding, granted, state, settled = reply
    sums = {int(second): int(amount) for second, amount in pairs(settled).items()}
    return Lease(int(outstanding), int(granted), state == _RECALLED, sums, state == _CONTENDED)
