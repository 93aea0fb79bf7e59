"""The URLs of ours in a bid: the exchange's notices, and what the markup loads and leads to.

One NoticeUrls knows the events port and the habits of one exchange: which notices it wants, how it writes
the price macro and where that may stand, and what makes it bill. Every URL carries `TOKEN`, which the
renderer replaces by the bid's own notice token; `${AUCTION_PRICE}` and its like are the exchange's
to replace (OpenRTB 2.6, 4.4).

    NoticeUrls("https://ev.example", profile).impression()
    https://ev.example/imp?t=NOTICE-TOKEN-NOTICE-TOKEN&p=${AUCTION_PRICE}

An exchange may call the win notice when it records the impression, and bill by that
(`billing_event: nurl`). Its `nurl` is then our impression URL, so the call books the price and counts
for frequency caps, as the pixel does elsewhere.
"""

from typing import Literal

import msgspec

from bidder.openrtb.notice_token import TOKEN_CHARS
from config.limits import NOTICE_URL_CHARS_MAX
from config.schema import ExchangeProfile, PricePlace

TOKEN = "NOTICE-TOKEN".ljust(TOKEN_CHARS, "-")
"""Stands where a bid's token goes in prepared markup and URLs; as long as one."""


class NoticeUrls(msgspec.Struct, frozen=True):
    """The URLs of a bid on one exchange. `multiplied`: the imp counts for several people (DOOH)."""

    events_url: str
    """The base of every URL, without a slash at its end."""
    exchange: ExchangeProfile
    multiplied: bool = False

    def click(self) -> str:
        return f"{self.events_url}/click?t={TOKEN}"

    def impression(self, place: Literal["markup", "vast_impression", "nurl"] = "markup") -> str:
        """Return the URL that says an ad was shown, for a place in the bid."""
        return f"{self.events_url}/imp?t={TOKEN}{self._price(place)}"

    def completion(self) -> str:
        """Return the URL that says a video or audio ad was played to its end."""
        return f"{self.events_url}/complete?t={TOKEN}"

    def notices(self) -> dict[str, str]:
        """Return `nurl`, `burl` and `lurl`, as far as the exchange is to have them."""
        exchange = self.exchange
        min_to_win = "&m=${AUCTION_MIN_TO_WIN}"
        urls = {}
        if exchange.billing_event == "nurl":
            urls["nurl"] = self.impression("nurl")
        elif "nurl" in exchange.notices:
            urls["nurl"] = f"{self.events_url}/win?t={TOKEN}{self._price('nurl')}{min_to_win}"
        if "lurl" in exchange.notices:
            urls["lurl"] = f"{self.events_url}/loss?t={TOKEN}&l=${{AUCTION_LOSS}}{min_to_win}"
        if exchange.billing_event == "burl":
            urls["burl"] = f"{self.events_url}/bill?t={TOKEN}{self._price('burl')}"
        assert all(len(url) < NOTICE_URL_CHARS_MAX for url in urls.values())
        return urls

    def _price(self, place: PricePlace) -> str:
        if place not in self.exchange.price_macro_in:
            return ""
        price = f"&p={self.exchange.price_macro}"
        return f"{price}&q=${{AUCTION_MULTIPLIER}}" if self.multiplied else price
