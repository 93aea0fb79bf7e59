"""Values that are well formed, and look like a slip of the finger.

    for finding in find_slips(bundle):
        ...

Each rule holds a value against what it is a small step away from: a size against the common ones, a landing
page against the advertiser's domain, a code of a place against the codes that exist. Nothing is said of what
is merely uncommon.
"""

import difflib
from collections.abc import Iterator
from urllib.parse import urlsplit

from config.faults import SchemaPath
from config.findings import Finding
from config.money import MICROS, cpm_text
from config.place_codes import COUNTRIES, STATES
from config.schema import Advertiser, Bundle, Creative, Places
from config.wording import nearest_hint

CPM_CHEAP_MICROS = MICROS // 50
"""Two hundredths for a thousand impressions win next to nothing; for one impression they are a price."""
_SAME_DOMAIN_RATIO = 0.85

COMMON_SIZES = frozenset(
    {
        *((120, 240), (120, 600), (160, 600), (180, 150), (200, 200), (250, 250), (300, 50), (300, 100)),
        *((300, 250), (300, 600), (300, 1050), (320, 50), (320, 100), (320, 480), (336, 280), (468, 60)),
        *((480, 320), (728, 90), (768, 1024), (970, 90), (970, 250), (980, 120), (1024, 768)),
    }
)
"""Sizes of banners that publishers have places for: the IAB's fixed sizes (New Ad Portfolio, 2017), those it
delisted that are still sold, and full screens of phones and tablets."""


def find_slips(bundle: Bundle) -> Iterator[Finding]:
    """Yield what looks like a slip in what is written, used or not."""
    for a, advertiser in enumerate(bundle.advertisers):
        path: SchemaPath = ("advertisers", a)
        for index, creative in enumerate(advertiser.creatives):
            yield from _of_creative((*path, "creatives", index), creative, advertiser)
        for c, campaign in enumerate(advertiser.campaigns):
            for i, item in enumerate(campaign.line_items):
                item_path = (*path, "campaigns", c, "line_items", i)
                for which in ("include", "exclude"):
                    places = getattr(item.targeting.geo, which)
                    yield from _of_places((*item_path, "targeting", "geo", which), places)
                if item.bid_cpm is not None and 0 < item.bid_cpm < CPM_CHEAP_MICROS:
                    message = (
                        f"a CPM is the price of a thousand: this pays {cpm_text(item.bid_cpm)} for them all; "
                        f"if it was meant for each one, write {cpm_text(1_000 * item.bid_cpm)}"
                    )
                    yield Finding((*item_path, "bid_cpm"), message)


def _of_creative(path: SchemaPath, creative: Creative, advertiser: Advertiser) -> Iterator[Finding]:
    if creative.format == "banner" and creative.w is not None and creative.h is not None:
        meant = _meant_size(creative.w, creative.h)
        if meant is not None:
            message = f"{creative.w}x{creative.h} is no common size; was {meant[0]}x{meant[1]} meant?"
            yield Finding((*path, "w"), message)
    host = (urlsplit(creative.landing_url).hostname or "").removeprefix("www.")
    own = advertiser.domain.removeprefix("www.")
    related = f".{host}".endswith(f".{own}") or f".{own}".endswith(f".{host}")
    if not related and difflib.SequenceMatcher(None, host, own).ratio() >= _SAME_DOMAIN_RATIO:
        message = f"this leads to {host}, and the advertiser's `domain` is {own}; is one of them misspelt?"
        yield Finding((*path, "landing_url"), message)


def _meant_size(w: int, h: int) -> tuple[int, int] | None:
    """Return the common size that has the same digits, one side or both in another order."""
    if (w, h) in COMMON_SIZES:
        return None
    if (h, w) in COMMON_SIZES:
        return h, w
    same = sorted(size for size in COMMON_SIZES if [*map(_digits, size)] == [_digits(w), _digits(h)])
    return same[0] if len(same) == 1 else None


def _digits(number: int) -> list[str]:
    return sorted(str(number))


def _of_places(path: SchemaPath, places: Places) -> Iterator[Finding]:
    countries = [("countries", index, code, code) for index, code in enumerate(places.countries)]
    countries += [("regions", index, code, code[:3]) for index, code in enumerate(places.regions)]
    countries += [("zips", index, code, code[:3]) for index, code in enumerate(places.zips)]
    for field, index, written, country in countries:
        if country not in COUNTRIES:
            message = f"`{written}`: {country} is no country's code{nearest_hint(country, COUNTRIES)}"
            yield Finding((*path, field, index), message)
        elif field == "regions" and country == "USA" and written[4:] not in STATES:
            message = (
                f"`{written}`: {written[4:]} is no state of the USA; states have two letters, like USA-IA"
            )
            yield Finding((*path, field, index), message)
