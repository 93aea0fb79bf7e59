"""The traffic that campaigns match: what counts, what does not, compiled and as plain Python."""

from typing import Any

import numpy as np
import pytest

from bidder.decision import traffic
from bidder.decision.columns import CandidateColumns
from bidder.decision.decide import Users
from bidder.decision.snapshot import compile_snapshot
from config.schema import Geo, Places, SlotTargeting, Targeting, code_of
from pacing.caps import unpack_caps
from segments.bitsets import bits_from_indices
from tests import factories

EVERYONE, GARDENERS, ABROAD, DEAR, PAUSED = "everyone", "gardeners", "abroad", "dear", "paused"


@pytest.fixture(params=[True, False], ids=["compiled", "plain"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        plain = traffic.add_matches.py_func

        def records(
            arrays: Any, candidates: Any, blocked: Any, contexts: Any, places: Any, *rest: Any
        ) -> None:
            candidates, contexts, places = (of.view(np.recarray) for of in (candidates, contexts, places))
            plain(arrays, candidates, blocked, contexts, places, *rest)

        monkeypatch.setattr(traffic, "add_matches", records)


def matched(*slots: dict[str, Any], gardener: bool = False) -> dict[str, int]:
    """How many candidates of a request each campaign matches."""
    campaigns = [
        factories.campaign(EVERYONE, [factories.line_item("a1", 2.0), factories.line_item("a2", 1.0)]),
        factories.campaign(GARDENERS, [factories.line_item("b", 2.0, audience="gardeners")]),
        factories.campaign(
            ABROAD,
            [factories.line_item("c", 2.0, targeting=Targeting(geo=Geo(include=Places(countries=("CAN",)))))],
        ),
        factories.campaign(DEAR, [factories.line_item("d", 9.0)]),
        factories.campaign(PAUSED, [factories.line_item("e", 2.0, paused=True)], paused=True),
        factories.campaign(
            "fullscreen",
            [factories.line_item("f", 2.0, targeting=Targeting(slot=SlotTargeting(interstitial=True)))],
        ),
    ]
    config = factories.bundle(factories.advertiser(campaigns=campaigns), segments=["gardeners"])
    snapshot = compile_snapshot(config, {"gardeners": 0})
    columns = CandidateColumns(snapshot)
    asked = factories.opportunity(*(factories.slot(str(index), **slot) for index, slot in enumerate(slots)))
    columns.add(0, asked, 1)
    bits = np.zeros((2, snapshot.segment_words), np.uint64)
    if gardener:
        bits[1] = bits_from_indices([0], snapshot.segment_words)
    users = Users(bits, np.array([False, True]), np.array([0, 1], np.uint64), *unpack_caps([None, None]))
    counts = traffic.count_matches(snapshot, columns, users)
    names = {code_of(campaign.id): campaign.id for campaign in campaigns}
    return {
        names[code]: count
        for code, count in zip(snapshot.account_codes, counts.tolist(), strict=False)
        if count
    }


@pytest.mark.usefixtures("kernel")
def test_a_campaign_matches_whatever_its_schedule_and_its_rivals() -> None:
    assert matched({}) == {EVERYONE: 1, DEAR: 1, PAUSED: 1}


@pytest.mark.usefixtures("kernel")
def test_the_person_must_be_in_the_audience() -> None:
    assert matched({}, gardener=True) == {EVERYONE: 1, GARDENERS: 1, DEAR: 1, PAUSED: 1}


@pytest.mark.usefixtures("kernel")
def test_the_full_price_must_reach_the_floor_and_each_imp_counts_once() -> None:
    slots = [{"floor_cpm_micros": 1_500_000}, {"floor_cpm_micros": 5_000_000}, {}]
    assert matched(*slots) == {EVERYONE: 2, DEAR: 3, PAUSED: 2}
