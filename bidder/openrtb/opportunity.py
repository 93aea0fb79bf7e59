"""A bid request in our own words: what the decision, the renderer and `hustings explain` see.

`bidder.openrtb.translate` makes an Opportunity from the wire objects; nothing deeper sees those.
Absent facts are empty strings, zeros or empty tuples. All structs are plain data, made once.

What repeats endlessly (a placement's media, its deals, an exchange's block lists) is one object for
as long as it repeats, and remembers its hash, so that what follows from it is found, not worked out.
"""

import msgspec

from bidder.openrtb.consent.permissions import ALL_PERMITTED, Permissions


class _Fact(msgspec.Struct, frozen=True, gc=False):
    pass


class _Repeated(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    pass


class BannerShape(_Repeated, frozen=True):
    """What a banner slot takes. `sizes` are (w, h) in pixels; none offered fits no ad."""

    sizes: tuple[tuple[int, int], ...]
    ratios: tuple[tuple[int, int, int], ...] = ()
    """(wratio, hratio, wmin): any size of that shape, at least `wmin` wide (OpenRTB 2.6, 3.2.10)."""
    blocked_types: tuple[int, ...] = ()
    """`btype`: 1 XHTML text, 2 XHTML banner, 3 JavaScript, 4 iframe (OpenRTB 2.6, 3.2.6)."""
    blocked_attributes: tuple[int, ...] = ()
    apis: tuple[int, ...] = ()
    expandable: bool = False
    """It names directions to expand in (`expdir`), or is no iframe (`topframe`)."""


class StreamShape(_Repeated, frozen=True):
    """What a video or audio slot takes. Durations are seconds; a maximum of 0 means no maximum."""

    mimes: tuple[str, ...]
    duration_min_s: int = 0
    duration_max_s: int = 0
    durations_s: tuple[int, ...] = ()
    """`rqddurs`: when given, exactly one of these."""
    protocols: tuple[int, ...] = ()
    linear: bool = True
    blocked_attributes: tuple[int, ...] = ()
    apis: tuple[int, ...] = ()
    skippable: bool = False
    """The player puts a skip button on every ad (`skip` 1)."""
    bitrate_min_kbps: int = 0
    bitrate_max_kbps: int = 0
    delivery: tuple[int, ...] = ()
    """1 streaming, 2 progressive, 3 download; none means any."""
    w: int = 0
    h: int = 0
    boxing: bool = True
    """False: the picture must have the player's own shape."""
    placement: int = 0
    """`plcmt`, an index into `config.schema.VIDEO_PLACEMENTS`; 0 when it is not said."""
    start: str = ""
    """A name of `config.schema.StreamStart`, from `startdelay`."""


class NativeAsset(_Fact, frozen=True):
    """One asked-for asset. `kind` is title, img, data or video; `type` its asset type there."""

    id: int
    required: bool
    kind: str
    type: int = 0
    length_max: int = 0
    w_min: int = 0
    h_min: int = 0
    stream: StreamShape | None = None
    """Of a video asset."""


class NativeShape(_Repeated, frozen=True):
    """What a native slot takes (Native 1.2, section 4). `wrapped`: 1.0's root key `native`."""

    assets: tuple[NativeAsset, ...]
    wrapped: bool = False
    event_trackers: bool = True
    """It takes an image as the tracker of impressions in 1.2's `eventtrackers`; else `imptrackers`."""
    privacy: bool = False
    """It has room for a privacy notice: only then may an answer hold its URL."""
    blocked_attributes: tuple[int, ...] = ()


class MediaOffer(_Repeated, frozen=True):
    """Everything one imp offers: an ad must fit the shape of its own format.

    Two equal offers are fit by the same ads, which is what makes the answer worth keeping
    (`bidder.decision.media`).
    """

    banner: BannerShape | None = None
    video: StreamShape | None = None
    audio: StreamShape | None = None
    native: NativeShape | None = None
    secure: bool = False
    interstitial: bool = False
    rewarded: bool = False


class DurationFloors(_Fact, frozen=True):
    """Floors that depend on an ad's length: `mincpmpersec` and `durfloors` (OpenRTB 2.6, 3.2.35)."""

    per_second_cpm_micros: int = 0
    ranges: tuple[tuple[int, int, int], ...] = ()
    """(shortest, longest, floor in CPM micros), both lengths in seconds and included."""

    def floor_of(self, seconds: int) -> int:
        """Return the floor for a length; 0 where none is stated. Where several are, the highest."""
        stated = [self.per_second_cpm_micros * seconds]
        stated += [floor for shortest, longest, floor in self.ranges if shortest <= seconds <= longest]
        return max(stated)


class Pod(_Fact, frozen=True):
    """The ad break an imp belongs to (OpenRTB 2.6, 3.2.7; implementation notes, 7.6)."""

    id: str
    """Shared by the imps of one break; empty for a break that is this imp alone."""
    seconds: int = 0
    """`poddur` of a dynamic imp, which takes several ads of so much time together; 0: it takes one."""
    ads_max: int = 0
    """`maxseq` of a dynamic imp; 0 when it is not said."""
    dedupe: int = 0
    """`poddedupe`: bit n - 1 set for value n (1 domain, 2 category, 3 creative, 4 media file)."""


class DsaTerms(_Fact, frozen=True):
    """`regs.ext.dsa`, where it asks for anything (`dsarequired` above 0)."""

    required: bool
    """No bid without a declaration (2, 3); else one is welcome (1)."""
    publisher_renders: int
    """`pubrender`: 0 won't, 1 leaves it to the bid, 2 will."""


class GoogleTerms(_Repeated, frozen=True):
    """What one of Google's imps says in its `ext`."""

    billing_ids: tuple[int, ...] = ()
    restricted_categories: tuple[int, ...] = ()
    """The restricted categories it allows."""


class DealOffer(_Repeated, frozen=True):
    """One private deal on an imp. `floor_cpm_micros` None: in a currency without a rate."""

    id: str
    floor_cpm_micros: int | None
    first_price: bool
    fixed_price: bool
    """The floor is the price (`at` 3)."""
    seats: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    """`wadomain`: the advertisers it is for; none means any."""
    guaranteed: bool = False
    duration_floors: DurationFloors | None = None
    fixed_there_cpm_micros: int = 0
    """The fixed price in the currency of the bid, where that is not ours: it must be met exactly."""


class Slot(_Fact, frozen=True):
    """One imp. `floor_cpm_micros` None: in a currency without a rate."""

    imp_id: str
    media: MediaOffer
    floor_cpm_micros: int | None
    deals: tuple[DealOffer, ...] = ()
    deals_only: bool = False
    video_floors: DurationFloors | None = None
    audio_floors: DurationFloors | None = None
    pod: Pod | None = None
    multiplier_millionths: int = 1_000_000
    """`qty.multiplier`: how many impressions one play is, out of home (OpenRTB 2.6, 3.2.31)."""
    google: GoogleTerms | None = None
    """None but on an exchange with Google's extensions."""
    view_billionths: int = 0
    """How likely an ad there is to be seen, as the exchange states it (`metric`); 0: it does not."""
    completion_billionths: int = 0
    """How likely a video or audio ad there is to be played to its end, likewise."""

    @property
    def terms(self) -> tuple[DealOffer | None, ...]:
        """What it can be bid for under, floors in a currency with a rate; None is the open auction."""
        deals = tuple(deal for deal in self.deals if deal.floor_cpm_micros is not None)
        openly = not self.deals_only and self.floor_cpm_micros is not None
        return (*deals, None) if openly else deals


class Blocks(_Repeated, frozen=True):
    """Whom and what a request keeps out; the same few for all requests of a publisher."""

    categories: tuple[str, ...] = ()
    """`bcat`, as `config.categories` writes them."""
    allowed_categories: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()
    seats: tuple[str, ...] = ()
    allowed_seats: tuple[str, ...] = ()
    allowed_languages: tuple[str, ...] = ()
    """Two-letter codes, from `wlang` and `wlangb`."""


NO_BLOCKS = Blocks()


class Opportunity(_Fact, frozen=True):
    """One bid request. `device_type` is AdCOM's number; region and zip_code carry their country."""

    request_id: str
    exchange_id: str
    slots: tuple[Slot, ...]
    first_price: bool = False
    currency: str = "USD"
    """What we bid in; an empty string when the request takes no currency that has a rate."""
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
    permissions: Permissions = ALL_PERMITTED
    """What may be done with the person's data: already kept to here, but for `profile`."""
    blocks: Blocks = NO_BLOCKS
    dsa: DsaTerms | None = None
