"""Outcome streams read into a landscape: what counts, what is kept, what is not counted twice."""

from typing import Final

import numpy as np
import pytest
import redis.asyncio
from redis.typing import EncodableT, FieldT

from config.redis_keys import LANDSCAPE, STREAM_LOSSES, STREAM_WINS
from config.schema import Bundle, Engine, ExchangeProfile
from pacing.cells import Cell
from pacing.landscape import EXACT, HALF_LIFE_S, LOST, WON, Key, Landscape
from pacing.outcomes import OUTCOMES_READ_MAX, OutcomeReader
from pacing.price_grid import ANY_BAND, BANDS, PRICE_EDGES_CPM_MICROS

NOW_S: Final = 1_790_000_000.0
BAND = 12
KEY: Final = Key(Cell("plain", "video", "tv"), BAND)
EXCHANGES: Final = (
    ExchangeProfile(id="plain"),
    ExchangeProfile(id="quiet", notices=("nurl",)),
    ExchangeProfile(id="bills-by-nurl", billing_event="nurl"),
)
BUNDLE: Final = Bundle(version="1", engine=Engine(), exchanges=EXCHANGES, segments=(), advertisers=())
OUTCOME: Final = {
    "exchange": "plain",
    "format": "video",
    "device": "tv",
    "band": str(BAND),
    "price_max_cpm_micros": "3000000",
}


async def add(client: redis.asyncio.Redis, stream: bytes, **changes: str) -> None:
    fields: dict[FieldT, EncodableT] = dict((OUTCOME | changes).items())
    await client.xadd(stream, fields)


async def loaded(client: redis.asyncio.Redis, now_s: float = NOW_S) -> OutcomeReader:
    reader = OutcomeReader(client)
    await reader.load(now_s)
    return reader


def dollars(landscape: Landscape, row: int, key: Key = KEY) -> list[float]:
    """The bins counted in, as prices."""
    bins = np.flatnonzero(landscape.counts[key][row])
    return [round(float(price) / 1e6, 1) for price in PRICE_EDGES_CPM_MICROS[bins]]


async def test_each_kind_of_outcome_counts_for_what_it_tells(redis_client: redis.asyncio.Redis) -> None:
    reader = await loaded(redis_client)
    await add(redis_client, STREAM_WINS, min_to_win_cpm_micros="1000000", price_cpm_micros="3000000")
    await add(redis_client, STREAM_WINS, price_cpm_micros="2000000")
    await add(redis_client, STREAM_WINS, price_cpm_micros="3000000")
    await add(redis_client, STREAM_WINS)
    await add(redis_client, STREAM_LOSSES, min_to_win_cpm_micros="4000000")
    await add(redis_client, STREAM_LOSSES, loss_code="102")
    await add(redis_client, STREAM_LOSSES)
    assert await reader.read(BUNDLE, NOW_S) == 7
    counts = reader.landscape.counts[KEY]
    assert dollars(reader.landscape, EXACT) == pytest.approx([1, 2, 4], abs=0.1)
    assert dollars(reader.landscape, WON) == dollars(reader.landscape, LOST) == pytest.approx([3], abs=0.1)
    assert counts.sum(axis=1).tolist() == [3, 2, 2]
    assert await reader.read(BUNDLE, NOW_S + 1) == 0
    assert counts.sum() == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"device": ""},
        {"device": "toaster"},
        {"exchange": "unknown"},
        {"format": "skywriting"},
        {"loss_code": "208"},
        {"loss_code": "1"},
        {"exchange": "quiet"},
        {"exchange": "bills-by-nurl"},
        {"price_max_cpm_micros": "0"},
        {"price_max_cpm_micros": "-3"},
        {"price_max_cpm_micros": ""},
    ],
)
async def test_what_tells_nothing_is_not_counted(
    redis_client: redis.asyncio.Redis, changes: dict[str, str]
) -> None:
    reader = await loaded(redis_client)
    await add(redis_client, STREAM_LOSSES, **changes)
    assert await reader.read(BUNDLE, NOW_S) == 1
    assert reader.landscape.copy() == {}


