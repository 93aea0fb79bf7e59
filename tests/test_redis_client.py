"""The engine's Redis client, on the loop that its processes run."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import uvloop

from bidder.redis_client import redis_client
from config.embedded_server import EmbeddedServer
from tests.segments.cluster import Cluster


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


def test_a_node_of_a_cluster_that_hangs_up_is_asked_again_on_uvloop(tmp_path: Path) -> None:
    async def call_on_closed_transports(url: str) -> None:
        async with redis_client(url) as client:
            await client.set("key", "value")
            anyone: Any = client
            for node in anyone.get_nodes():
                for connection in node._connections:
                    connection._writer.transport.abort()
            await asyncio.sleep(0)
            assert await client.get("key") == b"value"
            async with client.pipeline(transaction=False) as pipe:
                for node in anyone.get_nodes():
                    for connection in node._connections:
                        connection._writer.transport.abort()
                await asyncio.sleep(0)
                pipe.get("key")
                assert await pipe.execute() == [b"value"]

    with Cluster.start(tmp_path, primaries=1) as cluster:
        uvloop.run(call_on_closed_transports(cluster.url))


def test_after_a_restart_of_the_server_no_command_meets_a_closed_connection(tmp_path: Path) -> None:
    async def many(client: redis.asyncio.Redis) -> None:
        assert all(await asyncio.gather(*(client.ping() for _ in range(10))))

    async def restart() -> None:
        with EmbeddedServer.start(tmp_path, durable=False) as server:
            async with redis_client(server.url) as client:
                await many(client)
                server.kill()
                server.revive()
                # A turn of the loop hears that the server has hung up.
                async with redis_client(server.url) as fresh:
                    await many(fresh)
                await many(client)

    uvloop.run(restart())
