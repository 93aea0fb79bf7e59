"""Requests that lists speak against: crawlers, data centres, sellers."""

import ipaddress
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidder.decision.reasons import Reason
from bidder.openrtb.decode import decode_request
from bidder.openrtb.suspicion import Networks, suspicion_of
from config.schema import ChainNode, Crawler, ExchangeProfile, Traffic
from tests.factories import bid_request

MARKET = ExchangeProfile(id="market", seller_domain="market.example")
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"


def reason(traffic: Traffic, /, profile: ExchangeProfile = MARKET, **fields: Any) -> Reason | None:
    suspicion = suspicion_of(traffic)
    assert suspicion is not None
    request = decode_request(json.dumps(bid_request(**fields)).encode())
    first = suspicion.reason(request, profile)
    # What is remembered is what was found.
    assert suspicion.reason(request, profile) is first
    return first


def chain(*nodes: tuple[str, str], complete: Any = 1) -> dict[str, Any]:
    return {"ver": "1.0", "complete": complete, "nodes": [{"asi": a, "sid": s, "hp": 1} for a, s in nodes]}


def test_no_lists_suspect_nobody() -> None:
    assert suspicion_of(Traffic()) is None


@pytest.mark.parametrize(
    ("user_agent", "found"),
    [
        (BROWSER, None),
        ("ExampleBot/2.1 (+https://bot.example)", Reason.CRAWLER),
        ("Mozilla/5.0 (compatible; examplebot)", Reason.CRAWLER),
        ("Mozilla/5.0 (Linux; Android 14; CuBot X) Examplebot", None),
        ("fetch/1.0", Reason.CRAWLER),
        ("Mozilla/5.0 prefetch/1.0", None),
        ("", None),
    ],
)
def test_a_crawler_is_known_by_its_user_agent(user_agent: str, found: Reason | None) -> None:
    lists = Traffic(
        crawlers=(
            Crawler(pattern="ExampleBot", unless=("cubot",)),
            Crawler(pattern="fetch/", at_start=True),
        )
    )
    assert reason(lists, device={"ua": user_agent}) is found
    assert reason(lists, device={}) is None


def test_a_user_agent_may_be_required_in_either_form() -> None:
    lists = Traffic(user_agent_required=True)
    assert reason(lists, device={"os": "Windows"}) is Reason.NOT_HUMAN
    assert reason(lists, device=None) is Reason.NOT_HUMAN
    assert reason(lists, device={"ua": BROWSER}) is None
    assert reason(lists, device={"sua": {"platform": {"brand": "Windows"}}}) is None


def test_addresses_in_data_centres() -> None:
    lists = Traffic(data_centres=("198.51.100.0/24", "2001:db8::/32"))
    assert reason(lists, device={"ip": "198.51.100.7"}) is Reason.DATA_CENTRE
    assert reason(lists, device={"ipv6": "2001:db8:0:1::2"}) is Reason.DATA_CENTRE
    for harmless in ({"ip": "203.0.113.7"}, {"ipv6": "2001:db9::1"}, {"ip": "not an address"}, {}):
        assert reason(lists, device=harmless) is None


ADDRESSES = (
    st.ip_addresses() | st.ip_addresses(network="198.51.0.0/16") | st.ip_addresses(network="2001:db8::/96")
)
NETWORKS = st.tuples(ADDRESSES, st.integers(8, 32)).map(lambda pair: f"{pair[0]}/{pair[1]}")


@given(st.lists(NETWORKS, max_size=12), ADDRESSES)
def test_networks_hold_what_the_standard_library_says(cidrs: list[str], address: Any) -> None:
    networks = [ipaddress.ip_network(cidr, strict=False) for cidr in cidrs]
    assert (str(address) in Networks(cidrs)) is any(address in network for network in networks)


