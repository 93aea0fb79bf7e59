"""The part of a strict exchange's judgement that is about blocks: who and what may not be shown.

Each function yields what is wrong, worded to end a sentence that begins with the bid's name. A list that
can't be read blocks nothing, and a list in one category taxonomy says nothing about another.
"""

from collections.abc import Iterator

from loadtest.reading import Object, is_count, list_of, shown, texts_of

CONTENT_TAXONOMY_1_0 = 1
"""AdCOM "Category Taxonomies"; the default of `cattax`. Its children are named after their parent."""


def block_problems(request: Object, bid: Object, seat: Object) -> Iterator[str]:
    """Judge a bid by the lists of its request."""
    yield from _category_problems(request, bid)
    for domain in texts_of(bid.get("adomain")):
        for blocked in texts_of(request.get("badv")):
            if is_within(domain, blocked):
                yield f"advertiser {shown(domain)} is blocked by badv"
    if bid.get("bundle") in texts_of(request.get("bapp")):
        yield f"app {shown(bid['bundle'])} is blocked by bapp"
    allowed_seats = texts_of(request.get("wseat"))
    if allowed_seats and seat.get("seat") not in allowed_seats:
        yield f"seat {shown(seat.get('seat'))} is not among wseat"
    if seat.get("seat") in texts_of(request.get("bseat")):
        yield f"seat {shown(seat.get('seat'))} is blocked by bseat"
    if "language" in bid and "langb" in bid:
        yield "it gives both language and langb, and may give only one"
    # Only one of the lists may come; of two, either lets a language in. `de` and `de-CH` are each other's.
    lists = {name: texts_of(request.get(name)) for name in ("wlang", "wlangb")}
    allowed = {language.lower() for listed in lists.values() for language in listed}
    allowed |= {language.partition("-")[0] for language in allowed}
    for field in ("language", "langb"):
        language = bid.get(field)
        if not allowed or not isinstance(language, str):
            continue
        if not {language.lower(), language.lower().partition("-")[0]} & allowed:
            names = " or ".join(name for name in lists if lists[name])
            yield f"{field} {shown(language)} is not among {names}"


def media_block_problems(media: Object, bid: Object) -> Iterator[str]:
    """Judge a bid by the lists of the media object it answers."""
    blocked = list_of(media.get("battr"))
    for attribute in list_of(bid.get("attr")):
        if attribute in blocked:
            yield f"creative attribute {shown(attribute)} is blocked by battr"
    offered = list_of(media.get("api"))
    for framework in apis_of(bid):
        # OpenRTB 2.6, 3.2.6 and 3.2.7: an API that is not listed is assumed not to be supported.
        if framework not in offered:
            yield f"API {shown(framework)} is not among those the impression supports"


def apis_of(bid: Object) -> list[int]:
    """Return the API frameworks a bid declares, in `apis` or its older single `api`."""
    return [value for value in [*list_of(bid.get("apis")), bid.get("api")] if is_count(value)]


def is_within(domain: str, blocked: str) -> bool:
    """Tell whether a domain is another, or one of its subdomains."""
    return f".{domain.lower()}".endswith(f".{blocked.lower()}")


def _category_problems(request: Object, bid: Object) -> Iterator[str]:
    taxonomy = bid.get("cattax", CONTENT_TAXONOMY_1_0)
    if taxonomy != request.get("cattax", CONTENT_TAXONOMY_1_0):
        return
    blocked, allowed = set(texts_of(request.get("bcat"))), set(texts_of(request.get("acat")))
    for category in texts_of(bid.get("cat")):
        # A parent stands for its children: IAB11 blocks IAB11-4.
        names = {category}
        if taxonomy == CONTENT_TAXONOMY_1_0:
            names.add(category.partition("-")[0])
        if names & blocked:
            yield f"category {shown(category)} is blocked by bcat"
        if allowed and not names & allowed:
            yield f"category {shown(category)} is not allowed by acat"
