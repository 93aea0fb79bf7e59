"""How an exchange is told that there is no bid: 204 as a rule, or a body where it asks for one.

The forms are those of `config.schema.ExchangeProfile.no_bid`. Reasons are the IAB's list "No-Bid Reason
Codes" (OpenRTB 3.0), where 500 and up are a bidder's own. One that does not fit a code of the list
says which of ours it was, in the order of NBR_OWN.
"""

from typing import Literal

import orjson

from bidder.decision.reasons import Reason

NoBidForm = Literal["empty", "reason", "processing_time"]

NBR_OF = {
    Reason.FAULT: 1,
    Reason.TWO_CHANNELS: 2,
    Reason.CRAWLER: 3,
    Reason.NOT_HUMAN: 4,
    Reason.DATA_CENTRE: 5,
    Reason.CAPPED: 9,
    Reason.SELLERS_UNKNOWN: 11,
    Reason.SELLER_UNLISTED: 12,
    Reason.TOO_LATE: 15,
    Reason.CHAIN_INCOMPLETE: 16,
    Reason.CHAIN_BLOCKED: 17,
}
NBR_OWN = 500
"""Added to our own number of a reason that is not in the list."""


def no_bid_body(form: NoBidForm, request_id: str, reason: int, processing_ms: int) -> bytes | None:
    """Return the body of a no-bid (OpenRTB 2.6, 4.2.1), or None for a 204 without one.

    `request_id` is empty when the request was not read; only Google's form can do without it.
    """
    if form == "processing_time":
        answer: dict[str, object] = {"id": request_id} if request_id else {}
        return orjson.dumps(answer | {"ext": {"processing_time_ms": processing_ms}})
    if form == "empty" or not request_id:
        return None
    nbr = NBR_OF.get(Reason(reason), NBR_OWN + reason)
    return orjson.dumps({"id": request_id, "seatbid": [], "nbr": nbr})
