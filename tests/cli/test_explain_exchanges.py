"""`hustings explain` names what an exchange, its politics, the DSA or a list of traffic has against a bid."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bidder.cli.main import command_line
from bidder.decision.reasons import Mismatch
from tests.config.folder import edited, write_folder
from tests.factories import bid_request

EXCHANGES = {
    "plain": "political: {countries: [USA], barred: [{regions: [USA-CA], scopes: [state]}]}",
    "careful": "approval_required: true",
    "registered": "markup: registered",
    "wanting": "requires: [language]",
    "numeric": "requires: [numeric_seat]",
    "google": "extensions: google\npolitical: {countries: [USA], audiences: false}",
    "paused": "paused: true",
    "elsewhere": "name: Shows nothing political",
    "generous": "bids_per_imp_max: 4",
}
TRAFFIC = """\
crawlers: [{pattern: examplebot}]
data_centres: [198.51.100.0/24]
blocked_nodes: [{asi: bad.example}]
"""
FILES = {f"exchanges/{id_}.yaml": f"id: {id_}\n{text}\n" for id_, text in EXCHANGES.items()}
FILES["traffic.yaml"] = TRAFFIC
POLITICAL = edited("id: spring\n", "id: spring\n    political: {paid_for_by: Oak, scope: state}\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path, FILES)


def explained(folder: Path, exchange: str = "plain", **fields: Any) -> tuple[set[str], str]:
    """Return the sentences about line items, and what was said instead of any."""
    path = folder / "request.json"
    path.write_text(json.dumps(bid_request(device={"geo": {"country": "USA", "region": "IA"}}) | fields))
    arguments = ["explain", str(path), "--config", str(folder), "--exchange", exchange, "--json"]
    result = CliRunner().invoke(command_line(arguments), arguments)
    if result.exit_code:
        return set(), result.stderr
    ads = [ad for imp in json.loads(result.stdout)["imps"] for ad in imp["ads"]]
    return {ad["why"] for ad in ads}, ""


def test_what_keeps_a_second_ad_from_an_imp_and_a_break(folder: Path) -> None:
    audio = {"mimes": ["audio/mpeg"], "minduration": 5, "maxduration": 60, "podid": "a"}
    places = [{"id": str(number), "audio": audio | {"poddedupe": [1]}} for number in range(2)]
    assert Mismatch.POD_TWICE in explained(folder, imp=places)[0]
    assert Mismatch.POD_TWICE not in explained(folder, imp=places[:1])[0]
    native = {"request": json.dumps({"ver": "1.2", "assets": [{"id": 1, "title": {"len": 90}}]})}
    mixed = {"id": "1", "audio": audio | {"podid": ""}, "native": native}
    assert Mismatch.SAME_CREATIVE in explained(folder, "generous", imp=[mixed])[0]
    assert Mismatch.SAME_CREATIVE not in explained(folder, imp=[mixed])[0]


@pytest.mark.parametrize(
    ("exchange", "mismatch"),
    [
        ("careful", Mismatch.CREATIVE_UNAPPROVED),
        ("registered", Mismatch.CREATIVE_UNREGISTERED),
        ("wanting", Mismatch.LANGUAGE_MISSING),
        ("numeric", Mismatch.SEAT_NOT_NUMERIC),
    ],
)
def test_what_an_exchange_refuses(folder: Path, exchange: str, mismatch: Mismatch) -> None:
    assert str(mismatch) in explained(folder, exchange)[0]
    assert str(mismatch) not in explained(folder)[0]


def test_where_politics_is_not_shown(folder: Path) -> None:
    write_folder(folder, FILES | POLITICAL)
    california = {"geo": {"country": "USA", "region": "CA"}}
    assert Mismatch.POLITICAL_PLACE in explained(folder, device=california)[0]
    assert Mismatch.POLITICAL_PLACE not in explained(folder)[0]
    assert Mismatch.POLITICAL_PLACE in explained(folder, "elsewhere")[0]


def test_a_required_dsa_declaration(folder: Path) -> None:
    assert Mismatch.DSA_MISSING in explained(folder, regs={"ext": {"dsa": {"dsarequired": 3}}})[0]


def test_billing_ids(folder: Path) -> None:
    imp = {"id": "1", "banner": {"format": [{"w": 300, "h": 250}]}, "ext": {"billing_id": ["7", "8"]}}
    assert Mismatch.BILLING_ID in explained(folder, "google", imp=[imp])[0]


@pytest.mark.parametrize(
    ("exchange", "fields", "sentence"),
    [
        ("paused", {}, "the exchange is paused"),
        ("plain", {"device": {"ua": "ExampleBot/1"}}, "the user agent is a crawler's"),
        ("plain", {"device": {"ip": "198.51.100.1"}}, "the device's address is in a data centre"),
        (
            "plain",
            {"source": {"schain": {"complete": 1, "nodes": [{"asi": "bad.example", "sid": "1"}]}}},
            "the supply chain has a blocked node",
        ),
    ],
)
def test_what_no_line_item_bids_on(
    folder: Path, exchange: str, fields: dict[str, Any], sentence: str
) -> None:
    lines, said = explained(folder, exchange, **fields)
    assert not lines
    assert f"no bid: {sentence}" in " ".join(said.split())
