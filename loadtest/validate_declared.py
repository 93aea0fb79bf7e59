"""The part of a strict exchange's judgement that is about what a bid says of itself.

Each function yields what is wrong, worded to end a sentence that begins with the bid's name.
"""

from collections.abc import Iterator

from config.limits import ID_CHARS_MAX
from loadtest.house import House
from loadtest.reading import Object, id_text, is_count, list_of, object_of, objects_of, shown

ADOMAIN_CHARS_MAX = 128
DSA_TEXT_CHARS_MAX = 100
DSA_REQUIRED = (2, 3)
"""IAB DSA transparency extension: with these, a bid without `ext.dsa` is refused."""
PUBLISHER_RENDERS_NOT, PUBLISHER_RENDERS = 0, 2


def declaration_problems(bid: Object, seat: Object, house: House) -> Iterator[str]:
    """Judge the names of creative, campaign, advertiser and category, and what the house adds to them."""
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
    for path, mtypes in house.required_fields.items():
        if bid.get("mtype") in mtypes and _at(bid, path) in (None, ""):
            yield f"{path} is missing, and this exchange requires it"
    if house.numeric_seats and not str(seat.get("seat", "")).isdecimal():
        yield f"seat {shown(seat.get('seat'))} is not the number this exchange requires"


def transparency_problems(request: Object, bid: Object) -> Iterator[str]:
    """Judge `ext.dsa` as the request's `dsa` demands (EU Digital Services Act, IAB extension)."""
    regs = object_of(request.get("regs"))
    asked = object_of(regs.get("dsa") or object_of(regs.get("ext")).get("dsa"))
    answer = object_of(bid.get("ext")).get("dsa")
    if answer is None:
        if asked.get("dsarequired") in DSA_REQUIRED:
            yield "ext.dsa is missing, and the request requires it"
        return
    answer = object_of(answer)
    for field in ("behalf", "paid"):
        value = answer.get(field)
        if not isinstance(value, str) or not value:
            yield f"ext.dsa.{field} is missing"
        elif len(value) > DSA_TEXT_CHARS_MAX:
            yield f"ext.dsa.{field} has {len(value)} characters; {DSA_TEXT_CHARS_MAX} is the most"
    for entry in objects_of(answer.get("transparency")):
        if not isinstance(entry.get("domain"), str) or not all(
            map(is_count, list_of(entry.get("dsaparams")))
        ):
            yield "ext.dsa.transparency holds an entry without a domain or with unreadable dsaparams"
    we_render = answer.get("adrender") == 1
    if asked.get("pubrender") == PUBLISHER_RENDERS_NOT and not we_render:
        yield "ext.dsa.adrender is not 1, and the publisher does not render the disclosure"
    if asked.get("pubrender") == PUBLISHER_RENDERS and we_render:
        yield "ext.dsa.adrender is 1, and the publisher renders the disclosure"


def google_problems(imp: Object, bid: Object) -> Iterator[str]:
    """Judge the billing id and the restricted categories by what Google's `imp.ext` lists."""
    asked, answer = object_of(imp.get("ext")), object_of(bid.get("ext"))
    billing_ids = _codes(asked.get("billing_id"))
    if len(billing_ids) > 1 and str(answer.get("billing_id")) not in billing_ids:
        yield f"ext.billing_id {shown(answer.get('billing_id'))} is none of those the impression lists"
    allowed = _codes(asked.get("allowed_restricted_category"))
    for category in _codes(answer.get("restricted_category")):
        if category not in allowed:
            yield f"restricted category {category} is not allowed on the impression"


def _codes(value: object) -> list[str]:
    return [text for item in list_of(value) if (text := id_text(item))]


def _at(bid: Object, path: str) -> object:
    value: object = bid
    for step in path.split("."):
        value = object_of(value).get(step)
    return value
