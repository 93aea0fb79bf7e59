"""What exchanges, seats, reviews, politics and the DSA must agree on: each fault, with its place."""

from pathlib import Path
from typing import Any

import pytest

from config.diff import diff
from config.load import load_folder
from config.schema import (
    Approval,
    BarredRegions,
    ChainNode,
    Crawler,
    Dsa,
    Political,
    Traffic,
    decode_bundle,
    encode_bundle,
)
from tests.config.folder import EXCHANGE, edited, write_folder
from tests.config.spoilt import HERE, the_fault_of

TRAFFIC = """\
crawlers:
  - {pattern: examplebot, unless: [cubot]}
user_agent_required: true
data_centres: [198.51.100.0/24, "2001:db8::/32"]
complete_chain_required: true
blocked_nodes: [{asi: bad.example}, {asi: market.example, sid: "9"}]
sellers:
  news.example: [market.example 47]
  com.Game.example: [market.example 47, resale.example 5]
listed_only: true
"""


def exchange(text: str) -> dict[str, str]:
    return {"exchanges/plain.yaml": EXCHANGE + text}


def political(text: str) -> dict[str, str]:
    return edited(
        "categories: [IAB13]\n", "categories: [IAB13, IAB11-4]\n", "id: spring\n", f"id: spring\n{text}"
    )


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        # Ids have a name, and a sync goes to one place.
        (exchange(f"id_field: {HERE}buyeruid\n"), "add `id_source`"),
        (exchange(f"id_source: {HERE}cookie\n"), "`cookie` is what we call ids of another kind"),
        (exchange(f"setuid_urls: [{HERE}http://prebid.example/setuid]\n"), "must be https, with a path"),
        (exchange(f"setuid_urls: [{HERE}https://prebid.example/]\n"), "must be https, with a path"),
        (
            exchange(f"setuid_urls: [https://a.example/setuid, {HERE}https://b.example/setuid?uid=1]\n"),
            "no query, like https://prebid.example/setuid",
        ),
        # What bills must say its price.
        (
            exchange(f"price_macro_in: {HERE}[nurl, markup, vast_impression]\n"),
            "`billing_event: burl` needs the price in `burl`",
        ),
        (
            exchange(f"billing_event: impression\nprice_macro_in: {HERE}[nurl, markup]\n"),
            "`billing_event: impression` needs the price in `vast_impression`",
        ),
        (
            exchange(f"billing_event: nurl\nprice_macro_in: {HERE}[burl]\n"),
            "`billing_event: nurl` needs the price in `nurl`",
        ),
        (
            exchange(f"billing_event: {HERE}impression\nmarkup: registered\n"),
            "registered creatives carry no pixel of ours",
        ),
        (
            exchange(f"price_macro: {HERE}${{AUCTION_PRICE:OXCRYPT}}\n"),
            "prices come back encrypted; write `price_encryption: openx` as well",
        ),
        (exchange(f"price_macro: {HERE}${{PRICE}}\n"), "it needs ${AUCTION_PRICE}, or with an encoding"),
        (exchange(f"requires: [iurl, {HERE}atr]\n"), "did you mean `attr`?"),
        # Politics.
        (
            exchange(f"political: {{countries: [USA], barred: [{{regions: [USA-CA, {HERE}CAN-ON]}}]}}\n"),
            "`CAN-ON` is in no country of `countries`",
        ),
        (
            exchange(f"political: {{countries: [USA], barred: [{{regions: {HERE}[]}}]}}\n"),
            "`regions` is an empty list",
        ),
        (
            edited("categories: [IAB13]", "categories: [IAB11-4]", "[oak-box, oak-clip]", f"{HERE}[oak-box]"),
            "`oak-box` is politics (IAB11-4) and nothing says who paid for it",
        ),
        (
            political(f"    political: {{paid_for_by: {HERE}'', scope: local}}\n"),
            "`paid_for_by` is ``; it needs some text",
        ),
        (
            political(f"    political: {{paid_for_by: Oak, scope: {HERE}county}}\n"),
            "`scope` is `county`; it needs one of ",
        ),
        (political(f"    political: {HERE}{{scope: local}}\n"), "`political` needs the key `paid_for_by`"),
        # Exchanges that are not there.
        (
            edited("categories: [IAB13]", f'categories: [IAB13]\nseats: {{plane: {HERE}"5"}}'),
            "there is no file exchanges/plane.yaml; did you mean `plain`?",
        ),
        (
            edited("categories: [IAB13]", f"categories: [IAB13]\nbilling_ids: {{plane: {HERE}5}}"),
            "there is no file exchanges/plane.yaml; did you mean `plain`?",
        ),
        (
            edited(
                "  - id: oak-card\n",
                f"  - id: oak-card\n    approvals: {{google: {HERE}{{state: pending}}}}\n",
            ),
            "there is no file exchanges/google.yaml",
        ),
        (
            edited("categories: [IAB13]", f'categories: [IAB13]\nseats: {{{HERE}a b: "5"}}'),
            "`a b` can't be a key here; it needs letters, digits",
        ),
        (
            edited("categories: [IAB13]", f'categories: [IAB13]\nseats: {{plain: "5", {HERE}plain: "6"}}'),
            "`plain` is written twice here",
        ),
        (edited("categories: [IAB13]", f"categories: [IAB13]\nseats: {HERE}[plain]"), "`seats` needs keys"),
        # The DSA.
        (
            edited("categories: [IAB13]", f"categories: [IAB13]\ndsa: {HERE}{{behalf: Oak, paid: Oak}}"),
            "name it in engine.yaml (`platform_domain`)",
        ),
        (
            edited("categories: [IAB13]", f"categories: [IAB13]\ndsa: {{behalf: O, paid: {HERE}{'x' * 101}}}")
            | {"engine.yaml": "platform_domain: dsp.example\n"},
            "it is 101 characters long; at most 100 are read",
        ),
        # Traffic.
        (
            {"traffic.yaml": f"data_centres: [198.51.100.0/24, {HERE}198.51.100.0/33]\n"},
            "write a network like 192.0.2.0/24",
        ),
        ({"traffic.yaml": f"data_centres: [{HERE}example.com]\n"}, "it needs addresses of a network"),
        ({"traffic.yaml": f"sellers: {{news.example: [{HERE}47]}}\n"}, "as ads.txt has them"),
    ],
)
def test_each_disagreement_is_told_with_its_place(
    tmp_path: Path, texts: dict[str, str], message: str
) -> None:
    fault, place = the_fault_of(tmp_path, texts)
    assert message in fault.message
    assert f"{fault.file}:{fault.line}:{fault.column}" == place


