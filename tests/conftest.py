"""Fixtures that start real servers.

`redis_url` is a running Redis-protocol server: the embedded Valkey, one for the whole run, or the
server or Cluster given by `pytest --redis redis://...`, which must be empty because each test empties it.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis
import redis.asyncio
from hypothesis import settings

from bidder.redis_client import redis_client as client_of
from config.embedded_server import EmbeddedServer
from config.redis_address import RedisAddress

# The first example of a test may compile a kernel, and the machine may be busy: no test is timed.
settings.register_profile("hustings", deadline=None, print_blob=True)
settings.load_profile("hustings")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--redis", help="run against this empty Redis database instead of the embedded Valkey")


@pytest.fixture(scope="session")
def redis_server_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    given = request.config.getoption("--redis")
    if given:
        with _client(given) as client:
            if client.dbsize():
                pytest.exit(f"--redis {given}: the tests empty this database, and it is not empty")
        yield given
        return
    data_dir: Path = tmp_path_factory.mktemp("valkey")
    with EmbeddedServer.start(data_dir, durable=False) as server:
        yield server.url


@pytest.fixture
def redis_url(redis_server_url: str) -> Iterator[str]:
    """The URL of a server whose database is empty now."""
    _empty(redis_server_url)
    yield redis_server_url
    _empty(redis_server_url)


def _empty(url: str) -> None:
    with _client(url) as client:
        # A test that failed in a pause must not take the next ones with it.
        client.client_unpause()
        client.flushdb()


def _client(url: str) -> redis.Redis | redis.RedisCluster:
    address = RedisAddress.read(url)
    return (redis.RedisCluster if address.is_cluster else redis.Redis).from_url(address.urls[0])


@pytest_asyncio.fixture
async def redis_client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    client = client_of(redis_url)
    yield client
    await client.aclose()
