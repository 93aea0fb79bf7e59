"""A folder that a running engine watches: edits go live while requests flow, faulty ones change nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import redis.asyncio

from bidder.cli.live_config import follow_folder, publish_config
from config import bundle_store, refused_edit
from config.limits import REFUSED_EDIT_SECONDS_MAX
from config.load import load_folder
from tests.config.folder import TEXTS, write_folder
from tests.events.processes import bundle_key, settings
from tests.factories import bid_request
from tests.running import RunningWorker, running_worker
from tests.waiting import SECONDS_MAX

NOW_S = 1_800_000_000
SIMPLE = """\
id: oak
domain: oak.example
categories: [IAB13]
campaigns:
  - id: spring
    budget: {total: "$1,000,000"}
    pacing: asap
    line_items:
      - id: spring-web
        bid_cpm: 4.50
        creatives: [oak-box]
creatives:
  - id: oak-box
    format: banner
    w: 300
    h: 250
    image_url: https://cdn.oak.example/box.png
    landing_url: https://oak.example/
"""
"""Nobody in particular is meant, so that its line item waits for nothing before it bids."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "campaigns", {"advertisers/oak.yaml": SIMPLE})


def save(folder: Path, bid_cpm: str) -> None:
    """Save the advertiser's file with another price, in place, as an editor may."""
    (folder / "advertisers" / "oak.yaml").write_text(SIMPLE.replace("bid_cpm: 4.50", f"bid_cpm: {bid_cpm}"))


@contextlib.asynccontextmanager
async def watched(worker: RunningWorker, folder: Path) -> AsyncIterator[None]:
    await publish_config(worker.redis, folder, worker.settings)
    following = asyncio.create_task(follow_folder(folder, worker.settings))
    try:
        yield
    finally:
        following.cancel()
        await asyncio.wait([following])


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not await holds():  # noqa: ASYNC110 - what is waited for announces itself to nobody
            await asyncio.sleep(0.02)


async def test_edits_go_live_while_requests_flow_and_a_faulty_one_changes_nothing(
    redis_url: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_worker(redis_url, load_folder(folder), tmp_path) as worker, watched(worker, folder):
        prices: list[float] = []

        async def ask_forever() -> None:
            while True:
                # A status that is neither 200 nor 204 raises, and so does a connection that is cut.
                prices.extend(bid["price"] for bid in await worker.bids(bid_request()))
                await asyncio.sleep(0.05)

        async def is_bidding(price: float) -> bool:
            return prices[-1:] == [price]

        async def refused() -> tuple[refused_edit.RefusedEdit, ...]:
            return await refused_edit.current(worker.redis, 0)

        async with asyncio.timeout(SECONDS_MAX):
            asking = [asyncio.create_task(ask_forever()) for _ in range(4)]
            await until(lambda: is_bidding(4.5))
            save(folder, "3.25")
            await until(lambda: is_bidding(3.25))

            save(folder, "lots")
            await until(lambda: _true_of(refused))
            (edit,) = await refused()
            assert edit.folder == str(folder)
            assert "oak.yaml:10:18: `bid_cpm`: 'lots' is not" in edit.faults[0]
            said = capsys.readouterr().err
            assert "oak.yaml:10:18: `bid_cpm`: 'lots' is not" in said
            assert "what was live stays live" in said
            assert prices[-1] == 3.25

            save(folder, "2.75")
            await until(lambda: is_bidding(2.75))
            await until(lambda: _none_of(refused))
            for task in asking:
                # None of its requests was lost.
                assert not task.done()
                task.cancel()
        assert set(prices) == {4.5, 3.25, 2.75}


async def _true_of(ask: Callable[[], Awaitable[tuple[object, ...]]]) -> bool:
    return bool(await ask())


async def _none_of(ask: Callable[[], Awaitable[tuple[object, ...]]]) -> bool:
    return not await ask()


async def test_a_rollback_is_not_undone_by_a_folder_that_nobody_edits(
    redis_client: redis.asyncio.Redis, redis_url: str, folder: Path, tmp_path: Path
) -> None:
    given = settings(redis_url, tmp_path)
    first = load_folder(folder)
    await publish_config(redis_client, folder, given)
    save(folder, "5")
    await publish_config(redis_client, folder, given)
    following = asyncio.create_task(follow_folder(folder, given))

    async def live(price: int) -> bool:
        bundle = await bundle_store.fetch(redis_client)
        assert bundle is not None
        return bundle.advertisers[0].campaigns[0].line_items[0].bid_cpm == price * 1_000_000

    save(folder, "6")
    await until(lambda: live(6))
    await bundle_store.publish(redis_client, first, bundle_key(given), note="rollback")
    # Saved as it was: no edit. The next one is.
    save(folder, "6")
    (folder / "notes.txt").write_text("also looked at")
    await until(lambda: live(6))
    following.cancel()
    await asyncio.wait([following])


async def test_what_an_edit_changed_and_what_it_hardly_meant_is_said_once(
    redis_client: redis.asyncio.Redis,
    redis_url: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = settings(redis_url, tmp_path)
    (folder / "advertisers" / "elm.yaml").write_text(SIMPLE.replace("oak", "elm").replace("spring", "elms"))
    await publish_config(redis_client, folder, given)
    following = asyncio.create_task(follow_folder(folder, given))
    said = ""

    async def is_said(text: str) -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return text in said

    (folder / "advertisers" / "elm.yaml").unlink()
    await until(lambda: is_said("removed campaign `elms`: "))
    save(folder, "900")
    await until(lambda: is_said("a CPM is the price of a thousand: this pays up to $0.90"))
    assert "changed line item `spring-web`: bid_cpm 4.5 -> 900" in said
    said = ""
    save(folder, "900\n        paused: false\n        name: Web")
    await until(lambda: is_said("changed line item `spring-web`: name nothing -> Web"))
    save(folder, "800")
    await until(lambda: is_said("this pays up to $0.80"))
    assert "this pays up to $0.90" not in said
    following.cancel()
    await asyncio.wait([following])


async def test_a_folder_that_goes_away_is_an_edit_with_a_fault(
    redis_client: redis.asyncio.Redis, redis_url: str, folder: Path, tmp_path: Path
) -> None:
    given = settings(redis_url, tmp_path)
    await publish_config(redis_client, folder, given)
    live = await bundle_store.published_version(redis_client)
    following = asyncio.create_task(follow_folder(folder, given))

    async def refused() -> tuple[refused_edit.RefusedEdit, ...]:
        return await refused_edit.current(redis_client, 0)

    for name in TEXTS:
        (folder / name).unlink()
    await until(lambda: _true_of(refused))
    assert await bundle_store.published_version(redis_client) == live
    following.cancel()
    await asyncio.wait([following])
    # An engine that ends takes its record with it.
    assert not await refused()


async def test_the_record_of_a_host_that_died_is_soon_out_of_date(redis_client: redis.asyncio.Redis) -> None:
    edit = refused_edit.of("host-a", "campaigns", ["a fault"] * 30, NOW_S)
    await refused_edit.note(redis_client, edit, NOW_S + 30)
    (shown,) = await refused_edit.current(redis_client, NOW_S + 30 + REFUSED_EDIT_SECONDS_MAX - 1)
    assert (shown.refused_s, shown.fault_count, len(shown.faults)) == (NOW_S, 30, 20)
    assert not await refused_edit.current(redis_client, NOW_S + 30 + REFUSED_EDIT_SECONDS_MAX)
