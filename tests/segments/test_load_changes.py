"""What a load may change: modes, owners, rules, and dry runs that foretell it."""

import asyncio
from pathlib import Path

import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.schema import Segment, SegmentRule
from segments.bit_days import UserBits
from segments.identity import COOKIE
from segments.loader import LoadOptions, Mode
from segments.registry import Load
from segments.store_sink import DryRunSink
from tests.segments.loading import (
    IDENTITY,
    TODAY,
    Audiences,
    rejects,
    write_csv,
)


async def test_add_and_remove_leave_the_other_segments(audiences: Audiences, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    await audiences.registry.define(dict.fromkeys(("a", "b", "c"), ""))
    path.write_text("id,segments\nann,a|b\nbob,a\n")
    await audiences.load(path, ttl_days=5)
    path.write_text("id,segments\nann,c|-a\nnew,b\n")
    await audiences.load(path, mode="add", ttl_days=9)
    assert await audiences.members("ann") == {"b", "c"}
    assert await audiences.members("ann", today=TODAY + 9) == {"b", "c"}
    assert await audiences.members("bob", today=TODAY + 6) is None
    assert await audiences.members("new") == {"b"}
    path.write_text("id,segments\nann,b\nbob,b\nstranger,a\n")
    await audiences.load(path, mode="remove")
    assert await audiences.members("ann") == {"c"}
    assert await audiences.members("bob") == {"a"}
    assert await audiences.members("stranger") is None


async def test_an_advertiser_touches_its_own_segments_alone(audiences: Audiences, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    await audiences.registry.define({"oak-1": "", "oak-2": ""}, owner="oak")
    await audiences.registry.define({"elm-1": ""}, owner="elm")
    await audiences.registry.define({"shared": ""})
    path.write_text("id,segments\nann,oak-1|elm-1|shared\n")
    await audiences.load(path)
    path.write_text("id,segments\nann,oak-2\nbob,elm-1\ncid,shared\ndee,nowhere\n")
    await audiences.load(path, owner="oak")
    assert await audiences.members("ann") == {"oak-2", "elm-1", "shared"}
    assert rejects(path) == [
        (3, "segment elm-1 is not one of oak's"),
        (4, "segment shared is not one of oak's"),
        (5, rejects(path)[2][1]),
    ]
    assert "elm" not in rejects(path)[2][1]
    path.write_text("id,segments\nann,oak-new\n")
    await audiences.load(path, owner="oak", define=True)
    assert await audiences.members("ann") == {"oak-new", "elm-1", "shared"}
    (fresh,) = [d for d in await audiences.registry.describe() if d.name == "oak-new"]
    assert fresh.owner == "oak"


async def test_no_file_touches_a_segment_that_events_fill(audiences: Audiences, tmp_path: Path) -> None:
    await audiences.registry.declare(
        [Segment(name="clicked", rule=SegmentRule(event="click", days=7)), Segment(name="a")]
    )
    bit = (await audiences.registry.indices())["clicked"]
    await UserBits(audiences.client).touch(IDENTITY.hash(COOKIE, "ann"), {bit: TODAY + 7}, TODAY)
    path = tmp_path / "people.csv"
    path.write_text("id,segments\nann,a\nbob,clicked\n")
    await audiences.load(path, ttl_days=2)
    assert await audiences.members("ann") == {"clicked", "a"}
    assert rejects(path) == [(3, "segment clicked is filled by events, and by no file")]


async def test_what_was_loaded_is_remembered(audiences: Audiences, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    await audiences.registry.define({"a": "", "b": ""})
    path.write_text("id,segments\nann,a\n")
    await audiences.load(path)
    loads = {definition.name: definition.load for definition in await audiences.registry.describe()}
    assert loads == {"a": Load(TODAY * 86_400, "people.csv"), "b": None}
    assert await audiences.registry.loads() == 1


async def test_rows_of_one_cookie_are_counted(audiences: Audiences, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,segments\nann,a\nbob,a\nann,b\nann,a|b\n")
    report = await audiences.load(path, define=True)
    assert (report.cookies, report.repeated) == (4, 2)
    assert await audiences.members("ann") == {"a", "b"}


# Dry runs.


async def test_a_dry_run_tells_what_would_change_and_changes_nothing(
    audiences: Audiences, tmp_path: Path
) -> None:
    path = tmp_path / "people.csv"
    await audiences.registry.define({"a": "", "b": ""})
    path.write_text("id,segments\nann,a\nbob,a|b\ncid,b\n")
    await audiences.load(path)
    path.write_text("id,segments\nann,b\nbob,a|b\ndee,a|fresh\neve,not\nann,b|a\n")
    options = LoadOptions(define=True)
    sink = DryRunSink(audiences.client, options, TODAY)
    report = await audiences.load(path, sink=sink, define=True)
    assert (report.cookies, report.rejected, report.repeated) == (4, 1, 1)
    assert (sink.new, sink.changed, sink.unchanged) == (1, 1, 1)
    assert list(sink.would_define) == ["fresh"]
    assert sink.by_segment() == {"a": (1, 0), "b": (1, 0), "fresh": (1, 0)}
    assert await audiences.members("ann") == {"a"}
    assert set(await audiences.registry.indices()) == {"a", "b"}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_dry_run_foretells_the_load(redis_url: str, tmp_path: Path, data: st.DataObject) -> None:
    names = st.sets(st.sampled_from(["a", "b", "c"]))
    before = data.draw(st.dictionaries(st.sampled_from("vwxyz"), names, max_size=5))
    rows = data.draw(st.lists(st.tuples(st.sampled_from("vwxyz"), names), min_size=1, max_size=6))
    mode: Mode = data.draw(st.sampled_from(["replace", "add", "remove"]))

    async def compare() -> None:
        async with redis.asyncio.Redis.from_url(redis_url) as client:
            await client.flushdb()
            audiences = Audiences(client)
            await audiences.registry.define(dict.fromkeys("abc", ""))
            path = tmp_path / "people.csv"
            if before:
                write_csv(path, before)
                await audiences.load(path)
            path.write_text("id,segments\n" + "".join(f"{u},{'|'.join(m)}\n" for u, m in rows))
            options = LoadOptions(mode=mode)
            sink = DryRunSink(client, options, TODAY)
            # Of two rows for one cookie the last counts in all modes alike here: a model of one row each.
            last = dict(rows)
            path.write_text("id,segments\n" + "".join(f"{u},{'|'.join(m)}\n" for u, m in last.items()))
            await audiences.load(path, sink=sink)
            await audiences.load(path, mode=mode)
            expected = dict(before)
            for user, members in last.items():
                old = before.get(user, set())
                new = {"replace": members, "add": old | members, "remove": old - members}[mode]
                if user in before or mode != "remove":
                    expected[user] = new
            after = {user: await audiences.members(user) for user in "vwxyz"}
            assert {user: members for user, members in after.items() if members is not None} == expected
            assert sink.new == len(expected.keys() - before.keys())
            assert sink.changed == sum(before[u] != expected[u] for u in before.keys() & last.keys())
            changes = sink.by_segment()
            for name in "abc":
                was = {u for u, members in before.items() if name in members}
                now = {u for u, members in expected.items() if name in members}
                assert changes.get(name, (0, 0)) == (len(now - was), len(was - now))

    asyncio.run(compare())
