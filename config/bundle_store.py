"""The live bundle in Redis: signed, written whole, read whole, watched by every process; and those before it.

    await publish(client, load_folder(path), key, by="dana")
    async for bundle in watch(client, seen_version, key):
        ...
    for seal in await history(client):
        print(seal.number, seal.version, seal.by)
    await publish(client, await fetch_kept(client, version, key), key, by="dana", note="rollback")

A publication sets the bundle, its version and its seal in one transaction, then announces the version. A
watcher listens for the announcement and, because a message can be lost with its connection, also looks at
the version every few seconds.

**The signature.** Whoever can write to Redis could otherwise raise a budget or send ads where they do not
belong. So a bundle is signed with a key derived from the installation's secret (HMAC-SHA-256 over its bytes,
RFC 2104), and a process that acts on a bundle refuses one that was not; it keeps the bundle it has. One who
merely shows it, like `hustings config diff`, may pass no key. A signature says that somebody with the secret
published exactly these bytes once: not that they are the newest. Public-key signatures were rejected: every
process holds the secret anyway, for notice tokens.

**The history.** The last BUNDLES_KEPT_MAX bundles are kept, compressed, under their version. Publishing what
is live already makes no entry, but takes the place of its own.
"""

import asyncio
import contextlib
import hmac
import logging
import time
import zlib
from collections.abc import AsyncGenerator, Callable
from importlib.metadata import version as release_of
from typing import Any, Literal

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from config.limits import BUNDLE_BYTES_MAX, BUNDLES_KEPT_MAX
from config.redis_keys import (
    BUNDLE,
    BUNDLE_CHANNEL,
    BUNDLE_HISTORY,
    BUNDLE_NUMBER,
    BUNDLE_SEAL,
    BUNDLE_VERSION,
    BUNDLES_KEPT,
)
from config.schema import Bundle, decode_bundle, encode_bundle

POLL_SECONDS = 5.0
BACKOFF_SECONDS_MIN = 0.1
BACKOFF_SECONDS_MAX = 5.0
RELEASE = release_of("hustings")

_log = logging.getLogger(__name__)

