"""A report on campaigns: what is read back is what happened, and each form of it says the same."""

import csv
import io
import math
import random
from typing import Any

import msgspec
import pytest
import redis.asyncio

from bidder.admin.pace import PaceRecord, pace_of
from bidder.campaign_page import campaigns_page
from bidder.campaign_report import (
    FREQUENCY_SHOWN_MAX,
    Figures,
    Moment,
    Report,
    frequency_shares,
    moments_of,
    reason_shares,
    sentence_of,
    take_report,
)
from bidder.campaign_tables import report_csv, report_json
from bidder.decision.reasons import Mismatch, Reason
from config import redis_keys
from config.calendar import local_day, local_hour
from config.money import BILLION, Money
from config.schema import Budget, Bundle, Flight, When, code_of
from pacing.delivery import PLAN, WHY, WINDOW_SPENT, WINDOW_START, Day, Happening, Hour, What, count_call
from pacing.ledger import Ledger
from pacing.scripts import run_all
from tests.factories import advertiser, bundle, campaign, line_item

ZONE = "America/Chicago"
NOW_S = 1_772_600_000
"""2026-03-04 04:53 UTC, which is the evening of March 3 in Chicago."""
TODAY = local_day(NOW_S, ZONE)
HOSTILE = "<script>alert(1)</script>"


def config() -> Bundle:
    shown = campaign(
        "spring",
        [line_item("north"), line_item("south", name=HOSTILE)],
        name=HOSTILE,
        time_zone=ZONE,
        pacing="even",
        budget=Budget(total=Money(900 * BILLION), daily=Money(24 * BILLION)),
    )
    return bundle(advertiser("shop", [shown, campaign("quiet")], name="Hilltop Books"))


async def deliver(
    client: redis.asyncio.Redis, item: str, day: int, what: What, times: int, user_hash: int = 0
) -> None:
    hour = local_hour(NOW_S - (TODAY - day) * 86_400, ZONE)
    happening = Happening(code_of("spring"), code_of(item), day, hour, what, user_hash, times)
    await run_all(client, [count_call(happening)])


async def a_month(client: redis.asyncio.Redis) -> None:
    """Two line items over some days, one of which is too long ago to be asked for."""
    for day, item, bids, wins, shown in (
        (TODAY - 40, "north", 900, 900, 900),
        (TODAY - 2, "north", 100, 40, 30),
        (TODAY, "north", 50, 20, 20),
        (TODAY, "south", 50, 0, 0),
        (TODAY, "gone", 10, 5, 5),
    ):
        await deliver(client, item, day, "bids", bids)
        await deliver(client, item, day, "wins", wins)
        await deliver(client, item, day, "impressions", shown)
        await deliver(client, item, day, "spent", shown * 5_000_000)
    for person in (11, 22, 22, 33):
        await deliver(client, "north", TODAY, "impressions", 1, person)
    await deliver(client, "north", TODAY, "clicks", 3)
    reasons = {"below_floor": 60, "place": 30, "bid": 10}
    key = redis_keys.delivered(code_of("spring"), TODAY)
    await client.hset(key, mapping={WHY + reason: times for reason, times in reasons.items()})


async def report(client: redis.asyncio.Redis, days: int = 31) -> Report:
    return await take_report(client, config(), ["spring", "quiet"], NOW_S, days)


async def test_it_adds_up_the_days_asked_for_and_reach_since_the_beginning(
    redis_client: redis.asyncio.Redis,
) -> None:
    await a_month(redis_client)
    found, quiet = (await report(redis_client)).campaigns
    assert found.figures == Figures(
        bids=210, wins=65, impressions=59, clicks=3, spent=(30 + 20 + 5) * 5_000_000
    )
    assert [(one.day, one.figures.impressions) for one in found.days] == [(TODAY - 2, 30), (TODAY, 29)]
    assert (found.first_day, found.last_day) == (TODAY - 30, TODAY)
    items = {item.id: (item.figures.bids, item.reach) for item in found.line_items}
    gone = f"not in the config ({code_of('gone'):08x})"
    assert items == {"north": (150, 3), "south": (50, 0), gone: (10, 0)}
    # Four impressions of people who may be counted.
    assert (found.reach, found.frequency) == (3, 4 / 3)
    assert found.frequencies == (2 / 3, 1 / 3)
    assert [(one.reason, one.share) for one in found.reasons] == [
        ("below_floor", 0.6),
        ("place", 0.3),
        ("bid", 0.1),
    ]
    assert quiet.figures == Figures()
    assert (quiet.reach, quiet.frequency, quiet.days, quiet.reasons) == (0, None, (), ())
    all_of_it, _ = (await report(redis_client, days=60)).campaigns
    assert all_of_it.figures.bids == 1_110
    last_day, _ = (await report(redis_client, days=1)).campaigns
    assert last_day.figures.bids == 110