@pytest.mark.parametrize("band", ["", "x", "-1", str(BANDS + 1)])
async def test_a_value_nobody_knows_counts_for_the_whole_cell(
    redis_client: redis.asyncio.Redis, band: str
) -> None:
    reader = await loaded(redis_client)
    await add(redis_client, STREAM_LOSSES, band=band)
    await reader.read(BUNDLE, NOW_S)
    assert set(reader.landscape.counts) == {Key(KEY.cell, ANY_BAND)}


async def test_one_side_alone_is_not_believed_but_a_price_is(redis_client: redis.asyncio.Redis) -> None:
    reader = await loaded(redis_client)
    await add(redis_client, STREAM_WINS, exchange="quiet", price_cpm_micros="3000000")
    await reader.read(BUNDLE, NOW_S)
    assert reader.landscape.copy() == {}
    await add(redis_client, STREAM_WINS, exchange="quiet", min_to_win_cpm_micros="1000000")
    await reader.read(BUNDLE, NOW_S)
    assert set(reader.landscape.counts) == {Key(Cell("quiet", "video", "tv"), BAND)}


async def test_of_more_than_one_read_takes_wins_and_losses_stay_in_proportion(
    redis_client: redis.asyncio.Redis,
) -> None:
    """Three wins to a loss, and more wins than one read takes."""
    reader = await loaded(redis_client)
    milliseconds = OUTCOMES_READ_MAX // 2
    async with redis_client.pipeline(transaction=False) as pipe:
        for millisecond in range(1, milliseconds + 1):
            for _ in range(3):
                pipe.xadd(STREAM_WINS, dict(OUTCOME), id=f"{millisecond}-*")  # type: ignore[arg-type]
            pipe.xadd(STREAM_LOSSES, dict(OUTCOME), id=f"{millisecond}-*")  # type: ignore[arg-type]
        await pipe.execute()
    await reader.read(BUNDLE, NOW_S)
    exact, won, lost = reader.landscape.counts[KEY].sum(axis=1).tolist()
    assert (exact, won) == (0, OUTCOMES_READ_MAX)
    assert won / lost == pytest.approx(3, rel=0.01)


async def test_a_reader_goes_on_where_another_stopped(redis_client: redis.asyncio.Redis) -> None:
    first = await loaded(redis_client)
    for _ in range(40):
        await add(redis_client, STREAM_WINS, min_to_win_cpm_micros="1000000")
    await first.read(BUNDLE, NOW_S)
    await first.save()
    assert not first.landscape.changed
    # Read, and never saved: the next one reads it again.
    await add(redis_client, STREAM_LOSSES)
    await first.read(BUNDLE, NOW_S + 1)
    second = await loaded(redis_client, NOW_S + HALF_LIFE_S)
    assert second.landscape.counts[KEY].sum() == pytest.approx(20)
    assert await second.read(BUNDLE, NOW_S + HALF_LIFE_S) == 1
    assert second.landscape.counts[KEY].sum() == pytest.approx(21)


async def test_what_an_exchange_that_is_gone_left_is_deleted(redis_client: redis.asyncio.Redis) -> None:
    reader = await loaded(redis_client)
    await add(redis_client, STREAM_WINS, exchange="quiet", min_to_win_cpm_micros="1000000")
    await add(redis_client, STREAM_WINS, min_to_win_cpm_micros="1000000")
    await reader.read(BUNDLE, NOW_S)
    await reader.save()
    fewer = Bundle(
        version="2", engine=Engine(), exchanges=(ExchangeProfile(id="plain"),), segments=(), advertisers=()
    )
    await reader.read(fewer, NOW_S)
    assert set(await redis_client.hkeys(LANDSCAPE)) == {b"", KEY.name.encode()}


@pytest.mark.parametrize("odd", [b"", b"\xc1", b"\x93"])
async def test_what_another_version_saved_is_counted_afresh(
    redis_client: redis.asyncio.Redis, odd: bytes
) -> None:
    await redis_client.hset(LANDSCAPE, mapping={"": odd, KEY.name: odd})
    reader = await loaded(redis_client)
    await add(redis_client, STREAM_WINS, min_to_win_cpm_micros="1000000")
    assert await reader.read(BUNDLE, NOW_S) == 1
    await reader.save()
    assert (await loaded(redis_client)).landscape.counts[KEY].sum() == 1
