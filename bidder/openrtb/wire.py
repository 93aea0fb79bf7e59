"""The OpenRTB 2.6 bid request as it arrives: only the fields we read, under their own names.

`bidder.openrtb.decode` makes these of bytes. The parts of a request that repeat endlessly, media objects,
deals and block lists, are left as the bytes they came in (`msgspec.Raw`): whoever has read the same bytes
before needs no second reading (`bidder.openrtb.offers`).

Section numbers are those of the OpenRTB 2.6 specification. Numbers are bounded so that nothing
read here can overflow an int64 column later.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

Int = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
Price = Annotated[float, Meta(ge=0.0, le=1e9)]
Multiplier = Annotated[float, Meta(ge=0.0, le=1e6)]
Codes = list[str | Int]
"""Lists of codes are read as either type: exchanges send category numbers among the names."""


ABSENT = Raw()
"""The value of an unread part that the request does not have."""


class _Wire(msgspec.Struct, gc=False):
    """Decoded once, read once, thrown away: kept out of the garbage collector's sight."""


class Size(_Wire):
    """3.2.10."""

    w: Int | None = None
    h: Int | None = None
    wratio: Int | None = None
    hratio: Int | None = None
    wmin: Int | None = None


class Banner(_Wire):
    """3.2.6."""

    w: Int | None = None
    h: Int | None = None
    format: list[Size] | None = None
    btype: list[Int] | None = None
    battr: list[Int] | None = None
    api: list[Int] | None = None
    expdir: list[Int] | None = None
    topframe: Int | None = None


class DurFloor(_Wire):
    """3.2.35."""

    mindur: Int | None = None
    maxdur: Int | None = None
    bidfloor: Price | None = None


class _Stream(_Wire):
    """What 3.2.7 and 3.2.8 share."""

    mimes: list[str] | None = None
    minduration: Int | None = None
    maxduration: Int | None = None
    rqddurs: list[Int] | None = None
    maxextended: Int | None = None
    protocols: list[Int] | None = None
    battr: list[Int] | None = None
    api: list[Int] | None = None
    minbitrate: Int | None = None
    maxbitrate: Int | None = None
    delivery: list[Int] | None = None
    startdelay: Int | None = None
    mincpmpersec: Price | None = None
    durfloors: list[DurFloor] | None = None
    podid: str | None = None
    poddur: Int | None = None
    maxseq: Int | None = None
    poddedupe: list[Int] | None = None


class Video(_Stream):
    """3.2.7."""

    linearity: Int | None = None
    w: Int | None = None
    h: Int | None = None
    skip: Int | None = None
    plcmt: Int | None = None
    boxingallowed: Int | None = None


class Audio(_Stream):
    """3.2.8."""


class Native(_Wire):
    """3.2.9. `request` is a JSON string by the book; some exchanges send the object."""

    request: str | dict[str, Any] | None = None
    battr: list[Int] | None = None


class Deal(_Wire):
    """3.2.12. Its currency does not inherit from the imp."""

    id: str
    bidfloor: Price | None = None
    bidfloorcur: str | None = None
    at: Int | None = None
    wseat: list[str] | None = None
    wadomain: list[str] | None = None
    guar: Int | None = None
    mincpmpersec: Price | None = None
    durfloors: list[DurFloor] | None = None


class Pmp(_Wire):
    """3.2.11."""

    private_auction: Int | None = None
    deals: list[Deal] | None = None


class Qty(_Wire):
    """3.2.31."""

    multiplier: Multiplier | None = None


class Metric(_Wire):
    """3.2.5."""

    type: str | None = None
    value: Price | None = None
    """Any number that is not negative."""


class GoogleImpExt(_Wire):
    """ImpExt of openrtb-adx.proto, in google/openrtb-doubleclick."""

    billing_id: list[str] | None = None
    """64-bit numbers, which proto3's JSON writes as text."""
    allowed_restricted_category: list[Int] | None = None