def test_rates_of_nothing_are_unknown_and_bills_stand_for_wins_that_nobody_reports() -> None:
    nothing = Figures()
    assert (nothing.win_rate, nothing.click_rate, nothing.cpm_micros) == (None, None, None)
    assert Figures(bids=10, wins=0, bills=4).win_rate == 0.4
    assert Figures(bids=10, wins=5, bills=4).win_rate == 0.5
    # A worker that died with bids it had not reported.
    assert Figures(bids=10, wins=12).win_rate == 1.0
    assert Figures(impressions=2, spent=9_000_000).cpm_micros == 4_500_000


def test_windows_are_joined_to_one_line() -> None:
    def hour(number: int, start: int, spent: int, plan: int | None) -> Hour:
        sums = {WINDOW_START: start, WINDOW_SPENT: spent}
        return Hour(number, sums | ({PLAN: plan} if plan is not None else {}))

    hours = [
        hour(1, 0, 10, 12),
        hour(2, 0, 30, 24),
        Hour(3, {"impressions": 5}),
        hour(4, 4, 1, 2),
        hour(5, 4, 5, 6),
    ]
    assert moments_of(hours) == (Moment(1, 10, 12), Moment(2, 30, 24), Moment(4, 31, 26), Moment(5, 35, 30))
    assert moments_of([hour(1, 0, 5, None)]) == (Moment(1, 5, None),)
    assert moments_of([]) == ()


async def test_what_the_plan_asks_for_is_recorded_and_read_back(redis_client: redis.asyncio.Redis) -> None:
    ledger, code = Ledger(redis_client), code_of("spring")
    (spring, _) = config().advertisers[0].campaigns
    await ledger.register(code, "spring", spring.budget.total, spring.budget.daily, ZONE)
    record = PaceRecord(redis_client)
    midnight_s = NOW_S - (NOW_S - 6 * 3_600) % 86_400
    for hour in range(4):
        at_s = midnight_s + hour * 3_600 + 1_800
        accounts = await ledger.accounts([code])
        pace = pace_of(spring, accounts[code], at_s)
        assert pace is not None
        assert pace.planned is not None
        assert pace.budget == 24 * BILLION
        assert pace.planned == pytest.approx(BILLION * (hour + 0.5), rel=0.05)
        await record.write(config(), accounts, at_s - 60)
        await record.write(config(), accounts, at_s)
    found = await take_report(redis_client, config(), ["spring"], midnight_s + 4 * 3_600, 1)
    moments = found.campaigns[0].moments
    assert [moment.hour for moment in moments] == [midnight_s + hour * 3_600 for hour in range(4)]
    planned = [moment.planned or 0 for moment in moments]
    assert planned == sorted(planned)
    assert planned[-1] == pytest.approx(3.5 * BILLION, rel=0.05)


async def test_a_campaign_out_of_flight_has_no_plan(redis_client: redis.asyncio.Redis) -> None:
    over = campaign("over", flight=Flight(start=When("2020-01-01"), end=When("2020-02-01")))
    ledger = Ledger(redis_client)
    await ledger.register(code_of("over"), "over", BILLION, None, "UTC")
    account = await ledger.account(code_of("over"))
    assert account is not None
    assert pace_of(over, account, NOW_S) is None


