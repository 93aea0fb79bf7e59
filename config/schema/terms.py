"""The words a config is written in: ids, names and kinds, each with what it may be.

Where a word stands for a number of a published list, the list is named.
"""

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from config.limits import DOMAIN_CHARS_MAX, ID_CHARS_MAX

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


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Frozen, and a key that is not in the model is a fault: a typo never silently means nothing."""
