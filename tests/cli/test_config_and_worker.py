"""`hustings config` against a worker that bids: applied, gone back from, and tampered with."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from bidder.cli.config import app
from bidder.metrics import CONFIGS_REFUSED
from config.calendar import SECONDS_PER_DAY
from config.load import load_folder
from config.money import CpmMicros
from config.redis_keys import BUNDLE, BUNDLE_CHANNEL, BUNDLE_VERSION
from config.schema import decode_bundle, encode_bundle
from config.settings import SECRET_ENV
from pacing.floors_seen import floors_seen
from tests.cli.test_watched_folder import SIMPLE, save
from tests.config.folder import write_folder
from tests.factories import bid_request
from tests.running import RunningWorker, running_worker
from tests.waiting import SECONDS_MAX


async def hustings_config(worker: RunningWorker, *arguments: str) -> str:
    """Run the command beside the worker, as another process would."""
    words = [*arguments, "--redis", worker.settings.redis_url]
    result = await asyncio.to_thread(CliRunner().invoke, app, words)
    assert result.exit_code == 0, result.output
    return result.output


async def until_bidding(worker: RunningWorker, price: float) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while [bid["price"] for bid in await worker.bids(bid_request())] != [price]:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.02)


def refused() -> float:
    return float(CONFIGS_REFUSED.labels("forged")._value.get())


async def test_what_is_applied_and_gone_back_to_is_bid_and_what_is_forged_is_not(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "campaigns", {"advertisers/oak.yaml": SIMPLE})
    async with running_worker(redis_url, load_folder(folder), tmp_path) as worker:
        monkeypatch.setenv(SECRET_ENV, worker.settings.secret_file)
        await until_bidding(worker, 4.5)
        save(folder, "3.25")
        assert "bid_cpm 4.5 -> 3.25" in await hustings_config(worker, "apply", str(folder))
        await until_bidding(worker, 3.25)
        assert "is live again" in await hustings_config(worker, "rollback")
        await until_bidding(worker, 4.5)

        # What its requests ask is known to `hustings config check`.
        async with asyncio.timeout(SECONDS_MAX):
            while not (floors := await floors_seen(worker.redis, int(time.time()) // SECONDS_PER_DAY)):
                await worker.bids(bid_request())
        assert set(floors["plain"]) == {500_000}

        # Somebody who can write to Redis raises the price in the live bundle itself.
        data = await worker.redis.get(BUNDLE)
        assert isinstance(data, bytes)
        bundle = decode_bundle(data)
        (advertiser,) = bundle.advertisers
        (campaign,) = advertiser.campaigns
        items = tuple(
            msgspec.structs.replace(item, bid_cpm=CpmMicros(9_000_000)) for item in campaign.line_items
        )
        raised = msgspec.structs.replace(
            bundle,
            version="raised",
            advertisers=(
                msgspec.structs.replace(
                    advertiser, campaigns=(msgspec.structs.replace(campaign, line_items=items),)
                ),
            ),
        )
        before = refused()
        await worker.redis.mset({BUNDLE: encode_bundle(raised), BUNDLE_VERSION: "raised"})
        await worker.redis.publish(BUNDLE_CHANNEL, "raised")
        async with asyncio.timeout(SECONDS_MAX):
            while refused() == before:  # noqa: ASYNC110 - the worker announces it to nobody
                await asyncio.sleep(0.02)
        await until_bidding(worker, 4.5)
        # Who has the secret puts it right, and says that it was another's.
        result = await asyncio.to_thread(
            CliRunner().invoke, app, ["apply", str(folder), "--redis", worker.settings.redis_url]
        )
        assert result.exit_code == 2
        assert "not signed with this installation's secret" in result.output
        await hustings_config(worker, "apply", str(folder), "--sign-anew")
        await until_bidding(worker, 3.25)
