"""Segments that events fill: who visited a page, saw a campaign, clicked, converted.

    GET or POST  /visit?u=https://shop.example/boots      a pixel on the advertiser's pages

A rule of segments.yaml (`config.schema.SegmentRule`) names an event. When it happens, the person's bits
are set in Redis in one atomic step (`segments.bit_days`), so the next bid request finds them. The person
of a notice is in its token, and counts when the bid request allowed a profile; the person of a visit is
our cookie, under the same condition. The page is `u`, or else what the browser says it is on (Referer).

Anyone can fire the pixel, for any page: that changes the segments of the browser that fires it, and
nothing else.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import redis.asyncio

from bidder.events import sync
from bidder.metrics import SEGMENT_EVENTS
from bidder.openrtb.notice_token import Notice
from config.calendar import SECONDS_PER_DAY
from config.schema import Bundle, code_of
from segments.bit_days import UserBits
from segments.identity import COOKIE, Identity
from segments.registry import RegistryError, SegmentRegistry

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 5.0


class _Fills(NamedTuple):
    """A bit, and how many days it lasts."""

    bit: int
    days: int


class _Page(NamedTuple):
    path: str
    fills: _Fills


class SegmentRules:
    """The rules of one bundle, by what they wait for."""

    def __init__(self, bundle: Bundle | None, indices: Mapping[str, int]) -> None:
        """`indices` has at least the segments of the bundle."""
        self._by_campaign: dict[tuple[str, int], list[_Fills]] = {}
        self._pages: dict[str, list[_Page]] = {}
        for segment in bundle.segments if bundle else ():
            rule = segment.rule
            if rule is None:
                continue
            assert bundle is not None
            fills = _Fills(indices[segment.name], rule.days)
            for page in rule.pages:
                host, slash, path = page.partition("/")
                self._pages.setdefault(host, []).append(_Page(slash + path, fills))
            if rule.event == "visit":
                continue
            for advertiser in bundle.advertisers:
                if segment.owner not in (None, advertiser.id):
                    continue
                for campaign in advertiser.campaigns:
                    if rule.campaign in (None, campaign.id):
                        key = (rule.event, code_of(campaign.id))
                        self._by_campaign.setdefault(key, []).append(fills)

    def of_notice(self, event: str, campaign_code: int) -> list[_Fills]:
        """Return what a notice of a campaign fills."""
        return self._by_campaign.get((event, campaign_code), [])

    def of_page(self, url: str) -> list[_Fills]:
        """Return what a visit to a page fills. A URL that can't be read is no page."""
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").lower()
        except ValueError:
            return []
        found: list[_Fills] = []
        labels = host.split(".")
        for start in range(len(labels)):
            pages = self._pages.get(".".join(labels[start:]), ())
            found += [page.fills for page in pages if (parts.path or "/").startswith(page.path)]
        return found


class RuleBook:
    """The rules of the live config, and the hand that applies them."""

    def __init__(
        self, client: redis.asyncio.Redis, identity: Identity, clock: Callable[[], float] = time.time
    ) -> None:
        self.current = SegmentRules(None, {})
        self._client = client
        self._users, self._registry = UserBits(client), SegmentRegistry(client)
        self._identity = identity
        self._clock = clock

    async def use(self, bundle: Bundle) -> None:
        """Apply the rules of this config from now on. Raises redis.RedisError and RegistryError."""
        if any(segment.rule for segment in bundle.segments):
            self.current = SegmentRules(bundle, await self._registry.declare(bundle.segments))
        else:
            self.current = SegmentRules(None, {})

    async def follow(self, bundles: AsyncIterator[Bundle]) -> None:
        """Use every bundle that arrives; returns when the iterator ends."""
        async for bundle in bundles:
            while True:
                try:
                    await self.use(bundle)
                except redis.RedisError as error:
                    _LOG.warning("can't read the segment registry, trying again: %s", error)
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                except RegistryError as error:
                    _LOG.error("the rules of config %s can't be used: %s", bundle.version, error)
                break

    async def notice(self, event: str, notice: Notice) -> None:
        """Fill what a notice fills, where the person allowed it. Raises redis.RedisError."""
        fills = self.current.of_notice(event, notice.campaign_code)
        if fills and notice.may_profile:
            await self._fill(event, notice.user_hash, fills)

    async def visit(self, url: str, cookie: str | None) -> None:
        """Fill what a visit fills, when the browser has our cookie; who calls has judged that it may be
        read. Raises redis.RedisError.
        """
        fills = self.current.of_page(url)
        if fills and cookie is not None and sync.own_id(cookie, 0) == cookie:
            await self._fill("visit", self._identity.hash(COOKIE, cookie), fills)

    async def _fill(self, event: str, user_hash: int, fills: list[_Fills]) -> None:
        today = int(self._clock()) // SECONDS_PER_DAY
        days: dict[int, int] = {}
        for bit, for_days in fills:
            days[bit] = max(days.get(bit, 0), today + for_days)
        filled = await self._users.touch(user_hash, days, today)
        SEGMENT_EVENTS.labels(event, "filled" if filled else "forgotten").inc()
