"""Auction outcomes: what the events process writes about won and lost auctions, read into a landscape.

    reader = OutcomeReader(client)
    await reader.load(now_s)               # when elected: go on where the last leader stopped
    heard = await reader.read(bundle, now_s)
    await reader.save()

An outcome without a device is of no cell: it was a deal's, or a play that several people saw. Of the others
a price to win counts as it is, and so does what a win cost less than its bid. Wins at their own
bid, and losses, are counted only from exchanges that send both notices: whoever hears of one side alone
would find that every bid wins, or that none does. A loss counts when a higher price took it; a creative
that was refused says nothing of prices.

Each `read` takes the newest OUTCOMES_READ_MAX entries of each stream. Where there were more, the entries
of both are taken from the same moment on, so that wins and losses stay in proportion.

**What survives.** `save` writes the counts that changed, and how far the streams were read, into one hash in
one command: a new leader neither counts an outcome twice nor misses one. A cell's band takes 12 kB of the
leader's memory, and a kilobyte or two in Redis; there are at most CELLS_PER_EXCHANGE · (BANDS + 1) to an
exchange of the config, of which its traffic uses some dozens, and those of other exchanges are deleted.
"""

import contextlib
import zlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

import msgspec
import numpy as np
import redis.asyncio

from config.redis_keys import LANDSCAPE, STREAM_LOSSES, STREAM_WINS
from config.schema import Bundle, ExchangeProfile
from pacing.cells import DEVICES, FORMATS, Cell
from pacing.landscape import Key, Landscape
from pacing.price_grid import ANY_BAND, BANDS, PRICE_BINS

OUTCOMES_READ_MAX: Final = 5_000
"""Auction outcomes taken from each stream in one read."""
OUTBID: Final = frozenset((b"", b"100", b"102"))
"""Loss reasons that speak of the price: none given, below the floor, lost to a higher bid (OpenRTB 3.0)."""
_POSITIONS: Final = b""
"""The field of LANDSCAPE that is no counts."""

_FAST: Final = 1
"""A level of zlib: what is left after it is mostly the counts themselves."""

_Fields = Mapping[bytes, bytes]


_LastIds = dict[bytes, bytes]
"""By stream: the last entry that is in the landscape."""


class _Saved(msgspec.Struct, frozen=True):
    """`counts`: float32[3, PRICE_BINS], deflated; their weights are those of `at_s`."""

    at_s: float
    counts: bytes


_ENCODER = msgspec.msgpack.Encoder()
_COUNTS_DECODER = msgspec.msgpack.Decoder(_Saved)
_IDS_DECODER = msgspec.msgpack.Decoder(_LastIds)


class _Entry(NamedTuple):
    id: bytes
    fields: _Fields

    @property
    def at(self) -> tuple[int, int]:
        milliseconds, _, sequence = self.id.partition(b"-")
        return int(milliseconds), int(sequence)


_CELLS: Final = {
    (format_.encode(), device.encode()): (format_, device) for format_ in FORMATS for device in DEVICES
}


def hears_both_sides(exchange: ExchangeProfile) -> bool:
    """Say whether an exchange tells us of each auction that we won it, or that we lost it."""
    return {"nurl", "lurl"} <= set(exchange.notices) and exchange.billing_event != "nurl"


class OutcomeReader:
    """Reads outcomes into `landscape`; only the elected controller's is used."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.landscape = Landscape()
        self._client = client
        self._last_ids: _LastIds = {}

    async def load(self, now_s: float) -> None:
        """Take over what was saved; what was read here before is forgotten. Raises redis.RedisError."""
        self.landscape = Landscape(now_s)
        self._last_ids = {}
        saved = cast(dict[bytes, bytes], await self._client.hgetall(LANDSCAPE))
        # What another version wrote is counted afresh.
        with contextlib.suppress(msgspec.DecodeError, zlib.error):
            last_ids = _IDS_DECODER.decode(saved.pop(_POSITIONS, b""))
            for name, packed in saved.items():
                held = _COUNTS_DECODER.decode(packed)
                counts = np.frombuffer(zlib.decompress(held.counts), np.float32)
                if counts.size == 3 * PRICE_BINS:
                    *cell, band = name.decode().split("/")
                    key = Key(Cell(*cell), int(band))
                    self.landscape.restore(key, counts.reshape(3, PRICE_BINS), held.at_s)
            self._last_ids = last_ids

    async def save(self) -> None:
        """Keep what changed since the last time. Raises redis.RedisError; nothing is lost then."""
        landscape, changed = self.landscape, list(self.landscape.changed)
        fields = {_POSITIONS: _ENCODER.encode(self._last_ids)}
        for key in changed:
            counts = zlib.compress(landscape.counts[key].tobytes(), _FAST)
            fields[key.name.encode()] = _ENCODER.encode(_Saved(landscape.at_s, counts))
        await self._client.hset(LANDSCAPE, mapping=cast(Any, fields))
        landscape.changed.difference_update(changed)

    async def read(self, bundle: Bundle, now_s: float) -> int:
        """Count new outcomes of the bundle's exchanges; return how many there were at all.

        Raises redis.RedisError.
        """
        exchanges = {exchange.id.encode(): exchange for exchange in bundle.exchanges}
        self.landscape.age(now_s)
        dropped = self.landscape.keep_exchanges(exchange.id for exchange in bundle.exchanges)
        if dropped:
            await self._client.hdel(LANDSCAPE, *(key.name for key in dropped))
        # One call for each stream: on a cluster they live in different slots.
        wins, losses = [await self._news(stream) for stream in (STREAM_WINS, STREAM_LOSSES)]
        since = max(
            (entries[-1].at for entries in (wins, losses) if len(entries) == OUTCOMES_READ_MAX),
            default=(0, 0),
        )
        for entries, won in ((wins, True), (losses, False)):
            for entry in entries:
                if entry.at < since:
                    break
                exchange = exchanges.get(entry.fields.get(b"exchange", b""))
                if exchange is not None:
                    self._count(entry.fields, exchange, won)
        for stream, entries in ((STREAM_WINS, wins), (STREAM_LOSSES, losses)):
            if entries:
                self._last_ids[stream] = entries[0].id
        return len(wins) + len(losses)

    async def _news(self, stream: bytes) -> list[_Entry]:
        """Return what is new in a stream, newest first."""
        last_id = self._last_ids.get(stream)
        oldest = b"(" + last_id if last_id is not None else b"-"
        reply = await self._client.xrevrange(stream, b"+", oldest, count=OUTCOMES_READ_MAX)
        return [_Entry(*entry) for entry in cast(list[tuple[bytes, _Fields]], reply)]

    def _count(self, fields: _Fields, exchange: ExchangeProfile, won: bool) -> None:
        known = _CELLS.get((fields.get(b"format", b""), fields.get(b"device", b"")))
        if known is None:
            return
        band = _number(fields, b"band")
        key = Key(Cell(exchange.id, *known), band if band <= BANDS else ANY_BAND)
        price, bid = _number(fields, b"min_to_win_cpm_micros"), _number(fields, b"price_max_cpm_micros")
        if won and not price:
            paid = _number(fields, b"price_cpm_micros")
            price = paid if paid < bid else 0
        if price:
            self.landscape.observe_price(key, price)
        elif hears_both_sides(exchange):
            if won:
                self.landscape.observe_win(key, bid)
            elif fields.get(b"loss_code", b"") in OUTBID:
                self.landscape.observe_loss(key, bid)


def _number(fields: _Fields, name: bytes) -> int:
    """Read a number of an entry; 0 where it has none."""
    text = fields.get(name, b"")
    return int(text) if text.isdigit() else 0
