"""Prices, rates and adjustments of line items: what is read, and what is refused and how it is said."""

from pathlib import Path

import pytest

from config import limits
from config.check import check
from config.diff import diff
from config.load import load_folder
from config.money import BILLION, MICROS, Money
from config.schema import BidAdjustments, Goal, LineItem, decode_bundle, encode_bundle
from config.value import Factor, Price, Rate, parse_factor, parse_share
from tests.config.folder import SEGMENTS, edited, write_folder
from tests.config.spoilt import HERE, the_fault_of
from tests.config.test_check import other_advertiser
from tests.factories import advertiser, bundle, campaign, line_item

RADIO = "bid_cpm: 3\n"


def priced(text: str) -> dict[str, str]:
    return edited(RADIO, f"{text}\n")


@pytest.mark.parametrize(
    ("field", "value", "price"),
    [
        ("bid_cpm", "3", Price("impression", 3 * MICROS)),
        ("bid_vcpm", '"$3.50"', Price("view", 3_500_000)),
        ("bid_cpc", "0.45", Price("click", 450_000_000)),
        ("bid_cpa", "12", Price("conversion", 12 * BILLION)),
        ("bid_cpcv", "0.02", Price("completion", 20_000_000)),
    ],
)
def test_each_price_is_read_as_an_amount_for_an_event(
    tmp_path: Path, field: str, value: str, price: Price
) -> None:
    texts = edited(RADIO, f"{field}: {value}\n        bid_cpm_max: 5\n", "oak-card]", "oak-clip]")
    radio = load_folder(write_folder(tmp_path, texts)).advertisers[0].campaigns[0].line_items[1]
    assert radio.price == price
    assert radio.cpm_max_micros == 5 * MICROS


def test_a_flat_price_is_its_own_bound(tmp_path: Path) -> None:
    web = load_folder(write_folder(tmp_path)).advertisers[0].campaigns[0].line_items[0]
    assert web.cpm_max_micros == web.bid_cpm == 4_500_000


