"""Builders of requests and of bids that a strict exchange accepts, for each kind of media."""

from typing import Any

import orjson

Object = dict[str, Any]

CAMPAIGNS = ("acme-fall", "county-fair", "corn-board")


def request(**imp_fields: Any) -> Object:
    """A request with one secure impression, `1`; keyword arguments are its media and other fields."""
    imp = {"id": "1", "bidfloor": 0.5, "bidfloorcur": "USD", "secure": 1, **imp_fields}
    return {"id": "auction-1", "at": 1, "tmax": 4000, "cur": ["USD"], "imp": [imp]}


BANNER: Object = {"format": [{"w": 300, "h": 250}, {"w": 320, "h": 50}]}
VIDEO: Object = {
    "mimes": ["video/mp4"],
    "minduration": 5,
    "maxduration": 30,
    "protocols": [2, 3, 7],
    "w": 640,
    "h": 360,
}
AUDIO: Object = {"mimes": ["audio/mpeg"], "minduration": 5, "maxduration": 30, "protocols": [2, 3, 7]}
NATIVE: Object = {
    "ver": "1.2",
    "request": orjson.dumps(
        {
            "ver": "1.2",
            "assets": [
                {"id": 1, "required": 1, "title": {"len": 90}},
                {"id": 2, "required": 1, "img": {"type": 3, "wmin": 300, "hmin": 157}},
                {"id": 3, "required": 0, "data": {"type": 1, "len": 30}},
            ],
        }
    ).decode(),
}
MEDIA: dict[str, Object] = {"banner": BANNER, "video": VIDEO, "audio": AUDIO, "native": NATIVE}


def bid(
    imp: Object,
    base: str = "https://bidder.example",
    price: float = 2.5,
    bid_id: str = "b-1",
    cid: str = "c-1",
) -> Object:
    """A good bid on the first media object an impression offers; its trackers live under `base`."""
    query = f"?b={bid_id}&c={cid}&p=${{AUCTION_PRICE}}"
    fields: Object = {
        "id": bid_id,
        "impid": imp["id"],
        "price": price,
        "adid": "ad-1",
        "crid": "cr-1",
        "cid": cid,
        "adomain": ["advertiser.example"],
        "cat": ["IAB3-1"],
        "nurl": f"{base}/win{query}",
        "burl": f"{base}/bill{query}",
        "lurl": f"{base}/loss?b={bid_id}&code=${{AUCTION_LOSS}}&min=${{AUCTION_MIN_TO_WIN}}",
    }
    shown, clicked = f"{base}/imp{query}", f"{base}/click?b={bid_id}&c={cid}"
    if "banner" in imp:
        size = (imp["banner"].get("format") or [imp["banner"]])[0]
        adm = (
            f'<a href="{clicked}"><img src="https://cdn.example/a.png"></a>'
            f'<img src="{shown.replace("&", "&amp;")}" width="1" height="1">'
        )
        return {**fields, "mtype": 1, "w": size.get("w"), "h": size.get("h"), "adm": adm}
    if "native" in imp:
        native = {
            "assets": [
                {"id": 1, "title": {"text": "Hello, county"}},
                {"id": 2, "img": {"url": "https://cdn.example/i.jpg", "w": 1200, "h": 627}},
                {"id": 3, "data": {"value": "Acme"}},
            ],
            "link": {"url": clicked},
            "eventtrackers": [{"event": 1, "method": 1, "url": shown}],
        }
        return {**fields, "mtype": 4, "adm": orjson.dumps(native).decode()}
    mtype, mime, size_text = (
        (2, "video/mp4", 'width="1280" height="720"') if "video" in imp else (3, "audio/mpeg", "")
    )
    return {**fields, "mtype": mtype, "dur": 15, "adm": vast(mime, size_text, shown, clicked)}


def vast(mime: str, size_text: str, shown: str, clicked: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><VAST version="3.0" xmlns:x="http://names.example/not-fetched">'
        f'<Ad id="1"><InLine><AdSystem>Stub</AdSystem><AdTitle>t</AdTitle>'
        f"<Impression><![CDATA[{shown}]]></Impression><Creatives><Creative><Linear>"
        f"<Duration>00:00:15</Duration><VideoClicks><ClickThrough><![CDATA[{clicked}]]></ClickThrough>"
        f'</VideoClicks><MediaFiles><MediaFile delivery="progressive" type="{mime}" {size_text}>'
        "<![CDATA[https://cdn.example/m]]></MediaFile></MediaFiles>"
        "</Linear></Creative></Creatives></InLine></Ad></VAST>"
    )


def response(asked: Object, *bids: Object) -> Object:
    return {"id": asked["id"], "cur": "USD", "seatbid": [{"seat": "s", "bid": list(bids)}]}
