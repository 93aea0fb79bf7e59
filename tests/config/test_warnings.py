"""What is legal and silly: each warning where it is due, and none where it is not."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis.asyncio

from bidder.cli.config_market import reaches, seen_by_engine, untaken_creatives
from config.calendar import epoch_s
from config.limits import FLOOR_DAYS
from config.load import load_folder, read_folder
from config.money import BILLION
from config.schema import Bundle, When, code_of
from config.warnings import FLOORS_SEEN_MIN, Seen, find_warnings
from pacing.floors_seen import FloorsSeen, floors_seen, two_digits
from pacing.ledger import Ledger
from tests.config.folder import EXCHANGE, edited, write_folder
from tests.config.spoilt import HERE

NOW_S = epoch_s(When("2026-03-02 12:00"), "America/Chicago")
"""A Monday."""
DAY = NOW_S // 86_400


def warnings_of(folder: Path, texts: dict[str, str], seen: Seen) -> list[str]:
    read = read_folder(write_folder(folder, texts))
    findings = [*find_warnings(read.bundle, NOW_S, seen), *untaken_creatives(read.bundle)]
    faults = sorted([*read.unused, *map(read.fault, findings)])
    return [str(fault).removeprefix(f"{folder}/") for fault in faults]


def floors(*asked: int, times: int = FLOORS_SEEN_MIN) -> Seen:
    return Seen(floors={"plain": dict.fromkeys(asked, times)})


def test_a_sensible_folder_has_no_warning(tmp_path: Path) -> None:
    # The daily budget is a sound one: it can spend the total in time.
    assert warnings_of(tmp_path, {}, floors(3_000_000)) == []


def _live() -> Bundle:
    with TemporaryDirectory() as folder:
        return load_folder(write_folder(Path(folder)))


LIVE = _live()
"""The sound folder, as it may have gone live before an edit."""
IN_TWO_DAYS = ("flight: {start: 2026-01-01, end: 2031-01-01}", "flight: {start: 2026-01-01, end: 2026-03-04}")
MONDAYS, SATURDAYS = (
    "[{days: [mon], from_hour: 8, to_hour: 20}]",
    "[{days: [sat], from_hour: 8, to_hour: 20}]",
)
DOMAINS = "{include: {domains: [news.example]}}"
OWN = "budget: {total: 5}"


@pytest.mark.parametrize(
    ("texts", "seen", "message"),
    [
        (
            edited("end: 2031-01-01}", f"end: {HERE}2026-02-20}}"),
            Seen(),
            "this flight was over on 2026-02-20; nothing of `spring` will run",
        ),
        (
            edited("flight: {start: 2026-02-01}", f"flight: {{end: {HERE}2026-02-20}}"),
            Seen(),
            "this flight was over on 2026-02-20; `spring-web` will not run",
        ),
        (
            edited("bid_cpm: 3\n", f"bid_cpm: {HERE}3\n"),
            floors(3_200_000, 9_000_000),
            "3 is below every floor seen in the last days at plain: the lowest is 3.2",
        ),
        (
            edited("bid_cpm: 3\n", f"bid_cpm: {HERE}3000\n"),
            Seen(),
            "a CPM is the price of a thousand: this pays up to $3.00 for each",
        ),
        (
            edited("bid_cpm: 4.50", f"budget: {{daily: 0.004}}\n        bid_cpm: {HERE}4.50"),
            Seen(),
            "at a CPM of 4.5 one impression may cost more than the line item's daily budget",
        ),
        (
            edited('"$1,000", daily: 12.50', f"1000, daily: {HERE}0.50"),
            Seen(),
            "at $0.50 a day the 1,826 days of this flight spend at most $913.00 of $1,000.00",
        ),
        (
            edited(
                *(
                    "bid_cpm: 4.50",
                    f"bid_cpm: 4.50\n        {OWN}",
                    "bid_cpm: 3",
                    f"bid_cpm: 3\n        {OWN}",
                ),
                *('total: "$1,000"', f"total: {HERE}1000"),
            ),
            Seen(),
            "the line items' own budgets add up to $10.00: no more of $1,000.00 will be spent",
        ),
        (
            edited(*IN_TWO_DAYS, MONDAYS, f"{HERE}{SATURDAYS}", '"$1,000", daily: 12.50', "500"),
            Seen(),
            "no hour of these lies in what is left of the flight; `spring-web` will not run",
        ),
        (
            edited("{per_day: 3}", f"{{per_day: 3, per_hour: {HERE}4}}"),
            Seen(),
            "`per_hour: 4` is never reached: `per_day` is 3",
        ),
        (
            edited(
                DOMAINS, f"{{include: {{domains: [a.example]}}, exclude: {{domains: [{HERE}a.example]}}}}"
            ),
            Seen(),
            "`a.example` is included and excluded, and so excluded",
        ),
        (
            edited("[oak-song, oak-card]", "[oak-song]", "- id: oak-card", f"- id: {HERE}oak-card"),
            Seen(),
            "no line item shows the creative `oak-card`",
        ),
        (
            edited(
                *("[oak-song, oak-card]", f"[{HERE}oak-song, oak-card]"),
                *("- id: oak-song\n", "- id: oak-song\n    approvals: {plain: {state: disapproved}}\n"),
            ),
            Seen(),
            "no exchange takes the creative `oak-song` here (plain: creative disapproved)",
        ),
        (
            edited("audience: homeowners", f"audience: {HERE}homeowners"),
            Seen(few={"spring-web": 40}),
            "40 people are in its audience, and `audience_size_min` is 100",
        ),
        (
            edited("campaigns:\n", f"templates:\n  {HERE}idle: {{bid_cpm: 3}}\ncampaigns:\n"),
            Seen(),
            "no line item uses the template `idle`",
        ),
        (
            edited("bid_cpm: 3\n", f"bid_cpm: {HERE}0.0045\n"),
            Seen(),
            "this pays 0.0045 for them all; if it was meant for each one, write 4.5",
        ),
        (edited("w: 300\n", f"w: {HERE}250\n", "h: 250", "h: 300"), Seen(), "was 300x250 meant?"),
        (edited("w: 300\n", f"w: {HERE}300\n", "h: 250", "h: 205"), Seen(), "was 300x250 meant?"),
        (
            edited(
                "box.png\n    landing_url: https://oak.example/",
                f"box.png\n    landing_url: {HERE}https://www.oak.exampel/",
            ),
            Seen(),
            "this leads to oak.exampel, and the advertiser's `domain` is oak.example",
        ),
        (
            edited(
                DOMAINS,
                DOMAINS + f"\n          geo: {{include: {{countries: [{HERE}USA]}}}}".replace("USA", "UAS"),
            ),
            Seen(),
            "`UAS`: UAS is no country's code; did you mean `",
        ),
        (
            edited(DOMAINS, DOMAINS + f"\n          geo: {{exclude: {{regions: [CAN-QC, {HERE}USA-IO]}}}}"),
            Seen(),
            "`USA-IO`: IO is no state of the USA; states have two letters, like USA-IA",
        ),
        (
            edited(
                "audience: homeowners",
                f"audience: {HERE}homeowners and (renters or not homeowners) and not renters",
            ),
            Seen(),
            "nobody can be in this audience: it asks for a segment and for its contrary; `spring-web`",
        ),
        (
            edited('total: "$1,000"', f"total: {HERE}1000"),
            Seen(spent={"spring": 1_000 * BILLION + 10_000_000}),
            "`spring` has spent $1,000.01 already, more than this: it will not run",
        ),
        (
            edited("id: spring\n", f"id: {HERE}summer\n"),
            Seen(live=LIVE),
            "this looks like the campaign `spring` under another id, and money is kept by id",
        ),
    ],
)
def test_each_warning_is_made_once_and_in_its_place(
    tmp_path: Path, texts: dict[str, str], seen: Seen, message: str
) -> None:
    name, text = next(iter(texts.items()))
    before, _, after = text.partition(HERE)
    (warning,) = [
        said for said in warnings_of(tmp_path, {name: before + after}, seen) if "daily" in message or said
    ]
    place = f"{name}:{before.count(chr(10)) + 1}:{len(before) - (before.rfind(chr(10)) + 1) + 1}: "
    assert warning.startswith(place)
    assert message in warning


@pytest.mark.parametrize(
    ("texts", "seen"),
    [
        # What is paused on purpose.
        (edited("end: 2031-01-01}", "end: 2026-02-20}\n    paused: true"), Seen()),
        (edited("bid_cpm: 3\n", "bid_cpm: 3\n        paused: true\n"), floors(3_200_000)),
        # A bid under deals meets their floors; few floors say nothing; a floor of 0 is met.
        (edited("bid_cpm: 3\n", "bid_cpm: 3\n        targeting: {deals: [d1]}\n"), floors(3_200_000)),
        ({}, floors(5_000_000, times=FLOORS_SEEN_MIN - 1)),
        ({}, floors(0, 5_000_000)),
        # An uncommon size, an app's shop, a landing page below the domain.
        (edited("w: 300\n", "w: 301\n"), Seen()),
        (
            edited(
                "box.png\n    landing_url: https://oak.example/",
                "box.png\n    landing_url: https://apps.example/1",
            ),
            Seen(),
        ),
        (
            edited(
                "box.png\n    landing_url: https://oak.example/",
                "box.png\n    landing_url: https://www.oak.example/",
            ),
            Seen(),
        ),
        (edited("audience: homeowners", "audience: homeowners or not homeowners"), Seen()),
        (edited("audience: homeowners", "audience: homeowners and (renters or not frequent-voters)"), Seen()),
        # All is spent; and a second campaign beside the first.
        ({}, Seen(spent={"spring": 1_000 * BILLION}, live=LIVE)),
        (
            edited(
                "creatives:\n  - id: oak-box",
                "  - id: summer\n    budget: {total: 5}\n    line_items:\n      - {id: summer-web, bid_cpm: 3"
                ", creatives: [oak-box]}\ncreatives:\n  - id: oak-box",
            ),
            Seen(live=LIVE),
        ),
    ],
)
def test_what_may_be_meant_is_left_in_peace(tmp_path: Path, texts: dict[str, str], seen: Seen) -> None:
    assert warnings_of(tmp_path, texts, seen) == []


def test_a_paused_exchange_leaves_a_line_item_nowhere_to_go(tmp_path: Path) -> None:
    said = warnings_of(tmp_path, {"exchanges/plain.yaml": EXCHANGE + "paused: true\n"}, Seen())
    assert [line.split(": ", 1)[1] for line in said] == [
        "every exchange of `spring-web` is paused; it will not run",
        "every exchange of `spring-radio` is paused; it will not run",
    ]


def test_a_floor_is_counted_under_its_first_two_digits() -> None:
    assert [two_digits(floor) for floor in (0, 7, 99, 1_234_567, 10_000_000)] == [
        0,
        7,
        99,
        1_200_000,
        10_000_000,
    ]


async def test_floors_are_summed_over_some_days(redis_client: redis.asyncio.Redis) -> None:
    seen = FloorsSeen()
    for day in range(DAY - FLOOR_DAYS, DAY + 1):
        seen.count("plain", 1_250_000)
        seen.count("other:one", 0)
        await seen.send(redis_client, day)
    assert await floors_seen(redis_client, DAY) == {
        "plain": {1_200_000: FLOOR_DAYS},
        "other:one": {0: FLOOR_DAYS},
    }


async def test_the_engine_knows_its_money_floors_and_people(
    redis_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    bundle = load_folder(write_folder(tmp_path))
    ledger, code = Ledger(redis_client), code_of("spring")
    await ledger.open(bundle.advertisers[0].campaigns[0])
    minute = (await redis_client.time())[0] // 60
    await ledger.settle(code, 7, minute, 1, BILLION, BILLION, minute // 1_440, 0, {})
    seen = await seen_by_engine(redis_client, bundle, LIVE)
    assert (dict(seen.floors), dict(seen.few)) == ({}, {"spring-web": 0})
    assert (dict(seen.spent), seen.live) == ({"spring": BILLION}, LIVE)
    (reach,) = await reaches(redis_client, None, bundle)
    assert str(reach) == "changed line item `spring-web`: reach nothing -> 0 people"
    assert await reaches(redis_client, bundle, bundle) == ()
