"""What a notice charges: its price, multiplied and converted, against what its token allows.

    charge = read_charge(notice, query, reader, now_s)      # or Unpriced, which says why there is none

On a public screen one play counts for several people. Its notice says how many in `q`, and the charge is
price x multiplier, rounded half up to the billionth (`price.cost`). The token's signed maximum is the bid
times the multiplier of the request, which is what the worker reserved, so neither a price above the bid
nor a multiplier above the request's gets past it unless the other makes up for it.

A bid in another currency than the engine's carries its maximum in that currency as well, behind its token,
and what comes in is booked as the same share of the maximum (`config.currency`).
"""

from collections.abc import Mapping

import msgspec

from bidder.events.price import PriceReader, Unpriced, cost, read_clear, read_multiplier
from bidder.openrtb.notice_token import Notice, split_token
from config.currency import billed_share
from config.money import CpmMicros

Query = Mapping[str, str]
TOKEN, PRICE, MULTIPLIER, MIN_TO_WIN = "t", "p", "q", "m"
"""Parameters of a notice URL. `bidder.openrtb.notice_urls` writes them."""


class Charge(msgspec.Struct, frozen=True):
    """`cost` in billionths for all of it, `price` in CPM micros, as the notice has it, for one impression."""

    cost: int
    price: CpmMicros
    multiplier_text: str | None
    """As the notice has it; None where the bid is for one impression."""

    def fields(self) -> dict[str, str]:
        """Return its part of a stream entry; `price_cpm_micros` is what is, or would be, booked."""
        fields = {"price_cpm_micros": str(self.cost)}
        if self.multiplier_text is not None:
            fields |= {"unit_price_cpm_micros": str(int(self.price)), "multiplier": self.multiplier_text}
        return fields


def read_charge(notice: Notice, query: Query, reader: PriceReader, now_s: float) -> Charge | Unpriced:
    """Read what a notice of a genuine token charges, which may be more than the token allows."""
    price = reader.read(query.get(PRICE, ""), now_s)
    if isinstance(price, Unpriced):
        return price
    multiplier_text = query.get(MULTIPLIER)
    multiplier = read_multiplier(multiplier_text)
    if multiplier is None:
        return Unpriced.NO_MULTIPLIER
    total = _in_ours(cost(price, multiplier), notice, query)
    # An exchange that counts in larger steps than ours may have rounded our own bid up.
    if 0 < total - notice.price_max_cpm_micros < reader.step_cpm_micros:
        total = notice.price_max_cpm_micros
    return Charge(total, price, multiplier_text)


def read_min_to_win(notice: Notice, query: Query, reader: PriceReader, now_s: float) -> int | None:
    """Return the price that would have won, in CPM micros of ours; None when it is not said.

    No money moves on it, so it may come in clear even where prices are encrypted.
    """
    text = query.get(MIN_TO_WIN, "")
    price = reader.read(text, now_s)
    if price is Unpriced.IN_CLEAR:
        price = read_clear(text)
    return None if isinstance(price, Unpriced) else _in_ours(price, notice, query)


def _in_ours(amount: int, notice: Notice, query: Query) -> int:
    """Return an amount in the bid's currency in the engine's: the same share of the bid."""
    maximum_there = split_token(query.get(TOKEN, ""))[1]
    return billed_share(notice.price_max_cpm_micros, maximum_there, amount) if maximum_there else amount