Refusal = Literal["unsigned", "forged", "unreadable"]


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a bundle without reading it."""

    number: int
    """Publications are numbered from 1."""
    version: str
    signature: str
    """In hex."""
    release: str
    """Of the Hustings that wrote it."""
    by: str
    at_s: int
    note: str = ""


class BundleUnreadableError(Exception):
    """A bundle can't be used: it lacks our signature, or another release wrote it. Says how to mend it."""

    def __init__(self, reason: Refusal, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def publish(
    client: redis.asyncio.Redis, bundle: Bundle, key: bytes, *, by: str = "", note: str = ""
) -> None:
    """Make `bundle` the live one. Raises RedisError when it can't; then the old one still is."""
    data = encode_bundle(bundle)
    head = await live_seal(client)
    is_new = head is None or head.version != bundle.version
    number: Any = await client.incr(BUNDLE_NUMBER) if head is None or is_new else head.number
    signature = signature_of(data, key)
    seal = Seal(
        number=number,
        version=bundle.version,
        signature=signature,
        release=RELEASE,
        by=by,
        at_s=int(time.time()),
        note=note,
    )
    if head is not None and head.signature == signature:
        # Byte for byte what is live: it is live since then, and by whoever made it so.
        seal = head
    async with client.pipeline(transaction=True) as pipe:
        pipe.set(BUNDLE, data)
        pipe.set(BUNDLE_VERSION, bundle.version)
        pipe.set(BUNDLE_SEAL, msgspec.json.encode(seal))
        if not is_new:
            pipe.lpop(BUNDLE_HISTORY)
        pipe.lpush(BUNDLE_HISTORY, msgspec.json.encode(seal))
        pipe.ltrim(BUNDLE_HISTORY, 0, BUNDLES_KEPT_MAX - 1)
        pipe.hset(BUNDLES_KEPT, bundle.version, zlib.compress(data))
        await pipe.execute()
    # By itself: in a Cluster a channel has no slot, and every node passes it on. A message that fails
    # is one that is lost: the bundle is live, and watchers find it at their next look.
    with contextlib.suppress(RedisError):
        await client.publish(BUNDLE_CHANNEL, bundle.version)
    if is_new:
        await _drop_unlisted(client)


async def fetch(client: redis.asyncio.Redis, key: bytes | None = None) -> Bundle | None:
    """Return the live bundle, or None when none was ever published. With a key it must be signed with it.

    Raises RedisError, and BundleUnreadableError on a bundle this release can't read or that is not ours.
    """
    reply: Any = await client.mget(BUNDLE, BUNDLE_SEAL)
    data, sealed = reply
    if data is None:
        return None
    return _opened(data, _seal(sealed), key)


async def fetch_kept(client: redis.asyncio.Redis, version: str, key: bytes) -> Bundle | None:
    """Return a bundle of the history, None when it is not kept (any more). Raises as `fetch` does."""
    seal = next((seal for seal in await history(client) if seal.version == version), None)
    data: Any = await client.hget(BUNDLES_KEPT, version)
    if seal is None or data is None:
        return None
    try:
        inflated = zlib.decompressobj().decompress(data, BUNDLE_BYTES_MAX)
    except zlib.error:
        inflated = b""
    return _opened(inflated, seal, key)


async def history(client: redis.asyncio.Redis) -> tuple[Seal, ...]:
    """Return the seals of what was live, the newest first; the first is live. Raises RedisError."""
    reply: Any = await client.lrange(BUNDLE_HISTORY, 0, BUNDLES_KEPT_MAX - 1)
    seals = map(_seal, reply)
    return tuple(seal for seal in seals if seal is not None)


async def live_seal(client: redis.asyncio.Redis) -> Seal | None:
    """Return the seal of the live bundle; None when there is none, or it has none. Raises RedisError."""
    return _seal(await client.get(BUNDLE_SEAL))


async def published_version(client: redis.asyncio.Redis) -> str:
    """Return the version of the live bundle; an empty string when there is none. Raises RedisError."""
    return _text(await client.get(BUNDLE_VERSION))


def signature_of(data: bytes, key: bytes) -> str:
    """Return the signature of an encoded bundle, in hex."""
    return hmac.digest(key, data, "sha256").hex()


async def watch(
    client: redis.asyncio.Redis,
    seen_version: str,
    key: bytes,
    *,
    poll_seconds: float = POLL_SECONDS,
    on_refused: Callable[[Refusal], None] = lambda reason: None,
) -> AsyncGenerator[Bundle, None]:
    """Yield each bundle that becomes live after the one of `seen_version`; never ends.

    Bundles published faster than they are taken are skipped, except the last. While Redis is away
    it tries again, less and less often; a bundle it can't use is logged once, `on_refused` is told, and
    it is passed over.
    """
    backoff_s = BACKOFF_SECONDS_MIN
    refused: tuple[str, Seal | None] = "", None
    while True:
        try:
            # The first command makes the client of a Cluster learn its nodes.
            await published_version(client)
            async with client.pubsub(ignore_subscribe_messages=True, **_any_node(client)) as channel:
                await channel.subscribe(BUNDLE_CHANNEL)
                while True:
                    version = await published_version(client)
                    backoff_s = BACKOFF_SECONDS_MIN
                    # The same version may be published again, with a signature that is right.
                    if version not in ("", seen_version) and refused != (version, await live_seal(client)):
                        try:
                            bundle = await fetch(client, key)
                        except BundleUnreadableError as error:
                            _log.error("keeping the bundle %s: %s", seen_version, error)
                            on_refused(error.reason)
                            refused = version, await live_seal(client)
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


def _opened(data: bytes, seal: Seal | None, key: bytes | None) -> Bundle:
    if key is not None and seal is None:
        raise BundleUnreadableError(
            "unsigned",
            "the bundle in Redis carries no signature; publish the folder again with "
            "`hustings config apply DIR`",
        )
    if key is not None and not hmac.compare_digest(signature_of(data, key), seal.signature if seal else ""):
        raise BundleUnreadableError(
            "forged",
            "the bundle in Redis is not signed with this installation's secret: somebody else wrote it, or "
            "the secret is another (HUSTINGS_SECRET_FILE). Find out which; `hustings config apply DIR "
            "--sign-anew` publishes a folder with the secret at hand",
        )
    try:
        return decode_bundle(data)
    except msgspec.DecodeError as error:
        wrote = f"by Hustings {seal.release}, and this is {RELEASE}" if seal else "by another release"
        raise BundleUnreadableError(
            "unreadable",
            f"the bundle in Redis was not written by this release of Hustings, but {wrote} "
            f"({error}); publish the folder again with `hustings config apply DIR`",
        ) from None


async def _drop_unlisted(client: redis.asyncio.Redis) -> None:
    """Forget the bundles whose seals have left the history."""
    listed = {seal.version for seal in await history(client)}
    kept: Any = await client.hkeys(BUNDLES_KEPT)
    unlisted = [version for version in kept if _text(version) not in listed]
    if unlisted:
        await client.hdel(BUNDLES_KEPT, *unlisted)


def _seal(data: bytes | str | None) -> Seal | None:
    try:
        return None if data is None else msgspec.json.decode(data, type=Seal)
    except msgspec.DecodeError:
        return None


def _any_node(client: Any) -> dict[str, Any]:
    """Name the node of a Cluster to listen at: all pass a message on, also one that serves no slot now."""
    return {"node": client.get_random_node()} if isinstance(client, redis.asyncio.RedisCluster) else {}


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
