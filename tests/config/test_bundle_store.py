"""The live bundle in a real Redis-protocol server: published, fetched, watched through outages."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest
import redis
import redis.asyncio

from config.bundle_store import BundleUnreadableError, fetch, publish, watch
from config.embedded_server import EmbeddedServer
from config.load import load_folder
from config.redis_keys import BUNDLE, BUNDLE_CHANNEL, BUNDLE_VERSION
from config.schema import Bundle, encode_bundle
from tests.config.folder import write_folder

LONG_S = 20.0
"""No test waits this long unless the thing it names is broken."""


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_folder(write_folder(tmp_path / "folder"))


def versioned(bundle: Bundle, version: str) -> Bundle:
    return msgspec.structs.replace(bundle, version=version)


async def listening(client: redis.asyncio.Redis) -> None:
    """Return once a watcher has subscribed."""
    async with asyncio.timeout(LONG_S):
        while dict(await client.pubsub_numsub(BUNDLE_CHANNEL))[BUNDLE_CHANNEL] == 0:  # noqa: ASYNC110 - the server can't tell us
            await asyncio.sleep(0.005)


async def test_what_is_published_is_fetched(redis_client: redis.asyncio.Redis, bundle: Bundle) -> None:
    assert await fetch(redis_client) is None
    await publish(redis_client, bundle)
    assert await fetch(redis_client) == bundle


async def test_a_publication_is_announced(redis_client: redis.asyncio.Redis, bundle: Bundle) -> None:
    async with redis_client.pubsub() as channel:
        await channel.subscribe(BUNDLE_CHANNEL)
        await channel.get_message(timeout=LONG_S)
        await publish(redis_client, bundle)
        message = await channel.get_message(timeout=LONG_S)
    assert message is not None
    assert message["data"] == bundle.version.encode()


async def test_watch_yields_what_is_new_and_not_what_was_seen(
    redis_client: redis.asyncio.Redis, bundle: Bundle
) -> None:
    await publish(redis_client, bundle)
    async with asyncio.timeout(LONG_S), aclosing(watch(redis_client, bundle.version)) as bundles:
        next_bundle = asyncio.create_task(anext(bundles))
        await listening(redis_client)
        assert not next_bundle.done()
        await publish(redis_client, versioned(bundle, "second"))
        assert (await next_bundle).version == "second"
        await publish(redis_client, versioned(bundle, "second"))
        await publish(redis_client, bundle)
        assert await anext(bundles) == bundle


async def test_announcements_wake_the_watcher(redis_client: redis.asyncio.Redis, bundle: Bundle) -> None:
    # With so rare a look at the version, only the announcements can bring all of these in time.
    async with asyncio.timeout(LONG_S), aclosing(watch(redis_client, "", poll_seconds=3_600)) as bundles:
        for number in range(20):
            next_bundle = asyncio.create_task(anext(bundles))
            await listening(redis_client)
            await publish(redis_client, versioned(bundle, f"v{number}"))
            assert (await next_bundle).version == f"v{number}"


async def test_a_missed_announcement_heals(redis_client: redis.asyncio.Redis, bundle: Bundle) -> None:
    async with asyncio.timeout(LONG_S), aclosing(watch(redis_client, "", poll_seconds=0.02)) as bundles:
        next_bundle = asyncio.create_task(anext(bundles))
        await listening(redis_client)
        await redis_client.mset({BUNDLE: encode_bundle(bundle), BUNDLE_VERSION: bundle.version})
        assert await next_bundle == bundle


def start_server(data_dir: Path, port: int | None = None) -> tuple[EmbeddedServer, str]:
    """Start a server with the password `same`, as an operator's own Redis keeps its password."""
    server = EmbeddedServer.start(data_dir, durable=False, port=port)
    with redis.Redis.from_url(server.url) as client:
        client.config_set("requirepass", "same")
    return server, f"redis://:same@{server.url.rpartition('@')[2]}"


async def test_watch_outlives_a_restart_of_the_server(tmp_path: Path, bundle: Bundle) -> None:
    first, url = start_server(tmp_path / "first")
    client = redis.asyncio.Redis.from_url(url)
    async with client, aclosing(watch(client, "")) as bundles:
        with first:
            next_bundle = asyncio.create_task(anext(bundles))
            await listening(client)
        second, _ = start_server(tmp_path / "second", int(url.rpartition(":")[2].removesuffix("/0")))
        with second:
            async with asyncio.timeout(LONG_S), redis.asyncio.Redis.from_url(url) as publisher:
                await publish(publisher, bundle)
                assert await next_bundle == bundle


async def test_a_bundle_of_another_release_is_told_and_passed_over(
    redis_client: redis.asyncio.Redis, bundle: Bundle
) -> None:
    async with asyncio.timeout(LONG_S), aclosing(watch(redis_client, "", poll_seconds=0.02)) as bundles:
        next_bundle = asyncio.create_task(anext(bundles))
        await listening(redis_client)
        await redis_client.mset({BUNDLE: msgspec.msgpack.encode({"version": "x"}), BUNDLE_VERSION: "x"})
        with pytest.raises(BundleUnreadableError, match="hustings config apply DIR"):
            await fetch(redis_client)
        await publish(redis_client, bundle)
        assert await next_bundle == bundle
