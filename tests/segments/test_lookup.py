"""The look-up connection against plain reads, and against everything that can happen to a connection."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import pytest_asyncio
import redis
import redis.asyncio
import uvloop

import segments.wire
from config.embedded_server import EmbeddedServer
from config.limits import LOOKUP_BREAKER_TIMEOUTS, LOOKUP_OWED_REPLIES_MAX
from segments.bitsets import bits_from_indices, unpack_users
from segments.location import caps_key
from segments.lookup import UserLookup, Values
from segments.store import SegmentStore
from tests.segments.lookups import PATIENT_MS, USERS, Answer, ask, faults, fill, flat, strangers, until
from tests.waiting import SECONDS_MAX

HASTY_MS = 20


@pytest_asyncio.fixture
async def lookup(redis_url: str) -> AsyncIterator[UserLookup]:
    lookup = await UserLookup.connect(redis_url, PATIENT_MS)
    yield lookup
    await lookup.close()


@pytest_asyncio.fixture
async def own_client(own_server: EmbeddedServer) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(own_server.url) as client:
        yield client


@pytest_asyncio.fixture
async def hasty(own_server: EmbeddedServer) -> AsyncIterator[UserLookup]:
    """Look-ups at that server which wait only for a moment."""
    lookup = await UserLookup.connect(own_server.url, HASTY_MS)
    yield lookup
    await lookup.close()


@contextlib.contextmanager
def hanging(server: EmbeddedServer) -> Iterator[None]:
    """A server that answers nothing until the block ends."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@pytest.fixture
def no_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments.wire, "LOOKUP_STALLED_SECONDS_MAX", SECONDS_MAX)


async def test_batches_in_flight_together_get_what_plain_reads_get(
    lookup: UserLookup, redis_client: redis.asyncio.Redis
) -> None:
    expected = await fill(redis_client)
    rng = random.Random(21)
    batches = [rng.choices(USERS, k=rng.randint(1, 90)) for _ in range(200)]
    answers = await asyncio.gather(*(ask(lookup, batch) for batch in batches))
    assert answers == [flat(batch, expected) for batch in batches]
    assert (faults(lookup), lookup.reconnects) == ({}, 0)


async def test_users_unpack_to_their_bits_until_they_expire(
    lookup: UserLookup, redis_client: redis.asyncio.Redis
) -> None:
    store = SegmentStore(redis_client)
    kept, gone, never = USERS[:3]
    await store.write(np.array([kept], np.uint64), bits_from_indices([1, 70], 2).reshape(1, -1), 20_010)
    await store.write(np.array([gone], np.uint64), bits_from_indices([2], 2).reshape(1, -1), 20_009)
    values, missing = await ask(lookup, [kept, gone, never])
    assert not missing
    assert unpack_users(values[::2], 2, 20_010).tolist() == [[1 << 1, 1 << 6], [0, 0], [0, 0]]


