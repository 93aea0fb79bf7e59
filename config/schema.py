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
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from config.limits import ID_CHARS_MAX, NOTICE_TIMEOUT_SECONDS_MAX
from config.money import CpmMicros, Money, parse_cpm, parse_money

Id = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{ID_CHARS_MAX - 1}}}$")]
Pixels = Annotated[int, Meta(ge=1, le=16_384)]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s\"'<>\\]+$", max_length=2_000)]
Country = Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
Region = Annotated[str, Meta(pattern=r"^[A-Z]{3}-[A-Z0-9]{1,3}$")]
Zip = Annotated[str, Meta(pattern=r"^[A-Z]{3}-[A-Z0-9 -]{2,10}$")]

Format = Literal["banner", "video", "audio", "native"]
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
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class When(str):
    """A moment as a manager writes it: ``2026-11-03``, ``2026-11-03 20:00``, with or without a zone
    name after it. `config.calendar.epoch_s` resolves it; without a zone it is the campaign's."""


class _Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Frozen, and a key that is not in the model is a fault: a typo never silently means nothing."""


class FrequencyCap(_Model, frozen=True, kw_only=True):
    """At most this many impressions for one person in each clock hour and each day (UTC)."""

    per_day: Annotated[int, Meta(ge=1, le=255)] | None = None
    per_hour: Annotated[int, Meta(ge=1, le=255)] | None = None


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


class Targeting(_Model, frozen=True, kw_only=True):
    """All parts must hold (AND); an empty part holds always."""

    geo: Geo = Geo()
    inventory: InventoryTargeting = InventoryTargeting()
    devices: tuple[DeviceKind, ...] = ()
    operating_systems: tuple[str, ...] = ()
    exchanges: tuple[Id, ...] = ()
    deals: tuple[str, ...] = ()
    dayparts: tuple[Daypart, ...] = ()


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


class NativeAssets(_Model, frozen=True, kw_only=True):
    """What a native ad can answer with (OpenRTB Native 1.2, section 4)."""

    title: str
    sponsored_by: str
    description: str | None = None
    call_to_action: str | None = None
    icon: Image | None = None
    image: Image | None = None


class Creative(_Model, frozen=True, kw_only=True):
    """One thing to show. `format` decides which of the other fields it needs (`config.check`)."""

    id: Id
    format: Format
    landing_url: Url
    image_url: Url | None = None
    w: Pixels | None = None
    h: Pixels | None = None
    media_files: tuple[MediaFile, ...] = ()
    duration_seconds: Annotated[int, Meta(ge=1, le=3_600)] | None = None
    native: NativeAssets | None = None
    attributes: tuple[Annotated[int, Meta(ge=1, le=500)], ...] = ()
    language: Annotated[str, Meta(pattern=r"^[a-z]{2}$")] | None = None


class Budget(_Model, frozen=True, kw_only=True):
    """What a campaign may spend, in all and on one day of its time zone."""

    total: Money
    daily: Money | None = None


class LineItem(_Model, frozen=True, kw_only=True):
    """One audience, one price, some creatives."""

    id: Id
    name: str = ""
    bid_cpm: CpmMicros
    audience: str | dict[str, Any] | None = None
    targeting: Targeting = Targeting()
    creatives: tuple[Id, ...]
    flight: Flight = Flight()
    frequency_cap: FrequencyCap = FrequencyCap()
    paused: bool = False


class Campaign(_Model, frozen=True, kw_only=True):
    id: Id
    name: str = ""
    time_zone: str = "UTC"
    budget: Budget
    pacing: Literal["even", "asap"] = "even"
    flight: Flight = Flight()
    frequency_cap: FrequencyCap = FrequencyCap()
    paused: bool = False
    line_items: tuple[LineItem, ...]


class Advertiser(_Model, frozen=True, kw_only=True):
    """A customer. Nothing in one advertiser's file can name anything of another's."""

    id: Id
    name: str = ""
    domain: Annotated[str, Meta(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
    seat: str = "hustings"
    categories: tuple[Annotated[str, Meta(pattern=r"^IAB\d{1,2}(-\d{1,2})?$")], ...]
    campaigns: tuple[Campaign, ...]
    creatives: tuple[Creative, ...]


class ExchangeProfile(_Model, frozen=True, kw_only=True):
    """How one exchange differs from the specification's defaults."""

    id: Id
    name: str = ""
    tmax_default_ms: Annotated[int, Meta(ge=10, le=5_000)] = 100
    network_allowance_ms: Annotated[int, Meta(ge=0, le=1_000)] = 20
    auction_type_default: Literal[1, 2] = 2
    billing_event: Literal["burl", "impression"] = "burl"
    notice_timeout_seconds: Annotated[int, Meta(ge=1, le=NOTICE_TIMEOUT_SECONDS_MAX)] = 10
    sync_redirect_url: str | None = None


class Segment(_Model, frozen=True, kw_only=True):
    name: Id
    description: str = ""


class SegmentList(_Model, frozen=True, kw_only=True):
    segments: tuple[Segment, ...]


class Engine(_Model, frozen=True, kw_only=True):
    """Settings every advertiser shares."""

    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")] = "USD"


class Bundle(_Model, frozen=True, kw_only=True):
    """A whole checked config folder: the unit that is versioned, published and swapped."""

    version: str
    engine: Engine
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


def code_of(id_: str) -> int:
    """Return the 32-bit number that stands for an id in tokens, ledgers and caps; never 0.

    `config.check` refuses a folder in which two campaigns or two line items share a code.
    """
    return int.from_bytes(hashlib.blake2b(id_.encode(), digest_size=4).digest(), "big") or 1


def decode_hook(type_: type, value: object) -> object:
    """Build our own scalar types (`Money`, `CpmMicros`, `When`) for msgspec; ValueError says why not.

    An int for Money or CpmMicros is already in billionths or micros: YAML numbers reach this
    hook only through `config.load`, which hands them over as text.
    """
    if type_ is Money:
        return Money(value) if type(value) is int else parse_money(value)
    if type_ is CpmMicros:
        return CpmMicros(value) if type(value) is int else parse_cpm(value)
    if type_ is When:
        return When(str(value))
    raise NotImplementedError(f"no decoder for {type_.__name__}")


def _encode_hook(value: object) -> object:
    if isinstance(value, (Money, CpmMicros)):
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
