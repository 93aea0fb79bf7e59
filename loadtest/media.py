"""The media objects of generated impressions (OpenRTB 2.6, 3.2.6 to 3.2.9), built once.

Each function returns every variant a request may offer; `traffic` draws from them.
"""

import orjson

from loadtest.inventory import Object

_PROTOCOLS = [2, 3, 5, 6, 7, 8, 11, 12, 13, 14]
"""AdCOM "Subtypes - Creative Audio/Video": VAST 2 to 4.2, in-line and wrapper."""
FULL_SCREEN: Object = {"w": 320, "h": 480, "format": [{"w": 320, "h": 480}], "pos": 7, "api": [5, 6, 7]}


def _sizes(text: str) -> list[Object]:
    return [{"w": int(w), "h": int(h)} for w, h in (size.split("x") for size in text.split())]


def banners(handheld: bool) -> list[Object]:
    """Return banner offers: some list formats, some give the one size in `w` and `h`."""
    if handheld:
        lists = ["320x50 300x50", "320x50 320x100", "300x250", "300x250 320x480", "320x50 300x250"]
    else:
        lists = ["728x90 970x90", "728x90", "300x250 336x280", "300x250 300x600", "160x600", "970x250 728x90"]
    found: list[Object] = []
    for position, text in enumerate(lists):
        formats = _sizes(text)
        if len(formats) == 1:
            found.append({**formats[0], "pos": 1, "topframe": 1})
        else:
            found.append({"format": formats, "pos": position % 4, "api": [5, 6, 7], "battr": [1, 8, 9]})
    return found


def videos(television: bool) -> list[Object]:
    """Return video offers: player sizes, longest durations, and where in the page or stream."""
    sizes = _sizes("1920x1080 1280x720") if television else _sizes("640x360 640x480 1280x720 400x300")
    return [
        {
            "mimes": ["video/mp4", "video/webm"],
            "minduration": 5,
            "maxduration": longest_seconds,
            "protocols": _PROTOCOLS,
            **size,
            "startdelay": 0,
            "plcmt": 1 if television else placement,
            "linearity": 1,
            "skip": 0 if television else 1,
            "playbackmethod": [1] if television else [2, 6],
            "delivery": [2],
            "api": [7],
            "pos": 7 if television else 1,
        }
        for size in sizes
        for longest_seconds, placement in ((15, 1), (30, 2), (30, 4), (60, 1))
    ]


def breaks() -> list[list[Object]]:
    """Return ad breaks on television, each as the video objects of its imps.

    The first kind has places of its own (`podid` on several imps), the second is time to fill
    (`poddur`), with as many ads as `maxseq`. No advertiser or creative is wanted twice.
    """
    terms = {"poddedupe": [1, 3], "podseq": 1}
    spots = [video for video in videos(television=True) if video["maxduration"] == 30]
    structured = [
        [{**spot, **terms, "podid": "break-1", "slotinpod": place} for place in (1, 0, -1)[:places]]
        for spot in spots
        for places in (2, 3)
    ]
    dynamic = [
        [{**spot, **terms, "podid": "break-1", "poddur": seconds, "maxseq": seconds // 15}]
        for spot in spots
        for seconds in (60, 90)
    ]
    return structured + dynamic


def audios() -> list[Object]:
    """Return audio offers for radio and podcast streams."""
    return [
        {
            "mimes": ["audio/mpeg", "audio/mp4", "audio/ogg"],
            "minduration": 5,
            "maxduration": longest_seconds,
            "protocols": _PROTOCOLS,
            "startdelay": 0,
            "feed": feed,
            "delivery": [1, 2],
            "maxbitrate": 320,
            "stitched": 0,
        }
        for longest_seconds in (15, 30, 60)
        for feed in (1, 2, 3)
    ]


def natives() -> list[Object]:
    """Return native offers (Native 1.2): title, main image and sponsor required, the rest welcome."""
    found: list[Object] = []
    for title_chars, (wmin, hmin), placement in (
        (90, (1200, 627), 1),
        (140, (600, 314), 2),
        (90, (300, 157), 4),
    ):
        assets: list[Object] = [
            {"id": 1, "required": 1, "title": {"len": title_chars}},
            {"id": 2, "required": 1, "img": {"type": 3, "wmin": wmin, "hmin": hmin}},
            {"id": 3, "required": 1, "data": {"type": 1, "len": 60}},
            {"id": 4, "required": 0, "data": {"type": 2, "len": 200}},
            {"id": 5, "required": 0, "img": {"type": 1, "wmin": 50, "hmin": 50}},
            {"id": 6, "required": 0, "data": {"type": 12, "len": 30}},
        ]
        for offered in (assets[:3], assets[:4], assets):
            wanted = {
                "ver": "1.2",
                "context": 1,
                "plcmttype": placement,
                "plcmtcnt": 1,
                "assets": offered,
                "eventtrackers": [{"event": 1, "methods": [1, 2]}],
                "privacy": 1,
            }
            found.append({"request": orjson.dumps(wanted).decode(), "ver": "1.2", "battr": [1, 8]})
    return found
