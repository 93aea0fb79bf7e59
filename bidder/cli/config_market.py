"""What `hustings config` warns of: what an engine's Redis knows of money, floors and people comes into it."""

import time
from collections.abc import Iterator, Mapping

import msgspec
import numpy as np
import redis.asyncio

from bidder.decision.dimensions import Ad
from bidder.decision.exchange_rules import refusal
from config.audience import parse_audience, to_clauses
from config.calendar import SECONDS_PER_DAY
from config.diff import Change
from config.faults import Fault
from config.findings import Finding
from config.load import ReadFolder
from config.schema import Bundle, Segment
from config.templates import gathered
from config.warnings import Seen, find_warnings
from pacing.floors_seen import floors_seen
from pacing.ledger import Ledger
from segments.count import estimate_audience
from segments.registry import SegmentRegistry
from segments.sizes import audiences_of, count_audiences, too_small
from segments.store import SegmentStore

REACHES_SHOWN_MAX = 20
"""Audiences of one comparison whose people are counted; each takes a quarter of a second."""


def untaken_creatives(bundle: Bundle) -> Iterator[Finding]:
    """Yield a warning for each creative that no exchange takes where its line item bids."""
    exchanges = {exchange.id: exchange for exchange in bundle.exchanges if not exchange.paused}
    for a, advertiser in enumerate(bundle.advertisers):
        creatives = {creative.id: creative for creative in advertiser.creatives}
        for c, campaign in enumerate(advertiser.campaigns):
            for i, line_item in enumerate(campaign.line_items):
                named = line_item.targeting.exchanges or tuple(exchanges)
                reached = [exchanges[name] for name in named if name in exchanges]
                if line_item.paused or campaign.paused or not reached:
                    continue
                for index, name in enumerate(line_item.creatives):
                    ad = Ad(advertiser, campaign, line_item, creatives[name])
                    refusals = [refusal(ad, exchange) for exchange in reached]
                    if None in refusals:
                        continue
                    why = ", ".join(
                        f"{exchange.id}: {refused.name.lower().replace('_', ' ')}"
                        for exchange, refused in zip(reached, refusals, strict=True)
                        if refused is not None
                    )
                    path = ("advertisers", a, "campaigns", c, "line_items", i, "creatives", index)
                    yield Finding(path, f"no exchange takes the creative `{name}` here ({why})")


def warnings_of(read: ReadFolder, seen: Seen, now_s: int) -> tuple[Fault, ...]:
    """Return what is legal in a sound folder and hardly meant, each with its place."""
    findings = [*find_warnings(read.bundle, now_s, seen), *untaken_creatives(read.bundle)]
    return gathered([*read.unused, *map(read.fault, findings)])


def warning_text(warning: Fault) -> str:
    """Return the line that tells a warning."""
    return f"{warning.file}:{warning.line}:{warning.column}: warning: {warning.message}"


async def seen_by_ledger(client: redis.asyncio.Redis, bundle: Bundle, live: Bundle | None) -> Seen:
    """Return what campaigns have spent. Raises RedisError."""
    codes = {campaign.id: code for code, campaign in bundle.campaigns_by_code().items()}
    accounts = await Ledger(client).accounts(tuple(codes.values()))
    spent = {id_: accounts[code].spent for id_, code in codes.items() if code in accounts}
    return Seen(spent=spent, live=live)


async def seen_by_engine(client: redis.asyncio.Redis, bundle: Bundle, live: Bundle | None) -> Seen:
    """Return what campaigns have spent, the floors that workers saw, and which audiences have too few people.

    Raises RedisError.
    """
    indices, today = await _indices(client, bundle.segments), int(time.time()) // SECONDS_PER_DAY
    enough = bundle.engine.audience_size_min
    sizes = await count_audiences(SegmentStore(client), audiences_of(bundle), indices, enough, today)
    return msgspec.structs.replace(
        await seen_by_ledger(client, bundle, live),
        floors=await floors_seen(client, today),
        few=too_small(bundle, sizes),
    )


async def reaches(client: redis.asyncio.Redis, before: Bundle | None, after: Bundle) -> tuple[Change, ...]:
    """Return how many people audiences reach that are new or not what they were. Raises RedisError."""
    old = _audiences(before) if before is not None else {}
    changed = [(id_, old.get(id_), audience) for id_, audience in _audiences(after).items()]
    changed = [(id_, was, audience) for id_, was, audience in changed if was != audience]
    segments = (*after.segments, *(before.segments if before is not None else ()))
    indices, today = await _indices(client, segments), int(time.time()) // SECONDS_PER_DAY
    store, rng = SegmentStore(client), np.random.default_rng()
    counted: dict[bytes, str] = {}
    for audience in dict.fromkeys(each for _, was, now in changed[:REACHES_SHOWN_MAX] for each in (was, now)):
        node = parse_audience(msgspec.json.decode(audience)) if audience is not None else None
        if audience is not None and node is not None:
            people = await estimate_audience(store, to_clauses(node), indices, today, rng)
            counted[audience] = f"{people.cookies:,}" if people.exact else f"about {people.cookies:,}"
    return tuple(
        Change("changed", "line item", id_, "reach", _reach(was, counted), _reach(audience, counted))
        for id_, was, audience in changed[:REACHES_SHOWN_MAX]
    )


def _audiences(bundle: Bundle) -> dict[str, bytes]:
    """Every line item's audience, as something to compare, by id."""
    return {
        item.id: msgspec.json.encode(item.audience)
        for advertiser in bundle.advertisers
        for campaign in advertiser.campaigns
        for item in campaign.line_items
        if item.audience is not None
    }


def _reach(audience: bytes | None, counted: Mapping[bytes, str]) -> str | None:
    return None if audience is None else f"{counted[audience]} people"


async def _indices(client: redis.asyncio.Redis, segments: tuple[Segment, ...]) -> dict[str, int]:
    """Return the bit of each segment; of one that is not defined yet, and has nobody, one beyond them all."""
    indices = await SegmentRegistry(client).indices()
    fresh = dict.fromkeys(segment.name for segment in segments if segment.name not in indices)
    first = max(indices.values(), default=-1) + 1
    return indices | {name: first + place for place, name in enumerate(fresh)}
