"""The targeting dimensions: what a line item may ask of a request, one entry each.

A dimension where every ad wants one of some values becomes rows of bits (`bidder.decision.snapshot`):
for each value the ads that accept it, those that want nothing in particular included. The
request's value picks the row. Adding such a dimension is one line in DIMENSIONS: the columns, the
kernel and `hustings explain` follow the table.

Places (an OR over four kinds of value) and blocks (the exchange's bcat, badv and seats, and
excluded places and inventory) are not of that form; `Snapshot` holds their rows apart.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter

import msgspec

from bidder.decision.reasons import Mismatch
from bidder.openrtb.opportunity import Opportunity
from config.schema import DEVICE_KINDS, Advertiser, Campaign, Creative, Inventory, LineItem

Value = str


class Ad(msgspec.Struct, frozen=True):
    """The unit that bids: a line item with one of its creatives."""

    advertiser: Advertiser
    campaign: Campaign
    line_item: LineItem
    creative: Creative


def _itself(offered: Value) -> tuple[Value, ...]:
    return (offered,)


class Dimension(msgspec.Struct, frozen=True):
    """One question a line item may ask of a request."""

    name: str
    mismatch: Mismatch
    wanted: Callable[[Ad], Iterable[Value]]
    """The values an ad asks for; none means any."""
    offered: Callable[[Opportunity], Value]
    """The request's one value; an empty string when it does not say."""
    reads: tuple[str, ...]
    """The fields of an Opportunity that `offered` looks at."""
    met_by: Callable[[Value], Iterable[Value]] = _itself
    """The wanted values that an offered one meets, itself first, then ever less specific ones."""
    values: tuple[Value, ...] = ()
    """Offered values that need a row of their own even when no ad names them."""


def inventory_keys(inventory: Inventory) -> list[Value]:
    """Return the keys of a domain and bundle list: `site:news.example`, `app:com.example.game`."""
    domains = [f"site:{domain.lower().removeprefix('www.')}" for domain in inventory.domains]
    return domains + [f"app:{bundle}" for bundle in inventory.bundles]


def offered_inventory(opportunity: Opportunity) -> str:
    """Return the key of where the ad would show: the app's bundle, or the site's domain."""
    if opportunity.bundle:
        return f"app:{opportunity.bundle}"
    return f"site:{opportunity.domain}" if opportunity.domain else ""


def met_inventory(offered: Value) -> Iterable[Value]:
    """Yield an inventory key and, for a site, each parent domain: a list covers its subdomains."""
    yield offered
    if offered.startswith("site:"):
        domain = offered.removeprefix("site:")
        while domain := domain.partition(".")[2]:
            yield f"site:{domain}"


_DEVICES_MET: dict[Value, tuple[Value, ...]] = {
    # AdCOM's 1 says only "phone or tablet", so it meets either; `mobile` in a config means both.
    "mobile": ("mobile", "phone", "tablet"),
    "phone": ("phone", "mobile"),
    "tablet": ("tablet", "mobile"),
}

DIMENSIONS: tuple[Dimension, ...] = (
    Dimension(
        "exchange",
        Mismatch.EXCHANGE,
        lambda ad: ad.line_item.targeting.exchanges,
        attrgetter("exchange_id"),
        ("exchange_id",),
    ),
    Dimension(
        "device",
        Mismatch.DEVICE,
        lambda ad: ad.line_item.targeting.devices,
        lambda opportunity: DEVICE_KINDS.get(opportunity.device_type, ""),
        ("device_type",),
        lambda offered: _DEVICES_MET.get(offered, (offered,)),
        values=tuple(DEVICE_KINDS.values()),
    ),
    Dimension(
        "operating system",
        Mismatch.OPERATING_SYSTEM,
        lambda ad: ad.line_item.targeting.operating_systems,
        attrgetter("operating_system"),
        ("operating_system",),
    ),
    Dimension(
        "inventory",
        Mismatch.INVENTORY,
        lambda ad: inventory_keys(ad.line_item.targeting.inventory.include),
        offered_inventory,
        ("bundle", "domain"),
        met_inventory,
    ),
)
