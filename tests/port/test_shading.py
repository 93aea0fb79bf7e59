"""Shaded prices at the port: a worker takes them up with the plan, by device, and its tokens say which."""

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from bidder.openrtb.notice_token import Notice, TokenSigner
from config.schema import ExchangeProfile, Targeting
from config.settings import load_secrets
from pacing.plan import Plan, publish
from pacing.price_grid import PRICE_EDGES_CPM_MICROS, SHADE_BINS, band_of
from pacing.shading import EXPLORED_SHARE, Shading, publish_shading
from tests.factories import advertiser, bid_request, bundle, campaign, line_item
from tests.running import RunningWorker, running_worker
from tests.waiting import SECONDS_MAX

DESKTOP, PHONE = 2, 4
_TOKEN = re.compile(r"[?&]t=([^&]+)")


def row(price_cpm_micros: int) -> bytes:
    """The same price for whatever value."""
    edge = int(np.searchsorted(PRICE_EDGES_CPM_MICROS, price_cpm_micros))
    return np.full(SHADE_BINS, edge, "<u2").tobytes()


async def bid(worker: RunningWorker, **fields: Any) -> dict[str, Any]:
    (found,) = await worker.bids(bid_request(**fields))
    return found


def notice(worker: RunningWorker, found: dict[str, Any]) -> Notice:
    match = _TOKEN.search(found["burl"])
    assert match is not None
    read = TokenSigner(load_secrets(Path(worker.settings.secret_file)).notice_key).read(match[1])
    assert read is not None
    return read


async def test_prices_are_shaded_by_device_and_second_prices_not(redis_url: str, tmp_path: Path) -> None:
    config = bundle(exchanges=[ExchangeProfile(id="plain")])
    async with running_worker(redis_url, config, tmp_path) as worker:
        assert (await bid(worker))["price"] == 5
        rows = {"plain/banner": row(2_000_000), "plain/banner/phone": row(3_000_000)}
        await publish_shading(worker.redis, Shading(version=8, rows=rows))
        await publish(worker.redis, Plan(made_at_s=time.time(), version=9, shading_version=8))
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                if (await bid(worker))["price"] < 5:
                    break
                await asyncio.sleep(0.02)
        desktop, phone = [
            [(await bid(worker, device={"devicetype": type_}))["price"] for _ in range(20)]
            for type_ in (DESKTOP, PHONE)
        ]
        assert abs(np.median(desktop) / 2 - 1) < 0.02
        assert abs(np.median(phone) / 3 - 1) < 0.02
        assert max(desktop) <= 2 * 1.02 * (1 + EXPLORED_SHARE)
        assert (await bid(worker, at=2))["price"] == 5


async def test_a_token_says_the_device_but_not_a_deals(redis_url: str, tmp_path: Path) -> None:
    items = [
        line_item("open"),
        line_item("private", cpm=9, targeting=Targeting(deals=("deal-1",))),
    ]
    config = bundle(advertiser(campaigns=[campaign(line_items=items)]))
    async with running_worker(redis_url, config, tmp_path) as worker:
        open_auction = await bid(worker, device={"devicetype": PHONE})
        assert notice(worker, open_auction).device == "phone"
        assert notice(worker, open_auction).value_band == band_of(5_000_000)
        assert notice(worker, await bid(worker, device={"devicetype": 99})).device == "unknown"
        deal: dict[str, Any] = {"id": "1", "banner": {"format": [{"w": 300, "h": 250}]}}
        deal["pmp"] = {"deals": [{"id": "deal-1", "bidfloor": 1.0, "at": 1}]}
        private = await bid(worker, imp=[deal])
        assert private["dealid"] == "deal-1"
        assert notice(worker, private).device == ""
        screen = {"id": "1", "banner": {"format": [{"w": 300, "h": 250}]}, "qty": {"multiplier": 2.5}}
        assert notice(worker, await bid(worker, imp=[screen])).device == ""
