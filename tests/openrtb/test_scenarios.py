"""Every golden scenario, through the bid port's own path, and as `hustings explain` tells it."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bidder.cli.main import command_line
from bidder.decision.reasons import Reason
from config.load import load_folder
from loadtest.validate import problems
from tests.offline_port import Answer, OfflinePort
from tests.openrtb.houses import house_of
from tests.openrtb.scenario import FOLDER, Scenario, differences, read

PATHS = sorted(FOLDER.glob("*.json"))
SCENARIOS_MIN = 60


def test_there_are_scenarios_and_each_is_named_after_its_claim() -> None:
    assert len(PATHS) >= SCENARIOS_MIN
    claims = [read(path).claim for path in PATHS]
    assert len(set(claims)) == len(claims)
    assert [path.stem for path in PATHS] == [slug(read(path).claim) for path in PATHS]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_scenario(path: Path, tmp_path: Path) -> None:
    scenario = read(path)
    folder = scenario.write_config(tmp_path / "config")
    bundle = load_folder(folder)
    port = OfflinePort(bundle, scenario.segments)
    answer = asyncio.run(port.ask(scenario.body(), scenario.exchange))
    expected = scenario.expected
    if "bids" in expected:
        _check_bids(scenario, answer)
        profile = next(profile for profile in bundle.exchanges if profile.id == scenario.exchange)
        house = house_of(profile, bundle.engine)
        assert problems(json.loads(scenario.body()), answer.json, house) == []
    elif "status" in expected:
        assert (answer.status, answer.body) == (expected["status"], b"")
        return
    else:
        assert answer.bids == []
        assert [Reason(reason).name.lower() for reason in port.tally.no_bids] == [expected["no_bid"]]
    told = _explained(scenario, folder, tmp_path)
    for text in [expected["why"]] if isinstance(expected.get("why"), str) else expected.get("why", ()):
        assert text in told


def _check_bids(scenario: Scenario, answer: Answer) -> None:
    wanted = scenario.expected["bids"]
    bids = answer.bids
    assert len(bids) == len(wanted), answer
    seats = [seat["seat"] for seat in answer.json["seatbid"] for _ in seat["bid"]]
    found = [
        text
        for one, bid, seat in zip(wanted, bids, seats, strict=True)
        for text in differences(one, bid | {"seat": seat, "cur": answer.json["cur"]})
    ]
    assert not found, "; ".join(found)


def _explained(scenario: Scenario, folder: Path, tmp_path: Path) -> str:
    """Return what `hustings explain` prints; it must not contradict the port."""
    request = tmp_path / "request.json"
    request.write_bytes(scenario.body())
    segments = [argument for name in scenario.segments for argument in ("--segment", name)]
    arguments = ["--config", str(folder), "--exchange", scenario.exchange, "--json", *segments]
    result = CliRunner().invoke(command_line(["explain"]), ["explain", str(request), *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    if result.exit_code == 0:
        told = json.loads(result.stdout)
        assert any(imp["bid"] for imp in told["imps"]) == ("bids" in scenario.expected)
    return result.output


def slug(claim: str) -> str:
    """Return a claim as a file name."""
    words = "".join(c if c.isalnum() else " " for c in claim.replace("'", "").replace("’", "").lower())
    return "-".join(words.split())
