"""What is fuzzed: a drawing of hostile input, and a check of what came of it.

    body      JSON of our fields with values of any type, and bytes that are no JSON
    headers   HTTP framing: methods, paths, lengths, encodings, garbage, cut anywhere
    consent   strings in every place of consent, taken from real ones and damaged
    notice    URLs of the events port: tokens, macros, repeated and endless parameters

A check raises AssertionError for an answer that must not be: a 5xx, a bid on what is no request, a fault
of ours, more than ANSWER_SECONDS_MAX of the processor's time.
"""

import gzip
import json
import random
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import quote

from bidder.decision.reasons import Reason
from bidder.port.main import warm_up
from loadtest.validate import problems
from tests.factories import bid_request
from tests.offline_port import Answer, OfflinePort
from tests.openrtb.consent.strings import canada_string, gpp_string, tc_string, us_section
from tests.openrtb.houses import house_of
from tests.openrtb.object_tables import Object, spoiled_requests
from tests.openrtb.wide_config import SEGMENTS, wide_config

ANSWER_SECONDS_MAX = 2.0
"""A thousand times what the slowest honest request takes: only work without a bound comes near."""

URL_CHARS_MAX = 8_100
"""Longer ones never reach our code: the HTTP server refuses the request line."""
NOTICE_NAMES = (
    *("p", "q", "m", "l", "t", "c", "to", "uid", "redirect"),
    *("gdpr", "gdpr_consent", "us_privacy", "gpp", "gpp_sid", "partner_uid"),
)
NOTICE_VALUES = (
    *("1.25", "", "AUDIT", "${AUCTION_PRICE}", "-1", "1e400", "NaN", "0x10", "9" * 500, "MS4yNQ=="),
    *("OG46wAAMCggBI0VniavN7-mNy0VTKPbB3o5CMQ", "\x00", "é💥", "../..", "a" * 3_000),
)

Check = Callable[[random.Random], Awaitable[None]]
"""Draws one input, sends it and checks the answer."""


class Target(NamedTuple):
    """One kind of hostile input."""

    name: str
    check: Check

    async def draw(self, seed: str) -> None:
        """Check the input of one seed; AssertionError names target and seed."""
        try:
            await self.check(random.Random(f"{self.name} {seed}"))
        except Exception as error:
            raise AssertionError(f"{self.name}, draw {seed!r}: {error!r}") from error


class PortTargets:
    """The targets of the bid port: `body`, `headers`, `consent`."""

    def __init__(self) -> None:
        warm_up()
        bundle = wide_config()
        self._port = OfflinePort(bundle, SEGMENTS)
        self._house = house_of(self._port.snapshot.exchanges["plain"], bundle.engine)

    def all(self) -> list[Target]:
        return [
            Target("body", self.body),
            Target("headers", self.headers),
            Target("consent", self.consent),
        ]

    async def body(self, chance: random.Random) -> None:
        body = damaged_json(spoiled_requests(chance), chance)
        (answer,) = await self._send(_post(body), {200, 204, 400, 413})
        if answer.status == 200 and (request := _object(body)) is not None:
            assert problems(request, answer.json, self._house) == []

    async def headers(self, chance: random.Random) -> None:
        data = hostile_http(chance)
        await self._send(data, {100, 200, 204, 400, 404, 405, 413, 431, 503})

    async def consent(self, chance: random.Random) -> None:
        body = json.dumps(with_consent(chance)).encode()
        await self._send(_post(body), {200, 204})

    async def _send(self, data: bytes, allowed: set[int]) -> list[Answer]:
        started_s = time.process_time()
        answers = await self._port.send(data)
        assert time.process_time() - started_s < ANSWER_SECONDS_MAX
        assert {answer.status for answer in answers} <= allowed
        assert not self._port.tally.no_bids[Reason.FAULT]
        return answers


