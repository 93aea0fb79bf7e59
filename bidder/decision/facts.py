"""What of a request decides its value, beside its people: numbers that the kernel and the trainer read.

Where a config has prices that depend on the moment, each imp of a batch gets FACTS integers:

    FACT_EXCHANGE     index of the exchange                                            of the place
    FACT_ZIP          number of the postal code in `Values`, or -1
    FACT_MARKS ...    the marks of `pacing.features`: region, metro
                      site, exchange, device, system                                   of the context
                      slot, viewability                                                of the imp
    FACT_VIEW         how likely it is to be seen, in billionths, as the exchange states it; 0: it does not
    FACT_COMPLETION   how likely it is to be played to its end, likewise

The three parts are worked out once each, kept with the rows that follow from the same place or context, and
joined: as the bytes of int64s, and the marks also as a token carries them.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bidder.openrtb.opportunity import MediaOffer, Opportunity, Slot
from config.limits import MEDIA_SHAPES_CACHED_MAX
from config.money import BILLION
from pacing.features import (
    CONTEXT_FIELDS,
    CONTEXT_MARKS,
    DEVICE,
    EXCHANGE,
    METRO,
    REGION,
    SITE,
    SLOT,
    SYSTEM,
    VIEWABILITY,
    context_mark,
    pack_marks,
)

FACT_EXCHANGE, FACT_ZIP, FACT_MARKS = range(3)
FACT_VIEW = FACT_MARKS + CONTEXT_MARKS
FACT_COMPLETION = FACT_VIEW + 1
FACTS = FACT_COMPLETION + 1

assert CONTEXT_FIELDS == ("region", "metro", "site", "exchange", "device", "system", "slot", "viewability")


class Part(NamedTuple):
    """One of the three parts of an imp's facts."""

    numbers: bytes
    """int64s."""
    marks: bytes
    """Its marks once more: `pacing.features.pack_marks`."""


NO_FACTS = Part(b"", b"")
"""Where no value depends on any."""


def context_values(opportunity: Opportunity, slot: Slot) -> tuple[str, ...]:
    """Return the values of CONTEXT_FIELDS, whatever is remembered of them."""
    return (
        opportunity.region or opportunity.country,
        opportunity.metro,
        opportunity.bundle or opportunity.domain,
        opportunity.exchange_id,
        str(opportunity.device_type),
        opportunity.operating_system,
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


def _integers(*values: int) -> bytes:
    return struct.pack(f"{len(values)}q", *values)


def _part(marks: Sequence[int], before: tuple[int, ...] = ()) -> Part:
    return Part(_integers(*before, *marks), pack_marks(marks))


_VIEWABILITY = [_part((context_mark(VIEWABILITY, str(tenth)),)) for tenth in range(11)]
_NO_VIEWABILITY = _part((context_mark(VIEWABILITY, ""),))


class Facts:
    """The facts of one snapshot's requests, in parts."""

    def __init__(self, exchange_index: Mapping[str, int], zip_numbers: Mapping[str, int]) -> None:
        self._exchange_index = exchange_index
        self._zip_numbers = zip_numbers
        # The part of an imp whose exchange states neither rate.
        self._slots: dict[MediaOffer, Part] = {}

    def of_place(self, exchange_id: str, country: str, region: str, metro: str, zip_code: str) -> Part:
        """Return the part of a place, as an exchange's requests have it."""
        marks = (context_mark(REGION, region or country), context_mark(METRO, metro))
        before = (self._exchange_index[exchange_id], self._zip_numbers.get(zip_code, -1))
        return _part(marks, before=before)

    def of_context(self, opportunity: Opportunity) -> Part:
        """Return the part of the context: site, exchange, device and system."""
        return _part(
            (
                context_mark(SITE, opportunity.bundle or opportunity.domain),
                context_mark(EXCHANGE, opportunity.exchange_id),
                context_mark(DEVICE, str(opportunity.device_type)),
                context_mark(SYSTEM, opportunity.operating_system),
            )
        )

    def of_slot(self, slot: Slot) -> Part:
        """Return the part of an imp."""
        unstated = self._slots.get(slot.media) or self._add_slot(slot.media)
        view, completion = slot.view_billionths, slot.completion_billionths
        if not view and not completion:
            return unstated
        viewability = _VIEWABILITY[10 * view // BILLION] if view else _NO_VIEWABILITY
        return Part(
            unstated.numbers[:8] + viewability.numbers + _integers(view, completion),
            unstated.marks[:3] + viewability.marks,
        )

    def _add_slot(self, media: MediaOffer) -> Part:
        if len(self._slots) >= MEDIA_SHAPES_CACHED_MAX:
            self._slots.clear()
        slot = _part((context_mark(SLOT, slot_text(media)),))
        unstated = Part(
            slot.numbers + _NO_VIEWABILITY.numbers + _integers(0, 0), slot.marks + _NO_VIEWABILITY.marks
        )
        self._slots[media] = unstated
        return unstated
