"""From bids to clicks to a model to other bids: a worker, the notices and the trainer, on one server."""

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec

from bidder.events.directory import LiveDirectory
from bidder.events.notices import NoticeDesk
from bidder.events.outcome import Kind
from bidder.events.segment_rules import RuleBook
from bidder.openrtb.notice_token import Notice, TokenSigner
from bidder.training.trainer import Trainer
from config.money import CpmMicros, Money
from config.schema import Bundle
from config.settings import load_secrets
from pacing import prediction
from pacing.ledger import Ledger
from tests.factories import advertiser, bid_request, bundle, campaign, line_item
from tests.running import RunningWorker, running_worker
from tests.waiting import SECONDS_MAX

CLICKS_OF_20 = {"good.example": 3, "bad.example": 1}
"""How many of twenty impressions on a site are clicked."""
START_S = 1_000_000.0


def clicks_wanted() -> Bundle:
    item = line_item(bid_cpm=None, bid_cpc=Money(50_000_000), bid_cpm_max=CpmMicros(30_000_000))
    return bundle(advertiser(campaigns=[campaign(line_items=[item])]))


def on(site: str) -> dict[str, Any]:
    imp = {"id": "1", "banner": {"format": [{"w": 300, "h": 250}]}}
    return bid_request(imp=[imp], site={"domain": site}, at=2)


async def bid_on(worker: RunningWorker, site: str) -> dict[str, Any]:
    (bid,) = await worker.bids(on(site))
    return bid


class Audience:
    """Sees the ads of two sites, and clicks them as often as `CLICKS_OF_20` says."""

    def __init__(self, desk: NoticeDesk, signer: TokenSigner, bids: dict[str, dict[str, Any]]) -> None:
        self._desk = desk
        self._signer = signer
        self._bids = {site: notice_of(signer, bid) for site, bid in bids.items()}
        self._sequence = 1_000

    async def look(self) -> None:
        """See some ads that were bid with, as far as their context goes, like the first on their site."""
        for _ in range(15):
            for site, notice in self._bids.items():
                taken = []
                for n in range(20):
                    self._sequence += 1
                    said = msgspec.structs.replace(notice, sequence=self._sequence)
                    token = self._signer.sign(**msgspec.structs.asdict(said)).decode()
                    kinds: list[Kind] = ["impression", "click"] if n < CLICKS_OF_20[site] else ["impression"]
                    taken += [self._desk.take(kind, {"t": token}, 0) for kind in kinds]
                await asyncio.gather(*taken)


def notice_of(signer: TokenSigner, bid: dict[str, Any]) -> Notice:
    token = re.search(r"[?&]t=([A-Za-z0-9_-]+)", bid["burl"])
    assert token is not None
    notice = signer.read(token[1])
    assert notice is not None
    return notice


async def test_bids_rise_where_clicks_come(redis_url: str, tmp_path: Path) -> None:
    config = clicks_wanted()
    async with running_worker(redis_url, config, tmp_path) as worker:
        # A click in a thousand impressions, as long as nothing is known, at $0.05 is a CPM of 0.05.
        bids = {site: await bid_on(worker, site) for site in CLICKS_OF_20}
        assert [bid["price"] for bid in bids.values()] == [0.05, 0.05]
        secrets = load_secrets(Path(worker.settings.secret_file))
        rules = RuleBook(worker.redis, worker.identity)
        await rules.use(config)
        signer = TokenSigner(secrets.notice_key)
        desk = NoticeDesk(worker.redis, Ledger(worker.redis), signer, LiveDirectory(config, {}), rules)
        audience = Audience(desk, signer, bids)
        trainer = Trainer(worker.redis, "test", review_seconds=1)
        assert not await trainer.round(config, START_S), "there is nothing yet"
        await audience.look()
        assert not await trainer.round(config, START_S + 2), "a candidate is frozen, and proves itself first"
        published = False
        for window in range(2, 5):
            await audience.look()
            published = published or await trainer.round(config, START_S + 2 * window)
        assert published
        model = await prediction.fetch(worker.redis)
        assert model is not None
        assert set(model.events) == {"click"}
        async with asyncio.timeout(SECONDS_MAX):
            while (good := (await bid_on(worker, "good.example"))["price"]) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        bad = (await bid_on(worker, "bad.example"))["price"]
        # 15 % and 5 % of clicks at $0.05 are worth a CPM of 7.50 and 2.50.
        assert 5 < good < 10
        assert 1.5 < bad < 4
        assert trainer.leading
