"""Requests that no ad should go to: crawlers, machines in data centres, sellers without a right to sell.

A bidder can only hold a request against lists, and the lists are the operator's (`traffic.yaml`,
`config.schema.Traffic`). They are compiled once for each config:

    suspicion = suspicion_of(bundle.traffic)             None when no list says anything
    suspicion.reason(request, profile)                   a Reason, or None

User agents and supply chains repeat, so what was found of one is remembered. Addresses are not: they are
personal data, and a search in the sorted networks takes no longer.
"""

import ipaddress
import socket
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache

from bidder.decision.reasons import Reason
from bidder.openrtb import wire
from bidder.openrtb.decode import Part
from bidder.openrtb.translate import site_domain
from config.limits import CHAINS_CACHED_MAX, PART_BYTES_CACHED_MAX, USER_AGENTS_CACHED_MAX
from config.schema import Crawler, ExchangeProfile, Traffic

_PUBLISHER: Part[wire.Publisher] = Part(wire.Publisher)
_SOURCE: Part[wire.Source] = Part(wire.Source)
_CHAIN_HOLDER: Part[wire.ChainHolder] = Part(wire.ChainHolder)
_SUPPLY_CHAIN: Part[wire.SupplyChain] = Part(wire.SupplyChain)
_NOTHING = (b"", b"null")


class Networks:
    """A set of addresses, as sorted ranges of both families' numbers."""

    def __init__(self, cidrs: Iterable[str]) -> None:
        networks = [ipaddress.ip_network(cidr, strict=False) for cidr in cidrs]
        fours = [network for network in networks if isinstance(network, ipaddress.IPv4Network)]
        sixes = [network for network in networks if isinstance(network, ipaddress.IPv6Network)]
        self._starts: dict[int, list[int]] = {}
        self._ends: dict[int, list[int]] = {}
        for family, collapsed in (
            (socket.AF_INET, list(ipaddress.collapse_addresses(fours))),
            (socket.AF_INET6, list(ipaddress.collapse_addresses(sixes))),
        ):
            self._starts[family] = [int(network.network_address) for network in collapsed]
            self._ends[family] = [int(network.broadcast_address) for network in collapsed]

    def __contains__(self, address: str) -> bool:
        """Tell whether an address is in one of the networks; what is no address is in none."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            number = int.from_bytes(socket.inet_pton(family, address), "big")
        except (OSError, ValueError):
            return False
        place = bisect_right(self._starts[family], number) - 1
        return place >= 0 and number <= self._ends[family][place]


class Suspicion:
    """The compiled lists of one config."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._data_centres = Networks(traffic.data_centres) if traffic.data_centres else None
        self._blocked_nodes = {(node.asi, node.sid) for node in traffic.blocked_nodes}
        self._asks_for_seller = traffic.complete_chain_required or traffic.listed_only
        self._asks_for_seller |= bool(traffic.blocked_nodes or traffic.sellers)
        # Domains are compared in small letters, bundles as they are.
        self._sellers = {
            name: frozenset(listed)
            for place, listed in traffic.sellers.items()
            for name in (place.lower(), place)
        }
        self._is_crawler = lru_cache(USER_AGENTS_CACHED_MAX)(self._matches_crawler)
        self._chain = lru_cache(CHAINS_CACHED_MAX)(_read_chain)

    def reason(self, request: wire.BidRequest, exchange: ExchangeProfile) -> Reason | None:
        """Return why a request is not bid on, or None when no list speaks against it."""
        traffic = self._traffic
        device = request.device
        if device is not None:
            if traffic.crawlers and device.ua and self._is_crawler(device.ua):
                return Reason.CRAWLER
            if self._data_centres is not None and (
                (device.ip and device.ip in self._data_centres)
                or (device.ipv6 and device.ipv6 in self._data_centres)
            ):
                return Reason.DATA_CENTRE
        if traffic.user_agent_required and (device is None or not (device.ua or device.sua)):
            return Reason.NOT_HUMAN
        return self._seller_reason(request, exchange) if self._asks_for_seller else None

    def _seller_reason(self, request: wire.BidRequest, exchange: ExchangeProfile) -> Reason | None:
        data = _chain_bytes(request)
        chain = _read_chain(data) if len(data) > PART_BYTES_CACHED_MAX else self._chain(data)
        if self._traffic.complete_chain_required and (chain is None or not chain.complete):
            return Reason.CHAIN_INCOMPLETE
        nodes = [((node.asi or "").lower(), node.sid) for node in (chain.nodes if chain else None) or ()]
        for asi, sid in nodes:
            if (asi, None) in self._blocked_nodes or (asi, sid) in self._blocked_nodes:
                return Reason.CHAIN_BLOCKED
        if not self._sellers and not self._traffic.listed_only:
            return None
        listed = next((self._sellers[p] for p in _places(request) if p in self._sellers), None)
        if listed is None:
            return Reason.SELLERS_UNKNOWN if self._traffic.listed_only else None
        # Whoever sells to us: the chain's last node, or the account the exchange names.
        asi, sid = nodes[-1] if nodes else (exchange.seller_domain or "", _publisher_id(request))
        return Reason.SELLER_UNLISTED if asi and sid and f"{asi} {sid}" not in listed else None

    def _matches_crawler(self, user_agent: str) -> bool:
        text = user_agent.lower()
        return any(_matches(crawler, text) for crawler in self._traffic.crawlers)


def suspicion_of(traffic: Traffic) -> Suspicion | None:
    """Compile the lists, or return None when they are empty."""
    return None if traffic == Traffic() else Suspicion(traffic)


def _matches(crawler: Crawler, user_agent: str) -> bool:
    pattern = crawler.pattern.lower()
    found = user_agent.startswith(pattern) if crawler.at_start else pattern in user_agent
    return found and not any(excepted.lower() in user_agent for excepted in crawler.unless)


def _read_chain(data: bytes) -> wire.SupplyChain | None:
    return _SUPPLY_CHAIN.read(data) if data else None


def _chain_bytes(request: wire.BidRequest) -> bytes:
    """Return the unread supply chain of a request, from any of its three homes; empty without one.

    `source.schain` (2.6), `source.ext.schain` (2.5), `ext.schain` (Xandr).
    """
    if request.source is not wire.ABSENT:
        source = _SOURCE.read(bytes(request.source))
        if source is not None:
            for chain in (source.schain, source.ext.schain if source.ext is not None else wire.ABSENT):
                if bytes(chain) not in _NOTHING:
                    return bytes(chain)
    if request.ext is not wire.ABSENT:
        holder = _CHAIN_HOLDER.read(bytes(request.ext))
        if holder is not None:
            return bytes(holder.schain)
    return b""


def _publisher_id(request: wire.BidRequest) -> str | None:
    """Return the id of the site's or app's publisher in the exchange's own books."""
    channel = request.site or request.app
    publisher = _PUBLISHER.read(bytes(channel.publisher)) if channel and channel.publisher else None
    return publisher.id if publisher is not None else None


def _places(request: wire.BidRequest) -> Iterable[str]:
    """What a seller list may call the place: the app's bundle, or the site's domain and those above it."""
    if request.app is not None and request.app.bundle:
        yield request.app.bundle
    domain = site_domain(request.site) if request.site is not None else ""
    while domain:
        yield domain
        domain = domain.partition(".")[2]
