"""Bid requests drawn from the object tables of OpenRTB 2.6, section 3.2.

    requests(chance)            well-typed: every object and most attributes, any of them absent
    spoiled_requests(chance)    the same, with values of any type mixed in

Each table is a function from a generator of chance to a value. Values are few and lie near those of
`tests.openrtb.wide_config`, so that blocks, floors, sizes, deals and durations meet our ads often, and
break on them as often. A drawing costs a fraction of a millisecond: hypothesis would shrink what
fails, and take a hundred times as long to draw it.
"""

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Object = dict[str, Any]
Values = Callable[[random.Random], Any]


def one(*values: Any) -> Values:
    return lambda chance: chance.choice(values)


def some(*values: Any, most: int = 3) -> Values:
    return lambda chance: [chance.choice(values) for _ in range(chance.randint(0, most))]


def listed(values: Values, most: int, least: int = 0) -> Values:
    return lambda chance: [values(chance) for _ in range(chance.randint(least, most))]


def number(least: int, most: int) -> Values:
    return lambda chance: chance.randint(least, most)


def mostly(plain: Any, others: Values) -> Values:
    """Draw the plain value five times of six: what shuts everybody out must not always."""
    return lambda chance: others(chance) if chance.random() < 1 / 6 else plain


def table(always: dict[str, Values] | None = None, /, **optional: Values) -> Values:
    """Draw an object: the attributes it always has, and some of the others."""

    def draw(chance: random.Random) -> Object:
        share = chance.choice((0.1, 0.4, 0.8))
        drawn = {name: values(chance) for name, values in (always or {}).items()}
        return drawn | {name: values(chance) for name, values in optional.items() if chance.random() < share}

    return draw


JUNK = one(
    *(None, True, False, 0, -1, 2, 1.5, 2**31, 2**64, 10**400),
    *("", "1", "1.0", "x", "é💥", "\x00", "a" * 600),
    *([], {}, [[]], [None], [{}], {"id": 1}, ["x", 1]),
)
FLAG = one(0, 1)
FLOOR = mostly(0.5, one(0, 0.01, 1, 2.5, 4.999999, 5, 5.000001, 80))
CURRENCY = mostly("USD", one("EUR", "JPY", "XXX"))
SECONDS = one(0, 5, 6, 10, 15, 20, 30, 60, 120)
CODES = mostly([], some(*range(1, 20)))
TEXT = one("", "a", "example", "é💥", "news.example")

FORMAT = table(
    w=one(1, 300, 320, 600, 728),
    h=one(1, 50, 90, 250, 480),
    wratio=one(1, 6),
    hratio=one(1, 5),
    wmin=one(1, 300, 900),
)
BANNER = table(
    format=mostly([{"w": 300, "h": 250}], listed(FORMAT, 3)),
    w=mostly(300, one(320, 728)),
    h=mostly(250, one(480, 90)),
    btype=mostly([], some(1, 2, 3, 4)),
    battr=CODES,
    pos=number(0, 3),
    mimes=some("image/png", "text/html"),
    topframe=FLAG,
    expdir=some(1, 2, 3, 4, 5, 6),
    api=CODES,
    vcm=FLAG,
)
DUR_FLOOR = table(mindur=SECONDS, maxdur=SECONDS, bidfloor=FLOOR)
STREAM: dict[str, Values] = {
    "minduration": mostly(5, SECONDS),
    "maxduration": mostly(30, SECONDS),
    "rqddurs": mostly([], some(6, 15, 30)),
    "startdelay": one(-2, -1, 0, 15),
    "protocols": some(2, 3, 1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 99, most=6),
    "battr": CODES,
    "maxextended": one(-1, 0, 5, 30),
    "minbitrate": mostly(0, one(100, 5_000)),
    "maxbitrate": mostly(5_000, one(0, 100)),
    "delivery": mostly([], some(1, 2, 3)),
    "api": CODES,
    "poddur": mostly(60, one(15, 45, 90)),
    "maxseq": one(0, 1, 2, 4),
    "podid": one("break-1", "break-2"),
    "podseq": one(-1, 0, 1),
    "slotinpod": one(-1, 0, 1, 2),
    "poddedupe": some(1, 2, 3, 4, 5),
    "mincpmpersec": one(0, 0.01, 0.3, 2),
    "durfloors": listed(DUR_FLOOR, 3),
}
VIDEO = table(
    {"mimes": mostly(["video/mp4"], some("video/mp4", "video/webm", "application/javascript"))},
    **STREAM,
    w=one(320, 640, 1920),
    h=one(240, 360, 1080),
    placement=number(0, 3),
    plcmt=one(1, 2, 3, 4, 5, 9),
    linearity=mostly(1, one(2)),
    skip=FLAG,
    skipmin=SECONDS,
    skipafter=SECONDS,
    boxingallowed=mostly(1, one(0)),
    playbackmethod=CODES,
)
AUDIO = table(
    {"mimes": mostly(["audio/mpeg"], some("audio/mpeg", "audio/ogg"))},
    **STREAM,
    feed=one(1, 2, 3),
    stitched=FLAG,
    nvol=one(0, 4),
)
TITLE, LENGTHS = one(10, 25, 90, 140), one(0, 10, 25, 200)
ASSET = table(
    {"id": number(0, 6)},
    required=FLAG,
    title=table({"len": TITLE}),
    img=table(type=one(1, 3), wmin=one(50, 600, 2_000), hmin=one(50, 300, 2_000), mimes=some("image/png")),
    data=table({"type": one(1, 2, 6, 12, 500)}, len=LENGTHS),
    video=table(
        {
            "mimes": some("video/mp4"),
            "minduration": SECONDS,
            "maxduration": SECONDS,
            "protocols": some(2, 3, 7),
        }
    ),
)
NATIVE_MARKUP = table(
    {"assets": listed(ASSET, 5)},
    ver=one("1.0", "1.1", "1.2", 1),
    context=one(1, 2, 3),
    plcmttype=one(1, 2, 3, 4),
    eventtrackers=listed(table({"event": one(1, 2, 555), "methods": some(1, 2, 500)}), 2),
    privacy=FLAG,
)


