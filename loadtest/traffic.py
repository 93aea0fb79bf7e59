"""Bid requests as an exchange in Iowa would send them: OpenRTB 2.6, generated from a seed.

    for request in requests(TrafficMix(), random.Random(7)):
        body = orjson.dumps(request)

The same mix and seed give the same requests for ever. What never changes between requests (sites,
devices, media objects) is built once and shared, so a request costs some twenty draws; treat a
yielded request as read-only.

Who visits follows a Zipf-like law over the demo cookies: the visitor of rank r comes with weight
1 / r^exponent, so a few people see a lot and most are rare, as frequency caps find them in life.
"""

import math
import random
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TypeVar

import msgspec
import numpy as np

from loadtest.inventory import (
    APPS,
    AUDIO_APPS,
    BLOCKED_CATEGORIES,
    BLOCKED_DOMAINS,
    DESKTOPS,
    HANDHELDS,
    OPT_OUTS,
    SCREENS,
    SECTIONS,
    SITES,
    TELEVISIONS,
    TV_APPS,
    Device,
    Object,
)
from loadtest.limits import TMAX_DEFAULT_MS
from loadtest.media import FULL_SCREEN, audios, banners, breaks, natives, videos
from loadtest.places import ELSEWHERE, IOWA, Place

_T = TypeVar("_T")


class TrafficMix(msgspec.Struct, frozen=True, kw_only=True):
    """How the traffic is made up. Shares are of requests unless a line says otherwise."""

    users: int = 200_000
    user_id_format: str = "demo-%09d"
    """Turns a number from 0 to users - 1 into the cookie the bidder knows (`user.buyeruid`)."""
    known_user_share: float = 0.8
    zipf_exponent: float = 0.8
    iowa_share: float = 0.85
    web_banner_share: float = 0.34
    app_banner_share: float = 0.20
    native_share: float = 0.18
    web_video_share: float = 0.10
    television_share: float = 0.10
    audio_share: float = 0.08
    screen_share: float = 0.03
    """Screens out of home, where one play counts for several people. The seven shares above are weights, and
    need not add up to one."""
    break_share: float = 0.3
    """Of television requests: those for an ad break, half of them of a fixed number of places."""
    full_screen_share: float = 0.1
    """Of app banners: those that take the whole screen."""
    two_media_share: float = 0.1
    """Of native impressions: those that would take a banner as well."""
    more_imps_share: float = 0.2
    """Requests with two or three impressions; banner and native only."""
    floor_share: float = 0.85
    """Of impressions."""
    floor_min_cents: int = 10
    floor_max_cents: int = 400
    secure_share: float = 0.9
    blocked_categories_share: float = 0.15
    blocked_domains_share: float = 0.1
    supply_chain_share: float = 0.75
    """Requests that name their sellers and privacy signals; the rest leave both out."""
    opt_out_share: float = 0.05
    """Requests of people who may not be recognised, by one signal or another."""
    second_price_share: float = 0.08
    tmax_ms: int = TMAX_DEFAULT_MS
    currency: str = "USD"


FORMATS = ("web-banner", "app-banner", "native", "web-video", "television", "audio", "screen")
"""What `with_formats` takes; each is a share of a mix."""


class MixError(Exception):
    """The text is no mix; the message says why and how to mend it."""


def with_formats(mix: TrafficMix, text: str) -> TrafficMix:
    """Return a mix of only the formats of a text like `web-banner=3,television=1`; raises MixError."""
    weights = dict.fromkeys(FORMATS, 0.0)
    for part in text.split(","):
        name, _, weight = (word.strip() for word in part.partition("="))
        if name not in weights:
            raise MixError(f"{name!r} is no format; they are {', '.join(FORMATS)}")
        try:
            weights[name] = float(weight)
        except ValueError:
            raise MixError(f"{part!r} has no weight; write it as {name}=3") from None
    if not (min(weights.values()) >= 0 and 0 < sum(weights.values()) < math.inf):
        raise MixError(f"{text!r} weighs nothing; weights are from 0 up, and not all 0")
    shares = {name.replace("-", "_") + "_share": weight for name, weight in weights.items()}
    return msgspec.structs.replace(mix, **shares)


