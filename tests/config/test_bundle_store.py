"""The live bundle in a real Redis-protocol server: published, fetched, watched through outages."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest
import redis
import redis.asyncio

from config.bundle_store import (
    BundleUnreadableError,
    Refusal,
    Seal,
    fetch,
    fetch_kept,
    history,
    publish,
    signature_of,
    watch,
)
from config.embedded_server import EmbeddedServer
from config.limits import BUNDLES_KEPT_MAX
from config.load import load_folder
from config.redis_keys import BUNDLE, BUNDLE_CHANNEL, BUNDLE_SEAL, BUNDLE_VERSION, BUNDLES_KEPT
from config.schema import Bundle, encode_bundle
from tests.config.folder import write_folder
from tests.waiting import SECONDS_MAX

KEY = b"one key"
OTHER_KEY = b"another key"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_folder(write_folder(tmp_path / "folder"))


def versioned(bundle: Bundle, version: str) -> Bundle:
    return msgspec.structs.replace(bundle, version=version)


async def listening(client: redis.asyncio.Redis) -> None:
    """Return once a watcher has subscribed."""
    async with asyncio.timeout(SECONDS_MAX):
        while dict(await client.pubsub_numsub(BUNDLE_CHANNEL))[BUNDLE_CHANNEL] == 0:  # noqa: ASYNC110 - the server can't tell us
            await asyncio.sleep(0.005)


async def test_what_is_published_is_fetched(redis_client: redis.asyncio.Redis, bundle: Bundle) -> None:
    assert await fetch(redis_client) is None
    await publish(redis_client, bundle, KEY)
    assert await fetch(redis_client) == bundle


async def test_a_publication_is_announced(redis_client: redis.asyncio.Redis, bundle: Bundle) -> None:
    async with redis_client.pubsub() as channel:
        await channel.subscribe(BUNDLE_CHANNEL)
        await channel.get_message(timeout=SECONDS_MAX)
        await publish(redis_client, bundle, KEY)
        message = await channel.get_message(timeout=SECONDS_MAX)
    assert message is not None
    assert message["data"] == bundle.version.encode()


async def test_watch_yields_what_is_new_and_not_what_was_seen(
    redis_client: redis.asyncio.Redis, bundle: Bundle
) -> None:
    await publish(redis_client, bundle, KEY)
    async with asyncio.timeout(SECONDS_MAX), aclosing(watch(redis_client, bundle.version, KEY)) as bundles:
        next_bundle = asyncio.create_task(anext(bundles))
        await listening(redis_client)
        assert not next_bundle.done()
        await publish(redis_client, versioned(bundle, "second"), KEY)
        assert (await next_bundle).version == "second"
        await publish(redis_client, versioned(bundle, "second"), KEY)
        await publish(redis_client, bundle, KEY)
        assert await anext(bundles) == bundle


async def test_announcements_wake_the_watcher(redis_client: redis.asyncio.Redis, bundle: Bundle) -> None:
    # With so rare a look at the version, only the announcements can bring all of these in time.
    async with (
        asyncio.timeout(SECONDS_MAX),
        aclosing(watch(redis_client, "", KEY, poll_seconds=3_600)) as bundles,
    ):
        for number in range(20):
            next_bundle = asyncio.create_task(anext(bundles))
            await listening(redis_client)
            await publish(redis_client, versioned(bundle, f"v{number}"), KEY)
            assert (await next_bundle).version == f"v{number}"


async def test_a_missed_announcement_heals(redis_client: redis.asyncio.Redis, bundle: Bundle) -> None:
    async with (
        asyncio.timeout(SECONDS_MAX),
        aclosing(watch(redis_client, "", KEY, poll_seconds=0.02)) as bundles,
    ):
        next_bundle = asyncio.create_task(anext(bundles))
        await listening(redis_client)
        await publish_unheard(redis_client, bundle)
        assert await next_bundle == bundle


async def publish_unheard(client: redis.asyncio.Redis, bundle: Bundle) -> None:
    """Publish as `publish` does, and lose the announcement."""
    data = encode_bundle(bundle)
    seal = Seal(
        number=1, version=bundle.version, signature=signature_of(data, KEY), release="1", by="", at_s=0
    )
    await client.mset({BUNDLE: data, BUNDLE_SEAL: msgspec.json.encode(seal), BUNDLE_VERSION: bundle.version})


def start_server(data_dir: Path, port: int | None = None) -> tuple[EmbeddedServer, str]:
    """Start a server with the password `same`, as an operator's own Redis keeps its password."""
    server = EmbeddedServer.start(data_dir, durable=False, port=port)
    with redis.Redis.from_url(server.url) as client:
        client.config_set("requirepass", "same")
    return server, f"redis://:same@{server.url.rpartition('@')[2]}"


async def test_watch_outlives_a_restart_of_the_server(tmp_path: Path, bundle: Bundle) -> None:
    first, url = start_server(tmp_path / "first")
    client = redis.asyncio.Redis.from_url(url)
    async with client, aclosing(watch(client, "", KEY)) as bundles:
        with first:
            next_bundle = asyncio.create_task(anext(bundles))
            await listening(client)
        second, _ = start_server(tmp_path / "second", int(url.rpartition(":")[2].removesuffix("/0")))
        with second:
            async with asyncio.timeout(SECONDS_MAX), redis.asyncio.Redis.from_url(url) as publisher:
                await publish(publisher, bundle, KEY)
                assert await next_bundle == bundle


