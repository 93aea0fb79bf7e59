"""`hustings explain` on a live engine's data: the person behind an id that a sync linked."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import redis.asyncio
from typer.testing import CliRunner

from bidder.cli.main import command_line
from config import bundle_store
from config.calendar import SECONDS_PER_DAY
from config.money import BILLION
from config.schema import ExchangeProfile, code_of
from config.settings import ensure_secret_file, load_secrets
from pacing.ledger import Ledger
from segments.bitsets import bits_from_indices
from segments.identity import COOKIE, Identity
from segments.links import LinkStore
from segments.registry import SegmentRegistry
from segments.store import SegmentStore
from tests.factories import BUNDLE_KEY, advertiser, bid_request, bundle, campaign, line_item

HOSTED = ExchangeProfile(id="plain", id_source="hosted.example", id_field="id")


async def test_a_linked_id_is_explained_as_the_person(
    redis_client: redis.asyncio.Redis, redis_url: str, tmp_path: Path
) -> None:
    gardeners = campaign(line_items=[line_item(audience="gardeners")])
    config = bundle(
        advertiser(campaigns=[gardeners]),
        exchanges=[HOSTED],
        segments=["gardeners"],
    )
    await bundle_store.publish(redis_client, config, BUNDLE_KEY)
    await Ledger(redis_client).register(code_of(gardeners.id), gardeners.id, BILLION, None, "UTC")
    identity = Identity(load_secrets(ensure_secret_file(tmp_path)).identity_key)
    ann, today = identity.hash(COOKIE, "ann"), int(time.time()) // SECONDS_PER_DAY
    (bit,) = (await SegmentRegistry(redis_client).define({"gardeners": ""})).values()
    await SegmentStore(redis_client).write(
        np.array([ann], np.uint64), bits_from_indices([bit], 1)[None], today + 9
    )
    request = tmp_path / "request.json"
    request.write_text(json.dumps(bid_request(user={"id": "88"})))

    def reasons() -> list[str]:
        where = ["--redis", redis_url, "--data", str(tmp_path), "--json"]
        result = CliRunner().invoke(command_line(), ["explain", str(request), *where])
        assert result.exit_code == 0, result.output
        answers: dict[str, Any] = json.loads(result.stdout)
        return [ad["reason"] for ad in answers["imps"][0]["ads"]]

    async def explained() -> list[str]:
        # The command runs a loop of its own.
        return await asyncio.to_thread(reasons)

    assert await explained() == ["out_of_audience"]
    await LinkStore(redis_client).link(identity.hash("hosted.example", "88"), ann, 30, today)
    assert await explained() == ["bid"]
