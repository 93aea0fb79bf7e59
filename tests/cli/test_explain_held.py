"""`hustings explain` on a live engine's data: what people hold by hand."""

import asyncio
import json
from pathlib import Path

import redis.asyncio
from typer.testing import CliRunner

from bidder.cli.main import command_line
from config import bundle_store
from config.money import BILLION
from config.schema import code_of
from config.settings import ensure_secret_file
from pacing import stop as global_stop
from pacing.ledger import Ledger
from pacing.stop import Stop
from tests.factories import BUNDLE_KEY, bid_request, bundle


async def test_a_stop_and_a_pause_are_named(
    redis_client: redis.asyncio.Redis, redis_url: str, tmp_path: Path
) -> None:
    config, ledger = bundle(), Ledger(redis_client)
    await bundle_store.publish(redis_client, config, BUNDLE_KEY)
    (campaign,) = config.campaigns_by_code().values()
    await ledger.register(code_of(campaign.id), campaign.id, BILLION, None, "UTC")
    ensure_secret_file(tmp_path)
    request = tmp_path / "request.json"
    request.write_text(json.dumps(bid_request()))

    async def explained(*options: str) -> str:
        where = ["--redis", redis_url, "--data", str(tmp_path), *options]
        # The command runs a loop of its own.
        result = await asyncio.to_thread(
            lambda: CliRunner().invoke(command_line(), ["explain", str(request), *where])
        )
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    assert "stopped" not in await explained()
    assert json.loads(await explained("--json"))["stopped"] is None
    await global_stop.put(redis_client, Stop("ann", 1.0, "wrong [creative]"))
    stopped = "All bidding is stopped by ann (wrong [creative]); `hustings budget start` ends that"
    assert stopped in await explained()
    answers = json.loads(await explained("--json"))
    assert answers["stopped"] == stopped
    (ad,) = answers["imps"][0]["ads"]
    assert ad["reason"] == "bid", "were it not for the stop"
    await ledger.pause(code_of(campaign.id))
    (ad,) = json.loads(await explained("--json"))["imps"][0]["ads"]
    assert (ad["reason"], ad["why"]) == (
        "no_budget",
        f"its campaign is paused (`hustings budget resume {campaign.id}` ends that)",
    )
