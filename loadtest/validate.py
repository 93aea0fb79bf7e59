"""A strict exchange's judgement of a bid response: what is wrong with it, in sentences.

`problems(request, response)` is pure. No sentence means the bids may enter the auction. The rules are
OpenRTB 2.6, Native 1.2, VAST 2 to 4.3, and what exchanges demand beyond them (campaign, creative,
advertiser and category declared on every bid, the price macro where the money is).

The request may be a captured one with wrong types: a restriction that can't be read restricts
nothing. Floors are compared only in the bid's own currency; this exchange converts none.

One leniency, because this is a test rig: `secure` asks for https everywhere, but plain http to a
loopback host passes. A bidder on the same machine has no certificate, and its notices travel nowhere.
"""

from collections.abc import Iterator
from typing import Any

from config.limits import ID_CHARS_MAX, NOTICE_URL_CHARS_MAX
from config.money import cpm_micros_from_text, cpm_text
from loadtest.limits import BIDS_PER_ANSWER_MAX
from loadtest.loopback import host_of, is_loopback
from loadtest.markup import BANNER, NATIVE, MarkupError, insecure_urls
from loadtest.validate_media import banner_problems, native_problems, vast_problems

PRICE_MACRO = "${AUCTION_PRICE}"
ADOMAIN_CHARS_MAX = 128
CURRENCY_DEFAULT = "USD"
MEDIA_NAMES = {1: "banner", 2: "video", 3: "audio", 4: "native"}
_SHOWN_CHARS_MAX = 60

Object = dict[str, Any]


def problems(request: Object, response: object) -> list[str]:
    """Return what a strict exchange finds wrong with an answer; an empty list means nothing.

    `request` and `response` are decoded JSON. A response without seats is a no-bid, and fine.
    """
    if not isinstance(response, dict):
        return ["The response is not a JSON object."]
    seats = response.get("seatbid")
    if seats is None or seats == []:
        return []
    found = []
    if response.get("id") != request.get("id"):
        found.append(f"The response id {_shown(response.get('id'))} is not the request's.")
    currency = response.get("cur", CURRENCY_DEFAULT)
    allowed = _list(request.get("cur")) or [CURRENCY_DEFAULT]
    if currency not in allowed:
        found.append(f"The response's cur {_shown(currency)} is none of those asked for.")
    if not isinstance(seats, list):
        return [*found, "The response's seatbid is not an array."]
    bids: list[Object] = []
    for seat in seats:
        inner = seat.get("bid") if isinstance(seat, dict) else None
        if not isinstance(inner, list) or not inner:
            found.append("A seatbid holds no array of bids.")
        elif not all(isinstance(bid, dict) for bid in inner):
            found.append("A seatbid holds a bid that is not an object.")
        else:
            bids += inner
    if len(bids) > BIDS_PER_ANSWER_MAX:
        return [*found, f"The response holds {len(bids)} bids; {BIDS_PER_ANSWER_MAX} is the most."]
    imps = imps_of(request)
    ids: set[str] = set()
    for bid in bids:
        bid_id = bid.get("id")
        name = f"Bid {_shown(bid_id)}"
        if not isinstance(bid_id, str) or not bid_id:
            found.append(f"{name} has no id of its own.")
        elif bid_id in ids:
            found.append(f"{name} shares its id with another bid.")
        else:
            ids.add(bid_id)
        found += [f"{name}: {problem}." for problem in _bid_problems(request, imps, bid, currency)]
    return found


def _bid_problems(request: Object, imps: dict[str, Object], bid: Object, currency: object) -> Iterator[str]:
    imp_id = bid.get("impid")
    imp = imps.get(imp_id) if isinstance(imp_id, str) else None
    if imp is None:
        yield f"impid {_shown(imp_id)} is no impression of the request"
        return
    yield from _price_problems(imp, bid, currency)
    yield from _declaration_problems(bid)
    yield from _block_problems(request, bid)
    yield from _notice_problems(bid)
    mtype = bid.get("mtype")
    media_name = MEDIA_NAMES.get(mtype) if isinstance(mtype, int) else None
    if media_name is None:
        yield f"mtype {_shown(mtype)} is none of 1 (banner), 2 (video), 3 (audio), 4 (native)"
        return
    media = imp.get(media_name)
    if not isinstance(media, dict):
        yield f"mtype {mtype} answers with {media_name}, which impression {_shown(imp_id)} does not offer"
        return
    blocked = _list(media.get("battr"))
    for attribute in _list(bid.get("attr")):
        if attribute in blocked:
            yield f"creative attribute {_shown(attribute)} is blocked by battr"
    adm = bid.get("adm")
    if not isinstance(adm, str) or not adm:
        yield "adm is missing"
        return
    if PRICE_MACRO not in adm:
        yield f"adm lacks {PRICE_MACRO}"
    assert isinstance(mtype, int)
    yield from _markup_problems(mtype, media_name, imp, media, bid, adm)