class Imp(_Wire):
    """3.2.4."""

    id: str
    banner: Raw = ABSENT
    """A Banner; the four below likewise."""
    video: Raw = ABSENT
    audio: Raw = ABSENT
    native: Raw = ABSENT
    pmp: Raw = ABSENT
    bidfloor: Price | None = None
    bidfloorcur: str | None = None
    secure: Int | None = None
    instl: Int | None = None
    rwdd: Int | None = None
    qty: Qty | None = None
    metric: list[Metric] | None = None
    ext: Raw = ABSENT
    """A GoogleImpExt, on Google's exchange."""


class Publisher(_Wire):
    """3.2.15."""

    id: str | None = None


class Site(_Wire):
    """3.2.13."""

    domain: str | None = None
    page: str | None = None
    publisher: Raw = ABSENT
    """A Publisher."""


class App(_Wire):
    """3.2.14."""

    bundle: str | None = None
    domain: str | None = None
    publisher: Raw = ABSENT


class Dooh(_Wire):
    """3.2.32."""

    domain: str | None = None


class Geo(_Wire):
    """3.2.19."""

    country: str | None = None
    region: str | None = None
    metro: str | None = None
    zip: str | None = None


class BrandVersion(_Wire):
    """3.2.30."""

    brand: str | None = None


class UserAgent(_Wire):
    """3.2.29."""

    platform: BrandVersion | None = None


class Device(_Wire):
    """3.2.18."""

    devicetype: Int | None = None
    w: Int | None = None
    h: Int | None = None
    os: str | None = None
    ua: str | None = None
    sua: UserAgent | None = None
    ip: str | None = None
    ipv6: str | None = None
    ifa: str | None = None
    lmt: Int | None = None
    dnt: Int | None = None
    geo: Geo | None = None


class Uid(_Wire):
    """3.2.28."""

    id: str


class Eid(_Wire):
    """3.2.27."""

    source: str | None = None
    uids: list[Uid] | None = None


class UserExt(_Wire):
    """Where OpenRTB 2.5 kept what 2.6 made core fields."""

    consent: str | None = None
    eids: list[Eid] | None = None


class User(_Wire):
    """3.2.20."""

    id: str | None = None
    buyeruid: str | None = None
    consent: str | None = None
    eids: list[Eid] | None = None
    ext: UserExt | None = None


class Dsa(_Wire):
    """The IAB's extension dsa_transparency, of the Digital Services Act."""

    dsarequired: Int | None = None
    pubrender: Int | None = None


class RegsExt(_Wire):
    """The 2.5 homes of consent signals, Global Privacy Control, and California's minors (SB 568)."""

    gdpr: Int | None = None
    us_privacy: str | None = None
    gpp: str | None = None
    gpp_sid: list[Int] | None = None
    gpc: str | Int | None = None
    s22580: Int | None = None
    dsa: Dsa | None = None


class Regs(_Wire):
    """3.2.3."""

    coppa: Int | None = None
    gdpr: Int | None = None
    us_privacy: str | None = None
    gpp: str | None = None
    gpp_sid: list[Int] | None = None
    ext: RegsExt | None = None


class SupplyChainNode(_Wire):
    """3.2.26."""

    asi: str | None = None
    sid: str | None = None


class SupplyChain(_Wire):
    """3.2.25."""

    complete: Int | None = None
    nodes: list[SupplyChainNode] | None = None


class ChainHolder(_Wire):
    """An `ext` that holds a supply chain."""

    schain: Raw = ABSENT


class Source(_Wire):
    """3.2.2. The supply chain of OpenRTB 2.5 is in `ext`."""

    schain: Raw = ABSENT
    ext: ChainHolder | None = None


class BidRequest(_Wire):
    """3.2.1."""

    id: str
    imp: list[Imp]
    site: Site | None = None
    app: App | None = None
    dooh: Dooh | None = None
    device: Device | None = None
    user: User | None = None
    regs: Regs | None = None
    source: Raw = ABSENT
    """A Source."""
    ext: Raw = ABSENT
    test: Int | None = None
    at: Int | None = None
    tmax: Int | None = None
    cur: list[str] | None = None
    cattax: Int | None = None
    bcat: Raw = ABSENT
    """Codes; the seven below likewise."""
    acat: Raw = ABSENT
    badv: Raw = ABSENT
    bapp: Raw = ABSENT
    wseat: Raw = ABSENT
    bseat: Raw = ABSENT
    wlang: Raw = ABSENT
    wlangb: Raw = ABSENT
