"""`hustings budget` audit, reconcile, adjust, stop, start and log, and the log of a config's changes."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import redis
from redis.asyncio import Redis as AsyncRedis

from bidder.cli.live_config import publish_config
from bidder.cli.logged_changes import from_config
from config import bundle_store, redis_keys
from config.diff import diff
from config.money import BILLION, Money
from config.schema import Bundle, ExchangeProfile, Flight, When, code_of
from pacing import stop as global_stop
from pacing.ledger import Ledger
from tests.cli.test_budget import BUNDLE_OF_TWO, HARVEST, budget, with_redis
from tests.events.processes import bundle_key, settings
from tests.factories import BUNDLE_KEY

PRICE = 4_000_000
CONFIG = msgspec.structs.replace(
    BUNDLE_OF_TWO, exchanges=(ExchangeProfile(id="plain"), ExchangeProfile(id="x"))
)


def today() -> str:
    return datetime.now(UTC).date().isoformat()


@pytest.fixture
def billed(redis_url: str) -> str:
    """A server with a config and 25 bills of $0.004 from `plain` made this minute, and one from `x`."""

    async def set_up(client: AsyncRedis) -> None:
        await bundle_store.publish(client, CONFIG, BUNDLE_KEY)
        ledger = Ledger(client)
        for item in CONFIG.advertisers[0].campaigns:
            await ledger.register(
                HARVEST if item.id == "harvest-days" else 1, item.id, 100 * BILLION, None, "UTC"
            )
        minute = (await client.time())[0] // 60
        for sequence in range(26):
            entry = {
                "bid": f"1-{minute}-{sequence}",
                "campaign": "harvest-days",
                "line_item": "harvest-days-1",
                "exchange": "plain" if sequence else "x",
            }
            day, expiry_s = minute // 1_440, minute * 60 + 70
            await ledger.settle(HARVEST, 1, minute, sequence, PRICE, PRICE, day, expiry_s, entry)
        refused = {
            "bid": f"1-{minute}-30",
            "campaign": "harvest-days",
            "line_item": "harvest-days-1",
            "exchange": "plain",
            "price_cpm_micros": "9000000",
            "refused": "overpriced",
        }
        # Sent twice; and another, which was booked when it came with the right price.
        for bid in (30, 30, 1):
            again = refused | {"bid": f"1-{minute}-{bid}"}
            await client.xadd(redis_keys.STREAM_REFUSED, again)  # type: ignore[arg-type] # dict is invariant

    with_redis(redis_url, set_up)
    return redis_url


def logged(url: str) -> list[dict[str, str]]:
    result = budget("log", "--json", "--redis", url)
    assert result.exit_code == 0
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_audit_shows_both_sides_and_fails_when_they_differ(billed: str) -> None:
    result = budget("audit", "--redis", billed)
    assert (result.exit_code, "2 accounts agree" in result.stdout) == (0, True)
    with redis.Redis.from_url(billed) as client:
        client.hincrby(redis_keys.ledger(HARVEST), "spent", 5)
    result = budget("audit", "--redis", billed)
    assert result.exit_code == 1
    assert "DISAGREES" in result.stdout
    found = json.loads(budget("audit", "--json", "--redis", billed).stdout)
    harvest = found["accounts"][0]
    assert (found["agrees"], harvest["mismatch"], harvest["billed"]) == (False, "0.000000005", "0.104")
    assert (harvest["total"], harvest["leased"], harvest["bills_since_s"]) == ("100", "0", None)
    assert budget("audit", "--accept", "harvest-days", "--redis", billed, "--by", "ann").exit_code == 0
    assert logged(billed)[-1]["before"] == "0.000000005"


def reconcile(url: str, tmp_path: Path, text: str, *options: str) -> tuple[int, str]:
    report = tmp_path / "report.csv"
    report.write_text(text)
    arguments = ["reconcile", str(report), "--exchange", "plain", "--day", today(), "--redis", url, *options]
    result = budget(*arguments)
    return result.exit_code, result.stdout + result.stderr


def test_a_report_that_agrees_and_one_that_does_not(billed: str, tmp_path: Path) -> None:
    status, text = reconcile(billed, tmp_path, "campaign,imps,spend\nharvest-days,25,0.10\n")
    assert (status, "agrees" in text) == (0, True)
    report = "campaign,imps,spend\nharvest-days,28,0.15\nunheard-of,1,0.02\n"
    status, text = reconcile(billed, tmp_path, report)
    assert status == 1
    for words in ("nothing booked", "1 overpriced, 0.009", "+50.00%", "asks for $0.07 more than is booked"):
        assert words in text
    status, text = reconcile(billed, tmp_path, report, "--json")
    found = json.loads(text)
    assert (found["difference"], found["incomplete"]) == ("0.07", [])
    assert found["rows"][0] == {
        "campaign": "harvest-days",
        "theirs": {"impressions": 28, "spend": "0.15"},
        "ours": {"impressions": 25, "spend": "0.1"},
        "difference": "0.05",
        "agrees": False,
        "refused": {"overpriced": {"notices": 1, "spend": "0.009"}},
    }


def test_a_report_by_line_item_of_another_day_or_exchange(billed: str, tmp_path: Path) -> None:
    status, text = reconcile(
        billed, tmp_path, "Item,Cost\nharvest-days-1,0.1\n", "--column", "line_item=Item", "--json"
    )
    assert json.loads(text)["rows"][0]["line_item"] == "harvest-days-1"
    status, text = reconcile(billed, tmp_path, "spend\n0\n", "--day", "2026-01-01", "--json")
    assert (status, json.loads(text)["rows"][0]["ours"]["impressions"]) == (0, 0)
    status, text = reconcile(billed, tmp_path, "spend\n0.004\n", "--exchange", "x", "--json")
    assert (status, json.loads(text)["rows"][0]["ours"]["impressions"]) == (0, 1)


def test_a_report_saved_twice_and_one_in_another_countrys_numbers(billed: str, tmp_path: Path) -> None:
    day = today().replace("-", "")
    report = f"day;campaign;spend\n{today()};harvest-days;0,05\n"
    status, text = reconcile(billed, tmp_path, report + report.partition("\n")[2], "--day", day)
    assert (status, "1 rows of the report repeat another" in text) == (0, True)
    status, text = reconcile(billed, tmp_path, "campaign;spend\nharvest-days;0.100\n", "--decimal", ".")
    assert status == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--exchange", "nobody"), "no exchange is called `nobody`"),
        (("--day", "yesterday"), "--day yesterday"),
        (("--zone", "Mars/Olympus"), "Mars/Olympus"),
        (("--column", "cost=x"), "--column cost=x"),
        (("--group-by", "creative"), "--group-by creative"),
        (("--tolerance", "some"), "--tolerance"),
        (("--decimal", ";"), "--decimal"),
    ],
)
def test_what_reconcile_cannot_use_is_one_sentence(
    billed: str, tmp_path: Path, options: Sequence[str], words: str
) -> None:
    status, text = reconcile(billed, tmp_path, "spend\n1\n", *options)
    assert (status, text.count("\n")) == (2, 1)
    assert words in text


def test_an_adjustment_is_made_once_and_is_in_the_log(billed: str) -> None:
    arguments = ["adjust", "harvest-days", "1.50", "--id", "march", "--reason", "lost in a crash"]
    result = budget(*arguments, "--by", "ann", "--redis", billed)
    assert (result.exit_code, result.stdout) == (0, "harvest-days has spent 1.604 now\n")
    result = budget(*arguments, "--redis", billed)
    assert "was made before; harvest-days has spent 1.604" in result.stdout
    assert budget("audit", "--redis", billed).exit_code == 0
    (change,) = logged(billed)
    assert (change["by"], change["action"], change["before"], change["after"], change["reason"]) == (
        "ann",
        "adjust",
        "0.104",
        "1.604",
        "lost in a crash",
    )
    result = budget("adjust", "harvest-days", "99", "--back", "--id", "x", "--reason", "y", "--redis", billed)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def adjust(url: str, *arguments: str) -> tuple[int, str]:
    result = budget("adjust", *arguments, "--reason", "the exchange's report", "--redis", url)
    return result.exit_code, result.stdout + result.stderr


def test_a_campaign_that_has_left_the_config_can_be_corrected_and_accepted(billed: str) -> None:
    async def leave(client: AsyncRedis) -> None:
        await Ledger(client).register(code_of("gone"), "gone", BILLION, None, "UTC")

    with_redis(billed, leave)
    assert adjust(billed, "gone", "0.25", "--id", "a") == (0, "gone has spent 0.25 now\n")
    assert budget("audit", "--accept", "gone", "--redis", billed).exit_code == 0


def test_a_correction_may_be_of_a_line_item_that_the_campaign_has_or_had(billed: str) -> None:
    assert adjust(billed, "harvest-days", "0.25", "--id", "a", "--line-item", "harvest-days-1")[0] == 0
    assert logged(billed)[0]["what"].endswith(" of harvest-days-1")
    with redis.Redis.from_url(billed) as client:
        client.hset(redis_keys.spent_by_line_item(HARVEST), str(code_of("long-gone")), 7)
    assert adjust(billed, "harvest-days", "0.25", "--id", "b", "--line-item", "long-gone")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("harvest-days", "€1.50", "--id", "x"), "€1.50 is in €, and the books are in USD"),
        (("harvest-days", "1 CAD", "--id", "x"), "in CAD"),
        (("harvest-days", "1", "--id", ""), "id has 1 to"),
        (("harvest-days", "1", "--id", "x", "--line-item", "nothing"), "no line item `nothing`"),
        (("nobody", "1", "--id", "x"), "no campaign is called `nobody`"),
        (("harvest-days", "2", "--id", "taken"), "another amount was booked under this id"),
    ],
)
def test_what_adjust_cannot_use_is_one_sentence(billed: str, arguments: tuple[str, ...], words: str) -> None:
    assert adjust(billed, "harvest-days", "1", "--id", "taken")[0] == 0
    status, text = adjust(billed, *arguments)
    assert (status, text.count("\n")) == (2, 1)
    assert words in text
    assert budget("audit", "--redis", billed).exit_code == 0


def test_a_stop_is_shown_and_logged_until_it_is_lifted(billed: str) -> None:
    assert budget("start", "--redis", billed).stdout == "bidding was not stopped\n"
    assert budget("stop", "--reason", "wrong creative", "--by", "ann", "--redis", billed).exit_code == 0
    stop = with_redis(billed, global_stop.fetch)
    assert stop is not None
    assert (stop.by, stop.reason) == ("ann", "wrong creative")
    assert "ALL BIDDING IS STOPPED by ann: wrong creative" in budget("status", "--redis", billed).stdout
    status = json.loads(budget("status", "--json", "--redis", billed).stdout)
    assert status["stop"]["by"] == "ann"
    assert budget("start", "--by", "bob", "--redis", billed).exit_code == 0
    assert with_redis(billed, global_stop.fetch) is None
    assert [(change["by"], change["action"]) for change in logged(billed)] == [
        ("ann", "stop"),
        ("bob", "start"),
    ]


def test_pauses_are_logged_with_the_user_and_host(billed: str) -> None:
    assert budget("pause", "harvest-days", "--redis", billed).exit_code == 0
    assert budget("resume", "harvest-days", "--by", "bob", "--redis", billed).exit_code == 0
    pause, resume = logged(billed)
    assert (pause["action"], pause["campaign"], resume["by"]) == ("pause", "harvest-days", "bob")
    assert "@" in pause["by"]
    lines = budget("log", "--redis", billed).stdout.splitlines()
    assert {line.split("  ", 1)[1] for line in lines} == {
        f"{pause['by']}  harvest-days: pause",
        "bob  harvest-days: resume",
    }


def changed() -> Bundle:
    advertiser = CONFIG.advertisers[0]
    harvest, winter = advertiser.campaigns
    harvest = msgspec.structs.replace(
        harvest,
        name="a name is not money",
        budget=msgspec.structs.replace(
            harvest.budget, total=Money(20_000 * BILLION), daily=Money(100 * BILLION)
        ),
        flight=Flight(end=When("2030-01-01")),
    )
    winter = msgspec.structs.replace(winter, paused=False)
    advertiser = msgspec.structs.replace(advertiser, campaigns=(harvest, winter))
    return msgspec.structs.replace(CONFIG, version="v8", advertisers=(advertiser,))


def test_a_config_logs_budgets_flights_and_pauses_and_nothing_else() -> None:
    changes = from_config(diff(CONFIG, changed()), "ann")
    assert {(change.campaign, change.what): (change.before, change.after) for change in changes} == {
        ("harvest-days", "budget.total"): ("$12,500.00", "$20,000.00"),
        ("harvest-days", "budget.daily"): ("$500.00", "$100.00"),
        ("harvest-days", "flight.end"): ("", "2030-01-01"),
        ("winter", "paused"): ("yes", "no"),
    }
    opened = from_config(diff(None, CONFIG), "ann")
    assert [(change.campaign, change.what) for change in opened] == [
        ("harvest-days", "campaign added"),
        ("harvest-days-own", "line item added"),
        ("winter", "campaign added"),
    ]


def test_an_engine_that_publishes_a_config_at_its_start_logs_it(billed: str, tmp_path: Path) -> None:
    given = settings(billed, tmp_path)
    with_redis(billed, lambda client: bundle_store.publish(client, CONFIG, bundle_key(given)))
    with_redis(billed, lambda client: publish_config(client, changed(), given))
    found = logged(billed)
    assert {change["what"] for change in found} == {"budget.total", "budget.daily", "flight.end", "paused"}
    assert all(change["by"].endswith(", hustings serve") for change in found)
