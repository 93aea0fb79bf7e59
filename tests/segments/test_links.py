"""`segments.links` against a dictionary, on a real server: who is whom, moved segments, forgetting."""

import random
from pathlib import Path

import numpy as np
import pytest
import redis.asyncio

from config import redis_keys
from config.calendar import SECONDS_PER_DAY
from config.limits import LINK_MEMORY_IDS_MAX, LINK_MEMORY_SECONDS, LINKS_PER_PERSON_MAX
from pacing.caps import FORGOTTEN, add_records, forget_caps, record_impression, unpack_caps
from segments.bit_days import UserBits
from segments.bitsets import bits_from_indices, indices_from_bits
from segments.bucket_script import BucketScript
from segments.identity import COOKIE, Identity
from segments.link_memory import LinkMemory
from segments.links import LINK_BYTES, Family, LinkStore, linked_person
from segments.loader import LoadOptions, load
from segments.location import BUCKET_SHIFT, caps_key, location
from segments.registry import SegmentRegistry
from segments.store import SegmentStore
from segments.store_sink import StoreSink

TODAY = 20_000
DAYS = 30
ID, OTHER_ID, PERSON, OTHER_PERSON = (0x1111 << 48 | 1, 0x2222 << 48 | 2, 0x3333 << 48 | 3, 0x4444 << 48 | 4)


async def test_random_syncs_equal_a_dictionary(redis_client: redis.asyncio.Redis) -> None:
    chance = random.Random(11)
    links = LinkStore(redis_client)
    model: dict[int, int] = {}
    ids = [chance.getrandbits(64) | 1 for _ in range(12)]
    people = [chance.getrandbits(64) | 1 for _ in range(4)]
    for _ in range(200):
        id_hash, person = chance.choice(ids), chance.choice(people)
        if chance.random() < 0.05:
            family = await links.family(chance.choice([id_hash, person]))
            assert set(family.ids) == {i for i, p in model.items() if p == family.person} | set(
                family.ids if family.person in ids else ()
            )
            for hash_ in family.hashes:
                await redis_client.delete(caps_key(hash_))
                model.pop(hash_, None)
            await links.forget_kin(family)
            continue
        take_over = chance.random() < 0.7
        linked = await links.link(id_hash, person, DAYS, TODAY, take_over=take_over)
        if take_over or id_hash not in model:
            assert linked.news == (model.get(id_hash) != person)
            model[id_hash] = person
        else:
            assert not linked.news
        assert await links.resolve([*ids, *people]) == [model.get(h, h) for h in [*ids, *people]]
        for who in people:
            assert set((await links.family(who)).ids) == {i for i, p in model.items() if p == who}


async def test_a_link_expires_and_is_renewed_once_a_day(redis_client: redis.asyncio.Redis) -> None:
    links = LinkStore(redis_client)
    await links.link(ID, PERSON, DAYS, TODAY)
    key = caps_key(ID)
    assert DAYS * SECONDS_PER_DAY - 60 < await redis_client.ttl(key) <= DAYS * SECONDS_PER_DAY
    await redis_client.expire(key, (DAYS - 1) * SECONDS_PER_DAY + 60)
    assert not (await links.link(ID, PERSON, DAYS, TODAY)).news
    assert await redis_client.ttl(key) <= (DAYS - 1) * SECONDS_PER_DAY + 60
    await redis_client.expire(key, (DAYS - 1) * SECONDS_PER_DAY)
    assert not (await links.link(ID, PERSON, DAYS, TODAY + 1)).news
    assert await redis_client.ttl(key) > (DAYS - 1) * SECONDS_PER_DAY
    assert await links.sweep(TODAY + DAYS + 2) == 0
    assert await links.family(PERSON) == Family(PERSON, (ID,))
    assert await links.sweep(TODAY + DAYS + 3) == 1
    assert await links.family(PERSON) == Family(PERSON)