async def test_a_huge_batch_and_a_batch_of_nobody(
    lookup: UserLookup, redis_client: redis.asyncio.Redis
) -> None:
    expected = await fill(redis_client)
    users = (USERS * (20_000 // len(USERS) + 1))[:20_000]
    assert await ask(lookup, users) == flat(users, expected)
    assert await ask(lookup, []) == ([], [])


async def test_too_much_in_flight_fails_at_once_and_leaves_the_rest_alone(
    lookup: UserLookup, redis_client: redis.asyncio.Redis
) -> None:
    expected = await fill(redis_client)
    first = asyncio.ensure_future(ask(lookup, USERS))
    await asyncio.sleep(0)  # lets the first one be written
    too_many = [1] * (LOOKUP_OWED_REPLIES_MAX // 2)
    assert await ask(lookup, too_many) == strangers(too_many)
    assert await first == flat(USERS, expected)
    assert await ask(lookup, USERS) == flat(USERS, expected)
    assert faults(lookup) == {"breaker": 1}


async def test_a_fetch_from_inside_done_is_answered(
    lookup: UserLookup, redis_client: redis.asyncio.Redis
) -> None:
    expected = await fill(redis_client)
    answers: list[Answer] = []

    def again(values: Values, missing: Sequence[int]) -> None:
        answers.append((values, list(missing)))
        if len(answers) < 20:
            lookup.fetch([USERS[len(answers)]], again)

    lookup.fetch([USERS[0]], again)
    await until(lambda: len(answers) == 20)
    assert answers == [flat([user], expected) for user in USERS[:20]]


async def test_late_replies_are_dropped_and_never_given_to_another_batch(
    own_server: EmbeddedServer,
    own_client: redis.asyncio.Redis,
    hasty: UserLookup,
    no_connection_is_given_up: None,
) -> None:
    expected = await fill(own_client)
    rng = random.Random(4)
    for _ in range(3):
        hasty.tally.take()
        with hanging(own_server):
            assert await ask(hasty, USERS[:3]) == strangers(USERS[:3])
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                batches = [rng.choices(USERS, k=rng.randint(1, 40)) for _ in range(5)]
                answers = await asyncio.gather(*(ask(hasty, batch) for batch in batches))
                for batch, answer in zip(batches, answers, strict=True):
                    assert answer in (flat(batch, expected), strangers(batch))
                if not any(missing for _, missing in answers):
                    break
                await asyncio.sleep(0.001)  # lets the clock go on while the breaker answers at once
        assert faults(hasty)["timeout"] > 0
        assert faults(hasty).keys() <= {"timeout", "breaker"}
    assert hasty.reconnects == 0


async def test_an_error_reply_makes_a_stranger_of_its_user_only(
    lookup: UserLookup, redis_client: redis.asyncio.Redis
) -> None:
    expected = await fill(redis_client)
    spoilt = 999
    await redis_client.rpush(caps_key(spoilt), b"not a string")
    batches = [USERS[:3], [USERS[4], spoilt, USERS[5]], USERS[6:9]]
    answers = await asyncio.gather(*(ask(lookup, batch) for batch in batches))
    spoilt_batch = ([*flat([USERS[4]], expected)[0], None, None, *flat([USERS[5]], expected)[0]], [1])
    assert answers == [flat(batches[0], expected), spoilt_batch, flat(batches[2], expected)]
    assert (faults(lookup), lookup.reconnects) == ({"error": 1}, 0)


async def test_a_late_error_reply_does_not_spoil_the_next_batch(
    own_server: EmbeddedServer, own_client: redis.asyncio.Redis, hasty: UserLookup
) -> None:
    expected = await fill(own_client)
    spoilt = 999
    await own_client.rpush(caps_key(spoilt), b"not a string")
    with hanging(own_server):
        assert await ask(hasty, [spoilt]) == strangers([spoilt])
    assert await first_answer(hasty, USERS[:2]) == flat(USERS[:2], expected)
    assert "error" not in faults(hasty)


async def first_answer(lookup: UserLookup, users: list[int]) -> Answer:
    """Ask until there is an answer for somebody."""
    async with asyncio.timeout(SECONDS_MAX):
        while (answer := await ask(lookup, users)) == strangers(users):  # noqa: ASYNC110 as above
            await asyncio.sleep(0.002)
    return answer


async def kill_in_flight(lookup: UserLookup, client: redis.asyncio.Redis) -> list[Answer]:
    """Have the server drop every other connection while it owes this one two answers."""
    pool: Any = client.connection_pool
    connection = await pool.get_connection()
    # A script keeps the server from reading anything else for a tenth of a second or so.
    busy = ("EVAL", "for _ = 1, 10000000 do end", "0")
    kill = ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await connection.send_packed_command(connection.pack_commands([busy, kill]))
    asked = [asyncio.ensure_future(ask(lookup, users)) for users in (USERS[:5], USERS[5:9])]
    await asyncio.sleep(0)  # lets them be written
    for _ in (busy, kill):
        await connection.read_response()
    await pool.release(connection)
    return list(await asyncio.gather(*asked))


async def test_a_killed_connection_makes_strangers_and_comes_back(
    lookup: UserLookup, redis_client: redis.asyncio.Redis
) -> None:
    expected = await fill(redis_client)
    kills = 0
    answers: list[Answer] = []
    # Once in a while the server reads the look-up first.
    while answers != [strangers(USERS[:5]), strangers(USERS[5:9])]:
        answers = await kill_in_flight(lookup, redis_client)
        assert answers[0] in (strangers(USERS[:5]), flat(USERS[:5], expected))
        assert answers[1] in (strangers(USERS[5:9]), flat(USERS[5:9], expected))
        kills += 1
        await until(lambda kills=kills: lookup.reconnects == kills)  # type: ignore[misc] # mypy infers no default
        assert await first_answer(lookup, USERS) == flat(USERS, expected)
        assert lookup.nodes_out == 0
    assert faults(lookup)["down"] >= 2
    assert "timeout" not in faults(lookup)


async def test_reconnecting_goes_on_while_the_server_refuses(own_server: EmbeddedServer) -> None:
    password = urlsplit(own_server.url).password or ""
    async with redis.asyncio.Redis.from_url(own_server.url) as client:
        lookup = await UserLookup.connect(own_server.url, PATIENT_MS)
        await client.config_set("requirepass", "another")
        await kill_in_flight(lookup, client)
        async with asyncio.timeout(SECONDS_MAX):
            while not (await client.info("stats"))["acl_access_denied_auth"]:  # noqa: ASYNC110 as above
                await asyncio.sleep(0.005)
        assert lookup.nodes_out == 1
        await client.config_set("requirepass", password)
        await until(lambda: lookup.nodes_out == 0)
        assert await ask(lookup, USERS[:2]) == ([None] * 4, [])
        await lookup.close()


async def test_a_stopped_server_makes_strangers_at_once(own_server: EmbeddedServer) -> None:
    lookup = await UserLookup.connect(own_server.url, PATIENT_MS)
    await asyncio.to_thread(own_server.stop)
    await until(lambda: lookup.nodes_out == 1)
    answers: list[Answer] = []
    lookup.fetch(USERS[:3], lambda values, missing: answers.append((values, list(missing))))
    assert answers == [strangers(USERS[:3])]
    assert faults(lookup) == {"down": 1}
    await asyncio.to_thread(own_server.revive)
    await until(lambda: lookup.nodes_out == 0)
    assert await ask(lookup, USERS[:3]) == ([None] * 6, [])
    await lookup.close()


async def test_a_server_that_is_too_slow_is_left_alone_until_it_is_well(
    own_server: EmbeddedServer,
    own_client: redis.asyncio.Redis,
    hasty: UserLookup,
    no_connection_is_given_up: None,
) -> None:
    expected = await fill(own_client)
    with hanging(own_server):
        for _ in range(LOOKUP_BREAKER_TIMEOUTS):
            assert await ask(hasty, USERS[:9]) == strangers(USERS[:9])
        await until(lambda: hasty.nodes_out == 1)
        assert faults(hasty) == {"timeout": LOOKUP_BREAKER_TIMEOUTS}
        answers: list[Answer] = []
        for _ in range(1_000):  # nobody waits any more
            hasty.fetch(USERS[:9], lambda values, missing: answers.append((values, list(missing))))
        assert answers == [strangers(USERS[:9])] * 1_000
        assert faults(hasty)["breaker"] == 1_000
    await until(lambda: hasty.nodes_out == 0)
    assert await first_answer(hasty, USERS) == flat(USERS, expected)


async def test_a_connection_that_stays_silent_is_made_anew(
    own_server: EmbeddedServer,
    own_client: redis.asyncio.Redis,
    hasty: UserLookup,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = await fill(own_client)
    monkeypatch.setattr(segments.wire, "LOOKUP_STALLED_SECONDS_MAX", 0.05)
    with hanging(own_server):
        async with asyncio.timeout(SECONDS_MAX):
            while "down" not in faults(hasty):
                hasty.fetch(USERS[:3], lambda values, missing: None)
                await asyncio.sleep(0.002)
    await until(lambda: hasty.reconnects > 0)
    assert await first_answer(hasty, USERS) == flat(USERS, expected)


async def test_closing_answers_what_waits(own_server: EmbeddedServer) -> None:
    lookup = await UserLookup.connect(own_server.url, PATIENT_MS)
    with hanging(own_server):
        waits = asyncio.ensure_future(ask(lookup, USERS[:3]))
        await asyncio.sleep(0)  # lets it be written
        await lookup.close()
        assert await waits == strangers(USERS[:3])
    assert await ask(lookup, USERS[:3]) == strangers(USERS[:3])
    assert faults(lookup) == {"down": 2}


def test_it_works_on_uvloop_too(own_server: EmbeddedServer) -> None:
    async def scenario() -> None:
        async with redis.asyncio.Redis.from_url(own_server.url) as client:
            expected = await fill(client)
            lookup = await UserLookup.connect(own_server.url, HASTY_MS)
            assert await first_answer(lookup, USERS) == flat(USERS, expected)
            with hanging(own_server):
                assert await ask(lookup, USERS) == strangers(USERS)
            assert await first_answer(lookup, USERS) == flat(USERS, expected)
            await kill_in_flight(lookup, client)
            assert await first_answer(lookup, USERS) == flat(USERS, expected)
            await lookup.close()

    uvloop.run(scenario())
