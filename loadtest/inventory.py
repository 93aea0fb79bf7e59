"""What the generated visitors hold in their hands and look at: devices, sites and apps.

Every name is made up and every domain ends in `.example`. Addresses come from the ranges set
aside for documentation (RFC 5737).
"""

from typing import Any

import msgspec

Object = dict[str, Any]
"""A piece of an OpenRTB request. Pieces are shared between requests: read them, never change them."""


class Device(msgspec.Struct, frozen=True):
    """One kind of device; `weight` is its share of its group."""

    fields: Object
    weight: int


def _device(weight: int, devicetype: int, os: str, osv: str, make: str, size: str, ua: str) -> Device:
    w, h = size.split("x")
    fields = {"devicetype": devicetype, "os": os, "osv": osv, "make": make, "w": int(w), "h": int(h)}
    return Device({**fields, "ua": ua, "js": 1, "language": "en"}, weight)


_MOBILE_SAFARI = (
    "Mozilla/5.0 ({}; CPU {} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Mobile/15E148 Safari/604.1"
)
_CHROME = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0{} Safari/537.36"

HANDHELDS = (
    _device(38, 4, "iOS", "18.1", "Apple", "390x844", _MOBILE_SAFARI.format("iPhone", "iPhone OS 18_1")),
    _device(
        34, 4, "Android", "15", "Google", "412x915", _CHROME.format("Linux; Android 15; Pixel 9", " Mobile")
    ),
    _device(
        10, 1, "Android", "13", "Motorola", "360x800", _CHROME.format("Linux; Android 13; moto g", " Mobile")
    ),
    _device(12, 5, "iOS", "17.6", "Apple", "820x1180", _MOBILE_SAFARI.format("iPad", "OS 17_6")),
    _device(6, 5, "Android", "14", "Samsung", "800x1280", _CHROME.format("Linux; Android 14; SM-X210", "")),
)
DESKTOPS = (
    _device(60, 2, "Windows", "10", "PC", "1920x1080", _CHROME.format("Windows NT 10.0; Win64; x64", "")),
    _device(
        28, 2, "macOS", "15.1", "Apple", "1512x982", _CHROME.format("Macintosh; Intel Mac OS X 10_15_7", "")
    ),
    _device(
        12, 2, "ChromeOS", "130", "Lenovo", "1366x768", _CHROME.format("X11; CrOS x86_64 16033.58.0", "")
    ),
)
TELEVISIONS = (
    _device(40, 3, "Roku", "13.0", "Roku", "1920x1080", "Roku/DVP-13.0 (13.0.0.4209)"),
    _device(
        30,
        3,
        "Tizen",
        "7.0",
        "Samsung",
        "1920x1080",
        "Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) Version/7.0 TV",
    ),
    _device(18, 6, "Fire OS", "7.6", "Amazon", "1920x1080", "Dalvik/2.1.0 (Linux; U; Android 9; AFTMM)"),
    _device(12, 7, "tvOS", "18.0", "Apple", "3840x2160", "AppleTV14,1/18.0"),
)

