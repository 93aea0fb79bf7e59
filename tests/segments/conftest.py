"""Fixtures of the tests of audiences."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio

from bidder.redis_client import redis_client as client_of
from config.embedded_server import EmbeddedServer
from tests.segments.cluster import Cluster
from tests.segments.loading import Audiences


@pytest.fixture
def audiences(redis_client: redis.asyncio.Redis) -> Audiences:
    return Audiences(redis_client)


@pytest_asyncio.fixture
async def oak(audiences: Audiences) -> Audiences:
    """Oak's segments, elm's and everybody's."""
    await audiences.registry.define({"oak-1": "", "oak-2": ""}, owner="oak")
    await audiences.registry.define({"elm-1": ""}, owner="elm")
    await audiences.registry.define({"shared": ""})
    return audiences


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that a test may lock and stop."""
    with EmbeddedServer.start(tmp_path / "own", durable=False) as server:
        yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Cluster of a module's own."""
    with Cluster.start(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest_asyncio.fixture
async def cluster_client(cluster: Cluster) -> AsyncIterator[redis.asyncio.Redis]:
    """The whole Cluster, emptied afterwards."""
    await asyncio.to_thread(cluster.until_whole)
    async with client_of(cluster.url) as client:
        yield client
        for node in range(len(cluster.nodes)):
            await asyncio.to_thread(cluster.call, node, "FLUSHALL")
