"""Segments that events fill, from a real port to the bits in Redis."""

from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
import redis.asyncio

from bidder.events.segment_rules import SegmentRules
from bidder.events.sync import COOKIE_NAME
from config.calendar import SECONDS_PER_DAY
from config.schema import Bundle, Segment, SegmentRule, code_of
from segments.bit_days import UserBits
from segments.bitsets import indices_from_bits
from segments.identity import COOKIE
from segments.registry import SegmentRegistry
from segments.store import SegmentStore
from tests.events.conftest import USER_HASH, EventsPort, counted, events_port
from tests.events.factories import CAMPAIGN, CLOCK_S, IDENTITY, bundle, token

TODAY = CLOCK_S // SECONDS_PER_DAY
UID = "0123456789abcdef" * 2
SEGMENTS = (
    Segment(name="plain"),
    Segment(name="saw-spring", owner="shop", rule=SegmentRule(event="impression", campaign=CAMPAIGN, days=3)),
    Segment(name="clicked", rule=SegmentRule(event="click", days=7)),
    Segment(name="bought", owner="shop", rule=SegmentRule(event="conversion", days=90)),
    Segment(
        name="boots", owner="shop", rule=SegmentRule(event="visit", pages=("shop.example/boots",), days=2)
    ),
    Segment(name="site", rule=SegmentRule(event="visit", pages=("shop.example", "other.example"), days=30)),
)


def with_rules() -> Bundle:
    config = bundle()
    return msgspec.structs.replace(config, segments=SEGMENTS)


@pytest_asyncio.fixture
async def ruled(redis_client: redis.asyncio.Redis) -> AsyncIterator[EventsPort]:
    async with events_port(redis_client, with_rules()) as running:
        yield running


async def members(port: EventsPort, user_hash: int, today: int = TODAY) -> set[str] | None:
    names = {index: name for name, index in (await SegmentRegistry(port.client).indices()).items()}
    found = await SegmentStore(port.client).read(user_hash, 1, today)
    return None if found is None else {names[index] for index in indices_from_bits(found[0])}


async def test_notices_fill_segments_for_their_days(ruled: EventsPort) -> None:
    t = token(1, user_hash=USER_HASH)
    assert await ruled.status("/imp", t=t, p="1") == 200
    assert await members(ruled, USER_HASH) == {"saw-spring"}
    assert await members(ruled, USER_HASH, TODAY + 4) is None
    before = counted("hustings_segment_events_total", event="click", outcome="filled")
    assert (await ruled.get("/click", t=t)).status == 302
    assert counted("hustings_segment_events_total", event="click", outcome="filled") == before + 1
    assert await ruled.status("/conv", t=t) == 200
    assert await members(ruled, USER_HASH) == {"saw-spring", "clicked", "bought"}
    assert await members(ruled, USER_HASH, TODAY + 90) is not None


async def test_a_person_who_may_not_be_profiled_is_not(ruled: EventsPort) -> None:
    assert await ruled.status("/imp", t=token(1, user_hash=USER_HASH, profiled=False), p="1") == 200
    assert await ruled.status("/imp", t=token(2), p="1") == 200
    assert await members(ruled, USER_HASH) is None
    assert await members(ruled, 0) is None


async def test_a_person_who_was_forgotten_stays_so(ruled: EventsPort) -> None:
    await UserBits(ruled.client).forget(USER_HASH, TODAY)
    before = counted("hustings_segment_events_total", event="impression", outcome="forgotten")
    assert await ruled.status("/imp", t=token(1, user_hash=USER_HASH), p="1") == 200
    assert await members(ruled, USER_HASH) is None
    assert counted("hustings_segment_events_total", event="impression", outcome="forgotten") == before + 1


@pytest.mark.parametrize(
    ("page", "filled"),
    [
        ("https://shop.example/boots/high?x=1", {"boots", "site"}),
        ("https://www.SHOP.example/boots", {"boots", "site"}),
        ("https://shop.example/", {"site"}),
        ("https://shop.example", {"site"}),
        ("http://other.example:8443/any", {"site"}),
        ("https://notshop.example/boots", None),
        ("https://shop.example.evil.example/boots", None),
        ("not a page", None),
        ("https://[broken", None),
        ("", None),
    ],
)
async def test_a_visit_fills_what_its_page_is_for(
    ruled: EventsPort, page: str, filled: set[str] | None
) -> None:
    answer = await ruled.call("GET", "/visit", {"u": page}, headers={"Cookie": f"{COOKIE_NAME}={UID}"})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/gif")
    assert await members(ruled, IDENTITY.hash(COOKIE, UID)) == filled


async def test_without_u_the_referer_is_the_page(ruled: EventsPort) -> None:
    headers = {"Cookie": f"{COOKIE_NAME}={UID}", "Referer": "https://shop.example/boots"}
    await ruled.call("POST", "/visit", {}, headers=headers)
    assert await members(ruled, IDENTITY.hash(COOKIE, UID)) == {"boots", "site"}


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ({"gdpr": "1"}, {}),
        ({"us_privacy": "1YYN"}, {}),
        ({}, {"Sec-GPC": "1"}),
        ({}, {"Cookie": ""}),
        ({}, {"Cookie": f"{COOKIE_NAME}=not-one-of-ours"}),
    ],
)
async def test_a_visit_without_consent_or_cookie_fills_nothing(
    ruled: EventsPort, query: dict[str, str], headers: dict[str, str]
) -> None:
    headers = {"Cookie": f"{COOKIE_NAME}={UID}"} | headers
    answer = await ruled.call("GET", "/visit", {"u": "https://shop.example/boots"} | query, headers=headers)
    assert answer.status == 200
    assert not await ruled.client.keys("s:*")


def test_a_shared_rule_is_of_every_campaign_and_an_owned_one_of_its_owners() -> None:
    indices = {segment.name: number for number, segment in enumerate(SEGMENTS)}
    rules = SegmentRules(with_rules(), indices)
    code = code_of(CAMPAIGN)
    assert [fills.bit for fills in rules.of_notice("impression", code)] == [1]
    assert [fills.bit for fills in rules.of_notice("click", code)] == [2]
    assert rules.of_notice("impression", code + 1) == []
    others = [msgspec.structs.replace(segment, owner="elm") for segment in SEGMENTS]
    rules = SegmentRules(msgspec.structs.replace(with_rules(), segments=tuple(others)), indices)
    assert rules.of_notice("click", code) == []