def native(chance: random.Random) -> Object:
    """Draw a native object: its request as text or object, with or without version 1.0's root."""
    markup = NATIVE_MARKUP(chance)
    kinds = {asset["id"]: _of_one_kind(asset) for asset in markup["assets"]}
    markup["assets"] = list(kinds.values())
    request = {"native": markup} if chance.random() < 0.2 else markup
    return {
        "request": request if chance.random() < 0.2 else json.dumps(request),
        "ver": str(markup.get("ver", "1.2")),
        "battr": CODES(chance),
    }


DEAL = table(
    {"id": one("D-1", "D-2", "D-3", "unknown")},
    bidfloor=FLOOR,
    bidfloorcur=CURRENCY,
    at=one(1, 2, 3),
    guar=FLAG,
    wseat=some("seat-shop", "seat-shop-2", "nobody"),
    wadomain=some("shop.example", "shop-2.example", "nobody.example"),
    mincpmpersec=one(0, 0.01, 0.3),
    durfloors=listed(DUR_FLOOR, 2),
)


def pmp(chance: random.Random) -> Object:
    """Draw deals of different ids, and now and then an auction for them alone."""
    deals = {deal["id"]: deal for deal in listed(DEAL, 3)(chance)}
    return {"private_auction": mostly(0, one(1))(chance), "deals": list(deals.values())}


