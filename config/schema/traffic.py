"""traffic.yaml: the requests that nobody bids on."""

from typing import Annotated

from msgspec import Meta

from config.schema.terms import Domain, Model, Network, Place, Seller


class Crawler(Model, frozen=True, kw_only=True):
    """A user agent that contains `pattern`, whatever the case, and nothing of `unless`."""

    pattern: Annotated[str, Meta(min_length=1, max_length=200)]
    unless: tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...] = ()
    at_start: bool = False


class ChainNode(Model, frozen=True, kw_only=True):
    """An intermediary of a supply chain: one account (`sid`) at an exchange or reseller, or all of them."""

    asi: Domain
    sid: str | None = None


class Traffic(Model, frozen=True, kw_only=True):
    """What requests no line item bids on, whatever they offer (`bidder.openrtb.suspicion`)."""

    crawlers: tuple[Crawler, ...] = ()
    user_agent_required: bool = False
    data_centres: tuple[Network, ...] = ()
    complete_chain_required: bool = False
    blocked_nodes: tuple[ChainNode, ...] = ()
    sellers: dict[Place, tuple[Seller, ...]] = {}
    """A site's domain or an app's bundle, and who may sell it: the first two fields of its ads.txt."""
    listed_only: bool = False
