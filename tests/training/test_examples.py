"""The streams as examples: read once each, together in time, and only what something is learned from."""

import contextlib
from typing import Any

import redis
import redis.asyncio

from bidder.training.examples import Catalogue, ExampleReader, catalogue_of
from bidder.training.trainer import Trainer
from config.calendar import local_day
from config.money import CpmMicros, Money
from config.redis_keys import (
    STREAM_CLICKS,
    STREAM_COMPLETIONS,
    STREAM_CONVERSIONS,
    STREAM_IMPRESSIONS,
    TRAINING,
)
from config.schema import Bundle, ExchangeProfile, Goal, code_of
from config.value import Rate
from pacing import prediction
from pacing.features import CONTEXT_MARKS, hour_mark
from pacing.track_record import fetch_tracked
from tests.factories import advertiser, bundle, campaign, line_item

PACKED = bytes(range(3 * CONTEXT_MARKS))
START_S = 1_000_000.0


def learning() -> Bundle:
    clicks = line_item(
        "clicks", bid_cpm=None, bid_cpc=Money(1), bid_cpm_max=CpmMicros(1), expected_rate=Rate(2_000_000)
    )
    aimed = campaign("aimed", [line_item("flat")], goal=Goal(type="cpa", target=Money(1)))
    other = campaign("other", [line_item("plain")])
    return bundle(advertiser(campaigns=[campaign("priced", [clicks]), aimed, other]))


async def happen(client: redis.asyncio.Redis, stream: bytes, at_ms: int, **changes: Any) -> None:
    fields: dict[Any, Any] = {
        "bid": f"1-{30 * 60}-{at_ms}",
        "line_item": "clicks",
        "creative": "banner-300x250",
        "exchange": "plain",
        "format": "banner",
        "marks": PACKED.hex(),
    }
    await client.xadd(stream, fields | changes, id=f"{at_ms}-0")


def catalogue() -> Catalogue:
    return catalogue_of(learning())


async def test_impressions_and_clicks_come_in_their_order_and_once(redis_client: redis.asyncio.Redis) -> None:
    for at_ms in (10, 20, 30):
        await happen(redis_client, STREAM_IMPRESSIONS, at_ms)
    await happen(redis_client, STREAM_CLICKS, 15)
    await happen(redis_client, STREAM_CLICKS, 25, line_item="flat")
    await happen(redis_client, STREAM_CONVERSIONS, 29)
    reader = ExampleReader(redis_client)
    rounds = await reader.read(catalogue())
    assert rounds is not None
    clicks = rounds["click"]
    assert clicks.labels.tolist() == [False, True, False, True, False]
    assert clicks.cells == ["plain/priced", "plain/aimed"]
    assert clicks.cell.tolist() == [0, 0, 0, 1, 0]
    assert clicks.campaigns == ["priced", "aimed"]
    assert clicks.priors.tolist() == [2_000_000, 2_000_000, 2_000_000, 1_000_000, 2_000_000]
    assert clicks.stated.tolist() == [True, True, True, False, True]
    assert clicks.marks[0, CONTEXT_MARKS] == hour_mark(6 * 3_600)
    assert rounds["conversion"].labels.tolist() == [False, False, True, False]
    assert rounds["conversion"].priors.tolist() == [50_000] * 4, "the expected_rate is of clicks"
    assert await reader.read(catalogue()) is None
    # A click waits for the next impression, and is not lost.
    await happen(redis_client, STREAM_CLICKS, 40)
    assert await reader.read(catalogue()) is None
    await happen(redis_client, STREAM_IMPRESSIONS, 50)
    rounds = await reader.read(catalogue())
    assert rounds is not None
    assert rounds["click"].labels.tolist() == [True, False]


async def test_whole_plays_are_learned_where_they_are_paid_for_and_can_be_told(
    redis_client: redis.asyncio.Redis,
) -> None:
    plays = line_item("plays", bid_cpm=None, bid_cpcv=Money(1), bid_cpm_max=CpmMicros(1))
    clicks = line_item("clicks", bid_cpm=None, bid_cpc=Money(1), bid_cpm_max=CpmMicros(1))
    exchanges = (ExchangeProfile(id="plain"), ExchangeProfile(id="reviewing", markup="registered"))
    config = bundle(advertiser(campaigns=[campaign("priced", [plays, clicks])]), exchanges=exchanges)
    video = {"line_item": "plays", "format": "video"}
    told = [video, video, {"line_item": "clicks", "format": "video"}, video | {"exchange": "reviewing"}]
    told.append({"line_item": "plays", "format": "native"})
    for at_ms, changes in enumerate(told, 10):
        await happen(redis_client, STREAM_IMPRESSIONS, at_ms, **changes)
        await happen(redis_client, STREAM_COMPLETIONS, at_ms, **changes)
    await happen(redis_client, STREAM_IMPRESSIONS, 20, **video)
    rounds = await ExampleReader(redis_client).read(catalogue_of(config))
    assert rounds is not None
    assert rounds["completion"].labels.tolist() == [False, False, True, False], "the first is nobody's"
    assert rounds["completion"].priors.tolist() == [600_000_000] * 4
    assert rounds["completion"].cells == ["plain/priced"]
    assert rounds["click"].labels.tolist() == [False] * 5, "registered creatives tell no click"


