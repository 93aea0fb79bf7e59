import msgspec
import pytest
import redis.asyncio

from config.redis_keys import PLAN
from pacing.plan import (
    MULTIPLIER_ONE_Q16,
    CampaignPlan,
    Plan,
    decode,
    encode,
    fetch,
    publish,
)

PLAN_OF_TWO = Plan(
    made_at_s=1_790_000_000.25,
    version=7,
    campaigns={0xFFFFFFFF: CampaignPlan(MULTIPLIER_ONE_Q16), 1: CampaignPlan(1)},
    shading_version=5,
)


def test_plan_survives_json() -> None:
    assert decode(encode(PLAN_OF_TWO)) == PLAN_OF_TWO
    assert decode(encode(Plan(made_at_s=0.0, version=1))).campaigns == {}


@pytest.mark.parametrize("data", [b"", b"[]", b'{"made_at_s":1}', b'{"made_at_s":1,"version":"x"}'])
def test_decode_refuses_what_is_no_plan(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(data)


@pytest.mark.parametrize("multiplier_q16", [-1, 0, MULTIPLIER_ONE_Q16 + 1])
def test_a_multiplier_that_would_bid_above_the_value_or_below_nothing_is_refused(multiplier_q16: int) -> None:
    plan = Plan(made_at_s=0.0, version=1, campaigns={1: CampaignPlan(multiplier_q16)})
    with pytest.raises(msgspec.ValidationError):
        decode(encode(plan))


async def test_published_plan_is_fetched(redis_client: redis.asyncio.Redis) -> None:
    assert await fetch(redis_client) is None
    await publish(redis_client, PLAN_OF_TWO)
    assert await fetch(redis_client) == PLAN_OF_TWO


async def test_plan_of_another_version_is_none(redis_client: redis.asyncio.Redis) -> None:
    await redis_client.set(PLAN, b'{"epoch":3}')
    assert await fetch(redis_client) is None
