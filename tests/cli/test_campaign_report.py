"""`hustings campaign report` as a person runs it."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from bidder.cli.main import command_line
from bidder.redis_client import redis_client
from config import bundle_store
from tests.factories import BUNDLE_KEY, advertiser, bundle, campaign

CONFIG = bundle(advertiser("shop", [campaign("harvest"), campaign("winter")]))


@pytest.fixture
def url(redis_url: str) -> str:
    async def publish() -> None:
        async with redis_client(redis_url) as client:
            await bundle_store.publish(client, CONFIG, BUNDLE_KEY)

    asyncio.run(publish())
    return redis_url


def campaign_report(url: str, *words: str) -> Result:
    return CliRunner().invoke(command_line(["campaign"]), ["campaign", "report", "--redis", url, *words])


def test_it_shows_all_campaigns_or_those_named_and_writes_files(url: str, tmp_path: Path) -> None:
    shown = campaign_report(url)
    assert shown.exit_code == 0
    assert ("harvest" in shown.output, "winter" in shown.output) == (True, True)
    assert "no request was sampled" in shown.output
    page, rows = tmp_path / "report.html", tmp_path / "report.csv"
    one = campaign_report(url, "winter", "--days", "7", "--html", str(page), "--csv", str(rows))
    assert one.exit_code == 0
    assert "harvest" not in one.output
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert rows.read_text("utf-8").splitlines()[1].startswith("winter,,,0,")


def test_json_is_all_there_is_on_stdout(url: str) -> None:
    answer = campaign_report(url, "--json")
    whole: dict[str, Any] = msgspec.json.decode(answer.stdout)
    assert [one["id"] for one in whole["campaigns"]] == ["harvest", "winter"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["harvets"], "no campaign is called `harvets`; did you mean `harvest`?"),
        (["--html", "/nowhere/at/all.html"], "can't write /nowhere/at/all.html: No such file or directory"),
        (["--csv", "/"], "can't write /: it is a folder; name a file"),
    ],
)
def test_what_is_wrong_is_a_sentence_and_status_2(url: str, words: list[str], said: str) -> None:
    answer = campaign_report(url, *words)
    assert (answer.exit_code, answer.stderr.strip().splitlines()[-1]) == (2, said)