IMP_FIELDS: dict[str, Values] = {
    "banner": BANNER,
    "video": VIDEO,
    "audio": AUDIO,
    "native": native,
    "pmp": pmp,
    "instl": FLAG,
    "tagid": TEXT,
    "bidfloor": FLOOR,
    "bidfloorcur": CURRENCY,
    "secure": FLAG,
    "rwdd": FLAG,
    "ssai": one(0, 1, 2, 3),
    "exp": one(1, 60, 7_200),
    "dt": one(0, 1_795_000_000_000.0),
    "metric": listed(
        table(type=one("viewability", "video_completion_rate", "other"), value=one(0, 0.5, 1)), 3
    ),
    "qty": table({"multiplier": one(0, 0.5, 1, 14.2)}, sourcetype=one(0, 1)),
    "ext": table(gpid=TEXT, billing_id=some("17", "18"), allowed_restricted_category=CODES),
}
IMP = table(**IMP_FIELDS)
MEDIA = (("banner", BANNER), ("video", VIDEO), ("audio", AUDIO), ("native", native))
PUBLISHER = table(id=TEXT, domain=one("news.example", "pub.example"), cat=some("IAB1", "IAB12"))
CONTENT = table(id=TEXT, title=TEXT, genre=TEXT, livestream=FLAG, len=SECONDS, language=one("en", "de"))
SITE = table(
    id=TEXT,
    domain=one("news.example", "www.news.example", "sport.news.example", "blocked.example"),
    page=one("https://news.example/a", "http://[::1", "x"),
    cat=some("IAB1", "IAB12"),
    publisher=PUBLISHER,
    content=CONTENT,
)
APP = table(id=TEXT, bundle=one("com.game.example", "123456789"), domain=TEXT, publisher=PUBLISHER)
DOOH = table(id=TEXT, venuetype=some("transit", "retail"), venuetypetax=one(0, 1), domain=TEXT)
GEO = table(
    country=one("USA", "DEU", "CAN", "us"),
    region=one("IA", "US-IA", "NY", "CA"),
    metro=one("679", "501"),
    zip=one("50309", "50309-1234", "10115"),
    lat=one(41.6, -91.0),
    lon=one(-93.6, 181.0),
    type=one(1, 2, 3),
)
DEVICE = table(
    ua=one("Mozilla/5.0 (X11; Linux x86_64)", "Examplebot/2.1", ""),
    sua=table(mobile=FLAG, browsers=listed(table(brand=TEXT), 1)),
    devicetype=number(0, 9),
    os=one("iOS", "android", "Windows", "Plan 9"),
    ip=one("198.51.100.7", "203.0.113.9"),
    ifa=one("00000000-0000-0000-0000-000000000000", "6d9a1c9e-0000-4000-8000-1234567890ab"),
    lmt=FLAG,
    dnt=FLAG,
    geo=GEO,
    language=one("en", "de"),
    connectiontype=number(0, 7),
    carrier=one("carrier", 70092),
)
EID = table(
    source=one("ids.example", ""),
    uids=listed(table({"id": one("abc", "", "x" * 600)}, atype=one(1, 2, 3)), 2),
    mm=one(0, 2, 5),
)
CONSENT = one("", "C", "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA", "DBABMA~1---", "x" * 5_000)
USER = table(
    id=TEXT,
    buyeruid=one("abc", "", "x" * 600),
    eids=listed(EID, 2),
    consent=CONSENT,
    yob=one(1980),
    ext=table(eids=listed(EID, 2), consent=CONSENT),
)
DSA = table(
    dsarequired=number(0, 3),
    pubrender=number(0, 2),
    datatopub=number(0, 2),
    transparency=some({}),
)
SIGNALS: dict[str, Values] = {
    "gdpr": FLAG,
    "us_privacy": one("1---", "1YYN", "1YNN", "2", ""),
    "gpp": one("DBABMA~1---", "DBAA", "x", ""),
    "gpp_sid": some(-1, 2, 6, 7, 8, 99),
}
REGS = table(coppa=FLAG, **SIGNALS, ext=table(gpc=one("0", "1", 1), dsa=DSA, s22580=FLAG, **SIGNALS))
NODE = table(asi=one("exchange.example", "blocked.example"), sid=TEXT, hp=FLAG, rid=TEXT)
SCHAIN = table(complete=FLAG, ver=one("1.0"), nodes=listed(NODE, 2))
SOURCE = table(fd=FLAG, tid=TEXT, pchain=TEXT, schain=SCHAIN, ext=table(schain=SCHAIN))
CATEGORIES = some("IAB18", "IAB18-1", "IAB11", "IAB11-4", "IAB1", "IAB3-12", "385")
REQUEST_FIELDS: dict[str, Values] = {
    "device": DEVICE,
    "user": USER,
    "regs": REGS,
    "source": SOURCE,
    "at": one(1, 2, 500),
    "tmax": mostly(1_000, one(21, 25, 100)),
    "test": mostly(0, one(1)),
    "allimps": FLAG,
    "cur": mostly(["USD"], some("USD", "EUR", "JPY", "GBP")),
    "wseat": mostly([], some("seat-shop", "seat-shop-2", "nobody")),
    "bseat": mostly([], some("seat-shop-2", "nobody")),
    "wlang": some("en", "de"),
    "wlangb": some("en-US", "de"),
    "cattax": one(1, 1, 2, 7),
    "bcat": mostly([], CATEGORIES),
    "acat": mostly(["IAB18", "IAB1", "IAB3"], CATEGORIES),
    "badv": mostly([], some("shop.example", "shop-2.example", "example", "nobody.example")),
    "bapp": some("com.shop.example", "123456789"),
    "ext": table(schain=SCHAIN),
}
CHANNEL = mostly("site", one("app", "dooh", "none", "two"))


def requests(chance: random.Random) -> Object:
    """Draw a well-typed request."""
    imps = []
    for place in range(chance.randint(1, 3)):
        name, media = chance.choice(MEDIA)
        imps.append({"id": str(place), name: media(chance), **IMP(chance)})
    channel, site = CHANNEL(chance), SITE(chance)
    channels: dict[str, Object] = {
        "site": {"site": site},
        "app": {"app": APP(chance)},
        "dooh": {"dooh": DOOH(chance)},
        "none": {},
        "two": {"site": site, "app": APP(chance)},
    }
    return {"id": "request-1", "imp": imps, **channels[channel], **table(**REQUEST_FIELDS)(chance)}


def spoiled_requests(chance: random.Random) -> Object:
    """Draw a request with one to four of its values, anywhere, replaced by values of any type."""
    request: Object = json.loads(json.dumps(requests(chance)))
    for _ in range(chance.randint(1, 4)):
        holder, step = chance.choice(list(_places(request)))
        holder[step] = copy.deepcopy(JUNK(chance))
    return request


def _of_one_kind(asset: Object) -> Object:
    kind = next((name for name in ("title", "img", "data", "video") if name in asset), None)
    return {name: value for name, value in asset.items() if name in ("id", "required", kind)}


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (holder, key) of every value inside, but the ids that name the request and its imps."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in list(steps):
        if step != "id":
            yield value, step
        yield from _places(inner)
