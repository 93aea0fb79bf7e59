"""What a notice does: has money booked, remembers what a person saw, tells the streams.

`take` is called with a notice's kind, the parameters of its URL and the time it came; HTTP is
`bidder.events.app`'s affair, and what happens while Redis is away `bidder.events.intake`'s. It returns an
Outcome and has counted it. Where money and memory are touched:

    notice       token genuine, first time                              again
    /bill        billing.book, unless billed on the impression          ledger says DUPLICATE
    /win         wins stream; never money                               nothing
    /loss        losses stream                                          nothing
    /imp         billing.book if billed on the impression;              ledger says DUPLICATE;
                 impressions stream, frequency caps                     nothing
    /click       clicks stream                                          nothing
    /conv        conversions stream                                     nothing
    /complete    completions stream                                     nothing

What is written to a stream is added to the campaign's sums of its bid's day and hour in the same round trip
(`pacing.delivery`).

What comes from the rendering of an ad for review, with the word AUDIT for its macros, is counted and no
more.

A redis.RedisError leaves `take`, and the notice waits in the spool. Money comes first
(`bidder.events.billing`), then what is remembered of it, step by step (`bidder.events.steps`).

Streams name a bid by owner, minute and sequence, as its token does, and carry no user: the user's
hash is used for the caps and goes no further.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Literal

import redis.asyncio

from bidder.events.billing import Billing
from bidder.events.charge import PRICE, TOKEN, Query, read_charge, read_min_to_win
from bidder.events.directory import LiveDirectory
from bidder.events.entries import event_entry, outcome_entry
from bidder.events.outcome import DONE, Kind, Outcome, count
from bidder.events.price import PriceReader, Unpriced
from bidder.events.segment_rules import RuleBook
from bidder.events.steps import once
from bidder.metrics import CAP_RECORDS_DROPPED, LOSS_REASONS
from bidder.openrtb.notice_token import Notice, TokenReader, TokenSigner, split_token
from bidder.redis_client import node_of
from config import redis_keys
from config.calendar import local_day, local_hour
from config.limits import CONVERSION_MEMORY_SECONDS_MAX, LOSS_MEMORY_SECONDS_MAX, SEEN_SECONDS
from pacing.caps import FORGOTTEN, record_impression
from pacing.delivery import Happening, What, append_and_count
from pacing.ledger import Ledger
from segments.location import caps_key

LOSS = "l"
"""The parameter of a loss URL that says why."""
KNOWN_LOSS_CODES = frozenset((*range(11), *range(100, 105), *range(200, 216)))
"""OpenRTB 3.0, list "Loss Reason Codes". 500 and up are an exchange's own."""
LOSS_CODE_MAX = 9_999


