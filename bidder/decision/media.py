"""Which creatives fit what an imp offers.

`mismatch` is the rule, for one offer and one creative. Offers repeat endlessly (a few hundred cover
most of an exchange's traffic) and creatives fall into a few dozen groups that no offer can tell
apart, so `MediaRows` works each offer out once, group by group, and keeps the answer as a row of
bits, one for each ad, that the kernel ANDs like any other.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bidder.decision.bitrows import bit_row
from bidder.decision.reasons import Mismatch
from bidder.openrtb.opportunity import BannerShape, MediaOffer, NativeAsset, NativeShape, StreamShape
from config.limits import MEDIA_SHAPES_CACHED_MAX
from config.schema import Creative, NativeAssets

VAST_VERSIONS = {2: "2.0", 3: "3.0", 7: "4.0", 11: "4.1", 13: "4.2"}
"""AdCOM "Creative Subtypes - Audio/Video": inline VAST we can write, by protocol number."""
VAST_PROTOCOL_DEFAULT = 3
"""What is written for an imp that names no protocols."""

_XHTML_BANNER = 2
_DATA_FIELDS = {1: "sponsored_by", 2: "description", 12: "call_to_action"}
"""Native 1.2, 7.4: the data asset types a creative can answer, and the field that does."""
_ICON, _MAIN_IMAGE = 1, 3


def vast_protocol(shape: StreamShape) -> int | None:
    """Return the highest protocol that both the imp takes and we can write; None when none is."""
    if not shape.protocols:
        return VAST_PROTOCOL_DEFAULT
    return max((protocol for protocol in shape.protocols if protocol in VAST_VERSIONS), default=None)


def mismatch(offer: MediaOffer, creative: Creative) -> Mismatch | None:
    """Return why a creative can't be shown in what the imp offers, or None when it can."""
    reason: Mismatch | None
    if creative.format == "banner":
        reason = _banner_mismatch(offer.banner, creative)
    elif creative.format == "native":
        reason = _native_mismatch(offer.native, creative)
    else:
        reason = _stream_mismatch(offer.video if creative.format == "video" else offer.audio, creative)
    if reason is None and offer.secure and not is_secure(creative):
        return Mismatch.NOT_SECURE
    return reason


def is_secure(creative: Creative) -> bool:
    """Tell whether everything the creative makes a browser load is https."""
    return all(url.startswith("https://") for url in _asset_urls(creative))


def data_text(assets: NativeAssets, data_type: int) -> str | None:
    """Return the text that answers a native data asset of a type, or None when there is none."""
    field = _DATA_FIELDS.get(data_type)
    return getattr(assets, field) if field else None


def answers(asset: NativeAsset, assets: NativeAssets) -> bool:
    """Tell whether a creative's assets can answer one asked-for asset (Native 1.2, 4.2 to 4.6)."""
    if asset.kind == "title":
        return not asset.length_max or len(assets.title) <= asset.length_max
    if asset.kind == "data":
        text = data_text(assets, asset.type)
        return text is not None and (not asset.length_max or len(text) <= asset.length_max)
    if asset.kind == "img":
        image = assets.icon if asset.type == _ICON else assets.image if asset.type == _MAIN_IMAGE else None
        return image is not None and image.w >= asset.w_min and image.h >= asset.h_min
    return False


def _banner_mismatch(shape: BannerShape | None, creative: Creative) -> Mismatch | None:
    if shape is None:
        return Mismatch.FORMAT
    if (creative.w, creative.h) not in shape.sizes:
        return Mismatch.SIZE
    if _XHTML_BANNER in shape.blocked_types or _blocked(shape.blocked_attributes, creative):
        return Mismatch.ATTRIBUTE
    return None


def _stream_mismatch(shape: StreamShape | None, creative: Creative) -> Mismatch | None:
    if shape is None or not shape.linear:
        return Mismatch.FORMAT
    if not any(file.mime in shape.mimes for file in creative.media_files):
        return Mismatch.MIME
    duration = creative.duration_seconds or 0
    if shape.durations_s:
        if duration not in shape.durations_s:
            return Mismatch.DURATION
    elif duration < shape.duration_min_s or (shape.duration_max_s and duration > shape.duration_max_s):
        return Mismatch.DURATION
    if vast_protocol(shape) is None:
        return Mismatch.PROTOCOL
    return Mismatch.ATTRIBUTE if _blocked(shape.blocked_attributes, creative) else None


def _native_mismatch(shape: NativeShape | None, creative: Creative) -> Mismatch | None:
    if shape is None or creative.native is None:
        return Mismatch.FORMAT
    native = creative.native
    if not all(answers(asset, native) for asset in shape.assets if asset.required):
        return Mismatch.NATIVE_ASSET
    if not any(answers(asset, native) for asset in shape.assets):
        return Mismatch.NATIVE_ASSET
    return Mismatch.ATTRIBUTE if _blocked(shape.blocked_attributes, creative) else None


def _blocked(attributes: tuple[int, ...], creative: Creative) -> bool:
    return any(attribute in attributes for attribute in creative.attributes)


def _asset_urls(creative: Creative) -> list[str]:
    urls = [file.url for file in creative.media_files]
    if creative.image_url:
        urls.append(creative.image_url)
    if creative.native:
        urls += [image.url for image in (creative.native.icon, creative.native.image) if image]
    return urls


def _group_key(creative: Creative) -> tuple[object, ...]:
    """Everything `mismatch` looks at: creatives with equal keys fit the same offers."""
    native = creative.native
    native_key: tuple[object, ...] = ()
    if native is not None:
        texts = [data_text(native, data_type) for data_type in _DATA_FIELDS]
        images = [image and (image.w, image.h) for image in (native.icon, native.image)]
        native_key = (len(native.title), *(text and len(text) for text in texts), *images)
    return (
        creative.format,
        creative.w,
        creative.h,
        frozenset(file.mime for file in creative.media_files),
        creative.duration_seconds,
        creative.attributes,
        is_secure(creative),
        native_key,
    )


class MediaRows:
    """The rows of the offers met so far: `bits` is uint64[rows, words], grown as needed."""

    def __init__(self, creatives: Sequence[Creative], words: int) -> None:
        groups: dict[tuple[object, ...], list[int]] = {}
        for ad_index, creative in enumerate(creatives):
            groups.setdefault(_group_key(creative), []).append(ad_index)
        self._groups = [(creatives[ads[0]], bit_row(ads, words)) for ads in groups.values()]
        self._rows: dict[MediaOffer, int] = {}
        self.bits: npt.NDArray[np.uint64] = np.zeros((64, words), np.uint64)

    def make_room(self) -> None:
        """Forget all rows once there are too many. Only between batches: row numbers change."""
        if len(self._rows) > MEDIA_SHAPES_CACHED_MAX:
            self._rows = {}

    def row_of(self, offer: MediaOffer) -> int:
        """Return the row number in `bits` of an offer."""
        row = self._rows.get(offer)
        return self._add(offer) if row is None else row

    def _add(self, offer: MediaOffer) -> int:
        row = len(self._rows)
        if row == len(self.bits):
            self.bits = np.concatenate((self.bits, np.zeros_like(self.bits)))
        self.bits[row] = 0
        for creative, ads in self._groups:
            if mismatch(offer, creative) is None:
                self.bits[row] |= ads
        self._rows[offer] = row
        return row
