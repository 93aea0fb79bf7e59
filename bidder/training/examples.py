"""The event streams as examples: impressions, and the clicks, conversions and whole plays that came of them.

    reader = ExampleReader(client)
    while (round_ := await reader.read(catalogue)) is not None:
        trainer.take(round_["click"])

A round reads the impressions that follow those of the last, up to a page of them, and the events of the same
stretch of time: who reads one stream further than another learns wrong rates. Where the streams were
trimmed past the last round, it goes on where the impressions begin.

Entries without marks are of bids that nothing is learned from; those of line items or exchanges that are no
longer in the config are left out, and so are those of exchanges that show registered creatives: these call no
URL of ours, whatever they bring. Whole plays are learned of video and audio ads of line items that pay for
them.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import msgspec
import numpy as np
import redis.asyncio

from bidder.openrtb.notice_token import FORMATS
from config.redis_keys import STREAM_CLICKS, STREAM_COMPLETIONS, STREAM_CONVERSIONS, STREAM_IMPRESSIONS
from config.schema import Bundle, Format, LineItem, code_of
from pacing.features import (
    CAMPAIGN,
    CONTEXT_MARKS,
    CREATIVE,
    EXAMPLE_MARKS,
    LINE_ITEM,
    ad_mark,
    hour_mark,
    unpack_marks,
)
from pacing.prediction import PREDICTED, PRIORS, Predicted, cell_name
from pacing.shadow import Examples
from pacing.track_record import Owner

PAGE_ENTRIES = 5_000
"""Impressions of one round."""
BEGINNING = "0-0"
_STREAMS: dict[Predicted, bytes] = {
    "click": STREAM_CLICKS,
    "conversion": STREAM_CONVERSIONS,
    "completion": STREAM_COMPLETIONS,
}
_FORMATS: dict[bytes, Format] = {format_.encode(): format_ for format_ in FORMATS}

Entry = tuple[bytes, dict[bytes, bytes]]


class Catalogue(msgspec.Struct, frozen=True):
    """What of a config the entries are held against."""

    line_items: Mapping[bytes, tuple[str, LineItem]]
    """By id: its campaign's id, and itself; of campaigns that something is learned of."""
    exchanges: frozenset[bytes]
    """Those that show our markup."""
    owners: Mapping[int, Owner]
    """By line item code."""


def catalogue_of(bundle: Bundle) -> Catalogue:
    """Return what there is to learn of in a config."""
    line_items = {
        line_item.id.encode(): (campaign.id, line_item)
        for advertiser in bundle.advertisers
        for campaign in advertiser.campaigns
        if campaign.learns
        for line_item in campaign.line_items
    }
    owners = {
        code_of(line_item.id): Owner(code, campaign.time_zone)
        for code, campaign in bundle.campaigns_by_code().items()
        if campaign.learns
        for line_item in campaign.line_items
    }
    exchanges = frozenset(
        exchange.id.encode() for exchange in bundle.exchanges if exchange.markup != "registered"
    )
    return Catalogue(line_items, exchanges, owners)


class _Example(NamedTuple):
    marks: list[int]
    exchange_id: str
    campaign_id: str
    line_item: LineItem
    line_item_code: int
    minute: int
    format: Format


