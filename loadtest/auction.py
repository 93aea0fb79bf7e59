"""One auction for each impression: the answered bids against seeded rivals.

The best rival is drawn from the landscape of the impression's format (`landscape`). Prices move in ticks of
a cent, so a bid wins when it reaches the top rival plus a tick, and the floor:

    bid 2.40, rivals 1.10 and 1.85, floor 0.50   ->  wins, minimum to win 1.86, pays 2.40
    the same in a second-price auction (at 2)    ->  wins, pays 1.86
    bid 1.85, rival 1.85                         ->  loses with code 102, minimum to win 1.86
    a deal at a fixed price (at 3) of 2.00       ->  wins, pays 2.00

Of several bids on an ordinary impression the best takes part for all; a dynamic pod sells each of its
places. Out of home one play counts for several people, so what it costs is its price times the
multiplier of the request (`qty`), rounded half up to the billionth.

Everything is integers of CPM micros from here to the books; only a rival's draw passes through
a float, before it is rounded to a cent.

Bids must have passed `validate.problems`.
"""

import random
import re
from decimal import ROUND_HALF_UP, Decimal

import msgspec

from config.money import cpm_micros_from_text, cpm_text
from loadtest.landscape import TICK_CPM_MICROS, Landscapes
from loadtest.reading import Object, id_text, is_number, object_of, objects_of
from loadtest.validate import MEDIA_NAMES, imps_of, media_of
from loadtest.validate_money import CURRENCY_DEFAULT, floor_for, floor_of
from loadtest.validate_pods import is_dynamic

LOST_TO_HIGHER_BID = 102
SECOND_PRICE = 2
AT_DEFAULT = 2
"""OpenRTB 2.6, 3.2.1: `at` absent means second price plus."""

_MACRO = re.compile(r"\$\{(AUCTION_[A-Z_]+)(:[A-Z0-9]+)?\}")


class Outcome(msgspec.Struct, frozen=True):
    """How one bid fared. `price_cpm_micros` is its price and `cost` what it pays for the impression, in
    billionths of the currency; both are 0 when it lost."""

    won: bool
    bid: Object
    price_cpm_micros: int
    cost: int
    min_to_win_cpm_micros: int
    macros: dict[str, str]


def hold_auctions(
    request: Object, response: Object, landscapes: Landscapes, rng: random.Random
) -> list[Outcome]:
    """Auction every impression that has bids.

    A request with `test` 1 is answered but never sold: no outcomes.
    """
    if request.get("test") == 1:
        return []
    bids_by_imp: dict[str, list[tuple[int, Object, Object]]] = {}
    for seat in response["seatbid"]:
        for bid in seat["bid"]:
            price_cpm_micros = cpm_micros_from_text(repr(bid["price"]))
            bids_by_imp.setdefault(bid["impid"], []).append((price_cpm_micros, bid, seat))
    imps = imps_of(request)
    outcomes = []
    for imp_id, bids in bids_by_imp.items():
        imp = imps[imp_id]
        best = max(range(len(bids)), key=lambda index: bids[index][0])
        landscape = landscapes.of(MEDIA_NAMES[bids[best][1]["mtype"]], is_out_of_home="dooh" in request)
        rival_cpm_micros = landscape.top_rival_cpm_micros(rng)
        # A rival below the floor takes no part.
        takes_part = rival_cpm_micros and rival_cpm_micros >= floor_of(imp)
        beats_rivals = rival_cpm_micros + TICK_CPM_MICROS if takes_part else 0
        for index, (bid_cpm_micros, bid, seat) in enumerate(bids):
            media, deal = media_of(imp, bid) or {}, _deal_of(imp, bid)
            # A deal's price was judged against the deal's floor; the open floor is not its concern.
            floor_cpm_micros = 0 if deal is not None else floor_for(imp, media, None, bid.get("dur"))
            min_to_win = max(beats_rivals, floor_cpm_micros, 1)
            if index != best and not is_dynamic(media):
                min_to_win = max(min_to_win, bids[best][0] + TICK_CPM_MICROS)
            won = bid_cpm_micros >= min_to_win
            at = (deal or {}).get("at", request.get("at", AT_DEFAULT))
            paid = 0 if not won else min_to_win if at == SECOND_PRICE else bid_cpm_micros
            multiplier = _multiplier(imp)
            macros = _macros(request, response, seat, bid, won, paid, min_to_win)
            macros["AUCTION_MULTIPLIER"] = str(multiplier)
            cost = int((paid * multiplier).quantize(Decimal(1), ROUND_HALF_UP))
            outcomes.append(Outcome(won, bid, paid, cost, min_to_win, macros))
    return outcomes


def _deal_of(imp: Object, bid: Object) -> Object | None:
    deals = objects_of(object_of(imp.get("pmp")).get("deals"))
    return next((deal for deal in deals if id_text(deal.get("id")) == bid.get("dealid")), None)


def _multiplier(imp: Object) -> Decimal:
    """Return how many impressions one play is (OpenRTB 2.6, 3.2.31); 1 where nothing is said."""
    multiplier = object_of(imp.get("qty")).get("multiplier")
    return Decimal(repr(multiplier)) if is_number(multiplier) and multiplier > 0 else Decimal(1)


def _macros(
    request: Object, response: Object, seat: Object, bid: Object, won: bool, paid: int, min_to_win: int
) -> dict[str, str]:
    bid_cpm_micros = cpm_micros_from_text(repr(bid["price"]))
    return {
        "AUCTION_ID": str(request.get("id", "")),
        "AUCTION_BID_ID": str(response.get("bidid", "")),
        "AUCTION_IMP_ID": bid["impid"],
        "AUCTION_SEAT_ID": str(seat.get("seat", "")),
        "AUCTION_AD_ID": str(bid.get("adid", "")),
        "AUCTION_PRICE": cpm_text(paid) if won else "",
        "AUCTION_CURRENCY": str(response.get("cur", CURRENCY_DEFAULT)),
        "AUCTION_MBR": f"{paid / bid_cpm_micros:.4f}" if won else "",
        "AUCTION_LOSS": "0" if won else str(LOST_TO_HIGHER_BID),
        "AUCTION_MIN_TO_WIN": cpm_text(min_to_win),
    }


def fill_macros(text: str, macros: dict[str, str]) -> str:
    """Replace `${AUCTION_...}` as plain text (OpenRTB 2.6, 4.4); what has no value becomes empty.

    An encoding (`${AUCTION_PRICE:B64}`) is agreed between two parties, and this exchange has
    agreed none, so such a macro has no value either.
    """
    return _MACRO.sub(lambda found: "" if found[2] else macros.get(found[1], ""), text)
