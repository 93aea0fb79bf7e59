"""The ways to a server that a look-up can be given, and what is said of one that leads to none."""

import asyncio
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
import redis.asyncio

from config.embedded_server import EmbeddedServer
from segments.location import caps_key
from segments.lookup import UserLookup
from tests.segments.doors import socket_file_door, tls_door
from tests.segments.lookups import PATIENT_MS, USERS, ask, fill, flat


async def test_a_socket_file_leads_to_the_server(redis_url: str, redis_client: redis.asyncio.Redis) -> None:
    expected = await fill(redis_client)
    # A short path: the system allows a socket's name about a hundred characters.
    with tempfile.TemporaryDirectory() as folder:
        async with socket_file_door(redis_url, Path(folder)) as url:
            lookup = await UserLookup.connect(url, PATIENT_MS)
            assert await ask(lookup, USERS) == flat(USERS, expected)
            await lookup.close()


async def test_tls_leads_to_the_server_when_its_certificate_is_trusted(
    redis_url: str, redis_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    expected = await fill(redis_client)
    async with tls_door(redis_url, tmp_path) as (url, certificate):
        lookup = await UserLookup.connect(f"{url}?ssl_ca_certs={certificate}", PATIENT_MS)
        assert await ask(lookup, USERS) == flat(USERS, expected)
        await lookup.close()
        with pytest.raises(redis.ConnectionError, match=r"can't reach Redis at localhost:\d+: .*certificate"):
            await UserLookup.connect(url, PATIENT_MS)


async def test_another_database_is_another_store(own_server: EmbeddedServer) -> None:
    async with redis.asyncio.Redis.from_url(own_server.url) as client:
        await client.set(caps_key(5), b"in database 0")
    lookups = [await UserLookup.connect(own_server.url[:-1] + db, PATIENT_MS) for db in "03"]
    found = [await ask(lookup, [5]) for lookup in lookups]
    assert found == [([None, b"in database 0"], []), ([None, None], [])]
    for lookup in lookups:
        await lookup.close()


async def test_a_refused_password_is_said_and_not_shown(own_server: EmbeddedServer) -> None:
    port = urlsplit(own_server.url).port
    for url in (f"redis://:wrong-secret@127.0.0.1:{port}/0", f"redis://127.0.0.1:{port}/0"):
        with pytest.raises(redis.AuthenticationError, match="refuses the user or password") as raised:
            await UserLookup.connect(url, PATIENT_MS)
        assert "wrong-secret" not in str(raised.value)


async def test_a_user_of_an_access_list_enters(own_server: EmbeddedServer) -> None:
    async with redis.asyncio.Redis.from_url(own_server.url) as client:
        await client.acl_setuser(
            "bidder", enabled=True, passwords=["+pass"], keys=["*"], commands=["+hget", "+get", "+ping"]
        )
    port = urlsplit(own_server.url).port
    lookup = await UserLookup.connect(f"redis://bidder:pass@127.0.0.1:{port}", PATIENT_MS)
    assert await ask(lookup, [5]) == ([None, None], [])
    await lookup.close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1/", "the Redis URL can't be used"),
        ("redis://127.0.0.1:1/0", "can't reach Redis at 127.0.0.1:1: "),
        ("unix:///nowhere/redis.sock", "can't reach Redis at /nowhere/redis.sock: No such file"),
    ],
)
async def test_an_address_without_a_server_is_one_sentence(url: str, sentence: str) -> None:
    with pytest.raises(redis.ConnectionError, match=sentence):
        await UserLookup.connect(url, PATIENT_MS)


@pytest.mark.parametrize(
    ("says", "sentence"),
    [(b"", "it closed the connection"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "Protocol error")],
)
async def test_what_is_no_redis_is_not_used(says: bytes, sentence: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(says)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(redis.ConnectionError, match=f"can't be used: {sentence}"):
            await UserLookup.connect(f"redis://127.0.0.1:{port}", PATIENT_MS)
