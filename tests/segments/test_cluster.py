"""Look-ups and bulk writes on a real Cluster, while slots move and nodes are killed, stopped and replaced."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import redis
import redis.asyncio
from numpy.typing import NDArray

from bidder.redis_client import redis_client
from segments.bit_days import UserBits
from segments.bitsets import bits_from_flags, unpack_users
from segments.links import LinkStore
from segments.location import caps_key, location
from segments.lookup import UserLookup
from segments.slot_map import slot_of
from segments.store import SegmentStore
from segments.wire import Fault
from tests.segments.cluster import Cluster
from tests.segments.lookups import PATIENT_MS, Answer, ask, faults, flat, strangers, until
from tests.waiting import SECONDS_MAX

HASTY_MS = 500
"""Long enough for a busy machine, short enough to be waited for some times."""
WORDS = 4
TODAY = 20_000
USERS = [number * 0x0123_4567_89AB_CDEF % 2**64 for number in range(1, 2_001)]
Expected = dict[int, tuple[bytes | None, bytes | None]]


@pytest_asyncio.fixture
async def lookup(cluster: Cluster) -> AsyncIterator[UserLookup]:
    lookup = await UserLookup.connect(cluster.url, PATIENT_MS)
    yield lookup
    await lookup.close()


def some_bits() -> NDArray[np.uint64]:
    return bits_from_flags(np.random.default_rng(8).random((len(USERS), 64 * WORDS)) < 0.05)


async def fill(cluster_client: redis.asyncio.Redis) -> Expected:
    """Give every second user segments and every fifth caps; return what plain reads say."""
    await SegmentStore(cluster_client).write(np.array(USERS, np.uint64)[::2], some_bits()[::2], TODAY)
    pipeline: Any = cluster_client.pipeline(transaction=False)
    for user in USERS[::5]:
        pipeline.set(caps_key(user), user.to_bytes(8, "big"))
    await pipeline.execute()
    pipeline = cluster_client.pipeline(transaction=False)
    for user in USERS:
        pipeline.hget(*location(user)).get(caps_key(user))
    replies = await pipeline.execute()
    return dict(zip(USERS, zip(replies[::2], replies[1::2], strict=True), strict=True))


def slot(user: int) -> int:
    return slot_of(location(user)[0])


def held_by(cluster: Cluster, node: int) -> set[int]:
    owners = cluster.owners()
    return {user for user in USERS if owners[slot(user)] == node}


def check(users: list[int], answer: Answer, expected: Expected, may_miss: set[int]) -> None:
    """Everybody is as plain reads say, except those who may be missing: strangers, if they are."""
    values, missing = answer
    absent = {users[position] for position in missing}
    assert absent <= may_miss
    wanted = [value for user in users for value in ((None, None) if user in absent else expected[user])]
    assert values == wanted


@asynccontextmanager
async def asking(
    lookup: UserLookup, expected: Expected, may_miss: Callable[[], set[int]]
) -> AsyncIterator[list[Answer]]:
    """Look users up, batch after batch, until the block ends; each answer is checked."""
    answers: list[Answer] = []
    rng = random.Random(9)
    over = asyncio.Event()

    async def ask_on() -> None:
        while not over.is_set():
            users = rng.sample(USERS, 64)
            allowed = may_miss()
            answer = await ask(lookup, users)
            check(users, answer, expected, allowed | may_miss())
            answers.append(answer)
            await asyncio.sleep(0)

    task = asyncio.create_task(ask_on())
    try:
        yield answers
    finally:
        over.set()
        await task


async def more(answers: list[Answer], count: int = 20) -> None:
    """Wait for so many more answers."""
    target = len(answers) + count
    await until(lambda: len(answers) >= target)


async def nobody_missing(lookup: UserLookup, expected: Expected) -> None:
    """Ask until everybody is answered for."""
    async with asyncio.timeout(SECONDS_MAX):
        while (await ask(lookup, USERS))[1]:  # noqa: ASYNC110 what is waited for announces itself to nobody
            await asyncio.sleep(0.002)
    assert await ask(lookup, USERS) == flat(USERS, expected)


async def test_batches_get_what_plain_reads_get(
    lookup: UserLookup, cluster_client: redis.asyncio.Redis
) -> None:
    expected = await fill(cluster_client)
    rng = random.Random(21)
    batches = [rng.choices(USERS, k=rng.randint(0, 90)) for _ in range(60)]
    answers = await asyncio.gather(*(ask(lookup, batch) for batch in batches))
    assert answers == [flat(batch, expected) for batch in batches]
    assert faults(lookup) == {}
    assert lookup.tally.redirects == 0


async def test_a_slot_is_moved_while_its_users_are_looked_up(
    cluster: Cluster, lookup: UserLookup, cluster_client: redis.asyncio.Redis
) -> None:
    expected = await fill(cluster_client)
    # The slot of a user who has both keys, so that some keys are here and some there for a while.
    moving = slot(USERS[0])
    source = cluster.owners()[moving]
    target = (source + 1) % 3
    async with asking(lookup, expected, set) as answers:
        await asyncio.to_thread(cluster.begin_move, moving, source, target)
        await more(answers)
        for count in (1, 1, 1, 1_000):
            await asyncio.to_thread(cluster.move_keys, moving, source, target, count)
            assert await ask(lookup, USERS) == flat(USERS, expected)
            await more(answers)
        await asyncio.to_thread(cluster.end_move, moving, source, target)
        await more(answers)
    assert cluster.owners()[moving] == target
    assert lookup.tally.redirects > 0
    assert faults(lookup) == {}

    async def straight() -> bool:
        before = lookup.tally.redirects
        await ask(lookup, USERS)
        return lookup.tally.redirects == before

    async with asyncio.timeout(SECONDS_MAX):
        while not await straight():  # noqa: ASYNC110 as above
            await asyncio.sleep(0.002)
    await asyncio.to_thread(cluster.move, moving, target, source)


async def test_a_killed_node_makes_strangers_of_its_users_only(
    cluster: Cluster, lookup: UserLookup, cluster_client: redis.asyncio.Redis
) -> None:
    expected = await fill(cluster_client)
    its_users = held_by(cluster, 2)
    assert 0 < len(its_users) < len(USERS)
    async with asking(lookup, expected, lambda: its_users) as answers:
        await more(answers)
        cluster.nodes[2].kill()
        await until(lambda: lookup.nodes_out == 1)
        _, missing = await ask(lookup, USERS)
        assert {USERS[position] for position in missing} == its_users
        await more(answers)
        await asyncio.to_thread(cluster.nodes[2].revive)
        await nobody_missing(lookup, expected)
    assert lookup.nodes_out == 0
    assert lookup.reconnects == 1
    assert faults(lookup)[Fault.DOWN] > 0
    assert Fault.TIMEOUT not in faults(lookup)


async def test_a_node_that_hangs_is_waited_for_a_few_times_and_then_not(
    cluster: Cluster, cluster_client: redis.asyncio.Redis
) -> None:
    lookup = await UserLookup.connect(cluster.url, HASTY_MS)
    expected = await fill(cluster_client)
    its_users = held_by(cluster, 1)
    os.kill(cluster.nodes[1].pid, signal.SIGSTOP)
    try:
        async with asking(lookup, expected, lambda: its_users) as answers:
            await until(lambda: lookup.nodes_out == 1)
            waited = faults(lookup)[Fault.TIMEOUT]
            await more(answers, 200)
            assert faults(lookup)[Fault.TIMEOUT] == waited
            os.kill(cluster.nodes[1].pid, signal.SIGCONT)
            await nobody_missing(lookup, expected)
    finally:
        os.kill(cluster.nodes[1].pid, signal.SIGCONT)
    assert faults(lookup).keys() <= {Fault.TIMEOUT, Fault.BREAKER, Fault.DOWN, Fault.ERROR}
    await lookup.close()


async def test_bulk_writes_and_scans_hold_all_users(
    cluster: Cluster, lookup: UserLookup, cluster_client: redis.asyncio.Redis
) -> None:
    store = SegmentStore(cluster_client)
    hashes, bits = np.array(USERS, np.uint64), some_bits()
    await store.write(hashes, bits, TODAY)
    values, missing = await ask(lookup, USERS)
    assert not missing
    assert np.array_equal(unpack_users(values[::2], WORDS, TODAY), bits)
    scanned = np.concatenate([chunk async for chunk in store.scan(WORDS, TODAY)])
    assert sorted(scanned.tolist()) == sorted(bits.tolist())
    assert await UserBits(cluster_client).forget(USERS[0], TODAY)
    assert await store.read(USERS[0], WORDS, TODAY) is None


async def test_a_persons_ids_are_linked_across_nodes(cluster_client: redis.asyncio.Redis) -> None:
    links, store = LinkStore(cluster_client), SegmentStore(cluster_client)
    person, *ids = USERS[:12]
    await store.write(np.array(ids, np.uint64), some_bits()[: len(ids)], TODAY)
    for id_hash in ids:
        assert (await links.link(id_hash, person, 30, TODAY)).news
    assert await links.resolve(USERS[:20]) == [person] * 12 + USERS[12:20]
    assert (await links.family(ids[-1])).hashes == (person, *ids)
    found = await store.read(person, WORDS, TODAY)
    assert found is not None
    assert (found[0] == np.bitwise_or.reduce(some_bits()[: len(ids)])).all()
    assert await links.sweep(TODAY + 40) == 1


async def test_bulk_writes_find_users_whose_slot_is_moving(
    cluster: Cluster, lookup: UserLookup, cluster_client: redis.asyncio.Redis
) -> None:
    store = SegmentStore(cluster_client)
    hashes, bits = np.array(USERS, np.uint64), some_bits()
    await store.write(hashes, bits, TODAY)
    moving = slot(USERS[0])
    source = cluster.owners()[moving]
    target = (source + 1) % 3
    await asyncio.to_thread(cluster.begin_move, moving, source, target)
    await asyncio.to_thread(cluster.move_keys, moving, source, target, 1)
    await store.write(hashes, ~bits, TODAY + 5)
    await asyncio.to_thread(cluster.move_keys, moving, source, target)
    await asyncio.to_thread(cluster.end_move, moving, source, target)
    values, missing = await ask(lookup, USERS)
    assert not missing
    assert np.array_equal(unpack_users(values[::2], WORDS, TODAY + 5), ~bits)
    await asyncio.to_thread(cluster.move, moving, target, source)


async def test_a_replica_takes_over_from_a_killed_primary(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with Cluster.start(tmp_path_factory.mktemp("replicated"), replicas=True) as replicated:
        async with redis_client(replicated.url) as cluster_client:
            expected = await fill(cluster_client)
            for primary in range(3):
                await asyncio.to_thread(replicated.call, primary, "WAIT", 1, 20_000)
            lookup = await UserLookup.connect(replicated.url, PATIENT_MS)
            its_users = held_by(replicated, 2)
            async with asking(lookup, expected, lambda: its_users):
                replicated.nodes[2].kill()
                await until(lambda: lookup.nodes_out == 1)
                # Without waiting for the others' vote.
                await asyncio.to_thread(replicated.call, 5, "CLUSTER", "FAILOVER", "TAKEOVER")
                await nobody_missing(lookup, expected)
            # The node that is gone is no longer tried: the map has another in its place.
            await until(lambda: lookup.nodes_out == 0)
            await lookup.close()


async def test_one_seed_is_enough_and_a_dead_one_does_no_harm(cluster: Cluster) -> None:
    login, _, hosts = cluster.url.rpartition("@")
    for seeds in (hosts.split(",")[1], "127.0.0.1:1," + hosts.split(",")[2]):
        lookup = await UserLookup.connect(f"{login}@{seeds}", PATIENT_MS)
        assert await ask(lookup, USERS[:9]) == ([None] * 18, [])
        await lookup.close()


async def test_a_refused_password_is_said_and_not_shown(cluster: Cluster) -> None:
    hosts = cluster.url.rpartition("@")[2]
    with pytest.raises(redis.AuthenticationError, match="refuses the user or password") as raised:
        await UserLookup.connect(f"redis+cluster://:wrong-secret@{hosts}", PATIENT_MS)
    assert "wrong-secret" not in str(raised.value)


async def test_a_server_that_is_no_cluster_is_not_taken_for_one(redis_url: str) -> None:
    with pytest.raises(redis.ConnectionError, match=r"is no node of a Cluster .*redis://"):
        await UserLookup.connect(redis_url.removesuffix("/0").replace("redis:", "redis+cluster:"), PATIENT_MS)


async def test_a_cluster_that_is_gone_at_the_start_is_one_sentence() -> None:
    with pytest.raises(redis.ConnectionError, match=r"can't reach Redis at 127\.0\.0\.1:1: "):
        await UserLookup.connect("redis+cluster://127.0.0.1:1", PATIENT_MS)


async def test_a_whole_cluster_that_returns_is_found_again(cluster: Cluster, lookup: UserLookup) -> None:
    for node in cluster.nodes:
        node.kill()
    await until(lambda: lookup.nodes_out == 3)
    assert await ask(lookup, USERS[:50]) == strangers(USERS[:50])
    for node in cluster.nodes:
        await asyncio.to_thread(node.revive)
    await nobody_missing(lookup, dict.fromkeys(USERS, (None, None)))
