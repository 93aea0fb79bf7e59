"""Bid responses as bytes, from parts prepared once.

Everything of a bid that depends only on its ad and on the shape of the slot is rendered once, escaped,
and cut where the notice token goes. A bid is then a join of those parts with its token, and a
response a few more joins: nothing is escaped or encoded twice on the hot path but the ids that the
exchange chose.
"""

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from bidder.decision.media import vast_protocol
from bidder.decision.snapshot import Snapshot
from bidder.openrtb import markup
from bidder.openrtb.notice_token import FLAG_BILLED_ON_IMPRESSION, FORMATS, TokenSigner
from bidder.openrtb.opportunity import DealOffer, MediaOffer, Opportunity, Slot
from config.limits import BIDS_PER_MINUTE_MAX, NOTICE_URL_CHARS_MAX
from config.money import cpm_text
from config.schema import code_of

PREPARED_ADS_MAX = 16_384
"""Prepared ads kept; past it all are forgotten and made anew as they are needed."""


class Bid(NamedTuple):
    """A decided bid: `ad` is an index in the snapshot's ads."""

    slot: Slot
    deal: DealOffer | None
    ad: int
    price_cpm_micros: int


class _PreparedAd(NamedTuple):
    parts: list[bytes]
    """JSON from `,"adid"` to the closing brace, cut at the token."""
    seat: str
    flags: int
    line_item_code: int
    campaign_code: int
    creative_code: int
    exchange_code: int
    hold_s: int
    """How long the reservation waits for its notice."""


class BidSequence:
    """Numbers the bids of each campaign within a minute.

    (owner, campaign, minute, sequence) is unique for ever. Counting by campaign keeps the ledger's
    bit strings of notices already seen as short as the campaign's own bids.
    """

    def __init__(self) -> None:
        self._minute = 0
        self._last: dict[int, int] = {}

    def next(self, campaign_code: int, now_s: int) -> tuple[int, int]:
        """Return (minute, sequence). A clock set back goes on in the later minute."""
        minute = now_s // 60
        if minute > self._minute:
            self._minute = minute
            self._last.clear()
        sequence = self._last.get(campaign_code, 0) + 1
        assert sequence < BIDS_PER_MINUTE_MAX, "more bids than one process can make"
        self._last[campaign_code] = sequence
        return self._minute, sequence


