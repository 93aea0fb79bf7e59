"""How Redis is: what an operator wants to see of it at a glance, from INFO and a timed PING.

`ask` asks the one server, or every primary node of a Cluster, and adds up.
"""

import time
from typing import Any

import msgspec
import redis.asyncio
from redis.asyncio import RedisCluster

_SECTIONS = ("server", "clients", "memory", "persistence", "stats")


class RedisState(msgspec.Struct, frozen=True, kw_only=True):
    """All nodes together, but where it says otherwise."""

    nodes: int
    version: str
    """Of the first node, as its makers call it: `valkey 8.1.3` or `redis 7.0.15`."""
    round_trip_ms: float
    memory_bytes: int
    memory_max_bytes: int
    """0 for no limit."""
    clients: int
    commands_per_s: int
    writes_saved: bool
    """Every node keeps an append-only file, and the last write to it succeeded."""
    evicts: bool
    """A node would throw keys away when its memory is short: budgets and audiences among them."""


async def ask(client: redis.asyncio.Redis) -> RedisState:
    """Ask all nodes. Raises redis.RedisError."""
    began_s = time.monotonic()
    await client.ping()
    round_trip_s = time.monotonic() - began_s
    # The client of a Cluster passes for the other, see `bidder.redis_client`.
    options = {"target_nodes": RedisCluster.PRIMARIES} if hasattr(client, "get_primaries") else {}
    reply: Any = await client.info(*_SECTIONS, **options)
    # Of several nodes by node; one alone is answered for as such.
    nodes = [reply] if "used_memory" in reply else list(reply.values())
    return summary(nodes, round_trip_s)


def summary(nodes: list[dict[str, Any]], round_trip_s: float) -> RedisState:
    """Add up what INFO says of each node; pure."""

    def total(field: str) -> int:
        return sum(int(node.get(field, 0)) for node in nodes)

    first = nodes[0]
    name = str(first.get("server_name", "redis"))
    return RedisState(
        nodes=len(nodes),
        version=f"{name} {first.get(f'{name}_version', first.get('redis_version', ''))}",
        round_trip_ms=round(round_trip_s * 1_000, 2),
        memory_bytes=total("used_memory"),
        memory_max_bytes=total("maxmemory"),
        clients=total("connected_clients"),
        commands_per_s=total("instantaneous_ops_per_sec"),
        writes_saved=all(
            int(node.get("aof_enabled", 0)) == 1 and node.get("aof_last_write_status", "ok") == "ok"
            for node in nodes
        ),
        evicts=any(node.get("maxmemory_policy", "noeviction") != "noeviction" for node in nodes),
    )
