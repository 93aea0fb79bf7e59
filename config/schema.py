"""The one model of a campaign config: what the YAML says is what every process reads.

A config folder holds

    engine.yaml              Engine: currency and other settings all advertisers share
    segments.yaml            the named audiences
    exchanges/<id>.yaml      one ExchangeProfile each
    advertisers/<id>.yaml    one Advertiser each: its campaigns, line items and creatives

`config.load` reads a folder into a Bundle, which travels as MessagePack through Redis
(`encode_bundle`, `decode_bundle`) to every process. Values a person writes as text are parsed
once, on loading: money to integers (`config.money`), times to `When`. Ids are the
manager's own words; `code_of` turns one into the 32-bit number that the ledger, the notice tokens
and the frequency caps use, so a renamed file or a removed campaign never strands a late notice.
"""

import hashlib
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from config.currency import Currencies, ExchangeRate, parse_rate
from config.limits import (
    BIDS_PER_IMP_MAX,
    BIDS_PER_RESPONSE_MAX,
    CAP_COUNT_MAX,
    CAP_GAP_MINUTES_MAX,
    CAP_LONG_COUNT_MAX,
    DISCLAIMER_CHARS_MAX,
    DOMAIN_CHARS_MAX,
    DSA_NAME_CHARS_MAX,
    HTML_CHARS_MAX,
    ID_CHARS_MAX,
    LINK_DAYS_MAX,
    LINK_DAYS_MIN,
    NOTICE_TIMEOUT_SECONDS_MAX,
    SEGMENT_TTL_DAYS_MAX,
)
from config.money import CpmMicros, Money, parse_cpm, parse_money
from config.value import PRICE_FIELDS, Factor, Price, Rate, parse_factor, parse_share

