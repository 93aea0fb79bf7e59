"""The Redis of an installation, as every process and command reaches it, and the config that is live there.

One server or a Cluster, by the URL (`config.redis_address`). Both clients take the engine's commands alike,
so the rest of the engine is written for the one type, `redis.asyncio.Redis`, and keeps to what holds for
both: the keys of a script or a transaction share a hash tag, a pipeline carries no `publish` and calls
scripts by `execute_command`, and a clock is read by a script beside the key it matters for.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, cast

import redis.asyncio
from redis.asyncio.cluster import ClusterNode, ClusterPipeline
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.exceptions import MovedError, RedisClusterException
from redis.maint_notifications import MaintNotificationsConfig

from config import bundle_store
from config.redis_address import RedisAddress
from config.schema import Bundle
from config.settings import SettingsError

CONNECTIONS_MAX = 32
"""Calls of one server past this many at one time wait for a connection."""
CLUSTER_CONNECTIONS_MAX = 1_024
"""To each node; calls past this many at one time fail, for the client of a Cluster does not wait."""
TIMEOUT_SECONDS = 2.0
"""A Redis slower than this counts as gone: exchanges call a slow notice again."""


def redis_client(url: str) -> redis.asyncio.Redis:
    """Return a client with bounded connections and waits; it connects when first used.

    Raises config.redis_address.RedisAddressError.
    """
    address = RedisAddress.read(url)
    if address.is_cluster:
        return _cluster_client(address)
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS_MAX,
        timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        # Where these are on (a Redis Enterprise has them), redis-py does not look whether a connection that
        # lay idle was closed: after a restart of the server each of them would fail the next command.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    pool.connection_class = _WITH_UVLOOP[pool.connection_class]
    return redis.asyncio.Redis.from_pool(pool)


class _ClosedTransport(AbstractConnection):
    """Says ConnectionError for what uvloop calls a RuntimeError: writing where the server has just hung up.

    Redis errors are expected everywhere, and retried; a RuntimeError would end the process.
    """

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise redis.ConnectionError(f"the connection was closed: {error}") from None


class _TcpConnection(_ClosedTransport, Connection):
    pass


class _TlsConnection(_ClosedTransport, SSLConnection):
    pass


class _UnixConnection(_ClosedTransport, UnixDomainSocketConnection):
    pass


_WITH_UVLOOP: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _TcpConnection,
    SSLConnection: _TlsConnection,
    UnixDomainSocketConnection: _UnixConnection,
}


@contextlib.contextmanager
def _in_redis_words() -> Iterator[None]:
    """Say ConnectionError for what the client of a Cluster calls by a name of its own.

    A Cluster of which no node can be reached, or no node serves a slot, is one more server that is away.
    """
    try:
        yield
    except RedisClusterException as error:
        raise redis.ConnectionError(str(error)) from None


class _Cluster(redis.asyncio.RedisCluster):
    async def initialize(self, *args: Any, **kwargs: Any) -> "_Cluster":
        with _in_redis_words():
            await super().initialize(*args, **kwargs)
        return self

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        with _in_redis_words():
            return await super().execute_command(*args, **kwargs)

    def pipeline(self, transaction: Any | None = None, shard_hint: Any | None = None) -> ClusterPipeline:
        return _ClusterPipeline(self, transaction)  # type: ignore[abstract] # so its base is, to the checker


class _ClusterPipeline(ClusterPipeline):
    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:
        with _in_redis_words():
            return await super().execute(raise_on_error, allow_redirections)


def _cluster_client(address: RedisAddress) -> redis.asyncio.Redis:
    others = [parse_url(url) for url in address.urls[1:]]
    client = _Cluster.from_url(
        address.urls[0],
        startup_nodes=[ClusterNode(node.get("host", "localhost"), node.get("port", 6379)) for node in others],
        # What a dead node held is out of reach; the rest is not.
        require_full_coverage=False,
        max_connections=CLUSTER_CONNECTIONS_MAX,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
    )
    # It takes no class of connections; the nodes it will discover get what is in its options.
    connection_class: Any = _WITH_UVLOOP[client.connection_kwargs["connection_class"]]
    client.connection_kwargs["connection_class"] = connection_class
    for node in client.nodes_manager.startup_nodes.values():
        node.connection_class = connection_class
    return cast(redis.asyncio.Redis, client)


async def server_life(client: redis.asyncio.Redis) -> frozenset[str]:
    """Return the run ids of the servers that take writes: others after a restart or a failover.

    Raises redis.RedisError.
    """
    anyone: object = client
    if not isinstance(anyone, redis.asyncio.RedisCluster):
        return frozenset([str((await client.info("server"))["run_id"])])
    replies = await anyone.info("server", target_nodes=redis.asyncio.RedisCluster.PRIMARIES)
    # The client tells one node's reply as it is, and those of several by node.
    nodes = [replies] if "run_id" in replies else replies.values()
    return frozenset(str(node["run_id"]) for node in nodes)


def node_of(client: redis.asyncio.Redis, key: bytes) -> str:
    """Name the server that has a key, as far as the client knows; without asking it."""
    anyone: Any = client
    if not isinstance(anyone, redis.asyncio.RedisCluster):
        return "the server"
    nodes = anyone.nodes_manager.slots_cache.get(anyone.keyslot(key))
    return str(nodes[0].name) if nodes else "nobody"


def why_unusable(error: Exception) -> str:
    """Say why Redis can't be used: the error's own words, or what they mean."""
    if isinstance(error, MovedError):
        return "it is a node of a Cluster: name it with redis+cluster:// (or rediss+cluster://)"
    return str(error)


async def live_bundle(client: redis.asyncio.Redis, key: bytes | None = None) -> Bundle | None:
    """Return the published config, None when there is none yet. With a key it must be signed with it.

    Raises SettingsError when what is there can't be read, and redis.RedisError.
    """
    try:
        return await bundle_store.fetch(client, key)
    except bundle_store.BundleUnreadableError as error:
        raise SettingsError(str(error)) from None