def test_rates_adjustments_and_goals_survive_the_bundle_and_show_in_a_diff(tmp_path: Path) -> None:
    text = "bid_cpc: 0.45\n        bid_cpm_max: 9\n        expected_rate: 0.12%\n        bid_adjustments: "
    text += "{segments: {renters: 0.5, homeowners: 1.25}, zips: {USA-50309: 2}}\n"
    edits = edited(RADIO, text, "pacing: even", "goal: {type: cpc, target: 0.40}")
    before = load_folder(write_folder(tmp_path / "before"))
    after = load_folder(write_folder(tmp_path / "after", edits))
    (spring,) = decode_bundle(encode_bundle(after)).advertisers[0].campaigns
    radio = spring.line_items[1]
    assert spring.goal == Goal(type="cpc", target=Money(400_000_000))
    assert radio.expected_rate == 1_200_000
    assert radio.bid_adjustments.segments == {"renters": 500_000, "homeowners": 1_250_000}
    assert radio.bid_adjustments.zips == {"USA-50309": 2_000_000}
    told = [str(change) for change in diff(before, after)]
    assert "changed line item `spring-radio`: bid_cpc nothing -> $0.45" in told
    assert "changed line item `spring-radio`: expected_rate nothing -> 0.0012" in told
    segments = "{renters: 0.5, homeowners: 1.25}"
    assert f"changed line item `spring-radio`: bid_adjustments.segments nothing -> {segments}" in told


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            priced(f"bid_cpc: {HERE}0.45"),
            "`bid_cpc` needs `bid_cpm_max` beside it: the most to bid for a thousand impressions",
        ),
        (
            priced(f"bid_cpm: 3\n        bid_cpc: {HERE}0.45\n        bid_cpm_max: 5"),
            "`bid_cpc` and `bid_cpm` are two prices; keep one of them",
        ),
        (priced(f"bid_cpa: {HERE}0\n        bid_cpm_max: 5"), "a bid of 0 never wins"),
        (
            priced(f"bid_cpa: {HERE}1000001\n        bid_cpm_max: 5"),
            "$1,000,001.00 is more than the most a conversion may pay, $1,000,000.00; lower it",
        ),
        (priced(f"bid_cpm: 3\n        bid_cpm_max: {HERE}0"), "a bid of at most 0 never wins"),
        (
            priced(f"bid_cpm: 3\n        bid_cpm_max: {HERE}2"),
            "`bid_cpm_max` is less than `bid_cpm`, which would never be bid; raise it, or lower that",
        ),
        (
            priced(f"bid_cpm: 3\n        expected_rate: {HERE}0.01"),
            "an impression needs no rate; take `expected_rate` out",
        ),
        (priced(f"bid_cpc: 1\n        bid_cpm_max: 5\n        expected_rate: {HERE}1.5"), "is not a rate"),
        (
            priced(f"bid_cpc: 1\n        bid_cpm_max: 5\n        expected_rate: {HERE}often"),
            "write it like 0.0012",
        ),
        (
            edited(RADIO, "bid_cpcv: 0.02\n        bid_cpm_max: 5\n", "oak-card]", f"{HERE}oak-box]"),
            "the banner `oak-box` can't be played to its end, which `bid_cpcv` pays for",
        ),
        (
            priced(f"bid_cpm: 3\n        bid_adjustments: {HERE}{{segments: {{renters: 1.5}}}}"),
            "a factor above 1 changes nothing while `bid_cpm` is the most that is bid",
        ),
        (
            priced(f"bid_cpm: 3\n        bid_adjustments: {{segments: {{renter: {HERE}0.5}}}}"),
            "there is no segment `renter` in segments.yaml; did you mean `renters`?",
        ),
        (
            priced(f"bid_cpm: 3\n        bid_adjustments: {{zips: {{USA-50309: {HERE}11}}}}"),
            "'11' is not between 0.1 and 10, as a factor must be",
        ),
        (
            edited("pacing: even", f"goal: {{type: cpa, target: {HERE}0}}"),
            "a target of 0 can't be met; raise it, or take `goal` out",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(texts: dict[str, str], message: str, tmp_path: Path) -> None:
    fault, place = the_fault_of(tmp_path, texts)
    assert message in fault.message
    assert str(fault).startswith(place)


def test_nobody_adjusts_bids_by_the_segments_of_others(tmp_path: Path) -> None:
    texts = other_advertiser("fall", "fall-web", "zelm-box")
    texts |= priced(f"bid_cpm: 3\n        bid_adjustments: {{segments: {{elm-guests: {HERE}0.5}}}}")
    texts |= {"segments.yaml": f"{SEGMENTS}  - name: elm-guests\n    owner: zelm\n"}
    fault, _ = the_fault_of(tmp_path, texts)
    assert "the segment `elm-guests` belongs to zelm; name one of your own" in fault.message


def adjusting(zips: dict[str, Factor], id_: str) -> LineItem:
    return line_item(id_, bid_adjustments=BidAdjustments(zips=zips))


def test_there_are_limits_on_adjustments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.price_checks.ZIP_ADJUSTMENTS_IN_ALL_MAX", 5)
    half = Factor(500_000)
    first, second = {f"USA-0000{i}": half for i in range(3)}, {f"USA-1000{i}": half for i in range(3)}
    same = bundle(advertiser(campaigns=[campaign(line_items=[adjusting(first, "a"), adjusting(first, "b")])]))
    assert not check(same)
    more = bundle(
        advertiser(campaigns=[campaign(line_items=[adjusting(first, "a"), adjusting(second, "b")])])
    )
    (finding,) = check(more)
    assert "more than 5 postal codes in all" in finding.message
    names = [f"s{i}" for i in range(limits.SEGMENT_ADJUSTMENTS_MAX + 1)]
    many = line_item(bid_adjustments=BidAdjustments(segments=dict.fromkeys(names, half)))
    (finding,) = check(bundle(advertiser(campaigns=[campaign(line_items=[many])]), segments=names))
    assert "at most 64 segments, and this does for 65" in finding.message


@pytest.mark.parametrize(
    ("text", "billionths"), [("1", BILLION), ("0.5", BILLION // 2), ("0.12 %", 1_200_000)]
)
def test_rates_are_read_exactly(text: str, billionths: int) -> None:
    assert parse_share(text) == Rate(billionths)


@pytest.mark.parametrize("text", ["0", "-1", "1.0000000001", "101%", "", "nan", "1e-3"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        parse_share(text)


@pytest.mark.parametrize("text", ["0.05", "10.5", "x", "-1", "1.0000001"])
def test_what_is_no_factor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="factor"):
        parse_factor(text)
