"""Fixtures of the tests of audiences."""

import pytest
import redis.asyncio

from tests.segments.loading import Audiences


@pytest.fixture
def audiences(redis_client: redis.asyncio.Redis) -> Audiences:
    return Audiences(redis_client)
