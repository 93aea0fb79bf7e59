"""How many bids a worker made for each line item, brought to the sums of `pacing.delivery`.

    reports = BidReports(client)
    reports.add(tally.export())                     # twice a second
    await reports.send(campaigns, now_s)            # as often; a bounded number of line items at a time

With more line items bidding than go at a time the others wait their turn, and nothing is lost by that but
the exact half second; they count for the day and hour in which they are sent. A Redis that fails takes the
line items under way with it: a count that may have arrived is not sent again.
"""

from collections import Counter
from collections.abc import Mapping

import redis.asyncio

from config.calendar import local_day, local_hour
from config.limits import DELIVERY_CALLS_PER_TICK_MAX
from config.schema import Campaign
from pacing.delivery import Happening, count_call
from pacing.scripts import run_all


class BidReports:
    """The bids of one worker that are not reported yet."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._bids: Counter[tuple[int, int]] = Counter()

    def add(self, bids: Mapping[tuple[int, int], int]) -> None:
        """Take bids by campaign and line item code."""
        self._bids.update(bids)

    async def send(self, campaigns: Mapping[int, Campaign], now_s: float) -> None:
        """Report the line items that have waited longest. campaigns: by code. Raises redis.RedisError."""
        if not self._bids:
            return
        calls = []
        # A dict keeps its order: what is taken out and comes again goes to the end.
        for key in list(self._bids)[:DELIVERY_CALLS_PER_TICK_MAX]:
            times, (code, line_item) = self._bids.pop(key), key
            zone = campaigns[code].time_zone if code in campaigns else "UTC"
            day, hour = local_day(int(now_s), zone), local_hour(int(now_s), zone)
            calls.append(count_call(Happening(code, line_item, day, hour, "bids", times=times)))
        await run_all(self._client, calls)

    async def send_all(self, campaigns: Mapping[int, Campaign], now_s: float) -> None:
        """Report everything. Raises redis.RedisError."""
        while self._bids:
            await self.send(campaigns, now_s)
