"""A bid port without sockets or server: HTTP bytes in, HTTP bytes out, through everything in between.

    port = OfflinePort(bundle, segments=["gardeners"])
    answer = await port.ask(body)

The same connection, batch, decision and renderer as in a worker; only what the worker holds open is
replaced: the ledger by leases without end, and the look-up by one person who is everybody. A request
costs a fraction of a millisecond, so thousands fit into a test.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import numpy as np

from bidder.decision.schedule import active_ads
from bidder.decision.snapshot import compile_snapshot
from bidder.openrtb.notice_token import TokenSigner
from bidder.openrtb.privacy import vendor_of
from bidder.openrtb.render import BidSequence, ResponseRenderer
from bidder.port.admission import Admission
from bidder.port.bid_state import BidState
from bidder.port.bidder import Bidder
from bidder.port.protocol import BidConnection, Connections
from bidder.port.tally import Tally
from config.calendar import SECONDS_PER_DAY
from config.money import MONEY_MAX
from config.schema import Bundle
from pacing.cells import cells_of
from pacing.lease import LeaseBook
from pacing.prediction import unscored
from pacing.shading import shade_table
from segments.bitsets import bits_from_indices, pack_values
from segments.cluster_batch import Found
from segments.expressions import words_for
from segments.identity import Identity
from segments.lookup import UserLookup

EVENTS_URL = "https://events.bidder.example"
DRAW = 7


class Answer(msgspec.Struct, frozen=True):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def bids(self) -> list[dict[str, Any]]:
        """The bids, seats taken apart; none on any status but 200."""
        seats = self.json.get("seatbid", ()) if self.status == 200 else ()
        return [bid for seat in seats for bid in seat["bid"]]


class OnePerson:
    """The look-up's place: whoever is asked for has these segments and has seen nothing."""

    def __init__(self, value: bytes) -> None:
        self._value = value
        self.asked: list[int] = []
        """Every id that was looked up, in order."""

    def fetch(self, user_hashes: Sequence[int], done: Found) -> None:
        self.asked += user_hashes
        asyncio.get_running_loop().call_soon(done, [self._value, None] * len(user_hashes), ())


class _Wire(asyncio.Transport):
    """The exchange's end of a connection: keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.received = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.received += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def is_reading(self) -> bool:
        return True

    def pause_reading(self) -> None:
        pass


class OfflinePort:
    """One worker's bid port on one config."""

    def __init__(self, bundle: Bundle, segments: Sequence[str] = ()) -> None:
        indices = {segment.name: index for index, segment in enumerate(bundle.segments)}
        snapshot = compile_snapshot(bundle, indices)
        bits = bits_from_indices([indices[name] for name in segments], words_for(max(len(indices), 1)))
        book = LeaseBook(snapshot.account_codes, snapshot.account_bid_max_cpm_micros)
        now_s = time.time()
        book.finish_sync(book.begin_sync(now_s), np.full(len(book.codes), MONEY_MAX, np.int64))
        renderer = ResponseRenderer(snapshot, EVENTS_URL, TokenSigner(bytes(32)), 1, BidSequence())
        state = BidState(
            snapshot=snapshot,
            renderer=renderer,
            active=active_ads(snapshot.schedule, int(now_s)),
            shading=shade_table({}, cells_of(profile.id for profile in bundle.exchanges)),
            book=book,
            scoring=unscored(),
            vendor=vendor_of(bundle.engine),
        )
        self.snapshot = snapshot
        self.tally = Tally()
        (value,) = pack_values(bits[None], int(now_s) // SECONDS_PER_DAY + 1)
        self.people = OnePerson(value)
        self._bidder = Bidder(
            state,
            cast(UserLookup, self.people),
            Identity(bytes(32)).hash,
            self.tally,
            Admission(),
            lambda: now_s,
            lambda: DRAW,
        )

    async def ask(self, body: bytes, exchange: str = "plain", headers: Sequence[bytes] = ()) -> Answer:
        """POST a body, on a connection of its own, and return the answer."""
        head = [
            b"POST /bid/%b HTTP/1.1" % exchange.encode(),
            b"host: bidder.example",
            b"content-length: %d" % len(body),
            *headers,
        ]
        (answer,) = await self.send(b"\r\n".join(head) + b"\r\n\r\n" + body)
        return answer

    async def send(self, data: bytes) -> list[Answer]:
        """Send bytes on a connection of their own and return every answer to them."""
        wire = _Wire()
        connection = BidConnection(self._bidder.submit, self._bidder.is_ready, Connections())
        connection.connection_made(wire)
        connection.data_received(data)
        await self._bidder.finish()
        connection.connection_lost(None)
        return list(_answers(bytes(wire.received)))


def _answers(data: bytes) -> Any:
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(headers.get("content-length", 0))
        yield Answer(int(first.split()[1]), headers, rest[:length])
        data = rest[length:]
