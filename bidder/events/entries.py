"""Entries of the event streams: a bid and its ad by name, never a person."""

from bidder.events.directory import Directory
from bidder.openrtb.notice_token import Notice


def entry_of(notice: Notice, directory: Directory) -> dict[str, str]:
    """Return what every stream says of a bid."""
    return {
        "bid": f"{notice.owner}-{notice.minute}-{notice.sequence}",
        "campaign": directory.campaign(notice.campaign_code).id,
        "line_item": directory.line_item_id(notice.line_item_code),
        "creative": directory.creative_id(notice.creative_code),
        "exchange": directory.exchange_id(notice.exchange_code),
        "format": notice.format,
        "price_max_cpm_micros": str(notice.price_max_cpm_micros),
    }


def outcome_entry(notice: Notice, directory: Directory) -> dict[str, str]:
    """Return what is said of a won or lost auction: also its cell and the value's band, where it counts."""
    entry = entry_of(notice, directory)
    if notice.device:
        entry |= {"device": notice.device, "band": str(notice.value_band)}
    return entry


def event_entry(notice: Notice, directory: Directory) -> dict[str, str]:
    """Return the entry of what predictions learn from."""
    entry = entry_of(notice, directory)
    if notice.marks:
        entry["marks"] = notice.marks.hex()
    return entry
