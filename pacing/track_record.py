"""What the live predictions said of impressions, and what came of them: by line item and day.

    record = TrackRecord()
    record.count("click", examples, rates, owners)        # after every page of the event streams
    await record.send(client)                             # at a review, with the place in the streams
    tracked = await fetch_tracked(client, code, range(today - 6, today + 1))
    tracked[line_item_code, "click"].calibration          # 1.07: 7 % more predicted than came

The trainer is the only writer. Both sides are of the same examples, the impressions that were learned from
and the events of the same stretch of the streams, so that their ratio is true whenever it is looked at.
A prediction is kept in billionths of an event. Sums are by the campaign's local day of the bid.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, cast

import numpy as np
import redis.asyncio
from numpy.typing import NDArray

from config import redis_keys
from config.calendar import local_day
from config.limits import DELIVERED_SECONDS
from config.money import BILLION
from pacing.prediction import PREDICTED, Predicted
from pacing.shadow import Examples

_IMPRESSIONS: Final = "impressions"
_EXPECTED: Final = "predicted"
_CAME: Final = "came"
_QUARTER_MINUTES: Final = 15
"""No zone is another part of an hour from UTC."""


class Tracked(NamedTuple):
    """Sums of one event."""

    impressions: int = 0
    predicted_billionths: int = 0
    came: int = 0

    @property
    def calibration(self) -> float | None:
        """Events predicted for each that came; None while none has come."""
        return self.predicted_billionths / BILLION / self.came if self.came else None

    @property
    def predicted_rate(self) -> float | None:
        """Of an impression; None where there was none."""
        return self.predicted_billionths / BILLION / self.impressions if self.impressions else None

    @property
    def observed_rate(self) -> float | None:
        """Likewise."""
        return self.came / self.impressions if self.impressions else None


class Owner(NamedTuple):
    """Whose a line item is."""

    campaign_code: int
    time_zone: str


Tracks = Mapping[tuple[int, Predicted], Tracked]
"""By line item code and event."""


class TrackRecord:
    """What the trainer has counted since it last sent."""

    def __init__(self) -> None:
        self._sums: Counter[tuple[int, int, str]] = Counter()
        """By campaign code, local day and field."""

    def count(
        self,
        event: Predicted,
        examples: Examples,
        rates: NDArray[np.float64],
        owners: Mapping[int, Owner],
    ) -> None:
        """Count examples for which float64[m] rates were predicted. owners: by line item code."""
        quarters = examples.minutes // _QUARTER_MINUTES
        kinds, kind = np.unique(np.stack([examples.line_item_codes, quarters]), axis=1, return_inverse=True)
        kind = kind.reshape(-1)
        shown = ~examples.labels
        impressions = np.bincount(kind[shown], minlength=kinds.shape[1]).tolist()
        came = np.bincount(kind[examples.labels], minlength=kinds.shape[1]).tolist()
        predicted = np.bincount(kind[shown], rates[shown], kinds.shape[1]).tolist()
        for index, (code, quarter) in enumerate(kinds.T.tolist()):
            owner = owners[code]
            day = local_day(quarter * _QUARTER_MINUTES * 60, owner.time_zone)
            for what, amount in (
                (_IMPRESSIONS, impressions[index]),
                (_EXPECTED, round(predicted[index] * BILLION)),
                (_CAME, came[index]),
            ):
                if amount:
                    self._sums[owner.campaign_code, day, f"{code} {event} {what}"] += amount

    async def send(self, client: redis.asyncio.Redis) -> None:
        """Add what was counted to the sums in Redis.

        Raises redis.RedisError; all of it is then sent again with the next, and what had come through of it
        counts twice: impressions, predictions and events alike, so that ratios stay true.
        """
        async with client.pipeline(transaction=False) as pipe:
            for (code, day, field), amount in self._sums.items():
                pipe.hincrby(redis_keys.predicted(code, day), field, amount)
            for code, day in {key[:2] for key in self._sums}:
                pipe.expire(redis_keys.predicted(code, day), DELIVERED_SECONDS)
            await pipe.execute()
        self._sums.clear()


async def fetch_tracked(client: redis.asyncio.Redis, campaign_code: int, days: Iterable[int]) -> Tracks:
    """Return the sums of some local days of a campaign. Raises redis.RedisError."""
    async with client.pipeline(transaction=False) as pipe:
        for day in days:
            pipe.hgetall(redis_keys.predicted(campaign_code, day))
        replies = cast(list[dict[bytes, bytes]], await pipe.execute())
    sums: Counter[str] = Counter()
    for fields in replies:
        for field, amount in fields.items():
            sums[field.decode()] += int(amount)
    codes = {int(field.partition(" ")[0]) for field in sums}
    return {
        (code, event): Tracked(*(sums[f"{code} {event} {what}"] for what in (_IMPRESSIONS, _EXPECTED, _CAME)))
        for code in codes
        for event in PREDICTED
        if any(field.startswith(f"{code} {event} ") for field in sums)
    }
