"""Books what notices charge.

    outcome = await Billing(client, ledger, directory).book(notice, query, at_s, replayed=False)

A charge that can't be booked (no price, more than the bid, no such account, too old) goes to the
refused stream, so that the difference from the exchange's report can be explained entry by entry.

Settling is atomic, so that a notice that comes again neither loses nor doubles money. A bill that came in
time and was brought when its bits are gone is looked up among the bills themselves (`pacing.bills`).
"""

import time
from collections.abc import Callable

import msgspec
import redis.asyncio
from redis.typing import EncodableT, FieldT

from bidder.events.charge import Query, read_charge
from bidder.events.directory import CampaignEntry, LiveDirectory
from bidder.events.entries import entry_of
from bidder.events.outcome import DONE, Outcome, count
from bidder.events.price import Unpriced
from bidder.metrics import BILLED_BIDS, BILLED_OFFERED, BILLED_PAID, SPEND, UNKNOWN
from bidder.openrtb.notice_token import Notice
from config import redis_keys
from config.calendar import local_day, local_hour
from config.limits import (
    NOTICE_CLOCK_SECONDS_MAX,
    NOTICE_TAKEN_SECONDS_MAX,
    SPOOL_SECONDS_MAX,
    STREAM_ENTRIES_MAX,
)
from config.money import BILLION
from pacing.bills import billed_bids
from pacing.ledger import Ledger, Settlement

_OUTCOME_OF = {
    Settlement.SETTLED: Outcome.OK,
    Settlement.LATE: Outcome.LATE,
    Settlement.DUPLICATE: Outcome.DUPLICATE,
    Settlement.OVERPRICED: Outcome.OVERPRICED,
    Settlement.UNKNOWN_CAMPAIGN: Outcome.UNKNOWN_CAMPAIGN,
}
_OUTCOME_OF_UNPRICED = {
    Unpriced.BAD_SIGNATURE: Outcome.BAD_SIGNATURE,
    Unpriced.STALE: Outcome.STALE_PRICE,
}
_REFUSED = (Outcome.UNKNOWN_CAMPAIGN, Outcome.EXPIRED)


class Billing:
    """Books the bills of one events process."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        ledger: Ledger,
        directory: LiveDirectory,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._directory = directory
        self._clock = clock

    async def book(self, notice: Notice, query: Query, at_s: float, *, replayed: bool) -> Outcome:
        """Charge what a notice names, once. Raises redis.RedisError.

        `at_s` is when it came; one that is `replayed` has waited in the spool since.
        """
        directory = self._directory.current
        entry = entry_of(notice, directory)
        charge = read_charge(notice, query, directory.price_reader(notice.exchange_code), at_s)
        if isinstance(charge, Unpriced):
            special = _OUTCOME_OF_UNPRICED.get(charge)
            if special is not None:
                return await self._refuse(entry, special)
            return await self._refuse(entry, Outcome.UNPRICED, f"{Outcome.UNPRICED}: {charge.value}")
        entry |= charge.fields()
        if charge.cost > notice.price_max_cpm_micros:
            return await self._refuse(entry, Outcome.OVERPRICED)
        taken_seconds_max = NOTICE_TAKEN_SECONDS_MAX
        if replayed:
            entry["came_s"] = str(int(at_s))
            if self._outlived(notice, at_s):
                known = await billed_bids(self._client, notice.campaign_code, notice.minute)
                if known is None:
                    return await self._refuse(entry, Outcome.EXPIRED)
                if entry["bid"] in known:
                    return count("bill", Outcome.DUPLICATE)
                taken_seconds_max = SPOOL_SECONDS_MAX
        campaign = await self.campaign_of(notice)
        settlement = await self._ledger.settle(
            notice.campaign_code,
            notice.owner,
            notice.minute,
            notice.sequence,
            charge.cost,
            notice.price_max_cpm_micros,
            # The day of the bid, not of the notice: a repeat after midnight names the same day.
            local_day(notice.minute * 60, campaign.time_zone),
            notice.expiry_s,
            entry,
            taken_seconds_max=taken_seconds_max,
            hour=local_hour(notice.minute * 60, campaign.time_zone),
            line_item=notice.line_item_code,
            from_line_item=notice.from_line_item,
        )
        outcome = _OUTCOME_OF[settlement]
        if outcome is Outcome.DUPLICATE and self._clock() - notice.minute * 60 >= taken_seconds_max:
            # The ledger calls this a repeat; it may be money that somebody waits for.
            outcome = Outcome.EXPIRED
        if outcome in _REFUSED:
            return await self._refuse(entry, outcome)
        if outcome in DONE:
            SPEND.labels(campaign.id).inc(charge.cost / BILLION)
            exchange_id = directory.exchange_id(notice.exchange_code)
            BILLED_BIDS.labels(exchange_id).inc()
            BILLED_OFFERED.labels(exchange_id).inc(notice.price_max_cpm_micros / BILLION)
            BILLED_PAID.labels(exchange_id).inc(charge.cost / BILLION)
        return count("bill", outcome)

    async def campaign_of(self, notice: Notice) -> CampaignEntry:
        """Return the campaign of a notice; of one that has left the config, with its account's time zone.

        It may come back the same day, so its bills must not turn its day before it is over where it lives.
        """
        campaign = self._directory.current.campaign(notice.campaign_code)
        if campaign.id == UNKNOWN:
            zone = await self._ledger.time_zone(notice.campaign_code)
            campaign = msgspec.structs.replace(campaign, time_zone=zone or campaign.time_zone)
        return campaign

    def _outlived(self, notice: Notice, at_s: float) -> bool:
        """Say whether a notice that came in time has waited for so long that its bits may be gone."""
        came_after_s = at_s - notice.minute * 60
        brought_after_s = self._clock() - notice.minute * 60
        in_time = came_after_s < NOTICE_TAKEN_SECONDS_MAX
        return in_time and brought_after_s >= NOTICE_TAKEN_SECONDS_MAX - NOTICE_CLOCK_SECONDS_MAX

    async def _refuse(self, entry: dict[str, str], outcome: Outcome, why: str = "") -> Outcome:
        refused = entry | {"refused": why or outcome.value}
        fields: dict[FieldT, EncodableT] = dict(refused.items())
        await self._client.xadd(
            redis_keys.STREAM_REFUSED, fields, maxlen=STREAM_ENTRIES_MAX, approximate=True
        )
        return count("bill", outcome)
