"""What our bidder must do for people's privacy and with politics, number by number, through the bid port."""

from typing import Any

import pytest

from tests.openrtb.checklist_config import VENDOR_ID, ask_for
from tests.openrtb.checklist_port import MEMBER, bids
from tests.openrtb.consent.strings import gpp_string, tc_string, us_section
from tests.running import RunningWorker

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_30_without_a_legal_basis_in_europe_nobody_is_recognised(worker: RunningWorker) -> None:
    async def recognised(consent: str | None) -> bool:
        user = MEMBER["user"] | ({"consent": consent} if consent else {})
        return bool(await bids(worker, ask_for(30, regs={"gdpr": 1}, user=user)))

    everything = range(1, 11)
    assert await recognised(tc_string([VENDOR_ID], everything))
    for consent in (
        None,
        "not a consent string",
        tc_string([VENDOR_ID], everything, version=1),
        tc_string([VENDOR_ID], everything, disclosed=[VENDOR_ID + 1]),
        tc_string([VENDOR_ID], everything, disclosed=[]),
        tc_string([VENDOR_ID + 1], everything),
        tc_string([VENDOR_ID], [2, 3, 4]),
    ):
        assert not await recognised(consent), consent
    assert await bids(worker, ask_for(14, regs={"gdpr": 1})), "context is bid on all the same"


async def test_31_each_signal_switches_the_person_off(worker: RunningWorker) -> None:
    usnat = gpp_string({7: us_section("111111" + "122" + "0" * 12 + "00" + "0112")})
    hostile = "C" + "A" * 20_000
    assert await bids(worker, ask_for(30, **MEMBER))
    for fields in (
        {"regs": {"gpp": usnat, "gpp_sid": [7]}},
        {"regs": {"us_privacy": "1YYN"}},
        {"regs": {"ext": {"gpc": "1"}}},
        {"regs": {"coppa": 1}},
        {"device": {"lmt": 1}},
        {"device": {"dnt": 1}},
        {"regs": {"gdpr": 1}, "user": MEMBER["user"] | {"consent": hostile}},
        {"regs": {"gpp": hostile, "gpp_sid": [2, 7]}},
    ):
        assert not await bids(worker, ask_for(30, **(MEMBER | fields))), fields


async def test_33_political_ads_go_only_where_they_are_allowed(worker: RunningWorker) -> None:
    async def shown(
        country: str, region: str, exchange: str = "plain", **fields: Any
    ) -> list[dict[str, Any]]:
        geo = {"geo": {"country": country, "region": region}}
        return await bids(worker, ask_for(33, device=geo, **fields), exchange)

    (bid,) = await shown("USA", "IA")
    assert "IAB11-4" in bid["cat"]
    assert not await shown("USA", "NY")
    assert not await shown("DEU", "BE")
    assert not await shown("USA", "IA", "curious")
    assert not await shown("USA", "IA", bcat=["IAB11"])
    assert not await shown("USA", "IA", bcat=["IAB11-4"])
    assert not await bids(worker, ask_for(33)), "nobody says where that is"


async def test_34_a_required_declaration_is_given_and_rendered_once(worker: RunningWorker) -> None:
    async def declared(w: int = 300, h: int = 250, **dsa: int) -> dict[str, Any] | None:
        found = await bids(worker, ask_for(34, {"banner": {"w": w, "h": h}}, regs={"ext": {"dsa": dsa}}))
        return found[0]["ext"]["dsa"] if found else None

    answer = await declared(dsarequired=2, pubrender=2)
    assert answer is not None
    assert (answer["behalf"], answer["paid"], answer["adrender"]) == ("Shop", "Shop Holding", 0)
    assert await declared(dsarequired=3, pubrender=0) is None
    shows_its_own = await declared(336, 280, dsarequired=3, pubrender=0)
    assert shows_its_own is not None
    assert shows_its_own["adrender"] == 1
    vote = ask_for(
        33, device={"geo": {"country": "USA", "region": "IA"}}, regs={"ext": {"dsa": {"dsarequired": 2}}}
    )
    assert not await bids(worker, vote), "this advertiser has no declaration"


async def test_35_political_ads_are_not_aimed_at_people_where_that_is_barred(worker: RunningWorker) -> None:
    in_iowa = {"device": {"geo": {"country": "USA", "region": "IA"}}}
    assert await bids(worker, ask_for(35, **MEMBER, **in_iowa))
    assert not await bids(worker, ask_for(35, **MEMBER, **in_iowa), "google")
    assert await bids(worker, ask_for(33, **in_iowa), "google"), "without an audience it may"
