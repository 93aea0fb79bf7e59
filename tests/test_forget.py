"""Forgetting a person: nothing is left anywhere, and what is on its way is not written."""

from typing import Any

import numpy as np
import redis.asyncio

from bidder.events.links import Linker
from bidder.forget import forget, what_is_left
from config import redis_keys
from pacing.caps import record_impression, unpack_caps
from segments.bit_days import UserBits
from segments.identity import COOKIE, Identity
from segments.links import LinkStore
from segments.location import BUCKET_SHIFT, caps_key, location
from segments.retention import sweep
from segments.store import SegmentStore

TODAY = 20_000
NOW_S = TODAY * 86_400 + 3_600
IDENTITY = Identity(b"k" * 32)
PERSON = IDENTITY.hash(COOKIE, "ann")
PARTNER = IDENTITY.hash("rival.example", "88")


async def keys_of(client: redis.asyncio.Redis, *hashes: int) -> set[bytes]:
    """Every key in the server, and every field, that holds one of these hashes."""
    found: set[bytes] = set()
    for user_hash in hashes:
        octets = user_hash.to_bytes(8, "big")
        _, field = location(user_hash)
        keys: list[Any] = await client.keys()
        for key in keys:
            if octets in key or field in key:
                found.add(key)
            elif await client.type(key) == b"hash":
                entries: dict[Any, Any] = await client.hgetall(key)
                if any(field in name or octets in value for name, value in entries.items()):
                    found.add(key)
    return found


async def test_a_person_is_forgotten_under_every_id(redis_client: redis.asyncio.Redis) -> None:
    store, users = SegmentStore(redis_client), UserBits(redis_client)
    hashes = np.array([PERSON, PARTNER, 5], np.uint64)
    await store.write(hashes, np.full((3, 1), 3, np.uint64), TODAY + 9)
    await users.touch(PERSON, {7: TODAY + 3}, TODAY)
    await record_impression(redis_client, PERSON, [11], NOW_S)
    await record_impression(redis_client, 5, [11], NOW_S)
    uid = "ann"
    await Linker(redis_client, IDENTITY).link("rival.example", "88", uid, 30, NOW_S, returning=True)
    assert (await LinkStore(redis_client).family(PARTNER)).hashes == (PERSON, PARTNER)
    assert len(await keys_of(redis_client, PERSON, PARTNER)) > 3

    forgotten = await forget(redis_client, PARTNER, NOW_S)
    assert (forgotten.ids, forgotten.segments, forgotten.caps, forgotten.links) == (2, True, True, True)
    assert forgotten.left == ()
    for user_hash in (PERSON, PARTNER):
        assert await store.read(user_hash, 1, TODAY) is None
    # All that is left are the marks that keep it so, and they end.
    left = await keys_of(redis_client, PERSON, PARTNER)
    marks = {redis_keys.segment_days(h >> BUCKET_SHIFT) for h in (PERSON, PARTNER)}
    assert left <= marks | {caps_key(PERSON), caps_key(PARTNER)}
    for user_hash in (PERSON, PARTNER):
        assert 0 < await redis_client.ttl(caps_key(user_hash)) <= 3 * 3_600
    await redis_client.delete(caps_key(PERSON), caps_key(PARTNER))
    await sweep(redis_client, NOW_S + 3 * 86_400)
    assert await keys_of(redis_client, PERSON, PARTNER) == set()
    # And nobody else was touched.
    assert await store.read(5, 1, TODAY) is not None
    packed: Any = await redis_client.get(caps_key(5))
    records, _ = unpack_caps([packed])
    assert len(records) == 1

    again = await forget(redis_client, PERSON, NOW_S)
    assert not again.anything


async def test_an_impression_on_its_way_is_not_counted(redis_client: redis.asyncio.Redis) -> None:
    await forget(redis_client, PERSON, NOW_S)
    await record_impression(redis_client, PERSON, [11], NOW_S)
    assert not await UserBits(redis_client).touch(PERSON, {7: TODAY + 3}, TODAY)
    packed: Any = await redis_client.get(caps_key(PERSON))
    records, _ = unpack_caps([packed])
    assert len(records) == 0
    assert (await forget(redis_client, PERSON, NOW_S)).anything is False


async def test_the_second_look_sees_what_is_written_meanwhile(redis_client: redis.asyncio.Redis) -> None:
    await forget(redis_client, PERSON, NOW_S)
    assert await what_is_left(redis_client, [PERSON]) == ()
    # A loader that still names the person.
    bits = np.full((1, 1), 3, np.uint64)
    await SegmentStore(redis_client).write(np.array([PERSON], np.uint64), bits, TODAY + 1)
    assert await what_is_left(redis_client, [PERSON]) == ("segments",)
    await redis_client.set(caps_key(PERSON), b"x" * 12)
    assert await what_is_left(redis_client, [5, PERSON]) == ("segments", "frequency caps")
