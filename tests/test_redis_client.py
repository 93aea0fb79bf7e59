"""The engine's Redis client, on the loop that its processes run."""

import asyncio
from typing import Any

import pytest
import redis
import uvloop

from bidder.redis_client import redis_client


def test_a_server_that_hangs_up_is_a_redis_error_on_uvloop(redis_url: str) -> None:
    async def write_to_a_closed_transport() -> None:
        async with redis_client(redis_url) as client:
            pubsub = client.pubsub()
            await pubsub.subscribe("somewhere")
            connection: Any = pubsub.connection
            connection._writer.transport.abort()
            await asyncio.sleep(0)
            with pytest.raises(redis.ConnectionError):
                await connection.send_packed_command(b"*1\r\n$4\r\nPING\r\n", check_health=False)
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    uvloop.run(write_to_a_closed_transport())
