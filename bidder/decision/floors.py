"""The least an ad may cost on an imp, in the order the specification gives.

A deal's own guidance goes first, then that of the video or audio object, then the imp's `bidfloor`
(OpenRTB 2.6 implementation notes, 7.11). A floor of 0 is no guidance, wherever it stands, and a length
outside every range of `durfloors` has none there: so a bid is never below any reading of the floor.

Guidance by length gives one imp several floors. `floor_table` puts them in a row, one for each class of
ads: those without a length, and each (format, seconds) that a config has.
"""

from collections.abc import Sequence

from bidder.openrtb.opportunity import DealOffer, DurationFloors, Slot
from config.money import CPM_MICROS_MAX
from config.schema import Creative, Format

FloorClass = tuple[Format, int]
"""Format and seconds; NO_LENGTH for banners and native ads."""
NO_LENGTH: FloorClass = ("banner", 0)
UNREACHABLE_CPM_MICROS = CPM_MICROS_MAX + 1
"""Above every bid: the floor of what is in a currency without a rate."""


def floor_class(creative: Creative) -> FloorClass:
    """Return what of a creative its floor can depend on."""
    if creative.format in ("video", "audio"):
        return creative.format, creative.duration_seconds or 0
    return NO_LENGTH


def floor_cpm_micros(slot: Slot, deal: DealOffer | None, class_: FloorClass) -> int:
    """Return the floor of an ad on an imp, in the open auction or under a deal."""
    format_, seconds = class_
    if deal is not None:
        if deal.floor_cpm_micros is None:
            return UNREACHABLE_CPM_MICROS
        stated = deal.floor_cpm_micros
        if deal.duration_floors is not None and class_ != NO_LENGTH:
            stated = max(stated, deal.duration_floors.floor_of(seconds))
        if stated:
            return stated
    if slot.floor_cpm_micros is None:
        return UNREACHABLE_CPM_MICROS
    floors = _stream_floors(slot, format_)
    return (floors is not None and floors.floor_of(seconds)) or slot.floor_cpm_micros


def _stream_floors(slot: Slot, format_: Format) -> DurationFloors | None:
    if format_ == "video":
        return slot.video_floors
    return slot.audio_floors if format_ == "audio" else None


def floor_table(slot: Slot, deal: DealOffer | None, classes: Sequence[FloorClass]) -> list[int]:
    """Return the floor of each class."""
    return [floor_cpm_micros(slot, deal, class_) for class_ in classes]