class ResponseRenderer:
    """Renders the bids of one worker (`owner`) on one snapshot."""

    def __init__(
        self,
        snapshot: Snapshot,
        events_url: str,
        signer: TokenSigner,
        owner: int,
        sequence: BidSequence,
    ) -> None:
        self._snapshot = snapshot
        self._events_url = events_url.rstrip("/")
        self._signer = signer
        self._owner = owner
        self._sequence = sequence
        self._prepared: dict[tuple[int, str, object], _PreparedAd] = {}
        self._tail = b'],"cur":' + orjson.dumps(snapshot.bundle.engine.currency) + b"}"

    def render(self, opportunity: Opportunity, bids: Sequence[Bid], now_s: int) -> bytes:
        """Return the JSON of a bid response with at least one bid (OpenRTB 2.6, 4.2)."""
        by_seat: dict[str, list[bytes]] = {}
        for bid in bids:
            seat, rendered = self._bid(opportunity, bid, now_s)
            by_seat.setdefault(seat, []).append(rendered)
        seats = [
            b'{"seat":' + orjson.dumps(seat) + b',"bid":[' + b",".join(rendered) + b"]}"
            for seat, rendered in by_seat.items()
        ]
        return (
            b'{"id":' + _json_text(opportunity.request_id) + b',"seatbid":[' + b",".join(seats) + self._tail
        )

    def _bid(self, opportunity: Opportunity, bid: Bid, now_s: int) -> tuple[str, bytes]:
        prepared = self._prepare(opportunity.exchange_id, bid)
        minute, sequence = self._sequence.next(prepared.campaign_code, now_s)
        token = self._signer.sign(
            prepared.flags,
            prepared.line_item_code,
            prepared.campaign_code,
            prepared.creative_code,
            prepared.exchange_code,
            self._owner,
            minute,
            sequence,
            now_s + prepared.hold_s,
            bid.price_cpm_micros,
            opportunity.user_hash,
        )
        head = b'{"id":"%x-%x-%x-%x","impid":%b,"price":%b' % (
            self._owner,
            prepared.campaign_code,
            minute,
            sequence,
            _json_text(bid.slot.imp_id),
            cpm_text(bid.price_cpm_micros).encode(),
        )
        if bid.deal is not None:
            head += b',"dealid":' + _json_text(bid.deal.id)
        return prepared.seat, head + token.join(prepared.parts)

    def _prepare(self, exchange_id: str, bid: Bid) -> _PreparedAd:
        shape = _shape_that_matters(bid.slot.media, self._snapshot.ads[bid.ad].creative.format)
        key = (bid.ad, exchange_id, shape)
        prepared = self._prepared.get(key)
        if prepared is None:
            if len(self._prepared) >= PREPARED_ADS_MAX:
                self._prepared.clear()
            prepared = self._prepared[key] = self._render_ad(exchange_id, bid)
        return prepared

    def _render_ad(self, exchange_id: str, bid: Bid) -> _PreparedAd:
        ad = self._snapshot.ads[bid.ad]
        exchange = self._snapshot.exchanges[exchange_id]
        format_index = FORMATS.index(ad.creative.format)
        fields: dict[str, object] = {
            "adid": ad.creative.id,
            "crid": ad.creative.id,
            "cid": ad.campaign.id,
            "adomain": [ad.advertiser.domain],
            "cat": list(ad.advertiser.categories),
            "mtype": format_index + 1,
            "exp": exchange.notice_timeout_seconds,
        }
        if ad.creative.attributes:
            fields["attr"] = list(ad.creative.attributes)
        if ad.creative.language:
            fields["language"] = ad.creative.language
        fields |= self._media_fields(bid)
        fields |= self._notice_urls(exchange.billing_event == "impression")
        flags = format_index << 1
        if exchange.billing_event == "impression":
            flags |= FLAG_BILLED_ON_IMPRESSION
        rendered = b"," + orjson.dumps(fields)[1:]
        return _PreparedAd(
            parts=rendered.split(markup.TOKEN.encode()),
            seat=ad.advertiser.seat,
            flags=flags,
            line_item_code=code_of(ad.line_item.id),
            campaign_code=code_of(ad.campaign.id),
            creative_code=code_of(ad.creative.id),
            exchange_code=code_of(exchange_id),
            hold_s=self._snapshot.exchanges[exchange_id].notice_timeout_seconds,
        )

    def _media_fields(self, bid: Bid) -> dict[str, object]:
        ad = self._snapshot.ads[bid.ad]
        creative, offer = ad.creative, bid.slot.media
        if creative.format == "banner":
            return {
                "w": creative.w,
                "h": creative.h,
                "adm": markup.banner_html(creative, self._events_url),
            }
        if creative.format == "native":
            assert offer.native is not None
            assert creative.native is not None
            return {"adm": markup.native_json(creative.native, offer.native, self._events_url)}
        shape = offer.video if creative.format == "video" else offer.audio
        assert shape is not None
        protocol = vast_protocol(shape)
        assert protocol is not None
        title = ad.line_item.name or ad.line_item.id
        return {
            "dur": creative.duration_seconds,
            "protocol": protocol,
            "adm": markup.vast(creative, shape, protocol, title, self._events_url),
        }

    def _notice_urls(self, billed_on_impression: bool) -> dict[str, object]:
        query = f"?t={markup.TOKEN}"
        urls: dict[str, object] = {
            "nurl": f"{self._events_url}/win{query}&p=${{AUCTION_PRICE}}&m=${{AUCTION_MIN_TO_WIN}}",
            "lurl": f"{self._events_url}/loss{query}&l=${{AUCTION_LOSS}}&m=${{AUCTION_MIN_TO_WIN}}",
        }
        if not billed_on_impression:
            urls["burl"] = f"{self._events_url}/bill{query}&p=${{AUCTION_PRICE}}"
        assert all(len(str(url)) < NOTICE_URL_CHARS_MAX for url in urls.values())
        return urls


def _shape_that_matters(offer: MediaOffer, format_: str) -> object:
    """What of an imp's offer shows in the markup: nothing, for a banner."""
    return None if format_ == "banner" else getattr(offer, format_)


def _json_text(text: str) -> bytes:
    return orjson.dumps(text)