_SITES: tuple[tuple[str, str, str], ...] = (
    ("prairieledger", "Prairie Ledger", "IAB12 IAB12-2"),
    ("corridordaily", "Corridor Daily", "IAB12 IAB12-2"),
    ("statehousenotes", "Statehouse Notes", "IAB11 IAB12-2"),
    ("tallcornweather", "Tall Corn Weather", "IAB15-10"),
    ("fridaynightscores", "Friday Night Scores", "IAB17 IAB17-12"),
    ("hawkridgesports", "Hawkridge Sports", "IAB17 IAB17-15"),
    ("grainandyield", "Grain and Yield", "IAB3 IAB3-12"),
    ("driftlesstrails", "Driftless Trails", "IAB20 IAB20-18"),
    ("rivercitykitchen", "River City Kitchen", "IAB8 IAB8-7"),
    ("quadcityautos", "Quad City Autos", "IAB2 IAB2-3"),
    ("firsthomehelper", "First Home Helper", "IAB21 IAB21-3"),
    ("plainmoneytalk", "Plain Money Talk", "IAB13 IAB13-4"),
    ("campusquad", "Campus Quad", "IAB5 IAB5-3"),
    ("healthyheartland", "Healthy Heartland", "IAB7 IAB7-44"),
    ("gardenzonefive", "Garden Zone Five", "IAB10 IAB10-4"),
    ("oddjobforum", "Odd Job Forum", "IAB10 IAB9"),
)
_APPS: tuple[tuple[str, str, str], ...] = (
    ("com.stackingsilos.example", "Stacking Silos", "IAB9-30"),
    ("com.barnbingo.example", "Barn Bingo", "IAB9-30"),
    ("com.radarnow.example", "Radar Now", "IAB15-10"),
    ("com.scoreline.example", "Scoreline", "IAB17"),
    ("com.pocketledger.example", "Pocket Ledger", "IAB13"),
    ("com.carpoolboard.example", "Carpool Board", "IAB2"),
    ("com.recipebox.example", "Recipe Box", "IAB8"),
    ("com.quickheadlines.example", "Quick Headlines", "IAB12"),
)
_AUDIO_APPS: tuple[tuple[str, str, str], ...] = (
    ("com.countyradio.example", "County Radio", "IAB1-6"),
    ("com.morningpodcasts.example", "Morning Podcasts", "IAB1"),
    ("com.polkastream.example", "Polka Stream", "IAB1-6"),
)
_TV_APPS: tuple[tuple[str, str, str], ...] = (
    ("com.porchlighttv.example", "Porchlight TV", "IAB1-7"),
    ("com.fieldandstreamline.example", "Fieldline Outdoors", "IAB1-7"),
    ("com.localnewslive.example", "Local News Live", "IAB12"),
)


def _site(index: int, word: str, name: str, cat: str) -> Object:
    domain = f"{word}.example"
    return {
        "id": f"site-{index:03d}",
        "name": name,
        "domain": domain,
        "cat": cat.split(),
        "publisher": {"id": f"pub-{index:03d}", "name": name, "domain": domain},
        "privacypolicy": 1,
    }


def _app(index: int, bundle: str, name: str, cat: str) -> Object:
    word = bundle.split(".")[1]
    return {
        "id": f"app-{index:03d}",
        "name": name,
        "bundle": bundle,
        "domain": f"{word}.example",
        "storeurl": f"https://store.example/app/{bundle}",
        "cat": cat.split(),
        "ver": "4.2.1",
        "publisher": {"id": f"pub-{100 + index}", "name": f"{name} Studio", "domain": f"{word}.example"},
        "privacypolicy": 1,
    }


SITES = tuple(_site(index, *row) for index, row in enumerate(_SITES))
APPS = tuple(_app(index, *row) for index, row in enumerate(_APPS))
AUDIO_APPS = tuple(_app(20 + index, *row) for index, row in enumerate(_AUDIO_APPS))
TV_APPS = tuple(_app(40 + index, *row) for index, row in enumerate(_TV_APPS))

BLOCKED_CATEGORIES = (
    "IAB7-39",
    "IAB8-18",
    "IAB9-9",
    "IAB11-4",
    "IAB13-2",
    "IAB14-1",
    "IAB24",
    "IAB25",
    "IAB26",
)
BLOCKED_DOMAINS = tuple(
    f"{word}.example" for word in ("rivalgrocer", "oldcompetitor", "shadyloans", "spamworks")
)
SECTIONS = ("", "news", "local", "sports/high-school", "opinion", "life", "guides/2026", "weather/radar")

SCREENS = tuple(
    {
        "id": f"screen-{index:02d}",
        "name": name,
        "venuetype": [venue],
        "venuetypetax": 1,
        "publisher": {"id": f"pub-{200 + index}", "name": f"{name} Screens", "domain": f"{word}.example"},
        "domain": f"{word}.example",
    }
    for index, (word, name, venue) in enumerate(
        (
            ("skywalkscreens", "Skywalk", "transit"),
            ("grocerscreens", "Grocer", "retail"),
            ("fairgroundscreens", "Fairground", "entertainment"),
        )
    )
)
"""Places out of home; nobody signs in to them."""

OPT_OUTS: tuple[Object, ...] = (
    {"coppa": 1},
    {"us_privacy": "1YYN"},
    {"gdpr": 1},
    {"gpp": "DBABTA~1YYN", "gpp_sid": [6]},
    {"ext": {"gpc": "1"}},
)
"""`regs` of people who may not be recognised."""
