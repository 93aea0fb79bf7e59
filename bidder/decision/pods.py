"""What the ads of one break, or of one imp, may not have in common (`poddedupe`; OpenRTB 2.6, 3.2.7).

Each ad has keys: its advertiser's domain, each of its categories, its creative, each of its files. Two ads
clash when they share a key of a kind that the imp wants only once. The kernel has the keys as integers
that begin with their kind:

    key = number x 4 + kind            kinds: 0 domain, 1 category, 2 creative, 3 media file

An imp takes each creative once, asked or not. `clash` is the rule for two ads, as `hustings explain` asks
it.
"""

from collections.abc import Iterable, Sequence

from bidder.decision.blocks import declared
from bidder.decision.dimensions import Ad

KIND_BITS = 2
DOMAIN, CATEGORY, CREATIVE, MEDIA_FILE = range(4)
"""`poddedupe` 1 to 4, less 1: the bit of `Pod.dedupe`."""

Key = tuple[int, str]


def keys_of(ad: Ad) -> Iterable[Key]:
    """Return everything of an ad that a break may want only once, each with its kind."""
    yield DOMAIN, ad.advertiser.domain
    for category in declared(ad):
        yield CATEGORY, category
    yield CREATIVE, ad.creative.id
    for url in {*(file.url for file in ad.creative.media_files), ad.creative.vast_url} - {None}:
        yield MEDIA_FILE, str(url)


def clash(ad: Ad, other: Ad, dedupe: int) -> bool:
    """Tell whether two ads share a key of a kind whose bit is set."""
    wanted_once = {key for key in keys_of(ad) if dedupe >> key[0] & 1}
    return not wanted_once.isdisjoint(keys_of(other))


def dedupe_keys(ads: Sequence[Ad]) -> list[list[int]]:
    """Return the keys of each ad as integers."""
    numbers: dict[Key, int] = {}
    return [
        [numbers.setdefault(key, len(numbers)) << KIND_BITS | key[0] for key in keys_of(ad)] for ad in ads
    ]