def requests(mix: TrafficMix, rng: random.Random) -> Iterator[Object]:
    """Yield bid requests without end; `rng` decides everything."""
    generator = _Generator(mix, rng)
    while True:
        yield generator.request()


class _Generator:
    """The parts that requests are put together from, and the draws that pick them."""

    def __init__(self, mix: TrafficMix, rng: random.Random) -> None:
        self._mix = mix
        self._rng = rng
        weights = np.arange(1, mix.users + 1, dtype=np.float64) ** -mix.zipf_exponent
        self._users_by_weight = array("d", (np.cumsum(weights) / weights.sum()).tobytes())
        self._kinds = (
            self._web_banner,
            self._app_banner,
            self._native,
            self._web_video,
            self._television,
            self._audio,
            self._screen,
        )
        self._kinds_by_weight = list(
            accumulate(
                (
                    mix.web_banner_share,
                    mix.app_banner_share,
                    mix.native_share,
                    mix.web_video_share,
                    mix.television_share,
                    mix.audio_share,
                    mix.screen_share,
                )
            )
        )
        self._banners = {True: banners(handheld=True), False: banners(handheld=False)}
        self._web_videos = videos(television=False)
        self._television_videos = videos(television=True)
        self._audios = audios()
        self._breaks = breaks()
        self._natives = natives()
        self._iowa_by_weight = list(accumulate(place.weight for place in IOWA))
        self._elsewhere_by_weight = list(accumulate(place.weight for place in ELSEWHERE))

    def request(self) -> Object:
        rng, mix = self._rng, self._mix
        kind = rng.choices(self._kinds, cum_weights=self._kinds_by_weight)[0]
        request: Object = {
            "id": f"{rng.getrandbits(128):032x}",
            "at": 2 if rng.random() < mix.second_price_share else 1,
            "tmax": mix.tmax_ms,
            "cur": [mix.currency],
        }
        kind(request)
        if "dooh" not in request and rng.random() < mix.known_user_share:
            rank = min(bisect_right(self._users_by_weight, rng.random()), mix.users - 1)
            request["user"] = {"buyeruid": mix.user_id_format % rank}
        if rng.random() < mix.blocked_categories_share:
            request["bcat"] = rng.sample(BLOCKED_CATEGORIES, rng.randint(1, 5))
        if rng.random() < mix.blocked_domains_share:
            request["badv"] = rng.sample(BLOCKED_DOMAINS, rng.randint(1, 3))
        if rng.random() < mix.supply_chain_share:
            node = {"asi": "shouting-exchange.example", "sid": "pub", "hp": 1, "rid": request["id"]}
            request["source"] = {
                "fd": 0,
                "tid": f"{rng.getrandbits(128):032x}",
                "schain": {"complete": 1, "ver": "1.0", "nodes": [node]},
            }
            request["regs"] = {"coppa": 0, "gdpr": 0, "us_privacy": "1YNN"}
        if self._now_and_then(mix.opt_out_share):
            request["regs"] = self._pick(OPT_OUTS)
        return request

    def _web_banner(self, request: Object) -> None:
        handheld = self._rng.random() < 0.5
        self._put_imps(
            request, [{"banner": self._pick(self._banners[handheld])} for _ in range(self._imps())]
        )
        self._put_site(request, HANDHELDS if handheld else DESKTOPS)

    def _app_banner(self, request: Object) -> None:
        if self._now_and_then(self._mix.full_screen_share):
            self._put_imps(request, [{"banner": FULL_SCREEN, "instl": 1}])
        else:
            offers = [{"banner": self._pick(self._banners[True])} for _ in range(self._imps())]
            self._put_imps(request, offers)
        self._put_app(request, APPS, HANDHELDS)

    def _native(self, request: Object) -> None:
        handheld = self._rng.random() < 0.6
        offers = []
        for _ in range(self._imps()):
            offer: Object = {"native": self._pick(self._natives)}
            if self._rng.random() < self._mix.two_media_share:
                offer["banner"] = self._pick(self._banners[handheld])
            offers.append(offer)
        self._put_imps(request, offers)
        if handheld and self._rng.random() < 0.4:
            self._put_app(request, APPS, HANDHELDS)
        else:
            self._put_site(request, HANDHELDS if handheld else DESKTOPS)

    def _web_video(self, request: Object) -> None:
        self._put_imps(request, [{"video": self._pick(self._web_videos)}])
        self._put_site(request, HANDHELDS if self._rng.random() < 0.4 else DESKTOPS)

    def _television(self, request: Object) -> None:
        videos = [self._pick(self._television_videos)]
        if self._now_and_then(self._mix.break_share):
            videos = self._pick(self._breaks)
        self._put_imps(request, [{"video": video} for video in videos])
        self._put_app(request, TV_APPS, TELEVISIONS)

    def _audio(self, request: Object) -> None:
        self._put_imps(request, [{"audio": self._pick(self._audios)}])
        self._put_app(request, AUDIO_APPS, HANDHELDS)

    def _screen(self, request: Object) -> None:
        """One play on a screen that several people see; nobody of them is known."""
        people = self._rng.randint(2, 400) / 10
        video = self._pick(self._television_videos)
        self._put_imps(request, [{"video": video, "qty": {"multiplier": people, "sourcetype": 1}}])
        request["dooh"] = self._pick(SCREENS)
        request["device"] = {"devicetype": 8, "geo": self._geo(self._place())}

    def _now_and_then(self, share: float) -> bool:
        """Draw, unless it never happens: a mix without something draws as if it did not exist."""
        return share > 0 and self._rng.random() < share

    def _imps(self) -> int:
        return self._rng.randint(2, 3) if self._rng.random() < self._mix.more_imps_share else 1

    def _put_imps(self, request: Object, offers: list[Object]) -> None:
        rng, mix = self._rng, self._mix
        secure = 1 if rng.random() < mix.secure_share else 0
        for number, imp in enumerate(offers, 1):
            imp["id"] = str(number)
            imp["tagid"] = f"slot-{rng.randrange(400):03d}"
            imp["secure"] = secure
            if rng.random() < mix.floor_share:
                # Cheap floors are common: the product of two even draws leans to the low end.
                lean = rng.random() * rng.random()
                cents = mix.floor_min_cents + round((mix.floor_max_cents - mix.floor_min_cents) * lean)
                imp["bidfloor"] = cents / 100
                imp["bidfloorcur"] = mix.currency
        request["imp"] = offers

    def _put_site(self, request: Object, devices: tuple[Device, ...]) -> None:
        rng = self._rng
        site = dict(self._pick(SITES))
        site["page"] = (
            f"https://www.{site['domain']}/{self._pick(SECTIONS)}/story-{rng.randrange(10_000)}.html"
        )
        site["ref"] = "https://search.example/"
        request["site"] = site
        request["device"] = self._device(devices)

    def _put_app(self, request: Object, apps: tuple[Object, ...], devices: tuple[Device, ...]) -> None:
        request["app"] = self._pick(apps)
        request["device"] = device = self._device(devices)
        device["ifa"] = f"{self._rng.getrandbits(128):032x}"

    def _device(self, devices: tuple[Device, ...]) -> Object:
        rng = self._rng
        kind = rng.choices(devices, weights=[device.weight for device in devices])[0]
        place = self._place()
        return {
            **kind.fields,
            "ip": f"198.51.100.{rng.randrange(1, 255)}",
            "connectiontype": 2,
            "dnt": 0,
            "lmt": 0,
            "geo": self._geo(place),
        }

    def _geo(self, place: Place) -> Object:
        return {
            "type": 2,
            "country": place.country,
            "region": place.region,
            "metro": place.metro,
            "city": place.city,
            "zip": self._pick(place.zips),
            "lat": place.lat,
            "lon": place.lon,
        }

    def _place(self) -> Place:
        if self._rng.random() < self._mix.iowa_share:
            return self._rng.choices(IOWA, cum_weights=self._iowa_by_weight)[0]
        return self._rng.choices(ELSEWHERE, cum_weights=self._elsewhere_by_weight)[0]

    def _pick(self, items: Sequence[_T]) -> _T:
        return items[int(self._rng.random() * len(items))]
