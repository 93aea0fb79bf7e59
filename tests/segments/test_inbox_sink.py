"""An advertiser's loader without access to the store: what it sends, how it waits, what its user may do."""

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
from segments import inbox, inbox_sink
from segments.inbox import GROUP, InboxReader, inbox_acl, inbox_user
from segments.inbox_sink import InboxSink
from segments.loader import LoadOptions, load
from segments.segment_file import LoadError
from tests.segments.inboxes import OAK, faults, users
from tests.segments.loading import IDENTITY, TODAY, Audiences, rejects

NOW_S = TODAY * 86_400 + 40


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


async def test_a_loader_divides_long_lines_and_waits_before_its_inbox_overflows(
    oak: Audiences, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(inbox_sink, "INBOX_ENTRY_BYTES_MAX", 2_000)
    for module in (inbox, inbox_sink):
        monkeypatch.setattr(module, "INBOX_BYTES_MAX", 40_000)
    path = tmp_path / "people.csv"
    rows = "".join(f"c{number},{'oak-1|' * 20}oak-2\n" for number in range(900))
    path.write_text(f"id,segments\n{rows}")
    options = LoadOptions(mode="add", owner="oak")
    sink, reader = InboxSink(oak.client, "oak", options), InboxReader(oak.client)
    task = asyncio.create_task(load(path, sink, IDENTITY, options, lambda rows, bytes_done: None))
    while not task.done():
        await reader.drain("oak", TODAY, NOW_S)
        await asyncio.wait([task], timeout=0.01)
    assert ((await task).cookies, sink.refused) == (900, 0)
    assert await faults(oak.client) == []
    assert await oak.members("c899") == {"oak-1", "oak-2"}


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
    monkeypatch.setattr(inbox_sink, "INBOX_WAIT_SECONDS_MAX", 0.1)
    path = tmp_path / "people.csv"
    path.write_text("id,segments\nann,oak-1\n")
    options = LoadOptions(mode="add", owner="oak")
    sink = InboxSink(oak.client, "oak", options)
    with pytest.raises(LoadError, match="nobody has emptied the inbox"):
        await load(path, sink, IDENTITY, options, lambda rows, bytes_done: None)
