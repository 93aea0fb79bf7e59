"""Advertisers' inboxes: what is applied, what is refused, and what their Redis user may do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio
from redis.exceptions import NoPermissionError

from config import redis_keys
from config.limits import INBOX_ENTRY_USERS_MAX
from segments import inbox
from segments.identity import COOKIE
from segments.inbox import GROUP, InboxReader, InboxSink, inbox_acl, inbox_user
from segments.loader import LoadOptions, load
from segments.segment_file import LoadError
from tests.segments.loading import IDENTITY, TODAY, Audiences, rejects

NOW_S = TODAY * 86_400 + 40
OAK = redis_keys.inbox("oak").decode()


def users(*ids: str) -> bytes:
    return b"".join(IDENTITY.hash(COOKIE, one).to_bytes(8, "big") for one in ids)


@pytest_asyncio.fixture
async def oak(audiences: Audiences) -> Audiences:
    await audiences.registry.define({"oak-1": "", "oak-2": ""}, owner="oak")
    await audiences.registry.define({"elm-1": ""}, owner="elm")
    await audiences.registry.define({"shared": ""})
    return audiences


async def faults(client: redis.asyncio.Redis) -> list[tuple[str, int, str]]:
    entries: Any = await client.xrange(redis_keys.inbox_faults("oak"))
    return [(f[b"entry"].decode(), int(f[b"line"]), f[b"reason"].decode()) for _, f in entries]


async def put(client: redis.asyncio.Redis, **fields: Any) -> str:
    entry: Any = fields
    entry_id: Any = await client.xadd(OAK, entry)
    return str(entry_id.decode())


async def test_changes_are_applied_in_their_order_and_the_stream_is_empty_after(oak: Audiences) -> None:
    reader = InboxReader(oak.client)
    assert await reader.waiting(["oak", "elm"]) == []
    await put(oak.client, users=users("ann", "bob"), segments="oak-1|oak-2\noak-1")
    await put(oak.client, users=users("ann"), segments="oak-2", mode="remove")
    await put(oak.client, users=users("ann", "cid"), segments="-oak-1\noak-2", mode="add", days="5")
    await put(oak.client, users=users("bob"), segments="oak-2", mode="replace", days="9")
    assert await reader.waiting(["elm", "oak"]) == ["oak"]
    drained = await reader.drain("oak", TODAY, NOW_S)
    assert (drained.entries, drained.cookies, drained.refused) == (4, 6, 0)
    assert [await oak.members(one) for one in ("ann", "bob", "cid")] == [set(), {"oak-2"}, {"oak-2"}]
    assert await oak.members("cid", today=TODAY + 6) is None
    assert await oak.members("bob", today=TODAY + 9) == {"oak-2"}
    assert await oak.client.xlen(OAK) == 0
    assert await reader.drain("oak", TODAY, NOW_S) == inbox.Drained()
    loads = {definition.name: definition.load for definition in await oak.registry.describe()}
    assert loads["oak-2"] is not None
    assert (loads["oak-2"].source, loads["elm-1"]) == ("inbox", None)


async def test_only_the_advertisers_own_bits_are_touched(oak: Audiences, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,segments\nann,oak-1|elm-1|shared\n")
    await oak.load(path)
    entry = await put(
        oak.client,
        users=users("ann", "bob", "cid", "dan"),
        segments="oak-2\noak-1|elm-1\nshared\nnobodys",
        mode="replace",
    )
    drained = await InboxReader(oak.client).drain("oak", TODAY, NOW_S)
    assert (drained.cookies, drained.refused) == (1, 3)
    assert await oak.members("ann") == {"oak-2", "elm-1", "shared"}
    assert await oak.members("bob") is None
    assert await faults(oak.client) == [
        (entry, 2, "segment elm-1 is not one of oak's"),
        (entry, 3, "segment shared is not one of oak's"),
        # Nor is it told whether somebody has it.
        (entry, 4, "segment nobodys is not one of oak's"),
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"segments": "oak-1"}, "`users` must hold 1 to 1,000 hashes of 8 bytes"),
        ({"users": b"short", "segments": "oak-1"}, "`users` must hold 1 to 1,000 hashes of 8 bytes"),
        ({"users": users("a", "b"), "segments": "oak-1"}, "`segments` has 1 lines for 2 users"),
        ({"users": users("a"), "segments": b"\xff"}, "`segments` is not valid UTF-8"),
        ({"users": users("a"), "mode": "reset"}, "`mode` is one of add, remove, replace"),
        ({"users": users("a"), "days": "0"}, "`days` is a number from 1 to 730"),
        ({"users": users("a"), "days": "9" * 5_000}, "`days` is a number from 1 to 730"),
        # Begins like a number of days, and ends far from one.
        ({"users": users("a"), "days": "000000030" + "9" * 30}, "`days` is a number from 1 to 730"),
    ],
)
async def test_an_entry_that_cannot_be_read_is_refused_and_the_next_one_holds(
    oak: Audiences, fields: dict[str, Any], reason: str
) -> None:
    bad = await put(oak.client, **fields)
    await put(oak.client, users=users("ann"), segments="oak-1")
    drained = await InboxReader(oak.client).drain("oak", TODAY, NOW_S)
    assert (drained.entries, drained.cookies, drained.refused) == (2, 1, 1)
    assert await faults(oak.client) == [(bad, 0, reason)]
    assert await oak.members("ann") == {"oak-1"}


async def test_what_a_dead_reader_took_is_applied_in_its_old_place(oak: Audiences) -> None:
    await put(oak.client, users=users("ann"), segments="oak-1|oak-2")
    await oak.client.xgroup_create(OAK, GROUP, id="0")
    # Taken, and neither applied nor acknowledged.
    await oak.client.xreadgroup(GROUP, "keeper", {OAK: ">"}, count=1)
    await put(oak.client, users=users("ann"), segments="oak-1", mode="remove")
    drained = await InboxReader(oak.client).drain("oak", TODAY, NOW_S)
    assert drained.entries == 2
    assert await oak.members("ann") == {"oak-2"}


async def test_a_stream_that_grows_too_long_loses_its_oldest_and_says_so(
    oak: Audiences, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "INBOX_ENTRIES_MAX", 3)
    for number in range(5):
        await put(oak.client, users=users(f"c{number}"), segments="oak-1")
    await InboxReader(oak.client).drain("oak", TODAY, NOW_S)
    assert await faults(oak.client) == [("", 0, "2 entries were dropped: more than 3 were waiting")]
    assert [await oak.members(f"c{number}") for number in range(5)] == [None, None, *[{"oak-1"}] * 3]


async def test_of_very_many_refusals_only_those_are_written_that_are_kept(
    oak: Audiences, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "INBOX_FAULTS_MAX", 3)
    before = await oak.client.info("commandstats")
    entry = await put(oak.client, users=users(*map(str, range(900))), segments="\n".join(["not-oaks"] * 900))
    drained = await InboxReader(oak.client).drain("oak", TODAY, NOW_S)
    after = await oak.client.info("commandstats")
    assert drained.refused == 900
    assert [line for at, line, _ in await faults(oak.client) if at == entry] == [898, 899, 900]
    assert after["cmdstat_xadd"]["calls"] - before["cmdstat_xadd"]["calls"] == 1 + 3


@pytest_asyncio.fixture
async def oaks_client(oak: Audiences, redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client that is let in as oak's loader, and is nobody else."""
    password = "a secret of oak's"
    head, selector = inbox_acl("oak", password).split(" (")
    await oak.client.execute_command(*head.split(" "), "(" + selector)  # type: ignore[no-untyped-call]
    pool = redis.asyncio.ConnectionPool.from_url(redis_url)
    where = {key: pool.connection_kwargs[key] for key in ("host", "port", "db")}
    client = redis.asyncio.Redis(**where, username=inbox_user("oak"), password=password)
    yield client
    await client.aclose()
    await oak.client.acl_deluser(inbox_user("oak"))