def damaged_json(request: Object, chance: random.Random) -> bytes:
    """Write a request, and now and then break what was written."""
    body = bytearray(json.dumps(request, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass"))
    match chance.randrange(12):
        case 0:
            for _ in range(chance.randint(1, 8)):
                body[chance.randrange(len(body))] = chance.randrange(256)
        case 1:
            del body[chance.randrange(len(body)) :]
        case 2:
            depth = chance.choice((10, 1_000, 5_000, 50_000))
            body[-1:] = b',"x":' + b"[" * depth + b"]" * depth + b"}"
        case 3:
            body = bytearray(body.replace(b":1", b":" + b"9" * 400))
        case 4:
            body = bytearray(body.replace(b'"', b'"\\ud800', 3))
        case 5:
            body[:0] = b"\xef\xbb\xbf"
        case 6:
            body = bytearray(chance.randbytes(chance.randrange(200)))
    return bytes(body)


def hostile_http(chance: random.Random) -> bytes:
    """Write one request, most of it unusual, and cut or garble it now and then."""
    body = json.dumps(bid_request()).encode()
    encodings = ("gzip", "br", "GZIP", "gzip, gzip", "", "\x7f")
    if chance.random() < 0.3:
        body = gzip.compress(body if chance.random() < 0.7 else b" " * 10**6)
    lengths = (str(len(body)), "0", "-1", "1e3", "99999999999999999999", f"{len(body)},{len(body)}", " ")
    method = chance.choice(("POST",) * 6 + ("GET", "PUT", "get", "", "POST" * 40, "CONNECT"))
    path = chance.choice(
        ("/bid/plain",) * 6 + ("/bid/", "/", "*", "/bid/" + "a" * 9_000, "/bid/%00", "//bid/plain")
    )
    first = f"{method} {path} HTTP/{chance.choice(('1.1',) * 6 + ('1.0', '2.0', '9.9', 'x'))}"
    headers = (
        "host: bidder.example",
        f"content-length: {lengths[0] if chance.random() < 0.7 else chance.choice(lengths)}",
        f"content-encoding: {chance.choice(encodings)}",
        "transfer-encoding: chunked",
        "expect: 100-continue",
        f"x-openrtb-version: {chance.choice(('2.6', '2.2', '', 'é', '9' * 500))}",
        f"content-type: {chance.choice(('application/json;charset=utf-8', 'text/xml', ''))}",
        f"connection: {chance.choice(('keep-alive', 'close', 'upgrade'))}",
        f"x-{'f' * chance.choice((1, 5_000, 20_000))}: 1",
        "no colon at all",
    )
    usual = ("host", "content-length")
    lines = [
        first,
        *(line for line in headers if chance.random() < (0.9 if line.startswith(usual) else 0.15)),
    ]
    data = bytearray("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    if chance.random() < 0.2:
        data[chance.randrange(len(data))] = chance.randrange(256)
    if chance.random() < 0.1:
        del data[chance.randrange(len(data)) :]
    return bytes(data) * chance.choice((1, 1, 1, 2))


def with_consent(chance: random.Random) -> Object:
    """Draw a request with consent strings in all their homes, most of them damaged."""
    text = consent_string(chance)
    signals: Object = {
        "gdpr": chance.choice((0, 1, 1, 1)),
        "us_privacy": chance.choice(("1YYN", "1---", text[:4], text)),
        "gpp": consent_string(chance),
        "gpp_sid": [
            chance.choice((-1, 2, 5, 6, 7, *range(8, 30), 4_000)) for _ in range(chance.randrange(4))
        ],
    }
    user: Object = {"buyeruid": "abc"}
    if chance.random() < 0.5:
        return bid_request(user={**user, "consent": text}, regs=signals)
    return bid_request(user={**user, "ext": {"consent": text}}, regs={"ext": signals})


def consent_string(chance: random.Random) -> str:
    """Draw a string of one of the formats, damaged two times of three."""
    vendors = sorted(chance.sample(range(1, 1_200), chance.randrange(40)))
    purposes = [purpose for purpose in range(1, 12) if chance.random() < 0.5]
    spans = [(first, first + chance.randrange(400)) for first in vendors[:5]]
    restrictions = [(chance.randint(1, 11), chance.randrange(3), spans) for _ in range(chance.randrange(4))]
    tcf = tc_string(vendors, purposes, restrictions=restrictions, version=chance.choice((2, 2, 2, 1, 3)))
    usnat = us_section("".join(chance.choice("012") for _ in range(26)))
    text = chance.choice((tcf, gpp_string({2: tcf, 7: usnat}), canada_string(vendors, purposes), usnat))
    match chance.randrange(6):
        case 0:
            return text[: chance.randrange(len(text) + 1)]
        case 1:
            return text + text * chance.choice((1, 50))
        case 2:
            return "".join(chance.choice((c, c, c, chance.choice("AZaz09-_.~é\x00"))) for c in text)
        case 3:
            return "".join(
                chance.choice("ABCDEFabcdef0123456789-_") for _ in range(chance.choice((8, 271, 4_000)))
            )
    return text


def notice_url(token: str, chance: random.Random) -> str:
    """Draw the path and query of a notice, with a token that is genuine half of the time."""
    kind = chance.choice(
        ("win", "bill", "loss", "imp", "click", "conv", "sync", "setuid", "", "imp/x", "%00")
    )
    if chance.random() < 0.5:
        cut = chance.randrange(len(token) + 1)
        token = chance.choice((token[:cut], token[:cut] + "A" + token[cut + 1 :], token * 3, "", "é", "%ff"))
    pairs = [("t", token)] if chance.random() < 0.95 else []
    pairs += [(name, chance.choice(NOTICE_VALUES)) for name in NOTICE_NAMES if chance.random() < 0.3]
    chance.shuffle(pairs)
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
    return f"/{kind}?{query}"[:URL_CHARS_MAX]


def _post(body: bytes) -> bytes:
    head = b"POST /bid/plain HTTP/1.1\r\nhost: bidder.example\r\ncontent-length: %d\r\n\r\n" % len(body)
    return head + body


def _object(body: bytes) -> Object | None:
    """Return the JSON object in a body as Python reads it, where it does."""
    try:
        value = json.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
