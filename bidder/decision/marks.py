"""The marks of a request and of an ad: what of them predictions are told (`pacing.features`).

The marks of a request are of three parts, each worked out once and kept: of its place (`places`), of its
context (`contexts`) and of its slot (`media`). A part is a record in a table that the kernel reads. It
ends in `sums`, of each event that a model predicts the weights of its marks alone: whatever the ad, they are
the same, so they are summed up when an ad first asks for them, and stay as long as the model does. `sums_of`
is the number of the `Scoring` they are of.

    place     region metro                     sums_of sums
    context   site exchange device system      sums_of sums
    slot      slot                             sums_of sums

How likely an imp is to be seen is told with the imp: its mark has one of VIEWABILITY_STEPS values.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bidder.decision.dimensions import Ad
from bidder.openrtb.opportunity import MediaOffer, Opportunity, Slot
from config.compiled import inlined, kernel
from config.money import BILLION
from config.schema import code_of
from pacing.features import (
    CAMPAIGN,
    CREATIVE,
    DEVICE,
    EXCHANGE,
    LINE_ITEM,
    MARK_BYTES,
    METRO,
    REGION,
    SITE,
    SLOT,
    SYSTEM,
    VIEWABILITY,
    ad_mark,
    context_mark,
    pack_mark,
)
from pacing.prediction import PREDICTED

SUMS: Final = [("sums_of", np.int32), ("sums", np.int32, (len(PREDICTED),))]
"""How every part ends."""
UNSUMMED: Final = (0, (0,) * len(PREDICTED))
"""The end of a part that no ad has asked for."""
VIEWABILITY_STEPS: Final = 12
"""Not stated, then by tenths; certain is one of its own."""


@kernel
def viewability_step(view_billionths: int) -> int:
    """Return the step of a stated viewability, 0 to BILLION; 0 where none is stated."""
    return 1 + 10 * view_billionths // BILLION if view_billionths > 0 else 0


def _viewability_text(step: int) -> str:
    return str(step - 1) if step else ""


VIEWABILITY_MARKS: Final = np.array(
    [context_mark(VIEWABILITY, _viewability_text(step)) for step in range(VIEWABILITY_STEPS)], np.int64
)
"""int64[VIEWABILITY_STEPS]."""


def context_values(opportunity: Opportunity, slot: Slot) -> tuple[str, ...]:
    """Return the values of `pacing.features.CONTEXT_FIELDS`, whatever is remembered of them."""
    return (
        opportunity.region or opportunity.country,
        opportunity.metro,
        opportunity.bundle or opportunity.domain,
        opportunity.exchange_id,
        str(opportunity.device_type),
        opportunity.operating_system,
        slot_text(slot.media),
        _viewability_text(viewability_step(slot.view_billionths)),
    )


def slot_text(media: MediaOffer) -> str:
    """Tell slots apart as far as it matters to who sees and clicks an ad: ``banner 300x250``."""
    words = []
    if media.banner is not None:
        words += ["banner", *(f"{w}x{h}" for w, h in media.banner.sizes[:1])]
    for name, shape in (("video", media.video), ("audio", media.audio)):
        if shape is not None:
            words += [name, str(shape.placement), shape.start]
    if media.native is not None:
        words.append("native")
    words += ["interstitial"] * media.interstitial + ["rewarded"] * media.rewarded
    return " ".join(words)


def place_marks(country: str, region: str, metro: str) -> tuple[int, int]:
    """Return the marks of a place: region, metro."""
    return context_mark(REGION, region or country), context_mark(METRO, metro)


def context_marks(opportunity: Opportunity) -> tuple[int, int, int, int]:
    """Return the marks of a context: site, exchange, device, system."""
    return (
        context_mark(SITE, opportunity.bundle or opportunity.domain),
        context_mark(EXCHANGE, opportunity.exchange_id),
        context_mark(DEVICE, str(opportunity.device_type)),
        context_mark(SYSTEM, opportunity.operating_system),
    )


def slot_mark(media: MediaOffer) -> int:
    """Return the mark of a slot."""
    return context_mark(SLOT, slot_text(media))


def ad_marks(ad: Ad) -> tuple[int, int, int]:
    """Return the marks of an ad: campaign, line item, creative."""
    ids = ((CAMPAIGN, ad.campaign.id), (LINE_ITEM, ad.line_item.id), (CREATIVE, ad.creative.id))
    campaign, line_item, creative = (ad_mark(field, code_of(id_)) for field, id_ in ids)
    return campaign, line_item, creative


@inlined
def write_marks(
    marks: NDArray[np.uint8],
    start: int,
    candidate: np.record,
    context: np.record,
    place: np.record,
    slot: np.record,
) -> None:
    """Write what the request of a bid is remembered by: PACKED_BYTES of its marks, at marks[start]."""
    pack_mark(marks, start + REGION * MARK_BYTES, place.region)
    pack_mark(marks, start + METRO * MARK_BYTES, place.metro)
    pack_mark(marks, start + SITE * MARK_BYTES, context.site)
    pack_mark(marks, start + EXCHANGE * MARK_BYTES, context.exchange)
    pack_mark(marks, start + DEVICE * MARK_BYTES, context.device_type)
    pack_mark(marks, start + SYSTEM * MARK_BYTES, context.system)
    pack_mark(marks, start + SLOT * MARK_BYTES, slot.mark)
    viewability = VIEWABILITY_MARKS[viewability_step(candidate.view_billionths)]
    pack_mark(marks, start + VIEWABILITY * MARK_BYTES, viewability)
