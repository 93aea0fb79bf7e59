"""Advertisers' inboxes: what is applied, what is refused, and what is dropped."""

from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from config.limits import INBOX_ENTRY_BYTES_MAX
from segments import inbox
from segments.inbox import GROUP, InboxReader
from tests.segments.inboxes import OAK, faults, put, users
from tests.segments.loading import TODAY, Audiences

NOW_S = TODAY * 86_400 + 40


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
        (
            {"users": users("a"), "segments": "oak-1", "junk": b"x" * INBOX_ENTRY_BYTES_MAX},
            "an entry may have 1,048,576 bytes, and this has 1,048,589",
        ),
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
    reader = InboxReader(oak.client)
    assert (await reader.drain("oak", TODAY, NOW_S)).entries == 1
    assert await oak.members("ann") == {"oak-1", "oak-2"}
    assert (await reader.drain("oak", TODAY, NOW_S)).entries == 1
    assert await oak.members("ann") == {"oak-2"}


async def test_a_stream_that_grows_too_long_loses_its_oldest_and_says_so(
    oak: Audiences, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "INBOX_ENTRIES_MAX", 3)
    for number in range(5):
        await put(oak.client, users=users(f"c{number}"), segments="oak-1")
    await InboxReader(oak.client).drain("oak", TODAY, NOW_S)
    assert await faults(oak.client) == [
        ("", 0, "2 entries were dropped: the inbox may take 33,554,432 bytes and 3 entries")
    ]
    assert [await oak.members(f"c{number}") for number in range(5)] == [None, None, *[{"oak-1"}] * 3]


async def test_an_inbox_that_takes_too_much_memory_loses_its_oldest_and_says_so(
    oak: Audiences, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "INBOX_BYTES_MAX", 100_000)
    reader = InboxReader(oak.client)
    for number in range(8):
        await put(oak.client, users=users(f"c{number}"), segments="oak-1", junk=b"x" * 20_000)
    bounded = await reader.bound("oak")
    assert (bounded.entries, bounded.dropped) == (4, 4)
    assert await reader.bound("oak") == inbox.Bounded(4, 0)
    assert await faults(oak.client) == [
        ("", 0, "4 entries were dropped: the inbox may take 100,000 bytes and 100,000 entries")
    ]
    drained = await reader.drain("oak", TODAY, NOW_S)
    assert (drained.entries, drained.dropped) == (4, 0)
    assert [await oak.members(f"c{number}") for number in (3, 4, 7)] == [None, {"oak-1"}, {"oak-1"}]
    # One entry alone may be too large.
    await put(oak.client, users=users("c9"), segments="oak-1", junk=b"x" * 200_000)
    assert (await reader.drain("oak", TODAY, NOW_S)).dropped == 1
    assert await oak.client.xlen(OAK) == 0
    assert await oak.members("c9") is None


async def test_a_turn_takes_no_more_than_its_entries(oak: Audiences, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "INBOX_TURN_ENTRIES_MAX", 2)
    reader = InboxReader(oak.client)
    for number in range(3):
        await put(oak.client, users=users(f"c{number}"), segments="oak-1")
    assert (await reader.drain("oak", TODAY, NOW_S)).entries == 2
    assert await reader.waiting(["oak"]) == ["oak"]
    assert (await reader.drain("oak", TODAY, NOW_S)).entries == 1
    assert await reader.waiting(["oak"]) == []


async def test_a_reader_that_dies_after_applying_leaves_nothing_that_waits_for_ever(
    oak: Audiences, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(oak.client, users=users("ann"), segments="oak-1")
    dying = InboxReader(oak.client)
    done = oak.client.execute_command
    removals = []

    async def die_after_the_first(*command: Any, **options: Any) -> Any:
        if command[0] in ("XACK", "XDEL"):
            removals.append(command[0])
            if len(removals) > 1:
                raise redis.asyncio.ConnectionError("died")
        return await done(*command, **options)  # type: ignore[no-untyped-call]

    with monkeypatch.context() as patched:
        patched.setattr(oak.client, "execute_command", die_after_the_first)
        with pytest.raises(redis.asyncio.ConnectionError):
            await dying.drain("oak", TODAY, NOW_S)
    await put(oak.client, users=users("bob"), segments="oak-1")
    reader = InboxReader(oak.client)
    assert [(await reader.drain("oak", TODAY, NOW_S)).refused for _ in range(2)] == [0, 0]
    assert await reader.waiting(["oak"]) == []
    assert await oak.members("bob") == {"oak-1"}
    assert await faults(oak.client) == []


async def test_what_was_taken_and_then_dropped_is_no_fault_of_its_own(oak: Audiences) -> None:
    await put(oak.client, users=users("ann"), segments="oak-1")
    await oak.client.xgroup_create(OAK, GROUP, id="0")
    await oak.client.xreadgroup(GROUP, "keeper", {OAK: ">"}, count=1)
    await oak.client.xtrim(OAK, maxlen=0, approximate=False)
    assert await InboxReader(oak.client).drain("oak", TODAY, NOW_S) == inbox.Drained()
    assert await faults(oak.client) == []


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