@pytest.mark.parametrize(
    "home",
    [
        lambda found: {"source": {"schain": found}},
        lambda found: {"source": {"ext": {"schain": found}}},
        lambda found: {"ext": {"schain": found}},
        # What is there and says nothing does not stand in the way of the next.
        lambda found: {"source": {"schain": None, "ext": {"schain": found}}},
        lambda found: {"source": {"schain": None, "ext": {"schain": None}}, "ext": {"schain": found}},
    ],
)
def test_the_chain_is_read_at_each_of_its_homes(home: Any) -> None:
    lists = Traffic(
        complete_chain_required=True,
        blocked_nodes=(ChainNode(asi="bad.example"), ChainNode(asi="market.example", sid="9")),
    )
    assert reason(lists, **home(chain(("market.example", "1")))) is None
    assert reason(lists, **home(chain(("market.example", "1"), complete=0))) is Reason.CHAIN_INCOMPLETE
    assert reason(lists, **home(chain(("ok.example", "1"), ("BAD.example", "2")))) is Reason.CHAIN_BLOCKED
    assert reason(lists, **home(chain(("market.example", "9")))) is Reason.CHAIN_BLOCKED


@pytest.mark.parametrize(
    "found", [None, {}, [], "complete", {"complete": "yes"}, {"complete": 0, "nodes": 5}]
)
def test_a_chain_that_says_nothing_is_incomplete(found: Any) -> None:
    asked: dict[str, Any] = {"source": {"schain": found}}
    assert reason(Traffic(complete_chain_required=True), **asked) is Reason.CHAIN_INCOMPLETE
    assert reason(Traffic(blocked_nodes=(ChainNode(asi="bad.example"),)), **asked) is None


def test_a_chain_may_come_with_quoted_numbers() -> None:
    asked: dict[str, Any] = {"source": {"schain": chain(("market.example", "1"), complete="1")}}
    assert reason(Traffic(complete_chain_required=True), **asked) is None


def test_only_listed_sellers_sell_a_listed_site() -> None:
    lists = Traffic(
        sellers={
            "news.example": ("market.example 47", "resale.example 5"),
            "com.game.example": ("market.example 48",),
            "Daily.example": ("market.example 47",),
        }
    )

    def sold_by(*nodes: tuple[str, str], domain: str = "news.example", page: str = "") -> Reason | None:
        return reason(lists, site={"domain": domain, "page": page}, source={"schain": chain(*nodes)})

    assert sold_by(("resale.example", "5")) is None
    assert sold_by(("elsewhere.example", "1"), ("market.example", "47")) is None
    assert sold_by(("market.example", "47"), ("market.example", "99")) is Reason.SELLER_UNLISTED
    assert sold_by(("market.example", "99"), domain="www.news.example") is Reason.SELLER_UNLISTED
    assert sold_by(("market.example", "99"), domain="live.news.example") is Reason.SELLER_UNLISTED
    assert (
        sold_by(("market.example", "99"), domain="", page="https://news.example/") is Reason.SELLER_UNLISTED
    )
    assert sold_by(("market.example", "99"), domain="other.example") is None
    # A list may have been written with capitals, as bundles have them.
    assert sold_by(("market.example", "99"), domain="daily.example") is Reason.SELLER_UNLISTED
    # Without a chain, by the account at the exchange.
    app = {"bundle": "com.game.example", "publisher": {"id": 48}}
    assert reason(lists, site=None, app=app) is None
    app["publisher"] = {"id": "47"}
    assert reason(lists, site=None, app=app) is Reason.SELLER_UNLISTED
    assert reason(lists, ExchangeProfile(id="market"), site=None, app=app) is None


def test_sites_without_a_list_can_be_refused() -> None:
    lists = Traffic(sellers={"news.example": ("market.example 47",)}, listed_only=True)
    assert reason(lists, site={"domain": "blog.example"}) is Reason.SELLERS_UNKNOWN
    assert reason(lists, site={"domain": "news.example", "publisher": {"id": "47"}}) is None
    assert reason(Traffic(listed_only=True), site={"domain": "news.example"}) is Reason.SELLERS_UNKNOWN
