"""Which creatives fit what an imp offers.

`mismatch` is the rule, for one offer, one creative and what its line item asks of a place. Offers repeat
endlessly (a few hundred cover most of an exchange's traffic) and ads fall into a few dozen groups
that no offer can tell apart, so `MediaRows` works each offer out once, group by group, and keeps the
answer as a row of bits, one for each ad, that the kernel ANDs like any other.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from bidder.decision.bitrows import BitRow, bit_row
from bidder.decision.marks import SUMS, UNSUMMED, slot_mark
from bidder.decision.match_rows import MatchRows
from bidder.decision.reasons import Mismatch
from bidder.decision.row_table import RowTable
from bidder.openrtb.opportunity import BannerShape, MediaOffer, NativeAsset, NativeShape, StreamShape
from config.schema import VIDEO_PLACEMENTS, Creative, MediaFile, NativeAssets, SlotTargeting

INLINE_VERSIONS = {2: "2.0", 3: "3.0", 7: "4.0", 11: "4.1", 13: "4.2", 15: "4.3"}
WRAPPER_VERSIONS = {5: "2.0", 6: "3.0", 8: "4.0", 12: "4.1", 14: "4.2", 16: "4.3"}
"""AdCOM "Creative Subtypes - Audio/Video": the VAST we can write, by protocol number. What 4.3 adds is
optional (VAST4.x, 4.3.md, "VAST 4.3 Updates"); 1.0 (1 and 4) nobody asks for alone."""
PROTOCOL_DEFAULT = 3
WRAPPER_PROTOCOL_DEFAULT = 6
"""What is written for an imp that names no protocols."""
WRAPPED_VERSION_DEFAULT = "3.0"
"""What a `vast_url` is taken to lead to where its creative does not say."""

SKIPPABLE = 16
"""AdCOM "Creative Attributes": the ad brings its own way to skip it."""
_SKIP_VERSION_MIN = "3.0"
"""VAST 2.0 has no `skipoffset`."""
_EXPANDABLE = frozenset((3, 4, 5))
"""AdCOM "Creative Attributes": expands by itself, on click, on rollover."""
_BANNER_TYPES = {"image_url": 2, "html": 3, "iframe_url": 4}
"""`btype` (OpenRTB 2.6, 3.2.6) of a creative, by the field that holds it."""
INTERSTITIAL_WIDTH_PERCENT_MIN, INTERSTITIAL_HEIGHT_PERCENT_MIN = 50, 40
"""Of the place offered: what an interstitial may at least measure, and at most all of it. OpenRTB has no
rule; this is Google's (developers.google.com/authorized-buyers/rtb/interstitial-ads)."""
_DELIVERIES = {"streaming": 1, "progressive": 2}
"""AdCOM "Delivery Methods"."""
_DATA_FIELDS = {
    1: "sponsored_by",
    2: "description",
    3: "rating",
    4: "likes",
    5: "downloads",
    6: "price",
    7: "sale_price",
    8: "phone",
    9: "address",
    10: "description_2",
    11: "display_url",
    12: "call_to_action",
}
"""Native 1.2, 7.4: the data asset types, and the field of a creative that answers each."""
_ICON, _MAIN_IMAGE = 1, 3
ANY_SLOT = SlotTargeting()

SLOT_MARK = np.dtype([("mark", np.int32), *SUMS])
"""What the kernel reads of an offer for predictions."""


def vast_protocol(shape: StreamShape, creative: Creative) -> int | None:
    """Return the highest protocol that the imp takes and the creative can be written in, or None.

    A wrapper is never of a lower version than what it leads to; a skip button needs VAST 3.
    """
    wraps = creative.vast_url is not None
    versions = WRAPPER_VERSIONS if wraps else INLINE_VERSIONS
    if wraps:
        version_min = creative.vast_version or WRAPPED_VERSION_DEFAULT
    else:
        version_min = _SKIP_VERSION_MIN if SKIPPABLE in shown_attributes(shape, creative) else ""
    offered = shape.protocols or (WRAPPER_PROTOCOL_DEFAULT if wraps else PROTOCOL_DEFAULT,)
    fitting = [number for number in offered if number in versions and versions[number] >= version_min]
    return max(fitting, default=None)


def shown_attributes(shape: object, creative: Creative) -> tuple[int, ...]:
    """Return the attributes a creative has in a slot of this shape, as `attr` declares them.

    A skip button of ours is left out where the player has its own (OpenRTB 2.6 implementation notes,
    7.4); one behind a `vast_url` can't be.
    """
    if creative.skip_after_seconds is None or SKIPPABLE in creative.attributes:
        return creative.attributes
    if creative.vast_url is None and isinstance(shape, StreamShape) and shape.skippable:
        return creative.attributes
    return (*creative.attributes, SKIPPABLE)


