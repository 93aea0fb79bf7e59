"""exchanges/<id>.yaml: how an exchange differs from the specification, and what it demands."""

from typing import Annotated, Literal

from msgspec import Meta

from config.limits import (
    BIDS_PER_IMP_MAX,
    BIDS_PER_RESPONSE_MAX,
    LINK_DAYS_MAX,
    LINK_DAYS_MIN,
    NOTICE_TIMEOUT_SECONDS_MAX,
)
from config.schema.terms import POLITICAL_SCOPES, Country, Domain, Id, Model, PoliticalScope, Region, Url


class BarredRegions(Model, frozen=True, kw_only=True):
    """Regions where an exchange shows no political ads of these scopes."""

    regions: tuple[Region, ...]
    scopes: tuple[PoliticalScope, ...] = POLITICAL_SCOPES


class PoliticalRules(Model, frozen=True, kw_only=True):
    """Where an exchange shows political ads: in the countries named, and so by default nowhere."""

    countries: tuple[Country, ...] = ()
    barred: tuple[BarredRegions, ...] = ()
    audiences: bool = True
    """Whether a political ad may be aimed at an audience, or bid more for one."""


RequiredField = Literal[
    "iurl", "banner_iurl", "attr", "language", "ext_protocol", "billing_id", "seat", "numeric_seat", "https"
]
PriceMacro = Annotated[str, Meta(pattern=r"^\$\{AUCTION_PRICE(:[A-Z0-9_]{1,16})?\}$")]
PricePlace = Literal["nurl", "burl", "markup", "vast_impression"]


class ExchangeProfile(Model, frozen=True, kw_only=True):
    """How one exchange differs from the specification's defaults."""

    id: Id
    name: str = ""
    paused: bool = False
    tmax_default_ms: Annotated[int, Meta(ge=10, le=5_000)] = 100
    network_allowance_ms: Annotated[int, Meta(ge=0, le=1_000)] = 20
    auction_type_default: Literal[1, 2] = 2
    billing_event: Literal["burl", "impression", "nurl"] = "burl"
    price_encryption: Literal["none", "google", "openx"] = "none"
    price_macro: PriceMacro = "${AUCTION_PRICE}"
    price_macro_in: tuple[PricePlace, ...] = ("nurl", "burl", "markup", "vast_impression")
    notices: tuple[Literal["nurl", "lurl"], ...] = ("nurl", "lurl")
    notice_timeout_seconds: Annotated[int, Meta(ge=1, le=NOTICE_TIMEOUT_SECONDS_MAX)] = 10
    markup: Literal["adm", "registered"] = "adm"
    approval_required: bool = False
    requires: tuple[RequiredField, ...] = ()
    extensions: Literal["none", "google"] = "none"
    bids_max: Annotated[int, Meta(ge=1, le=BIDS_PER_RESPONSE_MAX)] = BIDS_PER_RESPONSE_MAX
    bids_per_imp_max: Annotated[int, Meta(ge=1, le=BIDS_PER_IMP_MAX)] = 1
    no_bid: Literal["empty", "reason", "processing_time"] = "empty"
    political: PoliticalRules = PoliticalRules()
    seller_domain: Domain | None = None
    """What sellers' lists call the exchange."""
    sync_redirect_url: str | None = None
    setuid_urls: tuple[Url, ...] = ()
    """Prebid servers' /setuid, without a query: where a call of /sync may ask to be sent."""
    id_source: Id | None = None
    """The name `eids` have for this exchange's own ids of people. With it, /sync links them to ours."""
    id_field: Literal["buyeruid", "id"] | None = None
    """The field of `user` that holds the exchange's own id; None: it is in `eids` only."""
    link_days: Annotated[int, Meta(ge=LINK_DAYS_MIN, le=LINK_DAYS_MAX)] = 30
    """How long such a link holds after the last sync."""