async def test_a_person_has_so_many_ids_and_the_oldest_makes_room(redis_client: redis.asyncio.Redis) -> None:
    links = LinkStore(redis_client)
    ids = [(index << 40) + 7 for index in range(1, LINKS_PER_PERSON_MAX + 3)]
    for id_hash in ids:
        await links.link(id_hash, PERSON, DAYS, TODAY)
    assert (await links.family(PERSON)).ids == tuple(ids[2:])
    assert await links.resolve(ids) == [*ids[:2], *[PERSON] * LINKS_PER_PERSON_MAX]


async def test_what_was_known_of_an_id_becomes_known_of_the_person(redis_client: redis.asyncio.Redis) -> None:
    links, store, bits = LinkStore(redis_client), SegmentStore(redis_client), UserBits(redis_client)
    hashes = np.array([ID, PERSON], np.uint64)
    loaded = np.stack([bits_from_indices([3, 70], 2), bits_from_indices([5], 2)])
    await store.write(hashes[:1], loaded[:1], TODAY + 9)
    await store.write(hashes[1:], loaded[1:], TODAY + 4)
    await bits.touch(ID, {8: TODAY + 2, 9: TODAY + 20}, TODAY)
    await bits.touch(PERSON, {8: TODAY + 1, 70: TODAY + 3}, TODAY)
    await record_impression(redis_client, ID, [4], TODAY * SECONDS_PER_DAY)
    linked = await links.link(ID, PERSON, DAYS, TODAY)
    assert linked.news
    assert unpack_caps([linked.caps])[0]["key"].tolist() == [4]
    assert await store.read(ID, 2, TODAY) is None
    assert not await redis_client.hexists(redis_keys.segment_days(ID >> BUCKET_SHIFT), location(ID)[1])

    async def members(today: int) -> list[int]:
        await BucketScript("sweep_users").run(redis_client, PERSON >> BUCKET_SHIFT, today, b"")
        found = await store.read(PERSON, 2, today)
        return [] if found is None else indices_from_bits(found[0])

    assert await members(TODAY + 2) == [3, 5, 8, 9, 70]
    assert await members(TODAY + 9) == [3, 5, 9, 70]
    assert await members(TODAY + 20) == [9]
    assert await members(TODAY + 21) == []


async def test_an_impression_under_a_linked_id_counts_for_the_person(
    redis_client: redis.asyncio.Redis,
) -> None:
    links = LinkStore(redis_client)
    await links.link(ID, PERSON, DAYS, TODAY)
    for hash_ in (ID, PERSON, ID):
        await record_impression(redis_client, hash_, [4], TODAY * SECONDS_PER_DAY)
    value: bytes | None = await redis_client.get(caps_key(PERSON))  # type: ignore[assignment] # bytes
    records, _ = unpack_caps([value])
    assert records[["key", "count_day"]].tolist() == [(4, 3)]
    assert await links.resolve([ID]) == [PERSON]


async def test_what_is_loaded_under_a_linked_id_moves_at_the_next_renewal(
    redis_client: redis.asyncio.Redis,
) -> None:
    links, store = LinkStore(redis_client), SegmentStore(redis_client)
    await links.link(ID, PERSON, DAYS, TODAY)
    await store.write(np.array([ID], np.uint64), bits_from_indices([3], 1)[None], TODAY + 9)
    await redis_client.expire(caps_key(ID), SECONDS_PER_DAY)
    await links.link(ID, PERSON, DAYS, TODAY)
    found = await store.read(PERSON, 1, TODAY)
    assert found is not None
    assert (indices_from_bits(found[0]), found[1]) == ([3], TODAY + 9)


async def test_a_persons_family_is_found_from_any_of_its_hashes(redis_client: redis.asyncio.Redis) -> None:
    links = LinkStore(redis_client)
    await links.link(ID, PERSON, DAYS, TODAY)
    await links.link(OTHER_ID, PERSON, DAYS, TODAY)
    for hash_ in (ID, OTHER_ID, PERSON):
        assert await links.family(hash_) == Family(PERSON, (ID, OTHER_ID))
    await links.link(ID, OTHER_PERSON, DAYS, TODAY)
    assert await links.family(PERSON) == Family(PERSON, (OTHER_ID,))
    assert await links.family(ID) == Family(OTHER_PERSON, (ID,))
    assert await links.forget_kin(Family(PERSON, (OTHER_ID,)))
    assert not await links.forget_kin(Family(PERSON))
    # Its link is in force until the caps go; so the family is still found from there.
    assert await links.family(OTHER_ID) == Family(PERSON, (OTHER_ID,))