def _markup_problems(
    mtype: int, media_name: str, imp: Object, media: Object, bid: Object, adm: str
) -> Iterator[str]:
    try:
        if mtype == BANNER:
            yield from banner_problems(media, bid)
        elif mtype == NATIVE:
            yield from native_problems(media, adm)
        else:
            yield from vast_problems(media_name, media, bid, adm)
        if imp.get("secure") == 1:
            urls = [bid.get(field) for field in ("nurl", "burl", "lurl", "iurl")]
            plain = [
                url for url in urls if isinstance(url, str) and url[:5].lower() == "http:" and host_of(url)
            ]
            for url in plain + insecure_urls(mtype, adm):
                if not is_loopback(host_of(url)):
                    yield f"the impression is secure, but {_shown(url)} is not https"
    except MarkupError as error:
        yield str(error)


def _price_problems(imp: Object, bid: Object, currency: object) -> Iterator[str]:
    price = bid.get("price")
    if isinstance(price, bool) or not isinstance(price, (int, float)):
        yield f"price {_shown(price)} is not a number"
        return
    try:
        price_cpm_micros = cpm_micros_from_text(repr(price))
    except ValueError:
        yield f"price {_shown(price)} is no price"
        return
    if price_cpm_micros <= 0:
        yield f"price {_shown(price)} is not above zero"
    floor_source = imp
    if "dealid" in bid:
        pmp = imp.get("pmp")
        deals = _list(pmp.get("deals")) if isinstance(pmp, dict) else []
        named = [deal for deal in deals if isinstance(deal, dict) and deal.get("id") == bid["dealid"]]
        if not named:
            yield f"dealid {_shown(bid['dealid'])} is no deal of the impression"
            return
        floor_source = named[0]
    floor_cpm_micros = floor_of(floor_source)
    if floor_source.get("bidfloorcur", CURRENCY_DEFAULT) == currency and price_cpm_micros < floor_cpm_micros:
        yield f"price {_shown(price)} is below the floor of {cpm_text(floor_cpm_micros)}"


def imps_of(request: Object) -> dict[str, Object]:
    """Return a request's impressions by id; those a bid could not name are left out."""
    imps = [imp for imp in _list(request.get("imp")) if isinstance(imp, dict)]
    return {imp["id"]: imp for imp in imps if isinstance(imp.get("id"), str)}


def floor_of(source: Object) -> int:
    """Return the floor of an impression or deal in CPM micros; 0 when there is none to read."""
    floor = source.get("bidfloor")
    if isinstance(floor, bool) or not isinstance(floor, (int, float)):
        return 0
    try:
        return cpm_micros_from_text(repr(floor))
    except ValueError:
        return 0


def _declaration_problems(bid: Object) -> Iterator[str]:
    for field, meaning in (("crid", "creative"), ("cid", "campaign")):
        value = bid.get(field)
        if not isinstance(value, str) or not value:
            yield f"{field} does not name its {meaning}"
        elif len(value.encode()) > ID_CHARS_MAX:
            yield f"{field} is longer than {ID_CHARS_MAX} bytes"
    domains = bid.get("adomain")
    if not isinstance(domains, list) or not domains or not all(isinstance(d, str) and d for d in domains):
        yield "adomain does not list the advertiser's domain"
    elif max(map(len, domains)) > ADOMAIN_CHARS_MAX:
        yield f"adomain holds a domain of more than {ADOMAIN_CHARS_MAX} characters"
    categories = bid.get("cat")
    if not isinstance(categories, list) or not categories or not all(isinstance(c, str) for c in categories):
        yield "cat does not list the creative's categories"


def _block_problems(request: Object, bid: Object) -> Iterator[str]:
    if bid.get("cattax", 1) == request.get("cattax", 1):
        blocked_categories = {b for b in _list(request.get("bcat")) if isinstance(b, str)}
        for category in _list(bid.get("cat")):
            # A parent in bcat blocks its children: IAB11 blocks IAB11-4.
            if isinstance(category, str) and {category, category.partition("-")[0]} & blocked_categories:
                yield f"category {_shown(category)} is blocked by bcat"
    for domain in _list(bid.get("adomain")):
        for blocked in _list(request.get("badv")):
            if isinstance(domain, str) and isinstance(blocked, str) and _is_within(domain, blocked):
                yield f"advertiser {_shown(domain)} is blocked by badv"


def _is_within(domain: str, blocked: str) -> bool:
    return f".{domain.lower()}".endswith(f".{blocked.lower()}")


def _notice_problems(bid: Object) -> Iterator[str]:
    for field in ("nurl", "burl", "lurl"):
        url = bid.get(field)
        if url is None:
            continue
        if not isinstance(url, str) or not host_of(url):
            yield f"{field} {_shown(url)} is not an http or https URL"
        elif len(url) > NOTICE_URL_CHARS_MAX:
            yield f"{field} has {len(url)} characters; {NOTICE_URL_CHARS_MAX} is the most"
    burl = bid.get("burl")
    if isinstance(burl, str) and PRICE_MACRO not in burl:
        yield f"burl lacks {PRICE_MACRO}"


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 1] + "…"
