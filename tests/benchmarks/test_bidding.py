"""The bidding protocols at a small size, on real data where it is, and the way they report."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bidding import clicks, day, predicted
from benchmarks.bidding.__main__ import main, run_all
from benchmarks.bidding.auctions import Auctions, DataAbsent, SharedData
from benchmarks.bidding.page import write_page
from benchmarks.bidding.results import Line, Picture, Result, as_builtins, at_least, at_most
from tests.shared_data import shared_data


def some_auctions(count: int) -> Auctions:
    draws = np.random.default_rng(3)
    rate = draws.lognormal(-7, 1, count)
    price = draws.integers(1, 200, count)
    return Auctions(draws.random(count) < rate, price, rate, np.sort(draws.integers(0, day.HOURS, count)))


def test_a_cell_is_reached_on_its_own_side() -> None:
    assert [at_least("a", figure, 2).reached for figure in (1.9, 2, 3)] == [False, True, True]
    assert [at_most("a", figure, 2).reached for figure in (1.9, 2, 3)] == [True, True, False]


def test_what_is_printed_has_every_cell_with_its_reference_and_no_picture() -> None:
    picture = Picture(title="t", x_label="x", y_label="y", lines=[Line("l", [0.0], [1.0])])
    result = Result(about="b", cells=[at_least("c", 1.0, 2.0, "others 3")], pictures=[picture])
    assert as_builtins(result) == {
        "about": "b",
        "reached": False,
        "cells": [
            {
                "name": "c",
                "figure": 1.0,
                "reference": 2.0,
                "bound": "min",
                "published": "others 3",
                "reached": False,
            }
        ],
    }


def test_data_that_is_absent_is_said_and_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json", "--only", "E1,E4", "--data", str(tmp_path)])
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"E1", "E4"}
    assert all("no auctions/" in result["skipped"] for result in printed.values())


def test_a_page_shows_cells_and_lines(tmp_path: Path) -> None:
    picture = Picture(title="Spend <&>", x_label="hour", y_label="share", lines=[Line("l", [0, 1], [0, 2])])
    results = {"E9": Result(about="b", cells=[at_most("c", 1.0, 2.0)], pictures=[picture])}
    write_page(tmp_path / "page.html", results, "machine")
    text = (tmp_path / "page.html").read_text()
    assert "Spend &lt;&amp;&gt;" in text
    assert "<polyline" in text


def test_the_knapsack_buys_the_dearest_value_for_money_of_each_episode() -> None:
    rate, price = np.array([3.0, 1.0, 2.0]), np.array([10, 10, 10])
    auctions = Auctions(np.zeros(3, np.bool_), price, rate, np.zeros(3, np.int64))
    assert clicks.knapsack(auctions, 20) == 5.0


def test_a_replay_never_spends_more_than_an_episode_has() -> None:
    auctions, budget = some_auctions(2_000), 1_500
    won = clicks.replay(auctions, budget)
    for start in (0, 1_000):
        spent = int(auctions.price[start : start + 1_000][won[start : start + 1_000]].sum())
        assert 0.9 * budget < spent <= budget


def test_a_day_is_replayed_in_its_own_time_and_within_its_budget() -> None:
    auctions = some_auctions(20_000)
    times = day.times_s(auctions)
    assert (np.diff(times) > 0).all()
    assert (times // day.HOUR_S == auctions.hour).all()
    budget = int(auctions.price.sum() / 8)
    replayed = day.replay(auctions, budget, day.wrong_plan(auctions, 0), 1.0)
    assert 0.99 * budget < replayed.spent <= budget
    assert replayed.value <= day.hindsight(auctions, budget) * 1.01
    assert replayed.deviation_max < 0.03


def test_the_protocols_run_on_the_real_data() -> None:
    folder = shared_data("auctions", "2997.test.txt").parents[1]
    shared_data("auctions", "1458.train.txt")
    results = run_all(["E1"], SharedData(folder), small=True)
    assert [cell.name for cell in results["E1"].cells][-1] == "all budgets: share of hindsight clicks"
    assert results["E1"].cells[-1].figure > 0.95


def test_the_area_under_the_curve_is_how_often_a_click_is_rated_above() -> None:
    draws = np.random.default_rng(5)
    rates, click = draws.integers(0, 6, 200) / 100, draws.random(200) < 0.2
    pairs = [(with_, without) for with_ in rates[click] for without in rates[~click]]
    naive = sum((with_ > without) + (with_ == without) / 2 for with_, without in pairs) / len(pairs)
    assert predicted.auc(rates, click) == pytest.approx(naive)
    scores = predicted.scored(np.full(4, 0.25), np.array([True, False, False, False]))
    assert scores.log_loss == pytest.approx(-(np.log(0.25) + 3 * np.log(0.75)) / 4)
    assert (scores.auc, scores.ratio) == (0.5, 1.0)


def test_tenths_have_equally_many_predicted_clicks_and_miss_none() -> None:
    draws = np.random.default_rng(5)
    rates = draws.lognormal(-4, 1, 20_000)
    click = draws.random(20_000) < rates
    groups = predicted.tenths(rates, click)
    assert [group.predicted for group in groups] == pytest.approx([rates.sum() / 10] * 10, rel=0.02)
    assert sum(group.came for group in groups) == click.sum()
    assert sum(group.impressions for group in groups) == 20_000
    means = [group.predicted / group.impressions for group in groups]
    assert means == sorted(means)


def test_the_trainer_learns_from_rows_what_their_steps_are_worth() -> None:
    draws = np.random.default_rng(5)
    rate = np.where(draws.random(12_000) < 0.5, 0.02, 0.2)
    zeros = np.zeros(12_000, np.int64)
    rows = Auctions(draws.random(12_000) < rate, zeros, rate, zeros)
    rates = asyncio.run(predicted.learned(rows.part(slice(0, 8_000)), rows.part(slice(8_000, None))))
    for step in (0.02, 0.2):
        assert rates[rate[8_000:] == step].mean() == pytest.approx(step, rel=0.2)


def test_hours_of_a_week_sum_to_one_and_name_their_regions() -> None:
    data = SharedData(shared_data("traffic", "hour_of_week.csv").parents[1])
    assert data.hour_of_week().sum() == pytest.approx(1)
    with pytest.raises(DataAbsent):
        data.landscape(1)
