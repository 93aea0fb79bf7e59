"""What of a request decides its value, beside its people: numbers that the kernel and the trainer read.

Where a config has prices that depend on the moment, each imp of a batch gets FACTS integers:

    FACT_EXCHANGE     index of the exchange
    FACT_ZIP          number of the postal code in `Values`, or -1
    FACT_VIEW         how likely it is to be seen, in billionths, as the exchange states it; 0: it does not
    FACT_COMPLETION   how likely it is to be played to its end, likewise
    FACT_MARKS ...    the marks of `pacing.features`, CONTEXT_MARKS of them

They follow from the request's context, its place and its slot, each of which is worked out once and
remembered with the rows that follow from it.
"""

from collections.abc import Mapping

from bidder.openrtb.opportunity import MediaOffer, Opportunity, Slot
from config.limits import MEDIA_SHAPES_CACHED_MAX
from config.money import BILLION
from pacing.features import CONTEXT_FIELDS, CONTEXT_MARKS, context_mark

FACT_EXCHANGE, FACT_ZIP, FACT_VIEW, FACT_COMPLETION, FACT_MARKS = range(5)
FACTS = FACT_MARKS + CONTEXT_MARKS

OfContext = tuple[int, int, int, int, int]
OfPlace = tuple[int, int, int]

assert CONTEXT_FIELDS == ("site", "exchange", "device", "system", "region", "metro", "slot", "viewability")
_SITE, _EXCHANGE, _DEVICE, _SYSTEM, _REGION, _METRO, _SLOT, _VIEWABILITY = range(CONTEXT_MARKS)


def context_values(opportunity: Opportunity, slot: Slot) -> tuple[str, ...]:
    """Return the values of CONTEXT_FIELDS, whatever is remembered of them."""
    return (
        opportunity.bundle or opportunity.domain,
        opportunity.exchange_id,
        str(opportunity.device_type),
        opportunity.operating_system,
        opportunity.region or opportunity.country,
        opportunity.metro,
        slot_text(slot.media),
        _tenth(slot.view_billionths),
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


def _tenth(billionths: int) -> str:
    return str(10 * billionths // BILLION) if billionths else ""


_VIEWABILITY_MARKS = [context_mark(_VIEWABILITY, str(tenth)) for tenth in range(11)]
_UNSTATED_MARK = context_mark(_VIEWABILITY, "")


class Facts:
    """The facts of one snapshot's requests."""

    def __init__(self, exchange_index: Mapping[str, int], zip_numbers: Mapping[str, int]) -> None:
        self._exchange_index = exchange_index
        self._zip_numbers = zip_numbers
        self._slot_marks: dict[MediaOffer, int] = {}

    def of_context(self, opportunity: Opportunity) -> OfContext:
        """Return the exchange's index, and the marks of site, exchange, device and system."""
        return (
            self._exchange_index[opportunity.exchange_id],
            context_mark(_SITE, opportunity.bundle or opportunity.domain),
            context_mark(_EXCHANGE, opportunity.exchange_id),
            context_mark(_DEVICE, str(opportunity.device_type)),
            context_mark(_SYSTEM, opportunity.operating_system),
        )

    def of_place(self, country: str, region: str, metro: str, zip_code: str) -> OfPlace:
        """Return the number of the postal code, and the marks of region and metro."""
        zip_number = self._zip_numbers.get(zip_code, -1)
        return zip_number, context_mark(_REGION, region or country), context_mark(_METRO, metro)

    def of_imp(self, context: OfContext, place: OfPlace, slot: Slot) -> tuple[int, ...]:
        """Return the FACTS integers of an imp."""
        exchange, site, exchange_mark, device, system = context
        zip_number, region, metro = place
        view = slot.view_billionths
        slot_mark = self._slot_marks.get(slot.media) or self._add_slot(slot.media)
        viewability = _VIEWABILITY_MARKS[10 * view // BILLION] if view else _UNSTATED_MARK
        return (
            exchange,
            zip_number,
            view,
            slot.completion_billionths,
            site,
            exchange_mark,
            device,
            system,
            region,
            metro,
            slot_mark,
            viewability,
        )

    def _add_slot(self, media: MediaOffer) -> int:
        if len(self._slot_marks) >= MEDIA_SHAPES_CACHED_MAX:
            self._slot_marks.clear()
        mark = self._slot_marks[media] = context_mark(_SLOT, slot_text(media))
        return mark