def test_frequencies_from_the_last_on_are_one_group() -> None:
    shares = frequency_shares([1, 1, 3, FREQUENCY_SHOWN_MAX, FREQUENCY_SHOWN_MAX + 7])
    assert len(shares) == FREQUENCY_SHOWN_MAX
    assert (shares[0], shares[1], shares[2], shares[-1]) == (0.4, 0.0, 0.2, 0.4)
    assert math.isclose(sum(shares), 1)
    assert frequency_shares([]) == ()


def test_every_reason_has_words_of_its_own() -> None:
    names = [mismatch.name.lower() for mismatch in Mismatch]
    names += [reason.name.lower() for reason in Reason if 2 <= reason <= 5]
    sentences = [sentence_of(name) for name in (*names, "bid", "outranked")]
    assert all(" " in sentence for sentence in sentences)
    assert len(set(sentences)) == len(sentences)
    assert sentence_of("some_later_reason") == "some later reason"
    assert reason_shares([Day(1, {}, {}, {})]) == ()


async def test_csv_and_json_say_the_same(redis_client: redis.asyncio.Redis) -> None:
    await a_month(redis_client)
    taken = await report(redis_client)
    rows = list(csv.DictReader(io.StringIO(report_csv(taken))))
    whole: dict[str, Any] = msgspec.json.decode(report_json(taken))
    spring = whole["campaigns"][0]
    (row,) = [row for row in rows if (row["campaign"], row["line_item"], row["day"]) == ("spring", "", "")]
    for name in ("bids", "wins", "impressions", "clicks", "reach"):
        assert int(row[name]) == spring[name]
    assert row["spent"] == spring["spent"] == "0.275"
    assert float(row["win_rate"]) == spring["win_rate"] == pytest.approx(65 / 210, abs=1e-6)
    assert row["reasons"] == "below_floor 60.0%; place 30.0%; bid 10.0%"
    by_day = {row["day"]: int(row["impressions"]) for row in rows if row["day"]}
    assert by_day == {"2026-03-01": 30, "2026-03-03": 29}
    assert by_day == {day["day"]: day["impressions"] for day in spring["days"]}
    by_item = {row["line_item"]: int(row["bids"]) for row in rows if row["line_item"]}
    assert by_item == {item["id"]: item["bids"] for one in whole["campaigns"] for item in one["line_items"]}
    quiet = whole["campaigns"][1]
    assert (quiet["win_rate"], quiet["cpm"], quiet["frequency"], quiet["spent"]) == (None, None, None, "0")


async def month_of_hours(client: redis.asyncio.Redis) -> None:
    """A plan and what came of it, for eight days of hours."""
    draws, spent = random.Random(7), 0.0
    for back in range(8 * 24, 0, -1):
        at_s = NOW_S - back * 3_600
        day, hour = local_day(at_s, ZONE), local_hour(at_s, ZONE)
        start = hour - (hour - 6 * 3_600) % 86_400
        spent = draws.uniform(0.2, 1.7) + (spent if hour != start else 0)
        sums = {
            WINDOW_START: start,
            WINDOW_SPENT: int(spent * BILLION),
            PLAN: (hour - start + 3_600) * BILLION // 3_600,
        }
        key = redis_keys.delivered_hours(code_of("spring"), day)
        await client.hset(key, mapping={f"{hour} {name}": value for name, value in sums.items()})


async def test_the_page_says_everything_and_escapes_what_people_wrote(
    redis_client: redis.asyncio.Redis,
) -> None:
    await a_month(redis_client)
    await month_of_hours(redis_client)
    page = campaigns_page(await report(redis_client))
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    for words in (
        "Hilltop Books · 2026-02-01 to 2026-03-03, America/Chicago",
        "the plan was $",
        'class="line goal"',
        "59 impressions on 2 days, at most 30 on one",
        "Of 3 people drawn from about 3",
        "Of 100 sampled requests",
        "its price, paced, was below the floor",
        "Nothing was delivered on these days.",
        "not in the config (",
    ):
        assert words in page, words
    assert "http" not in page
    assert "<script" not in page


async def test_a_page_of_no_campaign_says_so(redis_client: redis.asyncio.Redis) -> None:
    page = campaigns_page(await take_report(redis_client, config(), [], NOW_S, 31))
    assert "The config has no campaign." in page
