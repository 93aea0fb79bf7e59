"""What the tests of the controller share: a config of two campaigns, and candidates for the office."""

import asyncio
from collections.abc import Awaitable, Callable

import redis.asyncio

from config.money import BILLION, CpmMicros, Money
from config.schema import (
    Advertiser,
    Budget,
    Bundle,
    Campaign,
    Engine,
    ExchangeProfile,
    LineItem,
    code_of,
)
from pacing.controller import Controller
from pacing.ledger import Ledger
from pacing.plan import fetch
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


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            if await condition():
                return
            await asyncio.sleep(0)


async def paced(client: redis.asyncio.Redis, version: int) -> bool:
    """Tell whether the plan of this version, or a later one, is out."""
    plan = await fetch(client)
    return plan is not None and plan.version >= version
