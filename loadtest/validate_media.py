"""The part of a strict exchange's judgement that is about banners, video and audio.

Each function yields what is wrong, worded to end a sentence that begins with the bid's name. They raise
`MarkupError` when the markup can't be read at all. `media` is the offered banner, video or audio object
of the impression.
"""

from collections.abc import Iterator

from loadtest.markup import HtmlKind, Vast, html_kind, read_vast
from loadtest.reading import Object, is_count, list_of, objects_of, shown
from loadtest.validate_blocks import apis_of

VAST_PROTOCOLS = {
    "1.0": (1, 4),
    "2.0": (2, 5),
    "3.0": (3, 6),
    "4.0": (7, 8),
    "4.1": (11, 12),
    "4.2": (13, 14),
    "4.3": (15, 16),
}
"""AdCOM "Subtypes - Creative Audio/Video": the number of a version in-line, and as a wrapper."""
BANNER_TYPES: dict[int, HtmlKind] = {2: "image", 3: "script", 4: "iframe"}
"""AdCOM "Subtypes - Creative Display", as `btype` blocks them. Text ads (1) are not told apart."""
FRAMEWORK_APIS = {"VPAID": (1, 2), "SIMID": (8, 9), "OMID": (7,)}
"""The `apiFramework` of a VAST element, and the numbers of AdCOM "API Frameworks" that allow it."""
NONLINEAR = 2
DELIVERY_METHODS = {"streaming": (1,), "progressive": (2, 3)}
"""A VAST file's `delivery`, and the numbers of AdCOM "Delivery Methods" it serves; 3 is download."""
SELF_SKIPPABLE = 16
"""AdCOM "Creative Attributes": the creative itself has the skip button."""


def banner_problems(imp: Object, media: Object, bid: Object, adm: str) -> Iterator[str]:
    """Judge the size, and the type of the markup when there is any."""
    kind = html_kind(adm)
    for number in list_of(media.get("btype")):
        if adm and isinstance(number, int) and BANNER_TYPES.get(number) == kind:
            yield f"its markup is of a type, {kind}, that btype {number} blocks"
    w, h = bid.get("w"), bid.get("h")
    if not is_count(w) or not is_count(h):
        yield "w and h do not give the banner's size"
        return
    offered = [
        size
        for size in [*objects_of(media.get("format")), media]
        if is_count(size.get("w")) or is_count(size.get("wratio"))
    ]
    fits = _fits_inside if imp.get("instl") == 1 else _fits
    if offered and not any(_fits(size, w, h) or fits(size, w, h) for size in offered):
        yield f"a banner of {w}x{h} is none of the offered sizes"


def _fits(size: Object, w: int, h: int) -> bool:
    if (size.get("w"), size.get("h")) == (w, h):
        return True
    wratio, hratio, narrowest = size.get("wratio"), size.get("hratio"), size.get("wmin")
    if not is_count(wratio) or not is_count(hratio) or w * hratio != h * wratio:
        return False
    return not is_count(narrowest) or w >= narrowest


def _fits_inside(size: Object, w: int, h: int) -> bool:
    """An interstitial is given the screen, and shows what fits in it."""
    w_max, h_max = size.get("w"), size.get("h")
    return is_count(w_max) and is_count(h_max) and w <= w_max and h <= h_max


def stream_problems(media_name: str, media: Object, bid: Object, adm: str) -> Iterator[str]:
    """Judge a video or audio ad: length, VAST version, skippability, and whether a file of it can play."""
    duration = bid.get("dur")
    if not is_count(duration):
        yield "dur does not give the ad's seconds"
    else:
        yield from _duration_problems(media, duration)
    if media_name == "video" and media.get("linearity") == NONLINEAR:
        yield "its VAST is linear, and the impression takes only non-linear ads"
    if not adm:
        return
    vast = read_vast(adm)
    yield from _version_problems(media, bid, vast)
    yield from _skip_problems(media, bid, vast)
    apis = {*apis_of(bid), *filter(is_count, list_of(media.get("api")))}
    for framework in vast.api_frameworks:
        allowed = FRAMEWORK_APIS.get(framework.upper())
        if allowed is None or not apis.intersection(allowed):
            yield f"its VAST needs {shown(framework)}, which the impression does not support"
    if vast.is_wrapper:
        if not vast.ad_tag_url:
            yield "its VAST wraps no <VASTAdTagURI>"
        return
    if vast.duration_seconds is None:
        yield "its VAST has no <Duration> like 00:00:15"
    elif is_count(duration) and vast.duration_seconds != duration:
        yield f"its VAST lasts {vast.duration_seconds} s, but dur says {duration}"
    yield from _media_file_problems(media_name, media, vast)