class NoticeDesk:
    """Takes the notices of one events process."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        ledger: Ledger,
        tokens: TokenSigner | TokenReader,
        directory: LiveDirectory,
        rules: RuleBook,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._tokens = tokens
        self._directory = directory
        self._rules = rules
        self._billing = Billing(client, ledger, directory, clock)

    async def take(
        self, kind: Kind, query: Query, at_s: float, *, replayed: bool = False, steps_done: int = 0
    ) -> Outcome:
        """Do what a notice asks for, once. Raises redis.RedisError, also as PartlyDoneError.

        `at_s` is when it came; one that is `replayed` has waited in the spool since, and `steps_done` is what
        a PartlyDoneError said of it. The outcome is that of the bill where of an impression only the bill
        was news.
        """
        notice = self._read(kind, query)
        if isinstance(notice, Outcome):
            return notice
        match kind:
            case "bill":
                if notice.billed_on_impression:
                    return count("bill", Outcome.NOT_BILLABLE)
                return await self._billing.book(notice, query, at_s, replayed=replayed)
            case "impression":
                return await self._impression(notice, query, at_s, replayed, steps_done)
            case "win":
                return await self._win(notice, query, at_s, steps_done)
            case "loss":
                return await self._loss(notice, query, at_s, steps_done)
            case "click":
                return await self._click(notice, steps_done)
            case "conversion":
                return await self._conversion(notice, steps_done)
            case "completion":
                return await self._completion(notice, steps_done)

    def counts_for_nothing(self, kind: Kind, query: Query) -> bool:
        """Say whether a notice is forged or a rendering for review; if so, it has been counted."""
        return isinstance(self._read(kind, query), Outcome)

    def campaign_code(self, query: Query) -> int:
        """Return whose account a notice needs; 0 of a forged one."""
        notice = self._tokens.read(split_token(query.get(TOKEN, ""))[0])
        return 0 if notice is None else notice.campaign_code

    def node_of(self, campaign_code: int) -> str:
        """Name the server that has a campaign's account."""
        return node_of(self._client, redis_keys.ledger(campaign_code))

    async def reaches(self, campaign_code: int) -> bool:
        """Say whether Redis answers for a campaign's account: a Cluster may for some and not for others."""
        try:
            await self._ledger.time_zone(campaign_code)
        except redis.RedisError:
            return False
        return True

    def landing_url(self, query: Query) -> str | None:
        """Return where a click goes; None when there is no such creative, or the token is forged."""
        notice = self._tokens.read(split_token(query.get(TOKEN, ""))[0])
        if notice is None:
            return None
        return self._directory.current.landing_url(notice.campaign_code, notice.creative_code)

    async def _impression(
        self, notice: Notice, query: Query, at_s: float, replayed: bool, steps_done: int
    ) -> Outcome:
        """Remember that a person saw the ad; book its price where the exchange bills on this.

        A pixel without a price parameter is one that the exchange's rules keep the price out of: another
        URL of the bid carries it.
        """
        billed = None
        if notice.billed_on_impression and PRICE in query:
            billed = await self._billing.book(notice, query, at_s, replayed=replayed)
        entry = event_entry(notice, self._directory.current)
        news = await once(
            steps_done,
            partial(self._first_time, notice, "shown"),
            partial(self._append_and_count, redis_keys.STREAM_IMPRESSIONS, entry, notice, "impressions"),
            partial(self._count_for_caps, notice, int(at_s)),
            partial(self._rules.notice, "impression", notice),
        )
        if not news:
            repeated = count("impression", Outcome.DUPLICATE)
            return billed if billed in DONE else repeated
        return count("impression", Outcome.OK)

    async def _count_for_caps(self, notice: Notice, at_s: int) -> None:
        directory = self._directory.current
        codes = (notice.campaign_code, notice.line_item_code)
        counted = [code for code in codes if directory.is_counted(code)]
        if notice.user_hash and counted:
            lives = directory.cap_lives
            dropped = await record_impression(self._client, notice.user_hash, counted, at_s, lives)
            CAP_RECORDS_DROPPED.inc(dropped)

    async def _win(self, notice: Notice, query: Query, at_s: float, steps_done: int) -> Outcome:
        """Remember a won auction; a win is no bill. One that cost more than we bid is marked so."""
        entry, outcome = outcome_entry(notice, self._directory.current), Outcome.OK
        charge = read_charge(notice, query, self._reader(notice), at_s)
        if not isinstance(charge, Unpriced):
            entry |= charge.fields()
            if charge.cost > notice.price_max_cpm_micros:
                outcome = Outcome.OVERPRICED
                entry["flagged"] = outcome.value
        entry |= self._min_to_win(notice, query, at_s)
        news = await once(
            steps_done,
            partial(self._first_time, notice, "won"),
            partial(self._append_and_count, redis_keys.STREAM_WINS, entry, notice, "wins"),
        )
        return count("win", outcome if news else Outcome.DUPLICATE)

    async def _loss(self, notice: Notice, query: Query, at_s: float, steps_done: int) -> Outcome:
        """Remember a lost auction and its reason."""
        entry = outcome_entry(notice, self._directory.current)
        code = _loss_code(query.get(LOSS, ""))
        if code is not None:
            entry["loss_code"] = str(code)
        entry |= self._min_to_win(notice, query, at_s)
        news = await once(
            steps_done,
            partial(self._first_bit, redis_keys.lost, notice, LOSS_MEMORY_SECONDS_MAX),
            partial(self._append_and_count, redis_keys.STREAM_LOSSES, entry, notice, "losses"),
        )
        if news:
            LOSS_REASONS.labels(str(code) if code in KNOWN_LOSS_CODES else "other").inc()
        return count("loss", Outcome.OK if news else Outcome.DUPLICATE)

    async def _click(self, notice: Notice, steps_done: int) -> Outcome:
        """Remember a click."""
        entry = event_entry(notice, self._directory.current)
        news = await once(
            steps_done,
            partial(self._first_time, notice, "clicked"),
            partial(self._append_and_count, redis_keys.STREAM_CLICKS, entry, notice, "clicks"),
            partial(self._rules.notice, "click", notice),
        )
        return count("click", Outcome.OK if news else Outcome.DUPLICATE)

    async def _conversion(self, notice: Notice, steps_done: int) -> Outcome:
        """Remember that what was advertised happened; once for each bid."""
        entry = event_entry(notice, self._directory.current)
        news = await once(
            steps_done,
            partial(self._first_conversion, notice),
            partial(self._append_and_count, redis_keys.STREAM_CONVERSIONS, entry, notice, "conversions"),
            partial(self._rules.notice, "conversion", notice),
        )
        return count("conversion", Outcome.OK if news else Outcome.DUPLICATE)

    async def _completion(self, notice: Notice, steps_done: int) -> Outcome:
        """Remember that a video or audio ad was played to its end."""
        entry = event_entry(notice, self._directory.current)
        news = await once(
            steps_done,
            partial(self._first_bit, redis_keys.completed, notice, SEEN_SECONDS),
            partial(self._append_and_count, redis_keys.STREAM_COMPLETIONS, entry, notice, "completions"),
        )
        return count("completion", Outcome.OK if news else Outcome.DUPLICATE)

    def _read(self, kind: Kind, query: Query) -> Notice | Outcome:
        """Return the notice of a genuine token; or the outcome, counted, of one that counts for nothing."""
        notice = self._tokens.read(split_token(query.get(TOKEN, ""))[0])
        if notice is None:
            return count(kind, Outcome.FORGED)
        return count(kind, Outcome.AUDIT) if _is_review(query) else notice

    def _reader(self, notice: Notice) -> PriceReader:
        return self._directory.current.price_reader(notice.exchange_code)

    def _min_to_win(self, notice: Notice, query: Query, at_s: float) -> dict[str, str]:
        price_cpm_micros = read_min_to_win(notice, query, self._reader(notice), at_s)
        return {} if price_cpm_micros is None else {"min_to_win_cpm_micros": str(price_cpm_micros)}

    async def _first_time(self, notice: Notice, what: Literal["shown", "won", "clicked"]) -> bool:
        return await self._ledger.first_time(
            notice.campaign_code, notice.owner, notice.minute, notice.sequence, what
        )

    async def _first_bit(
        self, key_of: Callable[[int, int, int], bytes], notice: Notice, kept_seconds: int
    ) -> bool:
        """Set a bid's bit in a bit string of its own; say whether it was not set."""
        key = key_of(notice.campaign_code, notice.owner, notice.minute)
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.setbit(key, notice.sequence, 1)
            pipe.expire(key, kept_seconds)
            before, _ = await pipe.execute()
        return not before

    async def _first_conversion(self, notice: Notice) -> bool:
        key = redis_keys.converted(notice.campaign_code, notice.owner, notice.minute, notice.sequence)
        return bool(await self._client.set(key, b"", nx=True, ex=CONVERSION_MEMORY_SECONDS_MAX))

    async def _append_and_count(
        self, stream: bytes, entry: dict[str, str], notice: Notice, what: What
    ) -> None:
        user_hash = await self._countable(notice) if what == "impressions" else 0
        campaign = await self._billing.campaign_of(notice)
        zone, bid_s = campaign.time_zone, notice.minute * 60
        happening = Happening(
            notice.campaign_code,
            notice.line_item_code,
            local_day(bid_s, zone),
            local_hour(bid_s, zone),
            what,
            user_hash,
        )
        await append_and_count(self._client, stream, entry, happening)

    async def _countable(self, notice: Notice) -> int:
        """Return who may be counted for reach; 0 for nobody.

        A report takes a broader permission than a cap, and nobody who asked to be forgotten.
        """
        if not notice.may_profile:
            return 0
        forgotten = await self._client.get(caps_key(notice.user_hash)) == FORGOTTEN
        return 0 if forgotten else notice.user_hash


def _is_review(query: Query) -> bool:
    """Say whether the ad was rendered for review: then every macro is the word AUDIT (2.6, 4.4)."""
    return any(value.strip() == "AUDIT" for value in query.values())


def _loss_code(text: str) -> int | None:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LOSS_CODE_MAX))):
        return None
    return int(text)
