"""The Redis of an installation, as every process reaches it, and the config that is live there."""

import redis.asyncio

from config import bundle_store
from config.schema import Bundle
from config.settings import SettingsError

CONNECTIONS_MAX = 32
"""Calls past this many at one time wait for a connection."""
TIMEOUT_SECONDS = 2.0
"""A Redis slower than this counts as gone: exchanges call a slow notice again."""


def redis_client(url: str) -> redis.asyncio.Redis:
    """Return a client with bounded connections and waits; it connects when first used."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS_MAX,
        timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
    )
    return redis.asyncio.Redis.from_pool(pool)


async def live_bundle(client: redis.asyncio.Redis) -> Bundle | None:
    """Return the published config, None when there is none yet.

    Raises SettingsError when what is there can't be read, and redis.RedisError.
    """
    try:
        return await bundle_store.fetch(client)
    except bundle_store.BundleUnreadableError as error:
        raise SettingsError(str(error)) from None
