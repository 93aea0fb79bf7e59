"""The doctor at a Cluster: every primary is asked, and told apart."""

import redis.asyncio

from bidder.doctor.redis_server import ask, redis_findings
from tests.segments.cluster import Cluster


async def test_every_primary_of_a_cluster_is_looked_at(
    cluster: Cluster, cluster_client: redis.asyncio.Redis
) -> None:
    found = await ask(cluster_client)
    assert len({server.name for server in found}) == len(found) == 3
    for server in found:
        assert server.settings is not None
        levels = {finding.check: finding.level for finding in redis_findings(server)}
        assert levels[f"{server.name}: version"] == "ok"
        assert levels[f"{server.name}: compact hashes"] == "ok"
        assert levels[f"{server.name}: clock"] != "unknown"
