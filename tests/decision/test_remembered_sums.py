"""What a model's weights of a request's parts come to is remembered: of this model, and of this request."""

from collections.abc import Sequence

import numpy as np
import pytest

from bidder.decision import contexts, match_rows, places
from bidder.decision.columns import CandidateColumns
from bidder.decision.decide import Users, decide
from bidder.decision.schedule import active_ads
from bidder.decision.scoring import compile_scoring, predictor
from bidder.decision.snapshot import Snapshot, compile_snapshot
from bidder.openrtb.opportunity import BannerShape, MediaOffer, Opportunity
from config.money import Money
from pacing.caps import unpack_caps
from pacing.cells import cells_of
from pacing.lease import LeaseBook
from pacing.pending import open_pending
from pacing.prediction import SCORE_ONE, EventModel, Model, exponential_link, worth
from pacing.shading import shade_table
from tests import factories
from tests.decision.world import NOW_S, noise

PRICE_PER_CLICK = Money(2_000_000_000)
LEASED = 2**60


def model(weights_seed: int) -> Model:
    link = tuple(exponential_link().tolist())
    return Model(
        version=1, made_at_s=NOW_S, events={"click": EventModel(-6 * SCORE_ONE, noise(weights_seed), link)}
    )


def snapshot() -> Snapshot:
    item = factories.line_item(
        "per-click",
        creatives=["small", "large"],
        bid_cpm=None,
        bid_cpm_max=Money(10**12),
        bid_cpc=PRICE_PER_CLICK,
    )
    config = factories.bundle(
        factories.advertiser(
            creatives=[factories.banner("small"), factories.banner("large", 970, 250)],
            campaigns=[factories.campaign("spring", [item])],
        )
    )
    return compile_snapshot(config, {})


def request(place: int, context: int, slot: int) -> Opportunity:
    """A request with numbers for what the marks of its three parts say."""
    own = (slot + 1, 1)
    small = factories.slot(media=MediaOffer(banner=BannerShape(sizes=(own, (300, 250)))))
    large = factories.slot("2", media=MediaOffer(banner=BannerShape(sizes=(own, (970, 250)))))
    return factories.opportunity(
        small, large, region=f"region-{place}", domain=f"site-{context}.example", device_type=context % 6
    )


def prices(compiled: Snapshot, live: Model, requests: Sequence[Opportunity]) -> list[int]:
    """Decide a batch; no exchange asks for the first price here, so a price is the value."""
    columns = CandidateColumns(compiled)
    for position, opportunity in enumerate(requests):
        columns.add(position, opportunity, 0)
    book = LeaseBook(compiled.account_codes, compiled.account_bid_max_cpm_micros)
    book.multiplier_q16[:] = 1 << 16
    book.available[:] = LEASED
    bits = np.zeros((1, compiled.segment_words), np.uint64)
    users = Users(bits, np.array([False]), np.zeros(1, np.uint64), *unpack_caps([None]))
    cells = cells_of(exchange.id for exchange in compiled.bundle.exchanges)
    decisions = decide(
        compiled,
        active_ads(compiled.schedule, NOW_S),
        columns,
        users,
        shade_table({}, cells),
        book,
        open_pending(),
        NOW_S,
        1,
        compile_scoring(live, compiled),
    )
    assert (decisions.ad >= 0).all()
    return [int(price) for price in decisions.price_cpm_micros]


def expected(compiled: Snapshot, live: Model, requests: Sequence[Opportunity]) -> list[int]:
    """Work the same prices out from all slots of each example."""
    predict = predictor(live)
    ads = {ad.creative.id: ad for ad in compiled.ads}
    found = []
    for opportunity in requests:
        for slot, creative in zip(opportunity.slots, ("small", "large"), strict=True):
            rate = predict("click", ads[creative], opportunity, slot, NOW_S)
            assert rate is not None
            found.append(int(worth(int(PRICE_PER_CLICK), rate)))
    return found


@pytest.mark.parametrize("others", [(1, 0, 0), (0, 1, 0), (0, 0, 1)], ids=["place", "context", "slot"])
def test_a_new_model_is_not_told_what_the_last_one_summed(others: tuple[int, int, int]) -> None:
    """When the second request asks, all but one of its parts are summed already."""
    compiled = snapshot()
    requests = [request(0, 0, 0), request(*others)]
    for live in (model(0), model(1), model(0)):
        told = prices(compiled, live, requests)
        assert told == expected(compiled, live, requests)
        assert len(set(told)) == 4


def test_a_request_is_not_told_what_was_summed_for_one_that_had_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for memory, limit in (
        (contexts, "CONTEXTS_CACHED_MAX"),
        (places, "PLACES_CACHED_MAX"),
        (match_rows, "MEDIA_SHAPES_CACHED_MAX"),
    ):
        monkeypatch.setattr(memory, limit, 1)
    compiled, live = snapshot(), model(0)
    for first in (0, 100, 50):
        # More than the tables hold at first, and others in each batch.
        requests = [request(*[first + number] * 3) for number in range(70)]
        assert prices(compiled, live, requests) == expected(compiled, live, requests)
