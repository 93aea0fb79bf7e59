"""Rivals come as often, and at the prices, that their landscape says."""

import json
import random
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.auction import hold_auctions
from loadtest.landscape import (
    TICK_CPM_MICROS,
    LandscapeError,
    Landscapes,
    LogNormal,
    histogram,
    read_landscape,
)
from tests.loadtest.answers import MEDIA, bid, request, response
from tests.shared_data import shared_data

DRAWS = 4_000


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30).filter(any), st.integers(0, 2**32))
def test_a_draw_is_one_of_those_counted(counts: list[int], seed: int) -> None:
    landscape = histogram(counts, 5)
    rng = random.Random(seed)
    for _ in range(20):
        price = landscape.top_rival_cpm_micros(rng)
        assert price % 5 == 0
        assert counts[price // 5] > 0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12).filter(any))
def test_every_auction_counted_is_drawn_alike(counts: list[int]) -> None:
    """The naive twin: a list with an entry for every auction, indexed by the same draw."""
    everyone = [price for price, count in enumerate(counts) for _ in range(count)]
    landscape = histogram(counts, 1)
    assert [bisect_right(landscape.cumulative, draw) for draw in range(sum(counts))] == everyone


def test_a_real_landscape_is_drawn_as_counted() -> None:
    file = shared_data("auctions", "landscape", "2997.json")
    counts = json.loads(file.read_text())["price_counter_train"]
    landscape = read_landscape(file)
    rng = random.Random(3)
    drawn = Counter(landscape.top_rival_cpm_micros(rng) // TICK_CPM_MICROS for _ in range(DRAWS))
    total = sum(counts)
    for price in (20, 50, 100, 200):
        share = sum(count for drawn_price, count in drawn.items() if drawn_price <= price) / DRAWS
        assert share == pytest.approx(sum(counts[: price + 1]) / total, abs=0.03)


def test_a_log_normal_has_its_median() -> None:
    landscape = LogNormal(rivals_max=1, median_cpm_micros=2_000_000, sigma=0.5)
    rng = random.Random(5)
    prices = sorted(filter(None, (landscape.top_rival_cpm_micros(rng) for _ in range(DRAWS))))
    assert 0.45 < len(prices) / DRAWS < 0.55
    assert prices[len(prices) // 2] == pytest.approx(2_000_000, rel=0.05)
    assert all(price % TICK_CPM_MICROS == 0 for price in prices)


@pytest.mark.parametrize("media", sorted(MEDIA))
def test_each_format_has_rivals_of_its_own(media: str) -> None:
    """A bid of 2.50 wins against nobody, and loses where only its own format has a dear rival."""
    dear = histogram([0] * 999 + [1])
    nobody = Landscapes.alike(histogram([1]))
    asked = request(**{media: MEDIA[media]})
    answer = response(asked, bid(asked["imp"][0]))

    def wins(landscapes: Landscapes, **more: Any) -> bool:
        (outcome,) = hold_auctions({**asked, **more}, answer, landscapes, random.Random(1))
        return outcome.won

    fields = {name: getattr(nobody, name) for name in Landscapes.__struct_fields__}
    assert wins(nobody)
    assert not wins(Landscapes(**{**fields, media: dear}))
    assert wins(Landscapes(**{**fields, "screen": dear}))
    assert not wins(Landscapes(**{**fields, "screen": dear}), dooh={"id": "screen-1"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no landscape"),
        ("{}", "write a JSON list of counts"),
        ('{"price_counter": "7"}', "Expected `array`"),
        ("[]", "not all 0"),
        ("[0, 0]", "not all 0"),
        ("[1, -1]", "numbers from 0 up"),
        ("[1, 2.5]", "Expected `int`"),
    ],
)
def test_what_is_no_landscape_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "landscape.json"
    file.write_text(text)
    with pytest.raises(LandscapeError, match=message):
        read_landscape(file)


def test_a_landscape_has_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "landscape.json"
    file.write_text("[1, 2, 3]")
    assert read_landscape(file).cumulative == (1, 3, 6)
    monkeypatch.setattr("loadtest.landscape.LANDSCAPE_BINS_MAX", 2)
    with pytest.raises(LandscapeError, match="3 entries; 2 is the most"):
        read_landscape(file)
    monkeypatch.setattr("loadtest.landscape.LANDSCAPE_BYTES_MAX", 5)
    with pytest.raises(LandscapeError, match="larger than 5 bytes"):
        read_landscape(file)