async def test_what_nothing_is_learned_from_is_left_out(redis_client: redis.asyncio.Redis) -> None:
    for n, changes in enumerate(
        ({"line_item": "plain"}, {"line_item": "gone"}, {"exchange": "gone"}, {"marks": ""}, {"marks": "00"}),
        1,
    ):
        await happen(redis_client, STREAM_IMPRESSIONS, n, **changes)
    rounds = await ExampleReader(redis_client).read(catalogue())
    assert rounds is not None
    assert not len(rounds["click"].labels)


async def test_clicks_whose_impressions_are_trimmed_away_are_nobodys(
    redis_client: redis.asyncio.Redis,
) -> None:
    await happen(redis_client, STREAM_IMPRESSIONS, 10)
    reader = ExampleReader(redis_client)
    assert await reader.read(catalogue()) is not None
    await happen(redis_client, STREAM_CLICKS, 20)
    await happen(redis_client, STREAM_IMPRESSIONS, 30)
    await happen(redis_client, STREAM_CLICKS, 40)
    await happen(redis_client, STREAM_IMPRESSIONS, 50)
    await redis_client.xtrim(STREAM_IMPRESSIONS, minid="30", approximate=False)
    rounds = await reader.read(catalogue())
    assert rounds is not None
    assert rounds["click"].labels.tolist() == [False, True, False]


async def test_one_trainer_learns_at_a_time_and_the_next_goes_on(redis_client: redis.asyncio.Redis) -> None:
    await happen(redis_client, STREAM_IMPRESSIONS, 10)
    first, second = (Trainer(redis_client, name, review_seconds=1) for name in ("first", "second"))
    await first.round(learning(), START_S)
    await second.round(learning(), START_S)
    assert (first.leading, second.leading) == (True, False)
    # A review writes down what is known, and up to where.
    await first.round(learning(), START_S + 2)
    await first.resign()
    await happen(redis_client, STREAM_IMPRESSIONS, 20)
    await second.round(learning(), START_S + 3)
    assert second.leading
    assert second.position == "20-0"
    await second.round(learning(), START_S + 5)
    code = code_of("priced")
    days = [local_day(30 * 3_600, learning().campaigns_by_code()[code].time_zone)]
    tracked = (await fetch_tracked(redis_client, code, days))[code_of("clicks"), "click"]
    assert tracked.impressions == 2, "one was learned by the first, and is not learned twice"


async def test_a_clock_that_is_put_back_holds_up_no_review(redis_client: redis.asyncio.Redis) -> None:
    trainer = Trainer(redis_client, "only", review_seconds=600)
    await trainer.round(learning(), START_S)
    await happen(redis_client, STREAM_IMPRESSIONS, 10)
    await trainer.round(learning(), START_S - 86_400)
    assert await redis_client.hget(TRAINING.decode(), "read") == b"10-0"


async def test_a_model_that_proved_itself_is_live_though_its_review_could_not_be_written_down(
    redis_client: redis.asyncio.Redis,
) -> None:
    trainer = Trainer(redis_client, "only", review_seconds=1)
    at_ms = 0
    for review in range(1, 12):
        for shown in range(400):
            at_ms += 1
            await happen(redis_client, STREAM_IMPRESSIONS, at_ms, line_item="flat")
            if shown % 5 == 4:
                await happen(redis_client, STREAM_CLICKS, at_ms, line_item="flat")
        if review > 1:
            await redis_client.set(TRAINING, "not a hash")
        with contextlib.suppress(redis.RedisError):
            await trainer.round(learning(), START_S + 2 * review)
        if (summary := await prediction.fetch_summary(redis_client)) is not None:
            break
        await redis_client.delete(TRAINING)
    model = await prediction.fetch(redis_client)
    assert model is not None
    assert summary == prediction.ModelSummary(
        version=1, live=("click",), since_s={"click": int(START_S + 2 * review)}
    )
    # Nothing is told of the impressions of a review that was not written down.
    await redis_client.delete(TRAINING)
    code, zone = code_of("aimed"), learning().campaigns_by_code()[code_of("aimed")].time_zone
    days = [local_day(30 * 3_600, zone)]
    before = await fetch_tracked(redis_client, code, days)
    await happen(redis_client, STREAM_IMPRESSIONS, at_ms + 1, line_item="flat")
    await trainer.round(learning(), START_S + 2 * review + 2)
    tracked = (await fetch_tracked(redis_client, code, days))[code_of("flat"), "click"]
    assert sum(each.impressions for each in before.values()) < tracked.impressions == 400 * review + 1
    assert tracked.came == 80 * review
