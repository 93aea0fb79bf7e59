"""Reading a campaign's stream of bills: what was booked, in the order it was booked.

    async for page in bills_between(client, code, after, until): ...
    known = await billed_bids(client, code, minute)

An entry is what `Ledger.settle` or `Ledger.adjust` was given, with `price_cpm_micros`: billionths for the
whole of it, negative only for an adjustment that gives back. A bill's `bid` is its owner, minute and
sequence; an adjustment has none. The stream is trimmed to `config.limits.STREAM_ENTRIES_MAX` entries, so
every question about the past may have the answer that nobody knows any more.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, cast

import redis.asyncio
from redis.exceptions import ResponseError

from config import redis_keys
from config.limits import BILLS_PAGE_ENTRIES, NOTICE_CLOCK_SECONDS_MAX, NOTICE_TAKEN_SECONDS_MAX

BEGINNING = "0-0"


class Bill(NamedTuple):
    """One entry. `entry_id` orders entries, and begins with when it was booked, in ms since 1970."""

    entry_id: str
    amount: int
    fields: Mapping[str, str]

    @property
    def minute(self) -> int | None:
        """The minute of the bid since 1970, None for an adjustment."""
        _, _, rest = self.fields.get("bid", "").partition("-")
        minute = rest.partition("-")[0]
        return int(minute) if minute.isdigit() else None


class StreamState(NamedTuple):
    """What is known of a stream at one moment."""

    first_ms: int | None
    """When the oldest entry that is left was booked; None when there is none."""
    added: int
    """Entries there have ever been."""
    length: int
    last_id: str

    @property
    def is_whole(self) -> bool:
        """Whether every entry there ever was is still there."""
        return self.added == self.length


EMPTY = StreamState(None, 0, 0, BEGINNING)


async def bills_between(
    client: redis.asyncio.Redis, code: int, after: str = BEGINNING, until: str = "+"
) -> AsyncIterator[list[Bill]]:
    """Yield pages of the bills after one entry id and up to another. Raises redis.RedisError."""
    while True:
        entries = await client.xrange(redis_keys.bills(code), f"({after}", until, count=BILLS_PAGE_ENTRIES)
        page = cast(list[tuple[bytes, dict[bytes, bytes]]], entries)
        if page:
            yield [_bill(entry_id, fields) for entry_id, fields in page]
        if len(page) < BILLS_PAGE_ENTRIES:
            return
        after = page[-1][0].decode()


async def billed_bids(client: redis.asyncio.Redis, code: int, minute: int) -> frozenset[str] | None:
    """Return the bids of one minute whose bills were booked while notices of that minute were taken.

    None when the stream does not reach back so far. Raises redis.RedisError.
    """
    state = await stream_state(client, code)
    begin_ms = minute * 60_000
    if not state.is_whole and (state.first_ms is None or state.first_ms >= begin_ms):
        return None
    clock_ms = NOTICE_CLOCK_SECONDS_MAX * 1_000
    end_ms = begin_ms + NOTICE_TAKEN_SECONDS_MAX * 1_000 + clock_ms
    found: set[str] = set()
    async for page in bills_between(client, code, f"{begin_ms - clock_ms}-0", str(end_ms)):
        found.update(bill.fields["bid"] for bill in page if bill.minute == minute)
    return frozenset(found)


async def stream_state(client: redis.asyncio.Redis, code: int) -> StreamState:
    """Look at a campaign's stream of bills. Raises redis.RedisError."""
    try:
        return read_state(await client.xinfo_stream(redis_keys.bills(code)))
    except ResponseError as error:
        if "no such key" not in str(error):
            raise
        return EMPTY


def read_state(info: Mapping[str, Any]) -> StreamState:
    """Read what XINFO STREAM replies."""
    first = info["first-entry"]
    return StreamState(
        first_ms=None if first is None else int(first[0].split(b"-")[0]),
        added=int(info["entries-added"]),
        length=int(info["length"]),
        last_id=info["last-generated-id"].decode(),
    )


def _bill(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Bill:
    texts = {name.decode(): value.decode() for name, value in fields.items()}
    return Bill(entry_id.decode(), int(texts["price_cpm_micros"]), texts)
