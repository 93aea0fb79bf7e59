"""Some hundred hostile notice URLs at the events port; `make fuzz` runs many more."""

import logging

import pytest
import redis.asyncio

from tests.events.fuzzed import events_target

DRAWS = 300


async def test_hostile_notices_are_answered_and_book_nothing_they_should_not(
    redis_client: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with events_target(redis_client) as target:
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            for seed in range(DRAWS):
                await target.draw(str(seed))
        assert not caplog.records
