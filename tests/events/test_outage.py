"""Notices while Redis is away: kept, answered as ever, brought in order when it is back, and booked once."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from bidder.events.directory import LiveDirectory
from bidder.events.intake import REPLAY_FAILURES_MAX, Intake
from bidder.events.notices import NoticeDesk
from bidder.events.outcome import Kind
from bidder.events.segment_rules import RuleBook
from bidder.events.spool import Spool
from bidder.openrtb.notice_token import TokenSigner
from bidder.redis_client import node_of, redis_client
from config import bundle_store, redis_keys
from config.embedded_server import EmbeddedServer
from config.limits import NOTICE_TAKEN_SECONDS_MAX, SPOOL_SECONDS_MAX
from config.money import BILLION
from config.schema import code_of
from config.settings import load_secrets
from pacing.ledger import Ledger
from tests.events.conftest import CODE, EventsPort, account, counted, events_port, notices
from tests.events.factories import (
    BID_MINUTE,
    CAMPAIGN,
    CREATIVE,
    IDENTITY,
    LANDING_URL,
    LINE_ITEM,
    OWNER,
    PRICE_KEYS,
    SIGNER,
    bundle,
    sealed_price,
    token,
)
from tests.events.processes import bundle_key, child, settings
from tests.events.test_spool import files_end_at
from tests.segments.cluster import Cluster
from tests.waiting import SECONDS_MAX

WRITTEN_AT_ONCE = ("appendfsync no",)
"""A server that syncs once a second may be two seconds behind with its file when it is killed, where the disk
is slow; one that leaves the syncs to the system has there what it answered."""


@asynccontextmanager
async def outage(folder: Path) -> AsyncIterator[tuple[EmbeddedServer, EventsPort]]:
    """An events port with a spool, over a durable server of its own that has an account."""
    server = EmbeddedServer.start(folder, directives=WRITTEN_AT_ONCE)
    client = redis.asyncio.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0))
    try:
        async with events_port(client, bundle(), folder) as port:
            await port.ledger.register(CODE, CAMPAIGN, 100 * BILLION, None, "UTC")
            yield server, port
    finally:
        await client.aclose()
        server.stop()


async def until(holds: Callable[[], Awaitable[bool]] | Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            found = holds()
            if found is True or (not isinstance(found, bool) and await found):
                return
            await asyncio.sleep(0.01)


async def test_notices_in_an_outage_are_answered_kept_and_done_once_when_it_ends(tmp_path: Path) -> None:
    async with outage(tmp_path) as (server, port):
        assert await port.status("/bill", t=token(0), p="1") == 204
        replayed, spooled = counted("hustings_spool_replayed_total"), notices("bill", "spooled")
        server.kill()
        for sequence in range(1, 6):
            assert await port.status("/bill", t=token(sequence), p="2") == 204
            assert await port.status("/bill", t=token(sequence), p="2") == 204
        # Booked before the outage; its repeat comes in it.
        assert await port.status("/bill", t=token(0), p="1") == 204
        sealed = sealed_price(3_000_000, PRICE_KEYS["sealed"])
        assert await port.status("/bill", t=token(6, exchange="sealed"), p=sealed) == 204
        assert await port.status("/win", t=token(1), p="2") == 204
        assert await port.status("/loss", t=token(7), l="102") == 204
        assert (await port.get("/imp", t=token(1), p="2")).headers["Content-Type"] == "image/gif"
        assert await port.status("/conv", t=token(1)) == 200
        click = await port.get("/click", t=token(1))
        assert (click.status, click.headers["Location"]) == (302, LANDING_URL)
        # Neither a forger nor a rendering for review can fill the disk.
        waiting = port.spool.waiting_count
        assert await port.status("/bill", t="A" * 76, p="1") == 204
        assert await port.status("/bill", t=token(8), p="AUDIT") == 204
        assert port.spool.waiting_count == waiting == 12
        assert notices("bill", "spooled") == spooled + 12
        server.revive()
        await until(lambda: port.spool.waiting_count == 0)
        assert (await account(port)).spent == 1_000_000 + 5 * 2_000_000 + 3_000_000
        bids = [bill["bid"] for bill in await port.stream(redis_keys.bills(CODE))]
        assert bids == [f"{OWNER}-{BID_MINUTE}-{sequence}" for sequence in range(7)]
        for stream in (redis_keys.STREAM_WINS, redis_keys.STREAM_LOSSES, redis_keys.STREAM_CLICKS):
            assert len(await port.stream(stream)) == 1
        for stream in (redis_keys.STREAM_IMPRESSIONS, redis_keys.STREAM_CONVERSIONS):
            assert len(await port.stream(stream)) == 1
        assert counted("hustings_spool_replayed_total") == replayed + 12
        assert port.spool.waiting_count == 0
        # From here on everything is done at once again.
        assert await port.status("/bill", t=token(9), p="2") == 204
        assert (await account(port)).spent == 16_000_000
        assert await port.status("/bill", t=token(5), p="2") == 204
        assert (await account(port)).spent == 16_000_000


async def test_a_server_that_refuses_writes_is_away_too(port: EventsPort) -> None:
    await port.ledger.register(CODE, CAMPAIGN, 100 * BILLION, None, "UTC")
    await port.client.config_set("maxmemory", 1)
    try:
        assert await port.status("/bill", t=token(1), p="2") == 204
        assert port.spool.waiting_count == 1
    finally:
        await port.client.config_set("maxmemory", 0)
    await until(lambda: port.spool.waiting_count == 0)
    assert (await account(port)).spent == 2_000_000


async def test_with_the_spool_at_its_limit_the_exchange_is_asked_to_come_again(tmp_path: Path) -> None:
    server = EmbeddedServer.start(tmp_path, durable=False)
    client = redis.asyncio.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0))
    async with events_port(client, bundle(), tmp_path, spool_bytes_max=300) as port:
        server.stop()
        unavailable = notices("bill", "unavailable")
        answers = [await port.status("/bill", t=token(sequence), p="2") for sequence in range(4)]
        assert answers[0] == 204
        assert answers[-1] == 503
        assert notices("bill", "unavailable") == unavailable + answers.count(503)
        assert (await port.get("/click", t=token(9))).status == 302
    await client.aclose()


async def test_what_nobody_can_read_does_not_keep_new_notices_from_a_redis_that_is_back(
    tmp_path: Path,
) -> None:
    """Nor with the spool at its limit, where each of them is asked to come again."""
    server = EmbeddedServer.start(tmp_path)
    client = redis.asyncio.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0))
    async with events_port(client, bundle(), tmp_path, spool_bytes_max=100) as port:
        await port.ledger.register(CODE, CAMPAIGN, 100 * BILLION, None, "UTC")
        await port.spool.append(b"\xc1" * 60, 1)
        server.kill()
        assert await port.status("/bill", t=token(1), p="2") == 503
        server.revive()

        async def taken() -> bool:
            return await port.status("/bill", t=token(1), p="2") == 204

        await until(taken)
        await until(lambda: spent_is(port, 2_000_000))
    await client.aclose()
    server.stop()


class Replayer:
    """An intake over a spool, whose clock says what the test wants."""

    def __init__(self, client: redis.asyncio.Redis, folder: Path) -> None:
        self.now_s = BID_MINUTE * 60.0 + 20
        self.client = client
        self.spool = Spool(folder / "late.spool")
        self.ledger = Ledger(client)
        rules = RuleBook(client, IDENTITY, self._clock)
        directory = LiveDirectory(bundle(), PRICE_KEYS)
        self.desk = NoticeDesk(client, self.ledger, SIGNER, directory, rules, self._clock)

    def _clock(self) -> float:
        return self.now_s

    async def keep(self, sequence: int, bid_minute: int, kind: Kind = "bill") -> None:
        """Have a notice come twenty seconds after its bid, with Redis away."""
        self.now_s = bid_minute * 60.0 + 20
        intake = Intake(self.desk, [self.spool], self._yes, self._yes, self._clock, away=True)
        await intake.take(kind, {"t": token(sequence, minute=bid_minute), "p": "2"})

    async def replay(self) -> None:
        self.now_s = BID_MINUTE * 60.0 + 20
        stop = asyncio.Event()
        task = asyncio.create_task(self.replay_until(stop))
        await until(lambda: self.spool.waiting_count == 0)
        stop.set()
        await task

    async def replay_until(self, stop: asyncio.Event) -> None:
        intake = Intake(self.desk, [self.spool], self._yes, self._yes, self._clock)
        await intake.replay_until(stop)

    async def _yes(self) -> bool:
        return True


async def test_a_bill_that_came_in_time_is_booked_when_its_bits_are_gone_and_only_once(
    redis_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    late = Replayer(redis_client, tmp_path)
    await late.ledger.register(CODE, CAMPAIGN, 100 * BILLION, None, "UTC")
    minute = BID_MINUTE - 2 * NOTICE_TAKEN_SECONDS_MAX // 60
    # One of these was booked at the time, under the name it has in the stream; its bit is gone since.
    booked_ms = minute * 60_000 + 5_000
    await redis_client.xadd(
        redis_keys.bills(CODE),
        {"bid": f"{OWNER}-{minute}-1", "price_cpm_micros": "2000000"},
        id=f"{booked_ms}-0",
    )
    duplicates, expired = notices("bill", "duplicate"), notices("bill", "expired")
    for sequence in (1, 2):
        await late.keep(sequence, minute)
    await late.replay()
    found = await late.ledger.account(CODE)
    assert found is not None
    assert found.spent == 2_000_000
    assert notices("bill", "duplicate") == duplicates + 1
    # Another host kept the same bill, and is later still.
    await late.keep(2, minute)
    await late.replay()
    found = await late.ledger.account(CODE)
    assert found is not None
    assert found.spent == 2_000_000
    # A bill older than a spool may be, and one whose time the stream has forgotten.
    await late.keep(3, BID_MINUTE - SPOOL_SECONDS_MAX // 60 - 1)
    await late.replay()
    assert notices("bill", "expired") == expired + 1
    await redis_client.xtrim(redis_keys.bills(CODE), maxlen=1, approximate=False)
    await late.keep(4, minute)
    await late.replay()
    assert notices("bill", "expired") == expired + 2
    refused = await redis_client.xrange(redis_keys.STREAM_REFUSED)
    assert refused is not None
    assert len(refused) == 2
    late.spool.close()


async def test_a_disk_that_takes_nothing_does_not_hold_up_what_it_holds(
    redis_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    """Neither what waits in the spool nor the process that brings it."""
    late = Replayer(redis_client, tmp_path)
    await late.ledger.register(CODE, CAMPAIGN, 100 * BILLION, None, "UTC")
    for sequence in range(3):
        await late.keep(sequence, BID_MINUTE)
    with files_end_at(0):
        await late.replay()
    found = await late.ledger.account(CODE)
    assert found is not None
    assert found.spent == 6_000_000
    late.spool.close()


async def test_a_replay_that_is_stopped_ends_the_notice_under_way(
    redis_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    """It is remembered as come, and would be its own repeat when the next process brings it."""
    replayer, stop = Replayer(redis_client, tmp_path), asyncio.Event()
    await replayer.ledger.register(CODE, CAMPAIGN, 100 * BILLION, None, "UTC")
    for sequence in (1, 2):
        await replayer.keep(sequence, BID_MINUTE, "impression")
    task = asyncio.create_task(replayer.replay_until(stop))
    # Until it waits for Redis for the first time.
    await asyncio.sleep(0)
    stop.set()
    await task
    assert replayer.spool.waiting_count == 1
    assert await redis_client.xlen(redis_keys.STREAM_IMPRESSIONS) == 1
    await replayer.replay()
    assert await redis_client.xlen(redis_keys.STREAM_IMPRESSIONS) == 2
    replayer.spool.close()


async def test_what_a_killed_process_kept_is_booked_by_the_next(tmp_path: Path) -> None:
    server = EmbeddedServer.start(tmp_path, directives=WRITTEN_AT_ONCE)
    given = settings(server.url, tmp_path)
    client = redis.asyncio.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0))
    await bundle_store.publish(client, bundle(), bundle_key(given))
    await Ledger(client).register(CODE, CAMPAIGN, 100 * BILLION, None, "UTC")
    signer = TokenSigner(load_secrets(Path(given.secret_file)).notice_key)
    codes = (code_of(LINE_ITEM), code_of(CAMPAIGN), code_of(CREATIVE), code_of("plain"))

    def bill(sequence: int) -> str:
        signed = signer.sign(0, *codes, OWNER, BID_MINUTE, sequence, BID_MINUTE * 60 + 10, 5_000_000, 0)
        return f"/bill?p=2&t={signed.decode()}"

    async def send(port: int, sequences: range) -> list[int]:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            answers = []
            for sequence in sequences:
                async with session.get(bill(sequence)) as response:
                    answers.append(response.status)
            return answers

    try:
        with child("bidder.events.main", given) as process:
            port = await asyncio.to_thread(process.wait_until_ready)
            server.kill()
            assert await send(port, range(3)) == [204] * 3
            process.process.kill()
        # It starts without Redis, too.
        with child("bidder.events.main", given) as process:
            port = await asyncio.to_thread(process.wait_until_ready)
            assert await send(port, range(2, 5)) == [204] * 3
            server.revive()

            async def booked() -> bool:
                try:
                    found = await Ledger(client).account(CODE)
                except redis.RedisError:
                    # The first use of a connection to the server that was killed.
                    return False
                return found is not None and found.spent == 5 * 2_000_000

            await until(booked)
            process.terminate()
            assert (await asyncio.to_thread(process.end))[0] == 0
        found = await Ledger(client).account(CODE)
        assert found is not None
        assert found.spent == 5 * 2_000_000
    finally:
        await client.aclose()
        server.stop()


@pytest.mark.parametrize("refused", ["p=-1", "p="])
async def test_a_bill_that_can_not_be_booked_is_no_reason_to_keep_it(port: EventsPort, refused: str) -> None:
    name, _, price = refused.partition("=")
    assert await port.status("/bill", **{"t": token(1), name: price}) == 204
    assert port.spool.waiting_count == 0


async def spent_is(port: EventsPort, amount: int) -> bool:
    with contextlib.suppress(redis.RedisError):
        return (await account(port)).spent == amount
    return False


async def is_shown(port: EventsPort) -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(await port.stream(redis_keys.STREAM_IMPRESSIONS))
    return False


async def test_what_a_server_forgot_is_brought_to_it_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server comes back with the file as it was before the last notices."""

    def brought(times: int) -> bool:
        return caplog.text.count("were brought to it again") == times

    async with outage(tmp_path) as (server, port):
        assert await port.status("/bill", t=token(0), p="1") == 204
        (log,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
        known_bytes = log.stat().st_size
        assert await port.status("/bill", t=token(1), p="2") == 204
        assert (await port.get("/imp", t=token(1), p="2")).status == 200
        server.kill()
        os.truncate(log, known_bytes)
        server.revive()
        # All of it: a step whose reply a kill keeps back is done twice.
        await until(lambda: brought(1))
        await until(lambda: spent_is(port, 3_000_000))
        await until(lambda: is_shown(port))
        # Once more, and what is known to the server is a repeat.
        server.kill()
        server.revive()
        assert await port.status("/bill", t=token(2), p="2") == 204
        await until(lambda: brought(2))
        await until(lambda: spent_is(port, 5_000_000))
        bids = sorted(bill["bid"] for bill in await port.stream(redis_keys.bills(CODE)))
        assert bids == [f"{OWNER}-{BID_MINUTE}-{sequence}" for sequence in range(3)]
        assert len(await port.stream(redis_keys.STREAM_IMPRESSIONS)) == 1


async def test_what_a_server_that_forgot_refuses_holds_nothing_else_up(tmp_path: Path) -> None:
    """A notice whose stream can't be written is remembered as come: its rest is done when it can."""
    async with outage(tmp_path) as (server, port):
        await port.client.set(redis_keys.STREAM_IMPRESSIONS, "no stream")
        (log,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
        known_bytes = log.stat().st_size
        await port.client.delete(redis_keys.STREAM_IMPRESSIONS)
        assert (await port.get("/imp", t=token(1))).status == 200
        assert await port.status("/bill", t=token(1), p="2") == 204
        server.kill()
        os.truncate(log, known_bytes)
        server.revive()
        await until(lambda: spent_is(port, 2_000_000))
        assert port.spool.waiting_count == 1
        assert not await is_shown(port)
        await port.client.delete(redis_keys.STREAM_IMPRESSIONS)
        await until(lambda: port.spool.waiting_count == 0)
        assert len(await port.stream(redis_keys.STREAM_IMPRESSIONS)) == 1


async def test_a_bill_from_the_spool_that_a_server_forgot_and_then_refused_is_kept_again(
    tmp_path: Path,
) -> None:
    """The spool knows the bill from before, and its file still holds what nobody can read."""
    async with outage(tmp_path) as (server, port):
        ledger, aside = redis_keys.ledger(CODE), b"{c:%08x}aside" % CODE
        await port.client.rename(ledger, aside)
        await port.client.set(ledger, "no account")
        (log,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
        known_bytes = log.stat().st_size
        await port.client.rename(aside, ledger)
        await port.spool.append(b"\xc1", 1)
        server.kill()
        assert await port.status("/bill", t=token(1), p="2") == 204
        server.revive()
        await until(lambda: port.spool.waiting_count == 1)
        await until(lambda: spent_is(port, 2_000_000))
        server.kill()
        os.truncate(log, known_bytes)
        server.revive()
        await until(lambda: port.spool.waiting_count == 2)
        await port.client.rename(aside, ledger)
        await until(lambda: port.spool.waiting_count == 1)
        await until(lambda: spent_is(port, 2_000_000))


async def test_a_bill_that_came_after_its_impression_is_brought_again_too(tmp_path: Path) -> None:
    """Where the pixel may not carry the price, another URL of the bid books it, before or after."""
    async with outage(tmp_path) as (server, port):
        bought = token(1, billed_on_impression=True)
        assert (await port.get("/imp", t=bought)).status == 200
        (log,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
        known_bytes = log.stat().st_size
        assert (await port.get("/imp", t=bought, p="2")).status == 200
        server.kill()
        os.truncate(log, known_bytes)
        server.revive()
        await until(lambda: spent_is(port, 2_000_000))


async def test_bills_wait_while_no_node_of_a_cluster_can_be_reached(tmp_path: Path) -> None:
    with Cluster.start(tmp_path, primaries=2) as cluster:
        client = redis_client(cluster.url)
        async with events_port(client, bundle(), tmp_path) as port:
            await port.ledger.register(CODE, CAMPAIGN, 100 * BILLION, None, "UTC")
            assert await port.status("/bill", t=token(0), p="1") == 204
            for node in cluster.nodes:
                node.kill()
            for sequence in range(1, 4):
                assert await port.status("/bill", t=token(sequence), p="1") == 204
            assert port.spool.waiting_count == 3
            with pytest.raises(redis.ConnectionError):
                await Ledger(client).bulletin()
            for node in cluster.nodes:
                node.revive()
            await until(lambda: spent_is(port, 4_000_000))
        await client.aclose()


async def test_a_dead_shard_holds_up_its_own_campaigns_alone(tmp_path: Path) -> None:
    """Though more of their notices wait, and came before, than one round of replaying tries."""
    with Cluster.start(tmp_path, primaries=3) as cluster:
        client = redis_client(cluster.url)

        def node_with(campaign: str) -> str:
            return node_of(client, redis_keys.ledger(code_of(campaign)))

        async with events_port(client, bundle(), tmp_path) as port:
            await client.ping()
            lost = next(f"lost-{n}" for n in range(99) if node_with(f"lost-{n}") != node_with(CAMPAIGN))
            (dead,) = [node for node in cluster.nodes if node_with(lost).endswith(f":{node.port}")]
            for campaign in (CAMPAIGN, lost):
                await port.ledger.register(code_of(campaign), campaign, 100 * BILLION, None, "UTC")
            dead.kill()
            for sequence in range(2 * REPLAY_FAILURES_MAX + 1):
                assert await port.status("/bill", t=token(sequence, campaign=lost), p="1") == 204
            for sequence in range(3):
                assert await port.status("/bill", t=token(sequence), p="2") == 204
            await until(lambda: spent_is(port, 6_000_000))
            assert port.spool.waiting_count == 2 * REPLAY_FAILURES_MAX + 1
            dead.revive()
            await until(lambda: port.spool.waiting_count == 0)
            found = await port.ledger.account(code_of(lost))
            assert found is not None
            assert found.spent == (2 * REPLAY_FAILURES_MAX + 1) * 1_000_000
        await client.aclose()


async def test_what_redis_refuses_for_ever_holds_nothing_else_up(port: EventsPort) -> None:
    """Also when there is more of it than one round of replaying tries."""
    await port.ledger.register(CODE, CAMPAIGN, 100 * BILLION, None, "UTC")
    await port.client.set(redis_keys.STREAM_CLICKS, "no stream")
    # What another release wrote, too.
    await port.spool.append(b"\xc1", 1)
    for sequence in range(2 * REPLAY_FAILURES_MAX + 1):
        assert (await port.get("/click", t=token(sequence))).status == 302
    for sequence in range(3):
        assert await port.status("/bill", t=token(sequence), p="2") == 204
    await until(lambda: spent_is(port, 6_000_000))
    await port.client.delete(redis_keys.STREAM_CLICKS)
    await until(lambda: port.spool.waiting_count == 1)
    assert len(await port.stream(redis_keys.STREAM_CLICKS)) == 2 * REPLAY_FAILURES_MAX + 1
