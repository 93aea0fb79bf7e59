"""The live bundle in Redis: written whole, read whole, watched by every process.

    await publish(client, load_folder(path))
    async for bundle in watch(client, seen_version):
        ...

A publication sets the bundle and its version in one transaction, then announces the version. A
watcher listens for the announcement and, because a message can be lost with its connection, also
looks at the version every few seconds.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from config.redis_keys import BUNDLE, BUNDLE_CHANNEL, BUNDLE_VERSION
from config.schema import Bundle, decode_bundle, encode_bundle

POLL_SECONDS = 5.0
BACKOFF_SECONDS_MIN = 0.1
BACKOFF_SECONDS_MAX = 5.0

_log = logging.getLogger(__name__)


class BundleUnreadableError(Exception):
    """Another release of Hustings wrote the bundle; the message says how to mend it."""


async def publish(client: redis.asyncio.Redis, bundle: Bundle) -> None:
    """Make `bundle` the live one. Raises RedisError when it can't; then the old one still is."""
    async with client.pipeline(transaction=True) as pipe:
        pipe.set(BUNDLE, encode_bundle(bundle))
        pipe.set(BUNDLE_VERSION, bundle.version)
        await pipe.execute()
    # By itself: in a Cluster a channel has no slot, and every node passes it on. A message that fails
    # is one that is lost: the bundle is live, and watchers find it at their next look.
    with contextlib.suppress(RedisError):
        await client.publish(BUNDLE_CHANNEL, bundle.version)


async def fetch(client: redis.asyncio.Redis) -> Bundle | None:
    """Return the live bundle, or None when none was ever published.

    Raises RedisError, and BundleUnreadableError on a bundle this release can't read.
    """
    data: bytes | None = await client.get(BUNDLE)  # type: ignore[assignment] # str only where a client decodes
    if data is None:
        return None
    try:
        return decode_bundle(data)
    except msgspec.DecodeError as error:
        raise BundleUnreadableError(
            "the bundle in Redis was not written by this release of Hustings "
            f"({error}); publish the folder again with `hustings config apply DIR`"
        ) from None


async def published_version(client: redis.asyncio.Redis) -> str:
    """Return the version of the live bundle; an empty string when there is none. Raises RedisError."""
    return _text(await client.get(BUNDLE_VERSION))


async def watch(
    client: redis.asyncio.Redis, seen_version: str, *, poll_seconds: float = POLL_SECONDS
) -> AsyncGenerator[Bundle, None]:
    """Yield each bundle that becomes live after the one of `seen_version`; never ends.

    Bundles published faster than they are taken are skipped, except the last. While Redis is away
    it tries again, less and less often; a bundle it can't read is logged once and passed over.
    """
    backoff_s = BACKOFF_SECONDS_MIN
    unreadable_version = ""
    while True:
        try:
            # The first command makes the client of a Cluster learn its nodes.
            await published_version(client)
            async with client.pubsub(ignore_subscribe_messages=True, **_any_node(client)) as channel:
                await channel.subscribe(BUNDLE_CHANNEL)
                while True:
                    version = await published_version(client)
                    backoff_s = BACKOFF_SECONDS_MIN
                    if version not in ("", seen_version, unreadable_version):
                        try:
                            bundle = await fetch(client)
                        except BundleUnreadableError as error:
                            _log.error("keeping the bundle %s: %s", seen_version, error)
                            unreadable_version = version
                            continue
                        if bundle is not None and bundle.version != seen_version:
                            seen_version = bundle.version
                            yield bundle
                            continue
                    await channel.get_message(timeout=poll_seconds)
        except (RedisError, OSError) as error:
            _log.warning("can't watch for a new bundle, trying again in %.1f s: %s", backoff_s, error)
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_SECONDS_MAX)


def _any_node(client: Any) -> dict[str, Any]:
    """Name the node of a Cluster to listen at: all pass a message on, also one that serves no slot now."""
    return {"node": client.get_random_node()} if isinstance(client, redis.asyncio.RedisCluster) else {}


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
