"""What the dashboard says of audiences and of Redis, from what is known of them."""

import redis.asyncio

from bidder.admin import redis_state
from bidder.admin.freshness import SHOWN_MAX, AudienceAge, freshness, names_in_use
from bidder.admin.redis_state import summary
from config.calendar import SECONDS_PER_DAY
from segments.counts_history import SegmentCounts
from segments.registry import Definition, Load
from tests.factories import advertiser, bundle, campaign, line_item

NOW_S = 20_000.0 * SECONDS_PER_DAY


def loaded(name: str, index: int, days_ago: float, **fields: object) -> Definition:
    load = Load(int(NOW_S - days_ago * SECONDS_PER_DAY), f"{name}.csv")
    return Definition(name=name, index=index, load=load, **fields)  # type: ignore[arg-type] # of any field


def test_segments_are_told_by_age_and_the_stalest_come_first() -> None:
    definitions = [
        loaded("fresh", 0, 0.5),
        loaded("week", 1, 3),
        loaded("old", 2, 30),
        Definition(name="never", index=3),
        Definition(name="ruled", index=4, ruled=True),
        loaded("unused", 5, 900),
        loaded("renamed", 6, 2, former_names=("before",)),
    ]
    used = {"fresh", "week", "old", "never", "ruled", "undefined", "before"}
    found = freshness(used, definitions, SegmentCounts(5, 100, {"old": 7}), NOW_S)
    assert (found.in_use, found.by_events, found.counted_s) == (7, 1, 5)
    assert (found.within_a_day, found.within_a_week, found.older, found.never) == (1, 2, 1, 2)
    assert [age.name for age in found.stalest] == ["never", "undefined", "old", "week", "before", "fresh"]
    assert found.stalest[2] == AudienceAge("old", int(NOW_S) - 30 * SECONDS_PER_DAY, "old.csv", 7)
    many = freshness({f"s{n}" for n in range(50)}, [], None, NOW_S)
    assert (many.never, len(many.stalest), many.counted_s) == (50, SHOWN_MAX, None)


def test_segments_in_use_are_those_that_line_items_name() -> None:
    items = [
        line_item("a", audience="x and not y"),
        line_item("b"),
        line_item("c", audience={"any": ["x", "z"]}),
    ]
    assert names_in_use(bundle(advertiser("shop", [campaign(line_items=items)]))) == {"x", "y", "z"}


async def test_a_server_is_described(redis_client: redis.asyncio.Redis) -> None:
    state = await redis_state.ask(redis_client)
    assert (state.nodes, state.evicts) == (1, False)
    assert state.version.split()[0] in ("valkey", "redis")
    assert state.memory_bytes > 0
    assert state.round_trip_ms >= 0


def test_nodes_are_added_up_and_the_worst_of_them_counts() -> None:
    sound = {
        "redis_version": "7.0.15",
        "used_memory": 5,
        "maxmemory": 10,
        "connected_clients": 2,
        "instantaneous_ops_per_sec": 100,
        "aof_enabled": 1,
        "aof_last_write_status": "ok",
        "maxmemory_policy": "noeviction",
    }
    both = summary([sound, sound], 0.0015)
    assert (both.nodes, both.version, both.round_trip_ms) == (2, "redis 7.0.15", 1.5)
    assert (both.memory_bytes, both.memory_max_bytes, both.clients, both.commands_per_s) == (10, 20, 4, 200)
    assert (both.writes_saved, both.evicts) == (True, False)
    for trouble in ({"aof_enabled": 0}, {"aof_last_write_status": "err"}):
        assert not summary([sound, sound | trouble], 0.0).writes_saved
    assert summary([sound, sound | {"maxmemory_policy": "allkeys-lru"}], 0.0).evicts
    valkey = sound | {"server_name": "valkey", "valkey_version": "8.1.3"}
    assert summary([valkey], 0.0).version == "valkey 8.1.3"
