"""`hustings budget` as an operator and a program use it."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import redis
from redis.asyncio import Redis as AsyncRedis
from typer.testing import CliRunner, Result

from bidder.cli.budget import app
from config.bundle_store import publish as publish_bundle
from config.money import BILLION, CpmMicros, Money
from config.redis_keys import BUNDLE
from config.schema import (
    Advertiser,
    Budget,
    Bundle,
    Campaign,
    Engine,
    LineItem,
    LineItemBudget,
    account_code,
    code_of,
)
from pacing.account import Account
from pacing.ledger import Ledger, Settlement
from pacing.plan import CampaignPlan, Plan
from pacing.plan import publish as publish_plan
from tests.factories import BUNDLE_KEY
from tests.waiting import SECONDS_MAX

HARVEST = code_of("harvest-days")
TOTAL = Money(12_500 * BILLION)
_Result = TypeVar("_Result")


def campaign(
    id_: str, *, paused: bool = False, budget: Budget | None = None, line_items: tuple[LineItem, ...] = ()
) -> Campaign:
    return Campaign(
        id=id_,
        budget=budget or Budget(total=TOTAL),
        paused=paused,
        line_items=(LineItem(id=f"{id_}-1", bid_cpm=CpmMicros(4_000_000), creatives=("x",)), *line_items),
    )


HARVEST_BUDGET = Budget(total=TOTAL, daily=Money(500 * BILLION), hourly=Money(9 * BILLION + BILLION // 2))
OWN = LineItem(
    id="harvest-days-own",
    bid_cpm=CpmMicros(4_000_000),
    creatives=("x",),
    budget=LineItemBudget(daily=Money(20 * BILLION)),
)
BUNDLE_OF_TWO = Bundle(
    version="v7",
    engine=Engine(),
    exchanges=(),
    segments=(),
    advertisers=(
        Advertiser(
            id="oak",
            domain="oak.example",
            categories=("IAB1",),
            campaigns=(
                campaign("harvest-days", budget=HARVEST_BUDGET, line_items=(OWN,)),
                campaign("winter", paused=True),
            ),
            creatives=(),
        ),
    ),
)


def with_redis(url: str, work: Callable[[AsyncRedis], Awaitable[_Result]]) -> _Result:
    async def connected() -> _Result:
        async with AsyncRedis.from_url(url) as client:
            return await work(client)

    return asyncio.run(connected())


def budget(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def account(url: str) -> Account | None:
    return with_redis(url, lambda client: Ledger(client).account(HARVEST))


@pytest.fixture
def live(redis_url: str) -> str:
    """A server with a config, two accounts, one bill of $0.004 and a plan."""

    async def set_up(client: AsyncRedis) -> None:
        await publish_bundle(client, BUNDLE_OF_TWO, BUNDLE_KEY)
        ledger = Ledger(client)
        for item in BUNDLE_OF_TWO.advertisers[0].campaigns:
            await ledger.register(code_of(item.id), item.id, item.budget.total, item.budget.daily, "UTC")
        own = account_code("harvest-days", OWN.id)
        await ledger.register_line_item(own, OWN.id, None, OWN.budget.daily, "UTC")
        now_s = (await client.time())[0]
        owner = await ledger.new_owner()
        day = now_s // 86_400
        await ledger.grant(HARVEST, owner, 10_000_000, day, 4_000_000, 1)
        bill = await ledger.settle(
            HARVEST,
            owner,
            now_s // 60,
            0,
            4_000_000,
            4_000_000,
            day,
            now_s + 10,
            {},
            hour=now_s - now_s % 3_600,
            line_item=code_of(OWN.id),
        )
        assert bill is Settlement.SETTLED
        decided = CampaignPlan(
            1 << 14, budget_q16=1 << 14, share_millionths=250_000, budget=500 * BILLION, spent=4_000_000
        )
        await publish_plan(client, Plan(made_at_s=now_s, version=1, campaigns={HARVEST: decided}))

    with_redis(redis_url, set_up)
    return redis_url


def test_status_for_a_program_is_exact(live: str) -> None:
    result = budget("status", "--json", "--redis", live)
    assert result.exit_code == 0
    status = json.loads(result.stdout)
    assert (status["currency"], status["version"]) == ("USD", "v7")
    assert status["plan_age_s"] >= 0
    harvest, winter = status["campaigns"]
    assert harvest == {
        "campaign": "harvest-days",
        "advertiser": "oak",
        "pacing": "even",
        "paused": None,
        "total": "12500",
        "daily": "500",
        "spent": "0.004",
        "today": "0.004",
        "hourly": "9.5",
        "this_hour": "0.004",
        "leased": "0.006",
        "free": "12499.99",
        "window": "500",
        "window_spent": "0.004",
        "planned": "125",
        "plan_share": 0.25,
        "multiplier": 0.25,
        "budget_multiplier": 0.25,
        "goal_multiplier": None,
        "line_items": [
            {
                "line_item": "harvest-days-own",
                "total": None,
                "daily": "20",
                "spent": "0.004",
                "today": "0.004",
                "leased": "0",
                "free": None,
            }
        ],
    }
    assert (winter["paused"], winter["daily"], winter["multiplier"]) == ("config", None, None)


def test_status_for_a_person_is_a_table(live: str) -> None:
    result = budget("status", "--redis", live)
    assert result.exit_code == 0
    for word in (
        "harvest-days-own",
        "$20",
        "This hour",
        "$9.50",
        "harvest-days ",
        "$12,500",
        "$500",
        "0.0% / 25.0%",
        "0.250",
        "paused",
        "config v7",
    ):
        assert word in result.stdout


def test_status_before_the_engine_has_run(redis_url: str) -> None:
    with_redis(redis_url, lambda client: publish_bundle(client, BUNDLE_OF_TWO, BUNDLE_KEY))
    result = budget("status", "--json", "--redis", redis_url)
    assert result.exit_code == 0
    status = json.loads(result.stdout)
    assert status["plan_age_s"] is None
    assert [(row["spent"], row["free"]) for row in status["campaigns"]] == [("0", "12500"), ("0", "12500")]
    assert status["campaigns"][0]["line_items"][0]["spent"] == "0"
    assert status["campaigns"][1]["line_items"] == []


def test_watch_shows_it_again_until_interrupted(live: str) -> None:
    # A shell starts what it runs in the background, perhaps this suite, with Ctrl-C ignored.
    attentive = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{attentive}; from bidder.cli.budget import app; app()"]
    command += ["status", "--watch", "--json", "--redis", live]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline(), process.stdout.readline()]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=SECONDS_MAX) == 0
        assert process.stderr.read() == ""
    assert [json.loads(line)["version"] for line in lines] == ["v7", "v7"]


def test_pause_and_resume(live: str) -> None:
    result = budget("pause", "harvest-days", "--redis", live)
    assert result.exit_code == 0
    assert "harvest-days is paused" in result.stdout
    paused = account(live)
    assert paused is not None
    assert paused.paused
    status = json.loads(budget("status", "--json", "--redis", live).stdout)
    assert status["campaigns"][0]["paused"] == "operator"
    assert budget("resume", "harvest-days", "--redis", live).exit_code == 0
    resumed = account(live)
    assert resumed is not None
    assert not resumed.paused


def test_pause_before_the_engine_has_run_holds(redis_url: str) -> None:
    with_redis(redis_url, lambda client: publish_bundle(client, BUNDLE_OF_TWO, BUNDLE_KEY))
    assert budget("pause", "harvest-days", "--redis", redis_url).exit_code == 0
    paused = account(redis_url)
    assert paused is not None
    assert (paused.paused, paused.daily) == (True, 500 * BILLION)


def test_resume_says_when_the_config_still_pauses(live: str) -> None:
    result = budget("resume", "winter", "--redis", live)
    assert result.exit_code == 0
    assert "its config file says `paused: true`" in result.stdout


@pytest.mark.parametrize("action", ["pause", "resume"])
@pytest.mark.parametrize(
    ("named", "hint"),
    [
        ("harvst-day", "; did you mean `harvest-days`?"),
        ("zzz", "; `hustings budget status` shows those there are"),
    ],
)
def test_an_unknown_campaign_is_told_the_nearest(live: str, action: str, named: str, hint: str) -> None:
    result = budget(action, named, "--redis", live)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == f"no campaign is called `{named}`{hint}\n"


@pytest.mark.parametrize("arguments", [("status",), ("status", "--json"), ("pause", "harvest-days")])
def test_without_a_config_there_is_one_sentence(redis_url: str, arguments: tuple[str, ...]) -> None:
    result = budget(*arguments, "--redis", redis_url)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "hustings config apply DIR" in result.stderr


def test_an_unreadable_config_is_one_sentence(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(BUNDLE, b"\xc1")
    result = budget("status", "--redis", redis_url)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1


def test_a_dead_server_is_one_sentence() -> None:
    result = budget("status", "--redis", "redis://127.0.0.1:1/0")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