@pytest.mark.parametrize("value", [None, b"", b"L" * 8, b"M" + bytes(8), b"L" * 12, b"L" * 10])
def test_what_is_no_link(value: bytes | None) -> None:
    assert linked_person(value) is None


def test_a_link_reads_as_no_cap_records() -> None:
    link = b"L" + PERSON.to_bytes(8, "big")
    assert len(link) == LINK_BYTES
    assert linked_person(link) == PERSON
    records, offsets = unpack_caps([link])
    assert (len(records), offsets.tolist()) == (0, [0, 0])


def test_a_worker_remembers_for_a_minute_at_most_and_only_so_many() -> None:
    memory = LinkMemory()
    memory.age(1_000.0)
    assert not memory
    memory.learn(ID, PERSON)
    assert memory
    for now_s in range(1_000, 1_000 + LINK_MEMORY_SECONDS + 1):
        memory.age(now_s)
        assert (memory.person(ID), memory.person(OTHER_ID)) == (PERSON, OTHER_ID)
    memory.learn(OTHER_ID, PERSON)
    memory.age(1_000 + 2 * LINK_MEMORY_SECONDS)
    assert (memory.person(ID), memory.person(OTHER_ID)) == (ID, PERSON)
    for id_hash in range(1, LINK_MEMORY_IDS_MAX + 2):
        memory.learn(id_hash, PERSON)
    assert memory.person(OTHER_ID) == OTHER_ID
    assert memory.person(LINK_MEMORY_IDS_MAX) == PERSON


async def test_a_file_of_a_partners_ids_is_about_the_people_they_are_linked_to(
    redis_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    links, store, identity = LinkStore(redis_client), SegmentStore(redis_client), Identity(b"k" * 32)
    linked, person = identity.hash("hosted.example", "88"), identity.hash(COOKIE, "ann")
    await links.link(linked, person, DAYS, TODAY)
    file = tmp_path / "people.csv"
    file.write_text(
        "id,segments,source\nann,readers,cookie\n88,gardeners,hosted.example\n99,readers,hosted.example\n"
    )
    options = LoadOptions(mode="add", define=True)
    sink = StoreSink(redis_client, options, TODAY)
    await load(file, sink, identity, options, lambda rows, bytes_done: None)
    indices = await SegmentRegistry(redis_client).indices()

    async def members(user_hash: int) -> set[str] | None:
        found = await store.read(user_hash, 1, TODAY)
        return None if found is None else {n for n, i in indices.items() if i in indices_from_bits(found[0])}

    assert await members(person) == {"readers", "gardeners"}
    assert await members(linked) is None
    assert await members(identity.hash("hosted.example", "99")) == {"readers"}


async def test_who_was_just_forgotten_is_not_linked_again_by_what_is_under_way(
    redis_client: redis.asyncio.Redis,
) -> None:
    links = LinkStore(redis_client)
    await links.link(ID, PERSON, DAYS, TODAY)
    for hash_ in (ID, PERSON):
        await forget_caps(redis_client, hash_)
    await links.forget_kin(Family(PERSON, (ID,)))
    assert not (await links.link(ID, PERSON, DAYS, TODAY)).news
    assert await links.resolve([ID]) == [ID]
    assert await links.family(PERSON) == Family(PERSON)
    # An id with a history, linked to somebody who was forgotten: the history is not carried over.
    await record_impression(redis_client, OTHER_ID, [4], TODAY * SECONDS_PER_DAY)
    linked = await links.link(OTHER_ID, PERSON, DAYS, TODAY)
    await add_records(redis_client, PERSON, linked.caps, TODAY * SECONDS_PER_DAY)
    assert await redis_client.get(caps_key(PERSON)) == FORGOTTEN