async def test_a_bundle_of_another_release_is_told_and_passed_over(
    redis_client: redis.asyncio.Redis, bundle: Bundle
) -> None:
    async with (
        asyncio.timeout(SECONDS_MAX),
        aclosing(watch(redis_client, "", KEY, poll_seconds=0.02)) as bundles,
    ):
        next_bundle = asyncio.create_task(anext(bundles))
        await listening(redis_client)
        await publish(redis_client, bundle, KEY)
        assert await next_bundle == bundle
        next_bundle = asyncio.create_task(anext(bundles))
        foreign = msgspec.msgpack.encode({"version": "x"})
        (live, *_) = await history(redis_client)
        seal = msgspec.structs.replace(
            live, version="x", signature=signature_of(foreign, KEY), release="99.0"
        )
        await redis_client.mset(
            {BUNDLE: foreign, BUNDLE_VERSION: "x", BUNDLE_SEAL: msgspec.json.encode(seal)}
        )
        with pytest.raises(BundleUnreadableError, match=r"by Hustings 99\.0, and this is .*config apply DIR"):
            await fetch(redis_client, KEY)
        bundle = versioned(bundle, "y")
        await publish(redis_client, bundle, KEY)
        assert await next_bundle == bundle


@pytest.mark.parametrize(
    ("tampering", "reason"),
    [
        ("bytes", "forged"),
        ("seal", "forged"),
        ("key", "forged"),
        ("no seal", "unsigned"),
        ("old seal", "forged"),
    ],
)
async def test_a_bundle_that_was_tampered_with_is_refused_and_the_next_sound_one_taken(
    redis_client: redis.asyncio.Redis, bundle: Bundle, tampering: str, reason: Refusal
) -> None:
    refused: list[Refusal] = []
    bundles = watch(redis_client, "", KEY, poll_seconds=0.02, on_refused=refused.append)
    async with asyncio.timeout(SECONDS_MAX), aclosing(bundles):
        await publish(redis_client, bundle, KEY)
        assert await anext(bundles) == bundle
        (sealed, *_) = await history(redis_client)
        raised = versioned(bundle, "raised")
        if tampering == "key":
            await publish(redis_client, raised, OTHER_KEY)
        else:
            seal = msgspec.structs.replace(sealed, version="raised")
            if tampering == "seal":
                seal = msgspec.structs.replace(seal, signature="")
            async with redis_client.pipeline(transaction=True) as pipe:
                pipe.set(BUNDLE, encode_bundle(raised))
                pipe.set(BUNDLE_VERSION, "raised")
                if tampering == "no seal":
                    pipe.delete(BUNDLE_SEAL)
                elif tampering != "old seal":
                    pipe.set(BUNDLE_SEAL, msgspec.json.encode(seal))
                await pipe.execute()
        next_bundle = asyncio.create_task(anext(bundles))
        with pytest.raises(BundleUnreadableError) as caught:
            await fetch(redis_client, KEY)
        assert caught.value.reason == reason
        # Who only shows it may look.
        assert await fetch(redis_client) == raised
        while not refused:  # noqa: ASYNC110 - the watcher announces itself to nobody
            await asyncio.sleep(0.005)
        assert not next_bundle.done()
        # The very same version, signed by us, is taken.
        await publish(redis_client, raised, KEY)
        assert await next_bundle == raised
    assert refused == [reason]


async def test_what_was_live_can_be_fetched_again_and_the_history_is_bounded(
    redis_client: redis.asyncio.Redis, bundle: Bundle
) -> None:
    for number in range(BUNDLES_KEPT_MAX + 2):
        await publish(redis_client, versioned(bundle, f"v{number}"), KEY, by="dana", note=f"note {number}")
    last = BUNDLES_KEPT_MAX + 1
    seals = await history(redis_client)
    assert [seal.version for seal in seals] == [f"v{number}" for number in range(last, 1, -1)]
    assert (seals[0].number, seals[0].by, seals[0].note) == (last + 1, "dana", f"note {last}")
    assert await redis_client.hlen(BUNDLES_KEPT) == BUNDLES_KEPT_MAX
    assert await fetch_kept(redis_client, "v2", KEY) == versioned(bundle, "v2")
    assert await fetch_kept(redis_client, "v1", KEY) is None
    with pytest.raises(BundleUnreadableError, match="not signed with this installation"):
        await fetch_kept(redis_client, "v2", OTHER_KEY)
    await redis_client.hset(BUNDLES_KEPT, "v2", b"not compressed")
    with pytest.raises(BundleUnreadableError):
        await fetch_kept(redis_client, "v2", KEY)


async def test_publishing_what_is_live_makes_no_entry(
    redis_client: redis.asyncio.Redis, bundle: Bundle
) -> None:
    await publish(redis_client, bundle, OTHER_KEY, by="ann")
    await publish(redis_client, bundle, KEY, by="ben")
    (seal,) = await history(redis_client)
    assert (seal.number, seal.by) == (1, "ben")
    await publish(redis_client, bundle, KEY, by="cat")
    assert await history(redis_client) == (seal,)
    assert await fetch_kept(redis_client, bundle.version, KEY) == bundle