Id = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{ID_CHARS_MAX - 1}}}$")]
Pixels = Annotated[int, Meta(ge=1, le=16_384)]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s\"'<>\\]+$", max_length=2_000)]
Country = Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
Region = Annotated[str, Meta(pattern=r"^[A-Z]{3}-[A-Z0-9]{1,3}$")]
Zip = Annotated[str, Meta(pattern=r"^[A-Z]{3}-[A-Z0-9 -]{2,10}$")]
Page = Annotated[str, Meta(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+(/[^\s?#]*)?$", max_length=500)]
Domain = Annotated[str, Meta(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$", max_length=DOMAIN_CHARS_MAX)]
CurrencyCode = Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
Network = Annotated[str, Meta(pattern=r"^[0-9a-f.:]{2,45}(/\d{1,3})?$")]
Place = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")]
Seller = Annotated[str, Meta(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+ \S{1,200}$")]
Category = Annotated[str, Meta(pattern=r"^IAB\d{1,2}(-\d{1,2})?$")]
Taxonomy = Annotated[str, Meta(pattern=r"^[2-9]\d{0,2}$")]
"""AdCOM list "Category Taxonomies"; 1 is `categories`' own."""

Format = Literal["banner", "video", "audio", "native"]
PoliticalScope = Literal["federal", "state", "local", "issue"]
POLITICAL_SCOPES: tuple[PoliticalScope, ...] = ("federal", "state", "local", "issue")
POLITICS = "IAB11-4"
"""IAB Content 1.0, "Politics": what makes an ad political, declared or not."""
DeviceKind = Literal["desktop", "phone", "tablet", "mobile", "tv", "connected", "set-top", "billboard"]
DEVICE_KINDS: dict[int, DeviceKind] = {
    1: "mobile",
    2: "desktop",
    3: "tv",
    4: "phone",
    5: "tablet",
    6: "connected",
    7: "set-top",
    8: "billboard",
}
"""AdCOM list "Device Types". `mobile` is the general value that means phone or tablet."""
VideoPlacement = Literal[
    "instream",
    "accompanying",
    "interstitial",
    "standalone",
    "pause",
    "screensaver",
    "overlay",
    "squeezeback",
    "in-scene",
]
VIDEO_PLACEMENTS: tuple[VideoPlacement, ...] = get_args(VideoPlacement)
"""AdCOM list "Plcmt Subtypes - Video", which starts at 1."""
StreamStart = Literal["pre-roll", "mid-roll", "post-roll"]
Api = Literal[3, 5, 6, 7, 8, 9]
"""AdCOM list "API Frameworks": MRAID 1 to 3, OMID 1, SIMID 1.0 and 1.1. VPAID (1, 2) is deprecated since
VAST 4.1 and never served; 4 (ORMMA) is long dead."""
VastVersion = Literal["2.0", "3.0", "4.0", "4.1", "4.2", "4.3"]
Pacing = Literal["even", "ahead", "asap"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class When(str):
    """A moment as a manager writes it: ``2026-11-03``, ``2026-11-03 20:00``, with or without a zone
    name after it. `config.calendar.epoch_s` resolves it; without a zone it is the campaign's."""


class _Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Frozen, and a key that is not in the model is a fault: a typo never silently means nothing."""


class FrequencyCap(_Model, frozen=True, kw_only=True):
    """At most this many impressions for one person, and at least so many minutes between two of them.

    Clock hours, days and weeks, which begin on Monday, are UTC.
    """

    per_day: Annotated[int, Meta(ge=1, le=CAP_COUNT_MAX)] | None = None
    per_hour: Annotated[int, Meta(ge=1, le=CAP_COUNT_MAX)] | None = None
    per_week: Annotated[int, Meta(ge=1, le=CAP_LONG_COUNT_MAX)] | None = None
    per_flight: Annotated[int, Meta(ge=1, le=CAP_LONG_COUNT_MAX)] | None = None
    gap_minutes: Annotated[int, Meta(ge=1, le=CAP_GAP_MINUTES_MAX)] | None = None


class Flight(_Model, frozen=True, kw_only=True):
    """From `start` (inclusive) to `end` (exclusive). Either may be left open."""

    start: When | None = None
    end: When | None = None


class Places(_Model, frozen=True, kw_only=True):
    """Locations, joined by OR. Regions and ZIPs carry their country: ``USA-IA``, ``USA-50309``."""

    countries: tuple[Country, ...] = ()
    regions: tuple[Region, ...] = ()
    metros: tuple[Annotated[str, Meta(pattern=r"^[A-Za-z0-9]{1,8}$")], ...] = ()
    zips: tuple[Zip, ...] = ()


class Geo(_Model, frozen=True, kw_only=True):
    include: Places = Places()
    exclude: Places = Places()


class Inventory(_Model, frozen=True, kw_only=True):
    """Sites by domain (subdomains included) and apps by bundle, joined by OR."""

    domains: tuple[str, ...] = ()
    bundles: tuple[str, ...] = ()


class InventoryTargeting(_Model, frozen=True, kw_only=True):
    include: Inventory = Inventory()
    exclude: Inventory = Inventory()


class Daypart(_Model, frozen=True, kw_only=True):
    """Hours of the campaign's local day, `from_hour` inclusive to `to_hour` exclusive."""

    days: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    from_hour: Annotated[int, Meta(ge=0, le=23)] = 0
    to_hour: Annotated[int, Meta(ge=1, le=24)] = 24


class SlotTargeting(_Model, frozen=True, kw_only=True):
    """What kind of place on the page or in the stream it must be. What an imp does not say is not met."""

    placements: tuple[VideoPlacement, ...] = ()
    starts: tuple[StreamStart, ...] = ()
    interstitial: bool | None = None
    rewarded: bool | None = None


class Targeting(_Model, frozen=True, kw_only=True):
    """All parts must hold (AND); an empty part holds always."""

    geo: Geo = Geo()
    inventory: InventoryTargeting = InventoryTargeting()
    devices: tuple[DeviceKind, ...] = ()
    operating_systems: tuple[str, ...] = ()
    exchanges: tuple[Id, ...] = ()
    deals: tuple[str, ...] = ()
    slot: SlotTargeting = SlotTargeting()
    dayparts: tuple[Daypart, ...] = ()


class Political(_Model, frozen=True, kw_only=True):
    """Who paid for a political ad, in the words of its disclaimer, and what the vote is about.

    `federal`, `state` and `local` are candidates and measures; `issue` is neither.
    """

    paid_for_by: Annotated[str, Meta(min_length=1, max_length=DISCLAIMER_CHARS_MAX)]
    scope: PoliticalScope


class Dsa(_Model, frozen=True, kw_only=True):
    """What the European Digital Services Act has an ad say: on whose behalf, and who paid."""

    behalf: Annotated[str, Meta(min_length=1, max_length=DSA_NAME_CHARS_MAX)]
    paid: Annotated[str, Meta(min_length=1, max_length=DSA_NAME_CHARS_MAX)]


class Approval(_Model, frozen=True, kw_only=True):
    """A creative as one exchange's review has it; `id` is the exchange's own for it, sent as `adid`."""

    state: Literal["pending", "approved", "disapproved"]
    id: Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX)] | None = None


class Image(_Model, frozen=True, kw_only=True):
    url: Url
    w: Pixels
    h: Pixels


class MediaFile(_Model, frozen=True, kw_only=True):
    url: Url
    mime: str
    w: Pixels | None = None
    h: Pixels | None = None
    bitrate_kbps: Annotated[int, Meta(ge=1, le=200_000)] | None = None
    delivery: Literal["progressive", "streaming"] = "progressive"


class NativeAssets(_Model, frozen=True, kw_only=True):
    """What a native ad can answer with (OpenRTB Native 1.2, section 4)."""

    title: str
    sponsored_by: str
    description: str | None = None
    call_to_action: str | None = None
    rating: str | None = None
    likes: str | None = None
    downloads: str | None = None
    price: str | None = None
    sale_price: str | None = None
    phone: str | None = None
    address: str | None = None
    description_2: str | None = None
    display_url: str | None = None
    icon: Image | None = None
    image: Image | None = None
    privacy_url: Url | None = None


class Creative(_Model, frozen=True, kw_only=True):
    """One thing to show. `format` decides which of the other fields it needs (`config.check`)."""

    id: Id
    format: Format
    landing_url: Url
    image_url: Url | None = None
    html: Annotated[str, Meta(min_length=1, max_length=HTML_CHARS_MAX)] | None = None
    iframe_url: Url | None = None
    w: Pixels | None = None
    h: Pixels | None = None
    media_files: tuple[MediaFile, ...] = ()
    vast_url: Url | None = None
    vast_version: VastVersion | None = None
    duration_seconds: Annotated[int, Meta(ge=1, le=3_600)] | None = None
    skip_after_seconds: Annotated[int, Meta(ge=0, le=3_600)] | None = None
    apis: tuple[Api, ...] = ()
    native: NativeAssets | None = None
    attributes: tuple[Annotated[int, Meta(ge=1, le=500)], ...] = ()
    language: Annotated[str, Meta(pattern=r"^[a-z]{2}$")] | None = None
    categories: tuple[Category, ...] = ()
    other_categories: dict[Taxonomy, tuple[str, ...]] = {}
    app_bundle: Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX * 4)] | None = None
    restricted_categories: tuple[Annotated[int, Meta(ge=1, le=1_000_000)], ...] = ()
    political: Political | None = None
    shows_dsa_notice: bool = False
    preview_url: Url | None = None
    approvals: dict[Id, Approval] = {}


class Budget(_Model, frozen=True, kw_only=True):
    """What a campaign may spend, in all, and on one day and in one clock hour of its time zone."""

    total: Money
    daily: Money | None = None
    hourly: Money | None = None


class LineItemBudget(_Model, frozen=True, kw_only=True):
    """What of its campaign's money a line item may spend, in all and on one day."""

    total: Money | None = None
    daily: Money | None = None


class BidAdjustments(_Model, frozen=True, kw_only=True):
    """Factors on the value of an impression, all that apply multiplied (`config.value`)."""

    segments: dict[Id, Factor] = {}
    """For a person who is in the segment."""
    zips: dict[Zip, Factor] = {}


class Goal(_Model, frozen=True, kw_only=True):
    """What a campaign's clicks or conversions may cost on average: its bids are lowered until they do."""

    type: Literal["cpc", "cpa"]
    target: Money


class LineItem(_Model, frozen=True, kw_only=True):
    """One audience, one price, some creatives.

    It has one of the five prices (`config.value`); `config.check` sees to that.
    """

    id: Id
    name: str = ""
    bid_cpm: CpmMicros | None = None
    bid_vcpm: CpmMicros | None = None
    bid_cpc: Money | None = None
    bid_cpa: Money | None = None
    bid_cpcv: Money | None = None
    bid_cpm_max: CpmMicros | None = None
    """The most it bids, whatever an impression is worth; without one, `bid_cpm`."""
    expected_rate: Rate | None = None
    """How often an impression brings what is paid for, as long as little is known of the line item."""
    bid_adjustments: BidAdjustments = BidAdjustments()
    audience: str | dict[str, Any] | None = None
    targeting: Targeting = Targeting()
    creatives: tuple[Id, ...]
    budget: LineItemBudget = LineItemBudget()
    flight: Flight = Flight()
    frequency_cap: FrequencyCap = FrequencyCap()
    paused: bool = False

    @property
    def has_budget(self) -> bool:
        """Whether it has a budget of its own, within its campaign's."""
        return self.budget != LineItemBudget()

    @property
    def uses_segments(self) -> bool:
        """Whether what is known of a person decides about its bids: by its audience, or an adjustment."""
        return self.audience is not None or bool(self.bid_adjustments.segments)

    @property
    def price(self) -> Price:
        """What it pays, and for what."""
        field, event = next(
            ((name, event) for name, event in PRICE_FIELDS.items() if getattr(self, name) is not None),
            ("bid_cpm_max", "impression"),
        )
        return Price(event, int(getattr(self, field) or 0))

    @property
    def cpm_max_micros(self) -> int:
        """The most it bids, in CPM micros."""
        stated = self.bid_cpm if self.bid_cpm_max is None else self.bid_cpm_max
        return int(stated or 0)


class PacingWeight(_Model, frozen=True, kw_only=True):
    """Hours of the campaign's local week whose traffic is worth more, or less, of the money than other."""

    days: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    from_hour: Annotated[int, Meta(ge=0, le=23)] = 0
    to_hour: Annotated[int, Meta(ge=1, le=24)] = 24
    percent: Annotated[int, Meta(ge=1, le=1_000)]

    @property
    def hours(self) -> Daypart:
        """The hours it is of."""
        return Daypart(days=self.days, from_hour=self.from_hour, to_hour=self.to_hour)


class Campaign(_Model, frozen=True, kw_only=True):
    id: Id
    name: str = ""
    time_zone: str = "UTC"
    budget: Budget
    pacing: Pacing = "even"
    pacing_weights: tuple[PacingWeight, ...] = ()
    """Of several that cover an hour, the last counts."""
    flight: Flight = Flight()
    goal: Goal | None = None
    frequency_cap: FrequencyCap = FrequencyCap()
    political: Political | None = None
    paused: bool = False
    line_items: tuple[LineItem, ...]

    @property
    def learns(self) -> bool:
        """Whether clicks or conversions matter to it, so that what its bids bring is learned from."""
        return self.goal is not None or any(
            line_item.price.event in ("click", "conversion") for line_item in self.line_items
        )


class Advertiser(_Model, frozen=True, kw_only=True):
    """A customer. Nothing in one advertiser's file can name anything of another's."""

    id: Id
    name: str = ""
    domain: Domain
    seat: str = "hustings"
    seats: dict[Id, Annotated[str, Meta(min_length=1, max_length=ID_CHARS_MAX)]] = {}
    billing_ids: dict[Id, Annotated[int, Meta(ge=1, le=2**63 - 1)]] = {}
    categories: tuple[Category, ...]
    other_categories: dict[Taxonomy, tuple[str, ...]] = {}
    dsa: Dsa | None = None
    audiences: dict[Id, str | dict[str, Any]] = {}
    """Audiences that line items may name as they name segments (`config.named_audiences`)."""
    campaigns: tuple[Campaign, ...]
    creatives: tuple[Creative, ...]

    def seat_at(self, exchange_id: str) -> str:
        """Return the seat an exchange knows the advertiser by."""
        return self.seats.get(exchange_id, self.seat)


class BarredRegions(_Model, frozen=True, kw_only=True):
    """Regions where an exchange shows no political ads of these scopes."""

    regions: tuple[Region, ...]
    scopes: tuple[PoliticalScope, ...] = POLITICAL_SCOPES


class PoliticalRules(_Model, frozen=True, kw_only=True):
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


class ExchangeProfile(_Model, frozen=True, kw_only=True):
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


class SegmentRule(_Model, frozen=True, kw_only=True):
    """Puts a person into a segment the moment something happens on the events port."""

    event: Literal["visit", "impression", "click", "conversion"]
    campaign: Id | None = None
    """Of which campaign, for the last three; without one: of any campaign of the owner (shared: of all)."""
    pages: tuple[Page, ...] = ()
    """For visits: a domain (subdomains included), and where it has one the beginning of the path."""
    days: Annotated[int, Meta(ge=1, le=SEGMENT_TTL_DAYS_MAX)] = 30
    """How long it lasts after the last such event; the day of the event, in UTC, is not counted."""


class Segment(_Model, frozen=True, kw_only=True):
    name: Id
    description: str = ""
    owner: Id | None = None
    """The advertiser who alone may use it; without one it is everybody's."""
    rule: SegmentRule | None = None
    """Who is in it is then a matter of events: no file may put people in."""


class SegmentList(_Model, frozen=True, kw_only=True):
    segments: tuple[Segment, ...]


class ExchangeRates(_Model, frozen=True, kw_only=True):
    """What one unit of other currencies is worth in the engine's, as of a day."""

    as_of: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    rates: dict[CurrencyCode, ExchangeRate]


class Engine(_Model, frozen=True, kw_only=True):
    """Settings every advertiser shares."""

    currency: CurrencyCode = "USD"
    exchange_rates: ExchangeRates | None = None
    audience_size_min: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    """A line item whose audience has fewer people than this does not bid: it would point at persons."""
    platform_domain: Domain | None = None
    """Of whoever runs the engine: named where a DSA declaration says who chose the audience."""
    gvl_vendor_id: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    """Our id in the Global Vendor List. Without one nobody in Europe can have consented to us."""
    gvl_legitimate_interests: tuple[Literal[2, 7, 8, 9, 10, 11], ...] = ()
    """Purposes that are registered there on legitimate interest: `legIntPurposes` of our entry."""
    gvl_flexible_purposes: tuple[Annotated[int, Meta(ge=2, le=11)], ...] = ()
    """Purposes for which a publisher may demand the other basis: `flexiblePurposes` of our entry."""

    def currencies(self) -> Currencies:
        """Return the currency of the books with the rates of others. Made once for a config, and kept."""
        return Currencies(self.currency, self.exchange_rates.rates if self.exchange_rates else {})


class Crawler(_Model, frozen=True, kw_only=True):
    """A user agent that contains `pattern`, whatever the case, and nothing of `unless`."""

    pattern: Annotated[str, Meta(min_length=1, max_length=200)]
    unless: tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...] = ()
    at_start: bool = False


class ChainNode(_Model, frozen=True, kw_only=True):
    """An intermediary of a supply chain: one account (`sid`) at an exchange or reseller, or all of them."""

    asi: Domain
    sid: str | None = None


class Traffic(_Model, frozen=True, kw_only=True):
    """What requests no line item bids on, whatever they offer (`bidder.openrtb.suspicion`)."""

    crawlers: tuple[Crawler, ...] = ()
    user_agent_required: bool = False
    data_centres: tuple[Network, ...] = ()
    complete_chain_required: bool = False
    blocked_nodes: tuple[ChainNode, ...] = ()
    sellers: dict[Place, tuple[Seller, ...]] = {}
    """A site's domain or an app's bundle, and who may sell it: the first two fields of its ads.txt."""
    listed_only: bool = False


class Bundle(_Model, frozen=True, kw_only=True):
    """A whole checked config folder: the unit that is versioned, published and swapped."""

    version: str
    read_from: str = ""
    """`config.folder_state` of its folder as it was read; empty when that is not known."""
    engine: Engine
    traffic: Traffic = Traffic()
    exchanges: tuple[ExchangeProfile, ...]
    segments: tuple[Segment, ...]
    advertisers: tuple[Advertiser, ...]

    def campaigns_by_code(self) -> "dict[int, Campaign]":
        """Return every campaign by its code, in the order of the files."""
        return {
            code_of(campaign.id): campaign
            for advertiser in self.advertisers
            for campaign in advertiser.campaigns
        }

    def line_items_by_account(self) -> "dict[int, tuple[Campaign, LineItem]]":
        """Return every line item with a budget of its own, by the code of its account."""
        return {
            account_code(campaign.id, line_item.id): (campaign, line_item)
            for advertiser in self.advertisers
            for campaign in advertiser.campaigns
            for line_item in campaign.line_items
            if line_item.has_budget
        }


def code_of(id_: str) -> int:
    """Return the 32-bit number that stands for an id in tokens, ledgers and caps; never 0.

    `config.check` refuses a folder in which two campaigns or two line items share a code.
    """
    return int.from_bytes(hashlib.blake2b(id_.encode(), digest_size=4).digest(), "big") or 1


def account_code(campaign_id: str, line_item_id: str) -> int:
    """Return the 64-bit number of the account of a line item with a budget of its own.

    The account of a campaign has the campaign's code. A line item that moves to another campaign spends
    from an account of that one.
    """
    return code_of(line_item_id) << 32 | code_of(campaign_id)


def decode_hook(type_: type, value: object) -> object:
    """Build our own scalar types (`Money`, `CpmMicros`, `When` ...) for msgspec; ValueError says why not.

    An int for Money or CpmMicros is already in billionths or micros, and so on: YAML numbers reach
    this hook only through `config.load`, which hands them over as text.
    """
    if type_ is Money:
        return Money(value) if type(value) is int else parse_money(value)
    if type_ is CpmMicros:
        return CpmMicros(value) if type(value) is int else parse_cpm(value)
    if type_ is ExchangeRate:
        return ExchangeRate(value) if type(value) is int else parse_rate(value)
    if type_ is Rate:
        return Rate(value) if type(value) is int else parse_share(value)
    if type_ is Factor:
        return Factor(value) if type(value) is int else parse_factor(value)
    if type_ is When:
        return When(str(value))
    raise NotImplementedError(f"no decoder for {type_.__name__}")


def _encode_hook(value: object) -> object:
    if isinstance(value, (Money, CpmMicros, ExchangeRate, Rate, Factor)):
        return int(value)
    if isinstance(value, When):
        return str(value)
    raise NotImplementedError(f"no encoder for {type(value).__name__}")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_encode_hook)
_DECODER = msgspec.msgpack.Decoder(Bundle, dec_hook=decode_hook)


def encode_bundle(bundle: Bundle) -> bytes:
    """Write a bundle as MessagePack."""
    return _ENCODER.encode(bundle)


def decode_bundle(data: bytes) -> Bundle:
    """Read what `encode_bundle` wrote; raises msgspec.ValidationError on anything else."""
    return _DECODER.decode(data)