def duration_range(media: Object) -> tuple[int, int | None]:
    """Return the shortest and the longest seconds an offer takes; None for no longest.

    `maxextended` (2.6, 3.2.7): -1 lets an ad run on for ever, a count that many seconds longer.
    """
    shortest, longest = media.get("minduration"), media.get("maxduration")
    extended = media.get("maxextended")
    least = shortest if is_count(shortest) else 0
    if not is_count(longest) or not longest or extended == -1:
        return least, None
    return least, longest + (extended if is_count(extended) else 0)


def _duration_problems(media: Object, duration: int) -> Iterator[str]:
    exact = [seconds for seconds in list_of(media.get("rqddurs")) if is_count(seconds)]
    if exact:
        if duration not in exact:
            yield f"dur {duration} is none of the required durations"
        return
    shortest, longest = duration_range(media)
    if duration < shortest:
        yield f"dur {duration} is shorter than minduration {shortest}"
    if longest is not None and duration > longest:
        yield f"dur {duration} is longer than the {longest} seconds offered"


def _version_problems(media: Object, bid: Object, vast: Vast) -> Iterator[str]:
    protocols = [number for number in list_of(media.get("protocols")) if is_count(number)]
    protocol = VAST_PROTOCOLS.get(vast.version, (0, 0))[vast.is_wrapper]
    if not protocol:
        yield f"VAST version {vast.version!r} is unknown"
    elif protocols and protocol not in protocols:
        yield f"VAST {vast.version} (protocol {protocol}) is not among the offered protocols"
    if protocol and bid.get("protocol", protocol) != protocol:
        yield f"protocol says {shown(bid['protocol'])}, but its VAST is {protocol}"
    if not vast.impression_urls:
        yield "its VAST has no <Impression>"
    if vast.version in ("4.1", "4.2", "4.3") and not vast.is_wrapper and not vast.serving_id:
        yield f"VAST {vast.version} requires an <AdServingId>, and it has none"


def _skip_problems(media: Object, bid: Object, vast: Vast) -> Iterator[str]:
    """Implementation guide 7.4: attribute 16 when, and only when, the creative itself can be skipped."""
    declared = SELF_SKIPPABLE in list_of(bid.get("attr"))
    if vast.skippable and not declared:
        yield f"its VAST can be skipped, and attr does not hold {SELF_SKIPPABLE}"
    if declared and not vast.skippable and not vast.is_wrapper:
        yield f"attr holds {SELF_SKIPPABLE}, and its VAST can't be skipped"
    if declared and media.get("skip") == 1:
        yield "it can be skipped by itself, where the player puts a skip button of its own"


def _media_file_problems(media_name: str, media: Object, vast: Vast) -> Iterator[str]:
    if not vast.media_files:
        yield "its VAST has no <MediaFile>"
        return
    mimes = list_of(media.get("mimes"))
    methods = {method for method in list_of(media.get("delivery")) if is_count(method)}
    lowest, highest = media.get("minbitrate"), media.get("maxbitrate")
    playable = [file for file in vast.media_files if not mimes or file.mime in mimes]
    if not playable:
        yield "no <MediaFile> is of an offered MIME type"
    elif not any(
        (not file.bitrate_kbps or not is_count(lowest) or file.bitrate_kbps >= lowest)
        and (not file.bitrate_kbps or not is_count(highest) or not highest or file.bitrate_kbps <= highest)
        for file in playable
    ):
        yield "no <MediaFile> is within the offered bit rates"
    if methods and not any(
        methods.intersection(DELIVERY_METHODS.get(file.delivery, ())) for file in playable
    ):
        yield "no <MediaFile> is delivered as the impression asks"
    if not all(file.url for file in vast.media_files):
        yield "a <MediaFile> has no URL"
    if media_name == "video" and not all(file.w and file.h for file in vast.media_files):
        yield "a <MediaFile> does not give its width and height"