class ExampleReader:
    """Reads on where it stopped; `position` is the id of the last entry it has been up to."""

    def __init__(self, client: redis.asyncio.Redis, position: str = BEGINNING) -> None:
        self.position = position
        self._client = client

    async def read(self, catalogue: Catalogue) -> dict[Predicted, Examples] | None:
        """Return the next round, by event; None when there is no more. Raises redis.RedisError."""
        page = await self._range(STREAM_IMPRESSIONS, f"({self.position}", "+", PAGE_ENTRIES)
        if not page:
            return None
        since, until = self.position, page[-1][0].decode()
        if since == BEGINNING or await self._was_trimmed(since, page[0][0].decode()):
            # Events from before the first impression that is left are nobody's.
            since = page[0][0].decode()
        impressions = [(id_, example) for id_, fields in page if (example := _example(fields, catalogue))]
        rounds: dict[Predicted, Examples] = {}
        for event in PREDICTED:
            events = await self._all(_STREAMS[event], since, until)
            came = [(id_, example) for id_, fields in events if (example := _example(fields, catalogue))]
            rounds[event] = _arranged(event, impressions, came)
        self.position = until
        return rounds

    async def _was_trimmed(self, since: str, first: str) -> bool:
        """Whether entries after `since` are gone from the stream of impressions."""
        oldest = await self._range(STREAM_IMPRESSIONS, "-", "+", 1)
        return bool(oldest) and oldest[0][0].decode() == first and _order(first) > _order(since)

    async def _all(self, stream: bytes, since: str, until: str) -> list[Entry]:
        """Return the entries after `since` up to `until`, both ids of another stream."""
        found: list[Entry] = []
        while page := await self._range(stream, f"({since}", until, PAGE_ENTRIES):
            found += page
            since = page[-1][0].decode()
        return found

    async def _range(self, stream: bytes, first: str, last: str, count: int) -> list[Entry]:
        return cast(list[Entry], await self._client.xrange(stream, first, last, count=count))


def _order(id_: str) -> tuple[int, int]:
    milliseconds, _, sequence = id_.partition("-")
    return int(milliseconds), int(sequence or 0)


def _example(fields: Mapping[bytes, bytes], catalogue: Catalogue) -> _Example | None:
    """Return what an entry says; None when nothing is to be learned from it."""
    found = catalogue.line_items.get(fields.get(b"line_item", b""))
    packed, exchange, bid = (fields.get(name, b"") for name in (b"marks", b"exchange", b"bid"))
    if found is None or exchange not in catalogue.exchanges or len(packed) != 6 * CONTEXT_MARKS:
        return None
    campaign_id, line_item = found
    minute = int(bid.split(b"-")[1])
    codes = code_of(campaign_id), code_of(line_item.id), code_of(fields.get(b"creative", b"").decode())
    marks = [*unpack_marks(bytes.fromhex(packed.decode())), hour_mark(minute * 60)]
    marks += [
        ad_mark(field, code) for field, code in zip((CAMPAIGN, LINE_ITEM, CREATIVE), codes, strict=True)
    ]
    format_ = _FORMATS.get(fields.get(b"format", b""), "banner")
    return _Example(marks, exchange.decode(), campaign_id, line_item, codes[1], minute, format_)


def _is_played_for(example: _Example) -> bool:
    """Say whether its line item pays for whole plays, and it can be played."""
    return example.line_item.price.event == "completion" and example.format in ("video", "audio")


def _arranged(
    event: Predicted,
    impressions: Sequence[tuple[bytes, _Example]],
    events: Sequence[tuple[bytes, _Example]],
) -> Examples:
    labelled = [
        (_order(id_.decode()), came, example)
        for came, entries in ((False, impressions), (True, events))
        for id_, example in entries
        if event != "completion" or _is_played_for(example)
    ]
    labelled.sort(key=lambda one: one[:2])
    cells: dict[str, int] = {}
    campaigns: list[str] = []
    cell = []
    priors, stated = [], []
    for _, _, example in labelled:
        name = cell_name(example.exchange_id, example.campaign_id)
        if name not in cells:
            cells[name] = len(cells)
            campaigns.append(example.campaign_id)
        cell.append(cells[name])
        rate = example.line_item.expected_rate if example.line_item.price.event == event else None
        priors.append(int(rate or PRIORS[event][example.format]))
        stated.append(rate is not None)
    return Examples(
        marks=np.array([example.marks for _, _, example in labelled], np.int64).reshape(-1, EXAMPLE_MARKS),
        labels=np.array([label for _, label, _ in labelled], np.bool_),
        cells=list(cells),
        cell=np.array(cell, np.int64),
        campaigns=campaigns,
        line_item_codes=np.array([example.line_item_code for _, _, example in labelled], np.int64),
        minutes=np.array([example.minute for _, _, example in labelled], np.int64),
        priors=np.array(priors, np.int64),
        stated=np.array(stated, np.bool_),
    )
