"""`hustings explain` says how a price came about."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from bidder.cli.main import command_line
from tests.config.folder import edited, write_folder
from tests.factories import bid_request

CLICKS = """\
bid_cpc: 0.50
        bid_cpm_max: 9
        expected_rate: 0.2%
        bid_adjustments: {segments: {renters: 1.5}, zips: {USA-50309: 2}}
"""


def explained(tmp_path: Path, *options: str) -> str:
    texts = edited(
        "bid_cpm: 3\n", CLICKS, "[oak-song, oak-card]", "[oak-box]", "- id: oak-box", "- id: oak-box"
    )
    config = write_folder(tmp_path / "config", texts)
    request = tmp_path / "request.json"
    device = {"devicetype": 2, "geo": {"country": "USA", "zip": "50309"}}
    request.write_text(json.dumps(bid_request(device=device)))
    arguments = ["explain", str(request), "--config", str(config), *options]
    result = CliRunner().invoke(command_line(), arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_rate_and_the_adjustments_are_told(tmp_path: Path) -> None:
    answer: dict[str, Any] = json.loads(explained(tmp_path, "--segment", "renters", "--json"))
    (radio,) = [ad for ad in answer["imps"][0]["ads"] if ad["line_item"] == "spring-radio"]
    # 0.2 % of $0.50 is a CPM of 1, times 1.5 and 2.
    figures = {
        "pays_for": "click",
        "rate": "0.002",
        "adjustment": "3",
        "worth": "3",
        "paced": "3",
        "price": "3",
    }
    assert radio.items() >= figures.items()
    assert answer["imps"][0]["bid"] == {"line_item": "spring-radio", "price": "3"}


def test_they_are_told_in_words(tmp_path: Path) -> None:
    told = " ".join(explained(tmp_path).split())
    assert "bids 2 CPM (0.2 % of 0.5 USD a click, adjusted by 2, worth 2 CPM)" in told
