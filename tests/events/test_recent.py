"""What an events process remembers for a server that loses its newest writes."""

from pathlib import Path

from bidder.events.recent import Recent
from bidder.redis_client import redis_client, server_life
from config.limits import RECENT_SECONDS
from tests.segments.cluster import Cluster


def test_the_last_seconds_are_brought_to_another_server_only() -> None:
    recent: Recent[str] = Recent(10)
    recent.add("a", 100.0)
    assert recent.forgotten("one") == []
    recent.confirm("one", 100.5, 100.5)
    recent.add("b", 101.0)
    assert recent.forgotten("one") == []
    assert recent.forgotten("two") == ["a", "b"]
    # Until it is known to have them.
    assert recent.forgotten("two") == ["a", "b"]
    recent.confirm("two", 102.0, 102.0)
    assert recent.forgotten("two") == []


def test_what_is_long_on_the_disk_is_dropped_but_nothing_while_the_server_is_away() -> None:
    recent: Recent[str] = Recent(10)
    recent.add("old", 100.0)
    recent.add("new", 100.0 + RECENT_SECONDS)
    recent.confirm("one", 100.5 + RECENT_SECONDS, 100.5 + RECENT_SECONDS)
    assert recent.forgotten("two") == ["new"]
    # However long it takes until another answers.
    recent.confirm("two", 10_000.0, 10_000.0)
    assert recent.forgotten("three") == ["new"], "the next server may fail at once"


def test_what_took_long_to_bring_is_remembered_from_its_end() -> None:
    recent: Recent[str] = Recent(10)
    recent.confirm("one", 100.0, 100.0)
    recent.add("a", 100.0)
    assert recent.forgotten("two") == ["a"]
    recent.confirm("two", 101.0, 110.0)
    recent.confirm("two", 110.5, 110.5)
    assert recent.forgotten("three") == ["a"], "the second server had it for half a second"


def test_the_memory_is_bounded() -> None:
    recent: Recent[int] = Recent(3)
    recent.confirm("one", 100.0, 100.0)
    for number in range(10):
        recent.add(number, 100.0)
    assert recent.forgotten("two") == [7, 8, 9]


async def test_a_cluster_has_the_lives_of_all_its_primaries(tmp_path: Path) -> None:
    with Cluster.start(tmp_path, primaries=2) as cluster:
        client = redis_client(cluster.url)
        before = await server_life(client)
        assert len(before) == 2
        assert await server_life(client) == before
        cluster.nodes[1].kill()
        cluster.nodes[1].revive()
        after = await server_life(client)
        await client.aclose()
    assert len(before & after) == 1
