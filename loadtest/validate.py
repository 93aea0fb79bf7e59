"""A strict exchange's judgement of a bid response: what is wrong with it, in sentences.

    problems(request, response)              judged by a strict exchange of no name
    problems(request, response, house)       by the rules of one exchange (`loadtest.house`)

Pure. No sentence means the bids may enter the auction. The rules are OpenRTB 2.6, Native 1.2, VAST 2 to
4.3, and what exchanges demand beyond them (campaign, creative, advertiser and category declared on
every bid, the price macro where the money is). This module reads the envelope and asks in order; the
rules are in `validate_money`, `_blocks`, `_declared`, `_notices`, `_media`, `_native` and `_pods`.

The request may be a captured one with wrong types: a restriction that can't be read restricts
nothing. Floors are compared in the bid's own currency, and in others that the house has a rate for.

One leniency, because this is a test rig: `secure` asks for https everywhere, but plain http to a
loopback host passes. A bidder on the same machine has no certificate, and its notices travel nowhere.
"""

from collections.abc import Iterator

from loadtest.house import STRICT, House
from loadtest.markup import BANNER, NATIVE, MarkupError
from loadtest.reading import Object, id_text, list_of, object_of, objects_of, shown, texts_of
from loadtest.validate_blocks import block_problems, media_block_problems
from loadtest.validate_declared import declaration_problems, google_problems, transparency_problems
from loadtest.validate_media import banner_problems, stream_problems
from loadtest.validate_money import CURRENCY_DEFAULT, money_problems
from loadtest.validate_native import native_problems
from loadtest.validate_notices import (
    macro_problems,
    notice_problems,
    security_problems,
    vast_price_problems,
)
from loadtest.validate_pods import Answer, shared_problems, slot_problems

MEDIA_NAMES = {1: "banner", 2: "video", 3: "audio", 4: "native"}


def problems(request: Object, response: object, house: House = STRICT) -> list[str]:
    """Return what an exchange finds wrong with an answer; an empty list means nothing.

    `request` and `response` are decoded JSON. A response without seats is a no-bid, and fine.
    """
    if not isinstance(response, dict):
        return ["The response is not a JSON object."]
    seats = response.get("seatbid")
    if seats is None or seats == []:
        return []
    found = list(_envelope_problems(request, response, house))
    placed = [(bid, seat) for seat in objects_of(seats) for bid in objects_of(seat.get("bid"))]
    if len(placed) > house.bids_max:
        return [*found, f"The response holds {len(placed)} bids; {house.bids_max} is the most."]
    currency = response.get("cur", CURRENCY_DEFAULT)
    imps = imps_of(request)
    ids: set[str] = set()
    answers = []
    for bid, seat in placed:
        bid_id = bid.get("id")
        name = f"Bid {shown(bid_id)}"
        if not isinstance(bid_id, str) or not bid_id:
            found.append(f"{name} has no id of its own.")
        elif bid_id in ids:
            found.append(f"{name} shares its id with another bid.")
        else:
            ids.add(bid_id)
        imp_id = bid.get("impid")
        imp = imps.get(imp_id) if isinstance(imp_id, str) else None
        if imp is None:
            found.append(f"{name}: impid {shown(imp_id)} is no impression of the request.")
            continue
        media = media_of(imp, bid)
        found += [
            f"{name}: {problem}."
            for problem in _bid_problems(request, imp, media, bid, seat, currency, house)
        ]
        if media is not None:
            answers.append(Answer(bid, imp, media))
    return found + list(shared_problems(answers, house))


def imps_of(request: Object) -> dict[str, Object]:
    """Return a request's impressions by id; those a bid could not name are left out.

    Of several with one id the first is meant.
    """
    imps = reversed(objects_of(request.get("imp")))
    return {id_: imp for imp in imps if (id_ := id_text(imp.get("id")))}


def _envelope_problems(request: Object, response: Object, house: House) -> Iterator[str]:
    if response.get("id") != id_text(request.get("id")):
        yield f"The response id {shown(response.get('id'))} is not the request's."
    currency = response.get("cur", CURRENCY_DEFAULT)
    if currency not in (texts_of(request.get("cur")) or [CURRENCY_DEFAULT]):
        yield f"The response's cur {shown(currency)} is none of those asked for."
    seats = response["seatbid"]
    if not isinstance(seats, list):
        yield "The response's seatbid is not an array."
    for seat in list_of(seats):
        inner = object_of(seat).get("bid")
        if not isinstance(inner, list) or not inner:
            yield "A seatbid holds no array of bids."
        elif not all(isinstance(bid, dict) for bid in inner):
            yield "A seatbid holds a bid that is not an object."


def media_of(imp: Object, bid: Object) -> Object | None:
    """Return the media object of an impression that a bid answers; None when there is none."""
    mtype = bid.get("mtype")
    media = imp.get(MEDIA_NAMES.get(mtype, "")) if isinstance(mtype, int) else None
    return media if isinstance(media, dict) else None


def _bid_problems(
    request: Object,
    imp: Object,
    media: Object | None,
    bid: Object,
    seat: Object,
    currency: object,
    house: House,
) -> Iterator[str]:
    yield from money_problems(imp, media or {}, bid, seat, currency, house.exchange_rates)
    yield from declaration_problems(bid, seat, house)
    yield from transparency_problems(request, bid)
    yield from block_problems(request, bid, seat)
    yield from notice_problems(bid)
    mtype = bid.get("mtype")
    media_name = MEDIA_NAMES.get(mtype) if isinstance(mtype, int) else None
    if media_name is None:
        yield f"mtype {shown(mtype)} is none of 1 (banner), 2 (video), 3 (audio), 4 (native)"
        return
    if media is None:
        yield (
            f"mtype {mtype} answers with {media_name}, which impression {shown(bid['impid'])} does not offer"
        )
        return
    yield from media_block_problems(media, bid)
    yield from slot_problems(media, bid)
    if house.google_extensions:
        yield from google_problems(imp, bid)
    adm = bid.get("adm")
    if not house.takes_markup:
        if adm is not None:
            yield "adm is given, and this exchange takes only registered creatives"
        if not bid.get("adid") and not bid.get("crid"):
            yield "neither adid nor crid names a registered creative"
        adm = ""
    elif not isinstance(adm, str) or not adm:
        yield "adm is missing"
        return
    assert isinstance(mtype, int)
    yield from macro_problems(bid, adm, house)
    try:
        yield from _markup_problems(mtype, media_name, imp, media, bid, adm, house)
    except MarkupError as error:
        yield str(error)


def _markup_problems(
    mtype: int, media_name: str, imp: Object, media: Object, bid: Object, adm: str, house: House
) -> Iterator[str]:
    if mtype == BANNER:
        yield from banner_problems(imp, media, bid, adm)
    elif mtype != NATIVE:
        yield from stream_problems(media_name, media, bid, adm)
    elif adm:
        yield from native_problems(media, adm)
    if adm:
        yield from vast_price_problems(mtype, adm, house)
    if imp.get("secure") == 1 or house.secure_only:
        yield from security_problems(bid, mtype, adm)
