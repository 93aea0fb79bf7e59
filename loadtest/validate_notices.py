"""The part of a strict exchange's judgement that is about URLs: notices, macros, https.

Each function yields what is wrong, worded to end a sentence that begins with the bid's name.
"""

import re
from collections.abc import Iterator

from config.limits import NOTICE_URL_CHARS_MAX
from loadtest.addresses import host_of, names_loopback
from loadtest.house import PRICE_MACRO, House
from loadtest.markup import AUDIO, VIDEO, insecure_urls, read_vast
from loadtest.reading import Object, shown

MACROS = frozenset(
    f"AUCTION_{name}"
    for name in (
        *("ID", "BID_ID", "IMP_ID", "SEAT_ID", "AD_ID", "PRICE", "CURRENCY", "MBR", "LOSS", "MIN_TO_WIN"),
        *("MULTIPLIER", "IMP_TS", "DISCOUNT_PCT", "DISCOUNT_CPM"),
    )
)
"""OpenRTB 2.6, 4.4: the whole list."""
NOTICE_FIELDS = ("nurl", "burl", "lurl")
_MACRO = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(:[A-Za-z0-9]+)?\}")


def notice_problems(bid: Object) -> Iterator[str]:
    """Judge the notice URLs of a bid for themselves."""
    for field in NOTICE_FIELDS:
        url = bid.get(field)
        if url is None:
            continue
        if not isinstance(url, str) or not host_of(url):
            yield f"{field} {shown(url)} is not an http or https URL"
        elif len(url) > NOTICE_URL_CHARS_MAX:
            yield f"{field} has {len(url)} characters; {NOTICE_URL_CHARS_MAX} is the most"


def macro_problems(bid: Object, adm: str, house: House) -> Iterator[str]:
    """Judge where the price macro stands, and that no other is one nobody fills in."""
    texts = {field: bid[field] for field in NOTICE_FIELDS if isinstance(bid.get(field), str)}
    if adm:
        texts["adm"] = adm
    priceless = () if house.price_in_vast_impression or bid.get("mtype") not in (VIDEO, AUDIO) else ("adm",)
    for place in house.price_places:
        if place in texts and place not in priceless and house.price_macro not in texts[place]:
            yield f"{place} lacks {house.price_macro}"
    if house.price_places and not texts.keys() & set(house.price_places):
        yield f"nothing of it can carry {house.price_macro}"
    for field, text in texts.items():
        for name, encoding in sorted(set(_MACRO.findall(text))):
            macro = f"${{{name}{encoding}}}"
            if macro == house.price_macro:
                continue
            if name not in MACROS:
                yield f"{field} holds {shown(macro)}, which is no macro of OpenRTB"
            elif encoding:
                yield f"{field} holds {shown(macro)}, an encoding that is not agreed"
            elif macro == PRICE_MACRO and field == "adm":
                yield f"adm holds {PRICE_MACRO}, which this exchange fills in only as {house.price_macro}"


def vast_price_problems(mtype: int, adm: str, house: House) -> Iterator[str]:
    """Judge the VAST impression URLs, where some exchanges leave the price out."""
    if house.price_in_vast_impression or mtype not in (VIDEO, AUDIO):
        return
    if any(house.price_macro in url for url in read_vast(adm).impression_urls):
        yield "its VAST <Impression> carries the price, which this exchange never fills in there"


def security_problems(bid: Object, mtype: int, adm: str) -> Iterator[str]:
    """Name each plain http URL of a bid on a secure impression; loopback hosts are let off."""
    urls = [bid.get(field) for field in (*NOTICE_FIELDS, "iurl")]
    plain = [url for url in urls if isinstance(url, str) and url[:5].lower() == "http:" and host_of(url)]
    for url in plain + (insecure_urls(mtype, adm) if adm else []):
        if not names_loopback(host_of(url)):
            yield f"the impression is secure, but {shown(url)} is not https"