def test_a_folder_that_says_all_of_it(tmp_path: Path) -> None:
    texts: dict[str, str] = {
        "engine.yaml": "platform_domain: dsp.example\n",
        "traffic.yaml": TRAFFIC,
        "exchanges/openx.yaml": "id: openx\npaused: true\nbilling_event: impression\n"
        "price_encryption: openx\nprice_macro: ${AUCTION_PRICE:OXCRYPT}\nrequires: [seat, https]\n",
        **exchange("political: {countries: [USA], barred: [{regions: [USA-CA], scopes: [state]}]}\n"),
        **political("    political: {paid_for_by: Oak Savings, scope: issue}\n"),
    }
    texts["advertisers/oak.yaml"] = (
        texts["advertisers/oak.yaml"]
        .replace(
            "campaigns:",
            'seats: {openx: "958"}\nbilling_ids: {openx: 29290087654}\n'
            "dsa: {behalf: Oak, paid: Oak Holding}\ncampaigns:",
        )
        .replace(
            "  - id: oak-card\n",
            "  - id: oak-card\n    preview_url: https://cdn.oak.example/p.png\n"
            "    restricted_categories: [33]\n    shows_dsa_notice: true\n"
            "    approvals:\n      openx: {state: approved, id: 481923}\n",
        )
    )
    bundle = load_folder(write_folder(tmp_path, texts))
    (oak,) = bundle.advertisers
    assert (oak.seat_at("openx"), oak.seat_at("plain")) == ("958", "hustings")
    assert oak.billing_ids == {"openx": 29_290_087_654}
    assert oak.dsa == Dsa(behalf="Oak", paid="Oak Holding")
    assert oak.campaigns[0].political == Political(paid_for_by="Oak Savings", scope="issue")
    card = next(creative for creative in oak.creatives if creative.id == "oak-card")
    assert card.approvals == {"openx": Approval(state="approved", id="481923")}
    plain = next(profile for profile in bundle.exchanges if profile.id == "plain")
    assert plain.political.barred == (BarredRegions(regions=("USA-CA",), scopes=("state",)),)
    assert bundle.traffic == Traffic(
        crawlers=(Crawler(pattern="examplebot", unless=("cubot",)),),
        user_agent_required=True,
        data_centres=("198.51.100.0/24", "2001:db8::/32"),
        complete_chain_required=True,
        blocked_nodes=(ChainNode(asi="bad.example"), ChainNode(asi="market.example", sid="9")),
        sellers={
            "news.example": ("market.example 47",),
            "com.Game.example": ("market.example 47", "resale.example 5"),
        },
        listed_only=True,
    )
    assert decode_bundle(encode_bundle(bundle)) == bundle


def test_a_folder_without_lists_suspects_nobody(tmp_path: Path) -> None:
    assert load_folder(write_folder(tmp_path)).traffic == Traffic()


def test_changes_of_all_of_it_are_told(tmp_path: Path) -> None:
    before = load_folder(write_folder(tmp_path / "before"))
    texts: dict[str, Any] = {
        "traffic.yaml": "user_agent_required: true\n",
        **edited("  - id: oak-card\n", "  - id: oak-card\n    approvals: {plain: {state: pending}}\n"),
        **exchange("paused: true\n"),
    }
    after = load_folder(write_folder(tmp_path / "after", texts))
    assert {str(change) for change in diff(before, after)} == {
        "changed traffic `traffic`: user_agent_required no -> yes",
        "changed exchange `plain`: paused no -> yes",
        "changed creative `oak-card`: approvals nothing -> {plain: [{state: pending}]}",
    }