def playable_files(shape: StreamShape, creative: Creative) -> list[MediaFile]:
    """Return the media files that a player as described can play."""
    return [file for file in creative.media_files if _is_playable(shape, file)]


def _is_playable(shape: StreamShape, file: MediaFile) -> bool:
    if file.mime not in shape.mimes:
        return False
    if shape.delivery and _DELIVERIES[file.delivery] not in shape.delivery:
        return False
    if file.bitrate_kbps is not None and (
        file.bitrate_kbps < shape.bitrate_min_kbps
        or (shape.bitrate_max_kbps and file.bitrate_kbps > shape.bitrate_max_kbps)
    ):
        return False
    if shape.boxing or not (shape.w and shape.h and file.w and file.h):
        return True
    # The same shape to within a pixel: 854x480 is as good as 16:9.
    return abs(file.w * shape.h - file.h * shape.w) <= max(file.w, file.h, shape.w, shape.h)


def mismatch(offer: MediaOffer, creative: Creative, wanted: SlotTargeting = ANY_SLOT) -> Mismatch | None:
    """Return why a creative can't be shown in what the imp offers, or None when it can."""
    reason: Mismatch | None
    if creative.format == "banner":
        reason = _banner_mismatch(offer, creative)
    elif creative.format == "native":
        reason = _native_mismatch(offer.native, creative)
    else:
        reason = _stream_mismatch(offer.video if creative.format == "video" else offer.audio, creative)
    if reason is None and wanted != ANY_SLOT and not _is_wanted(offer, creative, wanted):
        return Mismatch.SLOT
    if reason is None and offer.secure and not is_secure(creative):
        return Mismatch.NOT_SECURE
    return reason


def _is_wanted(offer: MediaOffer, creative: Creative, wanted: SlotTargeting) -> bool:
    for asked, said in ((wanted.interstitial, offer.interstitial), (wanted.rewarded, offer.rewarded)):
        if asked is not None and asked != said:
            return False
    shape = offer.audio if creative.format == "audio" else offer.video
    if creative.format not in ("video", "audio") or shape is None:
        return not wanted.placements and not wanted.starts
    placements = [VIDEO_PLACEMENTS.index(name) + 1 for name in wanted.placements]
    if placements and shape.placement not in placements:
        return False
    return not wanted.starts or shape.start in wanted.starts


def is_secure(creative: Creative) -> bool:
    """Tell whether everything the creative makes a browser load is https."""
    if creative.html is not None and "http://" in creative.html.lower():
        return False
    return all(url.startswith("https://") for url in _asset_urls(creative))


def data_text(assets: NativeAssets, data_type: int) -> str | None:
    """Return the text that answers a native data asset of a type, or None when there is none."""
    field = _DATA_FIELDS.get(data_type)
    return getattr(assets, field) if field else None


def answers(asset: NativeAsset, creative: Creative) -> bool:
    """Tell whether a native creative can answer one asked-for asset (Native 1.2, 4.2 to 4.6)."""
    assets = creative.native
    assert assets is not None
    if asset.kind == "title":
        return not asset.length_max or len(assets.title) <= asset.length_max
    if asset.kind == "data":
        text = data_text(assets, asset.type)
        return text is not None and (not asset.length_max or len(text) <= asset.length_max)
    if asset.kind == "img":
        image = assets.icon if asset.type == _ICON else assets.image if asset.type == _MAIN_IMAGE else None
        return image is not None and image.w >= asset.w_min and image.h >= asset.h_min
    return asset.stream is not None and _stream_mismatch(asset.stream, creative) is None


def _banner_mismatch(offer: MediaOffer, creative: Creative) -> Mismatch | None:
    shape = offer.banner
    if shape is None:
        return Mismatch.FORMAT
    if not _fits(shape, offer.interstitial, creative):
        return Mismatch.SIZE
    kind = next(type_ for field, type_ in _BANNER_TYPES.items() if getattr(creative, field) is not None)
    if kind in shape.blocked_types or _blocked(shape.blocked_attributes, creative.attributes):
        return Mismatch.ATTRIBUTE
    if not shape.expandable and not _EXPANDABLE.isdisjoint(creative.attributes):
        return Mismatch.ATTRIBUTE
    return None if set(creative.apis) <= set(shape.apis) else Mismatch.API


def _fits(shape: BannerShape, interstitial: bool, creative: Creative) -> bool:
    w, h = creative.w or 0, creative.h or 0
    if (w, h) in shape.sizes:
        return True
    if any(w * hratio == h * wratio and w >= wmin for wratio, hratio, wmin in shape.ratios):
        return True
    return interstitial and any(
        w <= full_w
        and h <= full_h
        and w * 100 >= full_w * INTERSTITIAL_WIDTH_PERCENT_MIN
        and h * 100 >= full_h * INTERSTITIAL_HEIGHT_PERCENT_MIN
        for full_w, full_h in shape.sizes
    )