async def test_a_loader_sends_through_its_own_redis_user(
    oak: Audiences, oaks_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    path = tmp_path / "people.csv"
    rows = "".join(f"c{number},oak-{number % 2 + 1}\n" for number in range(INBOX_ENTRY_USERS_MAX + 500))
    path.write_text(f"id,segments\n{rows}bad,not\nelms,elm-1\n")
    options = LoadOptions(mode="add", owner="oak", ttl_days=3)
    sink = InboxSink(oaks_client, "oak", options)
    reader = InboxReader(oak.client)
    task = asyncio.create_task(load(path, sink, IDENTITY, options, lambda rows, bytes_done: None))
    while not task.done():
        await reader.drain("oak", TODAY, NOW_S)
        await asyncio.wait([task], timeout=0.05)
    report = await task
    assert (report.cookies, report.rejected, sink.refused) == (INBOX_ENTRY_USERS_MAX + 501, 1, 1)
    assert rejects(path)[0][0] == INBOX_ENTRY_USERS_MAX + 502
    assert await oak.members("c0") == {"oak-1"}
    assert await oak.members("c1001", today=TODAY + 3) == {"oak-2"}
    assert await oak.members("elms") is None
    seen: Any = await oaks_client.xrange(redis_keys.inbox_faults("oak"))
    assert seen[0][1][b"reason"] == b"segment elm-1 is not one of oak's"


async def test_that_user_may_do_nothing_else(oak: Audiences, oaks_client: redis.asyncio.Redis) -> None:
    await oak.client.hset("s:00001", "field", "value")
    await oak.client.xadd(redis_keys.inbox("elm"), {"users": users("ann")})
    elm = redis_keys.inbox("elm").decode()
    assert await oaks_client.ping()
    for command in (
        ("HGET", "s:00001", "field"),
        ("HSET", "s:00001", "field", "other"),
        ("HDEL", "s:00001", "field"),
        ("DEL", "s:00001"),
        ("SCAN", "0"),
        ("KEYS", "*"),
        ("XADD", elm, "*", "users", "x"),
        ("XRANGE", elm, "-", "+"),
        ("XRANGE", OAK, "-", "+"),
        ("XADD", redis_keys.inbox_faults("oak").decode(), "*", "reason", "x"),
        ("XREADGROUP", "GROUP", GROUP, "keeper", "STREAMS", OAK, ">"),
        ("HGETALL", redis_keys.SEGMENT_INDICES.decode()),
        ("EVAL", "return redis.call('HGETALL', KEYS[1])", "1", OAK),
        ("CONFIG", "GET", "*"),
        ("ACL", "WHOAMI"),
        ("FLUSHALL",),
        ("SUBSCRIBE", "hustings:bundle:changed"),
    ):
        with pytest.raises(NoPermissionError):
            await oaks_client.execute_command(*command)  # type: ignore[no-untyped-call]


async def test_a_loader_that_nobody_serves_says_so(
    oak: Audiences, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(inbox, "INBOX_WAIT_SECONDS_MAX", 0.1)
    path = tmp_path / "people.csv"
    path.write_text("id,segments\nann,oak-1\n")
    options = LoadOptions(mode="add", owner="oak")
    sink = InboxSink(oak.client, "oak", options)
    with pytest.raises(LoadError, match="nobody has emptied the inbox"):
        await load(path, sink, IDENTITY, options, lambda rows, bytes_done: None)
