"""A bid request in our own words: what the decision, the renderer and `hustings explain` see.

`bidder.openrtb.translate` makes an Opportunity from the wire objects; nothing deeper sees those.
Absent facts are empty strings, zeros or empty tuples. All structs are plain data, made once.
"""

import msgspec


class _Fact(msgspec.Struct, frozen=True, gc=False):
    pass


class BannerShape(_Fact, frozen=True):
    """What a banner slot takes. `sizes` are (w, h) in pixels; none offered fits no ad."""

    sizes: tuple[tuple[int, int], ...]
    blocked_types: tuple[int, ...] = ()
    """`btype`: 1 XHTML text, 2 XHTML banner, 3 JavaScript, 4 iframe (OpenRTB 2.6, 5.2 / AdCOM)."""
    blocked_attributes: tuple[int, ...] = ()


class StreamShape(_Fact, frozen=True):
    """What a video or audio slot takes. Durations are seconds; a maximum of 0 means no maximum."""

    mimes: tuple[str, ...]
    duration_min_s: int = 0
    duration_max_s: int = 0
    durations_s: tuple[int, ...] = ()
    """`rqddurs`: when given, exactly one of these."""
    protocols: tuple[int, ...] = ()
    linear: bool = True
    blocked_attributes: tuple[int, ...] = ()


class NativeAsset(_Fact, frozen=True):
    """One asked-for asset. `kind` is title, img, data or video; `type` its asset type there."""

    id: int
    required: bool
    kind: str
    type: int = 0
    length_max: int = 0
    w_min: int = 0
    h_min: int = 0


class NativeShape(_Fact, frozen=True):
    """What a native slot takes (Native 1.2, section 4). `wrapped`: 1.0's root key `native`."""

    assets: tuple[NativeAsset, ...]
    wrapped: bool = False
    event_trackers: bool = True
    """Version 1.2's `eventtrackers`; older requests are answered with `imptrackers`."""
    blocked_attributes: tuple[int, ...] = ()


class MediaOffer(_Fact, frozen=True):
    """Everything one imp offers: an ad must fit the shape of its own format.

    Two equal offers are fit by the same ads, which is what makes the answer worth keeping
    (`bidder.decision.media`).
    """

    banner: BannerShape | None = None
    video: StreamShape | None = None
    audio: StreamShape | None = None
    native: NativeShape | None = None
    secure: bool = False


class DealOffer(_Fact, frozen=True):
    """One private deal on an imp. `floor_cpm_micros` None: in a currency we don't bid in."""

    id: str
    floor_cpm_micros: int | None
    first_price: bool
    fixed_price: bool
    seats: tuple[str, ...]


class Slot(_Fact, frozen=True):
    """One imp. `floor_cpm_micros` None: in a currency we don't bid in."""

    imp_id: str
    media: MediaOffer
    floor_cpm_micros: int | None
    deals: tuple[DealOffer, ...] = ()
    deals_only: bool = False


class Opportunity(_Fact, frozen=True):
    """One bid request. `device_type` is AdCOM's number; region and zip_code carry their country."""

    request_id: str
    exchange_id: str
    slots: tuple[Slot, ...]
    first_price: bool = False
    currency_accepted: bool = True
    domain: str = ""
    bundle: str = ""
    device_type: int = 0
    operating_system: str = ""
    country: str = ""
    region: str = ""
    metro: str = ""
    zip_code: str = ""
    user_hash: int = 0
    """Keyed hash of the person's id; 0 when there is none, or none may be used."""
    blocked_categories: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    allowed_seats: tuple[str, ...] = ()
    blocked_seats: tuple[str, ...] = ()