def _stream_mismatch(shape: StreamShape | None, creative: Creative) -> Mismatch | None:
    if shape is None or not shape.linear:
        return Mismatch.FORMAT
    if creative.vast_url is None and not playable_files(shape, creative):
        return Mismatch.MIME
    duration = creative.duration_seconds or 0
    if shape.durations_s:
        if duration not in shape.durations_s:
            return Mismatch.DURATION
    elif duration < shape.duration_min_s or (shape.duration_max_s and duration > shape.duration_max_s):
        return Mismatch.DURATION
    attributes = shown_attributes(shape, creative)
    if shape.skippable and SKIPPABLE in attributes:
        return Mismatch.SKIP
    if vast_protocol(shape, creative) is None:
        return Mismatch.PROTOCOL
    if _blocked(shape.blocked_attributes, attributes):
        return Mismatch.ATTRIBUTE
    return None if set(creative.apis) <= set(shape.apis) else Mismatch.API


def _native_mismatch(shape: NativeShape | None, creative: Creative) -> Mismatch | None:
    if shape is None:
        return Mismatch.FORMAT
    if not all(answers(asset, creative) for asset in shape.assets if asset.required):
        return Mismatch.NATIVE_ASSET
    if not any(answers(asset, creative) for asset in shape.assets):
        return Mismatch.NATIVE_ASSET
    return Mismatch.ATTRIBUTE if _blocked(shape.blocked_attributes, creative.attributes) else None


def _blocked(blocked: tuple[int, ...], attributes: tuple[int, ...]) -> bool:
    return any(attribute in blocked for attribute in attributes)


def _asset_urls(creative: Creative) -> list[str]:
    urls = [file.url for file in creative.media_files]
    urls += [url for url in (creative.image_url, creative.iframe_url, creative.vast_url) if url]
    if creative.native:
        urls += [image.url for image in (creative.native.icon, creative.native.image) if image]
    return urls


def _group_key(creative: Creative, wanted: SlotTargeting) -> tuple[object, ...]:
    """Everything `mismatch` looks at: ads with equal keys fit the same offers."""
    native = creative.native
    native_key: tuple[object, ...] = ()
    if native is not None:
        texts = [data_text(native, data_type) for data_type in _DATA_FIELDS]
        images = [image and (image.w, image.h) for image in (native.icon, native.image)]
        native_key = (len(native.title), *(text and len(text) for text in texts), *images)
    files = {msgspec.structs.replace(file, url="https://-.example") for file in creative.media_files}
    return (
        creative.format,
        creative.w,
        creative.h,
        tuple(getattr(creative, field) is None for field in _BANNER_TYPES),
        frozenset(files),
        creative.vast_url is None,
        creative.vast_version,
        creative.duration_seconds,
        creative.skip_after_seconds is None,
        creative.attributes,
        creative.apis,
        is_secure(creative),
        native_key,
        wanted,
    )


class MediaRows:
    """The row of ads that fit, for each offer met so far, and its slot's mark."""

    def __init__(self, creatives: Sequence[tuple[Creative, SlotTargeting]], words: int) -> None:
        """`creatives` has one entry for each ad, with what its line item asks of a place."""
        groups: dict[tuple[object, ...], list[int]] = {}
        for ad_index, (creative, wanted) in enumerate(creatives):
            groups.setdefault(_group_key(creative, wanted), []).append(ad_index)
        self._groups = [(*creatives[ads[0]], bit_row(ads, words)) for ads in groups.values()]
        self._words = words
        self._rows: MatchRows[MediaOffer] = MatchRows(self._fitting, words)
        self._slot_marks = RowTable(SLOT_MARK)
        self.row_of = self._rows.row_of

    @property
    def bits(self) -> npt.NDArray[np.uint64]:
        """uint64[rows, words], by the numbers that `row_of` returns."""
        return self._rows.bits

    @property
    def slot_marks(self) -> npt.NDArray[np.void]:
        """SLOT_MARK[rows], by the same numbers."""
        return self._slot_marks.rows

    def make_room(self) -> None:
        """Forget all rows once there are too many."""
        if self._rows.make_room():
            self._slot_marks.clear()

    def _fitting(self, offer: MediaOffer) -> BitRow:
        # In step with the rows: each is made once, when it is added.
        self._slot_marks.add((slot_mark(offer), *UNSUMMED))
        row = np.zeros(self._words, np.uint64)
        for creative, wanted, ads in self._groups:
            if mismatch(offer, creative, wanted) is None:
                row |= ads
        return row
