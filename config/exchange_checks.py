"""Whether exchanges and what is said to them fit together: prices, seats, reviews, politics, the DSA.

Part of `config.check`. An ad that merely lacks what one exchange requires is no fault: it does not bid
there, and `hustings explain` says so. A fault is what could not work anywhere, or what names nothing.
"""

from collections.abc import Mapping
from ipaddress import ip_network
from urllib.parse import urlsplit

from config.faults import SchemaPath
from config.findings import Findings, Known
from config.schema import POLITICS, Advertiser, Campaign, Engine, ExchangeProfile, PricePlace, Traffic
from config.wording import nearest_hint

_PRICED_BY: dict[str, tuple[PricePlace, ...]] = {
    "burl": ("burl",),
    "nurl": ("nurl",),
    "impression": ("markup", "vast_impression"),
}
"""Where each billing event reads the price from."""
_OUR_SOURCES = ("cookie", "ifa")
"""Names of spaces of ids that no exchange may take (`segments.identity`, `bidder.openrtb.person`)."""


def check_exchange(findings: Findings, path: SchemaPath, exchange: ExchangeProfile) -> None:
    """Note what keeps an exchange's bids from being billed, or its political rules from applying."""
    event = exchange.billing_event
    for place in _PRICED_BY[event]:
        if place not in exchange.price_macro_in:
            message = f"`billing_event: {event}` needs the price in `{place}`; add it, or bill by another"
            findings.add((*path, "price_macro_in"), message, rests_on=[(*path, "billing_event")])
    if event == "impression" and exchange.markup == "registered":
        message = "registered creatives carry no pixel of ours; bill by `burl` or `nurl`"
        findings.add((*path, "billing_event"), message, rests_on=[(*path, "markup")])
    if "OXCRYPT" in exchange.price_macro and exchange.price_encryption != "openx":
        message = "prices come back encrypted; write `price_encryption: openx` as well"
        findings.add((*path, "price_macro"), message, rests_on=[(*path, "price_encryption")])
    _check_sync(findings, path, exchange)
    rules = exchange.political
    for index, barred in enumerate(rules.barred):
        barred_path = (*path, "political", "barred", index, "regions")
        if not barred.regions:
            findings.add(barred_path, "`regions` is an empty list; name regions, or take the entry out")
        for r, region in enumerate(barred.regions):
            if region.partition("-")[0] not in rules.countries:
                message = f"`{region}` is in no country of `countries`, where political ads are barred anyway"
                findings.add((*barred_path, r), message, rests_on=[(*path, "political", "countries")])


def _check_sync(findings: Findings, path: SchemaPath, exchange: ExchangeProfile) -> None:
    """Note ids without a name of their own, and addresses that more than one place could be meant by."""
    if exchange.id_field is not None and exchange.id_source is None:
        message = "ids need a name to be told from others; add `id_source`, as `eids` have it"
        findings.add((*path, "id_field"), message, rests_on=[(*path, "id_source")])
    if exchange.id_source in _OUR_SOURCES:
        message = f"`{exchange.id_source}` is what we call ids of another kind; use the exchange's domain"
        findings.add((*path, "id_source"), message)
    for index, url in enumerate(exchange.setuid_urls):
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.path.strip("/") or parts.query or parts.fragment:
            message = f"`{url}` must be https, with a path and no query, like https://prebid.example/setuid"
            findings.add((*path, "setuid_urls", index), message)


def check_traffic(findings: Findings, traffic: Traffic) -> None:
    """Note networks that are none."""
    for index, cidr in enumerate(traffic.data_centres):
        try:
            ip_network(cidr, strict=False)
        except ValueError as error:
            message = f"{error}; write a network like 192.0.2.0/24 or 2001:db8::/32"
            findings.add(("traffic", "data_centres", index), message)


def check_declarations(
    findings: Findings, path: SchemaPath, advertiser: Advertiser, exchanges: Known, engine: Engine
) -> None:
    """Note exchanges an advertiser names that are not there, and declarations that are missing."""
    _check_exchange_names(findings, (*path, "seats"), advertiser.seats, exchanges)
    _check_exchange_names(findings, (*path, "billing_ids"), advertiser.billing_ids, exchanges)
    for index, creative in enumerate(advertiser.creatives):
        _check_exchange_names(
            findings, (*path, "creatives", index, "approvals"), creative.approvals, exchanges
        )
    if advertiser.dsa is not None and engine.platform_domain is None:
        message = (
            "a DSA declaration says whose platform chose the ad; name it in engine.yaml (`platform_domain`)"
        )
        findings.add((*path, "dsa"), message, rests_on=[("engine",)])
    for index, campaign in enumerate(advertiser.campaigns):
        _check_disclaimer(findings, (*path, "campaigns", index), campaign, advertiser)


def _check_exchange_names(
    findings: Findings, path: SchemaPath, by_exchange: Mapping[str, object], exchanges: Known
) -> None:
    for name in by_exchange:
        if name not in exchanges.names:
            message = f"there is no file exchanges/{name}.yaml{nearest_hint(name, exchanges.names)}"
            findings.add((*path, name), message, rests_on=exchanges.written)


def _check_disclaimer(
    findings: Findings, path: SchemaPath, campaign: Campaign, advertiser: Advertiser
) -> None:
    """A political ad must say who paid for it, wherever it is shown."""
    if campaign.political is not None:
        return
    undeclared = {
        creative.id
        for creative in advertiser.creatives
        if creative.political is None and POLITICS in (*advertiser.categories, *creative.categories)
    }
    for index, line_item in enumerate(campaign.line_items):
        for name in line_item.creatives:
            if name in undeclared:
                message = (
                    f"`{name}` is politics ({POLITICS}) and nothing says who paid for it; give the campaign "
                    "or the creative `political: {paid_for_by: ..., scope: ...}`"
                )
                findings.add(
                    (*path, "line_items", index, "creatives"),
                    message,
                    rests_on=[(*path, "political"), (*path[:-2], "categories"), (*path[:-2], "creatives")],
                )
                return
